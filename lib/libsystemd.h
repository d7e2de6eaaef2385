/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* sd-bus, loaded when a sidecar is first asked: with its own libraries it costs a process that
 * links it about a millisecond, and a host's openssl.cnf loads csign.so into many programs that
 * never sign.
 *
 * Only files that talk to a sidecar include this, instead of <systemd/sd-bus.h>, and call the
 * functions by their own names; libsystemd_load() comes first.  sd-bus.h's own cleanup functions
 * would link the library: use these. */

#include <stdatomic.h>

#include <systemd/sd-bus.h>

#include "lib/error.h"

/* -CSIGN_E_SIDECAR_UNAVAILABLE: it is not installed, or lacks a function. */
int libsystemd_load(Error *e);

/* clang-format off */
#define LIBSYSTEMD_FUNCTIONS(X)                 \
        X(sd_bus_close_unref)                   \
        X(sd_bus_error_copy)                    \
        X(sd_bus_error_free)                    \
        X(sd_bus_error_has_name)                \
        X(sd_bus_get_fd)                        \
        X(sd_bus_is_ready)                      \
        X(sd_bus_message_append)                \
        X(sd_bus_message_append_array)          \
        X(sd_bus_message_appendv)               \
        X(sd_bus_message_at_end)                \
        X(sd_bus_message_close_container)       \
        X(sd_bus_message_enter_container)       \
        X(sd_bus_message_exit_container)        \
        X(sd_bus_message_get_error)             \
        X(sd_bus_message_get_reply_cookie)      \
        X(sd_bus_message_new_method_call)       \
        X(sd_bus_message_open_container)        \
        X(sd_bus_message_read)                  \
        X(sd_bus_message_read_array)            \
        X(sd_bus_message_skip)                  \
        X(sd_bus_message_unref)                 \
        X(sd_bus_new)                           \
        X(sd_bus_open_system)                   \
        X(sd_bus_open_user)                     \
        X(sd_bus_process)                       \
        X(sd_bus_send)                          \
        X(sd_bus_set_address)                   \
        X(sd_bus_set_bus_client)                \
        X(sd_bus_set_fd)                        \
        X(sd_bus_start)                         \
        X(sd_bus_wait)
/* clang-format on */

typedef struct LibSystemd {
#define X(name) __typeof__(&name) name;
        LIBSYSTEMD_FUNCTIONS(X)
#undef X
} LibSystemd;

extern _Atomic(const LibSystemd *) libsystemd_loaded;

static inline const LibSystemd *libsystemd(void) {
        return atomic_load_explicit(&libsystemd_loaded, memory_order_acquire);
}

static inline void bus_freep(sd_bus **bus) {
        if (*bus)
                libsystemd()->sd_bus_close_unref(*bus);
}

static inline void message_freep(sd_bus_message **m) {
        if (*m)
                libsystemd()->sd_bus_message_unref(*m);
}

static inline void bus_error_done(sd_bus_error *error) {
        libsystemd()->sd_bus_error_free(error);
}

#ifndef LIBSYSTEMD_PLAIN_NAMES
#define sd_bus_close_unref              libsystemd()->sd_bus_close_unref
#define sd_bus_error_copy               libsystemd()->sd_bus_error_copy
#define sd_bus_error_has_name           libsystemd()->sd_bus_error_has_name
#define sd_bus_get_fd                   libsystemd()->sd_bus_get_fd
#define sd_bus_is_ready                 libsystemd()->sd_bus_is_ready
#define sd_bus_message_append           libsystemd()->sd_bus_message_append
#define sd_bus_message_append_array     libsystemd()->sd_bus_message_append_array
#define sd_bus_message_appendv          libsystemd()->sd_bus_message_appendv
#define sd_bus_message_at_end           libsystemd()->sd_bus_message_at_end
#define sd_bus_message_close_container  libsystemd()->sd_bus_message_close_container
#define sd_bus_message_enter_container  libsystemd()->sd_bus_message_enter_container
#define sd_bus_message_exit_container   libsystemd()->sd_bus_message_exit_container
#define sd_bus_message_get_error        libsystemd()->sd_bus_message_get_error
#define sd_bus_message_get_reply_cookie libsystemd()->sd_bus_message_get_reply_cookie
#define sd_bus_message_new_method_call  libsystemd()->sd_bus_message_new_method_call
#define sd_bus_message_open_container   libsystemd()->sd_bus_message_open_container
#define sd_bus_message_read             libsystemd()->sd_bus_message_read
#define sd_bus_message_read_array       libsystemd()->sd_bus_message_read_array
#define sd_bus_message_skip             libsystemd()->sd_bus_message_skip
#define sd_bus_new                      libsystemd()->sd_bus_new
#define sd_bus_open_system              libsystemd()->sd_bus_open_system
#define sd_bus_open_user                libsystemd()->sd_bus_open_user
#define sd_bus_process                  libsystemd()->sd_bus_process
#define sd_bus_send                     libsystemd()->sd_bus_send
#define sd_bus_set_address              libsystemd()->sd_bus_set_address
#define sd_bus_set_bus_client           libsystemd()->sd_bus_set_bus_client
#define sd_bus_set_fd                   libsystemd()->sd_bus_set_fd
#define sd_bus_start                    libsystemd()->sd_bus_start
#define sd_bus_wait                     libsystemd()->sd_bus_wait
#endif
