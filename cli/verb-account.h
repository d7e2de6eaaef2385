/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The verbs of `csign account` that have files of their own. */

#include "cli/cli.h"

extern const Verb verb_account_rotate;
