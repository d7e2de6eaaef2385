#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Puts what the signers' tests saw (signers-SUITE.json) between the marks in docs/signers/: the table of README.md, and
in each recipe what it costs.  No cell is written by hand.

    tests/signers/table.py --build DIR            says where docs/signers differs from what was run; exit status 1
    tests/signers/table.py --build DIR --write    writes it

As a test of pytest it is the first of these.  A tool's version may move on without notice; all else must be equal."""

import argparse
import difflib
import json
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs/signers"
SUITES = ("bookworm", "trixie", "forky")
ALGORITHMS = {"p256": "P-256", "rsa2048": "RSA-2048", "rsa3072": "RSA-3072",
              "ed25519": "Ed25519", "mldsa65": "ML-DSA-65"}
BEGIN, END = "<!-- what was run: tests/signers/table.py --write -->", "<!-- end -->"
TAKES = {"URI": "URI", "file": "reference"}


def load(build):
    runs = {}
    for suite in SUITES:
        path = pathlib.Path(build) / f"signers-{suite}.json"
        if not path.exists():
            sys.exit(f"{path} is not there: tests/in-tree TREES/{suite} pytest tests/signers")
        runs[suite] = json.loads(path.read_text())
    return runs


def joined(by_key):
    """One text if all keys have the same, else each with the keys that have it."""
    if len(set(by_key.values())) == 1:
        return next(iter(by_key.values()))
    return "; ".join(f"{ALGORITHMS[key]}: {value}" for key, value in by_key.items())


def outcome(result):
    if result["works"]:
        return f"✔ {result['version']}"
    if "version" not in result:
        return result["reason"]
    return f"no, {result['version']}: `{result['reason'].replace('|', '/')}`"


def plural(n, word):
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def cost(result):
    lookups = f"{plural(result['lookups'], 'lookup')}, " if result["lookups"] else ""
    return lookups + plural(result["signatures"], "signature")


def costs(runs, name):
    """What it costs, in all releases where it works; several texts if they differ."""
    by_suite = {}
    for suite in SUITES:
        by_key = {k: cost(r) for k, r in runs[suite]["rows"][name]["keys"].items() if r["works"]}
        if by_key:
            by_suite[suite] = joined(by_key)
    if len(set(by_suite.values())) == 1:
        return next(iter(by_suite.values()))
    return "; ".join(f"{suite}: {text}" for suite, text in by_suite.items()) or "none"


def table(runs):
    head = " | ".join(f"{suite}, OpenSSL {runs[suite]['openssl']}" for suite in SUITES)
    lines = [f"| signer | key | as | {head} | remote calls |", "|---|---|---|" + "---|" * len(SUITES) + "---|"]
    for name, row in rows(runs):
        keys = ", ".join(ALGORITHMS[k] for k in row["keys"])
        cells = " | ".join(joined({k: outcome(r) for k, r in runs[suite]["rows"][name]["keys"].items()})
                           for suite in SUITES)
        lines.append(f"| [{name}]({row['recipe']}.md) | {keys} | {TAKES[row['takes']]} | {cells} | "
                     f"{costs(runs, name)} |")
    return lines


def rows(runs):
    found = [set(run["rows"]) for run in runs.values()]
    assert all(f == found[0] for f in found), "the releases were not all tried with the same tests"
    return sorted(runs[SUITES[0]]["rows"].items(), key=lambda item: (item[1]["recipe"], item[0]))


def recipe(runs, page):
    return [f"- **{name}**: {costs(runs, name)}" for name, row in rows(runs) if row["recipe"] == page]


def pages(runs):
    yield DOCS / "README.md", table(runs)
    for page in sorted({row["recipe"] for _, row in rows(runs)}):
        yield DOCS / f"{page}.md", recipe(runs, page)


def without_versions(lines):
    return [re.sub(r"(✔|no,) [0-9.]+|(OpenSSL) [0-9.]+", r"\1\2", line) for line in lines]


def faults(runs, write=False):
    for path, lines in pages(runs):
        if not path.exists():
            yield f"{path.relative_to(ROOT)} is not there"
            continue
        text = path.read_text()
        if text.count(BEGIN) != 1 or text.count(END) != 1:
            yield f"{path.relative_to(ROOT)} lacks the marks"
            continue
        before, rest = text.split(BEGIN)
        there, after = rest.split(END)
        if write:
            path.write_text(f"{before}{BEGIN}\n" + "".join(line + "\n" for line in lines) + END + after)
        elif without_versions(there.strip().splitlines()) != without_versions(lines):
            difference = difflib.unified_diff(there.strip().splitlines(), lines, str(path.relative_to(ROOT)),
                                              "what was run", lineterm="", n=0)
            yield "\n".join(difference)


def test_docs_say_what_was_run():
    found = list(faults(load(os.environ.get("CSIGN_BUILD") or ROOT / "build")))
    assert not found, "\n".join([*found, "then: tests/signers/table.py --write"])


def test_recipes_are_short_and_all_are_linked():
    index = (DOCS / "README.md").read_text()
    for path in DOCS.glob("*.md"):
        if path.name != "README.md":
            assert len(path.read_text().splitlines()) <= 40, f"{path.name} has more than 40 lines"
            assert f"({path.name})" in index, f"{path.name} is in no row of the table"


def main():
    parser = argparse.ArgumentParser(description="docs/signers from what was run")
    parser.add_argument("--build", default=os.environ.get("CSIGN_BUILD") or ROOT / "build")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = list(faults(load(args.build), args.write))
    print("\n".join(found) or "docs/signers says what was run")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
