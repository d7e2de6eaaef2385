/* SPDX-License-Identifier: Apache-2.0 */

#include "cli/fit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <openssl/rsa.h>

#include "lib/ossl.h"

#define FDT_MAGIC    0xD00DFEED
#define FDT_HEADER   40
#define DEPTH_MAX    16
#define PATH_LEN_MAX 1024

enum { FDT_BEGIN_NODE = 1, FDT_END_NODE = 2, FDT_PROP = 3, FDT_NOP = 4, FDT_END = 9 };

typedef struct Bytes {
        const uint8_t *data;
        size_t len;
} Bytes;

typedef struct Fit {
        const char *path;
        Bytes file;
        size_t total;  /* of the tree; images may follow it */
        Bytes tree;    /* the nodes */
        Bytes strings; /* the names of their properties */
} Fit;

static uint32_t be32(const uint8_t *p) {
        return (uint32_t) p[0] << 24 | (uint32_t) p[1] << 16 | (uint32_t) p[2] << 8 | p[3];
}

static bool part(const Fit *f, size_t at, size_t len, Bytes *ret) {
        if (at > f->file.len || len > f->file.len - at)
                return false;
        *ret = (Bytes){ f->file.data + at, len };
        return true;
}

static int fit_open(Fit *f, const char *path, const Buf *content, Error *e) {
        const uint8_t *h = content->data;

        f->path = path;
        f->file = (Bytes){ content->data, content->len };
        if (content->len < FDT_HEADER || be32(h) != FDT_MAGIC ||
            !part(f, be32(h + 8), be32(h + 36), &f->tree) ||
            !part(f, be32(h + 12), be32(h + 32), &f->strings))
                return error_set(e, -CSIGN_E_BAD_SIGNATURE, "%s is no FIT image", path);
        f->total = be32(h + 4);
        return 0;
}

/* ---- tokens ---- */

typedef struct Token {
        uint32_t tag;
        size_t at, next;
        const char *name; /* of a node or a property */
        Bytes value;
} Token;

/* Text that ends inside these bytes, or NULL. */
static const char *text_in(Bytes b, size_t at) {
        return at < b.len && memchr(b.data + at, 0, b.len - at) ? (const char *) b.data + at : NULL;
}

static size_t aligned(size_t n) {
        return (n + 3) & ~(size_t) 3;
}

static bool token_read(const Fit *f, size_t at, Token *ret) {
        size_t left = at <= f->tree.len ? f->tree.len - at : 0;
        const uint8_t *p = f->tree.data + at;

        if (left < 4)
                return false;
        *ret = (Token){ .tag = be32(p), .at = at, .next = at + 4 };
        if (ret->tag == FDT_BEGIN_NODE) {
                ret->name = text_in(f->tree, at + 4);
                if (ret->name)
                        ret->next += aligned(strlen(ret->name) + 1);
                return ret->name;
        }
        if (ret->tag == FDT_PROP) {
                if (left < 12 || be32(p + 4) > left - 12)
                        return false;
                ret->value = (Bytes){ p + 12, be32(p + 4) };
                ret->name = text_in(f->strings, be32(p + 8));
                ret->next = at + 12 + aligned(ret->value.len);
                return ret->name;
        }
        return ret->tag == FDT_END_NODE || ret->tag == FDT_NOP || ret->tag == FDT_END;
}

static bool path_push(char path[static PATH_LEN_MAX], const char *name) {
        size_t len = strlen(path);

        return snprintf(path + len, PATH_LEN_MAX - len, "%s%s", len == 1 ? "" : "/", name) <
               (int) (PATH_LEN_MAX - len);
}

static void path_pop(char path[static PATH_LEN_MAX]) {
        char *slash = strrchr(path, '/');

        if (slash)
                *slash = 0;
}

/* ---- what a configuration's signature is over ---- */

static bool is_listed(Bytes list, const char *text) {
        for (size_t at = 0; at < list.len;) {
                const char *item = text_in(list, at);

                if (!item)
                        return false;
                if (strcmp(item, text) == 0)
                        return true;
                at += strlen(item) + 1;
        }
        return false;
}

static bool is_data(const char *property) {
        return strcmp(property, "data") == 0 || strcmp(property, "data-size") == 0 ||
               strcmp(property, "data-position") == 0 || strcmp(property, "data-offset") == 0;
}

/* U-Boot's own rule: of listed nodes all but the data, of the nodes right below them only that they
 * begin and end.  want: 2 in a listed node, 1 right below it, 0 elsewhere. */
typedef struct Walk {
        char path[PATH_LEN_MAX];
        int want, stack[DEPTH_MAX], depth;
        bool include;
        size_t stop;
} Walk;

static bool walk_token(Walk *w, const Token *t, Bytes nodes) {
        w->stop = t->next;
        switch (t->tag) {
        case FDT_PROP:
        case FDT_NOP:
                w->include = w->want >= 2 && !(t->tag == FDT_PROP && is_data(t->name));
                w->stop = t->at;
                return true;
        case FDT_BEGIN_NODE:
                if (w->depth == DEPTH_MAX || !path_push(w->path, t->name))
                        return false;
                w->stack[w->depth++] = w->want;
                if (w->want == 1)
                        w->stop = t->at;
                if (is_listed(nodes, w->path))
                        w->want = 2;
                else if (w->want > 0)
                        w->want--;
                else
                        w->stop = t->at;
                w->include = w->want > 0;
                return true;
        case FDT_END_NODE:
                if (w->depth == 0)
                        return false;
                w->include = w->want > 0;
                w->want = w->stack[--w->depth];
                path_pop(w->path);
                return true;
        default:
                w->include = true;
                return true;
        }
}

static bool add_regions(const Fit *f, Bytes nodes, EVP_MD_CTX *ctx) {
        size_t start = SIZE_MAX;
        Walk w = {};
        Token t = {};

        for (size_t at = 0; t.tag != FDT_END; at = t.next) {
                if (!token_read(f, at, &t) || !walk_token(&w, &t, nodes))
                        return false;
                if (w.include && start == SIZE_MAX)
                        start = at;
                if (!w.include && start != SIZE_MAX) {
                        if (EVP_DigestVerifyUpdate(ctx, f->tree.data + start, w.stop - start) <= 0)
                                return false;
                        start = SIZE_MAX;
                }
        }
        return EVP_DigestVerifyUpdate(ctx, f->tree.data + start, t.next - start) > 0;
}

/* ---- signature nodes ---- */

/* The properties of a node that matter here. */
typedef struct Node {
        Bytes data, size, offset, position;         /* of an image */
        Bytes algo, padding, value, nodes, strings; /* of a signature */
        Bytes hint;
} Node;

static void node_add(Node *n, const Token *t) {
        const struct {
                const char *name;
                Bytes *to;
        } rows[] = {
                { "data", &n->data },
                { "data-size", &n->size },
                { "data-offset", &n->offset },
                { "data-position", &n->position },
                { "algo", &n->algo },
                { "padding", &n->padding },
                { "value", &n->value },
                { "hashed-nodes", &n->nodes },
                { "hashed-strings", &n->strings },
                { "key-name-hint", &n->hint },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                if (strcmp(rows[i].name, t->name) == 0)
                        *rows[i].to = t->value;
}

static bool number(Bytes b, size_t *ret) {
        if (b.len != 4)
                return false;
        *ret = be32(b.data);
        return true;
}

/* An image's data, in the tree or behind it. */
static bool image_data(const Fit *f, const Node *image, Bytes *ret) {
        size_t at, size;

        if (image->data.data) {
                *ret = image->data;
                return true;
        }
        if (!number(image->size, &size))
                return false;
        if (number(image->position, &at))
                return part(f, at, size, ret);
        return number(image->offset, &at) && part(f, aligned(f->total) + at, size, ret);
}

static bool add_strings(const Fit *f, Bytes strings, EVP_MD_CTX *ctx) {
        size_t at, len;

        if (strings.len != 8)
                return false;
        at = be32(strings.data);
        len = be32(strings.data + 4);
        return at <= f->strings.len && len <= f->strings.len - at &&
               EVP_DigestVerifyUpdate(ctx, f->strings.data + at, len) > 0;
}

/* "sha256,rsa3072" */
static EVP_MD_CTX *verify_start(const Node *sig, EVP_PKEY *key) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        const char *algo = text_in(sig->algo, 0), *padding = text_in(sig->padding, 0);
        EVP_PKEY_CTX *pctx = NULL;
        char hash[32] = "";

        if (algo)
                (void) snprintf(hash, sizeof(hash), "%.*s", (int) strcspn(algo, ","), algo);
        if (!ctx || EVP_DigestVerifyInit_ex(ctx, &pctx, hash, NULL, NULL, key, NULL) <= 0 ||
            (padding && strcmp(padding, "pss") == 0 &&
             (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) <= 0 ||
              EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_AUTO) <= 0))) {
                EVP_MD_CTX_free(ctx);
                return NULL;
        }
        return ctx;
}

static bool signature_is_good(const Fit *f, const Node *sig, const Node *image, EVP_PKEY *key) {
        _cleanup_(EVP_MD_CTX_freep) EVP_MD_CTX *ctx = verify_start(sig, key);
        Bytes data;

        if (!ctx || !sig->value.data)
                return false;
        if (sig->nodes.data) {
                if (!add_regions(f, sig->nodes, ctx) || !add_strings(f, sig->strings, ctx))
                        return false;
        } else if (!image_data(f, image, &data) ||
                   EVP_DigestVerifyUpdate(ctx, data.data, data.len) <= 0) {
                return false;
        }
        return EVP_DigestVerifyFinal(ctx, sig->value.data, sig->value.len) > 0;
}

/* Calls f for each signature node, when it has been read whole. */
typedef int (*NodeFunction)(const Fit *f, const char *path, const Node *sig, const Node *parent,
                            void *userdata, Error *e);

static bool is_signature(const char *path) {
        const char *name = strrchr(path, '/');

        return name && strncmp(name, "/signature", strlen("/signature")) == 0 &&
               (strncmp(path, "/images/", 8) == 0 || strncmp(path, "/configurations/", 16) == 0);
}

static int walk_signatures(const Fit *f, NodeFunction each, void *userdata, Error *e) {
        Node nodes[DEPTH_MAX + 1] = {};
        char path[PATH_LEN_MAX] = "";
        size_t depth = 0;
        Token t = {};
        int r = 0;

        for (size_t at = 0; t.tag != FDT_END && r >= 0; at = t.next) {
                if (!token_read(f, at, &t) || (t.tag == FDT_END_NODE && depth == 0) ||
                    (t.tag == FDT_BEGIN_NODE && (depth == DEPTH_MAX || !path_push(path, t.name))))
                        return error_set(e, -CSIGN_E_BAD_SIGNATURE, "%s is broken", f->path);
                if (t.tag == FDT_BEGIN_NODE) {
                        nodes[++depth] = (Node){};
                } else if (t.tag == FDT_PROP) {
                        node_add(&nodes[depth], &t);
                } else if (t.tag == FDT_END_NODE) {
                        if (depth > 1 && is_signature(path))
                                r = each(f, path, &nodes[depth], &nodes[depth - 1], userdata, e);
                        depth--;
                        path_pop(path);
                }
        }
        return r;
}

/* ---- the three questions ---- */

typedef struct Verify {
        EVP_PKEY *key;
        size_t n;
} Verify;

static int verify_node(const Fit *f, const char *path, const Node *sig, const Node *parent,
                       void *userdata, Error *e) {
        Verify *v = userdata;

        v->n++;
        if (signature_is_good(f, sig, parent, v->key))
                return 0;
        return error_set(e, -CSIGN_E_BAD_SIGNATURE, "%s: %s %s", f->path, path,
                         sig->value.data ? "is not signed by the key" : "is not signed");
}

int fit_verify(const char *path, const Buf *content, EVP_PKEY *key, Error *e) {
        Verify v = { .key = key };
        Fit f = {};
        int r;

        r = fit_open(&f, path, content, e);
        if (r >= 0)
                r = walk_signatures(&f, verify_node, &v, e);
        if (r >= 0 && v.n == 0)
                r = error_set(e, -CSIGN_E_BAD_SIGNATURE, "%s has no signature node", path);
        return r;
}

typedef struct Hints {
        FitHint f;
        void *userdata;
} Hints;

static int hint_node(const Fit *f, const char *path, const Node *sig, const Node *parent,
                     void *userdata, Error *e) {
        const Hints *h = userdata;
        const char *hint = text_in(sig->hint, 0);

        return hint ? h->f(hint, h->userdata, e) : 0;
}

int fit_hints(const char *path, const Buf *content, FitHint f, void *userdata, Error *e) {
        Hints h = { f, userdata };
        Fit fit = {};
        int r;

        r = fit_open(&fit, path, content, e);
        return r < 0 ? r : walk_signatures(&fit, hint_node, &h, e);
}

int fit_source_hints(const Buf *source, FitHint f, void *userdata, Error *e) {
        static const char name[] = "key-name-hint";
        int r = 0;

        for (const char *p = buf_str(source); r >= 0 && (p = strstr(p, name));) {
                char hint[256];

                p += strlen(name);
                if (sscanf(p, " = \"%255[^\"]\"", hint) == 1)
                        r = f(hint, userdata, e);
        }
        return r;
}
