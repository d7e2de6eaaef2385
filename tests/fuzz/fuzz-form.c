/* SPDX-License-Identifier: Apache-2.0 */

/* Token requests and URL queries; and what follows them in a request that needs no authentication:
 * the path and the headers Authorization and If-Match. */

#include "service/authn.h"
#include "service/form.h"
#include "service/revision.h"
#include "service/route.h"
#include "tests/fuzz/fuzz.h"

static void check_form(const Form *f) {
        for (size_t i = 0; i < f->n; i++) {
                assert(f->items[i].name[0]);
                assert(form_get(f, f->items[i].name) == f->items[i].value);
                for (const char *p = f->items[i].value; *p; p++)
                        assert((unsigned char) *p >= 0x20);
        }
}

static void check_etag(const char *text) {
        char etag[REVISION_ETAG_MAX];
        Error e = {};
        uint64_t v;

        if (revision_parse(text, &v, &e) == 0)
                assert(strcmp(text, v ? revision_etag(v, etag) : "*") == 0);
        else
                assert(e.detail[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char params[REQUEST_PARAMS_MAX][REQUEST_PARAM_MAX];
        char *text = fuzz_string(data, size);
        const Route *route;
        Form f = {};
        Error e = {};
        Bearer b;

        if (form_parse((const char *) data, size, &f, &e) == 0)
                check_form(&f);
        else
                assert(e.detail[0] && !f.text.data);
        form_done(&f);

        (void) route_find("GET", text, params, &route, &e);
        bearer_parse(text, &b);
        check_etag(text);
        free(text);
        return 0;
}
