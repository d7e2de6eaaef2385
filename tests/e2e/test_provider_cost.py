# SPDX-License-Identifier: Apache-2.0
"""What one signature of a whole process costs: connections, calls, signatures.  Times are tests/bench's."""

import json
import os

import pytest

from stack import in_tree, tool
from test_provider import ground  # noqa: F401

# The sanitizer does not bear strace.
pytestmark = [pytest.mark.provider, pytest.mark.uninstrumented]


class Costs:
    """What happens while it is entered."""

    def __init__(self, stack):
        self.stack = stack

    def _counters(self):
        status = json.loads(self.stack.csign("status", "--json").stdout)
        return int(status["calls"]), int(status["signatures"])

    def __enter__(self):
        self.before = self._counters()
        return self

    def __exit__(self, *_):
        calls, signatures = self._counters()
        # Reading the counters was a call.
        self.calls, self.signatures = calls - self.before[0] - 1, signatures - self.before[1]


def connections(ground, tmp_path, *argv):  # noqa: F811
    """How often openssl, when it runs that, connects to the sidecar."""
    trace, command = tmp_path / "trace", [tool("openssl"), *map(str, argv)]
    if "CSIGN_TREE" in os.environ:
        command = in_tree(None, command)
    ground.stack.run([tool("strace"), "-f", "-e", "trace=connect", "-o", trace, *command],
                     env=ground.stack.environment())
    return trace.read_text().count("sidecar.sock")


@pytest.mark.parametrize("name", ("rsa2048", "p256"))
@pytest.mark.parametrize("key,calls", (("uri", 2), ("ref", 1)))
def test_one_connection_one_describe_one_sign(ground, tmp_path, name, key, calls):  # noqa: F811
    """With a reference, not even the describe."""
    digest, ground_key = tmp_path / "digest", getattr(ground, key)(name)
    digest.write_bytes(bytes(range(32)))
    commands = (("pkeyutl", "-sign", "-inkey", ground_key, "-in", digest, "-pkeyopt", "digest:sha256", "-out",
                 tmp_path / "sig"),
                ("dgst", "-sha256", "-sign", ground_key, "-out", tmp_path / "sig", ground.file),
                ("cms", "-sign", "-binary", "-in", ground.file, "-signer", ground.crt[name], "-inkey", ground_key,
                 "-outform", "DER", "-out", tmp_path / "sig"))
    tmp_path.chmod(0o755)
    for argv in commands:
        with Costs(ground.stack) as costs:
            assert connections(ground, tmp_path, *argv) == 1
        assert (costs.calls, costs.signatures) == (calls, 1)


def test_key_and_certificate_of_one_uri(ground, tmp_path):  # noqa: F811
    """Two loads, of the certificate and of the key, and one question."""
    with Costs(ground.stack) as costs:
        ground.stack.openssl("cms", "-sign", "-binary", "-in", ground.file, "-signer", ground.uri("p256"), "-outform",
                             "DER", "-out", tmp_path / "sig")
    assert (costs.calls, costs.signatures) == (2, 1)


def test_public_work_asks_nobody(ground, tmp_path):  # noqa: F811
    ground.stack.plain_openssl("dgst", "-sha256", "-binary", "-out", tmp_path / "digest", ground.file)
    with Costs(ground.stack) as costs:
        ground.stack.openssl("pkey", "-in", ground.ref("p256"), "-pubout")
        ground.stack.openssl("pkey", "-in", ground.ref("p256"), "-noout", "-text", "-check")
        ground.stack.openssl("list", "-providers")
        ground.stack.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    assert (costs.calls, costs.signatures) == (0, 0)
