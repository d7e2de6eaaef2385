# SPDX-License-Identifier: Apache-2.0
"""Makes a small service's database a large one: rows like those that are there, in numbers.

Each is a copy of a real row with another id and another place, so it has every column and its true size.  The keys
among them cannot sign, for a sealed key belongs to one id; the real ones still do.  The audit log's chain goes on
as the service would have written it: `csign audit verify` holds."""

import contextlib
import hashlib
import json
import sqlite3

BRANCHES = 3
ROOTS = 4  # 4 trees of 3 branches: the first 10,000 in order of depth reach depth 8


def ident(kind, i):
    """One that the service takes for its own, in cursors for example."""
    return f"{kind}_crowd" + f"{i:021d}".translate(str.maketrans("0123456789", "abcdefghij"))


class Crowd:
    """with Crowd(path) as c: c.tsgs(10000); c.keys(100000); ...  The service must not run."""

    def __init__(self, database):
        self.db = sqlite3.connect(database, isolation_level=None)

    def __enter__(self):
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("BEGIN")
        self.depth = 0
        self.places = []  # (id, path, ancestors' ids)
        return self

    def __exit__(self, kind, value, traceback):
        self.db.execute("COMMIT" if kind is None else "ROLLBACK")
        if kind is None:
            self.db.execute("ANALYZE")
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.db.close()

    def count(self, table):
        return self.db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]

    def copies(self, table, like, changes):
        """One row of the table again and again, each with other values in some columns."""
        cursor = self.db.execute(f"SELECT * FROM {table} WHERE {like} LIMIT 1")
        names, row = [d[0] for d in cursor.description], cursor.fetchone()
        if row is None:
            raise SystemExit(f"crowd: table {table} has no row like {like}")
        changed = [dict(zip(names, row)) | change for change in changes]
        self.db.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES "
                            f"({', '.join(':' + n for n in names)})", changed)
        return len(changed)

    # ---- the tree ----

    def _place(self, i, top):
        if i < ROOTS:
            return top, f"big{i}", f"big{i}", [top]
        parent, path, above = self.places[(i - ROOTS) // BRANCHES]
        return parent, f"n{i}", f"{path}/n{i}", [*above, parent]

    def tsgs(self, n):
        top = self.db.execute("SELECT id FROM tsgs WHERE parent IS NULL").fetchone()[0]
        rows, closure = [], []
        for i in range(n):
            parent, name, path, above = self._place(i, top)
            tsg = ident("tsg", i)
            self.places.append((tsg, path, above))
            self.depth = max(self.depth, len(above))
            rows.append({"id": tsg, "parent": parent, "name": name, "path": path})
            closure += [(a, tsg, len(above) - d) for d, a in enumerate(above)] + [(tsg, tsg, 0)]
        self.copies("tsgs", "parent IS NOT NULL", rows)
        self.db.executemany("INSERT INTO tsg_closure (ancestor, descendant, depth) VALUES (?, ?, ?)", closure)

    def _spread(self, n, kind):
        """(number, id, TSG's id, name, path)"""
        for i in range(n):
            tsg, path, _ = self.places[i % len(self.places)]
            yield i, ident(kind, i), tsg, f"{kind}{i}", f"{path}/{kind}{i}"

    def keys(self, n, like):
        original = self.db.execute("SELECT id FROM keys WHERE path = ?", (like,)).fetchone()[0]
        rows = list(self._spread(n, "key"))
        self.copies("keys", f"id = '{original}'",
                    ({"id": k, "tsg": t, "name": name, "path": path} for _, k, t, name, path in rows))
        self.copies("key_versions", f"key_id = '{original}' AND version = 1", ({"key_id": r[1]} for r in rows))
        self.copies("use_by_day", f"key_id = '{original}'", ({"key_id": r[1]} for r in rows))
        self.copies("certificates", f"key_id = '{original}'",
                    ({"id": ident("crt", i), "key_id": k, "serial": f"{i:040x}"} for i, k, *_ in rows))

    def accounts(self, n):
        rows = list(self._spread(n, "acc"))
        self.copies("accounts", "1", ({"id": a, "tsg": t, "name": name, "path": path} for _, a, t, name, path in rows))
        self.copies("account_keys", "1", ({"id": ident("ack", i), "account": a,
                                           "thumbprint": hashlib.sha256(a.encode()).digest()} for i, a, *_ in rows))

    # ---- the log ----

    def _records(self, n, entry, number, previous):
        for i in range(number + 1, number + n + 1):
            entry["request_id"] = ident("req", i)
            entry["key"]["id"] = ident("key", i % 100000)
            text = json.dumps(entry, separators=(",", ":"))
            digest = hashlib.sha256(previous + text.encode()).digest()
            yield {"number": i, "previous": previous, "hash": digest, "entry": text,
                   "key_id": entry["key"]["id"], "request_id": entry["request_id"]}
            previous = digest

    def audit(self, n, batch=50000):
        """Records of signatures, after a real one."""
        like = "entry LIKE '%\"kind\":\"sign\"%' AND entry LIKE '%\"result\":\"allowed\"%'"
        found = self.db.execute(f"SELECT entry FROM audit WHERE {like} LIMIT 1").fetchone()
        if found is None:
            raise SystemExit("crowd: the log has no signature to copy")
        while n > 0:
            number, previous = self.db.execute(
                "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
            self.copies("audit", like, self._records(min(n, batch), json.loads(found[0]), number, previous))
            n -= batch


def fill(database, tsgs, keys, accounts, records, like):
    """Returns what is there afterwards."""
    with Crowd(database) as crowd:
        crowd.tsgs(tsgs)
        crowd.keys(keys, like)
        crowd.accounts(accounts)
        crowd.audit(records)
        counts = {t: crowd.count(t) for t in ("tsgs", "keys", "accounts", "audit")}
        return counts | {"depth": crowd.depth}


def take_over(database, uid):
    """The files belong to the service again."""
    import os
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.chown(f"{database}{suffix}", uid, uid)
