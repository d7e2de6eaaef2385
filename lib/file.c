/* SPDX-License-Identifier: Apache-2.0 */
/* Files, read with distrust and replaced as a whole. */

#include "lib/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void closep(int *fd) {
        if (*fd >= 0)
                close(*fd);
}

/* systemd lets nobody but the unit's user into that folder. */
static bool is_handed_over(const char *path) {
        const char *folder = secure_getenv("CREDENTIALS_DIRECTORY");
        size_t n = folder ? strlen(folder) : 0;

        return n > 0 && strncmp(path, folder, n) == 0 && path[n] == '/' &&
               !strchr(path + n + 1, '/');
}

bool file_handed_over(const char *name, char ret[static PATH_MAX]) {
        static const char *const forms[] = { "", ".encrypted" };
        const char *folder = secure_getenv("CREDENTIALS_DIRECTORY");

        for (size_t i = 0; folder && i < ELEMENTSOF(forms); i++) {
                int n = snprintf(ret, PATH_MAX, "%s/%s%s", folder, name, forms[i]);

                if (n < PATH_MAX && access(ret, F_OK) == 0)
                        return true;
        }
        return false;
}

/* Says no to a file that somebody else could have written, or could read. */
static int check_trust(const char *path, const struct stat *st, FileTrust trust, Error *e) {
        int code = trust == FILE_PRIVATE ? -CSIGN_E_BAD_CREDENTIAL : -CSIGN_E_BAD_CONFIG;

        if (!S_ISREG(st->st_mode))
                return error_set(e, trust == FILE_ANY ? -CSIGN_E_BAD_CONFIG : code,
                                 "%s is not a regular file", path);
        if (trust == FILE_ANY)
                return 0;

        if (st->st_uid != geteuid() && st->st_uid != 0)
                return error_set(e, code, "%s belongs to uid %u, not to uid %u or root", path,
                                 (unsigned) st->st_uid, (unsigned) geteuid());
        /* Of what systemd handed over the group's bits show the access list that lets the unit's
         * user in. */
        if (trust == FILE_PRIVATE && (st->st_mode & (is_handed_over(path) ? 0007 : 0077)))
                return error_set(e, code,
                                 "%s has mode %04o: others can read it (chmod 600 %s, and treat "
                                 "the secret in it as known)",
                                 path, st->st_mode & 07777, path);
        if (st->st_mode & 0022)
                return error_set(e, code, "%s has mode %04o: others can write it (chmod go-w %s)",
                                 path, st->st_mode & 07777, path);
        return 0;
}

static int read_all(int fd, const char *path, Buf *b, Error *e) {
        size_t max = b->max ? b->max : BUF_DEFAULT_MAX;

        for (;;) {
                ssize_t n;
                int r;

                r = b->len < max ? buf_reserve(b, 1) : 0;
                if (r < 0)
                        return r;

                /* At the limit one byte more still fits, where the NUL goes: it tells a file that
                 * is too large from one that is not. */
                n = read(fd, b->data + b->len, b->len < max ? b->cap - b->len - 1 : 1);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set(e, -errno, "cannot read %s: %m", path);
                if (n == 0)
                        break;
                if ((size_t) n > max - b->len)
                        return error_set(e, -E2BIG, "%s is larger than %zu bytes", path, max);
                b->len += (size_t) n;
        }
        b->data[b->len] = '\0';
        return 0;
}

static int read_file(const char *path, FileTrust trust, Buf *b, Error *e) {
        _cleanup_(closep) int fd = -1;
        struct stat st;
        int r;

        /* O_NONBLOCK: a FIFO in the file's place must not hang us. */
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno == ELOOP)
                return error_set(e, trust == FILE_PRIVATE ? -CSIGN_E_BAD_CREDENTIAL : -ELOOP,
                                 "%s is a symbolic link", path);
        if (fd < 0)
                return error_set(e, -errno, "cannot open %s: %m", path);
        if (fstat(fd, &st) < 0)
                return error_set(e, -errno, "cannot stat %s: %m", path);

        r = check_trust(path, &st, trust, e);
        if (r < 0)
                return r;
        return read_all(fd, path, b, e);
}

int file_read(const char *path, FileTrust trust, Buf *ret, Error *e) {
        _cleanup_(buf_done) Buf b = BUF_MAX(ret->max);
        int r;

        assert(path && ret);

        r = read_file(path, trust, &b, e);
        if (r < 0)
                return r;

        buf_done(ret);
        *ret = b;
        b = (Buf){};
        return 0;
}

int file_read_secret(const char *path, size_t max, Secret *ret, Error *e) {
        _cleanup_(buf_done) Buf b = BUF_MAX(max);
        int r;

        r = buf_reserve(&b, max); /* all of it now: growing would leave copies behind */
        if (r < 0)
                return r;

        r = read_file(path, FILE_PRIVATE, &b, e);
        if (r >= 0)
                r = secret_new(ret, b.data, b.len);
        erase(b.data, b.cap);
        return r;
}

static int write_all(int fd, const uint8_t *p, size_t len) {
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

static int sync_parent(const char *path) {
        _cleanup_(closep) int fd = -1;
        char dir[PATH_MAX];
        char *slash;

        if (snprintf(dir, sizeof(dir), "%s", path) >= (int) sizeof(dir))
                return -ENAMETOOLONG;
        slash = strrchr(dir, '/');
        if (!slash)
                strcpy(dir, ".");
        else
                slash[slash == dir] = '\0';

        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Writes path's new content into a file beside it, whose name goes to temp. */
static int write_temp(const char *path, const void *data, size_t len, mode_t mode,
                      char temp[static PATH_MAX]) {
        _cleanup_(closep) int fd = -1;
        int r;

        if (snprintf(temp, PATH_MAX, "%s.XXXXXX", path) >= PATH_MAX) {
                temp[0] = '\0';
                return -ENAMETOOLONG;
        }
        fd = mkostemp(temp, O_CLOEXEC);
        if (fd < 0) {
                temp[0] = '\0';
                return -errno;
        }

        r = write_all(fd, data, len);
        if (r < 0)
                return r;
        return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const char *path, const void *data, size_t len, mode_t mode, bool replace,
                      Error *e) {
        char temp[PATH_MAX] = "";
        int r;

        r = write_temp(path, data, len, mode, temp);
        /* link() refuses to write over a file, which rename() does not. */
        if (r >= 0 && (replace ? rename(temp, path) : link(temp, path)) < 0)
                r = -errno;
        if (temp[0] && (r < 0 || !replace))
                unlink(temp);
        if (r >= 0)
                r = sync_parent(path);
        if (r == -EEXIST)
                return error_set(e, r, "%s is there already", path);
        if (r < 0)
                return error_set(e, r, "cannot write %s: %s", path, strerror(-r));
        return 0;
}

int file_replace(const char *path, const void *data, size_t len, mode_t mode, Error *e) {
        return write_file(path, data, len, mode, true, e);
}

int file_create(const char *path, const void *data, size_t len, mode_t mode, Error *e) {
        return write_file(path, data, len, mode, false, e);
}

int dir_check(const char *path, Error *e) {
        struct stat st;

        assert(path);

        if (stat(path, &st) < 0)
                return error_set(e, -errno, "%s: %m", path);
        if (st.st_uid != geteuid() && st.st_uid != 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s belongs to uid %u, not to uid %u or root", path,
                                 (unsigned) st.st_uid, (unsigned) geteuid());
        if ((st.st_mode & 0022) && !(st.st_mode & S_ISVTX))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s has mode %04o: others can write there (chmod go-w %s)", path,
                                 st.st_mode & 07777, path);
        return 0;
}

int dir_create(const char *path, mode_t mode, Error *e) {
        char part[PATH_MAX];
        struct stat st;

        if (path[0] == '\0' || strlen(path) >= sizeof(part))
                return error_set(e, -ENAMETOOLONG, "not a usable directory name: '%.64s'", path);

        for (const char *p = path; p;) {
                p = strchr(p + 1, '/');
                snprintf(part, sizeof(part), "%.*s", p ? (int) (p - path) : (int) strlen(path),
                         path);
                if (mkdir(part, mode) < 0 && errno != EEXIST)
                        return error_set(e, -errno, "cannot make directory %s: %m", part);
                if (stat(part, &st) < 0 || !S_ISDIR(st.st_mode))
                        return error_set(e, -ENOTDIR, "%s is in the way: it is no directory", part);
        }
        return 0;
}
