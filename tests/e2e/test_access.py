# SPDX-License-Identifier: Apache-2.0
"""What `access` answers is what is decided: each answer is held against an attempt.  And the setting that it names."""

import pytest
from account import Account
from stack import Stack
from test_people import User, ask, check, grant, sign

KEYS = ("lab/low/free", "lab/low/kept", "lab/free", "lab/kept")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A tree of its own with two projects' keys, and people of all kinds."""
    with Stack(sidecar=False, keys={}) as s:
        folder = tmp_path_factory.mktemp("lab")
        for tsg in ("lab", "lab/low"):
            s.api("POST", "/v1/tsgs", {"path": tsg}, status=201)
        s.project = s.api("POST", "/v1/projects", {"path": "lab/kept-ones"}, status=201)["id"]
        for path in KEYS:
            s.add_key(path, certificate="none", **({"project": s.project} if "kept" in path else {}))
        s.team = s.api("POST", "/v1/teams", {"path": "lab/crew"}, status=201)["id"]
        s.people = {
            "signer": Account(s, "lab/signer", folder).login(), "plain": Account(s, "lab/plain", folder).login(),
            "low": Account(s, "lab/low/one", folder).login(), "other": Account(s, "other/one", folder).login(),
            "manager": User(s, "lab"), "viewer": User(s, "lab"), "member": User(s, "lab"), "gone": User(s, "lab"),
        }
        grant(s, s.people["manager"], "key-manager", "lab/low")
        grant(s, s.people["viewer"], "viewer", "lab")
        grant(s, s.team, "key-manager", "lab")
        s.api("POST", f"/v1/teams/{s.team}/members", {"principal": s.people["member"].id}, status=201)
        for who in ("signer", "manager"):
            s.api("POST", f"/v1/projects/{s.project}/signers", {"principal": s.people[who].id}, status=201)
        s.api("PATCH", f"/v1/users/{s.people['gone'].id}", {"state": "disabled"}, status=200)
        yield s


def pages(who, path, name):
    rows, cursor = [], ""
    while True:
        page = check(ask(who, "GET", f"{path}?limit=3&cursor={cursor}"), 200)
        rows += page[name]
        cursor = page["next_cursor"]
        if not cursor:
            return rows, page


class Owner:
    def __init__(self, service):
        self.request = service.api


def attempt(who, key):
    """What happens: whether it signs, whether it changes the key."""
    signed = sign(who, key["id"])[0]
    changed = ask(who, "PATCH", f"/v1/keys/{key['id']}", {"description": "touched"})[0]
    return signed == 201, changed == 200


@pytest.mark.parametrize("path", KEYS)
def test_who_can_use_a_key_is_who_does(lab, path):
    key = lab.keys[path]
    rows, page = pages(Owner(lab), f"/v1/keys/{key['id']}/access", "principals")
    by_id = {row["principal"]["id"]: row for row in rows}
    assert page["unseen"] == 0 and len(by_id) == len(rows)
    for name, who in lab.people.items():
        signs, changes = attempt(who, key)
        row = by_id.get(who.id)
        if row is None:
            assert not signs and not changes and name in ("other", "low"), name
            continue
        assert (row["sign"]["allowed"], row["administer"] == "write") == (signs, changes), (name, row)
        assert row["sign"]["rule"] and (row["sign"]["allowed"] or row["sign"]["detail"]), row


def test_the_answers_say_why(lab):
    rows, _ = pages(Owner(lab), f"/v1/keys/{lab.keys['lab/low/kept']['id']}/access", "principals")
    by_id = {row["principal"]["id"]: row for row in rows}
    rules = {name: by_id[who.id]["sign"]["rule"] for name, who in lab.people.items() if who.id in by_id}
    assert rules == {"signer": "project", "plain": "project", "low": "project", "viewer": "project",
                     "manager": "separation-of-duties", "member": "project", "gone": "principal-state"}
    (role,) = by_id[lab.people["member"].id]["roles"]
    assert role["team"] == lab.team and role["role"] == "key-manager" and role["tsg"] == "lab"


@pytest.mark.parametrize("name", ["signer", "plain", "low", "manager", "viewer", "member", "gone"])
def test_what_somebody_can_use_is_what_he_uses(lab, name):
    who = lab.people[name]
    rows, page = pages(Owner(lab), f"/v1/principals/{who.id}/access", "keys")
    assert page["principal"]["id"] == who.id and page["principal"]["ended"] == (name == "gone")
    assert [r["path"] for r in rows] == sorted(p for p in KEYS if name != "low" or p.startswith("lab/low/"))
    for row in rows:
        assert (row["sign"]["allowed"], row["administer"] == "write") == attempt(who, lab.keys[row["path"]]), row


def test_who_may_ask(lab):
    plain, viewer, manager = (lab.people[n] for n in ("plain", "viewer", "manager"))
    key = lab.keys["lab/free"]["id"]
    check(ask(plain, "GET", f"/v1/keys/{key}/access"), 403, "NotPermitted", "role")
    check(ask(manager, "GET", f"/v1/keys/{key}/access"), 403, "NotPermitted", "role")
    _, mine = pages(plain, f"/v1/principals/{plain.id}/access", "keys")
    assert mine["principal"]["id"] == plain.id
    rows, _ = pages(plain, f"/v1/principals/{plain.id}/access", "keys")
    assert {r["path"] for r in rows} == {"lab/low/free", "lab/free"}  # what is kept from him he does not see
    check(ask(plain, "GET", f"/v1/principals/{viewer.id}/access"), 403, "NotPermitted", "role")
    check(ask(plain, "GET", f"/v1/principals/{lab.people['other'].id}/access"), 404, "NotFound", "scope")
    check(ask(viewer, "GET", f"/v1/principals/{plain.id}/access"), 200)
    seen = check(ask(viewer, "GET", f"/v1/keys/{key}/access"), 200)
    assert seen["unseen"] >= 1  # the owner is of the top
    check(lab.api("GET", f"/v1/principals/{lab.team}/access"), 400, "BadRequest")


def test_separation_of_duties_is_set_for_a_tsg_and_below(lab):
    who, viewer = User(lab, "lab"), lab.people["viewer"]
    grant(lab, who, "key-manager", "lab/low")
    tsgs = {t["path"]: t["id"] for t in lab.api("GET", "/v1/tsgs?limit=200", status=200)["tsgs"]}
    key = lab.keys["lab/low/free"]["id"]
    lab_path, low = f"/v1/tsgs/{tsgs['lab']}/settings", f"/v1/tsgs/{tsgs['lab/low']}/settings"

    def put(path, value):
        return lab.api("PATCH", path, {"separation_of_duties": value}, status=200)

    check(who.sign(key), 403, "NotPermitted", "separation-of-duties")
    assert put(lab_path, False)["effective"] == {"separation_of_duties": False}
    what = [r["record"] for r in lab.audit() if r["record"]["kind"] == "tsg.settings"][-1]["what"]
    assert (what["separation_of_duties"], what["separation_of_duties_before"]) == ("off", "inherited")
    assert who.sign(key)[0] == 201
    assert put(low, True)["separation_of_duties"] is True
    check(who.sign(key), 403, "NotPermitted", "separation-of-duties")
    shown = put(low, None)
    assert shown["separation_of_duties"] is None and shown["effective"] == {"separation_of_duties": False}
    assert who.sign(key)[0] == 201
    assert check(viewer.request("GET", low), 200)["revision"] == shown["revision"]
    check(viewer.request("PATCH", low, {"separation_of_duties": False}), 403, "NotPermitted", "role")
    check(who.request("PATCH", low, {"separation_of_duties": False}), 403, "NotPermitted", "role")
    check(lab.api("PATCH", low, {"separation_of_duties": "off"}), 400, "BadRequest")
    check(lab.api("PATCH", low, {"separation_of_duties": True}, headers={"If-Match": '"1"'}), 412)
    put(lab_path, None)
    check(who.sign(key), 403, "NotPermitted", "separation-of-duties")
