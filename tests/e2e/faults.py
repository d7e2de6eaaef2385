# SPDX-License-Identifier: Apache-2.0
"""What tests of faults have in common: a signer at work, what it says when it fails, and whether a daemon came back to
where it was."""

import concurrent.futures
import contextlib
import hashlib
import os
import pathlib
import re
import time

from peer import DBusError, Peer
from stack import text, tool, wait_until

PATH = "acme/mobile/release"
KEY = f"csign://{PATH}"


class Signer:
    """The stock `openssl dgst`, and callers of the interface, through one sidecar."""

    def __init__(self, stack, folder, sidecar=None, patience=30):
        self.stack, self.folder, self.sidecar = stack, folder, sidecar or stack.sidecar
        self.patience, self.signed = patience, 0
        self.file, self.out = folder / "document", folder / "signature"
        self.file.write_bytes(b"what is signed\n")
        self.reference = folder / "release.pem"
        self.reference.write_bytes(stack.csign("ref", KEY, sidecar=self.sidecar).stdout)
        self.public_key = stack.public_key(PATH, folder)

    def run(self, file=None, out=None):
        """Ends in time, or the test fails."""
        return self.stack.host([tool("openssl"), "dgst", "-sha256", "-sign", self.reference, "-out", out or self.out,
                                file or self.file], sidecar=self.sidecar, check=False, timeout=self.patience)

    def verify(self, file=None, out=None):
        self.stack.plain_openssl("dgst", "-sha256", "-verify", self.public_key, "-signature", out or self.out,
                                 file or self.file)

    def signs(self):
        self.out.unlink(missing_ok=True)
        done = self.run()
        assert done.returncode == 0, text(done.stderr)
        self.verify()
        self.signed += 1
        return True

    def recovers(self, seconds=15):
        """By itself, and soon."""
        begin = time.monotonic()
        wait_until("signing to resume", lambda: self.run().returncode == 0, seconds)
        self.verify()
        return time.monotonic() - begin

    def fails(self, *words):
        """A status that is not 0, and one line of csign's with these words; gives (line, seconds)."""
        begin = time.monotonic()
        done = self.run()
        taken, error = time.monotonic() - begin, text(done.stderr)
        assert done.returncode != 0, f"the status says success\n{error}"
        lines = [line for line in error.splitlines() if "csign" in line and "csign:/" not in line.split(": ")[0]]
        assert len(lines) == 1, f"{len(lines)} lines of csign's\n{error}"
        for word in words:
            assert word in lines[0], lines[0]
        assert "\x1b" not in lines[0] and len(lines[0]) < 1000
        return lines[0], taken

    def crowd(self, n, timeout=None):
        """n calls at once on one connection, each with an answer: [(error name or None, ...)]."""
        with Peer(self.sidecar.socket, timeout=timeout or self.patience) as peer:
            with contextlib.suppress(DBusError):  # few calls may come before the sidecar knows who is there
                peer.get_key("")
            serials = [peer.send("Sign", "sussaya{sv}", (self.stack.keys[PATH]["id"], 1, "ecdsa", "SHA256",
                                                         hashlib.sha256(b"%d" % i).digest(), {})) for i in range(n)]
            answers = {}
            while len(answers) < n:
                kind, serial, name, body = peer.receive()
                answers[serial] = (None if kind == 2 else name.rsplit(".", 1)[1], body)
            return [answers[s] for s in serials]

    def many(self, n):
        """n processes at once: [CompletedProcess], each with a file of its own."""
        def one(i):
            file, out = self.folder / f"in-{i}", self.folder / f"out-{i}"
            file.write_text(str(i))
            return self.run(file, out)

        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            return list(pool.map(one, range(n)))


class Usage:
    """What a daemon holds.  Taken when it is warm; later it must be back."""

    def __init__(self, daemon, sanitize="none"):
        self.daemon, self.sanitize = daemon, sanitize
        self.fds, self.threads, self.rss = self.now()

    def now(self):
        pid = self.daemon.pid
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        return (len(os.listdir(f"/proc/{pid}/fd")), int(re.search(r"Threads:\s+(\d+)", status)[1]),
                int(re.search(r"VmRSS:\s+(\d+)", status)[1]))

    def check(self, more_fds=4, more_kib=4096):
        """Connections to the service may be a few more or fewer."""
        wait_until(f"descriptors to be back at {self.fds}, not {self.now()[0]}",
                   lambda: self.now()[0] <= self.fds + more_fds, 30)
        _, threads, rss = self.now()
        assert threads == self.threads
        if self.sanitize == "none":  # quarantine keeps what was freed
            assert rss <= self.rss + more_kib, f"{self.rss} KiB became {rss} KiB"
