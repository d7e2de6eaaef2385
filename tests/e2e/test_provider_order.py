# SPDX-License-Identifier: Apache-2.0
"""An application's own keys and TLS work with csign.so loaded in every way, whatever order libcrypto has put its
providers in: one named csign comes before default as soon as it sorts them.  Where the application itself left out
default, it is told so by OpenSSL."""

import pytest

from test_provider import ground, modules, program  # noqa: F401

pytestmark = pytest.mark.provider

DEFAULT_LINE = "default = csign_default_sect\n"
CSIGN_LINE = "csign = csign_sect\n"
PROPERTIES_LINE = "default_properties = ?provider!=csign\n"


def shipped(text):
    return text


def csign_after_default(text):
    return text.replace(PROPERTIES_LINE, "")


def csign_before_default(text):
    return csign_after_default(text).replace(DEFAULT_LINE, "").replace(CSIGN_LINE, CSIGN_LINE + DEFAULT_LINE)


# How csign.so gets in: a configuration file, or the providers that the application loads itself.
LOADS = {
    "shipped-config": shipped,
    "config-csign-before-default": csign_before_default,
    "config-csign-after-default": csign_after_default,
    "provider-csign": "csign",
    "provider-default-provider-csign": "default,csign",
    "provider-csign-provider-default": "csign,default",
    "bare-provider-load": "used,csign",
}
SORTS = ("none", "available", "rand")
TASKS = {"file-keys-sign", "pem-files", "pem-of-new-keys", "rsa-keygen", "ec-keygen", "tls-p256", "tls-x25519",
         "csign-keys-sign", "csign-keys-serve-tls"}
# What is there without default: what csign has for keys of the kinds that it shadows, and its own.
WITHOUT_DEFAULT = {"file-keys-sign", "ec-keygen", "csign-keys-sign"}


@pytest.fixture(scope="module")
def files(ground, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("order")
    folder.chmod(0o755)
    for name, options in (("rsa", ("RSA", "rsa_keygen_bits:2048")), ("ec", ("EC", "ec_paramgen_curve:P-256"))):
        ground.stack.plain_openssl("genpkey", "-algorithm", options[0], "-pkeyopt", options[1], "-out", folder / name)
        (folder / name).chmod(0o644)
    return folder / "rsa", folder / "ec"


def outcome(text):
    """{task: whether it worked}"""
    lines = [line.split(": ") for line in text.splitlines()]
    return {line[0]: line[1] == "ok" for line in lines if line[0] in TASKS}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("load", LOADS)
def test_I7_everything_works_in_every_order(ground, modules, files, tmp_path, load, sort):  # noqa: F811
    how, env = LOADS[load], dict(modules)
    if callable(how):
        conf = tmp_path / "openssl.cnf"
        conf.write_text(how(ground.stack.openssl_cnf.read_text()))
        env["OPENSSL_CONF"], how = str(conf), "conf"
    else:
        env["OPENSSL_CONF"] = "/dev/null"
    done = ground.stack.host([program(ground, "host-order"), how, sort, *files, ground.uri("rsa2048"),
                              ground.uri("p256")], env=env, timeout=120)
    said = done.stdout.decode()
    works = WITHOUT_DEFAULT if how == "csign" else TASKS
    assert outcome(said) == {task: task in works for task in TASKS}, said
    assert ":csign:" not in said


# The same by options of the openssl program; what each command needs beyond csign.
COMMANDS = {
    "genpkey-rsa": ("genpkey", "-algorithm", "RSA", "-out", "{out}"),
    "genpkey-ec": ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "{out}"),
    "req-new-key": ("req", "-new", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                    "/CN=x", "-keyout", "{out}", "-out", "{out}.crt"),
    "req-file-key": ("req", "-new", "-x509", "-key", "{file_key}", "-subj", "/CN=x", "-out", "{out}"),
    "dgst-file-key": ("dgst", "-sha256", "-sign", "{file_key}", "-out", "{out}", "{file}"),
    "dgst-csign-key": ("dgst", "-sha256", "-sign", "{uri}", "-out", "{out}", "{file}"),
    "req-csign-key": ("req", "-new", "-x509", "-key", "{uri}", "-subj", "/CN=x", "-out", "{out}"),
    "pkey-pubout": ("pkey", "-in", "{file_key}", "-pubout", "-out", "{out}"),
}
ORDERS = {"default-csign": ("default", "csign"), "csign-default": ("csign", "default"), "csign": ("csign",)}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("command", COMMANDS)
def test_I7_openssl_with_provider_options(ground, modules, files, tmp_path, command, order):  # noqa: F811
    values = {"out": tmp_path / "out", "file_key": files[1], "file": ground.file, "uri": ground.uri("p256")}
    verb, *argv = (word.format(**values) for word in COMMANDS[command])
    options = [word for name in ORDERS[order] for word in ("-provider", name)]
    env = {**modules, "OPENSSL_CONF": "/dev/null"}
    done = ground.stack.openssl(verb, *options, *argv, env=env, check=False)
    if order != "csign":
        assert done.returncode == 0, done.stderr.decode()
    assert ":csign:" not in done.stderr.decode()
