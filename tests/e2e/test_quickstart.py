# SPDX-License-Identifier: Apache-2.0
"""examples/quickstart, the README's first command: twice, for the second run must work too; and examples/first-hour."""

import pytest

from stack import ROOT, base_env, text


@pytest.mark.slow
@pytest.mark.uninstrumented
@pytest.mark.parametrize("turn", ["first", "second"])
def test_quickstart(stack, turn):
    folder = stack.folder / f"quickstart-{turn}"
    folder.mkdir(mode=0o755)
    done = stack.run([ROOT / "examples/quickstart", "--build", stack.build], timeout=180,
                     env=base_env() | {"TMPDIR": str(folder)})
    output = text(done.stdout)
    for command in ("openssl pkeyutl -sign -provider csign -inkey csign://acme/mobile/release", "openssl dgst",
                    "openssl cms -sign", "openssl req -new", "openssl storeutl", "osslsigncode", "csign audit"):
        assert command in output, f"the quickstart does not show `{command}`"
    assert not list(folder.iterdir()), "the quickstart left something behind"


@pytest.mark.slow
@pytest.mark.uninstrumented
def test_first_hour(stack):
    folder = stack.folder / "first-hour"
    folder.mkdir(mode=0o755)
    done = stack.run([ROOT / "examples/first-hour", "--build", stack.build], timeout=180,
                     env=base_env() | {"TMPDIR": str(folder)})
    output = text(done.stdout)
    assert output.count("Verified OK") == 4 and output.count("refused, exit status") == 3
    for said in ("Rule            account-state", "enable it (csign account enable)",
                 "The audit log is whole"):
        assert said in output, output[-3000:]
    assert not list(folder.iterdir()), "it left something behind"
