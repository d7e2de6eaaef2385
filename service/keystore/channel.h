/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One connection to the key store, shared by many threads: calls go out at once, replies come back
 * in any order.  There is no reader thread: of the threads that wait, one receives for all, and
 * hands that on when its own replies are there.  So a lone call is woken by the key store itself.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"
#include "service/keystore/protocol.h"

#define CALLS_MAX 4096 /* in flight on one channel */

/* One call: the request, and where its reply goes.  `call` numbers are the channel's business. */
typedef struct Call {
        Request *req;
        Buf *sig;               /* SIGN: replaced */
        Buf *spki, *sealed;     /* GENERATE, RESEAL (sealed alone): replaced */
        KeystoreStatus *status; /* HELLO */
        int r;
        Error *e;

        /* The channel's own. */
        struct Batch *batch; /* NULL: answered */
        bool admitted;       /* it got a slot; only its own thread looks */
} Call;

typedef struct Channel Channel;

/* Connects.  -CSIGN_E_KEYSTORE_UNAVAILABLE. */
int channel_open(Channel **ret, const char *path, Error *e);
Channel *channel_ref(Channel *c);
void channel_unref(Channel *c);
DEFINE_CLEANUP(Channel, channel_unref)

/* It takes no more calls: open another one. */
bool channel_is_broken(Channel *c);

/* Sends all, waits for all; each call has its own result.  -EPIPE: the other end was gone before
 * anything was sent, and no call has a result; else 0. */
int channel_exchange(Channel *c, Call *calls, size_t n, uint64_t timeout_usec);
