# SPDX-License-Identifier: Apache-2.0
"""Accounts over their life: several keys, networks, validity, enrollment by a code, an end; and that each end is
one for what the account holds, at once."""

import concurrent.futures
import copy
import hashlib
import json
import secrets
import sqlite3
import time

import pytest

from account import Account
from stack import Stack, wait_until

DIGEST = hashlib.sha256(b"what is signed").digest()
EFFECT_SECONDS = 5  # in which a change holds


@pytest.fixture(scope="module")
def service():
    """Service and key store alone."""
    with Stack(sidecar=False) as s:
        yield s


def new_path():
    return f"acme/mobile/a-{secrets.token_hex(6)}"


@pytest.fixture
def account(service, tmp_path):
    return Account(service, new_path(), tmp_path).login()


def new_pair(stack, folder):
    """(key file, certificate file, public PEM)"""
    name = secrets.token_hex(4)
    key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
    stack.plain_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    stack.plain_openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=x", "-days", "2", "-out", certificate)
    return key, certificate, stack.plain_openssl("pkey", "-in", key, "-pubout").stdout.decode()


def with_key(account, folder):
    """The same account as held by another key, which is not registered yet; and the public half."""
    other = copy.copy(account)
    other.key, other.certificate, public = new_pair(account.stack, folder)
    other.bearer = None
    return other, public


def sign(account):
    return account.sign(account.stack.keys["acme/mobile/release"]["id"], DIGEST)


def post(account, path, body):
    return account.request("POST", path, json.dumps(body))


def check_problem(reply, status, name, rule=None):
    got, headers, body = reply
    assert got == status, body
    assert body["type"] == f"urn:csign:error:{name}" and body["request_id"] == headers["X-Request-Id"]
    assert rule is None or body["rule"] == rule
    return body


def records(stack, kind, account_id):
    return [r["record"] for r in stack.audit() if r["record"]["kind"] == kind
            and r["record"]["what"].get("account") == account_id]


def check_out_within_effect(account, *rules):
    """What the account holds is worth nothing any more, soon."""
    def refused():
        status, _, body = sign(account)
        return status == 401 and body["rule"] in rules

    wait_until("the token's end", refused, EFFECT_SECONDS)


# ---- several keys ----

def test_a_second_key_logs_in_beside_the_first_and_the_first_can_go(service, account, tmp_path):
    other, public = with_key(account, tmp_path)
    assert other.token()[0] == 401
    added = service.api("POST", f"/v1/accounts/{account.id}/keys", {"public_key": public, "validity_days": 30}, status=201)
    other.login()
    assert sign(account)[0] == 201 and sign(other)[0] == 201

    seen = service.api("GET", f"/v1/accounts/{account.id}", status=200)
    assert [k["id"] for k in seen["keys"]] == [account.record["keys"][0]["id"], added["id"]]
    assert seen["keys"][1]["expires"] < seen["keys"][0]["expires"]

    first = account.record["keys"][0]["id"]
    service.api("DELETE", f"/v1/accounts/{account.id}/keys/{first}", status=204)
    check_out_within_effect(account, "credential")
    assert account.token()[0] == 401
    assert sign(other)[0] == 201
    assert [r["what"]["key"] for r in records(service, "account.key-remove", account.id)] == [first]
    assert service.api("DELETE", f"/v1/accounts/{account.id}/keys/{first}")[0] == 404


def test_a_key_belongs_to_one_account(service, account, tmp_path):
    other = Account(service, new_path(), tmp_path)
    public = service.plain_openssl("pkey", "-in", account.key, "-pubout").stdout.decode()
    status, _, body = service.api("POST", f"/v1/accounts/{other.id}/keys", {"public_key": public})
    assert status == 409 and body["type"].endswith("AlreadyExists")


def test_there_is_a_most_of_keys(service, account, tmp_path):
    for _ in range(7):
        service.api("POST", f"/v1/accounts/{account.id}/keys", {"public_key": new_pair(service, tmp_path)[2]}, status=201)
    status, _, body = service.api("POST", f"/v1/accounts/{account.id}/keys", {"public_key": new_pair(service, tmp_path)[2]})
    assert status == 400 and "8 keys" in body["detail"]


def test_last_used_is_when_it_last_got_a_token(service, tmp_path):
    account = Account(service, new_path(), tmp_path)
    assert account.record["last_used"] is None and account.record["keys"][0]["last_used"] is None
    account.login()
    seen = service.api("GET", f"/v1/accounts/{account.id}", status=200)
    assert seen["last_used"] == seen["keys"][0]["last_used"] >= seen["created"]


# ---- an account's own rotation ----

def test_an_account_rotates_its_key_without_a_gap(service, account, tmp_path):
    """Signatures go on all the while: with the old key's token until its overlap ends, with the new one's after."""
    other, public = with_key(account, tmp_path)
    old = account.record["keys"][0]["id"]
    failures, stop = [], []

    def work():
        while not stop:
            reply = sign(account)
            if reply[0] != 201:
                failures.append(reply)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        try:
            status, _, added = post(account, "/v1/whoami/keys", {"public_key": public, "proof": other.jwt()})
            assert status == 201, added
            other.login()
            status, _, body = other.request("GET", "/v1/whoami/keys")
            assert status == 200
            assert {k["id"]: k["current"] for k in body["keys"]} == {old: False, added["id"]: True}
            status, _, ended = other.request("PATCH", f"/v1/whoami/keys/{old}", json.dumps({"ends_in": 2}))
            assert status == 200 and not failures
            before = sign(account)[0], sign(other)[0]
        finally:
            stop.append(True)
            done.result(60)
    assert before == (201, 201)
    check_out_within_effect(account, "token-expired")
    assert account.token()[0] == 401 and sign(other)[0] == 201
    # The next key that comes sweeps the ended one away.
    service.api("POST", f"/v1/accounts/{account.id}/keys", {"public_key": new_pair(service, tmp_path)[2]}, status=201)
    assert old not in [k["id"] for k in service.api("GET", f"/v1/accounts/{account.id}", status=200)["keys"]]


def test_a_new_key_needs_its_own_proof(service, account, tmp_path):
    other, public = with_key(account, tmp_path)
    stranger = Account(service, new_path(), tmp_path)
    for proof, rule in [(account.jwt(), "assertion-signature"), (stranger.jwt(), "assertion-signature"),
                        (other.jwt(aud="https://elsewhere"), "assertion-audience"),
                        (other.jwt(iss=stranger.id, sub=stranger.id), "assertion-issuer"),
                        (other.jwt(iat=int(time.time()) - 900, exp=int(time.time()) - 700), "assertion-time")]:
        check_problem(post(account, "/v1/whoami/keys", {"public_key": public, "proof": proof}), 401, "Unauthenticated", rule)
    check_problem(post(account, "/v1/whoami/keys", {"public_key": public, "proof": "a.b"}), 400, "BadRequest")


def test_an_account_ends_no_other_accounts_key_and_not_the_one_it_uses(service, account, tmp_path):
    stranger = Account(service, new_path(), tmp_path)
    reply = account.request("PATCH", f"/v1/whoami/keys/{stranger.record['keys'][0]['id']}", '{"ends_in":0}')
    check_problem(reply, 404, "NotFound")
    reply = account.request("PATCH", f"/v1/whoami/keys/{account.record['keys'][0]['id']}", '{"ends_in":0}')
    check_problem(reply, 403, "NotPermitted", "own-keys")
    reply = service.api("GET", "/v1/whoami/keys")
    check_problem(reply, 403, "NotPermitted", "own-keys")


def test_rotation_does_not_lengthen_a_keys_validity(service, tmp_path):
    path = new_path()
    key, certificate, public = new_pair(service, tmp_path)
    made = service.api("POST", "/v1/accounts", {"path": path, "public_key": public, "validity_days": 7}, status=201)
    account = Account.__new__(Account)
    account.stack, account.path, account.bearer, account.id = service, path, None, made["id"]
    account.key, account.certificate = key, certificate
    account.login()
    other, public = with_key(account, tmp_path)
    status, _, added = post(account, "/v1/whoami/keys", {"public_key": public, "proof": other.jwt()})
    assert status == 201
    week = 7 * 86400
    span = [time.strptime(added[n], "%Y-%m-%dT%H:%M:%SZ") for n in ("created", "expires")]
    assert abs(time.mktime(span[1]) - time.mktime(span[0]) - week) <= 3600


# ---- ends ----

def test_a_deleted_account_is_out_and_the_log_still_tells_of_it(service, account):
    assert sign(account)[0] == 201
    service.api("DELETE", f"/v1/accounts/{account.id}", status=204)
    check_out_within_effect(account, "credential")
    assert account.token()[0] == 401
    assert service.api("GET", f"/v1/accounts/{account.id}")[0] == 404
    assert service.api("DELETE", f"/v1/accounts/{account.id}")[0] == 404
    assert records(service, "account.delete", account.id)[0]["what"]["path"] == account.path
    signed = [r["record"] for r in service.audit() if r["record"]["kind"] == "sign"
              and r["record"]["principal"]["id"] == account.id]
    assert signed[0]["principal"]["name"] == account.path
    # Its path, and its key, are free again.
    public = service.plain_openssl("pkey", "-in", account.key, "-pubout").stdout.decode()
    service.api("POST", "/v1/accounts", {"path": account.path, "public_key": public}, status=201)


def test_a_disabled_account_is_out_and_an_enabled_one_is_back(service, account):
    service.api("PATCH", f"/v1/accounts/{account.id}", {"state": "disabled"}, status=200)
    check_out_within_effect(account, "credential", "token-expired")
    assert account.token()[0] == 401
    service.api("PATCH", f"/v1/accounts/{account.id}", {"state": "enabled"}, status=200)
    assert sign(account)[0] == 401  # what it held is gone for good
    account.bearer = None
    account.login()
    assert sign(account)[0] == 201
    changes = records(service, "account.change", account.id)
    assert [(c["what"]["state_before"], c["what"]["state"]) for c in changes] == [("enabled", "disabled"),
                                                                               ("disabled", "enabled")]


def test_validity_is_in_days_from_now(service, account):
    changed = service.api("PATCH", f"/v1/accounts/{account.id}", {"validity_days": 10}, status=200)
    left = time.mktime(time.strptime(changed["expires"], "%Y-%m-%dT%H:%M:%SZ")) - time.mktime(time.gmtime())
    assert abs(left - 10 * 86400) < 7200
    assert sign(account)[0] == 201


@pytest.mark.parametrize("body, word", [
    ({}, "nothing to change"), ({"state": "gone"}, "enabled or disabled"), ({"validity_days": 3651}, "1 to 3650"),
    ({"networks": "10.0.0.0/8"}, "not a list"), ({"networks": [1]}, "list of strings"),
    ({"networks": ["10.1.2.3/8"]}, "bits behind"), ({"networks": ["10.0.0.0/33"]}, "not a network"),
    ({"networks": ["::1/129"]}, "not a network"), ({"networks": ["10.0.0.0/+8"]}, "not a network"),
    ({"networks": ["example.com"]}, "not a network"), ({"networks": ["10.0.0.0/8 "]}, "not a network"),
    ({"networks": ["192.0.2.1"] * 17}, "more than 16"), ({"nets": []}, "nets"),
])
def test_a_bad_change_says_what_is_bad(service, account, body, word):
    status, _, answer = service.api("PATCH", f"/v1/accounts/{account.id}", body)
    assert status == 400 and word in answer["detail"]


# ---- networks ----

def test_networks_bind_token_requests_and_every_use_of_a_token(service, account):
    service.api("PATCH", f"/v1/accounts/{account.id}", {"networks": ["127.0.0.0/8", "::1"]}, status=200)
    assert sign(account)[0] == 201

    changed = service.api("PATCH", f"/v1/accounts/{account.id}", {"networks": ["192.0.2.0/24", "::/0"]}, status=200)
    assert changed["networks"] == ["192.0.2.0/24", "::/0"]
    check_problem(sign(account), 403, "NotPermitted", "account-network")
    status, _, body = account.token()
    assert status in (400, 401, 403) and body["rule"] == "account-network"
    denied = [r["record"] for r in service.audit() if r["record"].get("rule") == "account-network"
              and r["record"]["principal"]["id"] == account.id]
    assert denied and denied[0]["result"] == "NotPermitted"

    service.api("PATCH", f"/v1/accounts/{account.id}", {"networks": []}, status=200)
    assert sign(account)[0] == 201
    before = [r["what"]["networks_before"] for r in records(service, "account.change", account.id)]
    assert before == ["any", "127.0.0.0/8 ::1/128", "192.0.2.0/24 ::/0"]


def test_what_a_client_says_of_its_address_counts_for_nothing(service, account):
    service.api("PATCH", f"/v1/accounts/{account.id}", {"networks": ["192.0.2.0/24"]}, status=200)
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip"):
        reply = account.request("GET", "/v1/whoami", headers={name: "192.0.2.7"})
        check_problem(reply, 403, "NotPermitted", "account-network")


# ---- a pair that the service makes ----

@pytest.mark.parametrize("algorithm", ["P-256", "P-384", "RSA-2048", "Ed25519"])
def test_a_pair_made_by_the_service_is_handed_out_once(service, tmp_path, algorithm):
    operation = "op-" + secrets.token_hex(8)
    made = service.api("POST", "/v1/accounts", {"path": new_path(), "generate": algorithm}, status=201)
    assert made["keys"][0]["algorithm"] == algorithm
    pem = made.pop("private_key")
    assert pem.startswith("-----BEGIN PRIVATE KEY-----\n")
    key = tmp_path / "made.key"
    key.write_text(pem)
    der = service.plain_openssl("pkey", "-in", key, "-pubout", "-outform", "DER").stdout
    assert hashlib.sha256(der).hexdigest() == made["keys"][0]["thumbprint"]
    assert service.api("GET", f"/v1/accounts/{made['id']}", status=200) == made

    body, headers = {"path": new_path(), "generate": algorithm}, {"Idempotency-Key": operation}
    first = service.api("POST", "/v1/accounts", body, status=201, headers=headers)
    again = service.api("POST", "/v1/accounts", body, status=201, headers=headers)
    assert "private_key" in first and "private_key" not in again and first["id"] == again["id"]

    # In no form in the database, nor in the log.
    raw = service.plain_openssl("pkey", "-in", key, "-outform", "DER").stdout
    at = {"P-256": 36, "P-384": 35}.get(algorithm, len(raw) - 32)  # of the private number, or a part of it
    pieces = [raw[at:at + 32], pem.split("\n")[1].encode()]
    files = [f.read_bytes() for f in service.state.iterdir() if f.is_file()] + [service.service.log().encode()]
    assert not [p for p in pieces for f in files if p in f]


def test_generate_and_a_public_key_exclude_each_other(service, tmp_path):
    public = new_pair(service, tmp_path)[2]
    status, _, body = service.api("POST", "/v1/accounts", {"path": new_path(), "generate": "P-256", "public_key": public})
    assert status == 400 and "not for one account" in body["detail"]
    status, _, body = service.api("POST", "/v1/accounts", {"path": new_path(), "generate": "P-521"})
    assert status == 400 and "P-521" in body["detail"]


# ---- enrollment ----

@pytest.fixture
def empty(service):
    """An account that has no key yet."""
    made = service.api("POST", "/v1/accounts", {"path": new_path()}, status=201)
    assert made["keys"] == []
    return made


class Machine:
    """That has a code and makes its key."""

    def __init__(self, stack, folder):
        self.stack = stack
        self.key, self.certificate, self.public = new_pair(stack, folder)

    def holder(self, code, **claims):
        """An Account whose jwt() is the proof."""
        account = Account.__new__(Account)
        account.stack, account.bearer, account.key, account.certificate = self.stack, None, self.key, self.certificate
        account.id = code.split(".")[0]
        return account

    def enroll(self, code, public=None, **claims):
        holder = self.holder(code)
        proof = holder.jwt(**({"jti": code} | claims))
        body = {"code": code, "public_key": public or self.public, "proof": proof}
        return holder.request("POST", "/v1/enrollments", json.dumps(body), certificate=False)


def new_code(service, account, **more):
    return service.api("POST", f"/v1/accounts/{account['id']}/enrollments", more, status=201)


def test_a_code_registers_one_key_once(service, empty, tmp_path):
    enrollment = new_code(service, empty, validity_days=30)
    listed = service.api("GET", f"/v1/accounts/{empty['id']}/enrollments", status=200)["enrollments"]
    assert [e["id"] for e in listed] == [enrollment["id"]] and "code" not in listed[0]

    machine = Machine(service, tmp_path)
    status, _, body = machine.enroll(enrollment["code"])
    assert status == 201 and body["client_id"] == empty["id"] and body["account"] == empty["path"]
    account = machine.holder(enrollment["code"])
    account.id = empty["id"]
    assert sign(account.login())[0] == 201

    for reply in (machine.enroll(enrollment["code"]), Machine(service, tmp_path).enroll(enrollment["code"])):
        check_problem(reply, 401, "Unauthenticated", "enrollment-code")
    assert service.api("GET", f"/v1/accounts/{empty['id']}/enrollments", status=200)["enrollments"] == []
    logged = records(service, "account.enroll", empty["id"])
    assert [r["result"] for r in logged] == ["allowed"] and logged[0]["principal"]["id"] == empty["id"]
    assert [r["what"]["enrollment"] for r in records(service, "account.enrollment", empty["id"])] == [enrollment["id"]]


def test_of_many_who_use_a_code_at_once_one_gets_in(service, empty, tmp_path):
    code = new_code(service, empty)["code"]
    machines = [Machine(service, tmp_path) for _ in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = sorted(r[0] for r in pool.map(lambda m: m.enroll(code), machines))
    assert statuses == [201] + [401] * 7
    assert len(service.api("GET", f"/v1/accounts/{empty['id']}", status=200)["keys"]) == 1


def test_a_code_is_nowhere_but_in_its_answer(service, empty):
    code = new_code(service, empty)["code"]
    secret = code.split(".")[1].encode()
    files = [f.read_bytes() for f in service.state.iterdir() if f.is_file()]
    assert not any(secret in f for f in files) and secret.decode() not in service.service.log()
    assert len(secret) * 5 >= 128


def test_guessing_a_code_kills_it(service, empty, tmp_path):
    code = new_code(service, empty)["code"]
    machine = Machine(service, tmp_path)
    flip = "a" if code[-1] != "a" else "b"
    for _ in range(10):
        check_problem(machine.enroll(code[:-1] + flip), 401, "Unauthenticated", "enrollment-code")
    check_problem(machine.enroll(code), 401, "Unauthenticated", "enrollment-code")
    logged = records(service, "account.enroll", empty["id"])
    assert [r["result"] for r in logged] == ["Unauthenticated"] * 10


def test_all_bad_codes_get_the_same_answer(service, empty, tmp_path):
    """Unknown, of no form, wrong and removed: nobody learns which."""
    machine = Machine(service, tmp_path)
    right, removed = new_code(service, empty)["code"], new_code(service, empty)
    service.api("DELETE", f"/v1/accounts/{empty['id']}/enrollments/{removed['id']}", status=204)
    wrong = right[:-1] + ("a" if right[-1] != "a" else "b")
    answers = set()
    for code in ("enr_" + "a" * 26 + "." + "a" * 26, "x", right.upper(), wrong, removed["code"]):
        body = check_problem(machine.enroll(code), 401, "Unauthenticated", "enrollment-code")
        answers.add((body["title"], body["detail"]))
    assert len(answers) == 1
    assert service.api("DELETE", f"/v1/accounts/{empty['id']}/enrollments/{removed['id']}")[0] == 404


def test_the_proof_is_by_the_new_key_and_over_the_code(service, empty, tmp_path):
    code, other = new_code(service, empty)["code"], new_code(service, empty)["code"]
    machine, second = Machine(service, tmp_path), Machine(service, tmp_path)
    for reply, rule in [(machine.enroll(code, public=second.public), "assertion-signature"),
                        (machine.enroll(code, jti=other), "assertion-issuer"),
                        (machine.enroll(code, iss=empty["id"], sub=empty["id"]), "assertion-issuer"),
                        (machine.enroll(code, aud=service.url + "/"), "assertion-audience"),
                        (machine.enroll(code, exp=int(time.time()) + 900), "assertion-time")]:
        check_problem(reply, 401, "Unauthenticated", rule)
    assert machine.enroll(code)[0] == 201  # none of that used it up


def test_a_code_expires_and_there_is_a_most_of_them(service, empty, tmp_path):
    code = new_code(service, empty)
    with sqlite3.connect(service.state / "csign.db", timeout=30) as db:
        db.execute("UPDATE enrollments SET expires = 1 WHERE id = ?", (code["id"],))
    check_problem(Machine(service, tmp_path).enroll(code["code"]), 401, "Unauthenticated", "enrollment-code")
    for _ in range(8):
        new_code(service, empty)
    status, _, body = service.api("POST", f"/v1/accounts/{empty['id']}/enrollments", {})
    assert status == 400 and "8 open" in body["detail"]
    for seconds in (59, 604801):
        assert service.api("POST", f"/v1/accounts/{empty['id']}/enrollments", {"expires_in": seconds})[0] == 400


def test_a_code_of_a_disabled_account_or_from_elsewhere_is_refused(service, empty, tmp_path):
    code = new_code(service, empty)["code"]
    machine = Machine(service, tmp_path)
    service.api("PATCH", f"/v1/accounts/{empty['id']}", {"networks": ["192.0.2.0/24"]}, status=200)
    check_problem(machine.enroll(code), 403, "NotPermitted", "account-network")
    service.api("PATCH", f"/v1/accounts/{empty['id']}", {"networks": [], "state": "disabled"}, status=200)
    check_problem(machine.enroll(code), 401, "Unauthenticated", "account-state")
    service.api("PATCH", f"/v1/accounts/{empty['id']}", {"state": "enabled"}, status=200)
    assert machine.enroll(code)[0] == 201


def test_an_accounts_keys_do_not_administer(service, account, empty):
    for method, path, body in [("POST", f"/v1/accounts/{empty['id']}/enrollments", {}),
                               ("GET", f"/v1/accounts/{empty['id']}/enrollments", None),
                               ("POST", f"/v1/accounts/{empty['id']}/keys", {"public_key": "x"}),
                               ("DELETE", f"/v1/accounts/{empty['id']}", None)]:
        reply = account.request(method, path, None if body is None else json.dumps(body))
        check_problem(reply, 403, "NotPermitted")
