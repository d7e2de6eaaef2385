/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What systemd and a daemon tell each other (sd_notify(3), sd_listen_fds(3), systemd.exec(5)),
 * without its library, which the service and the key store need for nothing else. */

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1".  Without $NOTIFY_SOCKET it goes nowhere. */
void supervisor_notify(const char *state);

/* How often WATCHDOG=1 is to be said, in µs: half of what systemd waits.  0: never. */
uint64_t supervisor_watchdog_period(void);

/* The Unix socket of this type on which systemd listens for us, now ours; -1: there is none. */
int supervisor_socket(int type);
