/* SPDX-License-Identifier: Apache-2.0 */

/* Against tests/fake/fake-sidecar, whose path is the argument. */

#include "lib/sidecar-client.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <openssl/pem.h>

#include "lib/ossl.h"
#include "tests/unit/test.h"

static const char *arg_fake;
static char folder[] = "/tmp/csign-test-XXXXXX";
static char address[64];

typedef struct Fake {
        pid_t pid;
        FILE *log; /* one line a call */
} Fake;

static void fake_start(Fake *f) {
        char socket[64], line[256];
        int fds[2];

        snprintf(socket, sizeof(socket), "%s/sock", folder);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        f->pid = fork();
        assert_true(f->pid >= 0);
        if (f->pid == 0) {
                dup2(fds[1], STDOUT_FILENO);
                execl(arg_fake, arg_fake, socket, folder, NULL);
                _exit(127);
        }
        close(fds[1]);
        f->log = fdopen(fds[0], "r");
        assert_non_null(fgets(line, sizeof(line), f->log));
        assert_string_equal(line, "ready\n");
}

static void fake_stop(Fake *f) {
        kill(f->pid, SIGTERM);
        assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
        fclose(f->log);
}

/* Stops it, and counts the lines that begin with a word. */
static int fake_count(Fake *f, const char *word) {
        char line[4096];
        int n = 0;

        kill(f->pid, SIGTERM);
        assert_int_equal(waitpid(f->pid, NULL, 0), f->pid);
        while (fgets(line, sizeof(line), f->log))
                n += strncmp(line, word, strlen(word)) == 0;
        fclose(f->log);
        return n;
}

static SidecarClient *client(uint64_t timeout_usec) {
        SidecarClient *c = NULL;
        Error e = {};

        assert_int_equal(sidecar_client_new(&c, address, timeout_usec, &e), 0);
        return c;
}

static bool signs(SidecarClient *c, const KeyInfo *k, Receipt *receipt) {
        static const uint8_t digest[32] = { 1 };
        const SignRequest req = { .key_id = k->id,
                                  .version = k->version,
                                  .scheme = SCHEME_ECDSA,
                                  .hash = hash_alg_by_name("SHA256"),
                                  .digest = digest,
                                  .digest_len = sizeof(digest) };
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *pub = NULL;
        _cleanup_(buf_done) Buf sig = {};
        const uint8_t *p = k->spki.data;
        Error e = {};

        pub = d2i_PUBKEY(NULL, &p, (long) k->spki.len);
        return pub && sidecar_client_sign(c, &req, &sig, receipt, &e) == 0 &&
               sign_request_verify(&req, pub, sig.data, sig.len, &e) == 0;
}

static void a_key_is_described_and_signs(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        _cleanup_(key_info_done) KeyInfo k = {};
        Receipt receipt = {};
        Fake f = {};
        Error e = {};

        fake_start(&f);
        assert_string_equal(sidecar_client_address(c), "");
        assert_int_equal(sidecar_client_get_key(c, "a/k0", 0, &k, &e), 0);
        assert_string_equal(sidecar_client_address(c), address);
        assert_string_equal(k.path, "a/k0");
        assert_string_equal(k.alg->name, "P-256");
        assert_string_equal(k.state, "enabled");
        assert_int_equal(k.version, 1);
        assert_int_equal(k.n_certificates, 0);
        assert_true(signs(c, &k, &receipt));
        assert_true(id_is_valid(receipt.request_id, "req"));
        assert_int_equal(receipt.record, 7);
        assert_true(signs(c, &k, NULL));
        assert_int_equal(fake_count(&f, "connected"), 1);
}

static int count_key(const KeyInfo *k, void *userdata) {
        int *n = userdata;

        assert_true(id_is_valid(k->id, "key"));
        return ++*n == 4 ? -ECANCELED : 0;
}

static void listings_come_page_by_page(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        Error e = {};
        Fake f = {};
        int n = 0;

        fake_start(&f);
        for (int i = 0; i < 3; i++) {
                _cleanup_(key_info_done) KeyInfo k = {};
                char path[16];

                snprintf(path, sizeof(path), "a/k%d", i);
                assert_int_equal(sidecar_client_get_key(c, path, 0, &k, &e), 0);
        }
        assert_int_equal(sidecar_client_list_keys(c, "a", count_key, &n, &e), 0);
        assert_int_equal(n, 3);
        assert_int_equal(sidecar_client_list_keys(c, "", count_key, &n, &e), -ECANCELED);
        assert_int_equal(n, 4);
        assert_int_equal(fake_count(&f, "ListKeys"), 3); /* two pages, and one */
}

static void failures_are_named(void **state) {
        static const struct {
                const char *path, *detail;
                int expect;
        } cases[] = {
                { "a/nope", "key 'a/nope' not found", -CSIGN_E_KEY_NOT_FOUND },
                { "slow", "does not answer", -CSIGN_E_TIMEOUT },
                { "garbage", "do not fit", -CSIGN_E_BAD_ANSWER },
                { "drop", "went away", -CSIGN_E_SIDECAR_UNAVAILABLE },
        };
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(300 * 1000);
        Fake f = {};

        fake_start(&f);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                KeyInfo k = {};
                Error e = {};

                assert_refused(sidecar_client_get_key(c, cases[i].path, 0, &k, &e), cases[i].expect,
                               &e);
                assert_non_null(strstr(e.detail, cases[i].detail));
                assert_null(k.spki.data);
                if (i == 0)
                        assert_true(id_is_valid(e.request_id, "req"));
        }
        fake_stop(&f);
}

static void no_sidecar_is_said_with_its_address(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        char expect[256];
        KeyInfo k = {};
        Error e = {};

        snprintf(expect, sizeof(expect), "sidecar not reachable (%s): is csign-sidecar running?",
                 address);
        assert_refused(sidecar_client_get_key(c, "a/k0", 0, &k, &e), -CSIGN_E_SIDECAR_UNAVAILABLE,
                       &e);
        assert_string_equal(e.detail, expect);
}

static void bad_addresses_are_refused(void **state) {
        static const char *const cases[] = { "nonsense",
                                             "unix:", "unix:path=", "bus:", "unix:abstract=x" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                SidecarClient *c = NULL;
                Error e = {};

                assert_refused(sidecar_client_new(&c, cases[i], 0, &e), -CSIGN_E_BAD_CONFIG, &e);
                assert_null(c);
        }
}

/* An idle connection that has died is found before the request is sent, so even Sign survives a
 * restart. */
static void a_restarted_sidecar_is_found_again(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        _cleanup_(key_info_done) KeyInfo k = {}, again = {};
        Error e = {};
        Fake f = {};

        fake_start(&f);
        assert_int_equal(sidecar_client_get_key(c, "a/k0", 0, &k, &e), 0);
        fake_stop(&f);

        fake_start(&f);
        assert_int_equal(sidecar_client_get_key(c, "a/k0", 0, &again, &e), 0);
        assert_true(signs(c, &again, NULL));
        assert_int_equal(fake_count(&f, "connected"), 1);

        fake_start(&f);
        sidecar_client_drain(c);
        assert_false(signs(
                c, &k, NULL)); /* this one was never asked for the key: refused, not unreachable */
        assert_int_equal(fake_count(&f, "Sign"), 1);
}

/* The second call has the key of the first, or the fake would lose its answer too. */
static void a_lost_answer_is_asked_for_again(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        _cleanup_(key_info_done) KeyInfo k = {};
        Error e = {};
        Fake f = {};

        fake_start(&f);
        assert_int_equal(sidecar_client_get_key(c, "a/lose", 0, &k, &e), 0);
        assert_true(signs(c, &k, NULL));
        assert_true(signs(c, &k, NULL)); /* another operation, another key */
        assert_int_equal(fake_count(&f, "Sign"), 4);
}

static void a_child_connects_for_itself(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        _cleanup_(key_info_done) KeyInfo k = {};
        Error e = {};
        Fake f = {};
        int status;
        pid_t pid;

        fake_start(&f);
        assert_int_equal(sidecar_client_get_key(c, "a/k0", 0, &k, &e), 0);
        pid = fork();
        if (pid == 0)
                _exit(signs(c, &k, NULL) && signs(c, &k, NULL) ? 0 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_true(signs(c, &k, NULL));
        assert_int_equal(fake_count(&f, "connected"), 2);
}

typedef struct Crowd {
        SidecarClient *c;
        const KeyInfo *k;
        _Atomic int n_signed;
} Crowd;

static void *sign_in_crowd(void *arg) {
        Crowd *crowd = arg;

        for (int i = 0; i < 5; i++)
                crowd->n_signed += signs(crowd->c, crowd->k, NULL);
        return NULL;
}

/* More threads than connections are kept. */
static void a_crowd_signs(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        _cleanup_(key_info_done) KeyInfo k = {};
        Crowd crowd = { .c = c, .k = &k };
        pthread_t threads[80];
        Error e = {};
        Fake f = {};

        fake_start(&f);
        assert_int_equal(sidecar_client_get_key(c, "a/k0", 0, &k, &e), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                assert_int_equal(pthread_create(&threads[i], NULL, sign_in_crowd, &crowd), 0);
        for (size_t i = 0; i < ELEMENTSOF(threads); i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(crowd.n_signed, 5 * (int) ELEMENTSOF(threads));
        fake_stop(&f);
}

/* The program closes our descriptor, and its own file gets the number. */
static void a_strangers_file_is_left_alone(void **state) {
        SidecarClient *c = client(0);
        _cleanup_(key_info_done) KeyInfo k = {};
        Error e = {};
        Fake f = {};
        int fd;

        fake_start(&f);
        fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* the next socket has this number */
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(sidecar_client_get_key(c, "a/k0", 0, &k, &e), 0);
        assert_int_equal(dup2(STDERR_FILENO, fd), fd);
        assert_true(signs(c, &k, NULL));
        sidecar_client_free(c);
        assert_true(fcntl(fd, F_GETFD) >= 0);
        close(fd);
        fake_stop(&f);
}

static int status_item(const char *name, const char *value, void *userdata) {
        if (strcmp(name, "version") == 0)
                assert_string_equal(value, "fake");
        ++*(int *) userdata;
        return 0;
}

static void status_is_told(void **state) {
        _cleanup_(sidecar_client_freep) SidecarClient *c = client(0);
        Error e = {};
        Fake f = {};
        int n = 0;

        fake_start(&f);
        assert_int_equal(sidecar_client_status(c, status_item, &n, &e), 0);
        assert_int_equal(n, 2);
        assert_refused(sidecar_client_reload(c, &e), -CSIGN_E_BAD_ANSWER,
                       &e); /* the fake has no Reload */
        fake_stop(&f);
}

static int setup(void **state) {
        static const char *const names[] = { "k0", "k1", "k2", "lose" };
        char path[128];

        if (!mkdtemp(folder))
                return -1;
        snprintf(address, sizeof(address), "unix:path=%s/sock", folder);
        snprintf(path, sizeof(path), "%s/a", folder);
        if (mkdir(path, 0700) < 0)
                return -1;
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
                _cleanup_(BIO_free_allp) BIO *bio = NULL;

                snprintf(path, sizeof(path), "%s/a/%s.pem", folder, names[i]);
                bio = BIO_new_file(path, "w");
                if (!bio || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
                        return -1;
        }
        return 0;
}

static int teardown(void **state) {
        static const char *const names[] = { "a/k0.pem", "a/k1.pem", "a/k2.pem", "a/lose.pem",
                                             "a",        "sock",     "" };
        char path[128];

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
                (void) remove(path);
        }
        return 0;
}

int main(int argc, char *argv[]) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_key_is_described_and_signs),
                cmocka_unit_test(listings_come_page_by_page),
                cmocka_unit_test(failures_are_named),
                cmocka_unit_test(no_sidecar_is_said_with_its_address),
                cmocka_unit_test(bad_addresses_are_refused),
                cmocka_unit_test(a_restarted_sidecar_is_found_again),
                cmocka_unit_test(a_lost_answer_is_asked_for_again),
                cmocka_unit_test(a_child_connects_for_itself),
                cmocka_unit_test(a_crowd_signs),
                cmocka_unit_test(a_strangers_file_is_left_alone),
                cmocka_unit_test(status_is_told),
        };

        if (argc != 2)
                return 2;
        arg_fake = argv[1];
        return cmocka_run_group_tests(tests, setup, teardown);
}
