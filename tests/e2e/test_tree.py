# SPDX-License-Identifier: Apache-2.0
"""The tree changes while it is used: TSGs get other names and places, and go."""

import concurrent.futures
import hashlib
import json
import os
import secrets
import sqlite3
import time

import pytest

from peer import DBusError, Peer
from stack import text, wait_until
from test_service import DIGEST, Client, check_problem, sign_item


def name(prefix="t"):
    return f"{prefix}-{os.urandom(4).hex()}"


def make(stack, path):
    return stack.api("POST", "/v1/tsgs", {"path": path}, status=201)


def change(stack, tsg, headers=None, bearer=None, **body):
    """(status, headers, body)"""
    return stack.api("PATCH", f"/v1/tsgs/{tsg['id']}", body, headers=headers, bearer=bearer)


def delete(stack, tsg, headers=None, bearer=None):
    return stack.api("DELETE", f"/v1/tsgs/{tsg['id']}", headers=headers, bearer=bearer)


def get(stack, what, thing, status=200):
    return stack.api("GET", f"/v1/{what}/{thing['id']}", status=status)


def resolve(stack, path):
    return stack.api("GET", f"/v1/tsgs/resolve?path={path}", status=200)


def owner_of(stack, tsg):
    """The API key of a user who owns this TSG."""
    key, user = "csk_" + secrets.token_urlsafe(32), name("usr")
    with sqlite3.connect(stack.state / "csign.db", timeout=30) as db:
        db.execute("INSERT INTO users (id, tsg, name, path, created) VALUES (?, ?, ?, ?, 1)",
                   (user, tsg["id"], user, f"{tsg['path']}/{user}"))
        db.execute("INSERT INTO role_bindings (id, role, principal, tsg, created) VALUES (?, 'owner', ?, ?, 1)",
                   (name("bind"), user, tsg["id"]))
        db.execute("INSERT INTO api_keys (id, user_id, hash, created) VALUES (?, ?, ?, 1)",
                   (name("ak"), user, hashlib.sha256(key.encode()).digest()))
    db.close()
    return key


@pytest.fixture(scope="module")
def plain(request):
    """A service of its own: these tests count what it has."""
    from conftest import start, stop
    s = start(sidecar=False, keys={})
    yield s
    stop(s)


@pytest.fixture
def tree(plain):
    """A root with a/b/c and a key and an account in each but the root."""
    root = name("root")
    tsgs = {p: make(plain, f"{root}/{p}".rstrip("/")) for p in ("", "a", "a/b", "a/b/c", "d")}
    keys = {p: plain.add_key(f"{root}/{p}/k", certificate="none") for p in ("a", "a/b", "a/b/c", "d")}
    return root, tsgs, keys


def closure(stack):
    """Who reaches whom, as the database has it, and as the parents say."""
    with sqlite3.connect(stack.state / "csign.db", timeout=30) as db:
        stored = set(db.execute("SELECT ancestor, descendant, depth FROM tsg_closure"))
        parents = dict(db.execute("SELECT id, parent FROM tsgs"))
        paths = dict(db.execute("SELECT id, path FROM tsgs"))
        names = dict(db.execute("SELECT id, name FROM tsgs"))
        places = list(db.execute("SELECT tsg, name, path FROM keys UNION ALL SELECT tsg, name, path FROM accounts"))
    db.close()
    expected = set()
    for tsg in parents:
        above, depth = tsg, 0
        while above:
            expected.add((above, tsg, depth))
            above, depth = parents[above], depth + 1
    assert stored == expected
    for tsg, parent in parents.items():
        assert paths[tsg] == (f"{paths[parent]}/{names[tsg]}".lstrip("/") if parent else "")
    for tsg, its_name, path in places:
        assert path == f"{paths[tsg]}/{its_name}"


def test_a_new_name_is_the_new_path_of_all_below(plain, tree):
    root, tsgs, keys = tree
    status, headers, after = change(plain, tsgs["a"], name="Renamed")
    assert (status, after["path"], after["name"], after["id"]) == (200, f"{root}/renamed", "renamed", tsgs["a"]["id"])
    assert (after["revision"], headers["ETag"]) == (2, '"2"')
    for p, new in (("a/b", "renamed/b"), ("a/b/c", "renamed/b/c")):
        assert get(plain, "tsgs", tsgs[p])["path"] == resolve(plain, f"{root}/{new}")["path"] == f"{root}/{new}"
        shown = get(plain, "keys", keys[p])
        assert (shown["path"], shown["tsg"], shown["revision"]) == (f"{root}/{new}/k", tsgs[p]["id"], 2)
    assert get(plain, "keys", keys["d"]) == keys["d"]
    check_problem(plain.api("GET", f"/v1/keys/resolve?path={root}/a/k"), 404, "KeyNotFound")
    # The old name is free.
    assert make(plain, f"{root}/a")["id"] != tsgs["a"]["id"]
    closure(plain)


def test_a_root_can_be_renamed_and_its_authority_stays(plain, tree):
    root, tsgs, _ = tree
    before = plain.api("GET", f"/v1/authorities?tsg={root}", status=200)
    new = name("other")
    assert change(plain, tsgs[""], name=new)[0] == 200
    assert plain.api("GET", f"/v1/authorities?tsg={new}", status=200) == before
    closure(plain)


def test_a_tsg_moves_with_all_below(plain, tree):
    root, tsgs, keys = tree
    status, _, after = change(plain, tsgs["a/b"], parent=tsgs["d"]["id"], name="x")
    assert (status, after["path"], after["parent"]) == (200, f"{root}/d/x", tsgs["d"]["id"])
    assert get(plain, "keys", keys["a/b/c"])["path"] == f"{root}/d/x/c/k"
    closure(plain)
    # Up again, beside its old parent.
    assert change(plain, tsgs["a/b"], parent=tsgs[""]["id"])[2]["path"] == f"{root}/x"
    closure(plain)


def test_reach_moves_with_it(plain, tree, tmp_path):
    root, tsgs, keys = tree
    a, d = (Client(plain, tmp_path / n, f"{root}/{n}/ci").login() for n in ("a", "d"))

    def signs(client):
        return client.api("POST", f"/v1/keys/{keys['a/b/c']['id']}/signatures", sign_item(keys["a/b/c"], key=None))

    assert signs(a)[0] == 201
    check_problem(signs(d), 404, "KeyNotFound", "scope")
    assert change(plain, tsgs["a/b"], parent=tsgs["d"]["id"])[0] == 200
    check_problem(signs(a), 404, "KeyNotFound", "scope")
    assert signs(d)[0] == 201
    for client in (a, d):
        client.close()


def test_what_the_tree_cannot_be(plain, tree):
    root, tsgs, _ = tree
    elsewhere = make(plain, name("root"))
    for body, rule in (({"parent": tsgs["a/b/c"]["id"]}, "tree-cycle"), ({"parent": tsgs["a"]["id"]}, "tree-cycle"),
                       ({"parent": elsewhere["id"]}, "tree-root")):
        check_problem(change(plain, tsgs["a"], **body), 400, "BadRequest", rule)
    top = get(plain, "tsgs", {"id": tsgs[""]["parent"]})
    check_problem(change(plain, tsgs["a"], parent=top["id"]), 400, "BadRequest", "tree-root")
    check_problem(change(plain, tsgs[""], parent=elsewhere["id"]), 400, "BadRequest", "tree-root")
    check_problem(change(plain, top, name="x"), 400, "BadRequest", "tree-top")
    check_problem(delete(plain, top), 400, "BadRequest", "tree-top")
    check_problem(change(plain, tsgs["a"], parent="tsg_" + "a" * 26), 404, "NotFound")
    check_problem(change(plain, tsgs["a"]), 400, "BadRequest")
    # Siblings share their names, and keys are among them.
    check_problem(change(plain, tsgs["a"], name="d"), 409, "AlreadyExists")
    plain.add_key(f"{root}/taken", certificate="none")
    assert "key" in check_problem(change(plain, tsgs["a"], name="taken"), 409, "AlreadyExists")["detail"]
    assert get(plain, "tsgs", tsgs["a"]) == tsgs["a"]
    closure(plain)


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "-a", "ä", "а", "a\u0000b", "a b", "ａ", "x" * 64, "\u202ea"])
def test_names_are_ascii_and_said_to_be(plain, tree, bad):
    _, tsgs, _ = tree
    problem = check_problem(change(plain, tsgs["a"], name=bad), 400, "BadRequest")
    assert problem["detail"] and get(plain, "tsgs", tsgs["a"]) == tsgs["a"]
    if bad in ("ä", "а", "a b", "ａ"):
        assert "a-z 0-9 . _ -" in problem["detail"]


def test_the_tree_is_sixteen_tsgs_deep(plain):
    root = name("deep")
    path, tsgs = root, [make(plain, root)]
    for i in range(15):
        path += f"/n{i}"
        tsgs.append(make(plain, path))
    check_problem(plain.api("POST", "/v1/tsgs", {"path": path + "/one"}), 400, "BadRequest", "tree-depth")
    plain.add_key(path + "/key", certificate="none")
    other = make(plain, f"{root}/other")
    low = make(plain, f"{root}/other/low")
    check_problem(change(plain, other, parent=tsgs[14]["id"]), 400, "BadRequest", "tree-depth")
    assert change(plain, low, parent=tsgs[14]["id"])[0] == 200
    check_problem(change(plain, other, parent=low["id"]), 400, "BadRequest", "tree-depth")
    closure(plain)


def test_only_an_empty_tsg_is_deleted(plain, tree):
    root, tsgs, _ = tree
    for tsg, what in ((tsgs["a"], "TSGs"), (tsgs["d"], "keys")):
        assert what in check_problem(delete(plain, tsg), 409, "InUse", "tree-empty")["detail"]
    users = make(plain, f"{root}/users")
    owner_of(plain, users)
    assert "users" in check_problem(delete(plain, users), 409, "InUse", "tree-empty")["detail"]

    empty = make(plain, f"{root}/empty")
    status, headers, body = delete(plain, empty)
    assert status == 204 and not body and "ETag" not in headers
    check_problem(plain.api("GET", f"/v1/tsgs/{empty['id']}"), 404, "NotFound")
    check_problem(delete(plain, empty), 404, "NotFound")
    assert make(plain, f"{root}/empty")["id"] != empty["id"]
    closure(plain)

    alone = make(plain, name("root"))
    assert delete(plain, alone)[0] == 204
    check_problem(plain.api("GET", f"/v1/authorities?tsg={alone['path']}"), 404, "NotFound")
    assert make(plain, alone["path"])["path"] == alone["path"]


def test_the_mover_administers_both_ends(plain, tree):
    root, tsgs, _ = tree
    a, d, both = owner_of(plain, tsgs["a"]), owner_of(plain, tsgs["d"]), owner_of(plain, tsgs[""])
    # One's own TSG has its name and place from above.
    for bearer, tsg in ((a, tsgs["a"]), (d, tsgs["d"])):
        check_problem(change(plain, tsg, bearer=bearer, name="mine"), 403, "NotPermitted", "scope")
        check_problem(delete(plain, tsg, bearer=bearer), 403, "NotPermitted", "scope")
    # Up, sideways, or what is another's.
    check_problem(change(plain, tsgs["a/b"], bearer=a, parent=tsgs[""]["id"]), 404, "NotFound", "scope")
    check_problem(change(plain, tsgs["a/b"], bearer=a, parent=tsgs["d"]["id"]), 404, "NotFound", "scope")
    check_problem(change(plain, tsgs["a/b"], bearer=d, parent=tsgs["d"]["id"]), 404, "NotFound", "scope")
    assert change(plain, tsgs["a/b/c"], bearer=a, parent=tsgs["a"]["id"])[2]["path"] == f"{root}/a/c"
    assert change(plain, tsgs["a/b"], bearer=both, parent=tsgs["d"]["id"])[0] == 200
    check_problem(change(plain, tsgs["a/b"], bearer=a, name="back"), 404, "NotFound")
    assert change(plain, tsgs["a/b"], bearer=d, name="new")[0] == 200
    closure(plain)


def test_changes_have_revisions_and_records(plain, tree):
    root, tsgs, _ = tree
    check_problem(change(plain, tsgs["a"], {"If-Match": '"2"'}, name="x"), 412, "PreconditionFailed", "if-match")
    assert change(plain, tsgs["a"], {"If-Match": '"1"'}, name="x")[0] == 200
    check_problem(delete(plain, tsgs["a/b/c"], {"If-Match": '"1"'}), 412, "PreconditionFailed", "if-match")
    (record,) = [r["record"] for r in plain.audit() if r["record"]["kind"] == "tsg.change"
                 and r["record"]["what"].get("tsg") == tsgs["a"]["id"] and r["record"]["result"] == "allowed"]
    assert record["what"] == {"tsg": tsgs["a"]["id"], "path_before": f"{root}/a", "name": "x", "name_before": "a"}


def test_changes_at_once_leave_a_tree(plain):
    """Each moves another's parent: whatever wins, nothing hangs in the air or goes in a circle."""
    root = name("race")
    make(plain, root)
    tsgs = [make(plain, f"{root}/n{i}") for i in range(5)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        replies = list(pool.map(lambda i: change(plain, tsgs[i % 5], parent=tsgs[(i + 1 + i // 5) % 5]["id"]), range(20)))
    assert {r[0] for r in replies} <= {200, 400, 412} and any(r[0] == 200 for r in replies)
    closure(plain)


# ---- what runs ----

def test_what_runs_goes_on_signing(stack, tmp_path):
    """A sidecar and its references hold ids; only a new question by the old path is in vain."""
    old, new = name(), name()
    tsg = make(stack, f"acme/mobile/{old}")
    key = stack.add_key(f"acme/mobile/{old}/release")
    ref, data = tmp_path / "ref.pem", tmp_path / "data"
    tmp_path.chmod(0o755)
    data.write_bytes(b"what is signed")
    ref.write_bytes(stack.csign("ref", f"csign://{key['path']}").stdout)
    ref.chmod(0o644)

    def sign(with_what):
        return stack.openssl("dgst", "-sha256", "-sign", with_what, "-out", tmp_path / "sig", data, check=False)

    assert sign(ref).returncode == 0
    assert change(stack, tsg, name=new)[0] == 200
    assert sign(ref).returncode == 0
    with Peer(stack.sidecar.socket) as peer:
        assert peer.sign(key["id"], 1, "ecdsa", "SHA256", DIGEST)[0]

        def is_gone():
            try:
                peer.get_key(key["path"])
            except DBusError as e:
                return e.short == "KeyNotFound"
            return False

        wait_until("the old path is no key's", is_gone)
        assert peer.get_key(f"acme/mobile/{new}/release")["id"] == key["id"]
    assert sign(f"csign://acme/mobile/{new}/release").returncode == 0
    done = sign(f"csign://{key['path']}")
    assert done.returncode != 0 and b"there is no key" in done.stderr


def test_csign_changes_the_tree(plain, tree):
    root, tsgs, _ = tree

    def run(*argv, status=0):
        done = plain.csign("tsg", *argv, check=False)
        assert done.returncode == status, text(done.stderr)
        return text(done.stdout if status == 0 else done.stderr)

    assert run("rename", f"{root}/a/b", "new") == f"TSG {root}/a/b is {root}/a/new now.\n"
    assert run("move", tsgs["a/b"]["id"], f"{root}/d") == f"TSG {root}/a/new is {root}/d/new now.\n"
    assert json.loads(run("show", f"{root}/d/new", "--json"))["id"] == tsgs["a/b"]["id"]
    assert "InUse" not in run("delete", f"{root}/d", "--yes", status=6)
    make(plain, f"{root}/gone")
    assert "--yes" in run("delete", f"{root}/gone", status=2)
    assert run("delete", f"{root}/gone", "--yes") == f"Deleted TSG {root}/gone.\n"
    assert "remove or change what needs it first" in run("delete", f"{root}/d", "--yes", status=6)


def test_a_rename_of_many_keys_is_one_commit(plain, tree):
    """Ten thousand rows in one transaction: other requests wait for it, but not for long."""
    root, tsgs, keys = tree
    like = keys["a"]["id"]
    with sqlite3.connect(plain.state / "csign.db", timeout=30) as db:
        names = [c[1] for c in db.execute("PRAGMA table_info(keys)")]
        rest = ", ".join(n for n in names if n not in ("id", "name", "path"))
        db.executemany(f"INSERT INTO keys (id, name, path, {rest}) SELECT ?, ?, ?, {rest} FROM keys WHERE id = '{like}'",
                       ((f"key_{root[-4:]}{i:022d}", f"k{i}", f"{root}/a/k{i}") for i in range(10000)))
    db.close()
    begin = time.monotonic()
    assert change(plain, tsgs["a"], name="many")[0] == 200
    took = time.monotonic() - begin
    print(f"renamed a TSG of 10,000 keys in {took * 1000:.0f} ms")
    assert took < 10
    closure(plain)
