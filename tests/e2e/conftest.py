# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests.  CSIGN_BUILD names the build folder (default: ./build).

stack         one for the whole session: leave it as you found it (make keys and accounts of your own names)
bus_stack     the same with the sidecar on a private dbus-daemon
fresh_stack   a factory: fresh_stack(proxy=True, ...) starts one for this test alone, to kill and to break"""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from stack import Stack, StackError  # noqa: E402

live_stacks = []


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than ten seconds; not run by tests/run --quick")
    config.addinivalue_line("markers", "root: needs to be root (other uids, chroot)")
    config.addinivalue_line("markers", "provider: also runs on other versions of OpenSSL; so it runs openssl by "
                            "stack.openssl(), and nothing else that loads csign.so")
    config.addinivalue_line("markers", "tree: runs all of csign on another release's OpenSSL; only in its tree")
    config.addinivalue_line("markers", "uninstrumented: cannot run in a build with sanitizers")


def pytest_collection_modifyitems(config, items):
    """Without root, what needs it is left out by name and said so; nothing is ever skipped for a missing tool."""
    if "CSIGN_TREE" not in os.environ:
        leave_out(config, items, "tree", "runs in another release's tree")
    if os.geteuid() != 0:
        leave_out(config, items, "root", "needs root")


def leave_out(config, items, marker, why):
    without = [i for i in items if i.get_closest_marker(marker)]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [i for i in items if i not in without]
        print(f"{why}, not run:", " ".join(i.name for i in without), file=sys.stderr)


def start(**options):
    stack = Stack(**options)
    stack.start()
    live_stacks.append(stack)
    return stack


def stop(stack):
    live_stacks.remove(stack)
    stack.stop()


@pytest.fixture(scope="session")
def stack():
    s = start()
    yield s
    stop(s)


@pytest.fixture(scope="session")
def bus_stack():
    s = start(bus=True)
    yield s
    stop(s)


@pytest.fixture
def fresh_stack():
    mine = []

    def factory(**options):
        mine.append(start(**options))
        return mine[-1]

    yield factory
    failures = []
    for s in mine:
        try:
            stop(s)
        except StackError as e:
            failures.append(str(e))
    assert not failures, "\n".join(failures)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of the daemons' logs."""
    report = (yield).get_result()
    if report.failed:
        for s in live_stacks:
            report.sections.append((f"daemons in {s.folder}", s.logs()))
