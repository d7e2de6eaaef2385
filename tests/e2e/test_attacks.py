# SPDX-License-Identifier: Apache-2.0
"""What an attacker on the machine would try, each by name.  Those that are elsewhere:

another account's token, assertion      test_service.py  test_a_stolen_token_does_not_work_elsewhere, ...assertion...
a credential that others can read       test_sidecar.py  test_a_credential_that_others_can_read_is_refused
an executable replaced after the check  test_local.py    test_an_executable_that_was_replaced_is_another,
                                                         test_a_file_of_another_mount_namespace_is_not_the_hosts
a message of 128 MiB                    test_sidecar.py  test_a_message_of_128_mib
1,000 connections of one user           test_sidecar.py  test_a_thousand_connections_of_one_user
the environment of a setuid caller      test_sidecar.py  test_the_environment_does_not_redirect_a_setuid_caller"""

import contextlib
import os
import pathlib
import socket
import subprocess

import pytest

from peer import Peer
from stack import STRANGER_UID, text
from test_local import EVERYBODY, ask, evidence, machine, python  # noqa: F401: machine is a fixture
from test_sidecar import RELEASE, as_stranger, refused, sign

DENY = "rules = a\n[a]\nkeys = *\neffect = deny\n"


@pytest.fixture
def victim(stack):
    """A sidecar of its own, which is logged in."""
    name = "a-" + os.urandom(4).hex()
    sidecar = stack.add_sidecar(name, f"acme/mobile/{name}", policy=EVERYBODY)
    yield sidecar
    sidecar.stop()


def signs(sidecar):
    with Peer(sidecar.socket) as peer:
        return sign(peer, peer.get_key(RELEASE))


# ---- somebody else's files ----

@contextlib.contextmanager
def instead_of(path):
    """The file is somewhere else for a while."""
    aside = path.with_name(path.name + ".aside")
    path.rename(aside)
    yield aside
    path.unlink(missing_ok=True)
    aside.rename(path)


@pytest.mark.parametrize("name,error", [("credential.key", "BadCredential"), ("sidecar.conf", "BadConfig"),
                                        ("policy.conf", "BadConfig")])
def test_a_symbolic_link_is_not_followed(victim, name, error):
    path = victim.config / name
    with Peer(victim.socket) as peer:
        with instead_of(path) as real:
            path.symlink_to(real)
            said = refused(error, peer, "Reload", "")
            assert str(path) in said and "symbolic link" in said
            assert signs(victim)  # what was loaded before still holds
        assert peer.call("Reload", "") == []


@pytest.mark.root
@pytest.mark.parametrize("name,error", [("credential.key", "BadCredential"), ("sidecar.conf", "BadConfig"),
                                        ("policy.conf", "BadConfig")])
def test_a_file_of_another_user_is_not_believed(victim, name, error):
    path = victim.config / name
    with Peer(victim.socket) as peer:
        os.chown(path, STRANGER_UID, STRANGER_UID)
        said = refused(error, peer, "Reload", "")
        assert str(path) in said and f"belongs to uid {STRANGER_UID}" in said
        os.chown(path, 0, 0)
        assert peer.call("Reload", "") == []


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_policy_that_others_can_write_is_refused(stack, victim, mode):
    policy = victim.config / "policy.conf"
    with Peer(victim.socket) as peer:
        policy.chmod(mode)
        said = refused("BadConfig", peer, "Reload", "")
        assert str(policy) in said and f"{mode:04o}" in said
        assert signs(victim)
    victim.stop()
    done = stack.run(victim.argv, env=victim.env, check=False)
    assert done.returncode == 2 and f"{mode:04o}" in text(done.stderr)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_folder_that_others_can_write_has_no_policy(stack, victim, mode):
    """There, a policy that denies could be taken away, and the default would allow."""
    victim.write_policy(DENY)
    with Peer(victim.socket) as peer:
        peer.call("Reload", "")
        victim.config.chmod(mode)
        (victim.config / "policy.conf").unlink()
        said = refused("BadConfig", peer, "Reload", "")
        assert str(victim.config) in said and f"{mode:04o}" in said
        refused("LocalPolicy", peer, "GetKey", "su", RELEASE, 0)
    victim.stop()
    done = stack.run(victim.argv, env=victim.env, check=False)
    assert done.returncode == 2 and "others can write there" in text(done.stderr)
    victim.config.chmod(0o755)
    victim.start()
    assert signs(victim)


def test_a_fifo_does_not_hang_it(victim):
    path = victim.config / "policy.conf"
    with Peer(victim.socket) as peer:
        with instead_of(path):
            os.mkfifo(path, 0o644)
            assert "not a regular file" in refused("BadConfig", peer, "Reload", "")
        assert signs(victim)


# ---- somebody else's name ----

FORGE = """
import sys
for claim in (0, {me}):
    for sender in ("", ":1.0", ":1.1", "org.freedesktop.DBus", "org.csign.Sidecar1"):
        try:
            with Peer(sys.argv[1], uid=claim) as peer:
                serial = peer.send("GetKey", "su", ("acme/mobile/release", 0), sender=sender)
                print(claim, sender, *peer.receive()[2:])
        except (DBusError, OSError) as e:
            print(claim, sender, "closed", str(e).strip())
"""


@pytest.mark.root
def test_a_forged_sender_changes_nothing(stack):
    """The kernel says who is there: neither the uid that the handshake claims, nor the header's sender counts."""
    said = [line for line in as_stranger(FORGE.format(me=STRANGER_UID), stack.sidecar.socket).splitlines() if line]
    assert len(said) == 10
    for line in said[:5]:
        assert line.startswith("0 ") and line.endswith("closed auth: REJECTED"), line
    for line in said[5:]:
        assert "LocalPolicy" in line and f"uid {STRANGER_UID} " in line, line


@pytest.mark.root
def test_a_forged_sender_is_not_in_the_record(stack, machine):
    sidecar, account = machine(EVERYBODY)
    as_stranger(f"""
import sys
with Peer(sys.argv[1]) as peer:
    key = peer.get_key({RELEASE!r})
    peer.call("Sign", "sussaya{{sv}}", key["id"], 1, "ecdsa", "SHA256", bytes(32), {{}}, sender=":1.0")
""", sidecar.socket)
    assert evidence(stack, account)["uid"] == STRANGER_UID


def as_bytes(*call):
    """What a peer would send who waits for nothing."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        peer = Peer.__new__(Peer)
        peer.serial, peer.socket, peer.unsent = 0, ours, b""
        peer.send(*call)
        message = theirs.recv(65536)
    return b"\0AUTH EXTERNAL " + str(os.geteuid()).encode().hex().encode() + b"\r\nBEGIN\r\n" + message


LEAVE = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(bytes.fromhex(sys.argv[2]))
socket.send_fds(socket.socket(fileno=int(sys.argv[3])), [b"x"], [s.fileno()])
"""


def leave_a_call_behind(program, sidecar, message):
    """A process of that program calls and ends; its pid, and its end of the connection."""
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    with ours:
        with theirs:
            process = subprocess.Popen([program, "-c", LEAVE, str(sidecar.socket), message.hex(), str(theirs.fileno())],
                                       pass_fds=[theirs.fileno()])
        _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        assert process.wait(30) == 0
    return process.pid, socket.socket(fileno=fds[0])


def start_with_pid(pid, argv):
    """A process that has this number, which was another's."""
    for _ in range(500):
        pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        process = subprocess.Popen(argv, stdin=subprocess.PIPE)
        if process.pid == pid:
            return process
        process.stdin.close()
        process.wait(30)
    raise AssertionError(f"the pid {pid} cannot be had")


@pytest.mark.root
def test_a_pid_that_is_another_process_by_now_opens_nothing(stack, machine, tmp_path):
    """The call of a program that may not, and under its number one that may by the time the sidecar looks."""
    trusted, evil = python(tmp_path, "trusted"), python(tmp_path, "evil")
    with open(evil, "ab") as f:
        f.write(b"evil")
    sidecar, _ = machine(f"rules = a\n[a]\nexecutables = {trusted}\nkeys = *\neffect = allow\n")
    assert ask(sidecar, [trusted]) == "signed"

    with sidecar.frozen():
        pid, connection = leave_a_call_behind(evil, sidecar, as_bytes("GetKey", "su", (RELEASE, 0)))
        impostor = start_with_pid(pid, [trusted, "-c", "import sys; sys.stdin.read()"])
        assert os.readlink(f"/proc/{pid}/exe") == str(trusted)
    try:
        peer = Peer.__new__(Peer)
        peer.socket = connection
        connection.settimeout(30)
        assert peer.read_line().startswith(b"OK")
        _, _, name, body = peer.receive()
        assert name == "org.csign.Sidecar1.Error.LocalPolicy", body
        assert str(trusted) not in body[0]
    finally:
        connection.close()
        impostor.communicate(timeout=30)
    assert ask(sidecar, [trusted]) == "signed"
