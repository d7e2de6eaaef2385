# SPDX-License-Identifier: Apache-2.0
"""Client assertions that must not get a token, each attack by its name; and that none of them uses anything up."""

import base64
import hashlib
import hmac
import json
import time
import uuid

import pytest

from stack import Stack
from test_service import Client, b64url, check_oauth_error

CURVES = {"ES256": ("EC", "ec_paramgen_curve:P-256"), "ES384": ("EC", "ec_paramgen_curve:P-384"),
          "RS256": ("RSA", "rsa_keygen_bits:2048"), "EdDSA": ("ED25519", "")}


@pytest.fixture(scope="module")
def service():
    with Stack(sidecar=False, keys={}) as s:
        yield s


@pytest.fixture(scope="module")
def clients(service, tmp_path_factory):
    """One of each kind of key."""
    made = {alg: Client(service, tmp_path_factory.mktemp(alg), f"acme/mobile/jwt-{alg.lower()}", kind, alg)
            for alg, kind in CURVES.items()}
    yield made
    for c in made.values():
        c.close()


@pytest.fixture
def client(clients):
    """Good before and after: nothing that was refused has cost it anything."""
    c = clients["ES256"]
    assert c.ask_token()[0] == 200
    yield c
    assert c.ask_token()[0] == 200


def refused(client, assertion, rule=None):
    """Not as a token, and not as trouble of ours."""
    status, _, body = client.ask_token(assertion)
    assert status in (400, 401), body
    check_oauth_error((status, _, body), status, "invalid_client" if status == 401 else "invalid_request", rule)
    return body


def unsigned_part(client, header, claims=None):
    now = int(time.time())
    claims = claims or {"iss": client.id, "sub": client.id, "aud": client.stack.url, "iat": now, "exp": now + 120,
                        "jti": uuid.uuid4().hex}
    return b64url(json.dumps(header).encode()) + "." + b64url(json.dumps(claims).encode())


# ---- algorithms ----

@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
@pytest.mark.parametrize("signature", ["", "AA"])
def test_alg_none(client, alg, signature):
    refused(client, unsigned_part(client, {"alg": alg, "typ": "JWT"}) + "." + signature)


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("secret", ["pem", "der", "empty"])
def test_hmac_with_the_public_key(clients, alg, secret):
    """The classic key confusion: a verifier that goes by the header takes the public key for an HMAC's."""
    for c in clients.values():
        pem = c.public.encode()
        der = base64.b64decode("".join(c.public.splitlines()[1:-1]))
        text = unsigned_part(c, {"alg": alg, "typ": "JWT"})
        mac = hmac.new({"pem": pem, "der": der, "empty": b""}[secret], text.encode(),
                       {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg])
        refused(c, text + "." + b64url(mac.digest()), "assertion-signature")


@pytest.mark.parametrize("said", ["ES256", "ES384", "RS256", "PS256", "EdDSA", "ES512", "RS384", "RS512", "PS384", "ES256K", "Ed25519"])
def test_an_alg_of_another_kind_of_key(clients, said):
    for alg, c in clients.items():
        if said != alg:
            refused(c, c.assertion(header={"alg": said}), "assertion-signature")


def test_pss_and_pkcs1_are_not_taken_for_each_other(clients):
    c = clients["RS256"]
    refused(c, c.assertion(header={"alg": "PS256"}), "assertion-signature")
    c.alg = "PS256"
    try:
        assert c.ask_token()[0] == 200
        refused(c, c.assertion(header={"alg": "RS256"}), "assertion-signature")
    finally:
        c.alg = "RS256"


# ---- headers that point to keys ----

@pytest.mark.parametrize("name, value", [
    ("jku", "https://evil.example/keys"), ("x5u", "https://evil.example/x5u"), ("x5c", ["AA=="]), ("x5t", "AA"),
    ("jwk", {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}), ("crit", ["exp"]), ("crit", []), ("b64", False),
    ("zip", "DEF"), ("cty", "JWT"), ("enc", "A256GCM"), ("epk", {}), ("p2c", 100000000), ("unknown", 1),
])
def test_a_header_that_is_not_understood(client, name, value):
    refused(client, client.assertion(header={name: value}))


@pytest.mark.parametrize("kid", ["", "x" * 257, 7, None, ["a"], "../../dev/null\u0000"])
def test_a_kid_of_no_form(client, kid):
    refused(client, client.assertion(header={"kid": kid}))


def test_a_kid_that_names_something_else_changes_nothing(client):
    """It is no way to choose a key: the connection's counts."""
    for kid in ("another", "' OR 1=1 --", "../../../etc/passwd"):
        assert client.ask_token(client.assertion(header={"kid": kid}))[0] == 200


@pytest.mark.parametrize("typ", ["JWE", "at+jwt", "", 1, None])
def test_a_typ_that_is_not_jwt(client, typ):
    refused(client, client.assertion(header={"typ": typ}))


# ---- audience ----

@pytest.mark.parametrize("change", ["/", "/v1/oauth/token", " ", "#", "?x", "\u0000", ".evil.example"])
def test_an_audience_that_is_nearly_the_issuer(client, change):
    refused(client, client.assertion({"aud": client.stack.url + change}))


@pytest.mark.parametrize("aud", [["URL"], ["URL", "https://elsewhere"], [], {}, None, 1, "", "https://elsewhere"])
def test_several_audiences_none_or_another(client, aud):
    aud = [client.stack.url if a == "URL" else a for a in aud] if isinstance(aud, list) else aud
    refused(client, client.assertion({"aud": aud}))


def test_the_audience_in_capitals(client):
    refused(client, client.assertion({"aud": client.stack.url.upper()}), "assertion-audience")


# ---- who ----

def test_another_accounts_id(client, clients):
    other = clients["ES384"].id
    refused(client, client.assertion({"iss": other, "sub": other}), "client-key")
    refused(client, client.assertion({"iss": other}))
    refused(client, client.assertion({"sub": other}), "assertion-issuer")


@pytest.mark.parametrize("iss", ["", "acc_x", "owner", "acc_" + "a" * 60, 1, None, ["acc"], "ACC"])
def test_an_issuer_of_no_form(client, iss):
    iss = client.id.upper() if iss == "ACC" else iss
    refused(client, client.assertion({"iss": iss, "sub": iss}))


def test_a_client_id_beside_it_that_is_another(client, clients):
    status, _, body = client.ask_token(form={"client_id": clients["ES384"].id})
    assert status == 401 and body["rule"] == "assertion-issuer"


# ---- time ----

@pytest.mark.parametrize("iat, exp, good", [
    (0, 300, True), (0, 301, False), (0, 0, False), (10, 5, False), (-1000, -900, False),
    (-150, -50, True), (-180, -75, False), (50, 170, True), (75, 195, False), (-290, 10, True), (-400, 10, False),
])
def test_life_and_skew(client, iat, exp, good):
    """At most 300 s of life, and 60 s of leeway each way; the times are some seconds off the edge."""
    now = int(time.time())
    assertion = client.assertion({"iat": now + iat, "exp": now + exp})
    if good:
        assert client.ask_token(assertion)[0] == 200
    else:
        refused(client, assertion, "assertion-time")


def test_not_before(client):
    now = int(time.time())
    assert client.ask_token(client.assertion({"nbf": now + 30}))[0] == 200
    refused(client, client.assertion({"nbf": now + 90}), "assertion-time")


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", ["120", 1.5, -1, True, None, [], 2 ** 63, 2 ** 64, 10 ** 30, 1e300])
def test_a_time_that_is_no_number_of_seconds(client, claim, value):
    refused(client, client.assertion({claim: value}))


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "jti"])
def test_a_claim_is_missing(client, claim):
    refused(client, client.assertion(drop=[claim]))


# ---- once ----

def test_replay(client):
    assertion = client.assertion()
    assert client.ask_token(assertion)[0] == 200
    refused(client, assertion, "assertion-replay")


def test_the_same_jti_in_another_assertion(client):
    jti = uuid.uuid4().hex
    assert client.ask_token(client.assertion({"jti": jti}))[0] == 200
    refused(client, client.assertion({"jti": jti, "exp": int(time.time()) + 100}), "assertion-replay")


def test_a_jti_of_one_account_is_free_for_another(client, clients):
    jti = uuid.uuid4().hex
    assert client.ask_token(client.assertion({"jti": jti}))[0] == 200
    other = clients["ES384"]
    assert other.ask_token(other.assertion({"jti": jti}))[0] == 200


@pytest.mark.parametrize("jti", ["", "x" * 129, 1, None, "a\u0000b"])
def test_a_jti_of_no_form(client, jti):
    refused(client, client.assertion({"jti": jti}))


# ---- form ----

def test_duplicate_claims(client):
    now = int(time.time())
    for twice in ('"aud":"https://elsewhere"', f'"exp":{now + 60}', '"iss":"x"', '"jti":"y"'):
        claims = (f'{{"iss":"{client.id}","sub":"{client.id}","aud":"{client.stack.url}","iat":{now},"exp":{now + 120},'
                  f'"jti":"{uuid.uuid4().hex}",{twice}}}')
        refused(client, client.assertion(raw_claims=claims))


def test_duplicate_header_names(client):
    refused(client, client.assertion(raw_header='{"alg":"none","alg":"ES256"}'))
    refused(client, client.assertion(raw_header='{"alg":"ES256","alg":"ES256"}'))


def test_a_claim_that_nobody_knows(client):
    refused(client, client.assertion({"scope": "everything"}))


@pytest.mark.parametrize("how", ["padded", "newline", "space", "plus", "slash", "trailing bits"])
def test_base64url_has_one_form(client, how):
    header, claims, signature = client.assertion().split(".")
    if how == "padded":
        signature += "=="
    elif how == "newline":
        claims = claims[:8] + "\n" + claims[8:]
    elif how == "space":
        header += " "
    elif how == "plus":
        signature = "+" + signature[1:]
    elif how == "slash":
        signature = "/" + signature[1:]
    else:  # 64 bytes have 86 digits, and the last has 4 bits that mean nothing
        digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        signature = signature[:-1] + digits[digits.index(signature[-1]) | 1]
    refused(client, ".".join((header, claims, signature)))


@pytest.mark.parametrize("how", ["empty", "dots", "two parts", "four parts", "five parts", "json", "nul"])
def test_what_is_no_compact_jws(client, how):
    good = client.assertion()
    refused(client, {"empty": "", "dots": "..", "two parts": good.rsplit(".", 1)[0], "four parts": good + ".AA",
                     "five parts": good + ".AA.AA", "json": '{"payload":"AA","signatures":[]}',
                     "nul": good + "\u0000"}[how] or " ")


@pytest.mark.parametrize("how", ["claims", "header", "signature"])
def test_oversize(client, how):
    big = "x" * 9000
    assertion = {"claims": lambda: client.assertion({"jti": big}), "header": lambda: client.assertion(header={"kid": big}),
                 "signature": lambda: client.assertion(signature=b"\1" * 9000)}[how]()
    refused(client, assertion)
    refused(client, assertion + "A" * 40000)


def test_nested(client):
    deep = "[" * 2000 + "]" * 2000
    now = int(time.time())
    claims = (f'{{"iss":{deep},"sub":"{client.id}","aud":"{client.stack.url}","iat":{now},"exp":{now + 120},"jti":"x"}}')
    refused(client, client.assertion(raw_claims=claims))
    refused(client, client.assertion(raw_header=f'{{"alg":{deep}}}'))


def test_a_jwt_in_a_jwt(client):
    refused(client, client.assertion(raw_claims=json.dumps(client.assertion())))


def test_not_json(client):
    for text in (" ", "null", "[]", '"x"', "{", '{"alg"}', "\ufeff{}", "{}{}", "{'alg':'ES256'}", "NaN"):
        refused(client, client.assertion(raw_claims=text))
        refused(client, client.assertion(raw_header=text))


@pytest.mark.parametrize("how", ["empty", "zeros", "short", "long", "der", "r is the order", "swapped", "negated"])
def test_an_ecdsa_signature_of_no_form(client, how):
    good = client.assertion()
    text, signature = good.rsplit(".", 1)
    raw = base64.urlsafe_b64decode(signature + "==")
    order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551
    changed = {"empty": b"", "zeros": bytes(64), "short": raw[:63], "long": raw + b"\0", "der": b"\x30\x06\2\1\1\2\1\1",
               "r is the order": order.to_bytes(32, "big") + raw[32:], "swapped": raw[32:] + raw[:32],
               "negated": bytes(64 - len(raw[:32])) + raw[32:]}[how]
    refused(client, text + "." + b64url(changed), "assertion-signature" if how != "empty" else None)


def test_a_signature_over_other_claims(client):
    one, two = client.assertion().split("."), client.assertion().split(".")
    refused(client, ".".join((one[0], two[1], one[2])), "assertion-signature")
