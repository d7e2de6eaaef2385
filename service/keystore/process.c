/* SPDX-License-Identifier: Apache-2.0 */
/* The key store is another process: keeps one channel to it, and opens a new one when it broke. */

#include "service/keystore/keystore.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/macro.h"
#include "lib/message.h"
#include "service/keystore/channel.h"

#define TIMEOUT_USEC          ((uint64_t) 10 * 1000000)
#define TIMEOUT_GENERATE_USEC ((uint64_t) 60 * 1000000)

struct Keystore {
        char *path;
        uint64_t timeout, timeout_generate;
        pthread_mutex_t lock;
        Channel *channel; /* NULL before the first call */
};

int keystore_open(Keystore **ret, const char *socket_path, Error *e) {
        Keystore *k;

        k = malloc(sizeof(*k));
        if (!k)
                return -ENOMEM;
        *k = (Keystore){
                .path = strdup(socket_path),
                .timeout = TIMEOUT_USEC,
                .timeout_generate = TIMEOUT_GENERATE_USEC,
        };
        if (!k->path) {
                free(k);
                return -ENOMEM;
        }

        pthread_mutex_init(&k->lock, NULL);
        *ret = k;
        return 0;
}

void keystore_close(Keystore *k) {
        if (!k)
                return;
        channel_unref(k->channel);
        pthread_mutex_destroy(&k->lock);
        free(k->path);
        free(k);
}

void keystore_set_timeout(Keystore *k, uint64_t usec) {
        k->timeout = k->timeout_generate = usec;
}

/* A reference to a channel that works, as far as anybody knows. */
static int get_channel(Keystore *k, Channel **ret, Error *e) {
        int r = 0;

        pthread_mutex_lock(&k->lock);
        if (k->channel && channel_is_broken(k->channel)) {
                channel_unref(k->channel);
                k->channel = NULL;
        }
        if (!k->channel)
                r = channel_open(&k->channel, k->path, e);
        if (r == 0)
                *ret = channel_ref(k->channel);
        pthread_mutex_unlock(&k->lock);
        return r;
}

static int exchange_once(Keystore *k, Call *calls, size_t n, uint64_t timeout, Error *e) {
        _cleanup_(channel_unrefp) Channel *c = NULL;
        int r;

        r = get_channel(k, &c, e);
        if (r < 0)
                return r;
        return channel_exchange(c, calls, n, timeout);
}

/* An idle connection may have ended long ago: that costs a call its first try, and no more. */
static void exchange(Keystore *k, Call *calls, size_t n, uint64_t timeout) {
        Error e = {};
        int r;

        r = exchange_once(k, calls, n, timeout, &e);
        if (r == -EPIPE)
                r = exchange_once(k, calls, n, timeout, &e);
        if (r == -EPIPE)
                error_set(&e, -CSIGN_E_KEYSTORE_UNAVAILABLE,
                          "the key store at %s closes the connection: is this process's user its "
                          "service-user?",
                          k->path);
        else if (r < 0 && e.code == 0)
                error_set(&e, r, "%s", strerror(-r));
        if (r == 0)
                return;

        for (size_t i = 0; i < n; i++) {
                calls[i].r = e.code;
                if (calls[i].e)
                        *calls[i].e = e;
        }
}

/* -- the calls -- */

/* A whole message travels beside the packet. */
static int make_message(Request *req, Error *e) {
        int fd = message_of(req->sign.digest, req->sign.digest_len);

        if (fd < 0)
                return error_set(e, fd, "no memory for a message of %zu bytes",
                                 req->sign.digest_len);
        req->op = OP_SIGN_MESSAGE;
        req->message_fd = fd;
        return 0;
}

/* 0, or why the request cannot even be written down. */
static int make_request(const KeystoreSign *s, Request *ret, Error *e) {
        *ret = (Request){
                .op = OP_SIGN,
                .version = s->req->version,
                .usage = (uint8_t) s->usage,
                .sign = *s->req,
                .sealed = s->sealed,
                .sealed_len = s->sealed_len,
        };

        if (!s->req->key_id || strlen(s->req->key_id) >= sizeof(ret->key_id))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that is no key id");
        if (!s->req->hash)
                return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME, "no hash was named");
        if (s->req->hash != &hash_none && s->req->digest_len > DIGEST_MAX)
                return error_set(e, -CSIGN_E_BAD_DIGEST, "no hash gives a digest of %zu bytes",
                                 s->req->digest_len);
        if (s->sealed_len > SEALED_MAX)
                return error_set(e, -CSIGN_E_KEY_CORRUPT, "no sealed key has %zu bytes",
                                 s->sealed_len);
        strcpy(ret->key_id, s->req->key_id);
        return s->req->hash == &hash_none ? make_message(ret, e) : 0;
}

static void requests_free(Request *requests, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (requests[i].op == OP_SIGN_MESSAGE)
                        close(requests[i].message_fd);
        free(requests);
}

void keystore_sign_many(Keystore *k, KeystoreSign *signs, size_t n) {
        Request *requests = calloc(n, sizeof(*requests));
        Call *calls = calloc(n, sizeof(*calls));
        KeystoreSign **owners = calloc(n, sizeof(*owners));
        size_t n_calls = 0;

        for (size_t i = 0; i < n; i++) {
                KeystoreSign *s = &signs[i];

                s->e = (Error){};
                s->r = -ENOMEM;
                if (!requests || !calls || !owners)
                        continue;
                s->r = make_request(s, &requests[n_calls], &s->e);
                if (s->r < 0)
                        continue;
                calls[n_calls] = (Call){ .req = &requests[n_calls], .sig = s->sig, .e = &s->e };
                owners[n_calls++] = s;
        }

        if (n_calls > 0)
                exchange(k, calls, n_calls, k->timeout);
        for (size_t i = 0; i < n_calls; i++)
                owners[i]->r = calls[i].r;

        requests_free(requests, n_calls);
        free(calls);
        free(owners);
}

int keystore_sign(Keystore *k, KeystoreSign *call) {
        keystore_sign_many(k, call, 1);
        return call->r;
}

int keystore_generate(Keystore *k, const char *key_id, uint32_t version, const KeyAlg *alg,
                      unsigned schemes, KeyUsage usage, Buf *spki, Buf *sealed, Error *e) {
        Request req = {
                .op = OP_GENERATE,
                .version = version,
                .alg = alg,
                .schemes = schemes,
                .usage = (uint8_t) usage,
        };
        Call call = { .req = &req, .spki = spki, .sealed = sealed, .e = e };

        if (strlen(key_id) >= sizeof(req.key_id))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that is no key id");
        strcpy(req.key_id, key_id);

        exchange(k, &call, 1, k->timeout_generate);
        return call.r;
}

static int make_reseal(const KeystoreReseal *s, Request *ret, Error *e) {
        *ret = (Request){
                .op = OP_RESEAL,
                .version = s->version,
                .sealed = s->sealed,
                .sealed_len = s->sealed_len,
        };
        if (strlen(s->key_id) >= sizeof(ret->key_id))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that is no key id");
        if (s->sealed_len > SEALED_MAX)
                return error_set(e, -CSIGN_E_KEY_CORRUPT, "no sealed key has %zu bytes",
                                 s->sealed_len);
        strcpy(ret->key_id, s->key_id);
        return 0;
}

void keystore_reseal_many(Keystore *k, KeystoreReseal *reseals, size_t n) {
        Request *requests = calloc(n, sizeof(*requests));
        Call *calls = calloc(n, sizeof(*calls));
        KeystoreReseal **owners = calloc(n, sizeof(*owners));
        size_t n_calls = 0;

        for (size_t i = 0; i < n; i++) {
                KeystoreReseal *s = &reseals[i];

                s->e = (Error){};
                s->r = -ENOMEM;
                if (!requests || !calls || !owners)
                        continue;
                s->r = make_reseal(s, &requests[n_calls], &s->e);
                if (s->r < 0)
                        continue;
                calls[n_calls] =
                        (Call){ .req = &requests[n_calls], .sealed = s->resealed, .e = &s->e };
                owners[n_calls++] = s;
        }

        if (n_calls > 0)
                exchange(k, calls, n_calls, k->timeout_generate);
        for (size_t i = 0; i < n_calls; i++)
                owners[i]->r = calls[i].r;

        free(requests);
        free(calls);
        free(owners);
}

int keystore_forget(Keystore *k, const char *key_id, Error *e) {
        Request req = { .op = OP_FORGET };
        Call call = { .req = &req, .e = e };

        if (strlen(key_id) >= sizeof(req.key_id))
                return error_set(e, -CSIGN_E_BAD_REQUEST, "that is no key id");
        strcpy(req.key_id, key_id);

        exchange(k, &call, 1, k->timeout);
        return call.r;
}

int keystore_status(Keystore *k, KeystoreStatus *ret, Error *e) {
        Request req = { .op = OP_HELLO };
        Call call = { .req = &req, .status = ret, .e = e };

        exchange(k, &call, 1, k->timeout);
        return call.r;
}
