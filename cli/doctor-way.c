/* SPDX-License-Identifier: Apache-2.0 */
/* csign doctor: the way to the service, one link after the other, by this process itself. */

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/output.h"
#include "lib/file.h"
#include "lib/http.h"

/* The sidecar has waited for the service before. */
#define PROBE_MSEC 2000

typedef struct Target {
        char host[256], port[8];
} Target;

/* "https://host[:port]", host maybe "[::1]". */
static bool target_parse(const char *url, Target *ret) {
        const char *p = url, *end, *port;
        bool bracket;
        size_t n;

        if (strncmp(url, "https://", 8) != 0)
                return false;
        p += 8;
        bracket = *p == '[';
        p += bracket;
        end = bracket ? strchr(p, ']') : strpbrk(p, ":/");
        n = end ? (size_t) (end - p) : strlen(p);
        if (n == 0 || n >= sizeof(ret->host))
                return false;
        memcpy(ret->host, p, n);
        ret->host[n] = 0;
        port = end ? strchr(end, ':') : NULL;
        (void) snprintf(ret->port, sizeof(ret->port), "%s", port ? port + 1 : "443");
        return true;
}

/* In the background, for its own deadlines are longer than anybody's patience; static, as one that
 * is given up may still be written to. */
static bool look_up(Doctor *d, const Target *t, struct addrinfo **ret) {
        static struct gaicb request;
        static struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
        static Target target;
        struct gaicb *list[] = { &request };
        struct sigevent nobody = { .sigev_notify = SIGEV_NONE };
        const struct timespec limit = { .tv_sec = PROBE_MSEC / 1000 };
        int r;

        target = *t;
        request.ar_name = target.host;
        request.ar_service = target.port;
        request.ar_request = &hints;
        r = getaddrinfo_a(GAI_NOWAIT, list, 1, &nobody);
        if (r == 0)
                (void) gai_suspend((const struct gaicb *const *) list, 1, &limit);
        if (r == 0)
                r = gai_error(&request);
        if (r == 0) {
                *ret = request.ar_result;
                doctor_say(d, RESULT_OK, "dns", NULL, "%s is known", t->host);
                return true;
        }
        doctor_say(d, RESULT_FAIL, "dns", "check the service's name, and this machine's resolver",
                   "%s: %s", t->host,
                   r == EAI_INPROGRESS ? "the resolver does not answer" : gai_strerror(r));
        return false;
}

static int connect_one(const struct addrinfo *a) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r = 0;
        socklen_t size = sizeof(r);

        if (fd < 0)
                return -errno;
        if (connect(fd, a->ai_addr, a->ai_addrlen) < 0)
                r = errno;
        if (r == EINPROGRESS) {
                struct pollfd p = { .fd = fd, .events = POLLOUT };

                if (poll(&p, 1, PROBE_MSEC) <= 0)
                        r = ETIMEDOUT;
                else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &r, &size) < 0)
                        r = errno;
        }
        (void) close(fd);
        return -r;
}

static bool check_port(Doctor *d, const Target *t, const struct addrinfo *list) {
        int r = -ENOENT;

        for (const struct addrinfo *a = list; a && r < 0 && r != -ETIMEDOUT; a = a->ai_next)
                r = connect_one(a);
        if (r == 0)
                doctor_say(d, RESULT_OK, "tcp", NULL, "%s, port %s, is open", t->host, t->port);
        else
                doctor_say(d, RESULT_FAIL, "tcp",
                           "is the service up there, and does a firewall stand between?",
                           "%s, port %s: %s", t->host, t->port, strerror(-r));
        return r == 0;
}

static const char *status_or_null(const Doctor *d, const char *name) {
        const char *text = json_text_at(d->status, name);

        return text[0] ? text : NULL;
}

/* With the trust that the sidecar has, and without its key: readiness is for everybody. */
static void check_tls(Doctor *d, const char *url) {
        _cleanup_(http_client_freep) HttpClient *http = NULL;
        _cleanup_(http_response_done) HttpResponse answer = {};
        const HttpOptions options = {
                .base_url = url,
                .ca_file = status_or_null(d, "service-ca"),
                .pins = status_or_null(d, "service-pin"),
                .proxy = status_or_null(d, "proxy"),
                .proxy_of_environment = strcmp(json_text_at(d->status, "grant"), "user") == 0,
                .connect_timeout_usec = (uint64_t) PROBE_MSEC * 1000,
                .user_agent = "csign/" CSIGN_VERSION,
        };
        const HttpRequest request = { .method = "GET",
                                      .path = "/readyz",
                                      .timeout_usec = (uint64_t) PROBE_MSEC * 1000 };
        Error e = {};
        int r;

        r = http_client_new(&http, &options, &e);
        if (r >= 0)
                r = http_exchange(http, &request, &answer, &e);
        if (r < 0) {
                doctor_say_error(d, "tls", &e);
                return;
        }
        doctor_say(d, RESULT_OK, "tls", NULL, "the certificate of %s is good", url);
        if (http_response_error(&answer, &e) < 0)
                doctor_say_error(d, "ready", &e);
        else
                doctor_say(d, RESULT_OK, "ready", NULL, "the service says that it can sign");
}

void doctor_way(Doctor *d) {
        const char *url = json_text_at(d->status, "service"), *variable = getenv("HTTPS_PROXY");
        bool proxy = status_or_null(d, "proxy") || (variable && variable[0]);
        struct addrinfo *list = NULL;
        Target t;

        if (!d->sidecar || !target_parse(url, &t))
                return;
        /* Behind a proxy it is the proxy that looks up and connects. */
        if (proxy || (look_up(d, &t, &list) && check_port(d, &t, list)))
                check_tls(d, url);
        if (list)
                freeaddrinfo(list);
}
