# SPDX-License-Identifier: Apache-2.0
"""Real signers of one Debian release, with csign keys:

    tests/in-tree TREES/trixie env CSIGN_BUILD=build pytest tests/signers

Writes what it saw to signers-SUITE.json in the build folder, for table.py; a run of a part writes nothing."""

import json
import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

from ground import Ground  # noqa: E402
from signers import Results  # noqa: E402
from stack import ROOT, Stack  # noqa: E402
from suite import Suite  # noqa: E402

# nginx's workers are www-data; a number, for the sidecar is not in the tree.
POLICY = "rules = us\n[us]\nuids = 0, 33\nkeys = acme/mobile/*\neffect = allow\n"

seen = Results()


@pytest.fixture(scope="session")
def results():
    return seen


@pytest.fixture(scope="session")
def ground(tmp_path_factory):
    suite = Suite()
    folder = tmp_path_factory.mktemp("ground")
    folder.chmod(0o755)
    # Debian 12 is where csign is built; of the others the daemons have OpenSSL, too, for the keys that 3.0 lacks.
    with Stack(policy=POLICY, tree=suite.name != "bookworm") as stack:
        yield Ground(stack, suite, folder)


def pytest_configure(config):
    config.partial = bool(config.option.keyword) or any("::" in a or a.endswith(".py") for a in config.args)


def pytest_sessionfinish(session, exitstatus):
    if session.config.partial or exitstatus not in (0, 1):
        return
    suite = Suite()
    build = pathlib.Path(os.environ.get("CSIGN_BUILD") or ROOT / "build")
    content = {"suite": suite.name, "openssl": suite.version("/usr/bin/openssl"), "rows": seen.rows}
    (build / f"signers-{suite.name}.json").write_text(json.dumps(content, indent=1) + "\n")
