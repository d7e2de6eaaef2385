# SPDX-License-Identifier: Apache-2.0
"""Programs that hold a TLS key: each handshake is one signature."""

import concurrent.futures
import contextlib
import os
import signal
import socket
import ssl
import threading

from signers import Refused, signer
from stack import free_port, wait_until
from suite import clean_env

REQUESTS, AT_ONCE = 200, 32
WWW_DATA = 33


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def running(s, argv, port, env):
    """A server, from when it listens until it is told to end.  That it ends before is a refusal."""
    log = s.dir / "server.log"
    server = s.suite.start(argv, s.dir, env, log)
    try:
        wait_until(f"{argv[0]} listens", lambda: server.poll() is not None or answers(port))
        if server.poll() is not None:
            raise Refused(argv, log.read_text(errors="replace"), s.row.refusal)
        yield server
    finally:
        if server.poll() is None:
            server.terminate()
        server.wait(20)


# ---- openssl ----

def s_server(s, version):
    port = free_port()
    with s.counted(), running(s, [s.program, "s_server", "-accept", port, "-cert", s.crt("tls"), "-key", s.uri,
                                  "-www"], port, s.signing_env()):
        s.prove("openssl", "s_client", "-connect", f"127.0.0.1:{port}", f"-{version}", "-CAfile", s.ca,
                "-verify_return_error", "-verify_hostname", "localhost", says="Verify return code: 0 (ok)")


@signer("openssl s_server, TLS 1.2", recipe="openssl-tls", program="openssl", takes="URI")
def test_s_server_tls12(s):
    s_server(s, "tls1_2")


@signer("openssl s_server, TLS 1.3", recipe="openssl-tls", program="openssl", takes="URI")
def test_s_server_tls13(s):
    s_server(s, "tls1_3")


@contextlib.contextmanager
def mutual(s, *options):
    """A stock server that wants a certificate of ours."""
    port = free_port()
    argv = [s.suite.find("openssl", None), "s_server", "-accept", port, "-cert", s.ground.other_crt, "-key",
            s.ground.other_key, "-CAfile", s.ca, "-Verify", "2", "-verify_return_error", "-www", *options]
    with running(s, argv, port, clean_env()):
        yield port


def s_client(s, version):
    """With -www the server's answer is about the connection: it comes after it has verified the client."""
    with mutual(s) as port:
        done = s.sign("s_client", "-connect", f"127.0.0.1:{port}", f"-{version}", "-CAfile", s.ca, "-cert",
                      s.crt("tls"), "-key", s.uri, "-ign_eof", "-quiet", input=b"GET / HTTP/1.0\r\n\r\n")
    said = done.stdout.decode()
    assert "HTTP/1.0 200 ok" in said and f"Subject: CN={s.key} tls" in said.replace(" = ", "="), said


@signer("openssl s_client -cert, TLS 1.2", recipe="openssl-tls", program="openssl", takes="URI")
def test_s_client_tls12(s):
    s_client(s, "tls1_2")


@signer("openssl s_client -cert, TLS 1.3", recipe="openssl-tls", program="openssl", takes="URI")
def test_s_client_tls13(s):
    s_client(s, "tls1_3")


# ---- curl ----

def curl(s, *key, env=None):
    with mutual(s) as port:
        done = s.sign("--silent", "--show-error", "--max-time", "20", "--cacert", s.ca, "--cert", s.crt("tls"),
                      *key, f"https://localhost:{port}/", env=env)
    assert f"Subject: CN={s.key} tls" in done.stdout.decode().replace(" = ", "="), done.stdout.decode()


@signer("curl --cert", program="curl", takes="file")
def test_curl(s):
    curl(s, "--key", s.ref)


@signer("curl --key-type PROV", program="curl", takes="URI", works_in=("trixie", "forky"), refusal="curl: .*")
def test_curl_provider(s):
    """It loads the provider by itself, from the folder where OpenSSL has its modules."""
    curl(s, "--engine", "csign", "--key-type", "PROV", "--key", s.uri,
         env={"OPENSSL_MODULES": str(s.stack.program("csign.so").parent)})


# ---- nginx ----

NGINX_CONF = """daemon off;
user www-data;
pid nginx.pid;
error_log stderr;
worker_processes 2;
env OPENSSL_CONF;
env CSIGN_BUS;
events {{ worker_connections 512; }}
http {{
    access_log off;
    ssl_session_cache off;
    ssl_session_tickets off;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        return 200 hello;
    }}
}}
"""


@contextlib.contextmanager
def nginx(s, key):
    port = free_port()
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (s.dir / name).mkdir(exist_ok=True)
    (s.dir / "nginx.conf").write_text(NGINX_CONF.format(port=port, certificate=s.crt("tls"), key=key))
    argv = [s.program, "-p", s.dir, "-c", s.dir / "nginx.conf", "-e", "stderr"]
    with running(s, argv, port, s.signing_env()) as master:
        yield master, port


def fetch(s, port):
    """A new handshake each time, by the host's Python, which has no csign."""
    context = ssl.create_default_context(cafile=s.ca)
    with socket.create_connection(("127.0.0.1", port), 20) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        said = b""
        while more := tls.recv(4096):
            said += more
    assert said.endswith(b"hello"), said


def workers(master):
    with open(f"/proc/{master.pid}/task/{master.pid}/children", encoding="ascii") as f:
        return {int(pid) for pid in f.read().split()}


def kill_a_worker_under_load(s, master, port):
    """What a client of the killed worker has lost, it gets from the others at once."""
    wait_until("nginx has its workers", lambda: len(workers(master)) == 2)
    first, done, killed = workers(master), 0, threading.Lock()

    def one(_):
        nonlocal done
        try:
            fetch(s, port)
        except (OSError, AssertionError):
            fetch(s, port)
        with killed:
            done += 1
            if done == REQUESTS // 2:
                os.kill(min(first), signal.SIGKILL)

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(REQUESTS)))
    wait_until("nginx has two workers again",
               lambda: len(workers(master)) == 2 and min(first) not in workers(master))
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda _: fetch(s, port), range(50)))


@signer("nginx", takes="file")
def test_nginx(s):
    """The master is root, but it is a worker that signs."""
    with s.counted(), nginx(s, s.ref) as (_, port):
        fetch(s, port)
    assert s.stack.audit()[-1]["record"]["caller"]["uid"] == WWW_DATA


@signer("nginx: 200 handshakes, a worker killed", program="nginx", takes="file", keys=("p256",))
def test_nginx_load(s):
    with nginx(s, s.ref) as (master, port):
        kill_a_worker_under_load(s, master, port)
        with s.counted():
            fetch(s, port)


@signer("nginx, key by store:URI", program="nginx", takes="URI", works_in=("forky",),
        refusal=r"\[emerg\].*: (BIO_new_file\(\) failed)")
def test_nginx_store(s):
    with s.counted(), nginx(s, f"store:{s.uri}") as (_, port):
        fetch(s, port)
