/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Counters that operators and tests read at /metrics (OpenMetrics text).  In steady state a
 * signature moves only the first block: whatever of the second moves with it is work that should
 * have been done once. */

#include <stdatomic.h>

#include "lib/buf.h"

/* clang-format off */
#define METRIC_LIST(X)                                                                                    \
        X(http_requests,       "HTTP requests received")                                                  \
        X(http_failures,       "HTTP requests answered with a problem")                                   \
        X(signatures,          "signatures handed out")                                                   \
        X(sign_denied,         "sign requests refused")                                                   \
        X(requests_repeated,   "requests that got the answer which was given before")                     \
        X(audit_records,       "audit records made durable")                                              \
        X(audit_commits,       "durable transactions: the records of one share a sync")                   \
                                                                                                          \
        X(authentications_refused, "credentials that were refused")                                       \
        X(tls_handshakes,      "TLS handshakes completed")                                                \
        X(token_issues,        "access tokens issued")                                                    \
        X(token_verifications, "tokens and API keys looked up in the database")                           \
        X(assertion_verifications, "client assertions verified")                                          \
        X(key_cache_misses,    "keys read from the database to sign or to show")                          \
        X(audit_failures,      "transactions that could not be made durable")                             \
        X(requests_refused_busy, "requests refused because too many wait")
/* clang-format on */

typedef struct Metrics {
#define X(name, help) atomic_uint_fast64_t name;
        METRIC_LIST(X)
#undef X
} Metrics;

/* One for the process. */
extern Metrics metrics;

#define METRIC_ADD(name, n) atomic_fetch_add_explicit(&metrics.name, (n), memory_order_relaxed)

/* All but the end of the text. */
int metrics_write(Buf *b);
