/* SPDX-License-Identifier: Apache-2.0 */

/* JSON bodies from the network, read by a table with a field of every kind; what was read is
 * written and must be JSON again. */

#include "lib/json.h"
#include "tests/fuzz/fuzz.h"

typedef struct Body {
        const char *key;
        uint32_t version;
        uint64_t salt;
        bool force;
        Buf digest;
        const json_t *list, *object;
} Body;

static const JsonField fields[] = {
        { "key", json_field_string, offsetof(Body, key), JSON_REQUIRED },
        { "version", json_field_u32, offsetof(Body, version), 0 },
        { "salt", json_field_u64, offsetof(Body, salt), 0 },
        { "force", json_field_bool, offsetof(Body, force), 0 },
        { "digest", json_field_base64, offsetof(Body, digest), 0 },
        { "list", json_field_array, offsetof(Body, list), 0 },
        { "object", json_field_object, offsetof(Body, object), 0 },
};

static void write_and_read(const Body *b) {
        Buf out = BUF_MAX(8 * BUF_DEFAULT_MAX);
        JsonOut o = JSON_OUT(&out);
        json_t *root = NULL;
        Error e = {};

        json_begin_object(&o, NULL);
        json_out_str(&o, "key", b->key);
        json_out_u64(&o, "salt", b->salt);
        json_out_base64(&o, "digest", b->digest.data, b->digest.len);
        json_end_object(&o);
        assert(o.r == 0);
        assert(json_parse(out.data, out.len, &root, &e) == 0);
        assert(strcmp(json_string_value(json_object_get(root, "key")), b->key) == 0);
        json_decref(root);
        buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        json_t *root = NULL;
        Body b = {};
        Error e = {};

        if (json_parse(data, size, &root, &e) < 0) {
                assert(e.detail[0] && !root);
                return 0;
        }
        if (json_read(root, fields, ELEMENTSOF(fields), &b, &e) == 0)
                write_and_read(&b);
        else
                assert(e.detail[0]);
        buf_done(&b.digest);
        json_decref(root);
        return 0;
}
