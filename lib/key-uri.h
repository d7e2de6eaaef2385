/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Names of keys and TSGs, and the store URI that carries them:
 *
 *     csign://acme/mobile/release@2?type=cert
 *     csign:acme/mobile/release
 *     csign://acme/mobile/          the keys below a TSG: a listing
 *     csign:                        all keys
 *
 * A name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or digit; capitals are folded on the
 * way in, once, here.  A path is names joined by '/', at most 16 TSGs deep. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/error.h"

#define NAME_MAX_LEN   63
#define PATH_DEPTH_MAX 17 /* 16 TSGs and a key */
#define PATH_MAX_LEN   (PATH_DEPTH_MAX * (NAME_MAX_LEN + 1))

typedef enum KeyUriType {
        KEY_URI_ANY = 0,
        KEY_URI_PRIVATE, /* ?type=private */
        KEY_URI_PUBLIC,  /* ?type=public */
        KEY_URI_CERT,    /* ?type=cert */
} KeyUriType;

typedef struct KeyUri {
        char path[PATH_MAX_LEN]; /* normalised, no slash at either end; "" for all */
        uint32_t version;        /* 0: the primary version */
        KeyUriType type;
        bool listing; /* the path is a TSG */
} KeyUri;

/* Takes "csign:…", "csign://…" and "csign:///…".  Fails with -CSIGN_E_BAD_REQUEST and says at which
 * character; *ret is then untouched. */
int key_uri_parse(const char *uri, KeyUri *ret, Error *e);

/* As above, and takes a bare path ("acme/mobile/release") too: for people's input in a CLI. */
int key_uri_parse_loose(const char *text, KeyUri *ret, Error *e);

/* Writes the csign:// form.  The size is enough for every KeyUri. */
#define KEY_URI_TEXT_MAX (PATH_MAX_LEN + 48)
char *key_uri_text(const KeyUri *uri, char buf[static KEY_URI_TEXT_MAX]);

/* Normalises one name or path in place of buf; -CSIGN_E_BAD_REQUEST says what is wrong with it. */
int name_normalize(const char *name, char buf[static NAME_MAX_LEN + 1], Error *e);
int path_normalize(const char *path, char buf[static PATH_MAX_LEN], Error *e);

/* Exactly what name_normalize() and path_normalize() give. */
bool name_is_valid(const char *name);
bool path_is_valid(const char *path);
