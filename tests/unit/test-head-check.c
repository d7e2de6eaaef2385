/* SPDX-License-Identifier: Apache-2.0 */
#include "service/head-check.h"

#include <errno.h>

#include "tests/unit/test.h"

#define HOST "Host: localhost\r\n"

/* Fed as a whole, and byte by byte: the same comes out. */
static int feed(const char *text, size_t body_max, HeadCheck *ret, Error *e) {
        HeadCheck whole = {}, pieces = {};
        Error other = {};
        int r, q = 0;

        r = head_check_feed(&whole, text, strlen(text), body_max, e);
        for (const char *p = text; *p && q >= 0; p++)
                q = head_check_feed(&pieces, p, 1, body_max, &other);
        assert_int_equal(r, q);
        assert_string_equal(e->detail, other.detail);
        assert_int_equal(whole.state, pieces.state);
        assert_int_equal(whole.excess, pieces.excess);
        *ret = whole;
        ret->text = NULL;
        head_check_done(&whole);
        head_check_done(&pieces);
        return r;
}

static void requests_come_to_their_end(void **state) {
        static const struct {
                const char *text;
                HeadState expect;
                bool excess;
        } cases[] = {
                { "", HEAD_IDLE },
                { "G", HEAD_LINE },
                { "GET / HTTP/1.1\r\n" HOST, HEAD_LINE },
                { "GET / HTTP/1.1\r\n" HOST "\r\n", HEAD_WHOLE },
                { "GET /a?b=c%20d HTTP/1.0\r\nhost:x:1\r\n\r\n", HEAD_WHOLE },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab", HEAD_BODY },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length:3 \t\r\n\r\n\r\n\r", HEAD_WHOLE },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nabc", HEAD_WHOLE, true },
                { "GET / HTTP/1.1\r\n" HOST "X-A: \xc3\xa4\r\nX-A: b\r\n\r\n", HEAD_WHOLE },
                { "PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\n\r\n", HEAD_WHOLE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                HeadCheck h;
                Error e = {};

                assert_int_equal(feed(cases[i].text, 100, &h, &e), 0);
                assert_int_equal(h.state, cases[i].expect);
                assert_int_equal(h.excess, cases[i].excess);
        }
}

static void what_could_mean_two_things_is_refused(void **state) {
        static const struct {
                const char *text;
                int expect;
        } cases[] = {
                { "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST "\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET  / HTTP/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET /a b HTTP/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/2.0\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / http/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET /\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET //[ HTTP/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET https://x/ HTTP/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "OPTIONS * HTTP/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET /# HTTP/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET /\xc3\xa4 HTTP/1.1\r\n", -CSIGN_E_BAD_REQUEST },
                { "BREW / HTTP/1.1\r\n", -EOPNOTSUPP },
                { "get / HTTP/1.1\r\n", -EOPNOTSUPP },
                { "GET / HTTP/1.1\r\n\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST HOST "\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\nHost: a b\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\nHost:\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST " folded\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST "Name : x\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST ": x\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST "name\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n", -CSIGN_E_BAD_REQUEST },
                { "GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nauthorization: b\r\n",
                  -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-length: 1\r\n",
                  -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: 1, 1\r\n", -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: +1\r\n", -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x1\r\n", -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999\r\n",
                  -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Content-Length: 101\r\n\r\n", -CSIGN_E_TOO_LARGE },
                { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n",
                  -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n",
                  -CSIGN_E_BAD_REQUEST },
                { "POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n", -CSIGN_E_BAD_REQUEST },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                HeadCheck h;
                Error e = {};

                assert_int_equal(feed(cases[i].text, 100, &h, &e), cases[i].expect);
                assert_string_not_equal(e.detail, "");
        }
}

static void a_head_has_bounds(void **state) {
        static const char line[] = "X: y\r\n";
        HeadCheck h = {};
        Error e = {};
        int r;

        r = head_check_feed(&h, "GET / HTTP/1.1\r\n" HOST, strlen("GET / HTTP/1.1\r\n" HOST), 0,
                            &e);
        assert_int_equal(r, 0);
        for (size_t i = 0; i < HEAD_LINES_MAX && r >= 0; i++)
                r = head_check_feed(&h, line, strlen(line), 0, &e);
        assert_int_equal(r, -CSIGN_E_TOO_LARGE);

        head_check_reset(&h);
        assert_int_equal(head_check_feed(&h, "GET /", 5, 0, &e), 0);
        for (size_t i = 0; i < HEAD_MAX && (r = head_check_feed(&h, "a", 1, 0, &e)) >= 0; i++)
                ;
        assert_int_equal(r, -CSIGN_E_TOO_LARGE);
        head_check_done(&h);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_come_to_their_end),
                cmocka_unit_test(what_could_mean_two_things_is_refused),
                cmocka_unit_test(a_head_has_bounds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
