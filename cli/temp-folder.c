/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/temp-folder.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/file.h"

int temp_folder_new(TempFolder *t, mode_t mode, Error *e) {
        const char *tmp = getenv("TMPDIR");
        int r, n;

        n = snprintf(t->path, sizeof(t->path), "%s/csign-run.XXXXXX",
                     tmp && tmp[0] == '/' ? tmp : "/tmp");
        if (n >= (int) sizeof(t->path) || !mkdtemp(t->path)) {
                r = error_set(e, n >= (int) sizeof(t->path) ? -ENAMETOOLONG : -errno,
                              "cannot make the temporary folder %s: %s", t->path, strerror(errno));
                t->path[0] = 0;
                return r;
        }
        if (chmod(t->path, mode) < 0)
                return error_set(e, -errno, "cannot set the mode of %s: %s", t->path,
                                 strerror(errno));
        return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) remove(path);
        return 0;
}

void temp_folder_done(TempFolder *t) {
        if (t->path[0])
                (void) nftw(t->path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
        t->path[0] = 0;
}

int temp_folder_path(const TempFolder *t, const char *name, char ret[static TEMP_PATH_MAX],
                     Error *e) {
        if (snprintf(ret, TEMP_PATH_MAX, "%s/%s", t->path, name) >= TEMP_PATH_MAX)
                return error_set(e, -ENAMETOOLONG, "the name '%s' is too long", name);
        return 0;
}

int temp_folder_file(const TempFolder *t, const char *name, const Buf *content, mode_t mode,
                     char ret[static TEMP_PATH_MAX], Error *e) {
        int r = temp_folder_path(t, name, ret, e);

        return r < 0 ? r : file_create(ret, content->data, content->len, mode, e);
}
