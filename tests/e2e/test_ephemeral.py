# SPDX-License-Identifier: Apache-2.0
"""A sidecar in a container: with nothing around it, and for the life of one command."""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import pytest
import yaml
from peer import Peer
from stack import Daemon, ROOT, base_env, libasan, temp_folder, text, tool, wait_until

RELEASE = "acme/mobile/release"

MAKEFILE = """release:
\ttest -z "$$CSIGN_KEY"
\t$$WITH openssl pkeyutl -sign -rawin -in app -inkey csign://acme/mobile/release -out app.sig
\tcsign status --json > status.json
"""


class Job:
    """A CI job: a folder, an account, an environment that has nothing but what a container has."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, folder
        self.tmp = pathlib.Path(tempfile.mkdtemp(prefix="csign-", dir=temp_folder()))  # a socket's path is short
        self.key = folder / "ci.key"
        self.account = f"acme/mobile/job-{os.urandom(4).hex()}"
        made = json.loads(stack.csign("account", "create", self.account, "--key-out", self.key, "--json").stdout)
        programs = [str(stack.program(name).parent) for name in ("csign", "csign-sidecar")]
        kept = {k: v for k, v in base_env().items() if k.endswith("_OPTIONS")}
        self.env = kept | {"PATH": ":".join([*programs, "/usr/sbin:/usr/bin:/sbin:/bin"]), "TMPDIR": str(self.tmp),
                           "CSIGN_SERVICE": stack.url, "CSIGN_CLIENT_ID": made["id"], "CSIGN_CA": str(stack.ca),
                           "CSIGN_CREDENTIAL_FILE": str(self.key), "CSIGN_MODULE": str(stack.program("csign.so"))}
        # What loads a csign.so that has a sanitizer needs its runtime.
        self.env["WITH"] = f"env LD_PRELOAD={libasan()}" if "address" in stack.sanitize else "env"
        (folder / "app").write_text("app")

    def run(self, *command, options=(), env=None, **more):
        return self.stack.run([self.stack.program("csign"), "run", "--ephemeral", *options, "--", *command],
                              env=self.env | (env or {}), cwd=self.folder, **more)

    def start(self, *command, **more):
        return subprocess.Popen([str(self.stack.program("csign")), "run", "--ephemeral", "--", *command],
                                env=self.env, cwd=self.folder, stdout=subprocess.PIPE, **more)

    def left(self):
        """Files in its temporary folder, and processes that know its name."""
        found = list(self.tmp.iterdir())
        for proc in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(self.tmp).encode() in proc.read_bytes():
                    found.append(proc)
            except OSError:
                pass
        return found

    def leaves_nothing(self):
        wait_until("nothing is left", lambda: not self.left(), 30)


@pytest.fixture
def job(stack, tmp_path):
    j = Job(stack, tmp_path)
    yield j
    j.leaves_nothing()
    j.tmp.rmdir()


def sidecar_of(job):
    found = [p for p in job.left() if p.name == "cmdline" and b"--socket" in p.read_bytes()]
    return int(found[0].parent.name)


def folder_of(job):
    [folder] = list(job.tmp.iterdir())
    return folder


SHOW = ("sh", "-c", 'echo "$CSIGN_BUS"; echo "$OPENSSL_CONF"; stat -c %a "$(dirname "$OPENSSL_CONF")"; '
        'echo "[$CSIGN_CREDENTIAL_FILE]"; csign status --json')


def test_from_a_variable(job):
    shown = text(job.run(*SHOW).stdout).split("\n", 4)
    assert re.fullmatch(rf"unix:path={job.tmp}/csign-run\.\w+/sidecar.sock", shown[0])
    assert shown[1].startswith(f"{job.tmp}/csign-run.") and shown[2:4] == ["700", "[]"]
    status = json.loads(shown[4])
    assert status["account"] == job.account and status["address"] == shown[0]
    assert not job.left()


def test_from_a_file(job):
    env = {"CSIGN_CREDENTIAL_FILE": "/nonexistent"}
    assert job.run("true", options=("--credential", "ci.key"), env=env).returncode == 0


def test_from_a_descriptor(job):
    """The key is in no file, and the command has no descriptor of it."""
    key = job.key.read_text()
    job.key.unlink()
    secret = key.split("\n")[1]
    read_fd, write_fd = os.pipe()
    os.write(write_fd, key.encode())
    os.close(write_fd)
    done = job.run("sh", "-c", f'ls -l /proc/self/fd; grep -r "{secret[:20]}" "$TMPDIR"; csign status --json > status; '
                   "$WITH openssl pkeyutl -sign -rawin -in app -inkey csign://acme/mobile/release -out app.sig",
                   options=("--credential-fd", str(read_fd)), pass_fds=[read_fd])
    os.close(read_fd)
    assert b"pipe:" not in done.stdout.split(b" 3 ->")[-1].split(b"\n")[0] and secret.encode() not in done.stdout
    status = json.loads((job.folder / "status").read_text())
    assert status["account"] == job.account and status["credential"] == ""


def test_exit_status_and_signals(job):
    assert job.run("sh", "-c", "exit 42", check=False).returncode == 42
    assert job.run("/nonexistent", check=False).returncode == 127
    assert job.run("sh", "-c", "kill -KILL $$", check=False).returncode == 128 + 9
    run = job.start("sh", "-c", "trap 'echo got it; exit 7' TERM; echo up; while :; do sleep 0.1; done")
    assert run.stdout.readline() == b"up\n"
    run.send_signal(signal.SIGTERM)
    assert run.stdout.read() == b"got it\n" and run.wait(30) == 7
    assert not job.left()


@pytest.mark.parametrize("victim", ["csign", "sidecar", "guard"])
def test_nothing_is_left_when_one_is_killed(job, victim):
    run = job.start("sh", "-c", "echo up; cat", stdin=subprocess.PIPE)
    try:
        assert run.stdout.readline() == b"up\n"
        sidecar = sidecar_of(job)
        guard = int(pathlib.Path(f"/proc/{sidecar}/stat").read_text().rsplit(")", 1)[1].split()[1])
        assert guard != run.pid and folder_of(job).stat().st_mode & 0o777 == 0o700
        os.kill({"csign": run.pid, "sidecar": sidecar, "guard": guard}[victim], signal.SIGKILL)
        wait_until("the sidecar is gone", lambda: not os.path.exists(f"/proc/{sidecar}/exe"))
    finally:
        run.stdin.close()
        run.wait(30)
        run.stdout.close()
    job.leaves_nothing()


def test_what_cannot_work_is_said_before_the_command_runs(job, tmp_path):
    other = tmp_path / "other.key"
    job.stack.plain_openssl("genpkey", "-algorithm", "ED25519", "-out", other)
    other.chmod(0o600)
    empty = {"CSIGN_CREDENTIAL_FILE": ""}
    for status, word, options, env in (
            (2, "--credential", (), empty),
            (2, "CSIGN_CLIENT_ID", (), {"CSIGN_CLIENT_ID": ""}),
            (2, "CSIGN_SERVICE", (), {"CSIGN_SERVICE": ""}),
            (2, "no account's id", ("--client-id", "me"), {}),
            (2, "no open descriptor", ("--credential-fd", "77"), {}),
            (2, "cannot go together", ("--credential-fd", "0", "--credential", "x"), {}),
            (2, "--bus", ("--bus", "user"), {}),
            (7, "no private key", ("--credential-fd", "0"), {}),
            (7, "", ("--credential", other), {}),
            (3, "", ("--service", "https://localhost:1"), {}),
            (3, "cannot run csign-sidecar", (), {"PATH": "/nonexistent"})):
        done = job.run("/bin/echo", "ran", options=options, env=env, check=False, input=b"nonsense")
        assert (done.returncode, done.stdout) == (status, b""), (word, done)
        assert word.encode() in done.stderr
        assert not job.left(), word
    without = job.stack.csign("run", "--credential", other, "--", "true", check=False)
    assert without.returncode == 2 and b"--ephemeral" in without.stderr
    job.key.chmod(0o644)
    done = job.run("/bin/echo", "ran", check=False)
    assert done.returncode == 7 and b"0644" in done.stderr and not done.stdout


def test_a_bare_sidecar_needs_only_its_socket(stack, tmp_path):
    """No bus, no systemd, no HOME: in a container there may be nothing."""
    daemon = Daemon("bare-sidecar", [stack.program("csign-sidecar"), "--socket", tmp_path / "s"], tmp_path,
                    {k: v for k, v in base_env().items() if k.endswith("_OPTIONS")})
    daemon.start()
    try:
        with Peer(tmp_path / "s") as peer:
            [status] = peer.call("Status", "")
        assert "/etc/csign" in dict(status)["last-error"] or dict(status)["client-id"]
    finally:
        daemon.stop()
        daemon.check_sanitizers()


# ---- the recipes ----

@pytest.fixture
def project(job):
    (job.folder / "Makefile").write_text(MAKEFILE)
    for name in ("CSIGN_CREDENTIAL_FILE", "CSIGN_CA"):
        del job.env[name]
    yield job
    pem = job.stack.public_key(RELEASE, job.folder)
    job.stack.plain_openssl("pkeyutl", "-verify", "-rawin", "-in", job.folder / "app", "-pubin", "-inkey", pem,
                            "-sigfile", job.folder / "app.sig")
    assert json.loads((job.folder / "status.json").read_text())["account"] == job.account


def shell(project, script, env):
    return project.stack.run([tool("bash"), "-e", "-o", "pipefail", "-c", script], env=project.env | env,
                             cwd=project.folder)


def test_github_actions(project):
    recipe = yaml.safe_load((ROOT / "examples/ci/github-actions.yml").read_text())
    [sign] = [s for s in recipe["jobs"]["release"]["steps"] if s.get("name") == "sign"]
    values = {"vars.CSIGN_SERVICE": project.env["CSIGN_SERVICE"], "vars.CSIGN_CLIENT_ID": project.env["CSIGN_CLIENT_ID"],
              "vars.CSIGN_CA_PEM": project.stack.ca.read_text(), "secrets.CSIGN_KEY": project.key.read_text()}
    shell(project, sign["run"], {k: values[v.strip("${} ")] for k, v in sign["env"].items()})


def test_gitlab_ci(project):
    recipe = yaml.safe_load((ROOT / "examples/ci/gitlab-ci.yml").read_text())
    project.key.chmod(0o666)  # as GitLab's runner writes it
    shell(project, "\n".join(recipe["release"]["script"]), {"CSIGN_CA": str(project.stack.ca),
                                                            "CSIGN_KEY_FILE": str(project.key)})


def test_dockerfile(project):
    recipe = (ROOT / "examples/ci/Dockerfile").read_text().replace("\\\n", "")
    entry = json.loads(re.search(r"^ENTRYPOINT (.*)$", recipe, re.M)[1])
    assert shutil.which("sh") and json.loads(re.search(r"^CMD (.*)$", recipe, re.M)[1]) == ["csign", "keys"]
    names = dict(pair.split("=") for pair in re.search(r"^ENV (.*)$", recipe, re.M)[1].split())
    assert set(names) == {"CSIGN_CA", "CSIGN_CREDENTIAL_FILE"}
    project.stack.run([project.stack.program("csign"), *entry[1:], "make", "release"], cwd=project.folder,
                      env=project.env | {"CSIGN_CA": str(project.stack.ca), "CSIGN_CREDENTIAL_FILE": str(project.key)})
