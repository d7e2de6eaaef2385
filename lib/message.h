/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A message that travels whole, because its scheme hashes for itself: a file in memory (memfd)
 * whose descriptor is passed from process to process.  It is sealed before it is passed, so that
 * nobody can change what another one reads. */

#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define MESSAGE_MAX_DEFAULT ((size_t) 64 * 1024 * 1024)
#define MESSAGE_MAX_LIMIT   ((size_t) 1024 * 1024 * 1024)

/* An empty file to append to; close it.  -EMFILE, -ENOMEM, ... */
int message_new(void);
int message_append(int fd, const void *data, size_t len);
int message_seal(int fd);

/* All of that.  Returns the descriptor. */
int message_of(const void *data, size_t len);

/* A copy of the first len bytes of a message that is not sealed yet, or is: to be appended to. */
int message_copy(int fd, size_t len);

typedef struct Message {
        const uint8_t *data; /* never NULL */
        size_t len;
} Message;

/* Maps it for reading; fd can be closed.  -CSIGN_E_TOO_LARGE, and -CSIGN_E_BAD_REQUEST: it is not a
 * file in memory, or not sealed against every change. */
int message_map(Message *ret, int fd, size_t max, Error *e);
void message_unmap(Message *m);

/* -CSIGN_E_TOO_LARGE, with the limit and where it is set. */
int message_check_size(uint64_t len, size_t max, Error *e);
