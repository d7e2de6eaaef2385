/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The words every file uses: ownership by scope, and nothing more. */

#include <stddef.h>

#define _cleanup_(f)       __attribute__((cleanup(f)))
#define _printf_(fmt, arg) __attribute__((format(printf, fmt, arg)))
#define _unused_           __attribute__((unused))
#define _public_           __attribute__((visibility("default")))

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))

/* Hands over what a _cleanup_ variable owns: `*ret = TAKE(key);` */
#define TAKE(p)                                                                                    \
        ({                                                                                         \
                __typeof__(p) *_take = &(p);                                                       \
                __typeof__(p) _taken = *_take;                                                     \
                *_take = NULL;                                                                     \
                _taken;                                                                            \
        })

/* Defines name##p(), which _cleanup_() calls with the address of a `type *`. */
#define DEFINE_CLEANUP(type, name)                                                                 \
        static inline void name##p(type **p) {                                                     \
                if (*p)                                                                            \
                        name(*p);                                                                  \
        }

#define container_of(ptr, type, member) ((type *) ((char *) (ptr) -offsetof(type, member)))
