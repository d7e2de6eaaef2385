/* SPDX-License-Identifier: Apache-2.0 */

/* One HttpClient is one curl handle that keeps one connection.  What does not change between
 * requests is told to curl once, in client_configure(). */

#include "lib/http.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "lib/json.h"

#define EXPECT_MIN           ((size_t) 256 * 1024)
#define ANSWER_MAX           ((size_t) 8 * 1024 * 1024)
#define HEADERS_MAX          ((size_t) 16 * 1024)
#define CONNECT_TIMEOUT_USEC ((uint64_t) 5 * 1000 * 1000)
#define TIMEOUT_USEC         ((uint64_t) 30 * 1000 * 1000)
#define IDLE_SECONDS         60L

struct HttpClient {
        CURL *curl;
        char *base_url;
        EVP_PKEY *key;
        X509 *cert;
        uint64_t connect_timeout_usec;

        Buf url;
        Buf header_text;            /* what `headers` was made from: it changes with the token */
        struct curl_slist *headers; /* kept from one request to the next */
        char reason[CURL_ERROR_SIZE];

        /* Of the exchange that runs. */
        HttpResponse *response;
        size_t header_bytes;
        unsigned attempts;
        bool send_once;
        bool too_large;
        char retry_after[80]; /* as it came */
        int64_t date;
        bool (*given_up)(void *data);
        void *given_up_data;
};

/* ---- curl, once a process ---- */

static CURLcode global_result;

static void global_init(void) {
        /* curl would load openssl.cnf, and so perhaps csign's own provider (I7). */
        (void) OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        global_result = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- callbacks ---- */

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        HttpClient *c = userdata;
        int r;

        r = buf_append(&c->response->body, data, size * n);
        if (r == -E2BIG)
                c->too_large = true;
        return r < 0 ? 0 : size * n;
}

/* The value of a header line "Name: value\r\n", or NULL if it has another name. */
static const char *header_value(const char *line, size_t len, const char *name, size_t *ret_len) {
        size_t n = strlen(name);
        const char *p;

        if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
                return NULL;
        for (p = line + n + 1, len -= n + 1; len > 0 && (*p == ' ' || *p == '\t'); len--)
                p++;
        while (len > 0 && strchr("\r\n \t", p[len - 1]))
                len--;
        *ret_len = len;
        return p;
}

static void copy_value(char *buf, size_t size, const char *value, size_t len) {
        if (len >= size)
                len = size - 1;
        memcpy(buf, value, len);
        buf[len] = 0;
}

static void take_header(HttpClient *c, const char *line, size_t len) {
        HttpResponse *r = c->response;
        char text[80];
        const char *v;
        size_t n;

        if ((v = header_value(line, len, "Content-Type", &n)))
                copy_value(r->content_type, sizeof(r->content_type), v, n);
        else if ((v = header_value(line, len, "ETag", &n)))
                copy_value(r->etag, sizeof(r->etag), v, n);
        else if ((v = header_value(line, len, "Retry-After", &n)))
                copy_value(c->retry_after, sizeof(c->retry_after), v, n);
        else if ((v = header_value(line, len, "Date", &n))) {
                copy_value(text, sizeof(text), v, n);
                r->date = curl_getdate(text, NULL);
                if (r->date < 0)
                        r->date = 0;
        }
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata) {
        HttpClient *c = userdata;
        size_t len = size * n;

        c->header_bytes += len;
        if (c->header_bytes > HEADERS_MAX) {
                c->too_large = true;
                return 0;
        }
        take_header(c, line, len);
        return len;
}

/* curl sends a request again by itself when a reused connection dies without an answer.  The
 * service may have acted on the first one, so for anything but GET that is the caller's decision.
 */
static int on_attempt(void *userdata, char *remote_ip, char *local_ip, int remote_port,
                      int local_port) {
        HttpClient *c = userdata;

        return c->attempts++ > 0 && c->send_once ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static int on_progress(void *userdata, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                       curl_off_t up) {
        HttpClient *c = userdata;

        return c->given_up && c->given_up(c->given_up_data);
}

/* The key may be one that has no file (made in memory, or in a TPM one day). */
static CURLcode on_ssl_ctx(CURL *curl, void *ssl_ctx, void *userdata) {
        HttpClient *c = userdata;

        if (c->key && (SSL_CTX_use_certificate(ssl_ctx, c->cert) != 1 ||
                       SSL_CTX_use_PrivateKey(ssl_ctx, c->key) != 1))
                return CURLE_SSL_CERTPROBLEM;
        return CURLE_OK;
}

/* ---- the client ---- */

#define SET(curl, option, value)                                                                   \
        do {                                                                                       \
                if (curl_easy_setopt(curl, option, value) != CURLE_OK)                             \
                        return -ENOMEM;                                                            \
        } while (0)

static int configure_proxy(HttpClient *c, const HttpOptions *o) {
        if (o->proxy || !o->proxy_of_environment)
                SET(c->curl, CURLOPT_PROXY, o->proxy ? o->proxy : "");
        if (o->proxy)
                SET(c->curl, CURLOPT_NOPROXY, "");
        SET(c->curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
        return 0;
}

static int configure_tls(HttpClient *c, const HttpOptions *o) {
        bool pin_alone = o->pins && !o->ca_file;

        SET(c->curl, CURLOPT_PROTOCOLS_STR, "https");
        SET(c->curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
        SET(c->curl, CURLOPT_SSL_VERIFYPEER, pin_alone ? 0L : 1L);
        SET(c->curl, CURLOPT_SSL_VERIFYHOST, pin_alone ? 0L : 2L);
        SET(c->curl, CURLOPT_PINNEDPUBLICKEY, o->pins);
        SET(c->curl, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* each handshake proves the client's key */
        SET(c->curl, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
        SET(c->curl, CURLOPT_SSL_CTX_DATA, c);
        if (!o->ca_file)
                return 0;

        SET(c->curl, CURLOPT_CAINFO, o->ca_file);
        SET(c->curl, CURLOPT_CAPATH, NULL); /* not the system's besides */
        return 0;
}

static int configure(HttpClient *c, const HttpOptions *o) {
        int r;

        SET(c->curl, CURLOPT_ERRORBUFFER, c->reason);
        SET(c->curl, CURLOPT_NOSIGNAL, 1L);
        SET(c->curl, CURLOPT_FOLLOWLOCATION, 0L);
        SET(c->curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        SET(c->curl, CURLOPT_TCP_NODELAY, 1L);
        SET(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
        SET(c->curl, CURLOPT_MAXCONNECTS, 1L);
        /* Long before a server closes it for being idle: a POST that meets that close would fail.
         */
        SET(c->curl, CURLOPT_MAXAGE_CONN, IDLE_SECONDS);
        SET(c->curl, CURLOPT_USERAGENT, o->user_agent ? o->user_agent : "csign/" CSIGN_VERSION);
        SET(c->curl, CURLOPT_WRITEFUNCTION, on_body);
        SET(c->curl, CURLOPT_WRITEDATA, c);
        SET(c->curl, CURLOPT_HEADERFUNCTION, on_header);
        SET(c->curl, CURLOPT_HEADERDATA, c);
        SET(c->curl, CURLOPT_PREREQFUNCTION, on_attempt);
        SET(c->curl, CURLOPT_PREREQDATA, c);
        SET(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        SET(c->curl, CURLOPT_XFERINFODATA, c);
        r = configure_proxy(c, o);
        return r < 0 ? r : configure_tls(c, o);
}

/* "https://host:port" with an optional '/' at the end, which is dropped. */
static int base_url_copy(const char *url, char **ret, Error *e) {
        size_t len = strlen(url);

        if (strncasecmp(url, "https://", 8) != 0)
                return error_set(e, -CSIGN_E_BAD_CONFIG, "'%s' is not an https:// address", url);
        while (len > 8 && url[len - 1] == '/')
                len--;
        if (len == 8 || memchr(url + 8, '/', len - 8) || strpbrk(url, " @?#\t\r\n"))
                return error_set(e, -CSIGN_E_BAD_CONFIG,
                                 "'%s' is not of the form https://host:port", url);

        *ret = strndup(url, len);
        return *ret ? 0 : -ENOMEM;
}

int http_client_new(HttpClient **ret, const HttpOptions *o, Error *e) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        _cleanup_(http_client_freep) HttpClient *c = NULL;
        int r;

        assert(ret && o && o->base_url);
        assert(!o->client_key == !o->client_cert);

        (void) pthread_once(&once, global_init);
        if (global_result != CURLE_OK)
                return error_set(e, -EIO, "libcurl: %s", curl_easy_strerror(global_result));

        c = calloc(1, sizeof(*c));
        if (!c)
                return error_set(e, -ENOMEM, "out of memory");

        c->connect_timeout_usec =
                o->connect_timeout_usec ? o->connect_timeout_usec : CONNECT_TIMEOUT_USEC;
        r = base_url_copy(o->base_url, &c->base_url, e);
        if (r < 0)
                return r;
        if (o->client_key) {
                (void) EVP_PKEY_up_ref(o->client_key);
                c->key = o->client_key;
                (void) X509_up_ref(o->client_cert);
                c->cert = o->client_cert;
        }

        c->curl = curl_easy_init();
        if (!c->curl || configure(c, o) < 0)
                return error_set(e, -ENOMEM, "libcurl cannot be set up");

        *ret = TAKE(c);
        return 0;
}

void http_client_free(HttpClient *c) {
        if (!c)
                return;
        curl_easy_cleanup(c->curl);
        curl_slist_free_all(c->headers);
        if (c->header_text.data)
                erase(c->header_text.data, c->header_text.cap); /* it has the token */
        buf_done(&c->header_text);
        buf_done(&c->url);
        EVP_PKEY_free(c->key);
        X509_free(c->cert);
        free(c->base_url);
        free(c);
}

void http_response_done(HttpResponse *r) {
        if (!r)
                return;
        buf_done(&r->body);
        *r = (HttpResponse){};
}

/* ---- one exchange ---- */

static int header_line(Buf *b, const char *name, const char *value) {
        return value ? buf_printf(b, "%s: %s\n", name, value) : 0;
}

static int header_text(const HttpRequest *req, Buf *b) {
        int r = 0;

        r = r < 0 ? r : header_line(b, "Accept", req->accept ? req->accept : "application/json");
        r = r < 0 ? r : header_line(b, "Content-Type", req->content_type);
        r = r < 0 ? r : header_line(b, "X-Request-Id", req->request_id);
        r = r < 0 ? r : header_line(b, "Idempotency-Key", req->idempotency_key);
        r = r < 0 ? r : header_line(b, "Csign-Caller", req->caller);
        if (req->patience_usec >
            0) /* in full seconds: the lines are kept while they stay the same */
                r = r < 0 ? r
                          : buf_printf(b, "Csign-Timeout: %" PRIu64 "\n",
                                       (req->patience_usec + 999999) / 1000000);
        if (req->bearer)
                r = r < 0 ? r : buf_printf(b, "Authorization: Bearer %s\n", req->bearer);
        /* A round trip to learn whether the body is wanted pays for a large one alone. */
        return r < 0 ? r
                     : buf_append_str(b, req->body_len > EXPECT_MIN ? "Expect: 100-continue\n"
                                                                    : "Expect:\n");
}

static int slist_of(char *text, struct curl_slist **ret) {
        struct curl_slist *list = NULL, *next;
        char *save = NULL;

        for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
                next = curl_slist_append(list, line);
                if (!next) {
                        curl_slist_free_all(list);
                        return -ENOMEM;
                }
                list = next;
        }
        *ret = list;
        return 0;
}

static int prepare_headers(HttpClient *c, const HttpRequest *req) {
        _cleanup_(buf_done) Buf text = BUF_MAX(HEADERS_MAX), lines = BUF_MAX(HEADERS_MAX);
        struct curl_slist *list;
        int r;

        r = header_text(req, &text);
        if (r < 0)
                return r;
        if (c->headers && strcmp(buf_str(&text), buf_str(&c->header_text)) == 0)
                return 0;

        r = buf_append(&lines, text.data, text.len);
        if (r < 0)
                return r;
        r = slist_of((char *) lines.data, &list);
        erase(lines.data, lines.cap);
        if (r < 0)
                return r;

        SET(c->curl, CURLOPT_HTTPHEADER, list);
        curl_slist_free_all(c->headers);
        c->headers = list;
        if (c->header_text.data)
                erase(c->header_text.data, c->header_text.cap);
        buf_done(&c->header_text);
        c->header_text = text;
        text = (Buf){};
        return 0;
}

static int prepare(HttpClient *c, const HttpRequest *req) {
        uint64_t timeout = req->timeout_usec ? req->timeout_usec : TIMEOUT_USEC;
        uint64_t connect =
                req->connect_timeout_usec ? req->connect_timeout_usec : c->connect_timeout_usec;
        bool get = strcmp(req->method, "GET") == 0;
        int r;

        buf_clear(&c->url);
        r = buf_printf(&c->url, "%s%s", c->base_url, req->path);
        if (r < 0)
                return r;
        r = prepare_headers(c, req);
        if (r < 0)
                return r;

        SET(c->curl, CURLOPT_URL, buf_str(&c->url));
        SET(c->curl, CURLOPT_TIMEOUT_MS, (long) (timeout / 1000 + 1));
        SET(c->curl, CURLOPT_CONNECTTIMEOUT_MS, (long) (connect / 1000));
        SET(c->curl, CURLOPT_NOPROGRESS, req->given_up ? 0L : 1L);
        if (get && !req->body) {
                SET(c->curl, CURLOPT_HTTPGET, 1L);
                SET(c->curl, CURLOPT_CUSTOMREQUEST, NULL);
                return 0;
        }
        SET(c->curl, CURLOPT_POST, 1L);
        SET(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) req->body_len);
        SET(c->curl, CURLOPT_POSTFIELDS, req->body ? (const char *) req->body : "");
        SET(c->curl, CURLOPT_CUSTOMREQUEST, strcmp(req->method, "POST") == 0 ? NULL : req->method);
        return 0;
}

static bool was_connected(const HttpClient *c) {
        curl_off_t handshake = 0;

        (void) curl_easy_getinfo(c->curl, CURLINFO_PRETRANSFER_TIME_T, &handshake);
        return handshake > 0;
}

static int exchange_failed(HttpClient *c, CURLcode code, Error *e) {
        const char *reason = *c->reason ? c->reason : curl_easy_strerror(code);

        if (c->too_large)
                return error_set(e, -CSIGN_E_BAD_ANSWER, "%s: the answer is too large",
                                 c->base_url);

        switch (code) {
        case CURLE_OUT_OF_MEMORY:
                return error_set(e, -ENOMEM, "out of memory");
        case CURLE_ABORTED_BY_CALLBACK:
                if (c->given_up && c->given_up(c->given_up_data))
                        return error_set(e, -ECANCELED, "nobody waits for the answer any more");
                return error_set(
                        e, -CSIGN_E_SERVICE_UNAVAILABLE,
                        "%s closed the connection before it answered; the request was not sent "
                        "again",
                        c->base_url);
        case CURLE_OPERATION_TIMEDOUT:
                if (was_connected(c))
                        return error_set(e, -CSIGN_E_TIMEOUT, "%s: %s", c->base_url, reason);
                break;
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_BAD_CONTENT_ENCODING:
                return error_set(e, -CSIGN_E_BAD_ANSWER, "%s: %s", c->base_url, reason);
        default:
                break;
        }
        return error_set(e, -CSIGN_E_SERVICE_UNAVAILABLE, "%s: %s", c->base_url, reason);
}

int http_exchange(HttpClient *c, const HttpRequest *req, HttpResponse *ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse response = { .body = BUF_MAX(ANSWER_MAX) };
        CURLcode code;
        long status = 0;
        int r;

        assert(c && req && req->method && req->path && ret);

        c->attempts = 0;
        r = prepare(c, req);
        if (r < 0)
                return error_set(e, r, "the request cannot be made");

        c->response = &response;
        c->header_bytes = 0;
        c->send_once = strcmp(req->method, "GET") != 0 && !req->repeatable;
        c->too_large = false;
        *c->reason = *c->retry_after = 0;
        c->date = 0;
        c->given_up = req->given_up;
        c->given_up_data = req->given_up_data;
        code = curl_easy_perform(c->curl);
        c->response = NULL;
        if (code != CURLE_OK)
                return exchange_failed(c, code, e);

        (void) curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        response.status = (int) status;
        c->date = response.date;
        *ret = response;
        response = (HttpResponse){};
        return 0;
}

bool http_was_sent(const HttpClient *c) {
        return c->attempts > 0;
}

uint64_t http_retry_after(const HttpClient *c) {
        time_t then;

        if (isdigit((unsigned char) *c->retry_after))
                return strtoull(c->retry_after, NULL, 10);
        then = *c->retry_after ? curl_getdate(c->retry_after, NULL) : -1;
        return then > c->date && c->date > 0 ? (uint64_t) (then - c->date) : 0;
}

/* ---- answers ---- */

typedef struct Problem {
        const char *type, *detail, *rule, *request_id;
} Problem;

static const JsonField problem_fields[] = {
        { "type", json_field_string, offsetof(Problem, type), JSON_REQUIRED | JSON_ANY_MORE },
        { "detail", json_field_string, offsetof(Problem, detail), 0 },
        { "rule", json_field_string, offsetof(Problem, rule), 0 },
        { "request_id", json_field_string, offsetof(Problem, request_id), 0 },
};

int http_problem_error(const json_t *problem, Error *e) {
        Problem p = {};
        int code;

        if (json_read(problem, problem_fields, ELEMENTSOF(problem_fields), &p, NULL) < 0 ||
            strncmp(p.type, ERROR_URN_PREFIX, strlen(ERROR_URN_PREFIX)) != 0)
                return error_set(e, -CSIGN_E_BAD_ANSWER,
                                 "the service's refusal cannot be understood");

        code = error_from_name(p.type);
        error_set_request_id(e, p.request_id);
        return error_set_rule(e, code, p.rule ? p.rule : "", "%s",
                              p.detail && *p.detail ? p.detail : error_info(code)->title);
}

int http_response_error(const HttpResponse *r, Error *e) {
        _cleanup_(json_decrefp) json_t *root = NULL;

        assert(r);

        if (r->status >= 200 && r->status < 300)
                return 0;
        if (strncasecmp(r->content_type, "application/problem+json", 24) == 0 ||
            strncasecmp(r->content_type, "application/json", 16) == 0) {
                if (json_parse(r->body.data, r->body.len, &root, NULL) >= 0 &&
                    json_object_get(root, "type"))
                        return http_problem_error(root, e);
        }
        if (r->status >= 500)
                return error_set(e, -CSIGN_E_SERVICE_UNAVAILABLE,
                                 "the service answered with status %d and no reason", r->status);
        return error_set(e, -CSIGN_E_BAD_ANSWER,
                         "status %d without a problem document: is this a csign service?",
                         r->status);
}

int http_call(HttpClient *c, const HttpRequest *req, HttpResponse *ret, Error *e) {
        _cleanup_(http_response_done) HttpResponse response = {};
        int r;

        r = http_exchange(c, req, &response, e);
        if (r < 0)
                return r;
        r = http_response_error(&response, e);
        if (r < 0)
                return r;
        *ret = response;
        response = (HttpResponse){};
        return 0;
}

int http_escape(Buf *b, const char *value) {
        static const char hex[] = "0123456789ABCDEF";
        int r;

        for (const unsigned char *p = (const unsigned char *) value; *p; p++) {
                if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || strchr("-._~", *p))
                        r = buf_append(b, p, 1);
                else
                        r = buf_append(b, (const char[]){ '%', hex[*p >> 4], hex[*p & 15] }, 3);
                if (r < 0)
                        return r;
        }
        return 0;
}
