# SPDX-License-Identifier: Apache-2.0
"""The key encryption keys: several at once, another primary one while signing goes on, and what is missed when one is
gone."""

import contextlib
import os
import re
import signal
import sqlite3
import threading

import pytest

from stack import KEYSTORE_UID, StackError, text, wait_until, write_conf
from test_service import Client, check_problem, check_signature, sign_item


AUTHORITIES = 5  # the system's, and a root and an issuing one of acme and of other


class Keks:
    """The key store's KEK files and its configuration."""

    def __init__(self, stack):
        self.stack, self.n = stack, 1
        self.conf = stack.folder / "csign-keystore.conf"
        self.text = self.conf.read_text()

    def make(self):
        self.n += 1
        path = self.stack.kek.parent / f"kek-{self.n}"
        self.stack.run(self.stack.as_user(KEYSTORE_UID, [self.stack.program("csign-keystore"), "init-kek", "--kek", path]),
                       env=self.stack.keystore.env)
        return path

    def configure(self, kek, *older):
        values = dict(line.split(" = ", 1) for line in self.text.splitlines())
        write_conf(self.conf, values | {"kek": kek, "older-keks": ", ".join(map(str, older)) or None})

    def hang_up(self, says="KEKs read again"):
        before = self.stack.keystore.log().count(says)
        self.stack.keystore.signal(signal.SIGHUP)
        wait_until(says, lambda: self.stack.keystore.log().count(says) > before)

    def listed(self):
        return {k["state"]: k for k in self.stack.api("GET", "/v1/keks", status=200)["keks"]}


@pytest.fixture
def rotating(fresh_stack, tmp_path):
    """(stack, keks, client), with keys of several algorithms."""
    stack = fresh_stack(sidecar=False, keys={f"acme/mobile/k{i}": ("P-256", "Ed25519", "RSA-2048")[i % 3]
                                             for i in range(9)})
    client = Client(stack, tmp_path / "client", "acme/mobile/signer").login()
    yield stack, Keks(stack), client
    client.close()


def ecdsa_keys(stack):
    return [k for k in stack.keys.values() if k["algorithm"] == "P-256"]


def sign(client, key):
    return client.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None))


def all_sign(stack, client):
    for key in ecdsa_keys(stack):
        got = sign(client, key)
        assert got[0] == 201, got
        check_signature(stack, key, got[2]["signature"], client.folder)


@contextlib.contextmanager
def signing(stack, folder, threads=4):
    """Others sign all the while; each must be given what it asks for."""
    stop, failures, made = threading.Event(), [], [0] * threads
    clients = [Client(stack, folder / f"signer-{i}", f"acme/mobile/signer-{i}").login() for i in range(threads)]

    def loop(i):
        keys = ecdsa_keys(stack)
        while not stop.is_set():
            status, _, body = sign(clients[i], keys[made[i] % len(keys)])
            if status != 201:
                failures.append((status, body))
            made[i] += 1

    running = [threading.Thread(target=loop, args=(i,)) for i in range(threads)]
    for t in running:
        t.start()
    try:
        yield made
    finally:
        stop.set()
        for t in running:
            t.join()
        for c in clients:
            c.close()
    assert not failures and all(made), failures[:3]


def test_a_new_kek_while_all_goes_on(rotating, tmp_path):
    stack, keks, client = rotating
    old = keks.listed()["primary"]
    assert set(keks.listed()) == {"primary"} and old["blobs"] == len(stack.keys) + AUTHORITIES
    new = keks.make()
    with signing(stack, tmp_path) as made:
        keks.configure(new, stack.kek)
        keks.hang_up()
        both = keks.listed()
        assert both["older"] == old | {"state": "older"} and both["primary"]["blobs"] == 0
        made_before = sum(made)
        done = stack.csign("kek", "reseal", "--json")
        assert f'"resealed": {old["blobs"]}' in text(done.stdout) and '"failed": []' in text(done.stdout)
        wait_until("more signatures", lambda: sum(made) > made_before + 20, 30)
        assert keks.listed()["older"]["blobs"] == 0

        keks.configure(new)
        keks.hang_up()
        all_sign(stack, client)
    assert keks.listed() == {"primary": both["primary"] | {"blobs": old["blobs"]}}

    # Again: nothing to do, nothing recorded.  The authority's key is among what was sealed anew.
    records = [r["record"] for r in stack.audit() if r["record"]["kind"] == "kek.reseal"]
    assert sum(int(r["what"]["resealed"]) for r in records) == old["blobs"]
    assert all(r["what"]["kek"] == both["primary"]["id"] and r["principal"]["name"] == "owner" for r in records)
    assert "0 sealed anew" in text(stack.csign("kek", "reseal").stdout)
    assert len([r for r in stack.audit() if r["record"]["kind"] == "kek.reseal"]) == len(records)
    stack.add_key("acme/mobile/after", "P-256")
    stack.keystore.restart()
    all_sign(stack, client)
    shown = text(stack.csign("kek", "list").stdout)
    assert re.search(rf"{both['primary']['id']} +primary +{old['blobs'] + 1}\b", shown)


def test_kill_9_at_any_moment_of_it(rotating):
    stack, keks, client = rotating
    blobs = keks.listed()["primary"]["blobs"]
    new = keks.make()
    keks.configure(new, stack.kek)
    keks.hang_up()
    for round_ in range(6):
        victim = (stack.service, stack.keystore)[round_ % 2]
        begun = threading.Event()

        def reseal():
            with contextlib.suppress(OSError, StackError, ValueError):
                cursor = ""
                for _ in range(2):  # two batches, of which the second is cut off somewhere
                    got = stack.api("POST", "/v1/keks/reseal", {"limit": 1, "cursor": cursor})
                    begun.set()
                    cursor = got[2].get("next_cursor", "")
            begun.set()

        thread = threading.Thread(target=reseal)
        thread.start()
        assert begun.wait(30)
        victim.kill()
        thread.join()
        victim.start()
        counts = keks.listed()
        assert counts["primary"]["blobs"] + counts["older"]["blobs"] == blobs and "missing" not in counts
    assert counts["primary"]["blobs"] >= 6
    client.close()
    all_sign(stack, client)
    stack.csign("kek", "reseal")
    keks.configure(new)
    stack.keystore.restart()
    assert keks.listed() == {"primary": keks.listed()["primary"] | {"blobs": blobs}}
    all_sign(stack, client)
    stack.csign("audit", "verify")


def test_a_missing_kek_is_named(rotating):
    stack, keks, client = rotating
    all_sign(stack, client)
    old, new = keks.listed()["primary"], keks.make()
    keks.configure(new)
    keks.hang_up()
    # No key that is opened already hides it.
    for key in ecdsa_keys(stack):
        problem = check_problem(sign(client, key), 500, "KeyCorrupt")
        assert f"under the KEK {old['id']}, which this key store does not have" in problem["detail"]
    assert keks.listed()["missing"] == old | {"state": "missing"}
    done = stack.csign("kek", "reseal", check=False)
    assert done.returncode != 0 and old["id"] in text(done.stderr) and "did not open" in text(done.stderr)

    keks.configure(new, stack.kek)
    keks.hang_up()
    all_sign(stack, client)


@pytest.mark.parametrize("what", ["absent", "readable", "short", "twice", "unknown-name"])
def test_what_cannot_be_read_changes_nothing(rotating, what):
    stack, keks, client = rotating
    before, new = keks.listed(), keks.make()
    if what == "absent":
        keks.configure(new, stack.kek, stack.kek.parent / "nowhere")
    elif what == "readable":
        new.chmod(0o444)
        keks.configure(new, stack.kek)
    elif what == "short":
        new.chmod(0o600)
        new.write_bytes(b"x" * 31)
        keks.configure(new, stack.kek)
    elif what == "twice":
        keks.configure(new, stack.kek, new)
    else:
        keks.conf.write_text(keks.text + "older-kek = /nowhere\n")
    keks.hang_up("the KEKs stay as they were")
    assert keks.listed() == before
    all_sign(stack, client)


def test_only_an_owner_of_the_top(rotating):
    stack, _, client = rotating
    for rule in ("role", "scope"):
        if rule == "scope":
            stack.api("POST", "/v1/bindings", {"role": "owner", "principal": client.account["id"], "tsg": "acme/mobile"},
                      status=201)
        check_problem(client.api("GET", "/v1/keks"), 403, "NotPermitted", rule)
        check_problem(client.api("POST", "/v1/keks/reseal", {}), 403, "NotPermitted", rule)
    for body in ({"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"cursor": "0.key_x.1"}, {"cursor": "9.a.1"},
                 {"cursor": "0." + "k" * 300 + ".1"}, {"all": True}):
        check_problem(stack.api("POST", "/v1/keks/reseal", body), 400, "BadRequest")


def test_a_damaged_blob_holds_nothing_up(rotating):
    stack, keks, client = rotating
    key = ecdsa_keys(stack)[0]
    stack.service.stop()
    with contextlib.closing(sqlite3.connect(stack.state / "csign.db")) as db:
        sealed = bytearray(db.execute("SELECT sealed FROM key_versions WHERE key_id = ?", (key["id"],)).fetchone()[0])
        sealed[-1] ^= 1
        db.execute("UPDATE key_versions SET sealed = ? WHERE key_id = ?", (bytes(sealed), key["id"]))
        db.commit()
    for path in stack.state.glob("csign.db*"):
        os.chown(path, *[os.stat(stack.state).st_uid] * 2)
    stack.service.start()
    keks.configure(keks.make(), stack.kek)
    keks.hang_up()
    done = stack.csign("kek", "reseal", check=False)
    assert done.returncode != 0 and f"not {key['id']} version 1" in text(done.stderr)
    client.close()
    counts = keks.listed()
    assert counts["older"]["blobs"] == 1 and counts["primary"]["blobs"] == len(stack.keys) + AUTHORITIES - 1
    for other in ecdsa_keys(stack)[1:]:
        assert sign(client, other)[0] == 201


def test_a_credential_of_systemd(fresh_stack, tmp_path):
    """As systemd gives it: the reader is let in by an access list, which shows as the group's bit."""
    stack = fresh_stack(sidecar=False, keys={"acme/mobile/k": "P-256"})
    keks = Keks(stack)
    folder = stack.kek.parent / "credentials"
    folder.mkdir()
    copy = folder / "kek"
    copy.write_bytes(stack.kek.read_bytes())
    for path in (folder, copy):
        os.chown(path, stack.kek.stat().st_uid, stack.kek.stat().st_gid)
    copy.chmod(0o440)
    keks.configure(copy)
    keks.hang_up("the KEKs stay as they were")
    stack.keystore.env["CREDENTIALS_DIRECTORY"] = str(folder)
    stack.keystore.restart()
    client = Client(stack, tmp_path / "client", "acme/mobile/signer").login()
    assert sign(client, stack.keys["acme/mobile/k"])[0] == 201
    copy.chmod(0o444)
    keks.hang_up("the KEKs stay as they were")
    client.close()


def test_a_kek_is_never_written_over(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={})
    before = stack.kek.read_bytes()
    done = stack.run(stack.as_user(KEYSTORE_UID, [stack.program("csign-keystore"), "init-kek", "--kek", stack.kek]),
                     env=stack.keystore.env, check=False)
    assert done.returncode != 0 and "stays as it is" in text(done.stderr) and stack.kek.read_bytes() == before
