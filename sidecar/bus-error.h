/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The only maker of D-Bus errors. */

#include <systemd/sd-bus.h>

#include "lib/error.h"

/* Replies to m with e: org.csign.Sidecar1.Error.<Name> and the one line for a person.  An errno
 * becomes Internal without its detail.  Returns 1, or a negative errno. */
int bus_reply_error(sd_bus_message *m, const Error *e);
