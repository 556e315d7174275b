# SPDX-License-Identifier: MIT
"""Where loops are, against the source and the line numbers that the target tells itself."""
import re

import pytest

import recording
from harness import ROOT, luajit, record

pytestmark = pytest.mark.privileged
SCRIPT = "tests/lua/loops.lua"


def planted():
    """name -> (first line, last line)"""
    found = {}
    with open(f"{ROOT}/{SCRIPT}") as f:
        for number, line in enumerate(f, 1):
            mark = re.search(r"--([<>]) (\w)$", line)
            if mark:
                found.setdefault(mark.group(2), []).append(number)
    assert len(found) == 11 and all(len(v) == 2 for v in found.values())
    return found


@pytest.mark.parametrize("jit", ["-joff", "-jon", "-O-loop"])
def test_loops(tmp_path, jit):
    with luajit(jit, SCRIPT) as target:
        target.expect("^ready$")
        path = record(tmp_path, "-p", target.pid, least=900)
        lines = {int(d): [0] + [int(n) for n in rest.split(",")]
                 for d, rest in re.findall(r"^(\d+):([\d,]+)$", target.out, re.M)}
    recs = recording.records(path)
    defined = {r.fields[0]: r.fields[4] for r in recording.of(recs, "func") if "loops.lua" in r.strings[0]}
    seen = {}
    for r in recording.all_loops(recs):
        line = lines.get(defined.get(r.id))
        for pos, first, last in r.loops if line else ():
            assert 0 < first <= pos <= last < len(line)
            seen.setdefault((defined[r.id], first, last), set()).add(pos)
    for name, (a, b) in planted().items():
        outer = max(d for d in lines if d < a)
        inside = [pos for pos, n in enumerate(lines[outer]) if a < n < b]
        assert inside
        fits = [(first, last) for d, first, last in seen if d == outer
                and first <= min(inside) and last >= max(inside)
                and all(a - 2 <= lines[outer][pos] <= b for pos in range(first, last + 1))]
        assert len(fits) == 1, (name, inside, seen, lines[outer])
    assert len(seen) == len(planted()), "a loop that is none"
