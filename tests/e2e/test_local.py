# SPDX-License-Identifier: Apache-2.0
"""Who is calling, as the kernel tells it, and what the local policy makes of it."""

import hashlib
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess

import pytest
from peer import DBusError, Peer
from stack import STRANGER_UID, as_user, text, tool, wait_until

RELEASE = "acme/mobile/release"
DIGEST = hashlib.sha256(b"local").digest()

# ctypes has no D-Bus; a copy of this program's interpreter is the executable that calls.
ASK = """
import pathlib, sys, os
sys.path.insert(0, {here!r})
os.chdir("/")
sys.dont_write_bytecode = True
from peer import DBusError, Peer
with Peer({socket!r}) as p:
    try:
        key = p.get_key({key!r})
        p.call("Sign", "sussaya{{sv}}", key["id"], 1, {scheme!r}, "SHA256", bytes(32), {{}})
        print("signed")
    except DBusError as e:
        print(e)
"""


def here(sidecar):
    """A folder with peer.py that every user can reach."""
    return sidecar.stack.shared(pathlib.Path(__file__).parent / "peer.py").parent


def ask(sidecar, argv, key=RELEASE, uid=None, scheme="ecdsa", before=(), env=None):
    """Runs a Python that asks the sidecar for one signature; what it printed."""
    code = ASK.format(here=str(here(sidecar)), socket=str(sidecar.socket), key=key, scheme=scheme)
    done = subprocess.run([*before, *as_user(uid, [*argv, "-c", code])], capture_output=True, timeout=60, check=True,
                          env=env)
    return text(done.stdout).strip()


def python(folder, name="signer"):
    """A copy of the interpreter, so that the executable is one of the test's own."""
    folder.chmod(0o755)
    path = folder / name
    shutil.copyfile(os.path.realpath("/usr/bin/python3"), path)
    path.chmod(0o755)
    return path


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def evidence(stack, account):
    """Of the newest signature by the account."""
    found = [r["record"] for r in stack.audit() if r["record"]["kind"] == "sign"
             and r["record"]["principal"]["name"] == account]
    return found[-1]["caller"]


@pytest.fixture
def folder(stack, tmp_path):
    """One that other users reach; pytest's own are private."""
    path = stack.folder / f"local-{tmp_path.name}"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def machine(stack, tmp_path):
    """A factory of sidecars with a policy of their own."""
    made = []

    def make(policy, name=None):
        account = f"acme/mobile/local-{len(made)}-{tmp_path.name[-8:]}".lower().replace("_", "-")
        sidecar = stack.add_sidecar(f"local-{tmp_path.name}-{len(made)}"[:40], account, policy=policy, grant="machine")
        made.append(sidecar)
        return sidecar, account

    yield make
    for sidecar in made:
        sidecar.stop()


EVERYBODY = "rules = all\n[all]\nkeys = *\neffect = allow\n"


# ---- evidence ----

@pytest.mark.root
def test_the_record_has_what_the_kernel_says_of_the_caller(stack, machine, folder):
    sidecar, account = machine(EVERYBODY)
    exe = python(folder)
    assert ask(sidecar, [exe], uid=STRANGER_UID) == "signed"
    seen = evidence(stack, account)
    assert (seen["uid"], seen["gid"], seen["exe"]) == (STRANGER_UID, STRANGER_UID, str(exe))
    assert seen["exe_sha256"] == sha256(exe) and "exe_note" not in seen
    assert seen["command_line"].startswith(f"{exe} -c ")
    cgroup = pathlib.Path("/proc/self/cgroup").read_text().split("0::", 1)
    if len(cgroup) == 2:
        assert seen["cgroup"] == cgroup[1].strip()


def test_a_secret_on_the_command_line_is_not_recorded(stack, machine, folder):
    sidecar, account = machine(EVERYBODY)
    exe = python(folder)
    code = ASK.format(here=str(here(sidecar)), socket=str(sidecar.socket), key=RELEASE, scheme="ecdsa")
    script = folder / "s.py"
    script.write_text(code)
    subprocess.run([exe, script, "--token=hunter2", "--password", "hunter2"], check=True, capture_output=True,
                   timeout=60)
    line = evidence(stack, account)["command_line"]
    assert line.endswith("--token=*** --password ***") and "hunter2" not in line


@pytest.mark.root
def test_a_file_of_another_mount_namespace_is_not_the_hosts(stack, machine, folder):
    """Anybody can have any file under any name in a namespace of his own."""
    trusted = python(folder, "trusted")
    sidecar, account = machine(f"rules = a\n[a]\nexecutables = {trusted}\nkeys = *\neffect = allow\n")
    assert ask(sidecar, [trusted]) == "signed"
    evil = python(folder, "evil")
    with open(evil, "ab") as f:
        f.write(b"evil")
    said = ask(sidecar, [trusted], before=[tool("unshare"), "-m", "sh", "-c",
                                           f'mount --bind {evil} {trusted} && exec "$@"', "sh"])
    assert "LocalPolicy" in said and "local-policy:default" in said


def test_an_executable_that_was_replaced_is_another(stack, machine, folder):
    """What runs counts, not what lies under its name by now."""
    exe = python(folder)
    sidecar, account = machine(f"rules = a\n[a]\nexecutable-hashes = {sha256(exe)}\nkeys = *\neffect = allow\n")
    assert ask(sidecar, [exe]) == "signed"
    other = python(folder, "other")
    with open(other, "ab") as f:
        f.write(b"x")
    other.rename(exe)
    said = ask(sidecar, [exe])
    assert "LocalPolicy" in said
    # ... and one that is renamed away and signs on is still what it was
    assert ask(sidecar, [python(folder, "again")]) == "signed"


@pytest.mark.root
def test_a_program_that_the_sidecar_may_not_see_is_said_so(stack, folder):
    """A sidecar without CAP_SYS_PTRACE sees no foreign user's executable, and says so instead of guessing."""
    sidecar = stack.add_sidecar("blind", "acme/mobile/blind", policy=EVERYBODY, grant="machine", uid=STRANGER_UID)
    assert ask(sidecar, [python(folder)]) == "signed"
    seen = evidence(stack, "acme/mobile/blind")
    assert seen["exe"] == "" and seen["exe_note"] == "not visible to the sidecar's user"
    assert "exe_sha256" not in seen
    sidecar.stop()


# ---- policy ----

def test_schemes_and_rates_are_a_rules_too(stack, machine):
    sidecar, _ = machine("rules = a\n[a]\nkeys = acme/mobile/*\nschemes = ecdsa\nrate = 2/day\neffect = allow\n")
    with Peer(sidecar.socket) as peer:
        key, rsa = peer.get_key(RELEASE), peer.get_key("acme/mobile/firmware")
        with pytest.raises(DBusError, match="LocalPolicy") as e:
            peer.call("Sign", "sussaya{sv}", rsa["id"], 1, "rsa-pkcs1", "SHA256", DIGEST, {})
        assert "for rsa-pkcs1" in str(e.value)
        for _ in range(2):
            assert peer.call("Sign", "sussaya{sv}", key["id"], 1, "ecdsa", "SHA256", DIGEST, {})
        with pytest.raises(DBusError, match="RateLimited") as e:
            peer.call("Sign", "sussaya{sv}", key["id"], 1, "ecdsa", "SHA256", DIGEST, {})
        assert "2/day" in str(e.value) and "rule local-policy:a" in str(e.value)


def test_policy_test_says_which_rule_decides(stack, machine, folder):
    exe = python(folder)
    me = pwd.getpwuid(os.geteuid()).pw_name
    sidecar, _ = machine(f"rules = no, yes\n[no]\nkeys = acme/web/*\neffect = deny\n"
                         f"[yes]\nusers = {me}\nexecutables = {exe}\nkeys = acme/*\neffect = allow\n")

    def test(*argv, status):
        done = stack.csign("policy", "test", "--json", *argv, sidecar=sidecar, check=False)
        assert done.returncode == status, text(done.stderr)
        return json.loads(done.stdout)

    assert test("--exe", exe, RELEASE, status=0) == {"allowed": True, "key": RELEASE,
                                                     "rule": f"[yes] in {sidecar.config}/policy.conf"}
    assert "no rule fits" in test("--exe", "/bin/sh", RELEASE, status=5)["rule"]
    assert "[no] in " in test("--exe", exe, "acme/web/site", status=5)["rule"]
    assert "no rule fits" in test("--exe", exe, "--as", "nobody", RELEASE, status=5)["rule"]
    done = stack.csign("policy", "test", "--as", "no-such-user", RELEASE, sidecar=sidecar, check=False)
    assert done.returncode != 0 and "no-such-user" in text(done.stderr)
    assert ask(sidecar, [exe]) == "signed"  # and it is what happens


@pytest.mark.root
def test_a_stranger_learns_nothing_of_the_policy(stack, machine):
    sidecar, _ = machine(EVERYBODY)
    done = stack.run(as_user(STRANGER_UID, [stack.program("csign"), "policy", "test", RELEASE]),
                     env=stack.environment(sidecar), check=False)
    assert done.returncode != 0 and "only the sidecar's own user and root may" in text(done.stderr)


def test_hangup_reloads_all_of_it_or_nothing(stack, machine):
    sidecar, _ = machine(EVERYBODY)
    with Peer(sidecar.socket) as peer:
        assert peer.get_key(RELEASE)
        sidecar.write_policy("rules = a\n[a]\nkeys = */firmware\neffect = allow\nfrobnicate = 1\n")
        sidecar.signal(signal.SIGHUP)
        wait_until("the log says why", lambda: "frobnicate" in sidecar.log() and "not reloaded" in sidecar.log())
        assert peer.get_key(RELEASE)
        sidecar.write_policy("rules = a\n[a]\nkeys = */firmware\neffect = allow\n")
        sidecar.signal(signal.SIGHUP)

        def refused():
            try:
                peer.get_key(RELEASE)
            except DBusError as e:
                return e.short == "LocalPolicy"
            return False
        wait_until("the new policy holds", refused)
        assert peer.get_key("acme/mobile/firmware")


# ---- what it keeps ----

def test_keys_load_and_list_while_the_service_is_away(fresh_stack):
    """Signing cannot go on without the service; knowing can."""
    stack = fresh_stack()
    with Peer(stack.sidecar.socket) as peer:
        before = peer.get_key(RELEASE)
        listed = peer.call("ListKeys", "ssu", "", "", 200)[0]
    stack.sidecar.restart()  # what it knew in memory is gone
    stack.service.stop()
    with Peer(stack.sidecar.socket) as peer:
        assert peer.get_key(RELEASE) == before
        again = peer.call("ListKeys", "ssu", "", "", 200)[0]
        assert sorted(k["path"] for k in again) == sorted(k["path"] for k in listed)
        first, cursor = peer.call("ListKeys", "ssu", "", "", 1)
        rest, end = peer.call("ListKeys", "ssu", "", cursor, 200)
        assert [k["path"] for k in first + rest] == [k["path"] for k in again] and end == ""
        with pytest.raises(DBusError, match="ServiceUnavailable"):  # a prefix ends at a slash: nothing is known
            peer.call("ListKeys", "ssu", "acme/mob", "", 200)
        with pytest.raises(DBusError, match="ServiceUnavailable"):
            peer.call("Sign", "sussaya{sv}", before["id"], 1, "ecdsa", "SHA256", DIGEST, {})
        with pytest.raises(DBusError, match="ServiceUnavailable"):
            peer.get_key("acme/mobile/never-loaded")
    stack.service.start()
    with Peer(stack.sidecar.socket) as peer:
        assert wait_until("it signs again", lambda: signs(peer, before))


def signs(peer, key):
    try:
        return peer.call("Sign", "sussaya{sv}", key["id"], 1, "ecdsa", "SHA256", DIGEST, {})
    except DBusError:
        return None


def test_the_journal_has_what_was_signed_and_its_receipts(stack, machine, tmp_path):
    sidecar, account = machine(EVERYBODY)
    with Peer(sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        made = [peer.call("Sign", "sussaya{sv}", key["id"], 1, "ecdsa", "SHA256", hashlib.sha256(b"%d" % i).digest(), {})
                for i in range(3)]
    rows = json.loads(stack.csign("history", "--json", sidecar=sidecar).stdout)
    assert [r["record"] for r in rows] == [m[1]["record"] for m in reversed(made)]
    assert [r["request_id"] for r in rows] == [m[1]["request-id"] for m in reversed(made)]
    newest = rows[0]
    assert newest["digest"] == hashlib.sha256(b"2").hexdigest() and newest["key"] == RELEASE
    assert newest["signature_sha256"] == hashlib.sha256(bytes(made[2][0])).hexdigest()
    record = stack.audit(request_id=newest["request_id"])[0]
    assert record["number"] == newest["record"] and record["record"]["principal"]["name"] == account
    sidecar.restart()
    assert json.loads(stack.csign("history", "--json", sidecar=sidecar).stdout) == rows
    assert json.loads(stack.csign("history", "--json", "--last", "1", sidecar=sidecar).stdout) == rows[:1]


@pytest.mark.root
def test_everybody_sees_his_own_signatures_alone(stack, machine, folder):
    sidecar, _ = machine(EVERYBODY)
    exe = python(folder)
    assert ask(sidecar, [exe]) == "signed" and ask(sidecar, [exe], uid=STRANGER_UID) == "signed"
    everything = json.loads(stack.csign("history", "--json", sidecar=sidecar).stdout)
    assert [r["uid"] for r in everything] == [STRANGER_UID, os.getuid()]
    mine = stack.run(as_user(STRANGER_UID, [stack.program("csign"), "history", "--json"]),
                     env=stack.environment(sidecar))
    assert json.loads(mine.stdout) == everything[:1]


def test_the_journal_is_bounded(stack, tmp_path):
    sidecar = stack.add_sidecar("bounded", "acme/mobile/bounded", conf={"journal-max": 5})
    with Peer(sidecar.socket) as peer:
        key = peer.get_key(RELEASE)
        last = [signs(peer, key)[1]["record"] for _ in range(12)][-5:]
    rows = json.loads(stack.csign("history", "--json", sidecar=sidecar).stdout)
    assert [r["record"] for r in rows] == last[::-1]
    sidecar.stop()


@pytest.mark.parametrize("damage", [b"no database at all", None], ids=["garbage", "torn"])
def test_a_broken_database_is_put_aside(stack, damage):
    name = "broken-" + ("torn" if damage is None else "garbage")
    sidecar = stack.add_sidecar(name, f"acme/mobile/{name}")
    database = sidecar.folder / "state/sidecar.db"
    with Peer(sidecar.socket) as peer:
        assert signs(peer, peer.get_key(RELEASE))
    sidecar.stop()
    content = database.read_bytes()
    database.write_bytes(damage or content[:4096] + bytes(len(content) - 4096))
    sidecar.start()
    with Peer(sidecar.socket) as peer:
        assert signs(peer, peer.get_key(RELEASE))
        assert len(json.loads(stack.csign("history", "--json", sidecar=sidecar).stdout)) >= 1
    sidecar.stop()
    assert "put aside" in sidecar.log() and database.with_name("sidecar.db.broken").exists()


def test_without_a_place_to_write_it_signs_all_the_same(stack, tmp_path):
    sidecar = stack.add_sidecar("homeless", "acme/mobile/homeless", conf={"state-directory": "/proc/nowhere"})
    with Peer(sidecar.socket) as peer:
        assert signs(peer, peer.get_key(RELEASE))
    done = stack.csign("history", sidecar=sidecar, check=False)
    assert done.returncode == 4 and "keeps no journal" in text(done.stderr)
    assert "keeping no journal" in sidecar.log()
    sidecar.stop()
