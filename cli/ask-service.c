/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "cli/ask-service.h"
#include "cli/cli.h"
#include "cli/folders.h"
#include "lib/config.h"
#include "lib/file.h"
#include "lib/http.h"
#include "lib/id.h"
#include "lib/key-uri.h"

#define PAGES_MAX 100000

typedef struct Profile {
        char *service;
        char *ca;
        char *api_key_file;
} Profile;

struct Admin {
        HttpClient *http;
        Secret api_key;
};

static void profile_done(Profile *p) {
        free(p->service);
        free(p->ca);
        free(p->api_key_file);
}

/* The file is optional: who gives all by options needs none. */
static int profile_read(Profile *p, Error *e) {
        static const ConfigItem items[] = {
                { "service", config_string, offsetof(Profile, service) },
                { "ca", config_path, offsetof(Profile, ca) },
                { "api-key-file", config_path, offsetof(Profile, api_key_file) },
        };
        _cleanup_(config_closep) ConfigFile *file = NULL;
        char path[PATH_MAX];
        int r;

        r = folder_file(FOLDER_USER, "admin.conf", path, e);
        if (r < 0)
                return 0; /* no home, no profile */
        r = config_open(&file, path, FILE_TRUSTED, e);
        if (r == -ENOENT) {
                *e = (Error){};
                return 0;
        }
        if (r < 0)
                return r;
        r = config_apply(file, NULL, items, ELEMENTSOF(items), p, e);
        if (r < 0)
                return r;
        return config_finish(file, e);
}

/* Option before environment before file. */
static const char *first_of(const char *option, const char *variable, const char *from_file) {
        const char *value = getenv(variable);

        if (option)
                return option;
        return value && value[0] ? value : from_file;
}

static int read_api_key(const char *path, Secret *ret, Error *e) {
        int r;

        r = file_read_secret(path, 4096, ret, e);
        if (r < 0)
                return r;
        while (ret->len > 0 && strchr("\r\n \t", ret->data[ret->len - 1]))
                ret->data[--ret->len] = 0;
        if (ret->len == 0 ||
            strspn((const char *) ret->data,
                   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != ret->len)
                return error_set(e, -CSIGN_E_BAD_CREDENTIAL, "%s: holds no API key", path);
        return 0;
}

int admin_open(Admin **ret, Error *e) {
        _cleanup_(admin_closep) Admin *a = NULL;
        _cleanup_(profile_done) Profile p = {};
        const char *service, *ca, *api_key_file;
        int r;

        r = profile_read(&p, e);
        if (r < 0)
                return r;

        service = first_of(arg_service, "CSIGN_SERVICE", p.service);
        ca = first_of(arg_ca, "CSIGN_CA", p.ca);
        api_key_file = first_of(arg_api_key_file, "CSIGN_API_KEY_FILE", p.api_key_file);
        if (!service)
                return error_set(
                        e, -CSIGN_E_BAD_REQUEST,
                        "no service is named: give --service URL, set CSIGN_SERVICE, or write "
                        "admin.conf");
        if (!api_key_file)
                return error_set(
                        e, -CSIGN_E_NO_CREDENTIAL,
                        "no API key is named: give --api-key-file FILE, set CSIGN_API_KEY_FILE, "
                        "or write admin.conf");

        a = calloc(1, sizeof(*a));
        if (!a)
                return -ENOMEM;
        r = read_api_key(api_key_file, &a->api_key, e);
        if (r < 0)
                return r;
        r = http_client_new(&a->http,
                            &(HttpOptions){ .base_url = service,
                                            .ca_file = ca,
                                            .user_agent = "csign/" CSIGN_VERSION },
                            e);
        if (r < 0)
                return r;

        *ret = TAKE(a);
        return 0;
}

void admin_close(Admin *a) {
        if (!a)
                return;
        http_client_free(a->http);
        secret_done(&a->api_key);
        free(a);
}

/* What makes something has an idempotency key: so an answer that got lost can be asked for again.
 */
static int exchange(Admin *a, HttpRequest *req, HttpResponse *ret, Error *e) {
        char key[ID_MAX];
        int r;

        if (strcmp(req->method, "POST") == 0) {
                if (id_new_timed(key, "op") < 0)
                        return error_set(e, -EIO, "no random bytes");
                req->idempotency_key = key;
                req->repeatable = true;
        }
        r = http_call(a->http, req, ret, e);
        if (r != -CSIGN_E_SERVICE_UNAVAILABLE || !req->repeatable || !http_was_sent(a->http))
                return r;
        if (e)
                *e = (Error){};
        return http_call(a->http, req, ret, e);
}

int admin_call(Admin *a, const char *method, const char *path, const json_t *body, json_t **ret,
               Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        char *text = NULL;
        json_t *object = NULL;
        int r;

        if (body) {
                text = json_dumps(body, JSON_COMPACT);
                if (!text)
                        return -ENOMEM;
        }
        r = exchange(a,
                     &(HttpRequest){ .method = method,
                                     .path = path,
                                     .bearer = (const char *) a->api_key.data,
                                     .content_type = text ? "application/json" : NULL,
                                     .body = text,
                                     .body_len = text ? strlen(text) : 0 },
                     &answer, e);
        free(text);
        if (r < 0)
                return r;

        /* 204: done, and nothing to say. */
        if (answer.body.len == 0) {
                *ret = json_object();
                return *ret ? 0 : -ENOMEM;
        }
        r = json_parse(answer.body.data, answer.body.len, &object, e);
        if (r < 0 || !json_is_object(object)) {
                json_decref(object);
                return error_set(e, -CSIGN_E_BAD_ANSWER, "%s %s: the answer is no JSON object",
                                 method, path);
        }
        *ret = object;
        return 0;
}

int admin_fetch(Admin *a, const char *path, const char *accept, Buf *ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse answer = {};
        int r;

        r = exchange(a,
                     &(HttpRequest){ .method = "GET",
                                     .path = path,
                                     .bearer = (const char *) a->api_key.data,
                                     .accept = accept },
                     &answer, e);
        return r < 0 ? r : buf_append(ret, answer.body.data, answer.body.len);
}

static int page_path(const char *path, const char *cursor, Buf *ret) {
        int r;

        r = buf_printf(ret, "%s%slimit=200", path, strchr(path, '?') ? "&" : "?");
        if (r < 0 || !cursor[0])
                return r;
        r = buf_append_str(ret, "&cursor=");
        return r < 0 ? r : http_escape(ret, cursor);
}

int admin_list(Admin *a, const char *path, const char *array, json_t **ret, Error *e) {
        _cleanup_(json_decrefp) json_t *all = json_array();
        _cleanup_(buf_done) Buf cursor = {};
        int r;

        for (size_t page = 0; page < PAGES_MAX; page++) {
                _cleanup_(json_decrefp) json_t *answer = NULL;
                _cleanup_(buf_done) Buf url = {};
                const char *next;

                r = page_path(path, buf_str(&cursor), &url);
                if (r < 0)
                        return r;
                r = admin_call(a, "GET", buf_str(&url), NULL, &answer, e);
                if (r < 0)
                        return r;
                if (json_array_extend(all, json_object_get(answer, array)) < 0)
                        return error_set(e, -CSIGN_E_BAD_ANSWER,
                                         "GET %s: the answer has no list '%s'", path, array);

                next = json_string_value(json_object_get(answer, "next_cursor"));
                if (!next || !next[0]) {
                        *ret = TAKE(all);
                        return 0;
                }
                buf_clear(&cursor);
                r = buf_append_str(&cursor, next);
                if (r < 0)
                        return r;
        }
        return error_set(e, -CSIGN_E_BAD_ANSWER, "GET %s: the list does not end", path);
}

int admin_path(Buf *ret, const char *fmt, ...) {
        va_list ap;
        int r = 0;

        va_start(ap, fmt);
        while (*fmt && r >= 0) {
                size_t plain = strcspn(fmt, "%");

                r = buf_append(ret, fmt, plain);
                fmt += plain;
                if (r >= 0 && *fmt) {
                        r = http_escape(ret, va_arg(ap, const char *));
                        fmt += strlen("%s");
                }
        }
        va_end(ap);
        return r;
}

int admin_key(Admin *a, const char *name, json_t **ret, Error *e) {
        _cleanup_(buf_done) Buf path = {};
        char version[16];
        KeyUri uri;
        int r;

        if (id_is_valid(name, "key")) {
                r = admin_path(&path, "/v1/keys/%s", name);
        } else {
                r = key_uri_parse_loose(name, &uri, e);
                if (r < 0)
                        return r;
                (void) snprintf(version, sizeof(version), "%u", uri.version);
                r = admin_path(&path, "/v1/keys/resolve?path=%s&version=%s", uri.path, version);
        }
        return r < 0 ? r : admin_call(a, "GET", buf_str(&path), NULL, ret, e);
}

int admin_key_id(Admin *a, const char *name, Buf *ret, Error *e) {
        _cleanup_(json_decrefp) json_t *key = NULL;
        const char *id;
        int r;

        if (id_is_valid(name, "key"))
                return buf_append_str(ret, name);
        r = admin_key(a, name, &key, e);
        if (r < 0)
                return r;
        id = json_string_value(json_object_get(key, "id"));
        return id ? buf_append_str(ret, id)
                  : error_set(e, -CSIGN_E_BAD_ANSWER, "the service gave key '%s' without its id",
                              name);
}
