# SPDX-License-Identifier: Apache-2.0
"""The rules of who may do what, once more and by themselves: what test_matrix.py holds the service against.  It
knows the tree as paths, and nothing of the service's code."""

import dataclasses

PAGES = ("tsgs", "keys", "accounts", "people", "projects", "certificates", "audit", "settings")
LEVELS = ("none", "view", "write")
ROLES = {
    "owner": dict.fromkeys(PAGES, "write"),
    "viewer": dict.fromkeys(PAGES, "view") | {"audit": "none"},
}


@dataclasses.dataclass(frozen=True)
class Caller:
    home: str                # its TSG, which is its scope
    roles: tuple = ()        # (role, TSG)
    authentic: bool = True   # enabled, in time, and with the key that its token is bound to


def below(path, tsg):
    return tsg == "" or path == tsg or path.startswith(tsg + "/")


def access(caller, page, tsg):
    """What its roles give it there: each on its own TSG and below, and no further than its scope."""
    if not below(tsg, caller.home):
        return "none"
    return max((ROLES[role][page] for role, at in caller.roles if below(tsg, at)), key=LEVELS.index, default="none")


def writes(caller, tsg):
    return any(access(caller, page, tsg) == "write" for page in PAGES)


def expect(caller, right, tsg):
    """"unauthenticated", "denied" or "allowed".  right: "" for everybody, "self", "see" and "sign" of a key, or
    "page:level"; tsg: that the object is in."""
    if right == "":
        return "allowed"
    if not caller.authentic:
        return "unauthenticated"
    if right == "self":
        return "allowed"
    if right == "see":
        return "allowed" if below(tsg, caller.home) else "denied"
    if right == "sign":  # separation of duties
        return "allowed" if below(tsg, caller.home) and not writes(caller, tsg) else "denied"
    page, level = right.split(":")
    return "allowed" if LEVELS.index(access(caller, page, tsg)) >= LEVELS.index(level) else "denied"
