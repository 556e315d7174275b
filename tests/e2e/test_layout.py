# SPDX-License-Identifier: MIT
"""A VM whose layout does not verify is refused, with what was seen."""
import json
import re

import pytest

from harness import UNSUPPORTED, ljx, luajit

pytestmark = pytest.mark.privileged

STACKSIZE = 88 - 112  # of the main thread, from the global_State: layout luajit2-20230119


def test_refused_with_evidence(tmp_path):
    script = tmp_path / "wait.lua"
    script.write_text('print("ready") io.stdout:flush() io.read() os.exit(0, false)')
    with luajit(script) as target:
        target.expect("^ready$")
        g = int(re.search(r"global_State (0x[0-9a-f]+)", ljx("bt", "-p", target.pid).out)[1], 16)
        # The target, which waits, now contradicts itself.
        with open(f"/proc/{target.pid}/mem", "r+b", buffering=0) as mem:
            mem.seek(g + STACKSIZE)
            mem.write(b"\xff\xff\xff\x7f")
        out = tmp_path / "x.folded"
        p = ljx("record", "-p", target.pid, "-d", "1", "-o", out, status=UNSUPPORTED)
        assert "no known layout fits it" in p.err
        assert not out.exists()
        checks = json.loads(ljx("doctor", "-p", target.pid, "--json", status=None).out)["checks"]
        vm, = [c for c in checks if c["check"] == "VM"]
        assert not vm["ok"] and "maxstack and stacksize do not agree" in vm["result"]
