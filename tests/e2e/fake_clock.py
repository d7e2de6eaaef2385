# SPDX-License-Identifier: Apache-2.0
"""A service with a clock of its own (libfaketime): Stack(wrap=clock.wrap(stack options)), then clock.advance(days=8)
while it runs.  Its monotonic clocks stay true, so that timeouts are what they are."""

import pathlib
import shutil
import subprocess
import tempfile
import time

from stack import StackError, libasan, sanitizers

LIBRARY = "faketime/libfaketimeMT.so.1"


def library():
    known = subprocess.run(["gcc", "-print-multiarch"], capture_output=True, text=True, check=True).stdout.strip()
    path = pathlib.Path("/usr/lib") / known / LIBRARY
    if not path.exists():
        raise StackError(f"{path} is not there: apt-get install libfaketime")
    return path


class FakeClock:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="csign-clock-"))
        self.folder.chmod(0o755)
        self.offset = 0
        self.advance()

    def wrap(self, build):
        """For Stack(wrap=...)."""
        preload = [library()]
        if "address" in sanitizers(build):
            preload.insert(0, libasan())
        return {"csign-service": ["env", "LD_PRELOAD=" + ":".join(map(str, preload)), "FAKETIME_NO_CACHE=1",
                                  "FAKETIME_DONT_FAKE_MONOTONIC=1", f"FAKETIME_TIMESTAMP_FILE={self.folder / 'offset'}"]}

    def advance(self, **time_delta):
        """seconds=, hours=, days="""
        units = {"seconds": 1, "hours": 3600, "days": 86400}
        self.offset += sum(units[unit] * n for unit, n in time_delta.items())
        new = self.folder / "new"
        new.write_text(f"+{self.offset}\n")
        new.chmod(0o644)
        new.rename(self.folder / "offset")

    def now(self):
        return time.time() + self.offset

    def remove(self):
        shutil.rmtree(self.folder)
