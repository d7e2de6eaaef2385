# SPDX-License-Identifier: Apache-2.0
"""The service keeps to docs/openapi.yaml, as others read it: schemathesis makes up requests from the document, good
and bad ones, and holds the answers to it; redocly reads the document; a parser of OpenMetrics reads the counters.

CSIGN_CONTRACT_TOOLS is the folder that tests/contract/make-tools made."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from stack import ROOT, Stack  # noqa: E402

TOOLS = pathlib.Path(os.environ.get("CSIGN_CONTRACT_TOOLS", "/var/cache/csign-tests/contract"))
SECONDS = 40  # for requests that are made up at random; what the document names is tried besides


@pytest.fixture(scope="module")
def stack():
    with Stack(sidecar=False) as s:
        yield s


def run(*argv, timeout=150, **options):
    assert TOOLS.is_dir(), f"{TOOLS} is not there: tests/contract/make-tools {TOOLS}"
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, timeout=timeout,
                          stdin=None if "input" in options else subprocess.DEVNULL, **options)


def test_the_service_has_its_own_document(stack):
    status, headers, body = stack.api("GET", "/v1/openapi.yaml")
    assert (status, headers["Content-Type"]) == (200, "application/yaml")
    assert body == (ROOT / "docs/openapi.yaml").read_bytes()


def test_redocly_finds_nothing():
    done = run(TOOLS / "node/node_modules/.bin/redocly", "lint", "--config", HERE / "redocly.yaml", "--format", "json",
               ROOT / "docs/openapi.yaml")
    found = json.loads(done.stdout)["problems"] if done.stdout.startswith("{") else None
    assert found == [] and done.returncode == 0, done.stdout + done.stderr


def test_the_metrics_are_openmetrics(stack):
    _, headers, text = stack.api("GET", "/metrics")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    done = run(TOOLS / "python/bin/python", "-c",
               "import sys; from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse\n"
               "for f in parse(sys.stdin.read()): print(f.name, f.type, f.documentation != '', len(f.samples))",
               input=text.decode())
    assert done.returncode == 0, done.stderr
    families = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert len(families) > 10 and families["csign_signatures"] == "counter True 1"
    assert {f.split()[1] for f in families.values()} == {"True"}


def test_schemathesis_finds_no_failure(stack, tmp_path):
    done = run(TOOLS / "python/bin/schemathesis", "--config-file", HERE / "schemathesis.toml", "run",
               f"{stack.url}/v1/openapi.yaml", "--url", stack.url, "--tls-verify", stack.ca,
               "--header", f"Authorization: Bearer {stack.api_key}", "--max-time", SECONDS, "--seed", "1", "--no-color",
               cwd=tmp_path)
    selected = re.search(r"Selected: (\d+)/(\d+)\n  Tested: (\d+)", done.stdout)
    assert done.returncode == 0, done.stdout[:10000] + done.stdout[-3000:] + done.stderr
    assert selected and selected[1] == selected[2] == selected[3]
    # What it did is in the log, which is whole.
    stack.csign("audit", "verify")
