# SPDX-License-Identifier: Apache-2.0
"""examples/quickstart, the README's first command: twice, for the second run must work too."""

import os

import pytest

from stack import ROOT, text


@pytest.mark.slow
@pytest.mark.uninstrumented
@pytest.mark.parametrize("turn", ["first", "second"])
def test_quickstart(stack, turn):
    before = set(os.listdir("/tmp"))
    done = stack.run([ROOT / "examples/quickstart", "--build", stack.build], timeout=180)
    output = text(done.stdout)
    for command in ("openssl pkeyutl -sign -provider csign -inkey csign://acme/mobile/release", "openssl dgst",
                    "openssl cms -sign", "openssl req -new", "openssl storeutl", "osslsigncode", "csign audit"):
        assert command in output, f"the quickstart does not show `{command}`"
    left = {name for name in set(os.listdir("/tmp")) - before if "csign" in name}
    assert not left, f"the quickstart left {left} behind"
