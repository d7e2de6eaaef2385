# SPDX-License-Identifier: Apache-2.0
"""What one signature of a whole process costs: connections, calls, signatures; and what csign.so costs who does not use
it.  Other times are tests/bench's."""

import json
import os
import statistics
import subprocess

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


# ---- bystanders ----

NO_PROPERTY = ("default_properties = ?provider!=csign\n", "")
# Ways to load csign.so: changes of openssl.cnf, and whether libcrypto is made to sort its providers, csign first.
WAYS = {"shipped": ((), "none"), "shipped, sorted": ((), "available"), "no property": ((NO_PROPERTY,), "none"),
        "no property, sorted": ((NO_PROPERTY,), "available"),
        "csign listed first": ((NO_PROPERTY, ("default = csign_default_sect\n", ""),
                                ("csign = csign_sect\n", "csign = csign_sect\ndefault = csign_default_sect\n")), "none")}
ROUNDS, LIMIT, ATTEMPTS = 150, 1.05, 5


class Bystander:
    """tests/bench/bystander: works for some milliseconds whenever it is its turn."""

    def __init__(self, ground, key, conf, sort):  # noqa: F811
        argv, env = ground.stack.hosted([str(ground.stack.build / "tests/bench/bystander"), sort, str(key)])
        cpu = min(os.sched_getaffinity(0))
        self.process = subprocess.Popen(argv, env=env | {"OPENSSL_CONF": str(conf)}, text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))

    def turn(self):
        """Microseconds of CPU for key generation and ECDH, and for ECDSA with a key file."""
        self.process.stdin.write("\n")
        return [float(word) for word in self.process.stdout.readline().split()]

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0
        self.process.stdout.close()


def slower(programs):
    """{way: (key generation and ECDH, ECDSA)}: medians of what each turn took by what the one without csign took."""
    rounds = [{way: p.turn() for way, p in programs.items()} for _ in range(ROUNDS)]
    return {way: tuple(statistics.median(r[way][i] / r[None][i] for r in rounds) for i in (0, 1)) for way in WAYS}


def test_I7_a_bystander_is_not_slower(ground, tmp_path):  # noqa: F811
    """By 5 % at most, in every order of the providers.  What is slower is so each time that it is measured."""
    tmp_path.chmod(0o755)
    key, programs = tmp_path / "key", {}
    ground.stack.plain_openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
    try:
        programs[None] = Bystander(ground, key, os.devnull, "none")
        for way, (changes, sort) in WAYS.items():
            conf, text = tmp_path / f"{way}.cnf", ground.stack.openssl_cnf.read_text()
            for old, new in changes:
                assert old in text
                text = text.replace(old, new)
            conf.write_text(text)
            programs[way] = Bystander(ground, key, conf, sort)
        best = slower(programs)
        for _ in range(ATTEMPTS - 1):
            if max(max(both) for both in best.values()) <= LIMIT:
                break
            again = slower(programs)
            best = {way: tuple(map(min, best[way], again[way])) for way in WAYS}
    finally:
        for p in programs.values():
            p.end()
    print(best)
    assert max(max(both) for both in best.values()) <= LIMIT, best
