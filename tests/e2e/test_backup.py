# SPDX-License-Identifier: Apache-2.0
"""Backup and restore: the drill from a service that signs to another state directory that signs, and every way in which a
backup must not be taken."""

import contextlib
import hashlib
import os
import shutil
import sqlite3
import threading

import pytest

from stack import KEYSTORE_UID, SERVICE_UID, Daemon, text, wait_until, write_conf
from test_service import Client, check_problem, check_signature, sign_item

DB_OFFSET = 8 + 2 + 2 + len("csign.db") + 8


class Backups:
    """The programs' side of a stack's backups, in a folder of the service's user."""

    def __init__(self, stack):
        self.stack, self.folder = stack, stack.folder / "backups"
        self.folder.mkdir(mode=0o700)
        self.own(self.folder)
        self.conf = stack.folder / "csign-service.conf"

    def own(self, path, uid=SERVICE_UID):
        if self.stack.root:
            os.chown(path, uid, uid)

    def run(self, *argv, check=True):
        program = self.stack.program("csign-service")
        return self.stack.run(self.stack.as_user(SERVICE_UID, [program, *argv]), check=check)

    def make(self, name="backup", check=True):
        done = self.run("backup", "--config", self.conf, "--output", self.folder / name, check=check)
        return self.folder / name if check else done

    def configure(self, state, **more):
        conf = self.folder / f"{state.name}.conf"
        values = dict(line.split(" = ", 1) for line in self.conf.read_text().splitlines())
        write_conf(conf, values | {"state-directory": state} | more)
        return conf

    def restore(self, backup, state, check=True):
        return self.run("restore", "--config", self.configure(state), "--input", backup, check=check)

    def contents(self):
        return sorted(p.name for p in self.folder.iterdir())


@pytest.fixture(scope="module")
def stack():
    from stack import Stack
    with Stack(sidecar=False) as s:
        yield s


@pytest.fixture(scope="module")
def backups(stack):
    return Backups(stack)


@pytest.fixture(scope="module")
def backup(backups):
    return backups.make("one")


def sign(client, key):
    return client.api("POST", f"/v1/keys/{key['id']}/signatures", sign_item(key, key=None))


@contextlib.contextmanager
def callers(stack, folder, n=8):
    stop, failures, made = threading.Event(), [], [0] * n
    clients = [Client(stack, folder / f"caller-{i}", f"acme/mobile/caller-{i}").login() for i in range(n)]
    key = stack.keys["acme/mobile/release"]

    def loop(i):
        while not stop.is_set():
            status, _, body = sign(clients[i], key)
            if status != 201:
                failures.append((status, body))
            made[i] += 1

    running = [threading.Thread(target=loop, args=(i,)) for i in range(n)]
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


def anchor(stack):
    head = stack.api("GET", "/v1/audit/head", status=200)
    return head, f"{head['number']}:{head['hash']}"


def test_the_drill(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar=False)
    backups = Backups(stack)
    with callers(stack, tmp_path) as made:
        wait_until("signatures", lambda: sum(made) > 50, 60)
        before, before_text = anchor(stack)
        backup = backups.make()
        during = sum(made)
        wait_until("signatures after the backup", lambda: sum(made) > during + 50, 60)
    stack.add_key("acme/mobile/later")
    after, after_text = anchor(stack)
    assert backup.stat().st_mode & 0o777 == 0o600 and backups.contents() == ["backup"]

    # The machine is lost: another state directory, the same KEK in a key store that starts anew.
    stack.service.kill()
    stack.keystore.restart()
    state = backups.folder / "state"
    said = text(backups.restore(backup, state).stderr)
    assert backups.contents() == ["backup", "state", "state.conf"]
    assert sorted(p.name for p in state.iterdir()) == ["ca.pem", "csign.db", "tls.crt", "tls.key"]
    assert {p.name: oct(p.stat().st_mode & 0o777) for p in state.iterdir()} == {
        "ca.pem": "0o644", "csign.db": "0o600", "tls.crt": "0o644", "tls.key": "0o600"}
    assert (state / "tls.key").read_bytes() == (stack.state / "tls.key").read_bytes()
    service = stack.add(Daemon("restored-service", [stack.program("csign-service"), "--config",
                                                    backups.folder / "state.conf"], stack.folder, uid=SERVICE_UID))
    try:
        client = Client(stack, tmp_path / "restored", "acme/mobile/restored").login()
        key = stack.keys["acme/mobile/release"]
        status, _, body = sign(client, key)
        assert status == 201, body
        check_signature(stack, key, body["signature"], tmp_path)
        client.close()

        # The log is whole, goes on from the backup's moment, and does not hide what is missing.
        stack.csign("audit", "verify")
        stack.csign("audit", "verify", "--anchor", before_text)
        failed = stack.csign("audit", "verify", "--anchor", after_text, check=False)
        assert failed.returncode != 0
        records = stack.audit()
        kept = next(int(line.split("RECORD=")[1].split()[0]) for line in said.splitlines() if "RECORD=" in line)
        assert before["number"] <= kept < after["number"]
        assert records[kept - 1]["hash"] in said
        check_problem(stack.api("GET", f"/v1/keys/{stack.keys['acme/mobile/later']['id']}"), 404, "KeyNotFound")
    finally:
        service.stop()


def test_without_the_kek_it_is_useless(fresh_stack, tmp_path):
    stack = fresh_stack(sidecar=False, keys={"acme/mobile/release": "P-256"})
    backups = Backups(stack)
    key = stack.keys["acme/mobile/release"]
    backup = backups.make()
    content = backup.read_bytes()
    assert stack.kek.read_bytes() not in content and stack.api_key.encode() not in content
    assert b"PRIVATE KEY" not in content.replace((stack.state / "tls.key").read_bytes(), b"")

    stack.service.stop()
    stack.keystore.stop()
    other = stack.kek.parent / "other"
    stack.run(stack.as_user(KEYSTORE_UID, [stack.program("csign-keystore"), "init-kek", "--kek", other]),
              env=stack.keystore.env)
    conf = stack.folder / "csign-keystore.conf"
    conf.write_text(conf.read_text().replace(str(stack.kek), str(other)))
    stack.keystore.start()
    state = backups.folder / "state"
    backups.restore(backup, state)
    service = stack.add(Daemon("restored-service", [stack.program("csign-service"), "--config",
                                                    backups.folder / "state.conf"], stack.folder, uid=SERVICE_UID))
    try:
        client = Client(stack, tmp_path / "c", "acme/mobile/c").login()
        problem = check_problem(sign(client, key), 500, "KeyCorrupt")
        assert "which this key store does not have" in problem["detail"]
        client.close()
    finally:
        service.stop()


def test_what_is_there_is_not_written_over(stack, backups, backup):
    before = backup.read_bytes()
    done = backups.make("one", check=False)
    assert done.returncode != 0 and "is there already" in text(done.stderr) and backup.read_bytes() == before

    full = backups.folder / "full"
    full.mkdir()
    (full / "mine").write_text("mine")
    backups.own(full)
    done = backups.restore(backup, full, check=False)
    assert done.returncode != 0 and "writes over nothing" in text(done.stderr)
    assert [p.name for p in full.iterdir()] == ["mine"]
    done = backups.restore(backup, stack.state, check=False)
    assert done.returncode != 0 and "writes over nothing" in text(done.stderr)
    assert stack.api("GET", "/healthz", status=200)
    plain = backups.folder / "plain"
    plain.write_text("a file")
    done = backups.restore(backup, plain, check=False)
    assert done.returncode != 0 and plain.read_text() == "a file"
    for path in (full, plain, backups.folder / "full.conf", backups.folder / "plain.conf",
                 backups.folder / "service.conf"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_an_empty_folder_is_taken(backups, backup):
    state = backups.folder / "empty"
    state.mkdir()
    backups.own(state)
    backups.restore(backup, state)
    assert (state / "csign.db").exists() and state.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(state)
    (backups.folder / "empty.conf").unlink()


@pytest.mark.root
def test_root_leaves_the_folder_to_its_owner(stack, backups, backup):
    state = backups.folder / "owned"
    state.mkdir()
    backups.own(state)
    stack.run([stack.program("csign-service"), "restore", "--config", backups.configure(state), "--input", backup])
    assert {p.stat().st_uid for p in (state, *state.iterdir())} == {SERVICE_UID}
    shutil.rmtree(state)
    done = stack.run([stack.program("csign-service"), "backup", "--config", backups.conf, "--output",
                      backups.folder / "roots"], check=False)
    assert done.returncode == 2 and f"belongs to uid {SERVICE_UID}" in text(done.stderr)
    (backups.folder / "owned.conf").unlink()


def again(content):
    """With a checksum that fits."""
    return content[:-32] + hashlib.sha256(content[:-32]).digest()


DAMAGES = {
    "one bit": (lambda b: b[:5000] + bytes([b[5000] ^ 1]) + b[5001:], "checksum"),
    "one bit of the checksum": (lambda b: b[:-1] + bytes([b[-1] ^ 1]), "checksum"),
    "cut off": (lambda b: b[:-100], "checksum"),
    "a byte behind": (lambda b: b + b"x", "checksum"),
    "empty": (lambda b: b"", "no backup"),
    "text": (lambda b: b"hello, world. " * 100, "checksum"),
    "another magic": (lambda b: again(b"CSIGNBK2" + b[8:]), "no backup"),
    "more files": (lambda b: again(b[:9] + b"\x05" + b[10:]), "malformed"),
    "another name": (lambda b: again(b[:12] + b"../../db" + b[20:]), "none of the state directory's"),
    "a size past the end": (lambda b: again(b[:20] + b"\x7f" + b[21:]), "malformed"),
    "a size of nearly 2^64": (lambda b: again(b[:20] + b"\xff" * 8 + b[28:]), "malformed"),
    "a file twice": (lambda b: again(b[:-32].replace(b"\x00\x07tls.crt", b"\x00\x07tls.key") + b[-32:]), "twice"),
    "something behind the last": (lambda b: again(b[:-32] + b"x" * 33), "malformed"),
    "no database in it": (lambda b: again(b[:DB_OFFSET] + b"\0" * 4096 + b[DB_OFFSET + 4096:]), "database"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_backup_is_named_and_leaves_nothing(backups, backup, damage):
    spoil, says = DAMAGES[damage]
    bad, state = backups.folder / "bad", backups.folder / "bad-state"
    bad.write_bytes(spoil(backup.read_bytes()))
    backups.own(bad)
    before = backups.contents()
    done = backups.restore(bad, state, check=False)
    assert done.returncode not in (0, 99) and says in text(done.stderr), done.stderr
    (backups.folder / "bad-state.conf").unlink()
    assert backups.contents() == before and not state.exists()


def test_the_words_it_wants(backups):
    for argv, says in ((("backup",), "--output"), (("restore",), "--input"), (("backup", "--input", "x"), "--output"),
                       (("--output", "x"), "--output"), (("restore", "--input", "x", "--output", "x"), "--output")):
        done = backups.run(*argv, "--config", backups.conf, check=False)
        assert done.returncode == 2 and says in text(done.stderr)


def test_what_was_deleted_is_not_in_it(stack, backups):
    """Free pages of the database do not come along."""
    with contextlib.closing(sqlite3.connect(f"file:{stack.state / 'csign.db'}?mode=ro", uri=True)) as db:
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    path, copy = backups.make("compact"), backups.folder / "copy.db"
    content = path.read_bytes()
    size = int.from_bytes(content[20:28], "big")
    copy.write_bytes(content[DB_OFFSET:DB_OFFSET + size])
    with contextlib.closing(sqlite3.connect(copy)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert db.execute("PRAGMA freelist_count").fetchone()[0] == 0
        assert {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")} == tables
    path.unlink()
    for left in backups.folder.glob("copy.db*"):
        left.unlink()
