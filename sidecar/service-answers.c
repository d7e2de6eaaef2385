/* SPDX-License-Identifier: Apache-2.0 */

#include "sidecar/service-answers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/http.h"
#include "lib/json.h"

#define SPKI_MAX 4096
#define CERT_MAX ((size_t) 16 * 1024)
#define LIST_MAX 200

/* A malformed answer is the service's fault, whatever code the parser of requests has for it. */
static int bad_answer(Error *e, const char *what, const Error *why) {
        return error_set(e, -CSIGN_E_BAD_ANSWER, "the service's %s: %s", what, why->detail);
}

/* ---- signatures ---- */

typedef struct SignAnswer {
        const char *request_id;
        bool repeated;
        Buf *signature;
        const json_t *record, *problem;
} SignAnswer;

static int field_signature(const json_t *v, const char *name, void *target, Error *e) {
        return json_field_base64(v, name, *(Buf **) target, e);
}

static const JsonField sign_fields[] = {
        { "request_id", json_field_string, offsetof(SignAnswer, request_id), JSON_ANY_MORE },
        { "signature", field_signature, offsetof(SignAnswer, signature), 0 },
        { "record", json_field_object, offsetof(SignAnswer, record), 0 },
        { "repeated", json_field_bool, offsetof(SignAnswer, repeated), 0 },
        { "problem", json_field_object, offsetof(SignAnswer, problem), 0 },
};

static const JsonField record_fields[] = {
        { "number", json_field_u64, 0, JSON_REQUIRED | JSON_ANY_MORE },
};

/* A signature that stands under another's request id is not this item's: but one that was made when
 * the operation was asked for first has that request's. */
static bool is_for(const SignAnswer *a, const SignItem *item) {
        return a->request_id && (strcmp(a->request_id, item->req->request_id) == 0 ||
                                 (a->repeated && id_is_valid(a->request_id, "req")));
}

static int parse_item(const json_t *v, SignItem *item, Error *why) {
        SignAnswer a = { .signature = &item->sig };
        int r;

        item->sig.max = SIGNATURE_MAX;
        r = json_read(v, sign_fields, ELEMENTSOF(sign_fields), &a, why);
        if (r < 0)
                return r;
        if (a.problem) {
                item->r = http_problem_error(a.problem, &item->e);
                return 0;
        }
        if (!is_for(&a, item))
                return error_set(why, -CSIGN_E_BAD_ANSWER, "not the answer to request %s",
                                 item->req->request_id);
        if (item->sig.len == 0 || !a.record)
                return error_set(why, -CSIGN_E_BAD_ANSWER, "no signature, or no record of it");
        snprintf(item->request_id, sizeof(item->request_id), "%s", a.request_id);
        return json_read(a.record, record_fields, ELEMENTSOF(record_fields), &item->record, why);
}

static int parse_results(const json_t *results, SignItem *const items[], size_t n, Error *why) {
        if (!json_is_array(results) || json_array_size(results) != n)
                return error_set(why, -CSIGN_E_BAD_ANSWER, "not as many results as requests");

        for (size_t i = 0; i < n; i++) {
                Error item_why = {};

                items[i]->r = 0;
                if (parse_item(json_array_get(results, i), items[i], &item_why) < 0) {
                        buf_clear(&items[i]->sig);
                        items[i]->r = bad_answer(&items[i]->e, "signature", &item_why);
                }
        }
        return 0;
}

int service_parse_signatures(const void *data, size_t len, SignItem *const items[], size_t n,
                             Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 ||
            parse_results(json_object_get(root, "results"), items, n, &why) < 0)
                return bad_answer(e, "signatures", &why);
        return 0;
}

int service_parse_signature(const void *data, size_t len, SignItem *item, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 || parse_item(root, item, &why) < 0)
                return bad_answer(e, "signature", &why);
        if (item->r < 0) {
                *e = item->e;
                return item->r;
        }
        return 0;
}

/* ---- keys ---- */

typedef struct KeyAnswer {
        const char *id, *path, *algorithm, *state, *version_state;
        uint32_t version;
        Buf spki;
        const json_t *certificates;
} KeyAnswer;

static const JsonField key_fields[] = {
        { "id", json_field_string, offsetof(KeyAnswer, id), JSON_REQUIRED | JSON_ANY_MORE },
        { "path", json_field_string, offsetof(KeyAnswer, path), JSON_REQUIRED },
        { "algorithm", json_field_string, offsetof(KeyAnswer, algorithm), JSON_REQUIRED },
        { "state", json_field_string, offsetof(KeyAnswer, state), JSON_REQUIRED },
        { "version", json_field_u32, offsetof(KeyAnswer, version), JSON_REQUIRED },
        { "version_state", json_field_string, offsetof(KeyAnswer, version_state), 0 },
        { "public_key", json_field_base64, offsetof(KeyAnswer, spki), JSON_REQUIRED },
        { "certificates", json_field_array, offsetof(KeyAnswer, certificates), 0 },
};

static int read_certificates(Key *k, const json_t *list, Error *e) {
        json_t *v;
        size_t i;
        int r;

        json_array_foreach((json_t *) list, i, v) {
                if (i >= KEY_CERTIFICATES_MAX)
                        return error_set(e, -CSIGN_E_BAD_ANSWER, "more than %d certificates",
                                         KEY_CERTIFICATES_MAX);
                k->certificates[i].max = CERT_MAX;
                k->n_certificates = i + 1;
                r = json_field_base64(v, "certificates", &k->certificates[i], e);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Who asks for a version wants to know whether that one signs. */
static const char *state_of(const KeyAnswer *a) {
        return a->version_state && strcmp(a->state, "enabled") == 0 ? a->version_state : a->state;
}

static int fill_key(Key *k, const KeyAnswer *a, Error *e) {
        k->alg = key_alg_by_name(a->algorithm);
        if (!k->alg)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "unknown algorithm '%.32s'", a->algorithm);
        if (!id_is_valid(a->id, "key") || !path_is_valid(a->path) ||
            strlen(a->path) >= sizeof(k->path) || strlen(state_of(a)) >= sizeof(k->state) ||
            a->version == 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "id, path, state or version is malformed");
        snprintf(k->id, sizeof(k->id), "%s", a->id);
        snprintf(k->path, sizeof(k->path), "%s", a->path);
        snprintf(k->state, sizeof(k->state), "%s", state_of(a));
        k->version = a->version;
        return 0;
}

static int read_key(const json_t *v, Key **ret, Error *e) {
        _cleanup_(key_unrefp) Key *k = key_new();
        KeyAnswer a = { .spki = BUF_MAX(SPKI_MAX) };
        int r;

        if (!k)
                return error_set(e, -ENOMEM, "out of memory");
        r = json_read(v, key_fields, ELEMENTSOF(key_fields), &a, e);
        k->spki = a.spki;
        if (r >= 0)
                r = fill_key(k, &a, e);
        if (r >= 0 && a.certificates)
                r = read_certificates(k, a.certificates, e);
        if (r < 0)
                return r;
        *ret = TAKE(k);
        return 0;
}

int service_parse_key(const void *data, size_t len, Key **ret, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 || read_key(root, ret, &why) < 0)
                return bad_answer(e, "key", &why);
        return 0;
}

void key_list_done(KeyList *l) {
        for (size_t i = 0; i < l->n; i++)
                key_unref(l->keys[i]);
        free(l->keys);
        *l = (KeyList){};
}

typedef struct ListAnswer {
        const json_t *keys;
        const char *next_cursor;
} ListAnswer;

static const JsonField list_fields[] = {
        { "keys", json_field_array, offsetof(ListAnswer, keys), JSON_REQUIRED | JSON_ANY_MORE },
        { "next_cursor", json_field_string, offsetof(ListAnswer, next_cursor), 0 },
};

static int read_list(const json_t *root, KeyList *l, Error *e) {
        ListAnswer a = { .next_cursor = "" };
        int r;

        r = json_read(root, list_fields, ELEMENTSOF(list_fields), &a, e);
        if (r < 0)
                return r;
        if (json_array_size(a.keys) > LIST_MAX || strlen(a.next_cursor) >= sizeof(l->next_cursor))
                return error_set(e, -CSIGN_E_BAD_ANSWER, "the list is too long");
        snprintf(l->next_cursor, sizeof(l->next_cursor), "%s", a.next_cursor);

        l->keys = calloc(json_array_size(a.keys) + 1, sizeof(Key *));
        if (!l->keys)
                return error_set(e, -ENOMEM, "out of memory");
        for (size_t i = 0; i < json_array_size(a.keys); i++) {
                r = read_key(json_array_get(a.keys, i), &l->keys[i], e);
                if (r < 0)
                        return r;
                l->n++;
        }
        return 0;
}

int service_parse_key_list(const void *data, size_t len, KeyList *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        _cleanup_(key_list_done) KeyList l = {};
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 || read_list(root, &l, &why) < 0)
                return bad_answer(e, "list of keys", &why);
        *ret = l;
        l = (KeyList){};
        return 0;
}

/* ---- who we are ---- */

typedef struct WhoAnswer {
        const json_t *principal, *tsg;
} WhoAnswer;

static const JsonField who_fields[] = {
        { "principal", json_field_object, offsetof(WhoAnswer, principal),
          JSON_REQUIRED | JSON_ANY_MORE },
        { "tsg", json_field_object, offsetof(WhoAnswer, tsg), JSON_REQUIRED },
};

static const JsonField name_field[] = {
        { "name", json_field_string, 0, JSON_REQUIRED | JSON_ANY_MORE },
};

static const JsonField path_field[] = {
        { "path", json_field_string, 0, JSON_REQUIRED | JSON_ANY_MORE },
};

int service_parse_who(const void *data, size_t len, WhoAmI *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const char *name = "", *path = "";
        WhoAnswer a = {};
        Error why = {};

        if (json_parse(data, len, &root, &why) < 0 ||
            json_read(root, who_fields, ELEMENTSOF(who_fields), &a, &why) < 0 ||
            json_read(a.principal, name_field, 1, &name, &why) < 0 ||
            json_read(a.tsg, path_field, 1, &path, &why) < 0)
                return bad_answer(e, "word on who we are", &why);
        snprintf(ret->name, sizeof(ret->name), "%s", name);
        snprintf(ret->scope, sizeof(ret->scope), "%s", path);
        return 0;
}

void service_parse_own_keys(const void *data, size_t len, WhoAmI *ret) {
        _cleanup_(json_decrefp) json_t *root = NULL;
        const json_t *key;
        Error ignored = {};
        size_t i;

        ret->key_expires[0] = 0;
        if (json_parse(data, len, &root, &ignored) < 0)
                return;
        json_array_foreach(json_object_get(root, "keys"), i, key) {
                const char *expires = json_string_value(json_object_get(key, "expires"));

                if (json_is_true(json_object_get(key, "current")) && expires &&
                    strlen(expires) < sizeof(ret->key_expires) &&
                    expires[strspn(expires, "0123456789-:.TZ")] == 0)
                        strcpy(ret->key_expires, expires);
        }
}
