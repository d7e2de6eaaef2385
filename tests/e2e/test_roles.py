# SPDX-License-Identifier: Apache-2.0
"""Roles and bindings: what a role gives, where it counts, who may give it, and that it ends at once."""

import hashlib
import json
import sys
import uuid

import pytest
from account import Account
from stack import ROOT, SERVICE_UID, Stack

sys.path.insert(0, str(ROOT / "tests/bench"))
import crowd  # noqa: E402

DIGEST = hashlib.sha256(b"the file").digest()
BUILTIN = ["owner", "key-manager", "account-manager", "auditor", "viewer"]


@pytest.fixture(scope="module")
def service():
    with Stack(sidecar=False) as s:
        yield s


@pytest.fixture
def someone(service, tmp_path):
    """A factory of accounts that have logged in: someone("acme")."""
    def make(tsg):
        return Account(service, f"{tsg}/s-{uuid.uuid4().hex[:12]}", tmp_path).login()
    return make


def tsg_ids(service):
    return {t["path"]: t["id"] for t in service.api("GET", "/v1/tsgs?limit=200", status=200)["tsgs"]}


def ask(who, method, path, body=None):
    return who.request(method, path, None if body is None else json.dumps(body))


def grant(service, who, role, tsg, status=201):
    return service.api("POST", "/v1/bindings", {"role": role, "principal": who.id, "tsg": tsg}, status=status)


def check(reply, status, name=None, rule=None):
    got, _, body = reply
    assert got == status, body
    if name:
        assert body["type"] == f"urn:csign:error:{name}", body
    if rule:
        assert body["rule"] == rule, body
    return body


def listed(who, what, limit=200):
    """All pages, by path; each row once."""
    paths, cursor = [], ""
    while True:
        page = check(ask(who, "GET", f"/v1/{what}?limit={limit}&cursor={cursor}"), 200)
        assert len(page[what]) <= limit
        paths += [row["path"] for row in page[what]]
        cursor = page["next_cursor"]
        if not cursor:
            assert len(paths) == len(set(paths))
            return set(paths)


def test_the_builtin_roles_are_listed_first(service):
    roles = service.api("GET", "/v1/roles", status=200)["roles"]
    assert [r["id"] for r in roles][:5] == BUILTIN and all(r["builtin"] for r in roles[:5])
    assert set(roles[0]["pages"].values()) == {"write"}
    assert service.api("GET", "/v1/roles/viewer", status=200)["pages"]["audit"] == "none"
    check(service.api("PATCH", "/v1/roles/owner", {"pages": {}}), 400, "BadRequest")
    check(service.api("DELETE", "/v1/roles/owner"), 400, "BadRequest")


def test_a_role_counts_on_its_tsg_and_below_and_ends_at_once(service, someone):
    who = someone("acme")
    new = {"path": f"acme/mobile/k-{uuid.uuid4().hex[:8]}", "algorithm": "P-256", "certificate": "none"}
    check(ask(who, "POST", "/v1/keys", new), 403, "NotPermitted", "role")
    binding = grant(service, who, "key-manager", "acme/mobile")
    key = check(ask(who, "POST", "/v1/keys", new), 201)
    check(ask(who, "POST", "/v1/keys", new | {"path": "acme/web/k"}), 403, "NotPermitted", "role")
    check(ask(who, "PATCH", f"/v1/keys/{service.keys['acme/web/site']['id']}", {"state": "disabled"}), 403,
          "NotPermitted", "role")
    check(ask(who, "PATCH", f"/v1/keys/{service.keys['other/secret']['id']}", {"state": "disabled"}), 404, "KeyNotFound",
          "scope")
    check(ask(who, "POST", "/v1/accounts", {"path": "acme/mobile/x", "public_key": "x"}), 403, "NotPermitted", "role")
    service.api("DELETE", f"/v1/bindings/{binding['id']}", status=204)
    check(ask(who, "PATCH", f"/v1/keys/{key['id']}", {"state": "disabled"}), 403, "NotPermitted", "role")


def test_a_refused_change_is_recorded_with_what_it_was_for(service, someone):
    who = someone("acme")
    grant(service, who, "key-manager", "acme/mobile")
    site = service.keys["acme/web/site"]["id"]
    body = check(ask(who, "PATCH", f"/v1/keys/{site}", {"state": "disabled"}), 403)
    (record,) = service.audit(request_id=body["request_id"])
    entry = record["record"]
    assert entry["kind"] == "request.denied" and entry["principal"]["id"] == who.id and entry["rule"] == "role"
    assert entry["what"] == {"method": "PATCH", "route": "/v1/keys/{id}", "id": site, "detail": body["detail"]}
    assert service.api("GET", f"/v1/keys/{site}", status=200)["state"] == "enabled"


def test_listings_have_what_the_roles_show_and_page_through_it(service, someone):
    who = someone("acme")
    check(ask(who, "GET", "/v1/accounts"), 403, "NotPermitted", "role")
    everyone = {a["path"] for a in service.api("GET", "/v1/accounts?limit=200", status=200)["accounts"]}
    inside = [someone("acme/mobile").path, someone("acme/web").path]
    grant(service, who, "viewer", "acme/web")
    assert listed(who, "tsgs", 1) == {"acme/web"}
    seen = listed(who, "accounts", 1)
    assert inside[1] in seen and inside[0] not in seen
    assert all(path.startswith("acme/web/") for path in seen)
    grant(service, who, "viewer", "acme/mobile")
    assert listed(who, "tsgs", 1) == {"acme/mobile", "acme/web"}
    seen = listed(who, "accounts", 1)
    assert set(inside) <= seen and who.path not in seen
    grant(service, who, "viewer", "acme")
    assert listed(who, "tsgs", 1) == {"acme", "acme/mobile", "acme/web"}
    assert listed(who, "accounts", 2) >= {p for p in everyone if p.startswith("acme/")} | {who.path}
    # Keys are seen by who may sign with them.
    assert listed(who, "keys", 1) >= {"acme/mobile/release", "acme/web/site"}


def usage(who, query=""):
    rows, cursor = [], ""
    while True:
        page = check(ask(who, "GET", f"/v1/usage?limit=1&cursor={cursor}{query}"), 200)
        rows += [(row["key_path"], row["principal"], row["day"]) for row in page["usage"]]
        cursor = page["next_cursor"]
        if not cursor:
            assert len(rows) == len(set(rows))
            return {path for path, _, _ in rows}


def test_use_is_shown_of_the_keys_that_a_role_shows(service, someone):
    signer, who = someone("acme"), someone("acme")
    for path in ("acme/mobile/release", "acme/web/site"):
        assert signer.sign(service.keys[path]["id"], DIGEST)[0] == 201
    check(ask(who, "GET", "/v1/usage"), 403, "NotPermitted", "role")
    grant(service, who, "viewer", "acme/web")
    assert usage(who) == {"acme/web/site"}
    assert usage(who, f"&key={service.keys['acme/mobile/release']['id']}") == set()
    grant(service, who, "viewer", "acme/mobile")
    assert usage(who) >= {"acme/mobile/release", "acme/web/site"}
    assert usage(who, f"&key={service.keys['acme/web/site']['id']}") == {"acme/web/site"}


def test_an_auditor_of_what_is_below_names_no_tsg(service, someone):
    who, signer = someone("acme"), someone("acme")
    for path in ("acme/mobile/release", "acme/web/site"):
        assert signer.sign(service.keys[path]["id"], DIGEST)[0] == 201
    check(ask(who, "GET", "/v1/audit/records"), 403, "NotPermitted", "role")
    grant(service, who, "auditor", "acme/web")
    page = check(ask(who, "GET", f"/v1/audit/records?kind=sign&principal={signer.id}"), 200)
    assert [json.loads(r["entry"])["key"]["path"] for r in page["records"]] == ["acme/web/site"]
    grant(service, who, "auditor", "acme/mobile")
    body = check(ask(who, "GET", "/v1/audit/records"), 400, "BadRequest")
    assert "'acme/mobile', 'acme/web'" in body["detail"]
    check(ask(who, "GET", "/v1/audit/records?tsg=acme/mobile"), 200)


def test_of_many_keys_and_of_few_the_same_is_listed(fresh_stack, tmp_path):
    """In scopes with more than 2000 keys another way is taken to certificates and use (service/tsg.c)."""
    stack = fresh_stack(sidecar=False)
    ci, key = Account(stack, "acme/mobile/ci-2", tmp_path).login(), stack.keys["acme/mobile/release"]
    assert ci.sign(key["id"], DIGEST)[0] == 201
    stack.service.stop()
    with crowd.Crowd(stack.state / "csign.db") as c:
        c.tsgs(10)
        c.keys(2100, key["path"])
    if stack.root:
        crowd.take_over(stack.state / "csign.db", SERVICE_UID)
    stack.service.start()

    def everything(what, bearer, query=""):
        rows, cursor = [], ""
        while True:
            page = stack.api("GET", f"/v1/{what}?limit=200&cursor={cursor}{query}", status=200, bearer=bearer)
            rows, cursor = rows + page[what], page["next_cursor"]
            if not cursor:
                return [(row.get("not_after", ""), row.get("id", row["key"]), row["key_path"]) for row in rows]

    few = "big2"
    user = stack.api("POST", "/v1/users", {"path": f"{few}/few"}, status=201)["id"]
    stack.api("POST", "/v1/bindings", {"role": "viewer", "principal": user, "tsg": few}, status=201)
    bearer = stack.api("POST", f"/v1/users/{user}/api-keys", {"name": "few"}, status=201)["api_key"]
    for what, query in (("certificates", ""), ("certificates", "&expires_within=36500"), ("usage", "")):
        many, narrow = everything(what, stack.api_key, query), everything(what, bearer, query)
        ends = [end for end, _, _ in many]
        assert len(many) > 2100 and ends == sorted(ends) and len(many) == len(set(many))
        assert narrow == [row for row in many if row[2].startswith(f"{few}/")] and len(narrow) >= 210


def test_names_that_share_a_beginning_do_not_mix(service, someone):
    """'-' sorts before '/': the paths of acme-x are between acme and acme/mobile."""
    for path in ("sort", "sort-a", "sort-a/b", "sort/b", "sort.c"):
        service.api("POST", "/v1/tsgs", {"path": path}, status=201)
    who = someone("sort")
    for tsg in ("sort", "sort/b"):
        grant(service, who, "viewer", tsg)
    assert listed(who, "tsgs", 1) == {"sort", "sort/b"}
    owned = [t["path"] for t in service.api("GET", "/v1/tsgs?limit=200", status=200)["tsgs"]]
    assert owned == sorted(owned) and {"sort", "sort-a", "sort-a/b", "sort/b", "sort.c"} <= set(owned)


@pytest.mark.parametrize("role", BUILTIN)
def test_who_may_change_anything_does_not_sign(service, someone, role):
    who, key = someone("acme"), service.keys["acme/mobile/release"]["id"]
    assert who.sign(key, DIGEST)[0] == 201
    binding = grant(service, who, role, "acme")
    reply = who.sign(key, DIGEST)
    if role in ("auditor", "viewer"):
        assert reply[0] == 201
    else:
        body = check(reply, 403, "NotPermitted", "separation-of-duties")
        assert binding["id"] in body["detail"]
        (record,) = service.audit(request_id=body["request_id"])
        assert record["record"]["rule"] == "separation-of-duties"
    service.api("DELETE", f"/v1/bindings/{binding['id']}", status=204)
    assert who.sign(key, DIGEST)[0] == 201
    elsewhere = grant(service, who, role, "acme/web")
    assert who.sign(key, DIGEST)[0] == 201
    service.api("DELETE", f"/v1/bindings/{elsewhere['id']}", status=204)


# ---- granting ----

def test_nobody_gives_or_takes_more_than_he_holds(service, someone):
    boss, other = someone("acme"), someone("acme/mobile")
    grant(service, boss, "owner", "acme/mobile")
    ids = tsg_ids(service)

    def give(role, tsg):
        return ask(boss, "POST", "/v1/bindings", {"role": role, "principal": other.id, "tsg": tsg})

    made = check(give("owner", "acme/mobile"), 201)
    assert made["tsg"] == {"id": ids["acme/mobile"], "path": "acme/mobile"}
    check(give("owner", "acme/mobile"), 409, "AlreadyExists")
    check(give("viewer", "acme/web"), 403, "NotPermitted", "role")
    check(give("viewer", "acme"), 403, "NotPermitted", "role")
    check(give("viewer", "other"), 403, "OutOfScope", "scope")
    check(give("king", "acme/mobile"), 400, "BadRequest")
    check(ask(boss, "DELETE", f"/v1/bindings/{made['id']}"), 204)

    people = service.api("POST", "/v1/roles", {"path": f"acme/p-{uuid.uuid4().hex[:8]}", "pages": {
        "people": "write", "accounts": "view"}}, status=201)
    clerk = someone("acme")
    grant(service, clerk, people["id"], "acme/mobile")
    owner = grant(service, other, "owner", "acme/mobile")
    boss = clerk
    check(give("viewer", "acme/mobile"), 403, "NotPermitted", "grant")
    check(give(people["id"], "acme/mobile"), 201)
    check(ask(clerk, "DELETE", f"/v1/bindings/{owner['id']}"), 403, "NotPermitted", "grant")


def test_a_role_is_had_in_the_own_tsg_and_below(service, someone):
    low = someone("acme/mobile")
    for tsg in ("acme", "acme/web", "other", ""):
        body = grant(service, low, "viewer", tsg, status=400)
        assert "acme/mobile" in body["detail"]
    check(service.api("POST", "/v1/bindings", {"role": "viewer", "principal": "acc_" + "a" * 26, "tsg": "acme"}), 404,
          "NotFound")
    check(service.api("POST", "/v1/bindings", {"role": "viewer", "principal": service.keys["other/secret"]["id"],
                                               "tsg": "acme"}), 404, "NotFound")
    # Nor to whom the giver does not see.
    boss = someone("acme")
    grant(service, boss, "owner", "acme/mobile")
    stranger = someone("other")
    check(ask(boss, "POST", "/v1/bindings", {"role": "viewer", "principal": stranger.id, "tsg": "acme/mobile"}), 404,
          "NotFound", "scope")


def test_the_last_owner_stays(service):
    (mine,) = [b for b in service.api("GET", "/v1/bindings", status=200)["bindings"] if b["tsg"]["path"] == ""]
    assert mine["role"] == "owner"
    check(service.api("DELETE", f"/v1/bindings/{mine['id']}"), 409, "InUse", "last-owner")
    assert service.api("GET", f"/v1/bindings/{mine['id']}", status=200) == mine
    assert service.api("GET", f"/v1/bindings?principal={mine['principal']}", status=200)["bindings"] == [mine]


# ---- custom roles ----

def test_a_custom_role_is_made_used_changed_and_deleted(service, someone):
    path = f"acme/mobile/r-{uuid.uuid4().hex[:8]}"
    role = service.api("POST", "/v1/roles", {"path": path.upper(), "pages": {"keys": "write", "tsgs": "none"}}, status=201)
    assert role["path"] == path and role["pages"]["keys"] == "write" and role["pages"]["audit"] == "none"
    assert service.api("GET", f"/v1/roles/{role['id']}", status=200) == role
    check(service.api("POST", "/v1/roles", {"path": path, "pages": {}}), 409, "AlreadyExists")

    who, key = someone("acme"), service.keys["acme/mobile/firmware"]["id"]
    binding = grant(service, who, role["id"], "acme/mobile")
    grant(service, who, role["id"], "acme/web", status=404)  # it is of acme/mobile
    check(ask(who, "PATCH", f"/v1/keys/{key}", {"state": "enabled"}), 200)
    changed = service.api("PATCH", f"/v1/roles/{role['id']}", {"pages": {"keys": "view"}}, status=200)
    assert changed["pages"]["keys"] == "view" and changed["revision"] == 2
    check(ask(who, "PATCH", f"/v1/keys/{key}", {"state": "enabled"}), 403, "NotPermitted", "role")
    (record,) = [r["record"] for r in service.audit() if r["record"]["kind"] == "role.change"
                 and r["record"]["what"]["role"] == role["id"]]
    assert record["what"]["pages"] == "keys:view" and record["what"]["pages_before"] == "keys:write"

    check(service.api("DELETE", f"/v1/roles/{role['id']}"), 409, "InUse", "role-in-use")
    service.api("DELETE", f"/v1/bindings/{binding['id']}", status=204)
    service.api("DELETE", f"/v1/roles/{role['id']}", status=204)
    check(service.api("GET", f"/v1/roles/{role['id']}"), 404, "NotFound")


def test_a_role_is_made_of_what_its_maker_holds(service, someone):
    boss = someone("acme")
    people = service.api("POST", "/v1/roles", {"path": f"acme/p-{uuid.uuid4().hex[:8]}", "pages": {
        "people": "write", "keys": "view"}}, status=201)
    grant(service, boss, people["id"], "acme/mobile")

    def make(pages, tsg="acme/mobile"):
        return ask(boss, "POST", "/v1/roles", {"path": f"{tsg}/m-{uuid.uuid4().hex[:8]}", "pages": pages})

    mine = check(make({"keys": "view"}), 201)
    check(make({"keys": "write"}), 403, "NotPermitted", "grant")
    check(make({"keys": "view"}, "acme/web"), 403, "NotPermitted", "role")
    check(ask(boss, "PATCH", f"/v1/roles/{mine['id']}", {"pages": {"settings": "view"}}), 403, "NotPermitted", "grant")
    check(ask(boss, "PATCH", f"/v1/roles/{people['id']}", {"pages": {}}), 403, "NotPermitted", "role")
    check(ask(boss, "GET", f"/v1/roles/{people['id']}"), 200)  # of acme, where boss is at home
    elsewhere = service.api("POST", "/v1/roles", {"path": f"other/r-{uuid.uuid4().hex[:8]}", "pages": {}}, status=201)
    check(ask(boss, "GET", f"/v1/roles/{elsewhere['id']}"), 404, "NotFound", "scope")


@pytest.mark.parametrize("body", [
    {"path": "acme/x", "pages": {"key": "view"}}, {"path": "acme/x", "pages": {"keys": "all"}},
    {"path": "acme/x", "pages": {"keys": 1}}, {"path": "acme/x", "pages": []}, {"path": "acme/x"}, {"pages": {}},
    {"path": "acme/../x", "pages": {}}, {"path": "", "pages": {}},
], ids=str)
def test_a_malformed_role_is_refused(service, body):
    check(service.api("POST", "/v1/roles", body), 400, "BadRequest")


def test_a_builtin_roles_name_is_taken(service):
    check(service.api("POST", "/v1/roles", {"path": "acme/owner", "pages": {}}), 409, "AlreadyExists")
