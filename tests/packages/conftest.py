# SPDX-License-Identifier: Apache-2.0
"""csign's Debian packages: built here, installed in Debian releases that are booted with their own systemd.  Root.

CSIGN_TREES      where the trees are (tests/make-tree made bookworm-systemd and trixie-systemd)
CSIGN_PACKAGES   a folder of packages from an earlier run, to try a change of the tests"""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from machine import Machine  # noqa: E402
from stack import StackError, tool  # noqa: E402

NEXT = "0.1.0+next"


def run(*argv, cwd=None, env=None):
    done = subprocess.run([str(a) for a in argv], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, text=True)
    if done.returncode != 0:
        raise StackError(f"`{' '.join(map(str, argv))}` ended with status {done.returncode}\n{done.stdout[-6000:]}")
    return done.stdout


def leave_out(folder, names):
    """Of a copy of the tree: what was built, and what git keeps."""
    top = pathlib.Path(folder) == ROOT
    return [n for n in names if n in ("__pycache__", ".pytest_cache") or top and (n == ".git" or n.startswith("build"))]


def make_next(package, folder):
    """The same package under a later version: what an upgrade needs."""
    run("dpkg-deb", "--raw-extract", package, folder)
    control = folder / "DEBIAN/control"
    control.write_text(control.read_text().replace("Version: 0.1.0\n", f"Version: {NEXT}\n"))
    run("dpkg-deb", "--root-owner-group", "--build", folder, package.parent / package.name.replace("0.1.0", NEXT))
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """The folder of the packages, with those of the next version."""
    if "CSIGN_PACKAGES" in os.environ:
        return pathlib.Path(os.environ["CSIGN_PACKAGES"])
    folder = tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT, folder / "csign", ignore=leave_out, symlinks=True)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DEB_", "CSIGN_"))}
    run(tool("dpkg-buildpackage"), "-us", "-uc", "--build=full", "-j2", cwd=folder / "csign",
        env=env | {"DEB_BUILD_OPTIONS": "parallel=2"})
    for package in sorted(folder.glob("*_0.1.0_*.deb")):
        if "dbgsym" not in package.name:
            make_next(package, folder / "next")
    return folder


@pytest.fixture(scope="module")
def machine(request, packages):
    """One for a module, which says which release: RELEASE = "bookworm"."""
    trees = pathlib.Path(os.environ.get("CSIGN_TREES") or "/var/cache/csign-tests")
    tree = trees / f"{request.module.RELEASE}-systemd"
    if not tree.exists():
        raise StackError(f"{tree} is not there: tests/run makes it")
    with Machine(tree, packages) as m:
        m.install()
        m.smoke_said = m.smoke(ROOT / "debian/tests/smoke")
        yield m
