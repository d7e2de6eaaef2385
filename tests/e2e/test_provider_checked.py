# SPDX-License-Identifier: Apache-2.0
"""csign.so under ThreadSanitizer, in a build of its own below the build folder, and under valgrind.  What runs under
AddressSanitizer is test_provider_manners.py, as all the rest, in the build for it."""

import re

import pytest

from stack import ROOT, tool
from test_provider import ground, program, sig  # noqa: F401

pytestmark = [pytest.mark.uninstrumented, pytest.mark.slow]

HOSTS = ("host-api", "host-manners")
# Program and arguments; {uri} is the key.  valgrind runs one thread at a time, thirty times slower.
RACES = {"api": ("host-api", "{uri}", "64", "100"), "files": ("host-manners", "files", "{uri}", "64"),
         "reload": ("host-manners", "reload", "{uri}", "100"), "twice": ("host-manners", "twice", "{uri}"),
         "leak": ("host-manners", "leak", "{uri}")}
MEMORY = RACES | {"api": ("host-api", "{uri}", "8", "4"), "files": ("host-manners", "files", "{uri}", "8"),
                  "reload": ("host-manners", "reload", "{uri}", "24")}


@pytest.fixture(scope="module")
def tsan(ground):  # noqa: F811
    """The build folder with csign.so and its hosts."""
    folder = ground.stack.build / "tsan"
    if not (folder / "build.ninja").exists():
        ground.stack.run(["meson", "setup", folder, ROOT, "-Dtests=enabled", "-Db_sanitize=thread", "-Db_lundef=false"],
                         timeout=120)
    ground.stack.run(["ninja", "-C", folder, "provider/csign.so", *(f"tests/e2e/c/{h}" for h in HOSTS)], timeout=300)
    return folder


def environment(ground, folder, module):  # noqa: F811
    """In which csign.so is that one, by configuration and by name."""
    conf, own = folder / "openssl.cnf", ground.stack.openssl_cnf.read_text()
    conf.write_text(own.replace(str(ground.stack.program("csign.so")), str(module)))
    (folder / "csign.so").symlink_to(module)
    return {**ground.stack.environment(), "OPENSSL_CONF": str(conf), "OPENSSL_MODULES": str(folder)}


def arguments(ground, argv, name):  # noqa: F811
    return [word.format(uri=ground.uri(name)) for word in argv]


@pytest.mark.parametrize("name", ("rsa2048", "p256"))
@pytest.mark.parametrize("what", RACES)
def test_I7_threads_do_not_race(ground, tsan, tmp_path, what, name):  # noqa: F811
    host, *argv = RACES[what]
    env = environment(ground, tmp_path, tsan / "provider/csign.so")
    out = ground.stack.run([tsan / "tests/e2e/c" / host, *arguments(ground, argv, name)], env=env, timeout=300)
    assert out.stdout.startswith(b"ok")


def valgrind(leaks):
    check = ("--leak-check=full", "--errors-for-leak-kinds=definite") if leaks else ("--leak-check=no",)
    return [tool("valgrind"), "-q", "--error-exitcode=99", *check]


@pytest.mark.parametrize("what", MEMORY)
def test_I7_valgrind_has_nothing_to_say(ground, tmp_path, what):  # noqa: F811
    host, *argv = MEMORY[what]
    env = environment(ground, tmp_path, ground.stack.program("csign.so"))
    out = ground.stack.run([*valgrind(what != "leak"), program(ground, host), *arguments(ground, argv, "p256")], env=env,
                           timeout=300)
    assert out.stdout.startswith(b"ok")
    # A forked process, whose status is not this one's, may only lose what other threads of its parent held.
    assert not re.search(rb"Invalid|uninitialised|Mismatched|overlap", out.stderr)


def test_I7_valgrind_sees_openssl_sign(ground, sig):  # noqa: F811
    for key in (ground.uri("p256"), ground.uri("rsa2048"), ground.ref("p256")):
        ground.stack.run([*valgrind(True), tool("openssl"), "dgst", "-sha256", "-sign", key, "-out", sig, ground.file],
                         env=ground.stack.environment(), timeout=120)
