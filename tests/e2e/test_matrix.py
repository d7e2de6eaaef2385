# SPDX-License-Identifier: Apache-2.0
"""Every route of docs/openapi.yaml, called by everybody, held against permission_model.py.

A route needs a row here: what it asks (the model's words), and how it is called on an object of TSG "m/mid".  Rows
do no harm: a change carries an If-Match that no row has, so that who is allowed gets 412; what is made gets a name
of its own; and a body that is refused (400) is refused after the caller was let through, or is given where it is
not."""

import sqlite3
import uuid

import pytest
import yaml
from account import Account
from permission_model import Caller, expect
from stack import ROOT, Stack
from test_people import ask

TREE = ("m", "m/mid", "m/mid/low", "m/side", "x")
HERE = "m/mid"
LIMITS = {"failures-per-minute": 100000}
OLD = {"If-Match": '"999999999"'}


def new(path="{fresh}", **more):
    return {"path": f"{HERE}/{path}"} | more


# (method, path): (right, body).  Names in braces are the objects of make_objects().
ROWS = {
    ("GET", "/healthz"): ("", None),
    ("GET", "/readyz"): ("", None),
    ("GET", "/metrics"): ("", None),
    ("GET", "/v1/openapi.yaml"): ("", None),
    ("GET", "/.well-known/oauth-authorization-server"): ("", None),
    ("POST", "/v1/oauth/token"): ("", {}),
    ("POST", "/v1/enrollments"): ("", {}),
    ("GET", "/v1/authorities/{authority}/crl"): ("", None),
    ("GET", "/v1/authorities/{authority}/certificate"): ("", None),

    ("GET", "/v1/whoami"): ("self", None),
    ("GET", "/v1/whoami/keys"): ("own", None),
    ("POST", "/v1/whoami/keys"): ("own", {"public_key": "x"}),
    ("PATCH", "/v1/whoami/keys/{account_key}"): ("own", {"validity_days": 1}),
    ("GET", "/v1/authorities"): ("self", None),
    ("POST", "/v1/signatures"): ("self", {"items": []}),
    ("GET", "/v1/principals/{user}/access"): ("people:view", None),

    ("GET", "/v1/keys"): ("self", None),
    ("GET", "/v1/keys/resolve?path={key_path}"): ("see", None),
    ("GET", "/v1/keys/{key}"): ("see", None),
    ("GET", "/v1/keys/{key}/versions"): ("see", None),
    ("POST", "/v1/keys/{key}/signatures"): ("sign", "digest"),
    ("POST", "/v1/keys/{key}/messages"): ("sign", "message"),
    ("GET", "/v1/keys/{key}/access"): ("keys:view", None),
    ("GET", "/v1/usage"): ("somewhere keys:view", None),
    ("POST", "/v1/keys"): ("keys:write", new(algorithm="P-256", certificate="none")),
    ("PATCH", "/v1/keys/{key}"): ("keys:write", {"description": "x"}),
    ("POST", "/v1/keys/{key}/versions"): ("keys:write", {}),
    ("PATCH", "/v1/keys/{key}/versions/1"): ("keys:write", {"state": "enabled"}),
    ("POST", "/v1/keys/{key}/destruction"): ("keys:write", {}),
    ("DELETE", "/v1/keys/{key}/destruction"): ("keys:write", None),

    ("GET", "/v1/certificates"): ("somewhere certificates:view", None),
    ("GET", "/v1/certificates/{certificate}"): ("certificates:view", None),
    ("POST", "/v1/certificates/{certificate}/revocation"): ("certificates:write", {"reason": "superseded"}),
    ("GET", "/v1/keys/{key}/versions/1/csr"): ("certificates:write", None),
    ("POST", "/v1/keys/{key}/versions/1/csr"): ("certificates:write", {}),
    ("POST", "/v1/keys/{key}/versions/1/certificates"): ("certificates:write", {"certificate": "builtin"}),
    ("POST", "/v1/authorities"): ("root certificates:write", {"tsg": "m"}),
    ("PATCH", "/v1/authorities/{authority}"): ("root certificates:write", {"organization": "x"}),

    ("GET", "/v1/tsgs"): ("somewhere tsgs:view", None),
    ("GET", "/v1/tsgs/resolve?path=" + HERE): ("tsgs:view", None),
    ("GET", "/v1/tsgs/{tsg}"): ("tsgs:view", None),
    ("POST", "/v1/tsgs"): ("tsgs:write", new()),
    ("PATCH", "/v1/tsgs/{tsg}"): ("above tsgs:write", {"name": "x"}),
    ("DELETE", "/v1/tsgs/{tsg}"): ("above tsgs:write", None),
    ("GET", "/v1/tsgs/{tsg}/settings"): ("settings:view", None),
    ("PATCH", "/v1/tsgs/{tsg}/settings"): ("settings:write", {"separation_of_duties": None}),

    ("GET", "/v1/accounts"): ("somewhere accounts:view", None),
    ("GET", "/v1/accounts/{account}"): ("accounts:view", None),
    ("POST", "/v1/accounts"): ("accounts:write", new(generate="P-256")),
    ("PATCH", "/v1/accounts/{account}"): ("accounts:write", {"state": "enabled"}),
    ("DELETE", "/v1/accounts/{account}"): ("accounts:write", None),
    ("POST", "/v1/accounts/{account}/keys"): ("accounts:write", {"public_key": "x"}),
    ("DELETE", "/v1/accounts/{account}/keys/{account_key}"): ("accounts:write", None),
    ("GET", "/v1/accounts/{account}/enrollments"): ("accounts:view", None),
    ("POST", "/v1/accounts/{account}/enrollments"): ("accounts:write", {}),
    ("DELETE", "/v1/accounts/{account}/enrollments/{enrollment}"): ("accounts:write", None),

    ("GET", "/v1/users"): ("somewhere people:view", None),
    ("GET", "/v1/users/{user}"): ("people:view", None),
    ("POST", "/v1/users"): ("people:write", new()),
    ("PATCH", "/v1/users/{user}"): ("people:write", {"state": "enabled"}),
    ("DELETE", "/v1/users/{user}"): ("people:write", None),
    ("GET", "/v1/users/{user}/api-keys"): ("people:view", None),
    ("POST", "/v1/users/{user}/api-keys"): ("people:write", {"name": "{fresh}"}),
    ("DELETE", "/v1/users/{user}/api-keys/{api_key}"): ("people:write", None),

    ("GET", "/v1/roles"): ("somewhere people:view", None),
    ("GET", "/v1/roles/{role}"): ("role", None),
    ("POST", "/v1/roles"): ("people:write", new(pages={})),
    ("PATCH", "/v1/roles/{role}"): ("people:write", {"pages": {}}),
    ("DELETE", "/v1/roles/{role}"): ("people:write", None),
    ("GET", "/v1/bindings"): ("somewhere people:view", None),
    ("GET", "/v1/bindings/{binding}"): ("people:view", None),
    ("POST", "/v1/bindings"): ("people:write", {"role": "viewer", "principal": "{user}", "tsg": HERE}),
    ("DELETE", "/v1/bindings/{binding}"): ("people:write", None),

    ("GET", "/v1/audit/records"): ("somewhere audit:view", None),
    ("GET", "/v1/audit/head"): ("somewhere audit:view", None),
}
for plural, page, part in (("teams", "people", "members"), ("projects", "projects", "signers")):
    one = "{" + plural[:-1] + "}"
    ROWS |= {
        ("GET", f"/v1/{plural}"): (f"somewhere {page}:view", None),
        ("GET", f"/v1/{plural}/{one}"): (f"{page}:view", None),
        ("POST", f"/v1/{plural}"): (f"{page}:write", new()),
        ("PATCH", f"/v1/{plural}/{one}"): (f"{page}:write", {"description": "x"}),
        ("DELETE", f"/v1/{plural}/{one}"): (f"{page}:write", None),
        ("GET", f"/v1/{plural}/{one}/{part}"): (f"{page}:view", None),
        ("POST", f"/v1/{plural}/{one}/{part}"): (f"{page}:write", {"principal": "{user}"}),
        ("DELETE", f"/v1/{plural}/{one}/{part}/{{user}}"): (f"{page}:write", None),
    }
ROWS |= {
    ("GET", "/v1/teams/{team}/accounts"): ("people:view", None),
    ("POST", "/v1/teams/{team}/accounts"): ("accounts:write in people:view", {"account": "{account}"}),
    ("DELETE", "/v1/teams/{team}/accounts/{account}"): ("accounts:write in people:view", None),
}
ROWS |= {
    ("GET", "/v1/keks"): ("top settings:view", None),
    ("POST", "/v1/keks/reseal"): ("top settings:write", {}),
}

CALLERS = {
    "same": Caller(HERE, (("owner", HERE),)),
    "parent": Caller("m", (("owner", "m"),)),
    "child": Caller("m/mid/low", (("owner", "m/mid/low"),)),
    "sibling": Caller("m/side", (("owner", "m/side"),)),
    "stranger": Caller("x", (("owner", "x"),)),
    "above, elsewhere": Caller("m", (("owner", "m/side"),)),
    "viewer": Caller(HERE, (("viewer", HERE),)),
    "no role": Caller(HERE),
    "disabled": Caller(HERE, (("owner", HERE),), authentic=False),
    "expired": Caller(HERE, (("owner", HERE),), authentic=False),
    "stolen token": Caller(HERE, (("owner", HERE),), authentic=False),
}


def shape(path):
    """Of a row or of the document: with {} for each parameter."""
    out = []
    for word in path.split("?")[0].split("/"):
        out.append("{}" if word.startswith("{") or word == "1" else word)
    return "/".join(out)


def documented():
    """{(method, shape): whether it takes If-Match}"""
    document = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())
    return {(method.upper(), shape(path)): "parameters/IfMatch" in str(operation.get("parameters"))
            for path, item in document["paths"].items() for method, operation in item.items()
            if method in ("get", "put", "post", "patch", "delete")}


TAKES_IF_MATCH = documented()


def test_every_route_has_a_row():
    rows = {(method, shape(path)) for method, path in ROWS}
    missing = sorted(documented().keys() - rows)
    assert not missing, (f"add to ROWS in {__file__}, for each of these, (method, path): (right, body), where right is "
                         f"what permission_model.expect() takes: {missing}")
    assert not sorted(rows - documented().keys()), "ROWS has routes that the document has not"


# ---- the world ----

class Someone:
    """A user, or an account whose token another TLS client has."""

    def __init__(self, service, name, caller, folder):
        self.service, self.stolen = service, name == "stolen token"
        path = f"{caller.home}/{uuid.uuid4().hex[:10]}"
        if self.stolen:
            self.account = Account(service, path, folder).login()
            self.id, self.bearer = self.account.id, self.account.bearer
        else:
            self.id = service.api("POST", "/v1/users", {"path": path}, status=201)["id"]
            made = service.api("POST", f"/v1/users/{self.id}/api-keys", {"name": "k", "validity_days": 1}, status=201)
            self.bearer = made["api_key"]
        for role, tsg in caller.roles:
            service.api("POST", "/v1/bindings", {"role": role, "principal": self.id, "tsg": tsg}, status=201)
        if name == "disabled":
            service.api("PATCH", f"/v1/users/{self.id}", {"state": "disabled"}, status=200)
        if name == "expired":
            with sqlite3.connect(service.state / "csign.db", timeout=30) as db:
                db.execute("UPDATE api_keys SET expires = 1 WHERE id = ?", (made["id"],))

    def call(self, method, path, body, headers):
        return self.service.api(method, path, body, bearer=self.bearer, headers=headers)


def make_objects(api, ids):
    key = api("POST", "/v1/keys", new("key", algorithm="P-256"), status=201)
    certificates = api("GET", f"/v1/certificates?key={key['id']}", status=200)["certificates"]
    account = api("POST", "/v1/accounts", new("account", generate="P-256"), status=201)
    user = api("POST", "/v1/users", new("user"), status=201)["id"]
    return {
        "key": key["id"], "key_path": key["path"], "certificate": certificates[0]["id"], "tsg": ids[HERE],
        "authority": api("GET", f"/v1/authorities?tsg={HERE}", status=200)["authorities"][0]["id"],
        "account": account["id"], "account_key": account["keys"][0]["id"], "user": user,
        "enrollment": api("POST", f"/v1/accounts/{account['id']}/enrollments", {}, status=201)["id"],
        "api_key": api("POST", f"/v1/users/{user}/api-keys", {"name": "k"}, status=201)["id"],
        "role": api("POST", "/v1/roles", new("role", pages={}), status=201)["id"],
        "binding": api("POST", "/v1/bindings", {"role": "viewer", "principal": user, "tsg": HERE}, status=201)["id"],
        "team": api("POST", "/v1/teams", new("team"), status=201)["id"],
        "project": api("POST", "/v1/projects", new("project"), status=201)["id"],
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Stack(sidecar=False, keys={}, service_conf=LIMITS) as s:
        for tsg in TREE:
            s.api("POST", "/v1/tsgs", {"path": tsg}, status=201)
        ids = {t["path"]: t["id"] for t in s.api("GET", "/v1/tsgs?limit=200", status=200)["tsgs"]}
        s.objects = make_objects(s.api, ids)
        folder = tmp_path_factory.mktemp("matrix")
        s.callers = {name: Someone(s, name, caller, folder) for name, caller in CALLERS.items()}
        yield s


# ---- what is expected, and what happens ----

def somewhere(caller, right):
    return "allowed" if any(expect(caller, right, tsg) == "allowed" for tsg in TREE) else "denied"


def expected(caller, right):
    """The words of ROWS in those of the model."""
    word, _, rest = right.rpartition(" ")
    if not caller.authentic and right:
        return "unauthenticated"
    if word == "somewhere":
        return somewhere(caller, rest)
    if word in ("above", "root"):  # both are "m"
        return expect(caller, rest, "m")
    if word == "top":
        return expect(caller, rest, "")
    if " in " in right:  # two rights
        answers = {expect(caller, one, HERE) for one in right.split(" in ")}
        return "denied" if "denied" in answers else "allowed"
    if right == "role":  # who could give it sees it, below where it is defined too
        usable = caller.home == HERE or caller.home.startswith(HERE + "/")
        return "allowed" if usable and somewhere(caller, "people:view") == "allowed" else expect(caller, "people:view", HERE)
    return expect(caller, "self" if right == "own" else right, HERE)


def fill(value, objects):
    if isinstance(value, dict):
        return {k: fill(v, objects) for k, v in value.items()}
    return value.format(fresh=uuid.uuid4().hex[:12], **objects) if isinstance(value, str) else value


def happened(status, body):
    if status == 401:
        return "unauthenticated"
    rule = body.get("rule") if isinstance(body, dict) else None
    if status == 403 and rule == "own-keys":
        return "allowed"  # users have none
    return "denied" if status == 403 or (status == 404 and rule == "scope") else "allowed"


def call(world, who, method, path, body):
    headers = OLD if TAKES_IF_MATCH[method, shape(path)] else {}
    path = fill(path, world.objects)
    if body == "message":
        path, headers = path + "?version=1&scheme=ed25519", {"Content-Type": "application/octet-stream"}
        return world.api(method, path, b"the file", bearer=who.bearer, headers=headers, raw=True)
    if body == "digest":
        body = {"version": 1, "scheme": "ecdsa", "hash": "SHA256", "digest": "A" * 43 + "="}
    return who.call(method, path, fill(body, world.objects), headers)


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_everybody_gets_what_the_model_says(world, row):
    right, body = ROWS[row]
    wrong = []
    for name, caller in CALLERS.items():
        status, _, reply = call(world, world.callers[name], *row, body)
        want, got = expected(caller, right), happened(status, reply)
        if want != got or status >= 500 and right:
            wrong.append((name, want, got, status, reply))
    assert not wrong, "\n".join(map(str, wrong))
