# SPDX-License-Identifier: Apache-2.0
"""/readyz says whether requests would succeed, and which part it is if not; and it says so in time."""

import concurrent.futures
import shutil
import time

import pytest

from stack import wait_until
from test_service import check_problem


def ready(stack):
    return stack.api("GET", "/readyz")


def ready_again(stack):
    wait_until("the service is ready", lambda: ready(stack)[0] == 200, 20)


def not_ready(stack):
    """What is found holds for a second."""
    return wait_until("the service is not ready", lambda: (lambda r: r if r[0] != 200 else None)(ready(stack)), 20)


def test_a_whole_service_is_ready(stack):
    assert ready(stack)[2] == {"status": "ready"}


def test_a_crowd_of_questions_is_one(stack):
    ready(stack)
    before = stack.metrics()["audit_commits_total"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert {r[0] for r in pool.map(lambda _: ready(stack), range(40))} == {200}
    assert stack.metrics()["audit_commits_total"] - before < 20


def test_without_the_key_store_it_is_not(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={})
    ready_again(stack)
    stack.keystore.kill()
    check_problem(not_ready(stack), 503, "KeystoreUnavailable")
    assert stack.api("GET", "/healthz")[0] == 200
    stack.keystore.start()
    ready_again(stack)


def test_a_key_store_that_hangs_is_told_in_time(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={})
    ready_again(stack)
    stack.keystore.signal(19)  # SIGSTOP
    try:
        not_ready(stack)
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: ready(stack), range(8)))
        # All questions are one, and whoever asks while it hangs waits for no more than its deadline.
        assert time.monotonic() - begin < 8
        assert {r[0] for r in replies} == {503} and "the key store" in replies[0][2]["detail"]
        assert stack.api("GET", "/v1/whoami")[0] == 200
    finally:
        stack.keystore.signal(18)  # SIGCONT
    ready_again(stack)


@pytest.mark.root
def test_a_disk_that_is_full_is_told(fresh_stack):
    stack = fresh_stack(sidecar=False, keys={})
    stack.service.stop()
    aside = stack.state.with_name("aside")
    shutil.copytree(stack.state, aside)
    stack.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", stack.state])
    try:
        for path in aside.iterdir():
            shutil.copy2(path, stack.state / path.name)
        for path in [stack.state, *stack.state.iterdir()]:
            path.chmod(0o777 if path == stack.state else path.stat().st_mode)
            shutil.chown(path, 64202, 64202)
        stack.service.start()
        ready_again(stack)
        with open(stack.state / "filler", "wb", buffering=0) as f:
            try:
                while f.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        check_problem(not_ready(stack), 503, "AuditUnavailable")
        (stack.state / "filler").unlink()
        ready_again(stack)
    finally:
        stack.service.stop()
        stack.run(["umount", stack.state])
        stack.service.start()
