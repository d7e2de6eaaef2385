# SPDX-License-Identifier: Apache-2.0
"""What every signer starts from: csign keys, certificates for them from a CA that knows nothing of csign, files to
sign.  All of it is made on the fly."""

import json
import subprocess

from stack import ROOT, tool

KEYS = {"p256": "P-256", "rsa2048": "RSA-2048", "rsa3072": "RSA-3072", "ed25519": "Ed25519", "mldsa65": "ML-DSA-65"}

# Certificates by what they are for.  Several tools refuse a certificate that is for more than it must be.
CERTIFICATES = {
    "plain": "keyUsage=critical,digitalSignature",
    "code": "keyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning",
    "email": "keyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n"
             "subjectAltName=email:dev@example.com",
    "tls": "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n"
           "subjectAltName=DNS:localhost,IP:127.0.0.1",
    "stamp": "keyUsage=critical,digitalSignature\nextendedKeyUsage=critical,timeStamping",
    "ocsp": "keyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning",
    "ca": "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign",
}

C_SOURCES = {
    "program.exe": ('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n', ()),
    "library.dll": ("__declspec(dllexport) int answer(void) { return 42; }\n", ("-shared",)),
    "boot.efi": ("long boot(void *handle, void *table) { return 0; }\n",
                 ("-nostdlib", "-ffreestanding", "-shared", "-Wl,--subsystem,10", "-Wl,-e,boot")),
}

WXS = """<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
 <Product Id="*" Name="Hello" Language="1033" Version="1.0.0" Manufacturer="Acme"
          UpgradeCode="4c2b1d4e-6f0a-4f0e-9f4e-0d6f6b1b7a11">
  <Package InstallerVersion="200" Compressed="yes"/>
  <Media Id="1" Cabinet="c.cab" EmbedCab="yes"/>
  <Directory Id="TARGETDIR" Name="SourceDir">
   <Component Id="Main" Guid="4c2b1d4e-6f0a-4f0e-9f4e-0d6f6b1b7a12">
    <File Id="Exe" Name="program.exe" Source="program.exe" KeyPath="yes"/>
   </Component>
  </Directory>
  <Feature Id="All" Level="1"><ComponentRef Id="Main"/></Feature>
 </Product>
</Wix>
"""


class Ground:
    def __init__(self, stack, suite, folder):
        self.stack, self.suite, self.folder = stack, suite, folder
        self.asked, self.examples = 0, ROOT / "examples"
        self.keys = {name: f"acme/mobile/signer-{name}" for name in KEYS}
        self.pub, self.refs, self.lacks = {}, {}, {}
        for name, algorithm in KEYS.items():
            self._make_key(name, algorithm)
        self.file = folder / "file"
        self.file.write_bytes(b"what is signed\n" * 100)
        self._make_ca()
        self._make_inputs()

    def _make_key(self, name, algorithm):
        """Or what the service says why it cannot."""
        path, ref = self.keys[name], self.folder / f"{name}.ref.pem"
        status, _, key = self.stack.api("POST", "/v1/keys", {"path": path, "algorithm": algorithm})
        if status != 201:
            assert algorithm.startswith("ML-DSA"), key
            self.lacks[name] = key["detail"].split(",")[0]
            return
        self.stack.keys[path] = key
        self.pub[name], self.refs[name] = self.stack.public_key(path, self.folder), ref
        self.stack.csign("ref", f"csign://{path}", "-o", ref)

    def _openssl(self, *argv):
        self._in_suite("openssl", *argv)

    def _make_ca(self):
        """The trust of all proofs, an ordinary request, and a key file for the other side of a connection."""
        self.ca, self.other_key = self.folder / "ca.pem", self.folder / "other.key"
        self._openssl("req", "-x509", "-newkey", "rsa:2048", "-noenc", "-keyout", "ca.key", "-out", "ca.pem",
                      "-subj", "/CN=Test CA", "-days", "30", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._openssl("req", "-new", "-newkey", "rsa:2048", "-noenc", "-keyout", "other.key", "-out", "other.csr",
                      "-subj", "/CN=localhost")
        self._openssl("pkey", "-in", "other.key", "-pubout", "-out", "other.pub")
        self.request = self.folder / "other.csr"
        self.other_crt = self._issue("other", "tls", self.folder / "other.pub")

    def _issue(self, name, kind, pub):
        extensions, out = self.folder / f"{kind}.ext", self.folder / f"{name}.{kind}.pem"
        extensions.write_text(CERTIFICATES[kind] + "\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        self._openssl("x509", "-new", "-force_pubkey", pub, "-subj", f"/CN={name} {kind}", "-CA", "ca.pem", "-CAkey",
                      "ca.key", "-days", "30", "-extfile", extensions, "-out", out)
        return out

    def certificate(self, name, kind):
        path = self.folder / f"{name}.{kind}.pem"
        return path if path.exists() else self._issue(name, kind, self.pub[name])

    def _make_inputs(self):
        for name, (source, options) in C_SOURCES.items():
            (self.folder / f"{name}.c").write_text(source)
            self.stack.run([tool("x86_64-w64-mingw32-gcc"), "-O1", *options, "-o", name, f"{name}.c"],
                           cwd=self.folder)
        (self.folder / "module.c").write_text("int init_module(void) { return 0; }\n")
        self.stack.run([tool("gcc"), "-c", "-o", "module.ko", "module.c"], cwd=self.folder)
        (self.folder / "setup.wxs").write_text(WXS)
        self._in_suite("wixl", "-o", "setup.msi", "setup.wxs")
        self._in_suite("gcab", "--create", "files.cab", "program.exe")

    def _in_suite(self, program, *argv):
        done = self.suite.run([self.suite.find(program, program), *argv], self.folder, {"PATH": "/usr/bin"})
        assert done.returncode == 0, subprocess.list2cmdline([program, *argv]) + done.stderr.decode()

    def counters(self):
        """(calls, signatures) of the sidecar before this question, which is a call, too."""
        status = json.loads(self.stack.csign("status", "--json").stdout)
        self.asked += 1
        return int(status["calls"]) - self.asked, int(status["signatures"])
