/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/executable.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#define ENTRIES    256
#define CHUNK      ((size_t) 32 * 1024)
#define SHA256_LEN 32

/* What a file's content cannot change without. */
typedef struct FileId {
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec mtime, ctime;
} FileId;

typedef struct Entry {
        FileId id;
        char sha256[65];
} Entry;

struct ExecutableCache {
        pthread_mutex_t mutex;
        Entry entries[ENTRIES];
        size_t n, next; /* the oldest goes first */
};

int executable_cache_new(ExecutableCache **ret, Error *e) {
        ExecutableCache *c = calloc(1, sizeof(*c));

        if (!c)
                return error_set(e, -ENOMEM, "out of memory");
        (void) pthread_mutex_init(&c->mutex, NULL);
        *ret = c;
        return 0;
}

void executable_cache_free(ExecutableCache *c) {
        if (!c)
                return;
        (void) pthread_mutex_destroy(&c->mutex);
        free(c);
}

/* ---- which file ---- */

static FileId file_id(const struct stat *st) {
        FileId id;

        memset(&id, 0, sizeof(id)); /* compared as bytes */
        id.dev = st->st_dev;
        id.ino = st->st_ino;
        id.size = st->st_size;
        id.mtime = st->st_mtim;
        id.ctime = st->st_ctim;
        return id;
}

static bool find(ExecutableCache *c, const FileId *id, char sha256[static 65]) {
        bool found = false;

        pthread_mutex_lock(&c->mutex);
        for (size_t i = 0; i < c->n && !found; i++) {
                found = memcmp(&c->entries[i].id, id, sizeof(*id)) == 0;
                if (found)
                        memcpy(sha256, c->entries[i].sha256, 65);
        }
        pthread_mutex_unlock(&c->mutex);
        return found;
}

static void keep(ExecutableCache *c, const FileId *id, const char sha256[static 65]) {
        Entry *entry;

        pthread_mutex_lock(&c->mutex);
        entry = &c->entries[c->next];
        c->next = (c->next + 1) % ENTRIES;
        if (c->n < ENTRIES)
                c->n++;
        entry->id = *id;
        memcpy(entry->sha256, sha256, 65);
        pthread_mutex_unlock(&c->mutex);
}

/* ---- its content ---- */

static int hash_stream(int fd, EVP_MD_CTX *md, uint8_t ret[static SHA256_LEN]) {
        uint8_t chunk[CHUNK];
        off_t total = 0;
        ssize_t n;

        if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
                return -ENOMEM;
        while ((n = read(fd, chunk, CHUNK)) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                total += n;
                if (total > EXECUTABLE_MAX)
                        return -EFBIG;
                if (EVP_DigestUpdate(md, chunk, (size_t) n) != 1)
                        return -EIO;
        }
        return EVP_DigestFinal_ex(md, ret, NULL) == 1 ? 0 : -EIO;
}

static int hash_file(int path_fd, char sha256[static 65]) {
        uint8_t digest[SHA256_LEN];
        EVP_MD_CTX *md;
        char name[64];
        int fd, r;

        snprintf(name, sizeof(name), "/proc/self/fd/%d", path_fd);
        fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        md = EVP_MD_CTX_new();
        r = md ? hash_stream(fd, md, digest) : -ENOMEM;
        EVP_MD_CTX_free(md);
        (void) close(fd);
        for (size_t i = 0; r >= 0 && i < SHA256_LEN; i++)
                snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
        return r;
}

/* A file that was written while it was read has no hash. */
static int hash_steady(int fd, const FileId *before, char sha256[static 65]) {
        struct stat st;
        FileId after;
        int r;

        r = hash_file(fd, sha256);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        after = file_id(&st);
        return memcmp(before, &after, sizeof(after)) == 0 ? 0 : -EAGAIN;
}

static const char *why_not(int r) {
        switch (r) {
        case -EACCES:
        case -EPERM:
                return "not readable by the sidecar's user";
        case -EFBIG:
                return "larger than 256 MiB";
        case -EAGAIN:
                return "it changed while it was read";
        default:
                return "not readable";
        }
}

void executable_look(ExecutableCache *c, int fd, const char *path, Executable *ret) {
        struct stat st, at_path;
        FileId id;
        int r;

        *ret = (Executable){};
        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
                snprintf(ret->note, sizeof(ret->note), "no file");
                return;
        }
        ret->is_at_path = stat(path, &at_path) == 0 && at_path.st_dev == st.st_dev &&
                          at_path.st_ino == st.st_ino;

        id = file_id(&st);
        if (find(c, &id, ret->sha256))
                return;
        r = st.st_size > EXECUTABLE_MAX ? -EFBIG : hash_steady(fd, &id, ret->sha256);
        if (r >= 0) {
                keep(c, &id, ret->sha256);
                return;
        }
        ret->sha256[0] = '\0';
        snprintf(ret->note, sizeof(ret->note), "%s", why_not(r));
}
