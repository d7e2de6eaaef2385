#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints "PASSED FAILED" of a JUnit file.  A skipped test is a failed one: nothing here may be left out in silence."""

import sys
import xml.etree.ElementTree

cases = list(xml.etree.ElementTree.parse(sys.argv[1]).getroot().iter("testcase"))
bad = [c for c in cases if any(c.find(tag) is not None for tag in ("failure", "error", "skipped"))]
print(len(cases) - len(bad), len(bad))
