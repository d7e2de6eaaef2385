/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/folders.h"

/* buf = folder[/name]; both come from outside, so that they may be too long. */
static int path_join(char buf[static PATH_MAX], const char *folder, const char *middle,
                     const char *name, Error *e) {
        int n = snprintf(buf, PATH_MAX, "%s%s%s%s", folder, middle, name ? "/" : "",
                         name ? name : "");

        return n >= 0 && n < PATH_MAX
                       ? 0
                       : error_set(e, -ENAMETOOLONG, "the path '%s...' is too long", folder);
}

int folder_file(Folder f, const char *name, char buf[static PATH_MAX], Error *e) {
        const char *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

        if (f == FOLDER_MACHINE)
                return path_join(buf, MACHINE_FOLDER, "", name, e);
        if (xdg && xdg[0] == '/')
                return path_join(buf, xdg, "/csign", name, e);
        if (home && home[0] == '/')
                return path_join(buf, home, "/.config/csign", name, e);
        return error_set(e, -CSIGN_E_BAD_CONFIG, "neither XDG_CONFIG_HOME nor HOME names a folder");
}

int module_find(const char *given, char buf[static PATH_MAX], Error *e) {
        const char *variable = getenv("CSIGN_MODULE");
        const char *path, *from;

        if (given) {
                path = given;
                from = "--module";
        } else if (variable && variable[0]) {
                path = variable;
                from = "CSIGN_MODULE";
        } else {
                path = CSIGN_MODULES_DIR "/csign.so";
                from = "the installed module";
        }

        if (!realpath(path, buf) || access(buf, R_OK) < 0)
                return error_set(e, -CSIGN_E_NOT_FOUND, "%s: cannot read '%s': %s", from, path,
                                 strerror(errno));
        return 0;
}
