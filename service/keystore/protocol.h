/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The packets between csign-service and csign-keystore, as docs/keystore.md writes them down: one
 * packet is one message on a SOCK_SEQPACKET socket.  Both ends use this file; only service/keystore
 * includes it. */

#include <stddef.h>
#include <stdint.h>

#include "lib/id.h"
#include "lib/sign.h"
#include "service/keystore/keystore.h"

#define PROTOCOL_VERSION 1
#define PACKET_MAX       ((size_t) 64 * 1024)
#define SEALED_MAX       ((size_t) 16 * 1024)

typedef enum Op {
        OP_HELLO = 1,
        OP_GENERATE = 2,
        OP_SIGN = 3,
        OP_SIGN_MESSAGE = 4, /* the message is in a file in memory, passed with the packet */
        OP_RESEAL = 5,
        OP_FORGET = 6,
} Op;

typedef struct Request {
        uint8_t op;
        uint64_t call;
        char key_id[ID_MAX]; /* all but HELLO */
        uint32_t version;
        uint8_t usage;
        const KeyAlg *alg; /* GENERATE only */
        uint32_t schemes;
        SignRequest sign; /* SIGN and SIGN_MESSAGE; its key_id and version are the ones above */
        int message_fd;   /* SIGN_MESSAGE: travels beside the packet; decoding leaves it alone */
        const uint8_t *sealed;
        size_t sealed_len;
} Request;

/* Appends one packet.  0 or negative: no memory, or past the limit of b. */
int request_encode(const Request *req, Buf *b);

/* Pointers in *ret point into packet and *ret: do not copy it.  Every value is checked as far as it
 * can be without the key.  -EBADMSG: not even a header, nothing can be answered.
 * -CSIGN_E_BAD_REQUEST and -CSIGN_E_UNSUPPORTED_SCHEME: answer it, op and call are set. */
int request_decode(const void *packet, size_t len, Request *ret, Error *e);

typedef struct Reply {
        uint8_t op; /* of the request */
        uint64_t call;
        int r; /* 0, or the refusal's code; then only error is there */
        Error error;
        KeystoreStatus status; /* HELLO */
        const uint8_t *spki;   /* GENERATE */
        size_t spki_len;
        const uint8_t *sealed; /* GENERATE, RESEAL */
        size_t sealed_len;
        const uint8_t *sig; /* SIGN, SIGN_MESSAGE */
        size_t sig_len;
} Reply;

int reply_encode(const Reply *reply, Buf *b);

/* Pointers in *ret point into packet.  -EBADMSG: it is no reply that this version knows; op and
 * call may be trusted in no case. */
int reply_decode(const void *packet, size_t len, Reply *ret);
