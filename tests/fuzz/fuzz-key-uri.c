/* SPDX-License-Identifier: Apache-2.0 */

/* Key URIs: what is taken is normal, and writes and reads back as the same. */

#include "lib/key-uri.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *s = fuzz_string(data, size), text[KEY_URI_TEXT_MAX], path[PATH_MAX_LEN];
        KeyUri uri = {}, again = {};
        Error e = {};

        if (key_uri_parse(s, &uri, &e) == 0) {
                assert(uri.path[0] == '\0' || path_is_valid(uri.path));
                assert(key_uri_parse(key_uri_text(&uri, text), &again, &e) == 0);
                assert(strcmp(uri.path, again.path) == 0 && uri.version == again.version);
                assert(uri.type == again.type && uri.listing == again.listing);
        } else
                assert(e.detail[0]);
        (void) key_uri_parse_loose(s, &uri, &e);
        if (path_normalize(s, path, &e) == 0)
                assert(path_is_valid(path));
        free(s);
        return 0;
}
