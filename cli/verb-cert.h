/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The verbs behind `csign cert`, which ask the service; `csign cert URI` asks the sidecar, and is
 * in verb-ref.c. */

#include "cli/cli.h"

extern const Verb *const cert_verbs[]; /* up to a NULL */
