/* SPDX-License-Identifier: Apache-2.0 */
/* Each way goes through a folder beside the result, which gets its name as the last step. */

#include "service/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "service/audit/audit.h"
#include "service/backup-file.h"
#include "service/db/db.h"
#include "service/service.h"

#define PATH_SIZE (PATH_MAX + 32)

/* A folder beside path, for nobody else. */
typedef struct Beside {
        char folder[PATH_MAX]; /* "": there is none, or none any more */
} Beside;

static void close_fd(int *fd) {
        if (*fd >= 0)
                close(*fd);
}

static int beside_make(Beside *b, const char *path, Error *e) {
        size_t len = strlen(path);

        while (len > 1 && path[len - 1] == '/')
                len--;
        if (snprintf(b->folder, sizeof(b->folder), "%.*s.XXXXXX", (int) len, path) >=
            (int) sizeof(b->folder)) {
                b->folder[0] = '\0';
                return error_set(e, -ENAMETOOLONG, "the path is too long: %.64s...", path);
        }
        if (!mkdtemp(b->folder)) {
                int r = -errno;

                b->folder[0] = '\0';
                return error_set(e, r, "cannot make a folder beside %s: %s", path, strerror(-r));
        }
        return 0;
}

static void beside_path(const Beside *b, const char *name, char path[static PATH_SIZE]) {
        (void) snprintf(path, PATH_SIZE, "%s/%s", b->folder, name);
}

/* Nothing but files is ever in it. */
static void beside_remove(Beside *b) {
        DIR *d = b->folder[0] ? opendir(b->folder) : NULL;
        const struct dirent *entry;

        if (!d)
                return;
        while ((entry = readdir(d)))
                (void) unlinkat(dirfd(d), entry->d_name, 0);
        closedir(d);
        (void) rmdir(b->folder);
}

static int sync_folder(const char *path, Error *e) {
        _cleanup_(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return error_set(e, -errno, "cannot sync %s: %m", path);
        return 0;
}

/* The one that path is in. */
static int sync_parent(const char *path, Error *e) {
        char parent[PATH_MAX];
        size_t len = strlen(path);

        while (len > 1 && path[len - 1] == '/')
                len--;
        while (len > 0 && path[len - 1] != '/')
                len--;
        if (len >= sizeof(parent))
                return error_set(e, -ENAMETOOLONG, "the path is too long: %.64s...", path);
        (void) snprintf(parent, sizeof(parent), "%.*s", (int) len, path);
        return sync_folder(len > 0 ? parent : ".", e);
}

/* ---- backup ---- */

/* Another user would leave files of its own beside the database, which the service cannot open. */
static int check_owner(const Config *c, Error *e) {
        struct stat st;

        if (stat(c->state_directory, &st) < 0)
                return error_set(e, -errno, "cannot look at %s: %m", c->state_directory);
        if (st.st_uid != geteuid())
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "%s belongs to uid %u: make the backup as that user",
                                 c->state_directory, (unsigned) st.st_uid);
        return 0;
}

static int collect(const Config *c, const Beside *b, int fd, Error *e) {
        char paths[BACKUP_FILES][PATH_SIZE];
        const char *sources[BACKUP_FILES];
        int r = 0;

        for (size_t i = 0; r >= 0 && i < BACKUP_FILES; i++) {
                sources[i] = paths[i];
                if (i == BACKUP_DB)
                        beside_path(b, backup_files[i].name, paths[i]);
                else
                        r = service_file(c, backup_files[i].name, paths[i], PATH_MAX, e);
        }
        if (r >= 0)
                r = db_copy(c->state_directory, sources[BACKUP_DB], e);
        return r < 0 ? r : backup_write(fd, sources, e);
}

int backup_run(const Config *c, const char *output, Error *e) {
        _cleanup_(beside_remove) Beside b = {};
        _cleanup_(close_fd) int fd = -1;
        char path[PATH_SIZE];
        int r;

        if (access(output, F_OK) == 0)
                return error_set(e, -EEXIST, "%s is there already, and is not written over",
                                 output);
        r = check_owner(c, e);
        if (r >= 0)
                r = beside_make(&b, output, e);
        if (r < 0)
                return r;

        beside_path(&b, "backup", path);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set(e, -errno, "cannot make %s: %m", path);
        r = collect(c, &b, fd, e);
        if (r < 0)
                return r;
        if (link(path, output) < 0)
                return error_set(e, -errno, "cannot make %s: %m", output);
        r = sync_parent(output, e);
        if (r < 0)
                return r;

        log_line(LOG_NOTICE, "backed up", "STATE", c->state_directory, "FILE", output, NULL);
        return 0;
}

/* ---- restore ---- */

static int refuse_to_overwrite(const char *path, Error *e) {
        return error_set(e, -EEXIST, "%s is not an empty folder: restore writes over nothing",
                         path);
}

/* 0: there is none; 1: there is one, empty, and *ret is it. */
static int look_at_target(const char *path, struct stat *ret, Error *e) {
        const struct dirent *entry;
        bool empty = true;
        DIR *d;

        d = opendir(path);
        if (!d && errno == ENOENT)
                return 0;
        if (!d && errno == ENOTDIR)
                return refuse_to_overwrite(path, e);
        if (!d || fstat(dirfd(d), ret) < 0) {
                int r = error_set(e, -errno, "cannot look into %s: %m", path);

                if (d)
                        closedir(d);
                return r;
        }
        while (empty && (entry = readdir(d)))
                empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        closedir(d);
        return empty ? 1 : refuse_to_overwrite(path, e);
}

static int extract_all(int fd, const Beside *b, Error *e) {
        char path[PATH_SIZE];
        BackupIndex index;
        int r;

        r = backup_read(fd, &index, e);
        for (size_t i = 0; r >= 0 && i < BACKUP_FILES; i++) {
                beside_path(b, backup_files[i].name, path);
                r = backup_extract(fd, &index, i, path, e);
        }
        return r;
}

static int read_head(const Beside *b, AuditHead *head, Error *e) {
        _cleanup_(db_closep) Db *db = NULL;
        int r;

        r = db_open(&db, b->folder, 1, e);
        return r < 0 ? r : audit_head(db, head, e);
}

/* Opens as the service would, so that what would not serve does not get the name. */
static int try_database(const Beside *b, AuditHead *head, Error *e) {
        _cleanup_(db_closep) Db *db = NULL;
        int r;

        r = read_head(b, head, e);
        /* Whose last connection may write, that one leaves no log beside it. */
        return r < 0 ? r : db_open(&db, b->folder, 0, e);
}

/* The folder that root has got ready for the service's user stays that user's. */
static int give_to(const Beside *b, const struct stat *st, Error *e) {
        DIR *d = opendir(b->folder);
        const struct dirent *entry;
        int r = d ? 0 : -errno;

        while (r >= 0 && (entry = readdir(d)))
                if (strcmp(entry->d_name, "..") != 0 &&
                    fchownat(dirfd(d), entry->d_name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) <
                            0)
                        r = -errno;
        if (d)
                closedir(d);
        return r < 0 ? error_set(e, r, "cannot give %s to uid %u: %s", b->folder,
                                 (unsigned) st->st_uid, strerror(-r))
                     : 0;
}

static void say_restored(const Config *c, const AuditHead *head) {
        char number[24], hash[2 * SHA256_SIZE + 1];

        (void) snprintf(number, sizeof(number), "%llu", (unsigned long long) head->number);
        for (size_t i = 0; i < SHA256_SIZE; i++)
                (void) snprintf(hash + 2 * i, 3, "%02x", head->hash[i]);
        log_line(LOG_NOTICE, "restored: what came after this record is lost", "STATE",
                 c->state_directory, "RECORD", number, "HASH", hash, NULL);
}

int restore_run(const Config *c, const char *input, Error *e) {
        _cleanup_(beside_remove) Beside b = {};
        _cleanup_(close_fd) int fd = -1;
        AuditHead head = {};
        struct stat target;
        int r, there;

        there = look_at_target(c->state_directory, &target, e);
        if (there < 0)
                return there;
        fd = open(input, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return error_set(e, -errno, "cannot open %s: %m", input);

        r = beside_make(&b, c->state_directory, e);
        if (r >= 0)
                r = extract_all(fd, &b, e);
        if (r >= 0)
                r = try_database(&b, &head, e);
        if (r >= 0 && there && geteuid() == 0)
                r = give_to(&b, &target, e);
        if (r >= 0)
                r = sync_folder(b.folder, e);
        if (r < 0)
                return r;

        /* Of folders, only an empty one is replaced. */
        if (rename(b.folder, c->state_directory) < 0)
                return errno == ENOTEMPTY || errno == EEXIST
                               ? refuse_to_overwrite(c->state_directory, e)
                               : error_set(e, -errno, "cannot make %s: %m", c->state_directory);
        b.folder[0] = '\0';
        r = sync_parent(c->state_directory, e);
        if (r >= 0)
                say_restored(c, &head);
        return r;
}
