# SPDX-License-Identifier: Apache-2.0
"""The Debian release whose programs are tried: a tree (tests/make-tree) that tests/in-tree has mounted our files in.
sign() runs a program as its user would, with csign in its OpenSSL; prove() runs one that knows nothing of csign."""

import glob
import os
import pathlib
import re
import subprocess

from stack import StackError, tool

NAMES = ("bookworm", "trixie", "forky")
FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/lib/systemd", "/usr/lib/linux-kbuild-*/scripts")
SECONDS = 60


class NotThere(Exception):
    """The release has no such program, says its apt."""


class Suite:
    def __init__(self):
        if "CSIGN_TREE" not in os.environ:
            raise StackError("run me by tests/in-tree TREE ...: which Debian release?")
        self.tree = pathlib.Path(os.environ["CSIGN_TREE"])
        self.name = self.tree.name

    def find(self, program, package):
        """The program's path inside the tree.  That it is missing is a failure, unless the release has none."""
        for folder in FOLDERS:
            found = sorted(glob.glob(f"{self.tree}{folder}/{program}"))
            if found:
                return found[-1].removeprefix(str(self.tree))
        if package and not self._inside("apt-cache", "show", package).stdout:
            raise NotThere(f"not in {self.name}")
        raise StackError(f"{program} is not installed in {self.tree}: package {package or program}")

    def version(self, path):
        """Debian's version of the package that has the file, without epoch, patch level and revision.  Debian 12
        calls some files /lib that are below /usr."""
        package = self._inside("dpkg-query", "--search", "*" + path.removeprefix("/usr")).stdout.split(":")[0]
        version = self._inside("dpkg-query", "--show", "--showformat=${Version}", package).stdout
        return re.match(r"(?:\d+:)?(\d+(?:\.\d+)?)", version)[1]

    def argv(self, argv, folder):
        return [tool("chroot"), str(self.tree), "/usr/bin/env", f"--chdir={folder}", *map(str, argv)]

    def run(self, argv, folder, env, **options):
        options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
        return subprocess.run(self.argv(argv, folder), env=env, capture_output=True, timeout=SECONDS, check=False,
                              **options)

    def start(self, argv, folder, env, log):
        """A server; its pid is the program's own."""
        with open(log, "wb") as f:
            return subprocess.Popen(self.argv(argv, folder), env=env, stdin=subprocess.DEVNULL, stdout=f, stderr=f)

    def _inside(self, *argv):
        return subprocess.run([tool("chroot"), str(self.tree), *argv], capture_output=True, text=True, check=False,
                              env=clean_env())


def clean_env(**more):
    """What `env -i` leaves, and an OpenSSL without any configuration: no trace of csign."""
    return {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "OPENSSL_CONF": "/dev/null"} | more
