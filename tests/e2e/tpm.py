# SPDX-License-Identifier: Apache-2.0
"""A TPM of one's own: swtpm, tpm2-abrmd in the kernel's place as its resource manager, and tpm2-tools to make
keys in it."""

import contextlib
import pathlib
import socket

from stack import Daemon, base_env, free_port, tool, wait_until

# A key that signs alone, is made in the TPM, and cannot leave it.
ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign|noda"


def free_port_pair():
    """Its control channel is at the next port: that is a rule of the TCTI."""
    while True:
        port = free_port()
        with contextlib.closing(socket.socket()) as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port + 1))
            return port


def listens(port):
    """Without a connection, which would be the one that it serves."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in f)


class Tpm(Daemon):
    def __init__(self, stack, name):
        """stack: one with a bus."""
        self.stack, self.folder, self.port = stack, stack.folder / name, free_port_pair()
        self.folder.mkdir()
        super().__init__(name, [tool("swtpm"), "socket", "--tpm2", "--tpmstate", f"dir={self.folder}",
                                "--server", f"type=tcp,bindaddr=127.0.0.1,port={self.port}",
                                "--ctrl", f"type=tcp,bindaddr=127.0.0.1,port={self.port + 1}",
                                "--flags", "not-need-init,startup-clear"], stack.folder, ready=False)
        stack.add(self)
        wait_until(f"{name} listens", lambda: listens(self.port) and listens(self.port + 1))
        self._start_manager(f"{name}-manager", f"org.csign.{name.replace('-', '_')}")

    def _start_manager(self, name, bus_name):
        self.tcti = f"tabrmd:bus_type=session,bus_name={bus_name}"
        self.manager = Daemon(name, [tool("tpm2-abrmd"), "--session", "--allow-root", f"--dbus-name={bus_name}",
                                     f"--tcti=swtpm:host=127.0.0.1,port={self.port}"], self.stack.folder,
                              self.environment(), ready=False)
        self.stack.add(self.manager)
        on_bus = [tool("busctl"), f"--address={self.stack.bus}", "status", bus_name]
        wait_until(f"{name} is on the bus", lambda: self.stack.run(on_bus, check=False).returncode == 0)

    def end(self):
        self.manager.kill()
        self.kill()

    def environment(self):
        """For programs that use it by OpenSSL or tpm2-tools."""
        return base_env() | {"TPM2OPENSSL_TCTI": self.tcti, "TPM2TOOLS_TCTI": self.tcti,
                             "DBUS_SESSION_BUS_ADDRESS": self.stack.bus}

    def run(self, *argv):
        return self.stack.run([tool(argv[0]), *argv[1:]], env=self.environment(), cwd=self.folder)

    def openssl(self, *argv, **options):
        return self.stack.run([tool("openssl"), argv[0], "-provider", "tpm2", "-provider", "default", *argv[1:]],
                              env=self.environment(), **options)

    def persistent_key(self, handle, algorithm="ecc256:ecdsa-sha256"):
        """Made in the TPM and kept there; its public half as PEM."""
        public = self.folder / f"{handle}.pem"
        self.run("tpm2_createprimary", "-Q", "-C", "o", "-G", "ecc256", "-c", "primary.ctx")
        self.run("tpm2_create", "-Q", "-C", "primary.ctx", "-G", algorithm, "-a", ATTRIBUTES, "-u", "key.pub",
                 "-r", "key.priv")
        self.run("tpm2_load", "-Q", "-C", "primary.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx")
        self.run("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "key.ctx", handle)
        self.run("tpm2_readpublic", "-Q", "-c", handle, "-f", "pem", "-o", public)
        return public.read_text()

    def key_file(self, path):
        """A file that only this TPM can use; the public half as PEM."""
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "group:P-256", "-out", path)
        pathlib.Path(path).chmod(0o600)
        return self.openssl("pkey", "-in", path, "-pubout").stdout.decode()
