/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a daemon tells systemd (sd_notify(3), systemd.exec(5)) without its library, which the
 * service and the key store need for nothing else. */

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1".  Without $NOTIFY_SOCKET it goes nowhere. */
void notify(const char *state);

/* How often WATCHDOG=1 is to be said, in µs: half of what systemd waits.  0: never. */
uint64_t notify_watchdog_period(void);
