/* SPDX-License-Identifier: Apache-2.0 */

/* Loads sd-bus: see libsystemd.h. */

#define LIBSYSTEMD_PLAIN_NAMES
#include "lib/libsystemd.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

#define LIBRARY "libsystemd.so.0"

_Atomic(const LibSystemd *) libsystemd_loaded;

static int find_function(void *library, const char *name, void *ret, Error *e) {
        void *function = dlsym(library, name);

        if (!function)
                return error_set(e, -CSIGN_E_SIDECAR_UNAVAILABLE,
                                 "sidecar not reachable: %s has no function %s", LIBRARY, name);
        *(void **) ret = function;
        return 0;
}

static int find_functions(LibSystemd *l, Error *e) {
        void *library;
        int r = 0;

        /* Never unloaded: programs unload us, but not in an order that anybody knows. */
        library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!library)
                return error_set(e, -CSIGN_E_SIDECAR_UNAVAILABLE, "sidecar not reachable: %s",
                                 dlerror());

#define X(name)                                                                                    \
        if (r >= 0)                                                                                \
                r = find_function(library, #name, &l->name, e);
        LIBSYSTEMD_FUNCTIONS(X)
#undef X
        return r;
}

int libsystemd_load(Error *e) {
        const LibSystemd *seen = NULL;
        LibSystemd *mine;
        int r;

        if (libsystemd())
                return 0;

        mine = malloc(sizeof(*mine));
        if (!mine)
                return error_set(e, -ENOMEM, "out of memory");

        r = find_functions(mine, e);
        if (r < 0 || !atomic_compare_exchange_strong(&libsystemd_loaded, &seen, mine))
                free(mine);
        return r;
}
