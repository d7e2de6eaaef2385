# SPDX-License-Identifier: Apache-2.0
"""@signer makes one signing program a test, once for each kind of key, and a row of the table in docs/signers/:

    @signer("sbsign", takes="file", works_in=("bookworm", "trixie"))
    def test_sbsign(s):
        s.sign("--key", s.ref, ...)        the program itself, with csign in its OpenSSL; counted
        s.prove("sbverify", ..., says="Signature verification OK")

Where a program cannot, it is run all the same: the words with which it says no are the table's cell."""

import collections
import contextlib
import functools
import re

import pytest

from stack import StackError
from suite import NAMES, NotThere, clean_env

BOTH = ("p256", "rsa3072")

Row = collections.namedtuple("Row", "name program package takes works_in refusal recipe")


class Refused(Exception):
    """The program did not sign.  reason: the one line of its own that says why."""

    def __init__(self, argv, said, pattern):
        lines = [line.strip() for line in said.splitlines() if line.strip()] or ["(nothing)"]
        found = pattern and re.search(pattern, said, re.M)
        self.reason = (found[1] if found.groups() else found[0]) if found else lines[-1]
        super().__init__(f"`{' '.join(map(str, argv))}` said:\n{said}")


class Session:
    """One program with one key, in a folder of its own."""

    def __init__(self, ground, row, key, folder):
        self.ground, self.suite, self.row, self.key, self.dir = ground, ground.suite, row, key, folder
        if key in ground.lacks:
            raise NotThere(ground.lacks[key])
        self.uri, self.ref, self.pub = f"csign://{ground.keys[key]}", ground.refs[key], ground.pub[key]
        self.file, self.ca, self.stack = ground.file, ground.ca, ground.stack
        self.cost = None
        self.program = self.suite.find(row.program, row.package)

    def crt(self, kind):
        return self.ground.certificate(self.key, kind)

    @property
    def is_rsa(self):
        return self.key.startswith("rsa")

    def signing_env(self):
        return self.stack.environment() | {"HOME": str(self.dir)}

    @contextlib.contextmanager
    def counted(self):
        """What happens in here is the cost: calls to look a key up, and signatures."""
        calls, signatures = self.ground.counters()
        yield
        now = self.ground.counters()
        signed = now[1] - signatures
        cost = now[0] - calls - signed, signed
        self.cost = cost if self.cost is None else (self.cost[0] + cost[0], self.cost[1] + cost[1])

    def sign(self, *argv, program=None, env=None, **options):
        argv = [self.suite.find(program, self.row.package) if program else self.program, *argv]
        with self.counted():
            done = self.suite.run(argv, self.dir, self.signing_env() | (env or {}), **options)
        if done.returncode != 0:
            raise Refused(argv, (done.stdout + done.stderr).decode(errors="replace"), self.row.refusal)
        return done

    def plain(self, program, *argv, package=None, env=None, **options):
        """Any stock program without csign.  Returns what it said; fails with it."""
        argv = [self.suite.find(program, package), *argv]
        done = self.suite.run(argv, self.dir, clean_env(HOME=str(self.dir)) | (env or {}), **options)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, f"`{' '.join(map(str, argv))}` ended with {done.returncode}\n{said}"
        return said

    def prove(self, program, *argv, says=None, **options):
        said = self.plain(program, *argv, **options)
        assert says is None or says in said, said


class Results:
    """What was run, for the table."""

    def __init__(self):
        self.rows = {}

    def add(self, row, key, **outcome):
        self.rows.setdefault(row.name, {"takes": row.takes, "recipe": row.recipe, "keys": {}})["keys"][key] = outcome


def attempt(function, ground, row, key, folder):
    """The outcome, as the table has it; raises when it is another than the row says."""
    suite, works_in = ground.suite, row.works_in[key] if isinstance(row.works_in, dict) else row.works_in
    expected = suite.name in works_in
    try:
        s = Session(ground, row, key, folder)
    except NotThere as e:
        assert not expected, f"{row.program} of {row.package}: {e}: mend works_in"
        return {"works": False, "reason": str(e)}
    version = suite.version(s.program)
    try:
        function(s)
    except Refused as e:
        if expected:
            raise
        return {"works": False, "version": version, "reason": e.reason}
    assert expected, f"{row.name} now works in {suite.name}: mend works_in"
    assert s.cost and s.cost[1] >= 1, "it signed, but not with a csign key"
    return {"works": True, "version": version, "lookups": s.cost[0], "signatures": s.cost[1]}


def signer(name, takes, program=None, package=None, keys=BOTH, works_in=NAMES, refusal=None, recipe=None):
    """takes: how the program is told the key, "URI" or "file" (the key reference).  works_in: the releases where it
    signs, or {key: releases}.  refusal: which of its words say why it cannot.  recipe: the page in docs/signers/ that
    is about it."""
    program = program or name
    row = Row(name, program, package or program, takes, works_in, refusal, recipe or program)

    def decorate(function):
        @pytest.mark.parametrize("key", keys)
        @functools.wraps(function)
        def test(key, ground, results, tmp_path):
            tmp_path.chmod(0o755)
            results.add(row, key, **attempt(function, ground, row, key, tmp_path))

        del test.__wrapped__  # pytest would take its parameter for a fixture
        return test

    return decorate


__all__ = ["BOTH", "Refused", "Results", "StackError", "signer"]
