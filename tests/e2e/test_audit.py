# SPDX-License-Identifier: Apache-2.0
"""What the log tells: to whom, of what, in which words; and the sums of what keys were used for."""

import collections
import datetime
import json
import pathlib
import re

import pytest

from stack import ROOT, text
from test_service import Client, check_problem, sign_item
from test_tree import make, owner_of


@pytest.fixture(scope="module")
def log():
    from conftest import start, stop
    s = start(sidecar=False)
    yield s
    stop(s)


@pytest.fixture(scope="module")
def ci(log, tmp_path_factory):
    c = Client(log, tmp_path_factory.mktemp("audit"), "acme/mobile/ci").login()
    yield c
    c.close()


def account_of(client):
    return client.api("GET", "/v1/whoami")[2]["principal"]["id"]


def sign(client, key):
    return client.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None))


def records(stack, bearer=None, **filters):
    query = "&".join(f"{k}={v}" for k, v in ({"limit": 200} | filters).items())
    page = stack.api("GET", f"/v1/audit/records?{query}", status=200, bearer=bearer)
    assert page["next"] == 0
    return [json.loads(r["entry"]) | {"number": r["number"]} for r in page["records"]]


# ---- what is recorded ----

def test_a_refused_change_is_recorded(log):
    reply = log.api("POST", "/v1/tsgs", {"path": "acme"})
    problem = check_problem(reply, 409, "AlreadyExists")
    (record,) = records(log, request_id=problem["request_id"])
    assert record["kind"] == "request.denied" and record["result"] == "AlreadyExists"
    assert record["what"] == {"method": "POST", "route": "/v1/tsgs", "detail": problem["detail"]}
    assert record["principal"]["name"] == "owner"


def test_a_look_that_finds_nothing_is_not(log):
    reply = log.api("GET", "/v1/tsgs/tsg_" + "a" * 26)
    assert records(log, request_id=check_problem(reply, 404, "NotFound")["request_id"]) == []


def test_state_changes_say_what_was_before(log):
    key = log.add_key("acme/mobile/states", certificate="none")
    log.set_key_state("acme/mobile/states", "disabled")
    (record,) = records(log, key=key["id"], kind="key.change")
    assert (record["what"]["state"], record["what"]["state_before"]) == ("disabled", "enabled")
    assert record["what"]["tsg"] == key["tsg"]


def test_failed_logins_are_recorded_and_counted(fresh_stack, tmp_path):
    """A stranger gets a record for the first attempt in a minute, and one for the number of the others."""
    stack = fresh_stack(sidecar=False, keys={})
    before = len(stack.audit())
    for i in range(50):
        assert stack.api("GET", "/v1/whoami", bearer=f"csk_{i:043d}")[0] == 401
    client = Client(stack, tmp_path, "acme/c")
    check = client.ask_token(client.assertion({"aud": "https://elsewhere"}))
    assert check[0] == 401
    refused = records(stack, kind="authentication.refused")
    assert len(refused) == 1 and len(stack.audit()) == before + 2  # and the account
    assert refused[0]["principal"] == {"id": "anonymous", "type": "anonymous"}
    assert (refused[0]["address"], refused[0]["rule"], refused[0]["result"]) == ("127.0.0.1", "credential", "Unauthenticated")
    assert refused[0]["what"]["route"] == "/v1/whoami" and refused[0]["request_id"].startswith("req_")
    assert stack.metrics()["authentications_refused_total"] == 51
    # What was counted is written at the minute's end, or the service's.
    stack.service.stop()
    stack.service.start()
    refused = records(stack, kind="authentication.refused")
    assert [r["what"].get("more") for r in refused] == [None, "50"] and refused[1]["address"] == "127.0.0.1"
    stack.csign("audit", "verify")
    client.close()
    # A new minute: the account that was claimed is named.
    assert client.ask_token(client.assertion({"aud": "https://elsewhere"}))[0] == 401
    (record,) = records(stack, principal=client.id, kind="authentication.refused")
    assert record["what"]["claimed"] == client.id and record["rule"] == "assertion-audience"
    client.close()


# ---- what is found ----

def test_filters(log, ci):
    key, account = log.keys["acme/mobile/release"], account_of(ci)
    begin = datetime.datetime.now(datetime.timezone.utc)
    assert sign(ci, key)[0] == 201
    check_problem(sign(ci, log.keys["acme/web/site"]), 404, "KeyNotFound")
    mine = records(log, principal=account)
    assert [r["kind"] for r in mine] == ["token.issue", "sign", "sign"]
    assert [r["result"] for r in records(log, principal=account, kind="sign")] == ["allowed", "KeyNotFound"]
    assert [r["result"] for r in records(log, principal=account, result="refused")] == ["KeyNotFound"]
    assert [r["number"] for r in records(log, principal=account, result="KeyNotFound")] == [mine[2]["number"]]
    assert [r["number"] for r in records(log, principal=account, key=key["id"])] == [mine[1]["number"]]

    def utc(t):
        return t.strftime("%Y-%m-%dT%H:%M:%SZ")

    later = begin + datetime.timedelta(hours=1)
    assert len(records(log, principal=account, **{"from": utc(begin), "to": utc(later)})) >= 2
    assert records(log, **{"from": utc(later)}) == []
    assert records(log, to="2020-01-01T00:00:00Z") == []
    assert records(log, **{"from": "2020-01-01T00:00:00Z"})[0]["number"] == 1


@pytest.mark.parametrize("query", ["key=x", "principal=key_" + "a" * 26, "request_id=1", "from=yesterday", "to=2026-13-01T00:00:00Z",
                                   "kind=a%20b", "result=", "tsg=.", "after=-1", "limit=0", "kind=" + "a" * 64])
def test_a_filter_that_is_none(log, query):
    check_problem(log.api("GET", f"/v1/audit/records?{query}"), 400, "BadRequest")


def test_an_auditor_of_a_tsg_reads_what_is_below(log, ci, tmp_path):
    acme, web = (log.api("GET", f"/v1/tsgs/resolve?path={p}", status=200) for p in ("acme", "acme/web"))
    top, in_acme, in_web = log.api_key, owner_of(log, acme), owner_of(log, web)
    assert sign(ci, log.keys["acme/mobile/release"])[0] == 201
    stranger = Client(log, tmp_path, "other/ci").login()
    assert sign(stranger, log.keys["other/secret"])[0] == 201

    everything, below, few = (records(log, bearer=b) for b in (top, in_acme, in_web))
    assert len(everything) > len(below) > len(few)
    paths = collections.Counter(r["key"]["path"] for r in below if r["kind"] == "sign" and "path" in r["key"])
    assert "acme/mobile/release" in paths and "other/secret" not in paths
    assert all("other" not in json.dumps(r) for r in below)
    assert {r["what"]["path"] for r in few if r["kind"] == "key.create"} == {"acme/web/site"}
    assert records(log, tsg="acme") == below and records(log, bearer=in_acme, tsg="acme/web") == few
    assert records(log, tsg="acme", key=log.keys["other/secret"]["id"]) == []
    check_problem(log.api("GET", "/v1/audit/records?tsg=other", bearer=in_acme), 403, "OutOfScope", "scope")
    check_problem(log.api("GET", "/v1/audit/records?tsg=acme", bearer=in_web), 403, "OutOfScope", "scope")
    assert log.api("GET", "/v1/audit/head", status=200)["whole"]
    assert not log.api("GET", "/v1/audit/head", status=200, bearer=in_acme)["whole"]
    stranger.close()


# ---- usage ----

def test_usage_is_counted(log, tmp_path):
    client = Client(log, tmp_path, "acme/mobile/counted").login()
    account, key = account_of(client), log.add_key("acme/mobile/counted", certificate="none")
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    body = {"requests": [sign_item(key) for _ in range(5)]}
    assert client.api("POST", "/v1/signatures", body)[0] == 200
    log.set_key_state("acme/mobile/counted", "disabled")
    check_problem(sign(client, key), 403, "KeyDisabled")
    check_problem(sign(client, log.keys["other/secret"]), 404, "KeyNotFound")  # nobody's business
    row = {"day": today, "key": key["id"], "key_path": key["path"], "principal": account,
           "principal_name": "acme/mobile/counted", "signatures": 5, "refused": 1}
    for query in (f"key={key['id']}", f"account={account}", f"key={key['id']}&account={account}&from={today}&to={today}"):
        assert log.api("GET", f"/v1/usage?{query}", status=200) == {"usage": [row], "next_cursor": ""}
    assert log.api("GET", f"/v1/usage?account={account}&to=2020-01-01", status=200)["usage"] == []
    other = owner_of(log, log.api("GET", "/v1/tsgs/resolve?path=other", status=200))
    assert log.api("GET", f"/v1/usage?key={key['id']}", status=200, bearer=other)["usage"] == []
    client.close()

    shown = text(log.csign("usage", "--key", key["path"], "--account", "acme/mobile/counted", "--from", today).stdout)
    assert re.search(rf"{today}\s+{key['path']}\s+acme/mobile/counted\s+5\s+1", shown)


def test_usage_has_pages(log, ci):
    keys = [log.add_key(f"acme/mobile/page-{i}", certificate="none") for i in range(3)]
    for key in keys:
        assert sign(ci, key)[0] == 201
    seen, cursor = [], ""
    while True:
        page = log.api("GET", f"/v1/usage?account={account_of(ci)}&limit=2&cursor={cursor}", status=200)
        assert len(page["usage"]) <= 2
        seen += [u["key"] for u in page["usage"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert len(seen) == len(set(seen)) and {k["id"] for k in keys} <= set(seen)


@pytest.mark.parametrize("query", ["key=acc_" + "a" * 26, "account=x", "from=2026-1-1", "to=2026-02-30", "cursor=x", "limit=201",
                                   "cursor=tsg_a.key_b.acc_c.1x", "cursor=" + "a" * 200])
def test_usage_of_nothing(log, query):
    check_problem(log.api("GET", f"/v1/usage?{query}"), 400, "BadRequest")


# ---- explain ----

def explain(stack, request_id, *more):
    return text(stack.csign("explain", request_id, *more).stdout)


def test_a_refusal_is_explained(log, ci):
    key = log.add_key("acme/mobile/explained", certificate="none")
    log.set_key_state(key["path"], "disabled")
    problem = check_problem(sign(ci, key), 403, "KeyDisabled", "key-state")
    said = explain(log, problem["request_id"])
    for words in ("account acme/mobile/ci (acc_", "from 127.0.0.1", "sign with acme/mobile/explained (key_", "version 1: ecdsa, SHA256",
                  "KeyDisabled", "key-state", "the key is disabled", "csign key enable"):
        assert words in said, said
    (row,) = json.loads(explain(log, problem["request_id"], "--json"))
    assert row["entry"]["request_id"] == problem["request_id"] and "enable the key" in row["change"]


def test_what_was_allowed_is_explained(log, ci):
    said = explain(log, sign(ci, log.keys["acme/mobile/release"])[2]["request_id"])
    assert "allowed" in said and "the key is in the principal's TSG or below it" in said and "To change" not in said
    assert "key.create" in explain(log, records(log, kind="key.create")[0]["request_id"])


def test_what_has_no_record_is_not_explained(log):
    done = log.csign("explain", "req_" + "a" * 26, check=False)
    assert done.returncode == 4 and b"no record" in done.stderr
    assert log.csign("explain", "nonsense", check=False).returncode == 2


def test_every_rule_has_its_sentence():
    """A rule that the service can decide by, and that explain cannot tell, is a gap in the table."""
    rules, places = set(), [*(ROOT / "service").rglob("*.c"), ROOT / "lib/sign.c"]
    for path in places:
        source = pathlib.Path(path).read_text()
        rules |= set(re.findall(r'error_set_rule\(\s*[^,]+,\s*[^,]+,\s*"([a-z-]+)"', source))
        rules |= set(re.findall(r'rule\s*=\s*"([a-z-]+)"', source))
    table = (ROOT / "cli/verb-explain.c").read_text()
    known = set(re.findall(r'^        \{ "([a-z-]+)",', table, re.MULTILINE))
    assert len(rules) > 25 and rules - known == set()


# ---- export ----

def test_the_export_verifies_without_the_service(log, tmp_path):
    whole = log.csign("audit", "export").stdout.splitlines(keepends=True)
    head = log.api("GET", "/v1/audit/head", status=200)
    assert json.loads(whole[-1])["number"] == head["number"] == len(whole)
    half = len(whole) // 2
    (tmp_path / "all").write_bytes(b"".join(whole))
    (tmp_path / "rest").write_bytes(log.csign("audit", "export", "--after", str(half)).stdout)
    assert (tmp_path / "rest").read_bytes() == b"".join(whole[half:])

    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}  # knows of no service

    def verify(name, *more, status=0):
        done = log.csign("audit", "verify", tmp_path / name, *more, env=env, check=False)
        assert done.returncode == status, text(done.stderr)
        return text(done.stdout + done.stderr)

    assert f"whole: {len(whole)} records" in verify("all", "--anchor", f"{head['number']}:{head['hash']}")
    assert f"Records {half + 1} to {len(whole)} are whole" in verify("rest")
    for name, broken in (("changed", [*whole[:2], whole[2].replace(b"acme", b"evil"), *whole[3:]]),
                         ("missing", whole[:2] + whole[3:]), ("order", [whole[0], whole[2], whole[1]])):
        (tmp_path / name).write_bytes(b"".join(broken))
        assert re.search(r"audit record [23]:", verify(name, status=9))
    (tmp_path / "cut").write_bytes(b"".join(whole[:-1]))
    assert "ends before" in verify("cut", "--anchor", f"{head['number']}:{head['hash']}", status=9)
    (tmp_path / "noise").write_bytes(b"not json\n")
    assert "line 1" in verify("noise", status=2)


def test_csign_lists_by_filter(log, ci):
    key = log.add_key("acme/mobile/listed", certificate="none")
    assert sign(ci, key)[0] == 201
    listed = json.loads(log.csign("audit", "list", "--key", key["path"], "--kind", "sign", "--result", "allowed", "--tsg", "acme",
                                  "--principal", account_of(ci), "--from", "2020-01-01T00:00:00Z", "--json").stdout)
    assert [r["entry"]["key"]["id"] for r in listed] == [key["id"]]
    named = json.loads(log.csign("audit", "list", "--key", key["path"], "--principal", "acme/mobile/ci", "--json").stdout)
    assert [r["entry"]["kind"] for r in named] == ["sign"]
    assert log.csign("audit", "list", "--principal", "acme/mobile/nobody", check=False).returncode == 4
    assert len(json.loads(log.csign("audit", "list", "--last", "3", "--json").stdout)) == 3
    assert len(json.loads(log.csign("audit", "list", "--kind", "sign", "--last", "1", "--json").stdout)) == 1
