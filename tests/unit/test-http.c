/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/http.h"
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/ossl.h"

/* A TLS server that plays a script: for each connection that it accepts, how many requests to
 * answer before it closes, and with what. */
typedef struct Script {
        const char *answer;
        unsigned answers[4]; /* of the first, second, … connection; 0: reads one request, then
                                closes */
        unsigned n;
        bool silent; /* reads, and never answers */
} Script;

typedef struct Server {
        SSL_CTX *ctx;
        int listener;
        unsigned port;
        pthread_t thread;
        const Script *script;
        _Atomic unsigned requests, connections, with_certificate;
        char last[4096]; /* head of the last request, for after the thread has ended */
} Server;

static char folder[] = "/tmp/csign-http-XXXXXX";
static char ca_file[64], other_ca_file[64];
static EVP_PKEY *server_key, *client_key;
static X509 *server_cert, *client_cert;

static X509 *make_cert(EVP_PKEY *key, const char *name) {
        X509 *cert = X509_new();
        X509_EXTENSION *san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, name);

        assert_non_null(cert);
        assert_non_null(san);
        X509_set_version(cert, X509_VERSION_3);
        ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
        X509_gmtime_adj(X509_getm_notBefore(cert), -60);
        X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
        X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                   (const unsigned char *) name, -1, -1, 0);
        X509_set_issuer_name(cert, X509_get_subject_name(cert));
        X509_set_pubkey(cert, key);
        X509_add_ext(cert, san, -1);
        X509_EXTENSION_free(san);
        assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
        return cert;
}

static void write_cert(const char *path, X509 *cert) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        assert_int_equal(PEM_write_X509(f, cert), 1);
        fclose(f);
}

static int group_set_up(void **state) {
        signal(SIGPIPE, SIG_IGN);
        /* Were curl to believe them, nothing here would work. */
        setenv("https_proxy", "http://127.0.0.1:1/", 1);
        setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
        if (!mkdtemp(folder))
                return -1;
        server_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        client_key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
        server_cert = make_cert(server_key, "DNS:localhost");
        client_cert = make_cert(client_key, "DNS:client");
        snprintf(ca_file, sizeof(ca_file), "%s/ca.pem", folder);
        snprintf(other_ca_file, sizeof(other_ca_file), "%s/other.pem", folder);
        write_cert(ca_file, server_cert);
        write_cert(other_ca_file, client_cert);
        return 0;
}

static int group_tear_down(void **state) {
        unlink(ca_file);
        unlink(other_ca_file);
        X509_free(server_cert);
        X509_free(client_cert);
        EVP_PKEY_free(server_key);
        EVP_PKEY_free(client_key);
        return rmdir(folder);
}

/* ---- the server ---- */

/* One request, head and body.  false: the client has gone. */
static bool read_request(Server *s, SSL *ssl) {
        char text[sizeof(s->last)], *end, *length;
        size_t len = 0, body;
        int n;

        for (;;) {
                n = SSL_read(ssl, text + len, (int) (sizeof(text) - 1 - len));
                if (n <= 0)
                        return false;
                len += (size_t) n;
                text[len] = 0;
                end = strstr(text, "\r\n\r\n");
                if (!end)
                        continue;
                length = strcasestr(text, "\r\nContent-Length:");
                body = length ? strtoul(length + 17, NULL, 10) : 0;
                if (len >= (size_t) (end + 4 - text) + body)
                        break;
        }
        memcpy(s->last, text, len + 1);
        return true;
}

static int accept_any(int verified, X509_STORE_CTX *ctx) {
        return 1;
}

static void serve(Server *s, SSL *ssl, unsigned answers) {
        X509 *peer = SSL_get1_peer_certificate(ssl);

        if (peer && X509_cmp(peer, client_cert) == 0)
                s->with_certificate++;
        X509_free(peer);

        for (unsigned i = 0; read_request(s, ssl); i++) {
                s->requests++;
                if (s->script->silent)
                        continue;
                if (i >= answers)
                        return; /* close, with the request unanswered */
                SSL_write(ssl, s->script->answer, (int) strlen(s->script->answer));
        }
}

static void *server_main(void *arg) {
        Server *s = arg;
        int fd;

        while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
                unsigned i = s->connections++;
                SSL *ssl = SSL_new(s->ctx);

                SSL_set_fd(ssl, fd);
                if (SSL_accept(ssl) == 1) {
                        serve(s, ssl, i < s->script->n ? s->script->answers[i] : 1000);
                        SSL_shutdown(ssl);
                }
                SSL_free(ssl);
                close(fd);
        }
        return NULL;
}

static void server_start(Server *s, const Script *script) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        socklen_t len = sizeof(address);

        *s = (Server){ .script = script };
        s->ctx = SSL_CTX_new(TLS_server_method());
        SSL_CTX_use_certificate(s->ctx, server_cert);
        SSL_CTX_use_PrivateKey(s->ctx, server_key);
        SSL_CTX_set_verify(s->ctx, SSL_VERIFY_PEER, accept_any);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(s->listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(s->listener, 8), 0);
        assert_int_equal(getsockname(s->listener, (struct sockaddr *) &address, &len), 0);
        s->port = ntohs(address.sin_port);
        assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
}

/* Clients must be gone. */
static void server_stop(Server *s) {
        shutdown(s->listener, SHUT_RDWR);
        pthread_join(s->thread, NULL);
        close(s->listener);
        SSL_CTX_free(s->ctx);
}

static HttpClient *client_of(unsigned port, const char *ca) {
        HttpOptions o = { .ca_file = ca, .client_key = client_key, .client_cert = client_cert };
        HttpClient *c = NULL;
        char url[64];
        Error e = {};

        snprintf(url, sizeof(url), "https://localhost:%u", port);
        o.base_url = url;
        assert_int_equal(http_client_new(&c, &o, &e), 0);
        return c;
}

static const HttpRequest get = { .method = "GET", .path = "/v1/x" };
static const HttpRequest post = {
        .method = "POST",
        .path = "/v1/signatures",
        .bearer = "cst_secret",
        .content_type = "application/json",
        .body = "{}",
        .body_len = 2,
        .request_id = "req_a",
};

#define OK_ANSWER                                                                                  \
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"7\"\r\nRetry-After: 3\r\n"   \
        "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nContent-Length: 2\r\n\r\n{}"

/* ---- the tests ---- */

static void one_connection_carries_many_requests(void **state) {
        static const Script script = { .answer = OK_ANSWER };
        HttpClient *c;
        Server s;

        server_start(&s, &script);
        c = client_of(s.port, ca_file);
        for (int i = 0; i < 10; i++) {
                _cleanup_(http_response_done) HttpResponse r = {};
                Error e = {};

                assert_int_equal(http_exchange(c, i % 2 ? &post : &get, &r, &e), 0);
                assert_int_equal(r.status, 200);
                assert_string_equal(r.content_type, "application/json");
                assert_string_equal(r.etag, "\"7\"");
                assert_int_equal(http_retry_after(c), 3);
                assert_int_equal(r.date, 1700000000);
                assert_string_equal(buf_str(&r.body), "{}");
        }
        http_client_free(c);
        server_stop(&s);
        assert_int_equal(s.connections, 1);
        assert_int_equal(s.with_certificate, 1);
        assert_int_equal(s.requests, 10);
        assert_non_null(strstr(s.last, "POST /v1/signatures HTTP/1.1\r\n"));
        assert_non_null(strstr(s.last, "Authorization: Bearer cst_secret\r\n"));
        assert_non_null(strstr(s.last, "X-Request-Id: req_a\r\n"));
        assert_non_null(strstr(s.last, "Content-Type: application/json\r\n"));
        assert_null(strstr(s.last, "Expect:"));
        assert_non_null(strstr(s.last, "\r\n\r\n{}"));
}

/* The service may have acted on a request whose answer never came. */
static void only_a_get_is_sent_again(void **state) {
        static const Script script = { .answer = OK_ANSWER, .answers = { 1, 1, 0 }, .n = 3 };
        HttpResponse r = {};
        HttpClient *c;
        Error e = {};
        Server s;

        server_start(&s, &script);
        c = client_of(s.port, ca_file);
        assert_int_equal(http_exchange(c, &get, &r, &e),
                         0); /* the first connection's only answer */
        http_response_done(&r);
        assert_int_equal(http_exchange(c, &get, &r, &e),
                         0); /* closed unanswered, so again on the second */
        http_response_done(&r);
        assert_int_equal(s.requests, 3);
        assert_refused(http_exchange(c, &post, &r, &e), -CSIGN_E_SERVICE_UNAVAILABLE, &e);
        assert_non_null(strstr(e.detail, "not sent again"));
        http_client_free(c);
        server_stop(&s);
        assert_int_equal(s.requests, 4);
        assert_true(s.connections <= 3);
}

static void silence_ends_with_the_timeout(void **state) {
        static const Script script = { .silent = true };
        HttpRequest req = post;
        HttpResponse r = {};
        HttpClient *c;
        Error e = {};
        Server s;

        server_start(&s, &script);
        c = client_of(s.port, ca_file);
        req.timeout_usec = 300 * 1000;
        assert_refused(http_exchange(c, &req, &r, &e), -CSIGN_E_TIMEOUT, &e);
        http_client_free(c);
        server_stop(&s);
        assert_int_equal(s.requests, 1);
}

static void nobody_there_is_named(void **state) {
        static const Script script = { .answer = OK_ANSWER };
        HttpResponse r = {};
        HttpClient *c;
        Error e = {};
        Server s;
        char port[16];

        server_start(&s, &script);
        server_stop(&s);
        c = client_of(s.port, ca_file);
        assert_refused(http_exchange(c, &get, &r, &e), -CSIGN_E_SERVICE_UNAVAILABLE, &e);
        snprintf(port, sizeof(port), ":%u", s.port);
        assert_non_null(strstr(e.detail, port));
        http_client_free(c);
}

static void another_authority_is_not_believed(void **state) {
        static const Script script = { .answer = OK_ANSWER };
        static const char *const files[] = { other_ca_file, "/nonexistent/ca.pem" };
        Server s;

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                HttpResponse r = {};
                HttpClient *c;
                Error e = {};

                server_start(&s, &script);
                c = client_of(s.port, files[i]);
                assert_refused(http_exchange(c, &post, &r, &e), -CSIGN_E_SERVICE_UNAVAILABLE, &e);
                assert_non_null(strstr(e.detail, "certificate"));
                http_client_free(c);
                server_stop(&s);
                assert_int_equal(s.requests, 0);
        }
}

static void another_host_is_not_believed(void **state) {
        static const Script script = { .answer = OK_ANSWER };
        HttpOptions o = { .ca_file = ca_file };
        HttpResponse r = {};
        HttpClient *c = NULL;
        char url[64];
        Error e = {};
        Server s;

        server_start(&s, &script);
        snprintf(url, sizeof(url), "https://127.0.0.1:%u", s.port);
        o.base_url = url;
        assert_int_equal(http_client_new(&c, &o, &e), 0);
        assert_refused(http_exchange(c, &get, &r, &e), -CSIGN_E_SERVICE_UNAVAILABLE, &e);
        http_client_free(c);
        server_stop(&s);
        assert_int_equal(s.requests, 0);
}

static void answers_become_errors(void **state) {
        static const struct {
                const char *answer;
                int expect;
                const char *detail;
        } cases[] = {
                { "HTTP/1.1 403 No\r\nContent-Type: application/problem+json\r\nContent-Length: "
                  "92\r\n\r\n"
                  "{\"type\":\"urn:csign:error:KeyDisabled\",\"detail\":\"it is off\","
                  "\"rule\":\"key-state\",\"new\":true}   ",
                  -CSIGN_E_KEY_DISABLED, "it is off" },
                { "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", -CSIGN_E_BAD_ANSWER, "404" },
                { "HTTP/1.1 502 No\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
                  -CSIGN_E_SERVICE_UNAVAILABLE, "502" },
                { "HTTP/1.1 403 No\r\nContent-Type: application/problem+json\r\nContent-Length: "
                  "2\r\n\r\n{}",
                  -CSIGN_E_BAD_ANSWER, "403" },
                { "HTTP/1.1 302 Go\r\nLocation: https://localhost:1/\r\nContent-Length: 0\r\n\r\n",
                  -CSIGN_E_BAD_ANSWER, "302" },
                { "SSH-2.0-OpenSSH\r\n\r\n", -CSIGN_E_BAD_ANSWER, "" },
                { "HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", -CSIGN_E_TIMEOUT, "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const Script script = { .answer = cases[i].answer };
                HttpRequest req = get;
                HttpResponse r = {};
                HttpClient *c;
                Error e = {};
                Server s;
                int q;

                server_start(&s, &script);
                c = client_of(s.port, ca_file);
                req.timeout_usec = 500 * 1000;
                q = http_call(c, &req, &r, &e);
                if (q != cases[i].expect || !strstr(e.detail, cases[i].detail))
                        fail_msg("case %zu: %d %s", i, q, e.detail);
                assert_null(r.body.data);
                http_client_free(c);
                server_stop(&s);
                assert_int_equal(s.requests, 1);
        }
}

static void an_answer_has_a_limit(void **state) {
        char *answer = malloc(9 * 1024 * 1024 + 1);
        Script script = { .answer = answer };
        HttpResponse r = {};
        HttpClient *c;
        Error e = {};
        Server s;

        memset(answer, 'x', 9 * 1024 * 1024);
        answer[9 * 1024 * 1024] = 0;
        memcpy(answer, "HTTP/1.1 200 OK\r\n\r\n", 19);
        server_start(&s, &script);
        c = client_of(s.port, ca_file);
        assert_refused(http_exchange(c, &get, &r, &e), -CSIGN_E_BAD_ANSWER, &e);
        assert_non_null(strstr(e.detail, "too large"));
        http_client_free(c);
        server_stop(&s);
        free(answer);
}

static void base_urls_have_one_form(void **state) {
        static const char *const bad[] = {
                "http://localhost:1",
                "localhost:1",
                "https://",
                "https:///",
                "https://a/b",
                "https://a?b",
                "https://u:p@a",
                "https://a#b",
                "file:///etc/passwd",
                "https://a b",
                "",
        };
        static const char *const good[] = { "https://a", "https://a:1", "https://a/", "HTTPS://a",
                                            "https://[::1]:8443" };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                HttpOptions o = { .base_url = bad[i] };
                HttpClient *c = NULL;
                Error e = {};

                assert_refused(http_client_new(&c, &o, &e), -CSIGN_E_BAD_CONFIG, &e);
                assert_null(c);
        }
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                HttpOptions o = { .base_url = good[i] };
                HttpClient *c = NULL;

                assert_int_equal(http_client_new(&c, &o, NULL), 0);
                http_client_free(c);
        }
}

static void query_values_are_escaped(void **state) {
        _cleanup_(buf_done) Buf b = {};

        assert_int_equal(http_escape(&b, "acme/mobile rel-1._~&=%\xc3\xa4"), 0);
        assert_string_equal(buf_str(&b), "acme%2Fmobile%20rel-1._~%26%3D%25%C3%A4");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_connection_carries_many_requests),
                cmocka_unit_test(only_a_get_is_sent_again),
                cmocka_unit_test(silence_ends_with_the_timeout),
                cmocka_unit_test(nobody_there_is_named),
                cmocka_unit_test(another_authority_is_not_believed),
                cmocka_unit_test(another_host_is_not_believed),
                cmocka_unit_test(answers_become_errors),
                cmocka_unit_test(an_answer_has_a_limit),
                cmocka_unit_test(base_urls_have_one_form),
                cmocka_unit_test(query_values_are_escaped),
        };

        return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
