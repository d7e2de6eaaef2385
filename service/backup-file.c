/* SPDX-License-Identifier: Apache-2.0 */
/* A database may be larger than the memory: everything goes through one small block. */

#include "service/backup-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/ossl.h"
#include "service/digest.h"

#define MAGIC      "CSIGNBK1"
#define MAGIC_SIZE 8
#define BEGIN_SIZE (MAGIC_SIZE + 2)
#define NAME_MAX_  16
#define BLOCK      ((size_t) 64 * 1024)

const BackupFile backup_files[BACKUP_FILES] = {
        { "csign.db", 0600 },
        { "tls.key", 0600 },
        { "tls.crt", 0644 },
        { "ca.pem", 0644 },
};

static void close_fd(int *fd) {
        if (*fd >= 0)
                close(*fd);
}

/* All of it from a place of the file; -EBADMSG: it ends before. */
static int read_at(int fd, uint64_t offset, void *data, size_t len) {
        uint8_t *p = data;

        while (len > 0) {
                ssize_t n = pread(fd, p, len, (off_t) offset);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EBADMSG;
                p += n;
                offset += (uint64_t) n;
                len -= (size_t) n;
        }
        return 0;
}

static int write_all(int fd, const void *data, size_t len) {
        const uint8_t *p = data;

        while (len > 0) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t) n;
        }
        return 0;
}

/* ---- blocks ---- */

/* What becomes of each block of a part of a file: hashed, written, or both. */
typedef struct Sink {
        EVP_MD_CTX *md; /* NULL: not hashed */
        int fd;         /* -1: not written */
} Sink;

static int sink_put(const Sink *s, const void *data, size_t len) {
        if (s->md && EVP_DigestUpdate(s->md, data, len) != 1)
                return -EIO;
        return s->fd >= 0 ? write_all(s->fd, data, len) : 0;
}

static int sink_copy(const Sink *s, int from, uint64_t offset, uint64_t size) {
        uint8_t *block = malloc(BLOCK);
        int r = block ? 0 : -ENOMEM;

        while (r >= 0 && size > 0) {
                size_t n = size < BLOCK ? (size_t) size : BLOCK;

                r = read_at(from, offset, block, n);
                if (r >= 0)
                        r = sink_put(s, block, n);
                offset += n;
                size -= n;
        }
        if (block)
                erase(block, BLOCK); /* the TLS key came through it */
        free(block);
        return r;
}

static EVP_MD_CTX *sha256_begin(void) {
        EVP_MD_CTX *md = EVP_MD_CTX_new();

        if (md && EVP_DigestInit_ex2(md, EVP_sha256(), NULL) != 1) {
                EVP_MD_CTX_free(md);
                return NULL;
        }
        return md;
}

/* ---- writing ---- */

static int put_file(const Sink *s, const char *name, const char *path, Error *e) {
        _cleanup_(buf_done) Buf head = {};
        _cleanup_(close_fd) int fd = -1;
        struct stat st;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set(e, -errno, "cannot open %s: %m", path);
        if (!S_ISREG(st.st_mode))
                return error_set(e, -CSIGN_E_BAD_CONFIG, "%s is not a regular file", path);

        if (buf_put_str16(&head, name) < 0 || buf_put_u64(&head, (uint64_t) st.st_size) < 0)
                return -ENOMEM;
        r = sink_put(s, head.data, head.len);
        if (r >= 0)
                r = sink_copy(s, fd, 0, (uint64_t) st.st_size);
        return r < 0 ? error_set(e, r, "cannot copy %s: %s", path, strerror(-r)) : 0;
}

int backup_write(int fd, const char *const sources[static BACKUP_FILES], Error *e) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *md = sha256_begin();
        _cleanup_(buf_done) Buf begin = {};
        Sink sink = { md, fd };
        uint8_t hash[SHA256_SIZE];
        int r;

        if (!md || buf_append(&begin, MAGIC, MAGIC_SIZE) < 0 ||
            buf_put_u16(&begin, BACKUP_FILES) < 0)
                return -ENOMEM;

        r = sink_put(&sink, begin.data, begin.len);
        for (size_t i = 0; r >= 0 && i < BACKUP_FILES; i++)
                r = put_file(&sink, backup_files[i].name, sources[i], e);
        if (r >= 0 && EVP_DigestFinal_ex(md, hash, NULL) != 1)
                r = -EIO;
        if (r >= 0)
                r = write_all(fd, hash, sizeof(hash));
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r < 0 && (!e || e->code == 0))
                return error_set(e, r, "cannot write the backup: %s", strerror(-r));
        return r;
}

/* ---- reading ---- */

static int size_of(int fd, uint64_t *ret, Error *e) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return error_set(e, -errno, "cannot stat the backup: %m");
        if (!S_ISREG(st.st_mode) || st.st_size < (off_t) (BEGIN_SIZE + SHA256_SIZE))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that is no backup of csign-service");
        *ret = (uint64_t) st.st_size - SHA256_SIZE;
        return 0;
}

static int find_file(const char *name) {
        for (int i = 0; i < BACKUP_FILES; i++)
                if (strcmp(backup_files[i].name, name) == 0)
                        return i;
        return -ENOENT;
}

/* One file's head at *offset, which moves behind its content. */
static int parse_file(int fd, uint64_t end, uint64_t *offset, BackupIndex *index, Error *e) {
        uint8_t head[2 + NAME_MAX_ + 8];
        size_t have = end - *offset < sizeof(head) ? (size_t) (end - *offset) : sizeof(head);
        char name[NAME_MAX_ + 1] = "";
        Reader rd;
        uint64_t size;
        int which, r;

        r = read_at(fd, *offset, head, have);
        if (r < 0)
                return r;
        rd = READER(head, have);
        reader_str16(&rd, name, sizeof(name));
        size = reader_u64(&rd);
        if (rd.failed)
                return -EBADMSG;

        *offset += have - rd.left;
        which = find_file(name);
        if (which < 0 || index->at[which].offset != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the backup holds %s",
                                 which < 0 ? "a file that is none of the state directory's"
                                           : "a file twice");
        if (size > end - *offset)
                return -EBADMSG;
        index->at[which].offset = *offset;
        index->at[which].size = size;
        *offset += size;
        return 0;
}

static int parse(int fd, uint64_t end, BackupIndex *ret, Error *e) {
        uint8_t begin[BEGIN_SIZE];
        uint64_t offset = BEGIN_SIZE;
        BackupIndex index = {};
        int r;

        r = read_at(fd, 0, begin, sizeof(begin));
        if (r < 0)
                return r;
        if (memcmp(begin, MAGIC, MAGIC_SIZE) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that is no backup of csign-service");
        if (begin[MAGIC_SIZE] != 0 || begin[MAGIC_SIZE + 1] != BACKUP_FILES)
                return -EBADMSG;

        for (size_t i = 0; r >= 0 && i < BACKUP_FILES; i++)
                r = parse_file(fd, end, &offset, &index, e);
        if (r < 0)
                return r;
        if (offset != end)
                return -EBADMSG;
        *ret = index;
        return 0;
}

int backup_parse(int fd, BackupIndex *ret, Error *e) {
        uint64_t end;
        int r;

        r = size_of(fd, &end, e);
        if (r >= 0)
                r = parse(fd, end, ret, e);
        if (r == -EBADMSG)
                return error_set(e, -CSIGN_E_BAD_REQUEST, "the backup is malformed");
        return r;
}

static int check_sum(int fd, Error *e) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *md = sha256_begin();
        uint8_t hash[SHA256_SIZE], said[SHA256_SIZE];
        Sink sink = { md, -1 };
        uint64_t end;
        int r;

        r = size_of(fd, &end, e);
        if (r < 0)
                return r;
        r = md ? sink_copy(&sink, fd, 0, end) : -ENOMEM;
        if (r >= 0 && EVP_DigestFinal_ex(md, hash, NULL) != 1)
                r = -EIO;
        if (r >= 0)
                r = read_at(fd, end, said, sizeof(said));
        if (r < 0)
                return error_set(e, r, "cannot read the backup: %s", strerror(-r));
        if (memcmp(hash, said, sizeof(hash)) != 0)
                return error_set(e, -CSIGN_E_BAD_REQUEST,
                                 "the checksum does not fit: the backup is damaged or cut off, or "
                                 "is none");
        return 0;
}

int backup_read(int fd, BackupIndex *ret, Error *e) {
        int r;

        r = check_sum(fd, e);
        return r < 0 ? r : backup_parse(fd, ret, e);
}

int backup_extract(int fd, const BackupIndex *index, size_t which, const char *path, Error *e) {
        _cleanup_(close_fd) int to = -1;
        Sink sink;
        int r;

        to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (to < 0)
                return error_set(e, -errno, "cannot make %s: %m", path);
        sink = (Sink){ NULL, to };
        r = sink_copy(&sink, fd, index->at[which].offset, index->at[which].size);
        if (r >= 0 && (fchmod(to, backup_files[which].mode) < 0 || fsync(to) < 0))
                r = -errno;
        return r < 0 ? error_set(e, r, "cannot write %s: %s", path, strerror(-r)) : 0;
}
