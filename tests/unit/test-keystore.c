/* SPDX-License-Identifier: Apache-2.0 */
/* The client against a key store in a process of its own, as in life, and against ones that
 * misbehave. */

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <openssl/x509.h>

#include "lib/log.h"
#include "lib/ossl.h"
#include "service/keystore/keystore.h"
#include "service/keystore/protocol.h"
#include "service/keystore/server.h"
#include "tests/unit/test.h"

#define KEY_ID   "key_aaaaaaaaaaaaaaaaaaaaaaaaaa"
#define OTHER_ID "key_baaaaaaaaaaaaaaaaaaaaaaaaa"

static const uint8_t digest[DIGEST_MAX] = { 4, 5, 6 };

/* -- the key store's process -- */

typedef struct Fixture {
        char dir[32], path[64];
        pid_t pid;
        uid_t peer_uid;
        Keystore *k;
} Fixture;

static Keyring *keyring(void) {
        static const uint8_t bytes[KEK_SIZE] = { 1 };
        Keyring *ret = NULL;
        Kek *kek = NULL;

        assert_int_equal(kek_from_bytes(&kek, bytes), 0);
        assert_int_equal(keyring_of(&ret, &kek, 1), 0);
        return ret;
}

static void child_serve(const Fixture *f, int ready, int stop) {
        ServerOptions o = { .socket_path = f->path, .peer_uid = f->peer_uid, .threads = 2 };
        Builtin *b = NULL;
        Server *s = NULL;
        Error e = {};

        log_open("test-keystore", LOG_ERROR - 1);
        if (builtin_new(&b, keyring(), 8) < 0 || server_new(&s, &o, b, &e) < 0 ||
            write(ready, "R", 1) != 1)
                _exit(1);
        close(ready);

        if (server_run(s, stop, &e) < 0)
                _exit(1);
        server_free(s);
        builtin_free(b);
        _exit(0);
}

static int stop_fd = -1; /* closed: the key store ends */

static void start(Fixture *f) {
        int ready[2], stop[2];
        char c;

        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(stop), 0);
        f->pid = fork();
        if (f->pid == 0) {
                close(ready[0]);
                close(stop[1]);
                child_serve(f, ready[1], stop[0]);
        }
        close(ready[1]);
        close(stop[0]);
        stop_fd = stop[1];
        assert_int_equal(read(ready[0], &c, 1), 1);
        close(ready[0]);
}

static int end(Fixture *f, int sig) {
        int status;

        if (sig)
                kill(f->pid, sig);
        close(stop_fd);
        stop_fd = -1;
        assert_int_equal(waitpid(f->pid, &status, 0), f->pid);
        f->pid = 0;
        return status;
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        Error e = {};

        strcpy(f->dir, "/tmp/test-keystore-XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
        f->peer_uid = geteuid();
        assert_int_equal(keystore_open(&f->k, f->path, &e), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        keystore_close(f->k);
        if (f->pid)
                end(f, SIGKILL);
        unlink(f->path);
        rmdir(f->dir);
        free(f);
        return 0;
}

/* -- keys and requests -- */

typedef struct Key {
        const KeyAlg *alg;
        Buf spki, sealed;
        EVP_PKEY *pkey;
} Key;

static void key_done(Key *k) {
        buf_done(&k->spki);
        buf_done(&k->sealed);
        EVP_PKEY_free(k->pkey);
}

static void generate(Fixture *f, Key *ret, const char *alg, KeyUsage usage) {
        const unsigned char *p;
        Error e = {};

        ret->alg = key_alg_by_name(alg);
        assert_int_equal(keystore_generate(f->k, KEY_ID, 1, ret->alg, ret->alg->schemes, usage,
                                           &ret->spki, &ret->sealed, &e),
                         0);
        p = ret->spki.data;
        ret->pkey = d2i_PUBKEY(NULL, &p, (long) ret->spki.len);
        assert_non_null(ret->pkey);
        assert_ptr_equal(key_alg_of_pkey(ret->pkey), ret->alg);
}

static SignRequest request(Scheme scheme, const char *hash) {
        const HashAlg *h = scheme_hash_by_name(scheme, hash);

        return (SignRequest){
                .key_id = KEY_ID,
                .version = 1,
                .scheme = scheme,
                .hash = h,
                .salt_len = scheme == SCHEME_RSA_PSS ? (uint32_t) h->size : 0,
                .digest = digest,
                .digest_len = h == &hash_none ? sizeof(digest) : h->size,
        };
}

/* What this libcrypto lacks is refused, by name. */
static bool library_has(Fixture *f, const KeyAlg *alg) {
        Buf spki = {}, sealed = {};
        Error e = {};
        int r;

        if (sign_check_library(alg, NULL, &e) == 0)
                return true;
        r = keystore_generate(f->k, KEY_ID, 1, alg, alg->schemes, KEY_USAGE_SIGN, &spki, &sealed,
                              &e);
        assert_int_equal(r, -CSIGN_E_UNSUPPORTED_SCHEME);
        assert_non_null(strstr(e.detail, "ML-DSA needs OpenSSL 3.5 or newer"));
        assert_string_equal(e.rule, "library");
        return false;
}

static KeystoreSign call_for(const SignRequest *req, const Key *key, Buf *sig) {
        return (KeystoreSign){
                .req = req,
                .usage = KEY_USAGE_SIGN,
                .sealed = key->sealed.data,
                .sealed_len = key->sealed.len,
                .sig = sig,
        };
}

/* -- what works -- */

static void signs(Fixture *f, const Key *key, Scheme scheme, const HashAlg *hash) {
        SignRequest req = request(scheme, hash->name);
        _cleanup_(buf_done) Buf sig = {};
        KeystoreSign s = call_for(&req, key, &sig);
        Error e = {};

        assert_int_equal(keystore_sign(f->k, &s), 0);
        assert_int_equal(sign_request_verify(&req, key->pkey, sig.data, sig.len, &e), 0);
}

static void signs_with_each_hash(Fixture *f, const Key *key, Scheme scheme) {
        if (scheme_own_hash(scheme)) {
                signs(f, key, scheme, scheme_own_hash(scheme));
                return;
        }
        for (size_t h = 0; hash_alg_at(h); h++)
                signs(f, key, scheme, hash_alg_at(h));
}

static void every_algorithm_and_scheme_signs(void **state) {
        Fixture *f = *state;

        start(f);
        for (size_t i = 0; key_alg_at(i); i++) {
                _cleanup_(key_done) Key key = {};

                if (!library_has(f, key_alg_at(i)))
                        continue;
                generate(f, &key, key_alg_at(i)->name, KEY_USAGE_SIGN);
                for (Scheme s = SCHEME_RSA_PKCS1; s < SCHEME_END_; s++)
                        if (key.alg->schemes & SCHEME_BIT(s))
                                signs_with_each_hash(f, &key, s);
        }
}

/* Only the first signature pays for opening, and each thread's first for a context (G9). */
static void steady_state_opens_and_sets_up_nothing(void **state) {
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};
        _cleanup_(buf_done) Buf sig = {};
        SignRequest req = request(SCHEME_ECDSA, "SHA256");
        KeystoreStatus before = {}, after = {};
        Error e = {};

        start(f);
        generate(f, &key, "P-256", KEY_USAGE_SIGN);
        assert_int_equal(keystore_status(f->k, &before, &e), 0);
        assert_string_equal(before.version, CSIGN_VERSION);

        for (size_t i = 0; i < 200; i++) {
                KeystoreSign s = call_for(&req, &key, &sig);

                assert_int_equal(keystore_sign(f->k, &s), 0);
        }
        assert_int_equal(keystore_status(f->k, &after, &e), 0);
        assert_int_equal(after.signatures - before.signatures, 200);
        assert_int_equal(after.keys_opened - before.keys_opened, 1);
        assert_in_range(after.contexts_made - before.contexts_made, 1, 2);
}

static void messages_of_any_size_are_signed_whole(void **state) {
        static const size_t sizes[] = { 0, 1, 65536, 3 * 1024 * 1024 + 1 };
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};
        KeystoreStatus before = {}, after = {};
        Error e = {};

        start(f);
        generate(f, &key, "Ed25519", KEY_USAGE_SIGN);
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                SignRequest req = request(SCHEME_ED25519, "none");
                _cleanup_(buf_done) Buf sig = {};
                KeystoreSign s = call_for(&req, &key, &sig);
                uint8_t *message = calloc(1, sizes[i] + 1);

                req.digest = message;
                req.digest_len = sizes[i];
                assert_int_equal(keystore_sign(f->k, &s), 0);
                assert_int_equal(sig.len, 64);
                assert_int_equal(sign_request_verify(&req, key.pkey, sig.data, sig.len, &e), 0);
                free(message);
        }

        assert_int_equal(keystore_status(f->k, &before, &e), 0);
        for (size_t i = 0; i < 100; i++)
                signs(f, &key, SCHEME_ED25519, &hash_none);
        assert_int_equal(keystore_status(f->k, &after, &e), 0);
        assert_int_equal(after.keys_opened, before.keys_opened);
        assert_in_range(after.contexts_made - before.contexts_made, 0, 1);
}

static void one_of_many_may_fail(void **state) {
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};
        SignRequest good = request(SCHEME_ECDSA, "SHA256"), bad = good;
        KeystoreSign calls[100];
        Buf sigs[ELEMENTSOF(calls)] = {};

        start(f);
        generate(f, &key, "P-256", KEY_USAGE_SIGN);
        bad.version = 2;
        for (size_t i = 0; i < ELEMENTSOF(calls); i++)
                calls[i] = call_for(i % 10 == 3 ? &bad : &good, &key, &sigs[i]);

        keystore_sign_many(f->k, calls, ELEMENTSOF(calls));
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                Error e = {};

                if (i % 10 == 3) {
                        assert_refused(calls[i].r, -CSIGN_E_KEY_CORRUPT, &calls[i].e);
                        assert_null(sigs[i].data);
                } else {
                        assert_int_equal(calls[i].r, 0);
                        assert_int_equal(
                                sign_request_verify(&good, key.pkey, sigs[i].data, sigs[i].len, &e),
                                0);
                }
                buf_done(&sigs[i]);
        }
}

/* -- what is refused -- */

/* Each way a request can fail: what it is called, and that nothing leaks into the output. */
static void failures_are_named(void **state) {
        static const struct {
                const char *key_id;
                uint32_t version;
                KeyUsage usage;
                Scheme scheme;
                const char *hash;
                int digest_off, sealed_off;
                int expect;
        } cases[] = {
                { OTHER_ID, 1, 1, SCHEME_RSA_PSS, "SHA256", 0, 0, -CSIGN_E_KEY_CORRUPT },
                { KEY_ID, 2, 1, SCHEME_RSA_PSS, "SHA256", 0, 0, -CSIGN_E_KEY_CORRUPT },
                { KEY_ID, 1, 1, SCHEME_RSA_PSS, "SHA256", 0, -1, -CSIGN_E_KEY_CORRUPT },
                { KEY_ID, 1, 2, SCHEME_RSA_PSS, "SHA256", 0, 0, -CSIGN_E_NOT_PERMITTED },
                { KEY_ID, 1, 1, SCHEME_RSA_PKCS1, "SHA256", 0, 0, -CSIGN_E_UNSUPPORTED_SCHEME },
                { KEY_ID, 1, 1, SCHEME_ECDSA, "SHA256", 0, 0, -CSIGN_E_UNSUPPORTED_SCHEME },
                { KEY_ID, 1, 1, SCHEME_RSA_PSS, "SHA256", -1, 0, -CSIGN_E_BAD_DIGEST },
                { KEY_ID, 1, 1, SCHEME_RSA_PSS, "SHA384", -16, 0, -CSIGN_E_BAD_DIGEST },
                { KEY_ID, 0, 1, SCHEME_RSA_PSS, "SHA256", 0, 0, -CSIGN_E_BAD_REQUEST },
                { KEY_ID, 1, 3, SCHEME_RSA_PSS, "SHA256", 0, 0, -CSIGN_E_BAD_REQUEST },
                { "../key", 1, 1, SCHEME_RSA_PSS, "SHA256", 0, 0, -CSIGN_E_BAD_REQUEST },
        };
        Fixture *f = *state;
        const KeyAlg *alg = key_alg_by_name("RSA-2048");
        _cleanup_(key_done) Key key = {};
        Error e = {};

        start(f);
        assert_int_equal(keystore_generate(f->k, KEY_ID, 1, alg, SCHEME_BIT(SCHEME_RSA_PSS),
                                           KEY_USAGE_SIGN, &key.spki, &key.sealed, &e),
                         0);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SignRequest req = request(cases[i].scheme, cases[i].hash);
                _cleanup_(buf_done) Buf sig = {};
                KeystoreSign s = call_for(&req, &key, &sig);

                req.key_id = cases[i].key_id;
                req.version = cases[i].version;
                req.digest_len = (size_t) ((int) req.digest_len + cases[i].digest_off);
                s.sealed_len = (size_t) ((int) s.sealed_len + cases[i].sealed_off);
                s.usage = cases[i].usage;
                assert_int_equal(keystore_sign(f->k, &s), cases[i].expect);
                assert_refused(s.r, cases[i].expect, &s.e);
                assert_null(sig.data);
        }
}

static void a_cached_key_is_no_way_round_its_bounds(void **state) {
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};
        _cleanup_(buf_done) Buf sig = {};
        SignRequest req = request(SCHEME_ECDSA, "SHA256");
        KeystoreSign s;

        start(f);
        generate(f, &key, "P-256", KEY_USAGE_CA);
        s = call_for(&req, &key, &sig);
        s.usage = KEY_USAGE_CA;
        assert_int_equal(keystore_sign(f->k, &s), 0);

        s.usage = KEY_USAGE_SIGN;
        assert_int_equal(keystore_sign(f->k, &s), -CSIGN_E_NOT_PERMITTED);
        assert_string_equal(s.e.rule, "key-usage");

        s.usage = KEY_USAGE_CA;
        key.sealed.data[key.sealed.len - 1] ^= 1;
        assert_int_equal(keystore_sign(f->k, &s), -CSIGN_E_KEY_CORRUPT);
}

static void keys_that_cannot_be_are_not_made(void **state) {
        Fixture *f = *state;
        const KeyAlg *ec = key_alg_by_name("P-256");
        static const struct {
                const char *id;
                uint32_t version;
                unsigned schemes, usage;
                int expect;
        } cases[] = {
                { "release", 1, SCHEME_BIT(SCHEME_ECDSA), 1, -CSIGN_E_BAD_REQUEST },
                { KEY_ID KEY_ID, 1, SCHEME_BIT(SCHEME_ECDSA), 1, -CSIGN_E_BAD_REQUEST },
                { KEY_ID, 0, SCHEME_BIT(SCHEME_ECDSA), 1, -CSIGN_E_BAD_REQUEST },
                { KEY_ID, 1, SCHEME_BIT(SCHEME_ECDSA), 3, -CSIGN_E_BAD_REQUEST },
                { KEY_ID, 1, SCHEME_BIT(SCHEME_ECDSA), 0, -CSIGN_E_BAD_REQUEST },
                { KEY_ID, 1, 0, 1, -CSIGN_E_UNSUPPORTED_SCHEME },
                { KEY_ID, 1, SCHEME_BIT(SCHEME_RSA_PSS), 1, -CSIGN_E_UNSUPPORTED_SCHEME },
        };

        start(f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Buf spki = {}, sealed = {};
                Error e = {};
                int r;

                r = keystore_generate(f->k, cases[i].id, cases[i].version, ec, cases[i].schemes,
                                      cases[i].usage, &spki, &sealed, &e);
                assert_refused(r, cases[i].expect, &e);
                assert_null(spki.data);
                assert_null(sealed.data);
        }
}

/* -- when the key store is not there -- */

static void without_a_keystore_a_call_says_so(void **state) {
        Fixture *f = *state;
        SignRequest req = request(SCHEME_ECDSA, "SHA256");
        _cleanup_(buf_done) Buf sig = {};
        Key none = {};
        KeystoreSign s = call_for(&req, &none, &sig);
        KeystoreStatus status = {};
        Error e = {};

        assert_int_equal(keystore_sign(f->k, &s), -CSIGN_E_KEYSTORE_UNAVAILABLE);
        assert_refused(s.r, -CSIGN_E_KEYSTORE_UNAVAILABLE, &s.e);
        assert_non_null(strstr(s.e.detail, f->path));
        assert_refused(keystore_status(f->k, &status, &e), -CSIGN_E_KEYSTORE_UNAVAILABLE, &e);
}

static void another_uid_is_not_let_in(void **state) {
        Fixture *f = *state;
        KeystoreStatus status = {};
        Error e = {};

        f->peer_uid = geteuid() + 1;
        start(f);
        assert_refused(keystore_status(f->k, &status, &e), -CSIGN_E_KEYSTORE_UNAVAILABLE, &e);
}

static void an_idle_client_does_not_notice_a_restart(void **state) {
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};
        _cleanup_(buf_done) Buf sig = {};
        SignRequest req = request(SCHEME_ECDSA, "SHA256");
        KeystoreSign s;

        start(f);
        generate(f, &key, "P-256", KEY_USAGE_SIGN);
        s = call_for(&req, &key, &sig);
        for (int i = 0; i < 3; i++) {
                int status = end(f, i == 1 ? SIGKILL : 0);

                assert_true(i == 1 ? WIFSIGNALED(status) : status == 0);
                assert_int_equal(keystore_sign(f->k, &s), -CSIGN_E_KEYSTORE_UNAVAILABLE);
                start(f);
                assert_int_equal(keystore_sign(f->k, &s), 0);
        }
        end(f, SIGKILL);
        start(f); /* on the socket that the dead one left */
        assert_int_equal(keystore_sign(f->k, &s), 0);
}

static void a_second_keystore_does_not_take_the_socket(void **state) {
        Fixture *f = *state;
        ServerOptions o = { .socket_path = f->path, .threads = 1 };
        KeystoreStatus status = {};
        Server *s = NULL;
        Error e = {};

        start(f);
        assert_refused(server_new(&s, &o, NULL, &e), -EADDRINUSE, &e);
        assert_int_equal(keystore_status(f->k, &status, &e), 0);
}

/* -- many threads -- */

typedef struct Caller {
        Fixture *f;
        const Key *key;
        pthread_t thread;
        unsigned good, unavailable, other;
        bool until_failure;
        unsigned *started;
} Caller;

static void *caller_main(void *arg) {
        Caller *c = arg;
        SignRequest req = request(SCHEME_ECDSA, "SHA256");

        for (unsigned i = 0; i < 300 || c->until_failure; i++) {
                Buf sigs[3] = {};
                KeystoreSign calls[3];
                size_t n = 1 + i % 3;

                for (size_t j = 0; j < n; j++)
                        calls[j] = call_for(&req, c->key, &sigs[j]);
                keystore_sign_many(c->f->k, calls, n);
                for (size_t j = 0; j < n; j++) {
                        Error e = {};

                        if (calls[j].r == 0 && sign_request_verify(&req, c->key->pkey, sigs[j].data,
                                                                   sigs[j].len, &e) == 0)
                                c->good++;
                        else if (calls[j].r == -CSIGN_E_KEYSTORE_UNAVAILABLE && !sigs[j].data)
                                c->unavailable++;
                        else
                                c->other++;
                        buf_done(&sigs[j]);
                }
                if (i == 0)
                        __atomic_add_fetch(c->started, 1, __ATOMIC_SEQ_CST);
                if (c->unavailable)
                        break;
        }
        return NULL;
}

static void run_callers(Fixture *f, const Key *key, bool kill_it) {
        unsigned started = 0;
        Caller callers[16];

        for (size_t i = 0; i < ELEMENTSOF(callers); i++) {
                callers[i] = (Caller){
                        .f = f, .key = key, .until_failure = kill_it, .started = &started
                };
                assert_int_equal(pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]),
                                 0);
        }

        if (kill_it) {
                while (__atomic_load_n(&started, __ATOMIC_SEQ_CST) < ELEMENTSOF(callers))
                        sched_yield();
                end(f, SIGKILL);
        }

        for (size_t i = 0; i < ELEMENTSOF(callers); i++) {
                pthread_join(callers[i].thread, NULL);
                assert_int_equal(callers[i].other, 0);
                if (kill_it)
                        assert_int_not_equal(callers[i].unavailable, 0);
                else
                        assert_int_equal(callers[i].good, 600);
        }
}

static void sixteen_threads_share_one_connection(void **state) {
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};

        start(f);
        generate(f, &key, "P-256", KEY_USAGE_SIGN);
        run_callers(f, &key, false);
}

static void all_that_wait_learn_that_it_died(void **state) {
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};
        KeystoreStatus status = {};
        Error e = {};

        start(f);
        generate(f, &key, "P-256", KEY_USAGE_SIGN);
        run_callers(f, &key, true);
        start(f);
        assert_int_equal(keystore_status(f->k, &status, &e), 0);
        run_callers(f, &key, false);
}

/* A key store that ends on request answers what it has received. */
static void what_was_received_is_answered_before_the_end(void **state) {
        Fixture *f = *state;
        _cleanup_(key_done) Key key = {};
        _cleanup_(buf_done) Buf b = {};
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Request req = { .op = OP_SIGN, .key_id = KEY_ID, .version = 1, .usage = KEY_USAGE_SIGN };
        uint8_t packet[2048];
        unsigned answered = 0;
        int fd;

        start(f);
        generate(f, &key, "P-256", KEY_USAGE_SIGN);
        req.sign = request(SCHEME_ECDSA, "SHA256");
        req.sealed = key.sealed.data;
        req.sealed_len = key.sealed.len;
        assert_int_equal(request_encode(&req, &b), 0);

        fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        strcpy(address.sun_path, f->path);
        assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(send(fd, b.data, b.len, 0), b.len); /* once answered, it is accepted */
        assert_true(recv(fd, packet, sizeof(packet), 0) > 0);
        for (int i = 0; i < 100; i++)
                assert_int_equal(send(fd, b.data, b.len, 0), b.len);

        assert_int_equal(end(f, 0), 0);
        while (recv(fd, packet, sizeof(packet), 0) > 0)
                answered++;
        assert_int_equal(answered, 100);
        close(fd);
}

/* -- raw packets to the real one -- */

static int raw_connect(const Fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct timeval timeout = { .tv_sec = 10 };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

        strcpy(address.sun_path, f->path);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        assert_int_equal(connect(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

static void odd_packets_are_answered_or_end_it(void **state) {
        static uint8_t large[PACKET_MAX + 1000] = { 1, OP_SIGN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5 };
        static const uint8_t hello[] = { 1, OP_HELLO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6 };
        static const uint8_t newer[] = { 2, OP_HELLO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7 };
        Fixture *f = *state;
        uint8_t packet[2048];
        Reply reply;
        ssize_t n;
        int fd;

        start(f);
        fd = raw_connect(f);
        assert_int_equal(send(fd, large, sizeof(large), 0), sizeof(large));
        n = recv(fd, packet, sizeof(packet), 0);
        assert_int_equal(reply_decode(packet, (size_t) n, &reply), 0);
        assert_int_equal(reply.r, -CSIGN_E_TOO_LARGE);
        assert_int_equal(reply.call, 5);

        assert_int_equal(send(fd, newer, sizeof(newer), 0), sizeof(newer));
        n = recv(fd, packet, sizeof(packet), 0);
        assert_int_equal(reply_decode(packet, (size_t) n, &reply), 0);
        assert_int_equal(reply.r, -CSIGN_E_BAD_REQUEST);
        assert_int_equal(reply.call, 7);

        assert_int_equal(send(fd, hello, sizeof(hello), 0), sizeof(hello));
        n = recv(fd, packet, sizeof(packet), 0);
        assert_int_equal(reply_decode(packet, (size_t) n, &reply), 0);
        assert_int_equal(reply.r, 0);

        assert_int_equal(send(fd, hello, 11, 0), 11); /* no header: nothing to answer to */
        assert_true(recv(fd, packet, sizeof(packet), 0) <= 0);
        close(fd);
}

static void connections_are_bounded(void **state) {
        Fixture *f = *state;
        KeystoreStatus status = {};
        int fds[CONNECTIONS_MAX];
        uint8_t byte;
        Error e = {};

        start(f);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                fds[i] = raw_connect(f);
        assert_refused(keystore_status(f->k, &status, &e), -CSIGN_E_KEYSTORE_UNAVAILABLE, &e);

        /* One that goes makes room. */
        assert_int_equal(send(fds[0], "short", 5, 0), 5);
        assert_true(recv(fds[0], &byte, 1, 0) <= 0);
        assert_int_equal(keystore_status(f->k, &status, &e), 0);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++)
                close(fds[i]);
}

/* -- key stores that misbehave -- */

typedef struct Fake {
        int listener, held;
        const char *reply; /* NULL: none */
        size_t reply_len;
        bool close_at_once;
        pthread_t thread;
} Fake;

static void *fake_main(void *arg) {
        Fake *fake = arg;
        uint8_t packet[2048];
        int fd = accept(fake->listener, NULL, NULL);

        fake->held = fd;
        if (fake->close_at_once) {
                close(fd);
                fake->held = -1;
        } else if (recv(fd, packet, sizeof(packet), 0) > 0 && fake->reply)
                (void) !send(fd, fake->reply, fake->reply_len, MSG_NOSIGNAL);
        return NULL;
}

static int ask_fake(Fixture *f, Fake *fake, Error *e) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        KeystoreStatus status = {};
        Keystore *k = NULL;
        int r;

        strcpy(address.sun_path, f->path);
        fake->listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
        assert_int_equal(bind(fake->listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fake->listener, 1), 0);
        assert_int_equal(pthread_create(&fake->thread, NULL, fake_main, fake), 0);

        assert_int_equal(keystore_open(&k, f->path, e), 0);
        keystore_set_timeout(k, 200000);
        r = keystore_status(k, &status, e);
        keystore_close(k);

        pthread_join(fake->thread, NULL);
        if (fake->held >= 0)
                close(fake->held);
        close(fake->listener);
        unlink(f->path);
        assert_string_equal(status.version, "");
        return r;
}

#define BYTES(s) .reply = (s), .reply_len = sizeof(s) - 1

static void misbehaviour_is_named(void **state) {
        static const struct {
                Fake fake;
                int expect;
        } cases[] = {
                { { .close_at_once = true }, -CSIGN_E_KEYSTORE_UNAVAILABLE },
                { { .reply = NULL }, -CSIGN_E_TIMEOUT },
                { { BYTES("hello") }, -CSIGN_E_BAD_ANSWER },
                /* the very request sent back */
                { { BYTES("\1\1\0\0\0\0\0\0\0\0\0\1") }, -CSIGN_E_BAD_ANSWER },
                /* to another operation */
                { { BYTES("\1\x83\0\0\0\0\0\0\0\0\0\1\0\0\0\0") }, -CSIGN_E_BAD_ANSWER },
                /* to a call that nobody made */
                { { BYTES("\1\x83\0\0\0\0\0\0\0\0\0\2\0\0\0\0") }, -CSIGN_E_TIMEOUT },
                /* an error that this version does not know */
                { { BYTES("\1\x81\0\0\0\0\0\0\0\0\0\1\0\1\0\3New\0\3why") }, -CSIGN_E_INTERNAL },
        };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Fake fake = cases[i].fake;
                Error e = {};
                int r = ask_fake(f, &fake, &e);

                assert_refused(r, cases[i].expect, &e);
        }
}

#define FIXTURE_TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(every_algorithm_and_scheme_signs),
                FIXTURE_TEST(messages_of_any_size_are_signed_whole),
                FIXTURE_TEST(steady_state_opens_and_sets_up_nothing),
                FIXTURE_TEST(one_of_many_may_fail),
                FIXTURE_TEST(failures_are_named),
                FIXTURE_TEST(a_cached_key_is_no_way_round_its_bounds),
                FIXTURE_TEST(keys_that_cannot_be_are_not_made),
                FIXTURE_TEST(without_a_keystore_a_call_says_so),
                FIXTURE_TEST(another_uid_is_not_let_in),
                FIXTURE_TEST(an_idle_client_does_not_notice_a_restart),
                FIXTURE_TEST(a_second_keystore_does_not_take_the_socket),
                FIXTURE_TEST(sixteen_threads_share_one_connection),
                FIXTURE_TEST(all_that_wait_learn_that_it_died),
                FIXTURE_TEST(what_was_received_is_answered_before_the_end),
                FIXTURE_TEST(odd_packets_are_answered_or_end_it),
                FIXTURE_TEST(connections_are_bounded),
                FIXTURE_TEST(misbehaviour_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
