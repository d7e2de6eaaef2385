/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/bus-error.h"

#include <stdio.h>

int bus_reply_error(sd_bus_message *m, const Error *e) {
        const ErrorInfo *info = error_info(e->code);
        char name[96], text[ERROR_TEXT_MAX];
        Error public = *e;

        if (error_public_code(e->code) != e->code) /* paths and the like are for the log */
                (void) error_set(&public, -CSIGN_E_INTERNAL, "%s", info->title);

        snprintf(name, sizeof(name), ERROR_DBUS_PREFIX "%s", info->name);
        return sd_bus_reply_method_errorf(m, name, "%s", error_text(&public, text));
}
