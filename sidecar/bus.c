/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/bus.h"

#include <errno.h>

static int enter(sd_bus_message *m, void *userdata, BusMethod method) {
        Link *l = userdata;
        Peer *p = l->peer_of(l, m);

        return p ? peer_call(p, m, method) : -ENOMEM;
}

#define ENTRY(method)                                                                              \
        static int on_##method(sd_bus_message *m, void *userdata, sd_bus_error *error) {           \
                return enter(m, userdata, method_##method);                                        \
        }

ENTRY(sign)
ENTRY(sign_message)
ENTRY(get_key)
ENTRY(list_keys)
ENTRY(status)
ENTRY(reload)
ENTRY(test_policy)
ENTRY(history)

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", CSIGN_VERSION);
}

/* Who may call is decided by the methods themselves, so sd-bus's own check for root is off.
 * clang-format off */
static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("GetKey", SD_BUS_ARGS("s", path, "u", version),
                                SD_BUS_RESULT("a{sv}", key), on_get_key,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("ListKeys", SD_BUS_ARGS("s", prefix, "s", cursor, "u", limit),
                                SD_BUS_RESULT("aa{sv}", keys, "s", next_cursor), on_list_keys,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Sign",
                                SD_BUS_ARGS("s", key_id, "u", version, "s", scheme, "s", hash, "ay",
                                            digest, "a{sv}", options),
                                SD_BUS_RESULT("ay", signature, "a{sv}", receipt), on_sign,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS(
                "SignMessage",
                SD_BUS_ARGS("s", key_id, "u", version, "s", scheme, "h", message, "a{sv}", options),
                SD_BUS_RESULT("ay", signature, "a{sv}", receipt), on_sign_message,
                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Status", SD_BUS_NO_ARGS, SD_BUS_RESULT("a{ss}", status), on_status,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, on_reload,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("TestPolicy", SD_BUS_ARGS("s", path, "s", scheme, "a{sv}", subject),
                                SD_BUS_RESULT("b", allowed, "s", rule), on_test_policy,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("History", SD_BUS_ARGS("t", before, "u", limit),
                                SD_BUS_RESULT("aa{sv}", entries, "t", next), on_history,
                                SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_VTABLE_END,
};
/* clang-format on */

int bus_add_object(sd_bus *bus, Link *l) {
        return sd_bus_add_object_vtable(bus, NULL, BUS_OBJECT, BUS_INTERFACE, vtable, l);
}

int bus_watch_end(sd_bus *bus, sd_bus_message_handler_t f, void *arg) {
        return sd_bus_match_signal_async(
                bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                "org.freedesktop.DBus.Local", "Disconnected", f, NULL, arg);
}
