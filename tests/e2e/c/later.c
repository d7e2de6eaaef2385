/* SPDX-License-Identifier: Apache-2.0 */

/* An application in which something happens between loading its key and signing:
 *
 *     host-later KEY root FOLDER UID    as nginx's workers: it becomes that user below that folder
 *     host-later KEY alarm              a timer interrupts it a hundred times a second; it writes
 *                                       a dot each time
 *     host-later KEY again              it says "loaded", and for each line of its input loads the
 *                                       key again and signs; it says "signed" or "refused"
 *
 *     host-later KEY fork               one thread signs; at a line of its input it forks, and the
 *                                       child signs
 *
 * All but "again" say "ok". */

#include "host.h"

#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

static void on_alarm(int number) {
        if (write(STDOUT_FILENO, ".", 1) < 0)
                _exit(1);
}

static void say(const char *words) {
        CHECK(printf("%s\n", words) > 0 && fflush(stdout) == 0);
}

static void change_root(const char *folder, const char *uid) {
        uid_t id = (uid_t) strtoul(uid, NULL, 10);

        CHECK(chroot(folder) == 0 && chdir("/") == 0);
        CHECK(setgroups(0, NULL) == 0 && setgid(id) == 0 && setuid(id) == 0);
}

/* Without SA_RESTART: each system call that waits ends with EINTR. */
static void set_timer(suseconds_t usec) {
        const struct sigaction sa = { .sa_handler = on_alarm };
        const struct itimerval every = { { 0, usec }, { 0, usec } };

        CHECK(sigaction(SIGALRM, &sa, NULL) == 0 && setitimer(ITIMER_REAL, &every, NULL) == 0);
}

static void *sign_in_thread(void *key) {
        CHECK(sign_and_verify(key, NULL));
        return NULL;
}

static void fork_beside(EVP_PKEY *key) {
        pthread_t thread;
        char line[16];
        int status;
        pid_t pid;

        CHECK(pthread_create(&thread, NULL, sign_in_thread, key) == 0);
        CHECK(fgets(line, sizeof(line), stdin));
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
                CHECK(sign_and_verify(key, NULL));
                /* What the other thread held is lost in here. */
                _exit(0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        CHECK(pthread_join(thread, NULL) == 0);
}

static void sign_again(const char *uri) {
        char line[16];

        while (fgets(line, sizeof(line), stdin)) {
                EVP_PKEY *key = load_key(uri, NULL);

                say(key && sign_and_verify(key, NULL) ? "signed" : "refused");
                ERR_clear_error();
                EVP_PKEY_free(key);
        }
}

int main(int argc, char *argv[]) {
        EVP_PKEY *key;

        CHECK(argc >= 3);
        key = load_key(argv[1], NULL);
        CHECK(key);

        if (strcmp(argv[2], "again") == 0) {
                say("loaded");
                EVP_PKEY_free(key);
                sign_again(argv[1]);
                return 0;
        }
        if (strcmp(argv[2], "fork") == 0)
                fork_beside(key);
        else if (strcmp(argv[2], "root") == 0)
                change_root(argv[3], argv[4]);
        else
                set_timer(10000);
        CHECK(sign_and_verify(key, NULL));
        set_timer(0);
        EVP_PKEY_free(key);
        say("ok");
        return 0;
}
