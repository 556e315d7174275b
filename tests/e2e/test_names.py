# SPDX-License-Identifier: MIT
"""Names: of functions that come and go, of C functions, of the VM's own code."""
import re
import shutil
import subprocess

import pytest

from frames import count, total
from harness import PROGRAMS, Process, folded, host, ljx, luajit, record, report

pytestmark = pytest.mark.privileged


def test_generated_functions_never_have_a_wrong_name(tmp_path):
    with luajit("tests/lua/generate.lua") as target:
        target.event("ready")
        path = record(tmp_path, "-p", target.pid, least=7000)
    stacks = folded(path)
    everything = total(stacks)
    named, wrong = 0, []
    for frames, n in stacks:
        seen = False
        for f in frames:
            match = re.fullmatch(r"(?:(\w+) )?c(\d+)\.x:(\d+)", f)
            if match:
                name, chunk, line = match.groups()
                if line != chunk or (name is not None and name != "f" + chunk):
                    wrong.append(f)
                seen = True
            elif f.startswith("trace#"):
                trace = re.fullmatch(r"trace#\d+:(?:c(\d+)\.x:(\d+)|generate\.lua:\d+)", f)
                if not trace or trace[1] != trace[2]:
                    wrong.append(f)
            elif re.search(r"\bc\d+\.x\b", f) and not re.fullmatch(r"c\d+\.x", f):
                wrong.append(f)
        ids = {m for f in frames for m in re.findall(r"\bc(\d+)\.x", f)}
        if len(ids) > 1:
            wrong.append(";".join(frames))
        named += n if seen else 0
    assert everything > 3000 and not wrong, wrong[:5]
    # What could not be named says so, and is rare.
    undefined = report(path)["undefined"]
    assert undefined / everything < 0.02, undefined
    assert named / everything > 0.3


def cspin(tmp_path, program):
    script = tmp_path / "cspin.lua"
    script.write_text("local function work() cspin(1e6) end\nwhile true do work() end\n")
    with Process(program) as target:
        target.expect("ok ready")
        target.say(f"main cspin.x {script}")
        target.expect("ok main")
        stacks = folded(record(tmp_path, "-p", target.pid, least=400))
    assert total(stacks) > 300
    return stacks


@pytest.mark.parametrize("kind", ["host", "host-static"])
def test_c_function_by_symbol(tmp_path, kind):
    stacks = cspin(tmp_path, f"{PROGRAMS}/{kind}")
    assert count(stacks, "cspin.x", "work cspin.x:1", "C:host_cspin") / total(stacks) > 0.97


def test_c_function_without_symbols(tmp_path):
    program = tmp_path / "stripped"
    shutil.copy(f"{PROGRAMS}/host", program)
    subprocess.run(["strip", program], check=True)
    stacks = cspin(tmp_path, program)
    names = {f for s, _ in stacks for f in s if f.startswith("C:cspin")}
    assert len(names) == 1 and re.fullmatch(r"C:cspin@stripped\+0x[0-9a-f]+", names.pop())
    assert count(stacks, "work cspin.x:1", "C:cspin@stripped*") / total(stacks) > 0.97


def test_no_name_of_another_function(tmp_path):
    """In a stripped build the nearest exported symbol is that of another function: lua_error for
    string.gsub. The leaves are handlers, lj_vm or C functions of other libraries."""
    with luajit("tests/lua/storms.lua", "callbacks", "off") as target:
        target.event("edges")
        stacks = folded(record(tmp_path, "-p", target.pid, seconds=3))
    bad = [f for s, _ in stacks for f in s if re.match(r"(C:)?(lua_error|luaopen_|luaJIT_)", f)]
    assert not bad, set(bad)
    assert not [f for s, _ in stacks for f in s if "builtin#" in f or "fastfunc#" in f]


def test_handlers_by_name(tmp_path):
    with luajit("tests/lua/storms.lua", "plain", "off") as target:
        target.event("stack")
        stacks = folded(record(tmp_path, "-p", target.pid, least=500))
    leaves = {s[-1] for s, _ in stacks}
    assert {"lj_BC_ADDVV", "lj_BC_IFORL"} <= leaves, leaves


def test_code_behind_the_handlers_is_no_handler(tmp_path):
    """The helper for % lies behind the last handler in memory and is not part of it."""
    with luajit("tests/lua/storms.lua", "modulo", "off") as target:
        target.event("stack")
        stacks = folded(record(tmp_path, "-p", target.pid, least=500))
    helper = sum(n for s, n in stacks if re.match("lj_vm", s[-1]))
    assert helper / total(stacks) > 0.1, {s[-1]: n for s, n in stacks}
    assert not [s for s, _ in stacks if s[-1].startswith("lj_BC_FUNC")]


def test_host_keeps_running_while_profiled(tmp_path):
    """Nothing of the target's changes: it answers after it was profiled."""
    with host() as target:
        target.expect("ok ready")
        target.say("thread a tests/lua/spin.lua")
        target.event("stack")
        ljx("record", "-p", target.pid, "-d", 1, "-o", tmp_path / "x.folded")
        target.say("quit 7")
        assert target.finish() == 7
