# SPDX-License-Identifier: Apache-2.0
"""csign user, team, project, role and access, as a person types them."""

import json

from test_people import fresh


def test_people_are_administered_from_the_shell(stack, tmp_path):
    def run(*argv, status=0):
        done = stack.csign(*argv, check=False)
        assert done.returncode == status, done.stderr.decode()
        return done.stdout.decode()

    alice, crew, app, role = (f"acme/{fresh(n)}" for n in ("alice", "crew", "app", "clerk"))
    key = stack.add_key(f"acme/mobile/{fresh('k')}", certificate="none")["path"]
    account = stack.api("GET", "/v1/accounts", status=200)["accounts"][0]["path"]

    assert alice in run("user", "create", alice)
    assert alice in run("user", "list")
    secret = tmp_path / "alice.key"
    assert str(secret) in run("user", "api-key-create", alice, "laptop", "--key-out", secret, "--purpose", "sign")
    assert secret.read_text().startswith("csk_") and secret.stat().st_mode & 0o777 == 0o600
    shown = json.loads(run("user", "show", alice, "--json"))
    (mine,) = shown["api_keys"]
    assert mine["name"] == "laptop" and mine["purpose"] == "sign"
    # A file that cannot be written leaves no API key behind that nobody has.
    run("user", "api-key-create", alice, "lost", "--key-out", secret, status=6)
    assert len(json.loads(run("user", "show", alice, "--json"))["api_keys"]) == 1

    run("team", "create", crew, "--description", "the crew")
    run("team", "add", crew, alice)
    run("team", "own", crew, account)
    assert alice in run("team", "show", crew)
    run("project", "create", app)
    run("project", "add", app, crew)
    run("project", "take", app, key)
    assert crew in run("project", "show", app)

    rows = {r["principal"]["path"]: r for r in json.loads(run("access", key, "--json"))}
    assert rows[alice]["sign"] == {"allowed": True, "rule": "project", "detail": None}
    assert "separation-of-duties" in run("access", key) or "project" in run("access", key)
    assert key in run("access", "--principal", alice)

    run("role", "create", role, "keys:view", "certificates:write")
    assert role in run("role", "list")
    run("role", "change", role, "keys:view", "projects:write")
    (changed,) = [r for r in json.loads(run("role", "list", "--json")) if r["path"] == role]
    assert changed["pages"]["projects"] == "write" and changed["pages"]["certificates"] == "none"
    run("role", "grant", role, alice, "acme/mobile")
    (binding,) = json.loads(run("role", "bindings", "--principal", alice, "--json"))
    rows = {r["principal"]["path"]: r for r in json.loads(run("access", key, "--json"))}
    assert rows[alice]["sign"]["rule"] == "separation-of-duties" and rows[alice]["administer"] == "view"
    assert "inherited" in run("tsg", "settings", "acme/mobile")
    run("tsg", "settings", "acme/mobile", "--separation-of-duties", "maybe", status=2)
    assert "off" in run("tsg", "settings", "acme/mobile", "--separation-of-duties", "off")
    rows = {r["principal"]["path"]: r for r in json.loads(run("access", key, "--json"))}
    assert rows[alice]["sign"]["allowed"]
    settings = json.loads(run("tsg", "settings", "acme/mobile", "--separation-of-duties", "inherit", "--json"))
    assert settings["separation_of_duties"] is None and settings["effective"] == {"separation_of_duties": True}
    run("role", "revoke", binding["id"])
    run("role", "delete", role, "--yes")

    run("project", "release", key)
    run("project", "remove", app, crew)
    run("project", "delete", app, "--yes")
    run("team", "disown", crew, account)
    run("team", "remove", crew, alice)
    run("team", "delete", crew, "--yes")
    run("user", "disable", alice)
    assert "disabled" in run("user", "list")
    run("user", "enable", alice)
    run("user", "api-key-revoke", alice, mine["id"])
    run("user", "delete", alice, "--yes")
    assert alice not in run("user", "list")
