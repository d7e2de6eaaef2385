/* SPDX-License-Identifier: Apache-2.0 */
/* libcrypto keeps private numbers in its secure heap, but decodes through ordinary blocks and keeps
 * Montgomery forms of the primes there: so those are wiped too, and locked when that is allowed. */

#include "service/keystore/memory.h"

#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <openssl/crypto.h>

static void *plain_malloc(size_t size, const char *file, int line) {
        return size > 0 ? malloc(size) : NULL;
}

static void wiping_free(void *p, const char *file, int line) {
        if (!p)
                return;
        explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

/* Not realloc(): it may move the block and leave the old one as it was. */
static void *wiping_realloc(void *p, size_t size, const char *file, int line) {
        size_t old;
        void *q;

        if (!p)
                return plain_malloc(size, file, line);
        if (size == 0) {
                wiping_free(p, file, line);
                return NULL;
        }

        old = malloc_usable_size(p);
        q = malloc(size);
        if (!q)
                return NULL;
        memcpy(q, p, old < size ? old : size);
        wiping_free(p, file, line);
        return q;
}

int memory_wipe_on_free(void) {
        if (CRYPTO_set_mem_functions(plain_malloc, wiping_realloc, wiping_free) != 1)
                return -EBUSY;
        return 0;
}

static bool may_lock_without_limit(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct caps[2] = {};
        struct rlimit limit;

        if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY)
                return true;
        if (syscall(SYS_capget, &header, caps) < 0)
                return false;
        return (caps[0].effective & (1u << CAP_IPC_LOCK)) != 0;
}

/* Under a limit, MCL_FUTURE would make later allocations fail: then the secure heap must do. */
static MemoryLock lock_memory(bool heap_is_locked) {
        if (may_lock_without_limit() && mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0)
                return MEMORY_LOCKED_ALL;
        return heap_is_locked ? MEMORY_LOCKED_KEYS : MEMORY_LOCKED_NOT;
}

static int forbid_dumps(Error *e) {
        struct rlimit none = { 0, 0 };

        if (setrlimit(RLIMIT_CORE, &none) < 0)
                return error_set(e, -errno, "cannot forbid core dumps: %s", strerror(errno));
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                return error_set(e, -errno, "cannot forbid dumps: %s", strerror(errno));
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return error_set(e, -errno, "cannot forbid new privileges: %s", strerror(errno));
        return 0;
}

static void raise_lock_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
                return;
        limit.rlim_cur = limit.rlim_max;
        (void) setrlimit(RLIMIT_MEMLOCK, &limit); /* then as much as there is */
}

int memory_protect(size_t heap_size, MemoryLock *ret, Error *e) {
        int r;

        r = forbid_dumps(e);
        if (r < 0)
                return r;

        raise_lock_limit();
        r = CRYPTO_secure_malloc_init(heap_size, 16); /* 2: made, but not locked */
        if (r == 0)
                return error_set(e, -ENOMEM, "cannot make a secure heap of %zu bytes", heap_size);

        *ret = lock_memory(r == 1);
        return 0;
}
