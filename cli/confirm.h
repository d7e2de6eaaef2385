/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "lib/error.h"

/* Before something that cannot be undone: asks on the terminal, and only "yes" goes on.  Without a
 * terminal --yes (yes) is needed.  -CSIGN_E_BAD_REQUEST: nobody has confirmed it. */
int confirm(const char *sentence, bool yes, Error *e);
