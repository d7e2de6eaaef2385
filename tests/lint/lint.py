#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a compiler does not see: the house's own rules, each a function below.

    tests/lint/lint.py CHECK... [--build DIR] [--fix]        "all" for all of them

Prints one line a fault, as file:line: what; exit status 1 if there is any.  --fix mends what a program can mend
(format, errors)."""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ("lib", "provider", "pkcs11", "sidecar", "service", "cli")
PACKAGES = {"clang-format": "clang-format", "mandoc": "mandoc", "pmccabe": "pmccabe", "nm": "binutils",
            "readelf": "binutils"}

faults = []


def fault(where, what):
    if isinstance(where, pathlib.Path):
        where = where.relative_to(ROOT)
    faults.append(f"{where}: {what}")


def files(*patterns):
    """The project's own files that match, build folders and caches left out."""
    found = set()
    for pattern in patterns:
        for path in ROOT.glob(pattern):
            parts = path.relative_to(ROOT).parts
            if path.is_file() and not any(p.startswith(("build", ".git", "__pycache__", ".pytest")) for p in parts[:-1]):
                found.add(path)
    return sorted(found)


def c_files():
    return files(*(f"{part}/**/*.[ch]" for part in (*PARTS, "tests", "examples")))


def run(*argv):
    if not shutil.which(argv[0]):
        sys.exit(f"lint: {argv[0]} is not installed: apt-get install {PACKAGES.get(argv[0], argv[0])}")
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)


def read(name):
    path = ROOT / name
    if path.exists():
        return path.read_text()
    fault(name, "is not there")
    return ""


# ---- who may include whom ----

CLIENT = ("lib/sidecar-bus.h", "lib/sidecar-client.h")
HTTP = ("lib/http.h", "lib/credential.h", "lib/token-request.h")

# What the folders inside service/ share: small things that know no other.
SERVICE_BASE = tuple(f"service/{name}.h" for name in ("clock", "digest", "metrics", "principal", "tsg"))

# What a folder may include besides its own headers and lib's base.
MAY_INCLUDE = {
    "lib": (),
    "provider": CLIENT,
    "pkcs11": CLIENT,
    "cli": CLIENT + HTTP,
    "sidecar": CLIENT + HTTP,
    "service": ("service/",),
    "service/keystore": (),
    "service/db": (),
    "service/ca": (*SERVICE_BASE, "service/db/", "service/keystore/keystore.h"),
    "service/audit": (*SERVICE_BASE, "service/db/"),
}

# Headers of libraries that only some files may know.
OUTSIDE = {
    r"curl/": r"lib/http\.c",
    r"sqlite3\.h": r"sidecar/state\.c|service/db/.*",
    r"systemd/sd-": r"lib/(sidecar|libsystemd).*|sidecar/.*",
    r"event2?[/.]": r"service/[^/]*",
    r"openssl/ssl\.h": r"lib/(http|ossl).*|service/[^/]*",
}


def include_is_allowed(path, included):
    folder = path.parent.as_posix()
    if "-impl.h" in included:
        return included.rsplit("/", 1)[0] == folder
    if included.startswith(folder + "/") and "/" not in included[len(folder) + 1:]:
        if folder != "lib":
            return True
        # inside lib: client and http stand on base, never the other way, and not on each other
        if included in CLIENT:
            return path.stem.startswith("sidecar-")
        return included not in HTTP or f"lib/{path.stem}.h" in HTTP
    if included.startswith("lib/") and included not in CLIENT + HTTP:
        return True
    return included.startswith(MAY_INCLUDE.get(folder, ()))


def check_includes():
    for path in c_files():
        relative = path.relative_to(ROOT)
        if relative.parts[0] in ("tests", "examples"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{relative}:{number}"
            own = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if own and not (ROOT / own[1]).exists():
                fault(where, f'"{own[1]}" is not a path from the project\'s root')
            elif own and not include_is_allowed(relative, own[1]):
                fault(where, f"{relative.parent} may not include {own[1]}")
            outside = re.match(r"\s*#\s*include\s+<([^>]+)>", line)
            for header, who in OUTSIDE.items():
                if outside and re.match(header, outside[1]) and not re.fullmatch(who, relative.as_posix()):
                    fault(where, f"<{outside[1]}> is not for {relative.parent}")


# ---- how a file looks ----

def check_format(fix=False):
    paths = c_files()
    if fix:
        run("clang-format", "-i", *paths)
        return
    done = run("clang-format", "--dry-run", "-Werror", *paths)
    for line in done.stderr.splitlines():
        found = re.match(r"(.*?:\d+):\d+: error: code should be clang-formatted", line)
        if found:
            fault(found[1].removeprefix(f"{ROOT}/"), "not formatted: meson compile -C build format")
    if done.returncode and not faults:
        fault("clang-format", done.stderr)


def check_comments():
    """Comments are /* */, and each file says its licence first."""
    for path in c_files():
        text = path.read_text()
        if not text.startswith("/* SPDX-License-Identifier: Apache-2.0 */\n"):
            fault(f"{path.relative_to(ROOT)}:1", "the first line is not the SPDX line")
        bare = re.sub(r'"(\\.|[^"\\\n])*"|\'(\\.|[^\'\\\n])+\'|/\*.*?\*/', lambda m: "\n" * m[0].count("\n"), text,
                      flags=re.DOTALL)
        for number, line in enumerate(bare.splitlines(), 1):
            if "//" in line:
                fault(f"{path.relative_to(ROOT)}:{number}", "a // comment")
    scripts = [*files("**/*.py", "**/meson.build", "meson_options.txt", "scripts/*", "examples/*"),
               *(ROOT / p for p in ("tests/run", ".ci/run"))]
    for path in scripts:
        if path.suffix == ".md":
            continue
        head = path.read_text().splitlines()[:3] if path.exists() else [""]
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
            fault(f"{path.relative_to(ROOT)}:1", "no SPDX line among the first three")


FUNCTION_LINES, COMPLEXITY, MAIN_LINES = 80, 20, 60
FILE_LINES = {".c": 800, ".h": 200}
TABLES = ("service/db/queries.h",)  # one line a row, to be looked up in


def check_sizes():
    """Limits past which code wants another shape."""
    paths = c_files()
    for path in paths:
        lines = path.read_text().count("\n")
        if lines > FILE_LINES[path.suffix] and path.relative_to(ROOT).as_posix() not in TABLES:
            fault(path, f"{lines} lines, at most {FILE_LINES[path.suffix]}")
    done = run("pmccabe", *(p for p in paths if p.suffix == ".c"))
    for line in done.stdout.splitlines():
        complexity, _, _, _, length, where = line.split(maxsplit=5)
        place, name = re.match(rf"{ROOT}/(.*?)\((\d+)\): (\S+)", where).group(1, 3)
        limit = MAIN_LINES if name == "main" else FUNCTION_LINES
        if int(length) > limit:
            fault(place, f"{name}() has {length} lines, at most {limit}")
        if int(complexity) > COMPLEXITY:
            fault(place, f"{name}() has complexity {complexity}, at most {COMPLEXITY}")


# A name of somebody's machine, or of a host that packages come from: the project builds anywhere, from the
# distribution that it finds.
FORBIDDEN = re.compile(r"(?<![\w/.${}<>-])/(home|root|mnt|media|srv|work|workspace|builds|Users)/"
                       r"|\b(pypi\.org|pythonhosted\.org|npmjs\.org|golang\.org/x|proxy\.golang\.org|crates\.io"
                       r"|deb\.debian\.org|security\.debian\.org|maven\.org)\b")


def check_words():
    for path in files("**/*", ".ci/*", ".clang-format", ".gitignore"):
        if "corpus" in path.parts or path.stat().st_size > 1 << 20:
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            found = FORBIDDEN.search(line)
            if found:
                fault(f"{path.relative_to(ROOT)}:{number}", f"'{found[0]}' belongs to one machine or one mirror")


# ---- documents against code ----

def error_rows():
    """(wire name, HTTP status, exit status, meaning, advice) of lib/error-list.h."""
    row = r'X\(\w+,\s*"(\w+)",\s*(\d+),\s*(\d+),\s*"([^"]+)",\s*\\?\s*"([^"]+)"\)'
    rows = re.findall(row, read("lib/error-list.h"))
    if len(rows) < 20:
        fault("lib/error-list.h", f"only {len(rows)} rows can be read")
    return rows


def check_errors(fix=False):
    """docs/errors.md has the table's rows in the table's order."""
    expect = [f"| `{name}` | {http} | {status} | {meaning} | {advice} |"
              for name, http, status, meaning, advice in error_rows()]
    path = ROOT / "docs/errors.md"
    lines = read("docs/errors.md").splitlines()
    have = [line for line in lines if line.startswith("| `")]
    if fix and have != expect and path.exists():
        at = next((i for i, line in enumerate(lines) if line.startswith("| `")), len(lines))
        rest = [line for line in lines if not line.startswith("| `")]
        path.write_text("\n".join(rest[:at] + expect + rest[at:]) + "\n")
        return
    for line in expect:
        if line not in have:
            fault("docs/errors.md", f"this row is missing (lint.py errors --fix): {line}")
    for line in have:
        if line not in expect:
            fault("docs/errors.md", f"this row is not in lib/error-list.h: {line}")
    if sorted(have) == sorted(expect) and have != expect:
        fault("docs/errors.md", "the rows are in another order than in lib/error-list.h")


def check_architecture():
    """Each function that the walk names is defined in the file that it names."""
    text = read("docs/architecture.md")
    stops = re.findall(r"`([\w./-]+\.[ch])`\s+`(\w+)\(\)`", text) + re.findall(r"`([\w./-]+\.[ch]) (\w+)\(\)`", text)
    if len(stops) < 8:
        fault("docs/architecture.md", f"the walk names only {len(stops)} functions as `file.c` `function()`")
    for name, function in stops:
        path = ROOT / name
        if not path.exists():
            fault("docs/architecture.md", f"{name} is not there")
        elif not re.search(rf"^[\w].*\b{function}\(", path.read_text(), re.MULTILINE):
            fault("docs/architecture.md", f"{name} defines no {function}()")
    if len(text.splitlines()) > 200:
        fault("docs/architecture.md", "more than 200 lines")


def check_man():
    for name in ("csign.1", "csign-sidecar.8", "csign-service.8", "csign-keystore.8"):
        read(f"docs/man/{name}")
    for path in files("docs/man/*.[1-8]"):
        done = run("mandoc", "-Tlint", "-Wwarning", path)
        for line in done.stdout.splitlines():
            fault(path, line.split(": ", 1)[-1])


def method_text(method):
    def arguments(direction):
        return ", ".join(f"{a.get('type')} {a.get('name')}" for a in method.findall("arg")
                         if a.get("direction", "in") == direction)
    return f"{method.get('name')}({arguments('in')}) -> ({arguments('out')})"


def check_dbus():
    """docs/dbus.md has each method as `Name(s in) -> (s out)`, and no other."""
    xml_text = read("sidecar/org.csign.Sidecar1.xml")
    document = re.sub(r"\s+", " ", read("docs/dbus.md").replace("→", "->"))
    if not xml_text:
        return
    interface = xml.etree.ElementTree.fromstring(xml_text).find("interface[@name='org.csign.Sidecar1']")
    if interface is None:
        fault("sidecar/org.csign.Sidecar1.xml", "has no interface org.csign.Sidecar1")
        return
    methods = {method_text(m) for m in interface.findall("method")}
    for method in methods:
        if method not in document:
            fault("docs/dbus.md", f"this method is not there: {method}")
    for found in re.findall(r"\b[A-Z]\w+\([^()]*\) -> \([^()]*\)", document):
        if found not in methods:
            fault("docs/dbus.md", f"this method is not in the XML: {found}")
    for prop in interface.findall("property"):
        if not re.search(rf"\b{prop.get('name')}\b", document):
            fault("docs/dbus.md", f"the property {prop.get('name')} is not there")


def check_openapi():
    """docs/openapi.yaml has the routes of the service's table, and no other."""
    import yaml  # of the package python3-yaml

    text = read("docs/openapi.yaml")
    table = "\n".join(p.read_text() for p in files("service/*.c"))
    document = yaml.safe_load(text) or {}
    have = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, item in document.get("paths", {}).items()
            for method in item if method in ("get", "put", "post", "patch", "delete")}
    routes = {(method, re.sub(r"\{\w+\}|\*|%s", "{}", path)) for method, path in
              re.findall(r'\{\s*(?:EVHTTP_REQ_|HTTP_|METHOD_)?"?(GET|PUT|POST|PATCH|DELETE)"?,\s*"(/[^"]*)"', table)}
    if not routes:
        fault("service/", "no route table can be read")
    for method, path in sorted(routes - have):
        fault("docs/openapi.yaml", f"the service has {method} {path}, the document has not")
    for method, path in sorted(have - routes):
        fault("docs/openapi.yaml", f"the document has {method} {path}, the service has not")


# ---- what was built ----

def check_exports(build):
    """csign.so is a guest: one symbol, and no library that its hosts would feel."""
    module = build / "provider/csign.so"
    if not module.exists():
        fault(str(module), "is not there: build first")
        return
    symbols = [line.split()[-1] for line in run("nm", "-D", "--defined-only", module).stdout.splitlines()]
    if symbols != ["OSSL_provider_init"]:
        fault("csign.so", f"exports {' '.join(symbols)}; only OSSL_provider_init may be")
    needed = re.findall(r"\(NEEDED\).*\[(.*?)\]", run("readelf", "-d", module).stdout)
    for library in needed:
        if re.match(r"lib(curl|jansson|ssl|sqlite3|event)", library):
            fault("csign.so", f"needs {library}")


CHECKS = {
    "architecture": check_architecture, "comments": check_comments, "dbus": check_dbus, "errors": check_errors,
    "exports": check_exports, "format": check_format, "includes": check_includes, "man": check_man,
    "openapi": check_openapi, "sizes": check_sizes, "words": check_words,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="+", choices=[*CHECKS, "all"], metavar="CHECK", help=" ".join(CHECKS))
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--fix", action="store_true")
    args = parser.parse_args()
    for name in CHECKS if "all" in args.checks else args.checks:
        check = CHECKS[name]
        if name == "exports":
            check(args.build)
        elif name in ("format", "errors"):
            check(fix=args.fix)
        else:
            check()
    print("\n".join(faults) or "lint: no fault")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
