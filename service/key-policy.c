/* SPDX-License-Identifier: Apache-2.0 */
/* Usage policies: their JSON, and the decision. */

#include "service/key-policy.h"

#include <string.h>

/* ---- reading ---- */

typedef struct Given {
        const json_t *schemes, *hashes, *per_hour, *per_day; /* NULL: not there */
        const json_t *expired, *revoked;
} Given;

static int field_value(const json_t *v, const char *name, void *target, Error *e) {
        *(const json_t **) target = v;
        return 0;
}

static int read_schemes(const json_t *list, const KeyAlg *alg, uint32_t made, uint32_t *ret,
                        Error *e) {
        uint32_t mask = 0;
        json_t *v;
        size_t i;

        json_array_foreach((json_t *) list, i, v) {
                const char *name = json_string_value(v);
                Scheme s = name ? scheme_by_name(name) : SCHEME_NONE;

                if (s == SCHEME_NONE || !(alg->schemes & SCHEME_BIT(s)))
                        return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                         "'schemes': '%.32s' is no scheme of a %s key", name ?: "?",
                                         alg->name);
                if (!(made & SCHEME_BIT(s)))
                        return error_set(
                                e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                "'schemes': the key was made without %s, which is sealed with it",
                                name);
                mask |= SCHEME_BIT(s);
        }
        *ret = mask;
        return 0;
}

/* Whether a key of the algorithm signs by such a hash, by any of its schemes. */
static const HashAlg *find_hash(const KeyAlg *alg, const char *name) {
        for (Scheme s = SCHEME_RSA_PKCS1; s < SCHEME_END_; s++) {
                const HashAlg *h =
                        alg->schemes & SCHEME_BIT(s) ? scheme_hash_by_name(s, name) : NULL;

                if (h)
                        return h;
        }
        return NULL;
}

static int read_hashes(const json_t *list, const KeyAlg *alg, uint64_t *ret, Error *e) {
        uint64_t mask = 0;
        json_t *v;
        size_t i;

        json_array_foreach((json_t *) list, i, v) {
                const char *name = json_string_value(v);
                const HashAlg *h = name ? find_hash(alg, name) : NULL;

                if (!h)
                        return error_set(e, -CSIGN_E_UNSUPPORTED_SCHEME,
                                         "'hashes': '%.32s' is no hash that a %s key signs by",
                                         name ?: "?", alg->name);
                mask |= HASH_BIT(h);
        }
        *ret = mask;
        return 0;
}

/* A list that allows nothing would be another way to disable the key. */
static int check_list(const json_t *v, const char *name, Error *e) {
        if (json_is_null(v) || (json_is_array(v) && json_array_size(v) > 0))
                return 0;
        return error_set(e, -CSIGN_E_BAD_REQUEST, "'%s' is a list of at least one name, or null",
                         name);
}

static int read_count(const json_t *v, const char *name, uint32_t *ret, Error *e) {
        int r;

        if (!v)
                return 0;
        if (json_is_null(v)) {
                *ret = 0;
                return 0;
        }
        r = json_field_u32(v, name, ret, e);
        if (r >= 0 && *ret == 0)
                r = error_set(e, -CSIGN_E_BAD_REQUEST,
                              "'%s' is at least 1, or null for no limit; disable a key that is to "
                              "sign nothing",
                              name);
        return r;
}

/* Here it is the restriction that is the rule: null brings it back. */
static int read_switch(const json_t *v, const char *name, bool *ret, Error *e) {
        if (!v)
                return 0;
        if (json_is_null(v)) {
                *ret = false;
                return 0;
        }
        return json_field_bool(v, name, ret, e);
}

static int read_lists(KeyPolicy *p, const Given *g, const KeyAlg *alg, uint32_t made, Error *e) {
        int r = 0;

        if (g->schemes) {
                r = check_list(g->schemes, "schemes", e);
                if (r >= 0)
                        r = read_schemes(g->schemes, alg, made, &p->schemes, e);
        }
        if (r >= 0 && g->hashes) {
                r = check_list(g->hashes, "hashes", e);
                if (r >= 0)
                        r = read_hashes(g->hashes, alg, &p->hashes, e);
        }
        return r;
}

int key_policy_read(KeyPolicy *p, const json_t *json, const KeyAlg *alg, uint32_t made, Error *e) {
        static const JsonField fields[] = {
                { "schemes", field_value, offsetof(Given, schemes) },
                { "hashes", field_value, offsetof(Given, hashes) },
                { "signatures_per_hour", field_value, offsetof(Given, per_hour) },
                { "signatures_per_day", field_value, offsetof(Given, per_day) },
                { "allow_expired_certificate", field_value, offsetof(Given, expired) },
                { "allow_revoked_certificate", field_value, offsetof(Given, revoked) },
        };
        KeyPolicy policy = *p;
        Given g = {};
        int r;

        r = json_read(json, fields, ELEMENTSOF(fields), &g, e);
        if (r >= 0)
                r = read_lists(&policy, &g, alg, made, e);
        if (r >= 0)
                r = read_count(g.per_hour, "signatures_per_hour", &policy.per_hour, e);
        if (r >= 0)
                r = read_count(g.per_day, "signatures_per_day", &policy.per_day, e);
        if (r >= 0)
                r = read_switch(g.expired, "allow_expired_certificate",
                                &policy.allow_expired_certificate, e);
        if (r >= 0)
                r = read_switch(g.revoked, "allow_revoked_certificate",
                                &policy.allow_revoked_certificate, e);
        if (r < 0)
                return r;
        *p = policy;
        return 0;
}

/* ---- writing ---- */

void key_policy_write_schemes(JsonOut *o, const char *name, uint32_t schemes) {
        json_begin_array(o, name);
        for (Scheme s = SCHEME_RSA_PKCS1; s < SCHEME_END_; s++)
                if (schemes & SCHEME_BIT(s))
                        json_out_str(o, NULL, scheme_name(s));
        json_end_array(o);
}

static void write_hashes(JsonOut *o, const KeyPolicy *p, const KeyAlg *alg) {
        const HashAlg *own = scheme_own_hash(scheme_of_key(alg));

        json_begin_array(o, "hashes");
        if (own)
                json_out_str(o, NULL, own->name);
        for (size_t i = 0; !own && hash_alg_at(i); i++)
                if (p->hashes == 0 || p->hashes & HASH_BIT(hash_alg_at(i)))
                        json_out_str(o, NULL, hash_alg_at(i)->name);
        json_end_array(o);
}

void key_policy_write(JsonOut *o, const char *name, const KeyPolicy *p, const KeyAlg *alg,
                      uint32_t made) {
        json_begin_object(o, name);
        key_policy_write_schemes(o, "schemes", key_policy_schemes(p, made));
        write_hashes(o, p, alg);
        if (p->per_hour)
                json_out_u64(o, "signatures_per_hour", p->per_hour);
        if (p->per_day)
                json_out_u64(o, "signatures_per_day", p->per_day);
        if (p->allow_expired_certificate)
                json_out_bool(o, "allow_expired_certificate", true);
        if (p->allow_revoked_certificate)
                json_out_bool(o, "allow_revoked_certificate", true);
        json_end_object(o);
}

/* ---- deciding ---- */

static int refuse(const char *path, const char *what, Error *e) {
        return error_set_rule(e, -CSIGN_E_UNSUPPORTED_SCHEME, "usage-scheme",
                              "the policy of key '%s' does not allow %s", path, what);
}

int key_policy_check(const KeyPolicy *p, const SignRequest *req, const char *path, Error *e) {
        if (p->schemes && !(p->schemes & SCHEME_BIT(req->scheme)))
                return refuse(path, scheme_name(req->scheme), e);
        if (p->hashes && !(p->hashes & HASH_BIT(req->hash)))
                return refuse(path, req->hash->name, e);
        if (p->hashes && req->mgf1_hash && !(p->hashes & HASH_BIT(req->mgf1_hash)))
                return refuse(path, req->mgf1_hash->name, e);
        return 0;
}
