/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where csign keeps things: the folders of the two grants, and of the OpenSSL module. */

#include <limits.h>

#include "lib/error.h"

typedef enum Folder {
        FOLDER_USER,    /* $XDG_CONFIG_HOME/csign, else ~/.config/csign */
        FOLDER_MACHINE, /* /etc/csign */
} Folder;

#define MACHINE_FOLDER "/etc/csign"

/* The folder, or a file in it if name is not NULL. */
int folder_file(Folder f, const char *name, char buf[static PATH_MAX], Error *e);

/* csign.so: `given` (from --module), else CSIGN_MODULE, else OpenSSL's own folder of modules.
 * Absolute. -CSIGN_E_NOT_FOUND says where it looked. */
int module_find(const char *given, char buf[static PATH_MAX], Error *e);
