# SPDX-License-Identifier: Apache-2.0
"""The same packages on Debian 13, under its newer systemd, dbus and OpenSSL; in short."""

import pytest

from machine import UNITS, wait_restarted
from stack import text

RELEASE = "trixie"


def test_from_nothing_to_a_signature(machine):
    assert "Verified OK" in machine.smoke_said


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_is_hardened_and_comes_back(machine, unit):
    machine.run("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)
    before = machine.restarts(unit)
    machine.run("kill", "-KILL", machine.pid(unit))
    wait_restarted(machine, unit, before)
    machine.sign()


def test_the_bus_serves_members_and_nobody_else(machine):
    machine.run("systemctl", "stop", "csign-sidecar.service")
    denied = machine.busctl("ListKeys", "ssu", "", "", "10", user="outsider", check=False)
    assert denied.returncode != 0 and "Access denied" in text(denied.stderr)
    keys, _ = machine.busctl("ListKeys", "ssu", "", "", "10")
    assert [k["path"]["data"] for k in keys] == ["acme/release"]


def test_purge_keeps_the_users(machine):
    machine.run("dpkg", "--purge", "csign-cli", "csign-doc", "csign-provider", "csign-service", "csign-sidecar")
    assert machine.sh("ls /etc/csign").split() == ["credential.key", "csign-service.conf", "service-ca.pem",
                                                  "sidecar.conf"]
