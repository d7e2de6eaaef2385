# SPDX-License-Identifier: Apache-2.0
"""The packages as files, and csign installed without them."""

import os
import pathlib
import re
import subprocess

import pytest

from conftest import ROOT, run
from stack import base_env, text, tool

PROGRAMS = {"csign-cli": "usr/bin/csign", "csign-sidecar": "usr/bin/csign-sidecar",
            "csign-service": "usr/sbin/csign-service", "csign-provider": "usr/lib/*/ossl-modules/csign.so"}


@pytest.fixture(scope="module")
def unpacked(packages, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unpacked")
    for package in packages.glob("*_0.1.0_*.deb"):
        if "dbgsym" not in package.name:
            run("dpkg-deb", "--extract", package, folder / package.name.split("_")[0])
    return folder


def test_lintian_finds_nothing(packages):
    done = subprocess.run([tool("lintian"), "--allow-root", "--display-info", "--fail-on=error,warning,info",
                           packages / "csign_0.1.0_amd64.changes"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("package", PROGRAMS)
def test_programs_are_hardened(unpacked, package):
    program = next((unpacked / package).glob(PROGRAMS[package]))
    dynamic, headers = run("readelf", "-dW", program), run("readelf", "-hlW", program)
    assert re.search(r"FLAGS_1.*NOW", dynamic), "not bound at the start"
    assert "GNU_RELRO" in headers
    assert "DYN (" in headers, "not position-independent"
    assert re.search(r"GNU_STACK\s.* RW\s", headers), "an executable stack"
    symbols = run("readelf", "--dyn-syms", "-W", program)
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__\w+_chk@", symbols), "not fortified"


def test_each_program_and_configuration_has_its_page(unpacked):
    pages = {p.name.removesuffix(".gz") for p in unpacked.glob("*/usr/share/man/man*/*")}
    programs = {p.name for p in unpacked.glob("*/usr/bin/*")} | {p.name for p in unpacked.glob("*/usr/sbin/*")}
    for program in programs:
        assert {f"{program}.1", f"{program}.8"} & pages, program
    assert {"sidecar.conf.5", "policy.conf.5", "csign-service.conf.5", "csign-keystore.conf.5",
            "csign-provider.7"} <= pages


@pytest.mark.parametrize("shell, script", [
    ("bash", "usr/share/bash-completion/completions/csign"), ("zsh", "usr/share/zsh/site-functions/_csign")])
def test_completions_are_installed(unpacked, shell, script):
    path = unpacked / "csign-cli" / script
    assert path.read_text() == (ROOT / "cli/completion" / f"csign.{shell}").read_text()


def verbs_of(program, *group):
    """What csign's own help names."""
    text, prefix = run(program, *group, "--help"), " ".join(["", *group])
    rows = re.findall(r"^    ([a-z][a-z -]*)$", text, re.MULTILINE)  # of names alone
    return set(re.findall(rf"^ {prefix} ([a-z][a-z-]*) ", text, re.MULTILINE)) | set(" ".join(rows).split())


def test_bash_completes_every_verb_that_help_names(unpacked):
    """The shipped file, in a shell."""
    program = unpacked / "csign-cli/usr/bin/csign"
    script = unpacked / "csign-cli/usr/share/bash-completion/completions/csign"

    def complete(*words):
        done = subprocess.run(
            ["bash", "--norc", "-c", f'. {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _csign; '
             'printf "%s\\n" "${COMPREPLY[@]}"', "bash", "csign", *words],
            env=base_env() | {"PATH": f"{program.parent}:{os.environ['PATH']}"}, capture_output=True, text=True,
            check=True)
        return set(done.stdout.split())
    verbs = verbs_of(program)
    assert {"sign", "login", "key", "setup", "sbsign"} <= verbs <= complete("")
    for group in ("tsg", "key", "account", "setup"):
        inner = verbs_of(program, group)
        assert inner and inner <= complete(group, "")
        assert "--help" in complete(group, min(inner), "--")
    assert "create" in complete("key", "c")


def test_a_plain_install_works_from_any_prefix(tmp_path):
    """meson install --prefix, and DESTDIR: nothing lies outside the prefix, and what was installed runs from there."""
    prefix, build = tmp_path / "opt/csign", tmp_path / "build"
    run("meson", "setup", build, ROOT, f"--prefix={prefix}", "-Dtests=disabled", "-Doptimization=0")
    run("meson", "compile", "-C", build)
    run("meson", "install", "-C", build, "--no-rebuild")
    run("meson", "install", "-C", build, "--no-rebuild", env=dict(os.environ, DESTDIR=str(tmp_path / "staged")))

    def tree(top):
        return sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.is_file())
    assert tree(prefix) == tree(tmp_path / f"staged{prefix}")
    assert tree(tmp_path / "staged") == [str(pathlib.Path(str(prefix)[1:]) / p) for p in tree(prefix)]

    for unit in prefix.glob("lib/systemd/*/*.service"):
        program = re.search(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)[1]
        assert pathlib.Path(program).is_relative_to(prefix) and os.access(program, os.X_OK), unit
    assert "csign" in run(prefix / "bin/csign", "--version")
    listed = subprocess.run([tool("openssl"), "list", "-providers"], capture_output=True, check=True,
                            env=base_env() | {"OPENSSL_CONF": str(prefix / "etc/csign/openssl.cnf")})
    assert "csign" in text(listed.stdout)
