# SPDX-License-Identifier: Apache-2.0
"""The life of a key: what it may sign, how often and when, its words and its place, and its end."""

import base64
import concurrent.futures
import contextlib
import datetime
import json
import os
import re
import sqlite3
import subprocess
import time

import pytest

from fake_clock import FakeClock
from stack import SERVICE_UID, Stack, text, tool, wait_until
from test_service import DIGEST, Client, check_problem, check_signature, sign_item


def fresh_name():
    return f"acme/mobile/k-{os.urandom(4).hex()}"


def rfc3339(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def client(stack, tmp_path_factory):
    c = Client(stack, tmp_path_factory.mktemp("keys"), fresh_name()).login()
    yield c
    c.close()


@pytest.fixture
def key(stack):
    return stack.add_key(fresh_name(), certificate="none")


def change(stack, key, status=200, **fields):
    return stack.api("PATCH", f"/v1/keys/{key['id']}", fields, status=status)


def refused(stack, method, key, name, body=None, more="", status=None, rule=None):
    got = stack.api(method, f"/v1/keys/{key['id']}{more}", body)
    return check_problem(got, status or got[0], name, rule)


def sign(client, key, **more):
    return client.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None, **more))


def sign_batch(client, key, n, **more):
    status, _, body = client.api("POST", "/v1/signatures", {"requests": [sign_item(key, **more)] * n})
    assert status == 200, body
    return body["results"]


def get(stack, key):
    return stack.api("GET", f"/v1/keys/{key['id']}", status=200)


def listed(stack, query):
    return [k["path"] for k in stack.api("GET", f"/v1/keys?{query}", status=200)["keys"]]


def changes(stack, key, kind):
    """What the log has of that, the newest last."""
    return [r["record"] for r in stack.audit(key=key["id"]) if r["record"]["kind"] == kind]


# ---- words ----

def test_a_key_is_made_with_all_it_needs(stack):
    until = rfc3339(time.time() + 86400)
    asked = {"description": "Märchen", "labels": {"stage": "production", "owner": "Ä & Ö"}, "not_after": until,
             "not_before": "2026-01-31T12:00:00+01:00",
             "policy": {"schemes": ["rsa-pss"], "hashes": ["SHA256", "SHA384"], "signatures_per_day": 7}}
    key = stack.add_key(fresh_name(), "RSA-2048", certificate="none", **asked)
    assert key["not_before"] == "2026-01-31T11:00:00Z" and key["not_after"] == until
    assert key["labels"] == asked["labels"] and key["policy"] == asked["policy"]
    assert key["schemes"] == ["rsa-pss"] and key["state"] == "enabled"
    assert get(stack, key) == key


def test_what_is_not_named_stays(stack, key):
    assert key["labels"] == {} and key["policy"]["schemes"] == ["ecdsa"] and "not_after" not in key
    change(stack, key, labels={"stage": "test", "owner": "me"}, description="one")
    change(stack, key, labels={"owner": None, "team": "ios"})
    last = change(stack, key, not_after="2100-01-01T00:00:00Z", policy={"signatures_per_hour": 9})
    assert last["labels"] == {"stage": "test", "team": "ios"} and last["description"] == "one"
    assert last["policy"]["signatures_per_hour"] == 9
    last = change(stack, key, not_after=None, policy={"signatures_per_hour": None})
    assert "not_after" not in last and "signatures_per_hour" not in last["policy"]
    assert get(stack, key) == last

    log = [r["what"] for r in changes(stack, key, "key.change")]
    assert [json.loads(w.get("labels", "{}")) for w in log] == [
        {"owner": "me", "stage": "test"}, {"stage": "test", "team": "ios"}, {}, {}]
    assert json.loads(log[1]["labels_before"]) == {"owner": "me", "stage": "test"}
    assert log[2]["not_after"] == "2100-01-01T00:00:00Z" and log[2]["not_after_before"] == "none"
    assert json.loads(log[3]["policy_before"])["signatures_per_hour"] == 9
    assert "description" not in log[3]


@pytest.mark.parametrize("body", [
    {}, {"state": "expired"}, {"state": "destroyed"}, {"not_after": "tomorrow"}, {"not_after": "2027-02-30T00:00:00Z"},
    {"not_after": "2027-01-01T00:00:00"}, {"not_after": 5}, {"not_before": "2030-01-01T00:00:00Z", "not_after": "2029-01-01T00:00:00Z"},
    {"labels": {"Stage": "x"}}, {"labels": {"a": 1}}, {"labels": {"a": "x" * 129}}, {"labels": {"a": "x\ny"}},
    {"labels": {f"l{i}": "x" for i in range(33)}}, {"labels": []}, {"description": "x" * 1025},
    {"policy": {"signatures_per_hour": 0}}, {"policy": {"signatures_per_day": -1}}, {"policy": {"signatures_per_day": 2 ** 40}},
    {"policy": {"schemes": []}}, {"policy": {"hashes": "SHA256"}}, {"policy": {"colour": "red"}}, {"path": ""}, {"path": "name"},
], ids=str)
def test_nonsense_is_refused_and_changes_nothing(stack, key, body):
    refused(stack, "PATCH", key, "BadRequest", body, status=400)
    assert get(stack, key) == key


def test_labels_are_not_more_than_32(stack, key):
    change(stack, key, labels={f"l{i}": "x" for i in range(32)})
    refused(stack, "PATCH", key, "BadRequest", {"labels": {"one-more": "x"}})
    assert len(get(stack, key)["labels"]) == 32
    change(stack, key, labels={"l0": None, "one-more": "x"})


def test_listings_by_label_and_state(stack):
    mark = f"m{os.urandom(4).hex()}"
    keys = [stack.add_key(fresh_name(), certificate="none", labels={mark: "a:b" if i else "c"}) for i in range(3)]
    with_label = sorted(k["path"] for k in keys[1:])
    assert listed(stack, f"label={mark}:a:b") == with_label
    assert listed(stack, f"label={mark}:c&prefix=acme/mobile") == [keys[0]["path"]]
    assert listed(stack, f"label={mark}:c&prefix=acme/web") == [] and listed(stack, f"label={mark}:d") == []
    page = stack.api("GET", f"/v1/keys?label={mark}:a:b&limit=1", status=200)
    rest = stack.api("GET", f"/v1/keys?label={mark}:a:b&limit=1&cursor={page['next_cursor']}", status=200)
    assert [k["path"] for k in page["keys"] + rest["keys"]] == with_label and rest["next_cursor"] == ""

    change(stack, keys[0], state="disabled")
    change(stack, keys[1], not_after="2026-01-01T00:00:00Z")
    for state, one in (("disabled", keys[0]), ("expired", keys[1]), ("enabled", keys[2])):
        assert get(stack, one)["state"] == state
        shown = listed(stack, f"state={state}&prefix=acme/mobile&limit=200")
        assert {k["path"] for k in keys} & set(shown) == {one["path"]}
    for query in ("state=gone", "label=x", "label=a:b&state=enabled"):
        check_problem(stack.api("GET", f"/v1/keys?{query}"), 400, "BadRequest")


def test_of_two_who_change_the_same_one_learns_of_the_other(stack, key):
    etag = {"If-Match": f'"{key["revision"]}"'}
    status, headers, body = stack.api("PATCH", f"/v1/keys/{key['id']}", {"labels": {"a": "b"}}, headers=etag)
    assert status == 200 and body["revision"] == key["revision"] + 1 and headers["ETag"] == f'"{body["revision"]}"'
    for method, more, change_body in (("PATCH", "", {"description": "x"}), ("POST", "/destruction", {}),
                                      ("DELETE", "/destruction", None)):
        got = stack.api(method, f"/v1/keys/{key['id']}{more}", change_body, headers=etag)
        check_problem(got, 412, "PreconditionFailed", "if-match")
    assert get(stack, key) == body


# ---- what it may sign ----

@pytest.fixture(scope="module")
def rsa(stack):
    return stack.add_key(fresh_name(), "RSA-2048", certificate="none")


def test_a_policy_says_which_schemes_and_hashes(stack, client, rsa, tmp_path):
    pss, pkcs1 = {"scheme": "rsa-pss"}, {"scheme": "rsa-pkcs1"}
    assert sign(client, rsa, **pss)[0] == sign(client, rsa, **pkcs1)[0] == 201
    changed = change(stack, rsa, policy={"schemes": ["rsa-pss"], "hashes": ["SHA256"]})
    assert changed["schemes"] == ["rsa-pss"] and changed["policy"]["hashes"] == ["SHA256"]
    check_problem(sign(client, rsa, **pkcs1), 400, "UnsupportedScheme", "usage-scheme")
    long = base64.b64encode(DIGEST + DIGEST[:16]).decode()
    check_problem(sign(client, rsa, hash="SHA384", digest=long, **pss), 400, "UnsupportedScheme", "usage-scheme")
    check_problem(sign(client, rsa, mgf1_hash="SHA384", **pss), 400, "UnsupportedScheme", "usage-scheme")
    status, _, body = sign(client, rsa, **pss)
    assert status == 201, body
    check_signature(stack, rsa, body["signature"], tmp_path, options=["-pkeyopt", "digest:sha256", "-pkeyopt",
                                                                      "rsa_padding_mode:pss"])
    change(stack, rsa, policy={"schemes": None, "hashes": None})
    assert sign(client, rsa, **pkcs1)[0] == 201


@pytest.mark.parametrize("policy", [{"schemes": ["ecdsa"]}, {"schemes": ["nonsense"]}, {"hashes": ["MD5"]},
                                    {"hashes": ["mu"]}], ids=str)
def test_a_policy_allows_only_what_the_algorithm_can_do(stack, rsa, policy):
    refused(stack, "PATCH", rsa, "UnsupportedScheme", {"policy": policy}, status=400)
    got = stack.api("POST", "/v1/keys", {"path": fresh_name(), "algorithm": "RSA-2048", "policy": policy})
    check_problem(got, 400, "UnsupportedScheme")


def own_files(stack):
    if os.geteuid() == 0:
        for path in stack.state.glob("csign.db*"):
            os.chown(path, SERVICE_UID, SERVICE_UID)


@contextlib.contextmanager
def database(stack):
    with contextlib.closing(sqlite3.connect(stack.state / "csign.db")) as db:
        yield db
        db.commit()
    own_files(stack)


def test_schemes_of_the_beginning_are_sealed(fresh_stack, tmp_path):
    """Whoever can write to the database cannot loosen them: the key store does not sign."""
    stack = fresh_stack(sidecar=False, keys={})
    client = Client(stack, tmp_path, fresh_name()).login()
    key = stack.add_key(fresh_name(), "RSA-2048", certificate="none", policy={"schemes": ["rsa-pss"]})
    refused(stack, "PATCH", key, "UnsupportedScheme", {"policy": {"schemes": ["rsa-pkcs1"]}})
    again = stack.api("POST", f"/v1/keys/{key['id']}/versions", {}, status=201)
    assert again["schemes"] == ["rsa-pss"] and again["version"] == 2
    client.close()
    stack.service.stop()
    with database(stack) as db:
        assert db.execute("UPDATE keys SET schemes = 0, made_schemes = 0 WHERE id = ?", (key["id"],)).rowcount == 1
    stack.service.start()
    assert get(stack, key)["schemes"] == ["rsa-pkcs1", "rsa-pss"]
    for version in (1, 2):
        assert sign(client, key, scheme="rsa-pss", version=version)[0] == 201
        check_problem(sign(client, key, scheme="rsa-pkcs1", version=version), 400, "UnsupportedScheme", "key-schemes")
    client.close()


# ---- when ----

def test_validity(stack, client, key):
    before, after = rfc3339(time.time() + 3600), rfc3339(time.time() - 1)
    change(stack, key, not_before=before)
    assert get(stack, key)["state"] == "enabled"
    problem = check_problem(sign(client, key), 403, "KeyExpired", "key-validity")
    assert before in problem["detail"]
    change(stack, key, not_before=None, not_after=after)
    assert get(stack, key)["state"] == "expired"
    check_problem(sign(client, key), 403, "KeyExpired", "key-validity")
    change(stack, key, not_after=None)
    assert sign(client, key)[0] == 201


# ---- how often ----

def outcomes(results):
    allowed = [r for r in results if "signature" in r]
    denied = [r["problem"] for r in results if "problem" in r]
    assert len(allowed) + len(denied) == len(results)
    assert {p["rule"] for p in denied} <= {"usage-rate"} and {p["status"] for p in denied} <= {429}
    return len(allowed)


@pytest.fixture
def early(request):
    """Not within the last seconds of an hour, in which a window could end under the test."""
    left = 3600 - time.time() % 3600
    if left < 40:
        time.sleep(left + 0.1)


def test_a_limit_is_exact_and_says_when(stack, client, key, early):
    change(stack, key, policy={"signatures_per_hour": 3, "signatures_per_day": 1000})
    assert [sign(client, key)[0] for _ in range(3)] == [201] * 3
    reply = sign(client, key)
    problem = check_problem(reply, 429, "RateLimited", "usage-rate")
    left = 3600 - time.time() % 3600
    assert left <= int(reply[1]["Retry-After"]) <= left + 3 and problem["retry_after"] == int(reply[1]["Retry-After"])
    change(stack, key, policy={"signatures_per_hour": None, "signatures_per_day": 4})
    assert sign(client, key)[0] == 201
    assert int(sign(client, key)[1]["Retry-After"]) > 0
    change(stack, key, policy={"signatures_per_day": None})
    assert sign(client, key)[0] == 201
    log = [r["result"] for r in changes(stack, key, "sign")]
    assert log == ["allowed"] * 3 + ["RateLimited", "allowed", "RateLimited", "allowed"]


def test_a_batch_gets_what_is_left(stack, client, key, early):
    change(stack, key, policy={"signatures_per_hour": 10})
    results = sign_batch(client, key, 64)
    assert outcomes(results) == 10
    assert all(p["problem"]["retry_after"] > 0 for p in results if "problem" in p)
    assert outcomes(sign_batch(client, key, 64)) == 0
    log = [r["result"] for r in changes(stack, key, "sign")]
    assert log.count("allowed") == 10 and log.count("RateLimited") == 118


def test_many_at_once_get_no_more(stack, tmp_path, key, early):
    change(stack, key, policy={"signatures_per_hour": 50})

    def work(i):
        c = Client(stack, tmp_path / str(i), fresh_name()).login()
        try:
            return outcomes(sign_batch(c, key, 7)) + sum(sign(c, key)[0] == 201 for _ in range(7))
        finally:
            c.close()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 50
    assert [r["result"] for r in changes(stack, key, "sign")].count("allowed") == 50


def test_a_repeated_request_costs_nothing(stack, client, key, early):
    change(stack, key, policy={"signatures_per_hour": 2})
    first = [sign(client, key, idempotency_key=f"once-{i}")[2] for i in range(2)]
    again = [sign(client, key, idempotency_key=f"once-{i}") for i in range(2)]
    assert [a[0] for a in again] == [201, 201]
    assert [a[2]["signature"] for a in again] == [f["signature"] for f in first] and again[0][2]["repeated"]
    check_problem(sign(client, key, idempotency_key="another"), 429, "RateLimited", "usage-rate")
    # What was refused was not kept: the key can be given again.
    change(stack, key, policy={"signatures_per_hour": 3})
    assert sign(client, key, idempotency_key="another")[0] == 201


def test_a_crash_does_not_forget_the_count(fresh_stack, tmp_path, early):
    stack = fresh_stack(sidecar=False, keys={})
    key = stack.add_key(fresh_name(), certificate="none", policy={"signatures_per_hour": 400})
    clients = [Client(stack, tmp_path / str(i), fresh_name()).login() for i in range(4)]

    def work(c):
        with contextlib.suppress(OSError, Exception):
            while outcomes(sign_batch(c, key, 5)):
                pass

    for _ in range(2):
        with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
            done = [pool.submit(work, c) for c in clients]
            wait_until("some signatures", lambda: stack.metrics()["signatures_total"] >= 20)
            stack.service.kill()
            for d in done:
                d.result()
        for c in clients:
            c.close()
        stack.service.start()
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, clients))
    for c in clients:
        c.close()
    assert [r["result"] for r in changes(stack, key, "sign")].count("allowed") == 400


# ---- its place ----

def test_a_key_moves(stack, client, key):
    new = f"acme/k-{os.urandom(4).hex()}"
    change(stack, key, labels={"kept": "yes"})
    moved = change(stack, key, path=new)
    assert moved["path"] == new and moved["tsg"] != key["tsg"] and moved["labels"] == {"kept": "yes"}
    assert stack.api("GET", f"/v1/keys/resolve?path={new}", status=200) == moved
    check_problem(stack.api("GET", f"/v1/keys/resolve?path={key['path']}"), 404, "KeyNotFound")
    check_problem(sign(client, key), 404, "KeyNotFound", "scope")
    what = changes(stack, key, "key.change")[-1]["what"]
    assert what["path"] == new and what["path_before"] == key["path"]
    assert stack.api("POST", "/v1/keys", {"path": key["path"], "algorithm": "P-256"}, status=201)["id"] != key["id"]
    refused(stack, "PATCH", key, "AlreadyExists", {"path": key["path"]}, status=409)
    refused(stack, "PATCH", key, "AlreadyExists", {"path": "acme/mobile"}, status=409)
    check_problem(stack.api("PATCH", f"/v1/keys/{key['id']}", {"path": "nowhere/x"}), 404, "NotFound")
    assert get(stack, key) == moved


# ---- its end ----

def destroy(stack, key, days=7):
    return stack.api("POST", f"/v1/keys/{key['id']}/destruction", {"days": days}, status=201)


def test_destruction_is_pending_and_can_be_cancelled(stack, client, key):
    pending = destroy(stack, key)
    assert pending["state"] == "pending-destruction" and pending == get(stack, key)
    due = datetime.datetime.strptime(pending["destroy_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.timezone.utc)
    assert abs(due.timestamp() - time.time() - 7 * 86400) < 60
    problem = check_problem(sign(client, key), 403, "KeyDestroyed", "key-state")
    assert pending["destroy_at"] in problem["detail"]
    assert key["path"] in listed(stack, "state=pending-destruction&prefix=acme/mobile&limit=200")
    for method, more, body in (("PATCH", "", {"state": "enabled"}), ("PATCH", "", {"description": "x"}),
                               ("POST", "/versions", {}), ("PATCH", "/versions/1", {"state": "disabled"}),
                               ("POST", "/destruction", {})):
        refused(stack, method, key, "KeyDestroyed", body, more, 403, "key-state")

    kept = stack.api("DELETE", f"/v1/keys/{key['id']}/destruction", status=200)
    assert kept["state"] == "disabled" and "destroy_at" not in kept
    check_problem(sign(client, key), 403, "KeyDisabled", "key-state")
    refused(stack, "DELETE", key, "NotFound", more="/destruction", status=404)
    change(stack, key, state="enabled")
    assert sign(client, key)[0] == 201
    log = [r["kind"] for r in (x["record"] for x in stack.audit(key=key["id"])) if r["kind"].startswith("key.")]
    assert log == ["key.create", "key.destruction", "key.destruction.cancel", "key.change"]


@pytest.mark.parametrize("body", [{"days": 6}, {"days": 31}, {"days": "7"}, {"when": 7}], ids=str)
def test_destruction_takes_7_to_30_days(stack, key, body):
    refused(stack, "POST", key, "BadRequest", body, "/destruction", 400)
    assert get(stack, key)["state"] == "enabled"


def test_an_account_destroys_nothing(stack, client, key):
    for method, body in (("POST", {}), ("DELETE", None)):
        check_problem(client.api(method, f"/v1/keys/{key['id']}/destruction", body), 403, "NotPermitted", "role")
    check_problem(client.api("PATCH", f"/v1/keys/{key['id']}", {"labels": {"a": "b"}}), 403, "NotPermitted", "role")


# ---- time passes ----

@pytest.fixture
def clocked(tmp_path):
    """(stack, clock, client)"""
    clock = FakeClock()
    build = os.environ.get("CSIGN_BUILD", "build")
    with Stack(sidecar=False, keys={}, wrap=clock.wrap(build)) as stack:
        client = Client(stack, tmp_path / "client", fresh_name(), days=3000)
        login_at(client, clock)
        yield stack, clock, client
        client.close()
    clock.remove()


def login_at(client, clock):
    """Tokens last 15 minutes of the service's time."""
    now = int(clock.now())
    status, _, body = client.ask_token(client.assertion({"iat": now, "exp": now + 120}))
    assert status == 200, body
    client.token = body["access_token"]


def state_bytes(stack):
    return b"".join(p.read_bytes() for p in stack.state.glob("csign.db*"))


def sealed_blobs(stack, key):
    with contextlib.closing(sqlite3.connect(f"file:{stack.state / 'csign.db'}?mode=ro", uri=True)) as db:
        return [bytes(row[0]) for row in db.execute("SELECT sealed FROM key_versions WHERE key_id = ?", (key["id"],))]


def test_a_key_that_is_due_is_gone_for_good(clocked):
    stack, clock, client = clocked
    others = [stack.add_key(fresh_name(), certificate="none") for _ in range(20)]
    key = stack.add_key(fresh_name(), certificate="none", labels={"a": "b"})
    more = [stack.add_key(fresh_name(), "RSA-2048", certificate="none") for _ in range(5)]
    stack.api("POST", f"/v1/keys/{key['id']}/versions", {}, status=201)
    assert sign(client, key)[0] == 201
    blobs = sealed_blobs(stack, key)
    assert len(blobs) == 2 and all(len(b) > 100 and b[31:] in state_bytes(stack) for b in blobs)
    destroy(stack, key)
    destroy(stack, others[0], days=30)

    clock.advance(days=6)
    time.sleep(5)  # two looks of the thread that destroys
    assert get(stack, key)["state"] == "pending-destruction"
    clock.advance(days=1, seconds=1)
    gone = wait_until("the destruction", lambda: (k := get(stack, key))["state"] == "destroyed" and k, 30)
    # The log of the database is cut off just behind.
    wait_until("the blobs' end", lambda: not any(b[31:63] in state_bytes(stack) for b in blobs), 30)

    # The key store keeps nothing opened of it: told at once, and once more for what was under way.
    wait_until("the key store to forget", lambda: len([line for line in stack.keystore.log().splitlines()
                                                       if "key forgotten" in line and key["id"] in line]) == 2, 30)

    assert gone["destroyed"] and gone["public_key"] and gone["labels"] == {"a": "b"} and "destroy_at" not in gone
    assert sealed_blobs(stack, key) == [b"", b""]
    assert key["path"] not in listed(stack, "limit=200") and listed(stack, "state=destroyed") == [key["path"]]
    assert listed(stack, "label=a:b") == []
    assert get(stack, others[0])["state"] == "pending-destruction"
    record = changes(stack, key, "key.destroy")[-1]
    assert record["principal"]["type"] == "system" and record["result"] == "allowed"

    login_at(client, clock)
    for version in (0, 1, 2):
        check_problem(sign(client, key, version=version), 403, "KeyDestroyed", "key-state")
    assert sign(client, others[1])[0] == 201 and sign(client, more[0], scheme="rsa-pss")[0] == 201
    refused(stack, "DELETE", key, "NotFound", more="/destruction")
    refused(stack, "PATCH", key, "KeyDestroyed", {"state": "enabled"}, status=403)
    check_problem(stack.api("POST", "/v1/keys", {"path": key["path"], "algorithm": "P-256"}), 409, "AlreadyExists")


def test_what_fell_due_while_the_service_was_down(clocked):
    stack, clock, _ = clocked
    key = stack.add_key(fresh_name(), certificate="none")
    destroy(stack, key)
    stack.service.kill()
    clock.advance(days=9)
    stack.service.start()
    wait_until("the destruction", lambda: get(stack, key)["state"] == "destroyed", 30)


def test_validity_ends_while_the_service_runs(clocked):
    stack, clock, client = clocked
    key = stack.add_key(fresh_name(), certificate="none", not_after=rfc3339(clock.now() + 600))
    assert sign(client, key)[0] == 201
    clock.advance(seconds=601)
    check_problem(sign(client, key), 403, "KeyExpired", "key-validity")
    assert get(stack, key)["state"] == "expired"


def test_hours_and_days_begin_anew(clocked):
    stack, clock, client = clocked
    key = stack.add_key(fresh_name(), certificate="none", policy={"signatures_per_hour": 2, "signatures_per_day": 5})
    # To the first minute of tomorrow, so that hours and days end when the test says so.
    clock.advance(seconds=int(86400 - clock.now() % 86400) + 60)
    login_at(client, clock)
    for expect in (2, 2, 1, 0):
        assert outcomes(sign_batch(client, key, 4)) == expect
        clock.advance(hours=1)
        login_at(client, clock)
    clock.advance(hours=20)
    login_at(client, clock)
    assert outcomes(sign_batch(client, key, 4)) == 2


def test_a_clock_set_back_gives_nothing_away(clocked):
    stack, clock, client = clocked
    key = stack.add_key(fresh_name(), certificate="none", policy={"signatures_per_hour": 3})
    clock.advance(hours=2)
    login_at(client, clock)
    assert outcomes(sign_batch(client, key, 2)) == 2
    clock.advance(hours=-1)
    login_at(client, clock)
    assert outcomes(sign_batch(client, key, 4)) == 1


# ---- on the machines ----

def test_changes_take_effect_everywhere_within_5_seconds(stack, tmp_path):
    """Each machine goes on as it is: a program that holds the key, and programs that load it anew."""
    key = stack.add_key(fresh_name(), certificate="none")
    digest = tmp_path / "digest"
    digest.write_bytes(DIGEST)
    publics = {key["version"]: stack.public_key(key["path"], tmp_path)}

    def signs(public=None):
        sig = tmp_path / "sig"
        done = stack.openssl("pkeyutl", "-sign", "-inkey", f"csign://{key['path']}", "-in", digest, "-out", sig,
                             check=False)
        if done.returncode != 0:
            return text(done.stderr)
        check = stack.plain_openssl("pkeyutl", "-verify", "-pubin", "-inkey", public or publics[1], "-sigfile", sig,
                                    "-in", digest, check=False)
        return check.returncode == 0

    def measure(what, condition):
        begin = time.monotonic()
        wait_until(what, condition, 30)
        took = time.monotonic() - begin
        print(f"{what}: {took:.2f} s")
        assert took < 5, what

    def fails_with(words):
        return lambda: (said := signs()) not in (True, False) and words in said

    assert signs() is True
    change(stack, key, state="disabled")
    measure("disabled", fails_with("is disabled"))
    change(stack, key, state="enabled")
    measure("enabled", lambda: signs() is True)
    change(stack, key, policy={"hashes": ["SHA512"]})
    measure("policy", fails_with("usage-scheme"))
    change(stack, key, policy={"hashes": None, "signatures_per_hour": 1})
    measure("rate", fails_with("usage-rate"))
    change(stack, key, policy={"signatures_per_hour": None}, not_after="2026-01-01T00:00:00Z")
    measure("validity", fails_with("key-validity"))
    change(stack, key, not_after=None)
    second = stack.api("POST", f"/v1/keys/{key['id']}/versions", {}, status=201)
    stack.keys[key["path"]] = second
    (tmp_path / "2").mkdir()
    public = stack.public_key(key["path"], tmp_path / "2")
    measure("rotation", lambda: signs(public) is True)
    destroy(stack, key)
    measure("destruction", fails_with("will be destroyed"))


# ---- csign key ----

def test_csign_key(stack):
    name = fresh_name()
    stack.csign("key", "create", name, "--algorithm", "RSA-2048", "--schemes", "rsa-pss", "--hashes", "SHA256,SHA384",
                "--not-after", "2099-12-31", "--certificate", "none")
    key = stack.api("GET", f"/v1/keys/resolve?path={name}", status=200)
    assert key["policy"] == {"schemes": ["rsa-pss"], "hashes": ["SHA256", "SHA384"]}
    assert key["not_after"] == "2099-12-31T00:00:00Z"
    stack.csign("key", "change", name, "--not-after", "none", "--description", "what for")
    stack.csign("key", "policy", name, "--hashes", "none", "--per-hour", "5")
    stack.csign("key", "label", name, "stage=production", "owner=me")
    shown = json.loads(stack.csign("key", "label", name, "owner-", "--json").stdout)
    assert shown["labels"] == {"stage": "production"} and shown["description"] == "what for"
    assert shown["policy"]["signatures_per_hour"] == 5 and len(shown["policy"]["hashes"]) == 7 and "not_after" not in shown
    said = text(stack.csign("key", "show", name).stdout)
    assert re.search(r"Labels +stage=production\n", said) and re.search(r"Signatures an hour +5", said)
    assert name in text(stack.csign("key", "list", "acme", "--label", "stage=production").stdout)
    assert name not in text(stack.csign("key", "list", "acme", "--label", "stage=test").stdout)
    moved = name.replace("acme/mobile", "acme/web")
    stack.csign("key", "move", name, moved)

    done = stack.csign("key", "destroy", moved, check=False)
    assert done.returncode == 2 and "--yes" in text(done.stderr)
    assert "csign key cancel-destruction" in text(stack.csign("key", "destroy", moved, "--days", "7", "--yes").stdout)
    assert moved in text(stack.csign("key", "list", "--state", "pending-destruction").stdout)
    done = stack.csign("key", "enable", moved, check=False)
    assert done.returncode == 6 and "pending-destruction" in text(done.stderr)
    assert "csign key enable" in text(stack.csign("key", "cancel-destruction", moved).stdout)
    for argv in (["change", moved], ["policy", moved], ["label", moved, "nothing"], ["policy", moved, "--per-hour", "x"],
                 ["change", f"{moved}@1", "--description", "x"], ["list", "--state", "gone"]):
        assert stack.csign("key", *argv, check=False).returncode == 2, argv


def test_destroying_asks_on_a_terminal(stack, key):
    """script(1) gives it one."""
    command = f"{stack.program('csign')} key destroy {key['path']}"
    for answer, state in (("no", "enabled"), ("yes", "pending-destruction")):
        done = subprocess.run([tool("script"), "-qec", command, "/dev/null"], input=f"{answer}\n".encode(),
                              env=stack.environment(), capture_output=True, check=False, timeout=30)
        assert b"Type yes to go on" in done.stdout
        assert get(stack, key)["state"] == state and (done.returncode == 0) == (answer == "yes")
