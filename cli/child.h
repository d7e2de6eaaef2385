/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Programs that csign starts and waits for.  Signals that csign gets are theirs. */

#include <stdbool.h>

#include "lib/buf.h"
#include "lib/error.h"

/* From now on SIGTERM and its like do not end csign, but are passed on to the child that runs, so
 * that csign can clean up behind it.  ^C reaches the child by itself.  For the life of csign. */
void child_watch_signals(void);

typedef struct Child {
        char *const *argv;
        const char *openssl_conf; /* its OPENSSL_CONF */
        bool without_csign;       /* nothing of csign in its environment */
        Buf *output;              /* NULL: where csign's goes; else its two streams together */
} Child;

/* The exit status as a shell has it: 127 when there is no such program, 126 when it cannot be run,
 * 128 + N after signal N, which may have reached csign before the program was started. */
int child_run(const Child *c, Error *e);

/* In place of csign; returns the status only if that fails. */
int child_exec(char *const argv[]);
