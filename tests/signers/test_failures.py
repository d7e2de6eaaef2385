# SPDX-License-Identifier: Apache-2.0
"""What a signer's user sees when there can be no signature: the program ends at once, with a status that is not 0, says
why in csign's words, and leaves nothing that looks signed."""

import os
import pathlib
import re
import time

import pytest

from signers import Refused, Row, Session
from test_files import rauc_content

NOWHERE = {"CSIGN_BUS": "unix:path=/nowhere"}
NOBODY = "csign://acme/mobile/nobody"
SECONDS = 5

# program: its package and its arguments
BY_REFERENCE = {
    "osslsigncode": ("osslsigncode", lambda s: (
        "sign", "-certs", s.crt("code"), "-key", s.ref, "-h", "sha256", "-in", s.ground.folder / "program.exe",
        "-out", "signed")),
    "sbsign": ("sbsigntool", lambda s: (
        "--key", s.ref, "--cert", s.crt("plain"), "--output", "signed", s.ground.folder / "boot.efi")),
    "sign-file": ("linux-kbuild-*", lambda s: (
        "sha256", s.ref, s.crt("plain"), s.ground.folder / "module.ko", "signed")),
    "evmctl": ("ima-evm-utils", lambda s: (
        "ima_sign", "--sigfile", "-a", "sha256", "--key", s.ref, s.ground.folder / "module.ko")),
    "rauc": ("rauc", lambda s: (
        "bundle", f"--cert={s.crt('email')}", f"--key={s.ref}", rauc_content(s), "signed")),
    "openssl": ("openssl", lambda s: (
        "dgst", "-sha256", "-sign", s.ref, "-out", "signed", s.file)),
}

BY_URI = {
    "openssl": ("openssl", lambda s: ("dgst", "-sha256", "-sign", NOBODY, "-out", "signed", s.file)),
    "osslsigncode": ("osslsigncode", lambda s: (
        "sign", "-provider", "csign", "-certs", s.crt("code"), "-key", NOBODY, "-h", "sha256", "-in",
        s.ground.folder / "program.exe", "-out", "signed")),
    "systemd-sbsign": ("systemd-repart", lambda s: (
        "sign", "--private-key-source=provider:csign", f"--private-key={NOBODY}", f"--certificate={s.crt('plain')}",
        "--output=signed", s.ground.folder / "boot.efi")),
}

# Before these, the program takes no URI or is not there: the table has that.
SINCE = {"osslsigncode": ("forky",), "systemd-sbsign": ("trixie", "forky")}
SUITE = pathlib.Path(os.environ.get("CSIGN_TREE", "")).name


def refused(ground, folder, program, how, env=None):
    package, argv = how[program]
    s = Session(ground, Row(program, program, package, "file", (), None, program), "rsa3072", folder)
    argv, begin = argv(s), time.monotonic()
    with pytest.raises(Refused) as failure:
        s.sign(*argv, env=env)
    assert time.monotonic() - begin < SECONDS
    signed = folder / "signed"
    assert not signed.exists() or signed.stat().st_size == 0
    return str(failure.value)


@pytest.mark.parametrize("program", BY_REFERENCE)
def test_no_sidecar(ground, tmp_path, program):
    """Some programs print only the reason, and not the line that says which socket and what to do."""
    said = refused(ground, tmp_path, program, BY_REFERENCE, NOWHERE)
    assert re.search("sidecar (is )?not reachable", said), said


@pytest.mark.parametrize("program", [p for p in BY_URI if SUITE in SINCE.get(p, (SUITE,))])
def test_no_such_key(ground, tmp_path, program):
    """systemd's tools keep OpenSSL's words to themselves."""
    said = refused(ground, tmp_path, program, BY_URI)
    assert ("Failed to load private key" if program == "systemd-sbsign" else
            "csign: there is no key 'acme/mobile/nobody'") in said, said
