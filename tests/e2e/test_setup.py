# SPDX-License-Identifier: Apache-2.0
"""csign setup openssl: any host's openssl.cnf gets csign and loses it again, byte for byte."""

import json
import os
import pathlib
import subprocess

import pytest

from stack import STRANGER_UID, Stack, base_env, text, tool

pytestmark = [pytest.mark.uninstrumented, pytest.mark.provider]

MODULES = pathlib.Path(subprocess.run(["openssl", "version", "-m"], capture_output=True, text=True,
                                      check=True).stdout.split('"')[1])
RELEASE = "csign://acme/mobile/release"
INIT = "openssl_conf = init\n[init]\n"
OTHERS = INIT + "providers = mine\n[mine]\nlegacy = legacy_sect\n[legacy_sect]\nactivate = 1\n"

CONFS = {
    "debian": pathlib.Path("/etc/ssl/openssl.cnf").read_text(),
    "empty": "",
    "no openssl_conf": "# nothing here\nHOME = .\n[req]\ndefault_bits = 2048\n",
    "unused section of that name": "[openssl_init]\nproviders = nowhere\n[csign_providers_not]\na = b\n",
    "others, default not active": OTHERS,
    "others and default": OTHERS.replace("[legacy", "default = d\n[d]\nactivate = 1\n[legacy"),
    "default listed, not active": OTHERS.replace("[legacy", "default = d\n[d]\nx = y\n[legacy"),
    "default under a number": OTHERS.replace("[legacy", "1.default = d\n[d]\nactivate = 1\n[legacy"),
    "properties": INIT + "alg_section = evp\n[evp]\ndefault_properties = ?fips=yes\n",
    "alg_section without": INIT + "alg_section = evp\n[evp]\nfips_mode = no\n",
    "no newline at the end": INIT + "# the end",
    "a backslash at the end": INIT + "[x]\na = b \\\n",
    "a backslash, no newline": INIT + "[x]\na = b \\",
    "only a newline": "\n",
}


@pytest.fixture(scope="module")
def stack():
    """In another release's tree csign is there, too: it is its OpenSSL that reads what is written."""
    with Stack(tree="CSIGN_TREE" in os.environ) as stack:
        yield stack


@pytest.fixture
def setup(stack):
    """Runs csign setup openssl on a file; its words."""
    env = base_env() | {"CSIGN_MODULE": str(stack.program("csign.so"))}

    def run(conf, *more, status=0, **options):
        done = stack.csign("setup", "openssl", "--conf", conf, *more, env=options.pop("env", env), check=False,
                           **options)
        assert done.returncode == status, text(done.stdout) + text(done.stderr)
        return text(done.stdout) + text(done.stderr)
    return run


def providers(stack, conf):
    """What stock openssl has active under this configuration."""
    said = text(stack.plain_openssl("list", "-providers", env=base_env() | {"OPENSSL_CONF": str(conf)}).stdout)
    return [line.strip() for line in said.splitlines() if line.startswith("  ") and line[2] != " "]


def works(stack, conf, folder):
    """A csign key signs, and other keys are none of its business."""
    env = stack.environment() | {"OPENSSL_CONF": str(conf)}
    (folder / "file").write_text("x")
    stack.openssl("dgst", "-sha256", "-sign", RELEASE, "-out", folder / "sig", folder / "file", env=env)
    stack.plain_openssl("dgst", "-sha256", "-verify", stack.public_key("acme/mobile/release", folder), "-signature",
                        folder / "sig", folder / "file")
    stack.openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", folder / "k", "-out", folder / "c",
                  "-subj", "/CN=x", "-config", "/etc/ssl/openssl.cnf", env=env)
    doctor = stack.csign("doctor", "--json", env=env, check=False)
    found = {f["check"]: f["result"] for f in json.loads(doctor.stdout)}
    assert found["openssl.cnf"] == "OK" and found["provider order"] == "OK", text(doctor.stdout)


@pytest.mark.parametrize("name", CONFS)
def test_apply_and_undo(stack, setup, tmp_path, name):
    conf, backup = tmp_path / "openssl.cnf", tmp_path / "openssl.cnf.csign-backup"
    conf.write_text(CONFS[name])
    conf.chmod(0o640)
    before = providers(stack, conf) if "unused" not in name else ["default"]

    setup(conf)
    assert conf.read_text() == CONFS[name] and not backup.exists()

    setup(conf, "--apply")
    assert sorted(providers(stack, conf)) == sorted({*before, "csign", "default"})
    assert backup.read_text() == CONFS[name] and conf.stat().st_mode & 0o777 == 0o640
    assert conf.read_text().startswith(CONFS[name]) and "?provider!=csign" in conf.read_text()
    works(stack, conf, tmp_path)

    applied = conf.read_text()
    assert "already" in setup(conf, "--apply") and conf.read_text() == applied
    assert sorted(p.name for p in tmp_path.iterdir() if "openssl" in p.name) == [conf.name, backup.name]

    setup(conf, "--undo")
    assert conf.read_text() == CONFS[name] and not backup.exists()
    setup(conf, "--undo")
    assert conf.read_text() == CONFS[name]


def test_old_properties_stay_in_force(setup, tmp_path):
    conf = tmp_path / "c"
    conf.write_text(CONFS["properties"])
    setup(conf, "--apply")
    assert "default_properties = ?fips=yes,?provider!=csign\n" in conf.read_text()


def test_a_new_file_and_its_end(stack, setup, tmp_path):
    conf = tmp_path / "openssl.cnf"
    assert "--- /dev/null" in setup(conf) and not conf.exists()
    setup(conf, "--apply")
    assert "csign" in providers(stack, conf) and conf.stat().st_mode & 0o777 == 0o644
    assert "already" in setup(conf)
    setup(conf, "--undo")
    assert not list(tmp_path.iterdir())

    setup(conf, "--apply")
    conf.write_text(conf.read_text() + "[mine]\na = b\n")
    setup(conf, "--undo")
    assert conf.read_text() == "[mine]\na = b\n"


def test_what_is_shown_is_what_is_done(stack, setup, tmp_path):
    for name, content in CONFS.items():
        conf, patched = tmp_path / "c", tmp_path / "p"
        conf.write_text(content)
        patched.write_text(content)
        diff = stack.csign("setup", "openssl", "--conf", conf,
                           env=base_env() | {"CSIGN_MODULE": str(stack.program("csign.so"))}).stdout
        stack.run([tool("patch"), "--silent", patched], input=diff)
        setup(conf, "--apply")
        assert patched.read_text() == conf.read_text(), name
        for path in tmp_path.iterdir():
            path.unlink()


def test_undo_leaves_what_others_wrote(stack, setup, tmp_path):
    for name in ("debian", "no newline at the end", "others, default not active"):
        conf = tmp_path / "c"
        conf.write_text(CONFS[name])
        setup(conf, "--apply")
        conf.write_text("# before\n" + conf.read_text() + "# behind\n")
        assert "already" in setup(conf)
        setup(conf, "--undo")
        ended = CONFS[name] + ("" if CONFS[name].endswith("\n") else "\n")
        assert conf.read_text() == "# before\n" + ended + "# behind\n"
        assert (tmp_path / "c.csign-backup").read_text() == CONFS[name]  # not what is there now: it stays
        (tmp_path / "c.csign-backup").unlink()


def test_a_moved_module_is_written_anew(stack, setup, tmp_path):
    conf, moved = tmp_path / "c", tmp_path / "csign.so"
    conf.write_text(CONFS["debian"])
    setup(conf, "--apply")
    moved.write_bytes(stack.program("csign.so").read_bytes())
    shown = setup(conf, "--module", moved)
    assert f"+module = {moved}" in shown and "-module = /" in shown
    setup(conf, "--module", moved, "--apply")
    assert conf.read_text().count("# ---- begin of csign") == 1 and "csign" in providers(stack, conf)
    setup(conf, "--undo")
    assert conf.read_text() == CONFS["debian"]


def test_an_older_copy_is_never_lost(setup, tmp_path):
    conf, backup = tmp_path / "c", tmp_path / "c.csign-backup"
    conf.write_text(CONFS["debian"])
    backup.write_text("precious")
    assert "c.csign-backup.1" in setup(conf, "--apply")
    assert backup.read_text() == "precious"
    assert (tmp_path / "c.csign-backup.1").read_text() == CONFS["debian"]
    setup(conf, "--undo")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "c.csign-backup"]


def test_a_link_stays_a_link(setup, tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text(CONFS["debian"])
    link.symlink_to(real)
    setup(link, "--apply")
    assert link.is_symlink() and "csign" in real.read_text()
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    setup(tmp_path / "loose", status=4)


def test_json(setup, tmp_path):
    conf = tmp_path / "c"
    conf.write_text(CONFS["debian"])
    shown = json.loads(setup(conf, "--json"))
    assert shown["change"] and not shown["applied"] and "+csign = csign_module" in shown["diff"]
    done = json.loads(setup(conf, "--json", "--apply"))
    assert done["applied"] and done["backup"] == f"{conf}.csign-backup"
    again = json.loads(setup(conf, "--json", "--apply"))
    assert not again["change"] and again["diff"] == ""


def test_the_default_is_libcrypto_s_own(stack):
    """OPENSSL_CONF has no say in what the host's file is.  Nothing is applied."""
    env = base_env() | {"CSIGN_MODULE": str(stack.program("csign.so")), "OPENSSL_CONF": "/nonexistent"}
    folder = text(stack.plain_openssl("version", "-d").stdout).split('"')[1]
    shown = json.loads(stack.csign("setup", "openssl", "--json", env=env).stdout)
    assert shown["file"] == os.path.realpath(f"{folder}/openssl.cnf")


REFUSED = {
    "a broken line": (INIT + "what is this\n", ":3: OpenSSL cannot read it"),
    "does not load": (INIT + "no_such_module = x\n", "does not load as it is"),
    "a missing section": ("openssl_conf = nowhere\n", "does not load as it is"),
    "prefers csign": (INIT + "alg_section = e\n[e]\ndefault_properties = ?provider=csign\n", "first choice"),
    "csign by others' lines": (INIT + "providers = p\n[p]\ncsign = c\n[c]\nmodule = /nonexistent.so\n",
                               "names csign already"),
    "fips without its property": (INIT + "providers = p\n[p]\nfips = f\n[f]\n"
                                  f"module = {MODULES}/legacy.so\nactivate = 1\n", "could leave FIPS"),
    "half a block": ("# ---- begin of csign: x\n", "not one pair"),
    "two blocks": ("# ---- begin of csign\n# ---- end of csign ----\n" * 2, "not one pair"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_when_unsure_nothing_is_changed(setup, tmp_path, name):
    content, words = REFUSED[name]
    conf = tmp_path / "c"
    conf.write_text(content)
    for more in ([], ["--apply"]):
        assert words in setup(conf, *more, status=2)
    assert conf.read_text() == content and len(list(tmp_path.iterdir())) == 1


def test_a_module_that_does_not_load_is_not_put_in(setup, tmp_path):
    conf, module = tmp_path / "c", tmp_path / "csign.so"
    conf.write_text(CONFS["debian"])
    module.write_text("no module")
    assert f"csign is not active: {module}: " in setup(conf, "--module", module, "--apply", status=2)
    assert "cannot read" in setup(conf, "--module", tmp_path / "none", "--apply", status=4)
    assert conf.read_text() == CONFS["debian"] and not (tmp_path / "c.csign-backup").exists()


def test_apply_and_undo_exclude_each_other(setup, tmp_path):
    setup(tmp_path / "c", "--apply", "--undo", status=2)
    setup("/nonexistent/c", "--apply", status=4)


@pytest.mark.root
def test_owner_and_rights(stack, setup, tmp_path):
    """Root gives the file back to its owner; who may not write it changes nothing."""
    conf = tmp_path / "c"
    conf.write_text(CONFS["debian"])
    os.chown(conf, STRANGER_UID, STRANGER_UID)
    setup(conf, "--apply")
    assert (conf.stat().st_uid, conf.stat().st_gid) == (STRANGER_UID, STRANGER_UID)
    setup(conf, "--undo")
    assert conf.stat().st_uid == STRANGER_UID

    from stack import as_user
    folder = stack.folder / "setup"
    folder.mkdir()
    shared = folder / "c"
    shared.write_text(CONFS["debian"])
    done = stack.run(as_user(STRANGER_UID, [stack.program("csign"), "setup", "openssl", "--conf", shared, "--apply"]),
                     env=base_env() | {"CSIGN_MODULE": str(stack.program("csign.so"))}, check=False)
    assert done.returncode == 1 and b"Permission denied" in done.stderr
    assert shared.read_text() == CONFS["debian"] and len(list(folder.iterdir())) == 1
