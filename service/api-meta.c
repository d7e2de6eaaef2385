/* SPDX-License-Identifier: Apache-2.0 */
/* What the service says of itself and of its caller. */

#include "service/api.h"
#include "service/ca/rows.h"
#include "service/clock.h"
#include "service/metrics.h"
#include "service/openapi.h"

int api_health(Request *req, Error *e) {
        AuditHead head;
        int r;

        /* A database that cannot be read is not health. */
        r = audit_head(req->service->db, &head, e);
        return r < 0 ? r : buf_append_str(&req->reply, "{\"status\":\"ok\"}");
}

int api_ready(Request *req, Error *e) {
        int r;

        r = ready_check(req->service->ready, e);
        return r < 0 ? r : buf_append_str(&req->reply, "{\"status\":\"ready\"}");
}

int api_openapi(Request *req, Error *e) {
        req->reply_type = "application/yaml";
        return buf_append(&req->reply, openapi_text, openapi_len);
}

/* What has to be renewed, as csign cert list --expiring has it. */
static int write_expiring(Request *req, Error *e) {
        static const unsigned days[CERT_WARNINGS] = { CERT_WARN_DAYS };
        uint64_t counts[CERT_WARNINGS] = {};
        int r;

        r = certificate_count_expiring(req->service->db, clock_now(), counts, e);
        if (r >= 0)
                r = buf_append_str(
                        &req->reply,
                        "# TYPE csign_certificates_expiring gauge\n"
                        "# HELP csign_certificates_expiring current certificates of keys that end "
                        "within days, or have ended\n");
        for (size_t i = 0; r >= 0 && i < CERT_WARNINGS; i++)
                r = buf_printf(&req->reply, "csign_certificates_expiring{days=\"%u\"} %llu\n",
                               days[i], (unsigned long long) counts[i]);
        return r;
}

int api_metrics(Request *req, Error *e) {
        int r;

        req->reply_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        r = metrics_write(&req->reply);
        if (r >= 0)
                r = write_expiring(req, e);
        return r < 0 ? r : buf_append_str(&req->reply, "# EOF\n");
}

static void write_words(JsonOut *o, const char *name, const char *const words[], size_t n) {
        json_begin_array(o, name);
        for (size_t i = 0; i < n; i++)
                json_out_str(o, NULL, words[i]);
        json_end_array(o);
}

int api_oauth_metadata(Request *req, Error *e) {
        static const char *const grants[] = { "client_credentials" };
        static const char *const methods[] = { "private_key_jwt" };
        static const char *const algs[] = { "ES256", "ES384", "PS256", "RS256", "EdDSA" };
        const char *issuer = req->service->config.issuer;
        JsonOut o = JSON_OUT(&req->reply);
        char endpoint[512];

        snprintf(endpoint, sizeof(endpoint), "%s/v1/oauth/token", issuer);
        json_begin_object(&o, NULL);
        json_out_str(&o, "issuer", issuer);
        json_out_str(&o, "token_endpoint", endpoint);
        json_begin_array(&o, "response_types_supported");
        json_end_array(&o);
        write_words(&o, "grant_types_supported", grants, ELEMENTSOF(grants));
        write_words(&o, "token_endpoint_auth_methods_supported", methods, ELEMENTSOF(methods));
        write_words(&o, "token_endpoint_auth_signing_alg_values_supported", algs, ELEMENTSOF(algs));
        json_out_bool(&o, "tls_client_certificate_bound_access_tokens", true);
        json_end_object(&o);
        return o.r;
}

int api_whoami(Request *req, Error *e) {
        const Principal *p = req->principal;
        JsonOut o = JSON_OUT(&req->reply);

        json_begin_object(&o, NULL);
        json_begin_object(&o, "principal");
        json_out_str(&o, "id", p->id);
        json_out_str(&o, "type", principal_type_name(p));
        json_out_str(&o, "name", p->name);
        json_end_object(&o);
        json_begin_object(&o, "tsg");
        json_out_str(&o, "id", p->tsg);
        json_out_str(&o, "path", p->tsg_path);
        json_end_object(&o);
        json_end_object(&o);
        return o.r;
}
