/* SPDX-License-Identifier: Apache-2.0 */

/* Configuration files: administrators write them, mistakes must end in a sentence. */

#include "lib/config.h"
#include "tests/fuzz/fuzz.h"

typedef struct Settings {
        char *text, *path;
        uint64_t usec;
        unsigned count;
        bool flag;
} Settings;

static const ConfigItem items[] = {
        { "service", config_string, offsetof(Settings, text), CONFIG_REQUIRED },
        { "credential", config_path, offsetof(Settings, path), 0 },
        { "timeout", config_seconds, offsetof(Settings, usec), 0 },
        { "connections", config_unsigned, offsetof(Settings, count), 0 },
        { "quiet", config_bool, offsetof(Settings, flag), 0 },
};

static int count(const char *item, void *userdata, Error *e) {
        assert(item[0]);
        ++*(unsigned *) userdata;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = fuzz_string(data, size);
        ConfigFile *f = NULL;
        Settings s = {};
        unsigned n = 0;
        Error e = {};

        if (config_open_text(&f, "fuzz.conf", text, &e) == 0) {
                if (config_apply(f, NULL, items, ELEMENTSOF(items), &s, &e) < 0)
                        assert(e.detail[0]);
                (void) config_apply(f, "a", items, ELEMENTSOF(items), &s, &e);
                (void) config_finish(f, &e);
                (void) config_where(f, "a", "service");
        } else
                assert(e.detail[0] && !f);
        config_close(f);
        (void) config_each(text, count, &n, &e);
        free(s.text);
        free(s.path);
        free(text);
        return 0;
}
