# SPDX-License-Identifier: Apache-2.0
"""A key that a client gives its request: the request may come twice, and happens once."""

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import secrets
import sqlite3

import pytest

from account import Account
from peer import DBusError, Peer, Variant
from stack import text

DIGEST = hashlib.sha256(b"a file").digest()
PATH = "acme/mobile/release"


@pytest.fixture(scope="module")
def account(stack, tmp_path_factory):
    return Account(stack, "acme/mobile/idempotent", tmp_path_factory.mktemp("idempotent")).login()


def new_key():
    return "op_" + base64.b32encode(secrets.token_bytes(16)).decode().lower().rstrip("=")


def item(stack, key, digest=DIGEST, **more):
    return {"key": stack.keys[PATH]["id"], "version": 1, "scheme": "ecdsa", "hash": "SHA256",
            "digest": base64.b64encode(digest).decode(), "idempotency_key": key} | more


def batch(account, *items):
    status, _, body = account.request("POST", "/v1/signatures", json.dumps({"requests": items}))
    assert status == 200, body
    return body["results"]


def one(account, stack, key, quote='"', **more):
    body = item(stack, None, **more)
    del body["key"], body["idempotency_key"]
    return account.request("POST", f"/v1/keys/{stack.keys[PATH]['id']}/signatures", json.dumps(body),
                           headers={"Idempotency-Key": f"{quote}{key}{quote}"})


def records(stack):
    return stack.api("GET", "/v1/audit/head", status=200)["number"]


# ---- signatures ----

def test_a_repeated_signature_is_the_first(stack, account):
    key, before = new_key(), records(stack)
    (first,), (second,) = (batch(account, item(stack, key)) for _ in range(2))
    assert second == first | {"repeated": True}
    assert records(stack) == before + 1
    (record,) = stack.audit(request_id=second["request_id"])
    assert record["record"]["signature_sha256"] == hashlib.sha256(base64.b64decode(second["signature"])).hexdigest()


@pytest.mark.parametrize("quote", ['"', ""])
def test_the_header_does_the_same(stack, account, quote):
    key, before = new_key(), records(stack)
    (status, headers, first), (again, replayed, second) = (one(account, stack, key, quote) for _ in range(2))
    assert (status, again) == (201, 201) and second == first | {"repeated": True}
    assert "Idempotency-Replayed" not in headers and replayed["Idempotency-Replayed"] == "true"
    assert replayed["X-Request-Id"] == first["request_id"]
    assert records(stack) == before + 1


def test_another_request_under_the_same_key_is_refused_and_recorded(stack, account):
    key = new_key()
    (first,) = batch(account, item(stack, key))
    others = [{"digest": base64.b64encode(bytes(32)).decode()}, {"version": 0}, {"caller": {"uid": 1000}},
              {"hash": "SHA3-256"}]
    for other in others:
        before = records(stack)
        (result,) = batch(account, item(stack, key) | other)
        problem = result["problem"]
        assert problem["type"] == "urn:csign:error:IdempotencyMismatch" and problem["status"] == 422, other
        assert problem["rule"] == "idempotency-key"
        assert records(stack) == before + 1
        (record,) = stack.audit(request_id=problem["request_id"])
        assert record["record"]["result"] == "IdempotencyMismatch" and "signature_sha256" not in record["record"]
    (again,) = batch(account, item(stack, key))
    assert again["signature"] == first["signature"]


def test_the_same_request_by_the_other_route_gets_the_first_answer(stack, account):
    key, before = new_key(), records(stack)
    (first,) = batch(account, item(stack, key))
    status, _, again = one(account, stack, key)
    assert status == 201 and again["signature"] == first["signature"] and again["repeated"]
    assert records(stack) == before + 1


def test_one_batch_may_have_a_key_twice(stack, account):
    key, before = new_key(), records(stack)
    results = batch(account, item(stack, key), item(stack, new_key()), item(stack, key), item(stack, key, bytes(32)))
    assert results[2] == results[0] | {"repeated": True}
    assert results[1]["signature"] != results[0]["signature"]
    assert results[3]["problem"]["status"] == 422
    assert records(stack) == before + 3


def test_of_a_crowd_one_is_signed(stack, account):
    key, before = new_key(), records(stack)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda _: batch(account, item(stack, key))[0], range(32)))
    assert len({r["signature"] for r in results}) == 1 and len({r["record"]["number"] for r in results}) == 1
    assert sum("repeated" not in r for r in results) == 1
    assert records(stack) == before + 1


def test_a_refusal_is_decided_and_recorded_again(stack, account):
    name, key = "acme/mobile/idempotent-key", new_key()
    made = stack.add_key(name)
    stack.set_key_state(name, "disabled")
    before = records(stack)
    for _ in range(2):
        (result,) = batch(account, item(stack, key) | {"key": made["id"]})
        assert result["problem"]["type"] == "urn:csign:error:KeyDisabled"
    assert records(stack) == before + 2
    stack.set_key_state(name, "enabled")
    (result,) = batch(account, item(stack, key) | {"key": made["id"]})
    assert "signature" in result and "repeated" not in result
    stack.set_key_state(name, "disabled")
    (result,) = batch(account, item(stack, key) | {"key": made["id"]})
    assert result["problem"]["type"] == "urn:csign:error:KeyDisabled"


def test_keys_of_another_account_are_another_matter(stack, account, tmp_path):
    stranger = Account(stack, "acme/mobile/idempotent-too", tmp_path).login()
    key = new_key()
    (ours,), (theirs,) = batch(account, item(stack, key)), batch(stranger, item(stack, key))
    assert "repeated" not in theirs and ours["signature"] != theirs["signature"]


@pytest.mark.parametrize("key", ["", "a b", "x" * 65, "ä"])
def test_a_key_has_a_form(stack, account, key):
    (result,) = batch(account, item(stack, key))
    assert result["problem"]["type"] == "urn:csign:error:BadRequest"
    if key.isascii():
        status, _, problem = one(account, stack, key)
        assert status == 400 or not key, problem


def test_a_batch_takes_no_header(stack, account):
    status, _, problem = account.request("POST", "/v1/signatures", json.dumps({"requests": [item(stack, new_key())]}),
                                         headers={"Idempotency-Key": '"a"'})
    assert status == 400 and "each item" in problem["detail"]


def test_after_a_day_it_is_forgotten(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar=False, keys={PATH: "P-256"})
    account = Account(stack, "acme/mobile/a", tmp_path).login()
    key = new_key()
    (first,) = batch(account, item(stack, key))
    stack.service.stop()
    with contextlib.closing(sqlite3.connect(stack.state / "csign.db")) as db:
        assert db.execute("UPDATE idempotency SET expires = expires - 86400 * 1000000").rowcount == 1
        db.commit()
    for path in stack.state.glob("csign.db*"):
        if stack.root:
            os.chown(path, stack.state.stat().st_uid, stack.state.stat().st_gid)
    stack.service.start()
    account.login()
    (second,) = batch(account, item(stack, key))
    assert "repeated" not in second and second["signature"] != first["signature"]


# ---- what is made ----

@pytest.mark.parametrize("what", ["keys", "tsgs", "accounts"])
def test_what_is_made_is_made_once(stack, account, what):
    name = f"acme/once-{what}-{secrets.token_hex(4)}"
    body = {"path": name} | {"keys": {"algorithm": "P-256"}, "tsgs": {},
                             "accounts": {"public_key": account_public_key(stack, account)}}[what]
    headers, before = {"Idempotency-Key": f'"{secrets.token_hex(8)}"'}, records(stack)
    status, first_headers, first = stack.api("POST", f"/v1/{what}", body, headers=headers)
    assert status == 201, first
    status, again, second = stack.api("POST", f"/v1/{what}", body, headers=headers)
    assert (status, second) == (201, first) and again["Idempotency-Replayed"] == "true"
    assert again["X-Request-Id"] == first_headers["X-Request-Id"]
    assert records(stack) == before + 1
    if what != "accounts":
        assert stack.api("GET", f"/v1/{what}/{first['id']}", status=200) == first
    status, _, problem = stack.api("POST", f"/v1/{what}", body | {"path": name + "x"}, headers=headers)
    assert status == 422 and problem["type"] == "urn:csign:error:IdempotencyMismatch"
    status, _, problem = stack.api("POST", f"/v1/{what}", body, headers={"Idempotency-Key": f'"{secrets.token_hex(8)}"'})
    assert status == 409 and problem["type"] == "urn:csign:error:AlreadyExists", problem
    assert records(stack) == before + 3  # one, and two refusals


def test_the_same_for_another_object_is_another_request(stack):
    """Its answer would be about the first one: nobody would notice that nothing was done."""
    first, second = (stack.add_key(f"acme/once-{secrets.token_hex(4)}", certificate="none") for _ in range(2))
    headers = {"Idempotency-Key": f'"{secrets.token_hex(8)}"'}
    status, _, made = stack.api("POST", f"/v1/keys/{first['id']}/versions", {}, headers=headers)
    assert status == 201 and made["id"] == first["id"]
    status, _, problem = stack.api("POST", f"/v1/keys/{second['id']}/versions", {}, headers=headers)
    assert status == 422 and problem["type"] == "urn:csign:error:IdempotencyMismatch", problem
    status, again, same = stack.api("POST", f"/v1/keys/{first['id']}/versions", {}, headers=headers)
    assert (status, same) == (201, made) and again["Idempotency-Replayed"] == "true"
    assert stack.api("GET", f"/v1/keys/{second['id']}", status=200)["primary_version"] == 1


def account_public_key(stack, account):
    pem = stack.plain_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256").stdout
    return stack.plain_openssl("pkey", "-pubout", input=pem).stdout.decode()


def test_of_a_crowd_one_makes_it(stack):
    name, before = f"acme/crowd-{secrets.token_hex(4)}", records(stack)
    headers = {"Idempotency-Key": f'"{secrets.token_hex(8)}"'}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: stack.api("POST", "/v1/tsgs", {"path": name}, headers=headers), range(12)))
    assert {status for status, _, _ in answers} == {201}
    assert len({body["id"] for _, _, body in answers}) == 1
    assert records(stack) == before + 1


# ---- over D-Bus ----

def test_the_sidecar_takes_a_key_and_makes_one(stack):
    key = new_key()
    with Peer(stack.sidecar.socket) as peer:
        k = peer.get_key(PATH)
        sign = lambda **options: peer.sign(k["id"], 1, "ecdsa", "SHA256", DIGEST, **options)  # noqa: E731
        first, second = (sign(**{"idempotency-key": Variant("s", key)}) for _ in range(2))
        assert first == second
        assert sign() != sign()
        for bad in ("", "op_", "req_" + "a" * 26, "op_" + "A" * 26):
            with pytest.raises(DBusError) as refusal:
                sign(**{"idempotency-key": Variant("s", bad)})
            assert refusal.value.short == "BadRequest"
        with pytest.raises(DBusError) as refusal:
            peer.sign(k["id"], 1, "ecdsa", "SHA256", bytes(32), **{"idempotency-key": Variant("s", key)})
        assert refusal.value.short == "IdempotencyMismatch"
        assert "rule idempotency-key" in refusal.value.message


def test_a_stock_signer_names_its_operations(stack, tmp_path):
    """Each signature has an operation of its own: two of the same file are two."""
    (tmp_path / "file").write_bytes(b"a file")
    before = records(stack)
    for _ in range(2):
        done = stack.openssl("dgst", "-sha256", "-sign", f"csign://{PATH}", tmp_path / "file")
        assert done.returncode == 0, text(done.stderr)
    assert records(stack) == before + 2
