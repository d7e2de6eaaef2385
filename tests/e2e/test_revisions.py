# SPDX-License-Identifier: Apache-2.0
"""ETag and If-Match: a change that was decided on what is no longer so is not done."""

import concurrent.futures
import os

import pytest

from test_service import check_problem


def name():
    return f"r-{os.urandom(4).hex()}"


@pytest.fixture
def key(stack):
    return stack.add_key(f"acme/mobile/{name()}")


@pytest.fixture
def account(stack, tmp_path):
    stack.plain_openssl("genpkey", "-algorithm", "ED25519", "-out", tmp_path / "key.pem")
    public = stack.plain_openssl("pkey", "-in", tmp_path / "key.pem", "-pubout").stdout.decode()
    return stack.api("POST", "/v1/accounts", {"path": f"acme/{name()}", "public_key": public}, status=201)


def change(stack, path, revision, state, method="PATCH"):
    """(status, headers, body)"""
    headers = {} if revision is None else {"If-Match": revision}
    return stack.api(method, path, {"state": state} if method == "PATCH" else {}, headers=headers)


def test_what_is_shown_alone_has_its_revision(stack, key, account):
    tsg = stack.api("POST", "/v1/tsgs", {"path": f"acme/{name()}"}, status=201)
    for path in (f"/v1/keys/{key['id']}", f"/v1/keys/{key['id']}?version=1", f"/v1/keys/resolve?path={key['path']}",
                 f"/v1/accounts/{account['id']}", f"/v1/tsgs/{tsg['id']}"):
        status, headers, body = stack.api("GET", path)
        assert (status, body["revision"], headers["ETag"]) == (200, 1, '"1"'), path
    for path, what in (("/v1/keys", "keys"), ("/v1/accounts", "accounts"), ("/v1/tsgs", "tsgs")):
        _, headers, body = stack.api("GET", path)
        assert "ETag" not in headers and all(item["revision"] >= 1 for item in body[what])
    assert key["revision"] == account["revision"] == tsg["revision"] == 1


def test_each_change_counts(stack, key, account):
    at = f"/v1/keys/{key['id']}"
    for n, (path, revision, state, method) in enumerate([
            (at, '"1"', "disabled", "PATCH"), (at, '"2"', "enabled", "PATCH"), (at, "*", "enabled", "PATCH"),
            (at + "/versions", '"4"', None, "POST"), (at + "/versions/1", '"5"', "disabled", "PATCH"),
            (at, None, "enabled", "PATCH")], 2):
        status, headers, body = change(stack, path, revision, state, method)
        assert status in (200, 201) and body["revision"] == n and headers["ETag"] == f'"{n}"', (path, revision, body)
        assert stack.api("GET", at, status=200)["revision"] == n

    status, headers, body = change(stack, f"/v1/accounts/{account['id']}", '"1"', "disabled")
    assert (status, body["revision"], headers["ETag"], body["state"]) == (200, 2, '"2"', "disabled")


def test_a_change_of_an_older_revision_is_refused(stack, key, account):
    at = f"/v1/keys/{key['id']}"
    stack.api("PATCH", at, {"state": "enabled"}, status=200)
    was = stack.api("GET", at, status=200)
    records = len(stack.audit(key=key["id"]))
    for path, method in ((at, "PATCH"), (at + "/versions", "POST"), (at + "/versions/1", "PATCH")):
        for revision in ('"1"', '"3"', '"9223372036854775807"'):
            reply = change(stack, path, revision, "disabled", method)
            problem = check_problem(reply, 412, "PreconditionFailed", "if-match")
            assert "revision" in problem["detail"] and "ETag" not in reply[1]
    assert stack.api("GET", at, status=200) == was
    assert not [r for r in stack.audit(key=key["id"])[records:] if r["record"]["result"] == "allowed"]

    check_problem(change(stack, f"/v1/accounts/{account['id']}", '"2"', "disabled"), 412, "PreconditionFailed")
    assert stack.api("GET", f"/v1/accounts/{account['id']}", status=200) == account


@pytest.mark.parametrize("value", ['7', '"7', 'W/"7"', '"1", "2"', '""', '"0"', '"01"', '"-1"', '"1" ', "1e0", "key",
                                   '"18446744073709551617"'])
def test_an_if_match_that_is_none_is_refused(stack, key, value):
    reply = change(stack, f"/v1/keys/{key['id']}", value, "disabled")
    if value == '"1" ':  # blanks around a field's value are no part of it
        assert reply[0] == 200
        return
    assert "ETag" in check_problem(reply, 400, "BadRequest")["detail"]
    assert stack.api("GET", f"/v1/keys/{key['id']}", status=200)["state"] == "enabled"


def test_if_match_where_it_has_no_meaning(stack, key):
    reply = stack.api("POST", "/v1/tsgs", {"path": f"acme/{name()}"}, headers={"If-Match": '"1"'})
    assert "If-Match" in check_problem(reply, 400, "BadRequest")["detail"]
    assert stack.api("GET", f"/v1/keys/{key['id']}", headers={"If-Match": '"9"'})[0] == 200


def test_of_changes_at_once_one_wins(stack, key):
    """Each round, all clients read the same revision; one of them is done, all others learn that they were late."""
    at = f"/v1/keys/{key['id']}"
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for n in range(1, 9):
            replies = list(pool.map(lambda i: change(stack, at, f'"{n}"', ("enabled", "disabled")[i % 2]), range(6)))
            assert sorted(r[0] for r in replies) == [200] + [412] * 5
            assert stack.api("GET", at, status=200)["revision"] == n + 1
    done = [r for r in stack.audit(key=key["id"]) if r["record"]["kind"] == "key.change"
            and r["record"]["result"] == "allowed"]
    assert len(done) == 8


def test_of_rotations_of_one_revision_one_is_done(stack, key):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: change(stack, f"/v1/keys/{key['id']}/versions", '"1"', None, "POST"), range(4)))
    assert sorted(r[0] for r in replies) == [201, 412, 412, 412]
    shown = stack.api("GET", f"/v1/keys/{key['id']}", status=200)
    assert (shown["primary_version"], shown["revision"]) == (2, 2)
