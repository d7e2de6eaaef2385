# SPDX-License-Identifier: Apache-2.0
"""Users and their API keys, teams, projects: who may use what, and that it ends at once."""

import base64
import hashlib
import json
import uuid

import pytest
from account import Account
from stack import Stack, wait_until

DIGEST = hashlib.sha256(b"the file").digest()


@pytest.fixture(scope="module")
def service():
    with Stack(sidecar=False) as s:
        yield s


def fresh(prefix="x"):
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


class User:
    """A new user with one API key; its calls are its own."""

    def __init__(self, service, tsg, **limits):
        self.service = service
        self.record = service.api("POST", "/v1/users", {"path": f"{tsg}/{fresh('u')}" if tsg else fresh("u")}, status=201)
        self.id, self.path = self.record["id"], self.record["path"]
        self.key = self.new_key(**limits)
        self.bearer = self.key["api_key"]

    def new_key(self, **limits):
        return self.service.api("POST", f"/v1/users/{self.id}/api-keys", {"name": fresh("k")} | limits, status=201)

    def request(self, method, path, body=None, bearer=None):
        return self.service.api(method, path, body, bearer=bearer or self.bearer)

    def sign(self, key):
        item = {"version": 1, "scheme": "ecdsa", "hash": "SHA256", "digest": base64.b64encode(DIGEST).decode()}
        return self.request("POST", f"/v1/keys/{key}/signatures", item)


@pytest.fixture
def user(service):
    return lambda tsg, **limits: User(service, tsg, **limits)


@pytest.fixture
def someone(service, tmp_path):
    return lambda tsg: Account(service, f"{tsg}/{fresh('s')}", tmp_path).login()


def ask(who, method, path, body=None):
    if isinstance(who, Account):
        return who.request(method, path, None if body is None else json.dumps(body))
    return who.request(method, path, body)


def grant(service, who, role, tsg):
    return service.api("POST", "/v1/bindings", {"role": role, "principal": who if isinstance(who, str) else who.id,
                                                "tsg": tsg}, status=201)


def check(reply, status, name=None, rule=None):
    got, _, body = reply
    assert got == status, body
    if name:
        assert body["type"] == f"urn:csign:error:{name}", body
    if rule:
        assert body["rule"] == rule, body
    return body


def sign(who, key):
    return who.sign(key, DIGEST) if isinstance(who, Account) else who.sign(key)


@pytest.fixture
def new_key(service):
    def make(tsg, **more):
        return service.api("POST", "/v1/keys", {"path": f"{tsg}/{fresh('k')}", "algorithm": "P-256",
                                                "certificate": "none"} | more, status=201)
    return make


def last(service, kind):
    return [r["record"] for r in service.audit() if r["record"]["kind"] == kind][-1]


# ---- users ----

def test_a_user_is_made_seen_disabled_and_deleted(service, user):
    u = user("acme/mobile")
    shown = service.api("GET", f"/v1/users/{u.id}", status=200)
    assert shown == u.record | {"revision": 2} and shown["state"] == "enabled" and shown["tsg"]
    assert u.id in [r["id"] for r in service.api("GET", "/v1/users?limit=200", status=200)["users"]]
    check(service.api("POST", "/v1/users", {"path": u.path}), 409, "AlreadyExists")
    assert check(u.request("GET", "/v1/whoami"), 200)["principal"]["id"] == u.id
    assert check(u.request("GET", f"/v1/users/{u.id}"), 200) == shown
    check(u.request("GET", "/v1/users"), 403, "NotPermitted", "role")

    assert sign(u, service.keys["acme/mobile/release"]["id"])[0] == 201
    service.api("PATCH", f"/v1/users/{u.id}", {"state": "disabled"}, status=200)
    check(u.request("GET", "/v1/whoami"), 401, "Unauthenticated")
    what = last(service, "user.change")["what"]
    assert (what["state"], what["state_before"]) == ("disabled", "enabled")
    service.api("PATCH", f"/v1/users/{u.id}", {"state": "enabled"}, status=200)
    check(u.request("GET", "/v1/whoami"), 200)
    grant(service, u, "viewer", "acme/mobile")
    service.api("DELETE", f"/v1/users/{u.id}", status=204)
    check(u.request("GET", "/v1/whoami"), 401, "Unauthenticated")
    check(service.api("GET", f"/v1/users/{u.id}"), 404, "NotFound", "scope")
    assert service.api("GET", f"/v1/bindings?principal={u.id}", status=200)["bindings"] == []


def test_who_holds_less_neither_ends_a_user_nor_makes_its_keys(service, user):
    boss, clerk = user("acme"), user("acme")
    role = service.api("POST", "/v1/roles", {"path": f"acme/{fresh('r')}", "pages": {"people": "write"}}, status=201)
    grant(service, boss, "owner", "acme")
    grant(service, clerk, role["id"], "acme")
    for method, path, body in (("PATCH", "", {"state": "disabled"}), ("DELETE", "", None),
                               ("POST", "/api-keys", {"name": "mine"}),
                               ("DELETE", f"/api-keys/{boss.key['id']}", None)):
        refused = check(clerk.request(method, f"/v1/users/{boss.id}{path}", body), 403, "NotPermitted", "grant")
        assert service.audit(request_id=refused["request_id"])
    other = user("acme/web")
    made = check(clerk.request("POST", f"/v1/users/{other.id}/api-keys", {"name": "theirs"}), 201)
    check(other.request("GET", "/v1/whoami", bearer=made["api_key"]), 200)
    check(boss.request("DELETE", f"/v1/users/{clerk.id}"), 204)
    check(boss.request("DELETE", f"/v1/users/{user('other').id}"), 404, "NotFound", "scope")


def test_the_last_owner_is_neither_disabled_nor_deleted(service, user):
    me = service.api("GET", "/v1/whoami", status=200)["principal"]["id"]
    (mine,) = service.api("GET", f"/v1/users/{me}/api-keys", status=200)["api_keys"]
    for method, path, body in (("PATCH", "", {"state": "disabled"}), ("DELETE", "", None),
                               ("DELETE", f"/api-keys/{mine['id']}", None)):
        check(service.api(method, f"/v1/users/{me}{path}", body), 409, "InUse", "last-owner")
    second = user("")
    binding = grant(service, second, "owner", "")
    check(second.request("PATCH", f"/v1/users/{me}", {"state": "disabled"}), 200)
    check(second.request("DELETE", f"/v1/bindings/{binding['id']}"), 409, "InUse", "last-owner")
    check(second.request("PATCH", f"/v1/users/{me}", {"state": "enabled"}), 200)


# ---- API keys ----

def test_an_api_key_is_shown_once_and_revoked_at_once(service, user):
    u = user("acme")
    body = {"name": "CI", "tsg": "acme/mobile", "purpose": "sign", "validity_days": 30}
    headers = {"Idempotency-Key": fresh()}
    made = service.api("POST", f"/v1/users/{u.id}/api-keys", body, status=201, headers=headers)
    assert made["name"] == "ci" and made["tsg"] == "acme/mobile" and made["purpose"] == "sign" and made["expires"]
    again = service.api("POST", f"/v1/users/{u.id}/api-keys", body, status=201, headers=headers)
    assert "api_key" not in again and again["id"] == made["id"]
    listed = check(u.request("GET", f"/v1/users/{u.id}/api-keys"), 200)["api_keys"]
    assert {k["id"] for k in listed} == {u.key["id"], made["id"]} and not any("api_key" in k for k in listed)
    assert made["api_key"] not in json.dumps([r["entry"] for r in service.audit()])
    ci = made["api_key"]
    item = {"version": 1, "scheme": "ecdsa", "hash": "SHA256", "digest": base64.b64encode(DIGEST).decode()}
    path = f"/v1/keys/{service.keys['acme/mobile/release']['id']}/signatures"
    check(u.request("POST", path, item, bearer=ci), 201)
    check(u.request("POST", f"/v1/keys/{service.keys['acme/web/site']['id']}/signatures", item, bearer=ci), 404)
    service.api("DELETE", f"/v1/users/{u.id}/api-keys/{made['id']}", status=204)
    check(u.request("POST", path, item, bearer=ci), 401, "Unauthenticated")
    check(service.api("DELETE", f"/v1/users/{u.id}/api-keys/{made['id']}"), 404, "NotFound")


def test_nobody_makes_himself_a_wider_api_key(service, user):
    u = user("acme")
    narrow = u.new_key(tsg="acme/mobile", purpose="sign", validity_days=10)["api_key"]
    for body in ({}, {"tsg": "acme/mobile"}, {"tsg": "acme/mobile", "purpose": "sign"},
                 {"tsg": "acme/mobile", "purpose": "administer", "validity_days": 10},
                 {"purpose": "sign", "validity_days": 10},
                 {"tsg": "acme/mobile", "purpose": "sign", "validity_days": 11}):
        check(u.request("POST", f"/v1/users/{u.id}/api-keys", {"name": fresh()} | body, bearer=narrow), 403,
              "NotPermitted", "api-key")
    check(u.request("DELETE", f"/v1/users/{u.id}/api-keys/{u.key['id']}", bearer=narrow), 403, "NotPermitted", "api-key")
    check(u.request("POST", f"/v1/users/{u.id}/api-keys", {
        "name": fresh(), "tsg": "acme/mobile", "purpose": "sign", "validity_days": 9}, bearer=narrow), 201)
    check(u.request("POST", f"/v1/users/{u.id}/api-keys", {"name": fresh()}), 201)
    check(u.request("POST", f"/v1/users/{user('acme').id}/api-keys", {"name": fresh()}), 403, "NotPermitted", "role")
    # Nor one that reaches further than its user.
    check(service.api("POST", f"/v1/users/{u.id}/api-keys", {"name": fresh(), "tsg": "other"}), 400, "BadRequest")
    check(service.api("POST", f"/v1/users/{u.id}/api-keys", {"name": fresh(), "purpose": "all"}), 400, "BadRequest")


def test_an_api_keys_last_use_is_written_beside_the_requests(service, user):
    u = user("acme")
    show = f"/v1/users/{u.id}/api-keys"
    assert service.api("GET", show, status=200)["api_keys"][0]["last_used"] is None
    check(u.request("GET", "/v1/whoami"), 200)
    used = wait_until("the use is written", lambda: service.api("GET", show, status=200)["api_keys"][0]["last_used"], 20)
    for _ in range(5):
        check(u.request("GET", "/v1/whoami"), 200)
    assert service.api("GET", show, status=200)["api_keys"][0]["last_used"] == used


# ---- teams ----

def test_a_teams_roles_are_its_members_and_end_with_membership(service, someone):
    team = service.api("POST", "/v1/teams", {"path": f"acme/{fresh('t')}", "description": "the crew"}, status=201)
    who = someone("acme")
    grant(service, team["id"], "viewer", "acme")
    check(ask(who, "GET", "/v1/users"), 403, "NotPermitted", "role")
    once = {"headers": {"Idempotency-Key": fresh()}, "status": 201}
    for _ in "ab":  # a repeated request is no second membership
        service.api("POST", f"/v1/teams/{team['id']}/members", {"principal": who.id}, **once)
    check(service.api("POST", f"/v1/teams/{team['id']}/members", {"principal": who.id}), 409, "AlreadyExists")
    members = service.api("GET", f"/v1/teams/{team['id']}/members", status=200)["members"]
    assert members == [{"id": who.id, "path": who.path}]
    check(ask(who, "GET", "/v1/users"), 200)
    check(service.api("POST", f"/v1/teams/{team['id']}/members", {"principal": team["id"]}), 400, "BadRequest")
    check(service.api("DELETE", f"/v1/teams/{team['id']}"), 409, "InUse", "team-in-use")
    service.api("DELETE", f"/v1/teams/{team['id']}/members/{who.id}", status=204)
    check(ask(who, "GET", "/v1/users"), 403, "NotPermitted", "role")
    changed = service.api("PATCH", f"/v1/teams/{team['id']}", {"description": "gone"}, status=200)
    assert changed["description"] == "gone"


def test_nobody_joins_a_team_that_has_more_than_he(service, user):
    clerk = user("acme")
    role = service.api("POST", "/v1/roles", {"path": f"acme/{fresh('r')}", "pages": {
        "people": "write", "accounts": "view"}}, status=201)
    grant(service, clerk, role["id"], "acme")
    team = service.api("POST", "/v1/teams", {"path": f"acme/{fresh('t')}"}, status=201)
    check(clerk.request("POST", f"/v1/teams/{team['id']}/members", {"principal": clerk.id}), 201)
    check(clerk.request("DELETE", f"/v1/teams/{team['id']}/members/{clerk.id}"), 204)
    grant(service, team["id"], "owner", "acme")
    check(clerk.request("POST", f"/v1/teams/{team['id']}/members", {"principal": clerk.id}), 403, "NotPermitted", "grant")


def test_members_manage_the_accounts_that_their_team_owns(service, user, someone):
    member, owned, other = user("acme"), someone("acme/mobile"), someone("acme/mobile")
    team = service.api("POST", "/v1/teams", {"path": f"acme/{fresh('t')}"}, status=201)["id"]
    service.api("POST", f"/v1/teams/{team}/members", {"principal": member.id}, status=201)
    check(member.request("GET", f"/v1/accounts/{owned.id}"), 403, "NotPermitted", "role")
    service.api("POST", f"/v1/teams/{team}/accounts", {"account": owned.id}, status=201)
    what = last(service, "account.owner")["what"]
    assert what["team"] == team and what["account"] == owned.id
    check(service.api("POST", f"/v1/teams/{team}/accounts", {"account": owned.id}), 409, "AlreadyExists")
    listed = check(member.request("GET", f"/v1/teams/{team}/accounts"), 200)["accounts"]
    assert [a["id"] for a in listed] == [owned.id]
    check(member.request("GET", f"/v1/accounts/{owned.id}"), 200)
    check(member.request("PATCH", f"/v1/accounts/{owned.id}", {"state": "disabled"}), 200)
    check(ask(owned, "GET", "/v1/whoami"), 401)
    check(member.request("GET", f"/v1/accounts/{other.id}"), 403, "NotPermitted", "role")
    check(member.request("POST", f"/v1/teams/{team}/accounts", {"account": other.id}), 403, "NotPermitted", "role")
    check(member.request("DELETE", f"/v1/teams/{team}/accounts/{owned.id}"), 403, "NotPermitted", "role")
    # Scope counts for them too.
    sideways = someone("acme/web")
    service.api("POST", f"/v1/teams/{team}/members", {"principal": sideways.id}, status=201)
    check(ask(sideways, "GET", f"/v1/accounts/{owned.id}"), 404, "NotFound", "scope")
    service.api("DELETE", f"/v1/teams/{team}/accounts/{owned.id}", status=204)
    check(member.request("GET", f"/v1/accounts/{owned.id}"), 403, "NotPermitted", "role")


# ---- projects ----

def test_a_key_in_a_project_is_its_signers_alone(service, someone, user, new_key):
    key = new_key("acme/mobile")
    project = service.api("POST", "/v1/projects", {"path": f"acme/{fresh('p')}"}, status=201)["id"]
    signer, other, viewer, low = someone("acme"), someone("acme"), user("acme"), someone("acme/web")
    grant(service, viewer, "viewer", "acme/mobile")
    for who in (signer, low):
        service.api("POST", f"/v1/projects/{project}/signers", {"principal": who.id}, status=201)
    assert all(sign(who, key["id"])[0] == 201 for who in (signer, other, viewer))
    moved = service.api("PATCH", f"/v1/keys/{key['id']}", {"project": project}, status=200)
    assert moved["project"] == project
    what = last(service, "key.change")["what"]
    assert (what["project"], what["project_before"]) == (project, "none")

    assert sign(signer, key["id"])[0] == 201
    assert last(service, "sign")["rule"] == "project"
    unknown = check(ask(other, "GET", "/v1/keys/key_" + "a" * 26), 404, "KeyNotFound")
    for path in (f"/v1/keys/{key['id']}", f"/v1/keys/{key['id']}/versions"):
        hidden = check(ask(other, "GET", path), 404, "KeyNotFound", "scope")
        assert hidden["detail"] == unknown["detail"]
    check(ask(other, "GET", f"/v1/keys/resolve?path={key['path']}"), 404, "KeyNotFound", "scope")
    check(sign(other, key["id"]), 404, "KeyNotFound", "scope")
    check(sign(low, key["id"]), 404, "KeyNotFound", "scope")  # a signer whose scope does not cover it
    check(viewer.request("GET", f"/v1/keys/{key['id']}"), 200)
    check(sign(viewer, key["id"]), 403, "NotPermitted", "project")

    check(service.api("DELETE", f"/v1/projects/{project}"), 409, "InUse", "project-in-use")
    service.api("DELETE", f"/v1/projects/{project}/signers/{signer.id}", status=204)
    check(sign(signer, key["id"]), 404, "KeyNotFound", "scope")
    service.api("PATCH", f"/v1/keys/{key['id']}", {"project": None}, status=200)
    assert sign(other, key["id"])[0] == 201
    service.api("DELETE", f"/v1/projects/{project}", status=204)


def test_a_team_signs_for_a_project(service, someone, new_key):
    team = service.api("POST", "/v1/teams", {"path": f"acme/{fresh('t')}"}, status=201)["id"]
    project = service.api("POST", "/v1/projects", {"path": f"acme/{fresh('p')}"}, status=201)["id"]
    key, who = new_key("acme/mobile", project=project), someone("acme")
    assert key["project"] == project
    service.api("POST", f"/v1/projects/{project}/signers", {"principal": team}, status=201)
    check(sign(who, key["id"]), 404, "KeyNotFound", "scope")
    service.api("POST", f"/v1/teams/{team}/members", {"principal": who.id}, status=201)
    assert sign(who, key["id"])[0] == 201
    service.api("DELETE", f"/v1/teams/{team}/members/{who.id}", status=204)
    check(sign(who, key["id"]), 404, "KeyNotFound", "scope")
    service.api("DELETE", f"/v1/projects/{project}/signers/{team}", status=204)
    service.api("DELETE", f"/v1/teams/{team}", status=204)


def test_listings_of_keys_follow_projects(service, someone, user, new_key):
    service.api("POST", "/v1/tsgs", {"path": "listed"}, status=201)
    service.api("POST", "/v1/tsgs", {"path": "listed/below"}, status=201)
    project = service.api("POST", "/v1/projects", {"path": f"listed/{fresh('p')}"}, status=201)["id"]
    inside = [new_key(tsg, project=project)["path"] for tsg in ("listed", "listed/below", "listed/below") for _ in "ab"]
    outside = [new_key(tsg)["path"] for tsg in ("listed", "listed/below")]
    signer, other, viewer = someone("listed"), someone("listed"), user("listed")
    service.api("POST", f"/v1/projects/{project}/signers", {"principal": signer.id}, status=201)
    grant(service, viewer, "viewer", "listed/below")

    def listed(who):
        paths, cursor = [], ""
        while True:
            page = check(ask(who, "GET", f"/v1/keys?limit=1&cursor={cursor}"), 200)
            paths += [k["path"] for k in page["keys"]]
            cursor = page["next_cursor"]
            if not cursor:
                return paths

    assert listed(signer) == sorted(inside + outside)
    assert listed(other) == sorted(outside)
    assert listed(viewer) == sorted(outside + [p for p in inside if p.startswith("listed/below")])


def test_who_moves_a_key_changes_projects_at_both_ends(service, user, new_key):
    manager, keys_only = user("acme"), user("acme")
    grant(service, manager, "key-manager", "acme/mobile")
    role = service.api("POST", "/v1/roles", {"path": f"acme/{fresh('r')}", "pages": {"keys": "write"}}, status=201)
    grant(service, keys_only, role["id"], "acme")
    mine = check(manager.request("POST", "/v1/projects", {"path": f"acme/mobile/{fresh('p')}"}), 201)["id"]
    above = service.api("POST", "/v1/projects", {"path": f"acme/{fresh('p')}"}, status=201)["id"]
    key = new_key("acme/mobile")
    path = f"/v1/keys/{key['id']}"
    check(keys_only.request("PATCH", path, {"project": mine}), 403, "NotPermitted", "role")
    check(manager.request("PATCH", path, {"project": above}), 403, "NotPermitted", "role")
    check(manager.request("PATCH", path, {"project": mine}), 200)
    check(keys_only.request("PATCH", path, {"project": None}), 403, "NotPermitted", "role")
    check(keys_only.request("PATCH", path, {"description": "still"}), 200)
    check(service.api("PATCH", path, {"path": f"acme/web/{fresh('k')}"}), 400, "BadRequest")
    check(service.api("PATCH", path, {"path": f"acme/web/{fresh('k')}", "project": above}), 200)
    check(service.api("PATCH", path, {"project": mine}), 400, "BadRequest")
    check(service.api("PATCH", path, {"project": 7}), 400, "BadRequest")
    check(service.api("PATCH", path, {"project": "prj_" + "a" * 26}), 404, "NotFound")
    check(keys_only.request("PATCH", path, {"project": None}), 403, "NotPermitted", "role")
