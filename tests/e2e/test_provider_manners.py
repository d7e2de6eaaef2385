# SPDX-License-Identifier: Apache-2.0
"""csign.so is a guest in its application: it bears threads, copies and forks, and leaves nothing behind.  The programs
of tests/e2e/c are the application."""

import pytest

from test_provider import ground, modules, program  # noqa: F401

pytestmark = pytest.mark.provider

# What host-manners is told to do, and how often.
MANNERS = {"files": "32", "reload": "100", "twice": "", "leak": ""}


@pytest.mark.parametrize("name", ("rsa2048", "p256"))
def test_I7_threads_copies_and_forks(ground, modules, name):  # noqa: F811
    out = ground.stack.host([program(ground, "host-api"), ground.uri(name), "64", "100"], env=modules, timeout=300)
    assert out.stdout == b"ok 6400\n"


@pytest.mark.parametrize("what", MANNERS)
def test_I7_nothing_is_left_behind(ground, modules, what):  # noqa: F811
    env = dict(modules)
    if what == "leak":  # that is what it is for
        env["ASAN_OPTIONS"] = env["ASAN_OPTIONS"] + ":detect_leaks=0"
    for name in ("rsa2048", "p256"):
        out = ground.stack.host([program(ground, "host-manners"), what, ground.uri(name), MANNERS[what]], env=env,
                                timeout=120)
        assert out.stdout == b"ok\n"
