/* SPDX-License-Identifier: Apache-2.0 */

/* A sidecar for tests of the provider and the client alone: keys are PEM files in a folder,
 * `FOLDER/acme/ci/p256.pem` with its certificates in p256.crt.  It checks requests as strictly as
 * the real one and counts them: SIGUSR1 prints the counts.  Test hooks, as key names: "slow" never
 * answers, "drop" closes the connection, "garbage" answers nonsense; "lose" loses the first answer
 * to each Sign; "bare" signs as other services do: EC without DER, RSA without its first byte.
 *
 *     fake-sidecar SOCKET FOLDER [BUS-ADDRESS]      prints "ready", and then one line for each call
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "lib/id.h"
#include "lib/key-uri.h"
#include "lib/ossl.h"
#include "lib/sign.h"

#define NAME      "org.csign.Sidecar1"
#define OBJECT    "/org/csign/Sidecar1"
#define KEYS_MAX  64
#define CERTS_MAX 8

typedef struct FakeKey {
        char id[40], path[PATH_MAX_LEN];
        EVP_PKEY *pkey;
        Buf spki, certs[CERTS_MAX];
        size_t n_certs;
} FakeKey;

static const char *arg_folder;
static FakeKey keys[KEYS_MAX];
static size_t n_keys;

static int refuse(sd_bus_error *ret, const char *name, const char *text) {
        char full[128];

        snprintf(full, sizeof(full), "org.csign.Sidecar1.Error.%s", name);
        return sd_bus_error_set(ret, full, text);
}

static void load_certs(FakeKey *k, const char *file) {
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new_file(file, "r");
        X509 *x;

        while (bio && k->n_certs < CERTS_MAX && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
                uint8_t *der = NULL;
                int len = i2d_X509(x, &der);

                buf_append(&k->certs[k->n_certs++], der, (size_t) len);
                OPENSSL_free(der);
                X509_free(x);
        }
}

/* Read at first use, and again when there is no certificate yet. */
static FakeKey *find_key(const char *path) {
        _cleanup_(BIO_free_allp) BIO *bio = NULL;
        char file[4096];
        uint8_t *der = NULL;
        FakeKey *k;
        int len;

        for (k = keys; k < keys + n_keys; k++)
                if (strcmp(k->path, path) == 0)
                        break;
        if (k == keys + n_keys) {
                snprintf(file, sizeof(file), "%s/%s.pem", arg_folder, path);
                bio = BIO_new_file(file, "r");
                if (!bio || n_keys == KEYS_MAX)
                        return NULL;
                k->pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
                if (!k->pkey)
                        return NULL;
                len = i2d_PUBKEY(k->pkey, &der);
                buf_append(&k->spki, der, (size_t) len);
                OPENSSL_free(der);
                snprintf(k->path, sizeof(k->path), "%s", path);
                snprintf(k->id, sizeof(k->id), "key_%c%s", 'a' + (int) n_keys % 26,
                         "aaaaaaaaaaaaaaaaaaaaaaaaa");
                n_keys++;
        }
        if (k->n_certs == 0) {
                snprintf(file, sizeof(file), "%s/%s.crt", arg_folder, path);
                load_certs(k, file);
        }
        return k;
}

static int append_bytes(sd_bus_message *m, const char *name, const void *data, size_t len) {
        sd_bus_message_open_container(m, 'e', "sv");
        sd_bus_message_append(m, "s", name);
        sd_bus_message_open_container(m, 'v', "ay");
        sd_bus_message_append_array(m, 'y', data, len);
        sd_bus_message_close_container(m);
        return sd_bus_message_close_container(m);
}

static int append_key(sd_bus_message *m, const FakeKey *k, bool certs) {
        sd_bus_message_open_container(m, 'a', "{sv}");
        sd_bus_message_append(m, "{sv}", "id", "s", k->id);
        sd_bus_message_append(m, "{sv}", "path", "s", k->path);
        sd_bus_message_append(m, "{sv}", "version", "u", 1);
        sd_bus_message_append(m, "{sv}", "algorithm", "s", key_alg_of_pkey(k->pkey)->name);
        sd_bus_message_append(m, "{sv}", "state", "s", "enabled");
        append_bytes(m, "public-key", k->spki.data, k->spki.len);
        if (certs) {
                sd_bus_message_open_container(m, 'e', "sv");
                sd_bus_message_append(m, "s", "certificates");
                sd_bus_message_open_container(m, 'v', "aay");
                sd_bus_message_open_container(m, 'a', "ay");
                for (size_t i = 0; i < k->n_certs; i++)
                        sd_bus_message_append_array(m, 'y', k->certs[i].data, k->certs[i].len);
                sd_bus_message_close_container(m);
                sd_bus_message_close_container(m);
                sd_bus_message_close_container(m);
        }
        return sd_bus_message_close_container(m);
}

static int method_get_key(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path;
        char text[2048];
        uint32_t version;
        FakeKey *k;

        if (sd_bus_message_read(m, "su", &path, &version) < 0)
                return -EINVAL;
        printf("GetKey %s\n", path);

        if (strcmp(path, "slow") == 0)
                return 1;
        if (strcmp(path, "garbage") == 0)
                return sd_bus_reply_method_return(m, "s", "nonsense");
        if (strcmp(path, "drop") == 0) {
                sd_bus_close(sd_bus_message_get_bus(m));
                return 1;
        }
        k = path_is_valid(path) && version <= 1 ? find_key(path) : NULL;
        if (!k) {
                snprintf(text, sizeof(text),
                         "key '%s' not found (request req_aaaaaaaaaaaaaaaaaaaaaaaaaa)", path);
                return refuse(error, "KeyNotFound", text);
        }

        sd_bus_message_new_method_return(m, &reply);
        append_key(reply, k, true);
        return sd_bus_send(NULL, reply, NULL);
}

/* Two keys a page, of those that were asked for by name before. */
static int method_list_keys(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *prefix, *cursor;
        char next[32] = "";
        uint32_t limit;
        size_t i, n = 0;

        if (sd_bus_message_read(m, "ssu", &prefix, &cursor, &limit) < 0 || limit < 1 || limit > 200)
                return -EINVAL;
        printf("ListKeys %s\n", prefix);

        sd_bus_message_new_method_return(m, &reply);
        sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (i = (size_t) atoi(cursor); i < n_keys && n < 2; i++)
                if (strncmp(keys[i].path, prefix, strlen(prefix)) == 0) {
                        append_key(reply, &keys[i], false);
                        n++;
                }
        sd_bus_message_close_container(reply);
        if (i < n_keys)
                snprintf(next, sizeof(next), "%zu", i);
        sd_bus_message_append(reply, "s", next);
        return sd_bus_send(NULL, reply, NULL);
}

typedef struct Options {
        bool has_salt;
        uint32_t timeout_msec;
        SignRequest req;
        const uint8_t *spki_hash;
} Options;

static int read_options(sd_bus_message *m, Options *o) {
        if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
                return -EINVAL;
        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
                const char *name, *text;
                size_t len;

                if (sd_bus_message_read(m, "s", &name) < 0)
                        return -EINVAL;
                if (strcmp(name, "idempotency-key") == 0) {
                        if (sd_bus_message_read(m, "v", "s", &o->req.idempotency_key) < 0 ||
                            !id_is_valid(o->req.idempotency_key, "op"))
                                return -EINVAL;
                } else if (strcmp(name, "salt-length") == 0) {
                        if (sd_bus_message_read(m, "v", "u", &o->req.salt_len) < 0)
                                return -EINVAL;
                        o->has_salt = true;
                } else if (strcmp(name, "timeout") == 0) {
                        if (sd_bus_message_read(m, "v", "u", &o->timeout_msec) < 0 ||
                            o->timeout_msec == 0)
                                return -EINVAL;
                } else if (strcmp(name, "mgf1-hash") == 0) {
                        if (sd_bus_message_read(m, "v", "s", &text) < 0)
                                return -EINVAL;
                        o->req.mgf1_hash = hash_alg_by_name(text);
                } else if (strcmp(name, "public-key-sha256") == 0) {
                        if (sd_bus_message_enter_container(m, 'v', "ay") < 0 ||
                            sd_bus_message_read_array(m, 'y', (const void **) &o->spki_hash, &len) <
                                    0 ||
                            len != 32)
                                return -EINVAL;
                        sd_bus_message_exit_container(m);
                } else
                        return -EINVAL;
                sd_bus_message_exit_container(m);
        }
        return sd_bus_message_exit_container(m);
}

static FakeKey *key_by_id(const char *id) {
        for (size_t i = 0; i < n_keys; i++)
                if (strcmp(keys[i].id, id) == 0)
                        return &keys[i];
        return NULL;
}

static int sign(const FakeKey *k, const SignRequest *req, Buf *sig) {
        _cleanup_(EVP_PKEY_CTX_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(k->pkey, NULL);
        uint8_t out[SIGNATURE_MAX];
        size_t len = sizeof(out);

        if (EVP_PKEY_sign_init(ctx) <= 0 || sign_request_apply(req, ctx) < 0 ||
            EVP_PKEY_sign(ctx, out, &len, req->digest, req->digest_len) <= 0)
                return -EIO;
        return buf_append(sig, out, len);
}

static void make_bare(const FakeKey *k, Buf *sig) {
        const uint8_t *at = sig->data;
        uint8_t bare[64];
        ECDSA_SIG *s;

        if (!EVP_PKEY_is_a(k->pkey, "EC")) {
                memmove(sig->data, sig->data + 1, --sig->len);
                return;
        }

        s = d2i_ECDSA_SIG(NULL, &at, (long) sig->len);
        BN_bn2binpad(ECDSA_SIG_get0_r(s), bare, 32);
        BN_bn2binpad(ECDSA_SIG_get0_s(s), bare + 32, 32);
        ECDSA_SIG_free(s);
        buf_clear(sig);
        (void) buf_append(sig, bare, sizeof(bare));
}

/* Not the operation that was asked for last. */
static bool is_first(const char *operation) {
        static char last[ID_MAX];
        bool first = strcmp(operation, last) != 0;

        snprintf(last, sizeof(last), "%s", operation);
        return first;
}

static int method_sign(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(buf_done) Buf sig = {};
        const char *scheme, *hash;
        uint8_t spki_hash[32];
        char text[ERROR_TEXT_MAX];
        Options o = {};
        Error e = {};
        FakeKey *k;

        if (sd_bus_message_read(m, "suss", &o.req.key_id, &o.req.version, &scheme, &hash) < 0 ||
            sd_bus_message_read_array(m, 'y', (const void **) &o.req.digest, &o.req.digest_len) <
                    0 ||
            read_options(m, &o) < 0)
                return refuse(error, "BadRequest", "malformed");

        o.req.scheme = scheme_by_name(scheme);
        o.req.hash = hash_alg_by_name(hash);
        k = key_by_id(o.req.key_id);
        printf("Sign %s %s %s salt %u %zu bytes\n", k ? k->path : o.req.key_id, scheme, hash,
               o.req.salt_len, o.req.digest_len);
        if (!k || o.req.version != 1)
                return refuse(error, "KeyNotFound", "no such key");
        if (strstr(k->path, "denied"))
                return refuse(error, "LocalPolicy",
                              "this user may not use this key (rule local-policy:default, request "
                              "req_aaaaaaaaaaaaaaaaaaaaaaaaaa)");
        if (o.has_salt != (o.req.scheme == SCHEME_RSA_PSS))
                return refuse(error, "BadRequest", "salt-length");
        EVP_Digest(k->spki.data, k->spki.len, spki_hash, NULL, EVP_sha256(), NULL);
        if (o.spki_hash && memcmp(o.spki_hash, spki_hash, 32) != 0)
                return refuse(error, "KeyChanged", "the key has another public half");
        if (sign_request_check(&o.req, key_alg_of_pkey(k->pkey), &e) < 0)
                return refuse(error, error_info(e.code)->name, error_text(&e, text));
        if (sign(k, &o.req, &sig) < 0)
                return refuse(error, "Internal", "cannot sign");
        if (strstr(k->path, "bare"))
                make_bare(k, &sig);
        if (strstr(k->path, "lose") && is_first(o.req.idempotency_key)) {
                sd_bus_close(sd_bus_message_get_bus(m));
                return 1;
        }

        sd_bus_message_new_method_return(m, &reply);
        sd_bus_message_append_array(reply, 'y', sig.data, sig.len);
        sd_bus_message_append(reply, "a{sv}", 2, "request-id", "s",
                              "req_aaaaaaaaaaaaaaaaaaaaaaaaaa", "record", "t", (uint64_t) 7);
        return sd_bus_send(NULL, reply, NULL);
}

static int method_status(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        printf("Status\n");
        return sd_bus_reply_method_return(m, "a{ss}", 2, "version", "fake", "grant", "user");
}

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD("GetKey", "su", "a{sv}", method_get_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("ListKeys", "ssu", "aa{sv}s", method_list_keys, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Sign", "sussaya{sv}", "aya{sv}", method_sign, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD("Status", "", "a{ss}", method_status, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

static int peer_gone(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        sd_bus_close_unref(sd_bus_message_get_bus(m));
        return 1;
}

static int on_accept(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        sd_event *event = userdata;
        sd_id128_t id = {};
        sd_bus *bus = NULL;
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (peer < 0)
                return 0;
        printf("connected\n");
        if (sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, peer, peer) < 0 ||
            sd_bus_set_server(bus, 1, id) < 0 || sd_bus_start(bus) < 0 ||
            sd_bus_add_object_vtable(bus, NULL, OBJECT, NAME, vtable, NULL) < 0 ||
            sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus.Local", NULL,
                                      "org.freedesktop.DBus.Local", "Disconnected", peer_gone, NULL,
                                      NULL) < 0 ||
            sd_bus_attach_event(bus, event, 0) < 0)
                abort();
        return 0;
}

static int listen_at(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        (void) unlink(path);
        snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
        if (fd < 0 || bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || listen(fd, 128) < 0)
                return -errno;
        return fd;
}

static int join_bus(sd_event *event, const char *address) {
        sd_bus *bus = NULL;

        if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 ||
            sd_bus_set_bus_client(bus, 1) < 0 || sd_bus_start(bus) < 0 ||
            sd_bus_add_object_vtable(bus, NULL, OBJECT, NAME, vtable, NULL) < 0 ||
            sd_bus_request_name(bus, NAME, 0) < 0)
                return -EIO;
        return sd_bus_attach_event(bus, event, 0);
}

int main(int argc, char *argv[]) {
        sd_event *event = NULL;
        sigset_t mask;
        int fd;

        OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
        if (argc < 3)
                return 2;

        setvbuf(stdout, NULL, _IOLBF, 0);
        arg_folder = argv[2];
        sigemptyset(&mask);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, NULL);

        fd = listen_at(argv[1]);
        if (fd < 0 || sd_event_default(&event) < 0 ||
            sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL) < 0 ||
            sd_event_add_io(event, NULL, fd, EPOLLIN, on_accept, event) < 0)
                return 1;
        if (argc > 3 && join_bus(event, argv[3]) < 0)
                return 1;

        printf("ready\n");
        /* Peers are still connected: a sanitizer would count what they hold. */
        _exit(sd_event_loop(event) < 0 ? 1 : 0);
}
