# SPDX-License-Identifier: MIT
"""Where symbols are from: of the recorder's functions, and of C functions that Lua calls."""
import os
import re
import subprocess
import time

import pytest

from frames import count, total
from harness import OK, PROGRAMS, Ljx, Process, folded, ljx, record
from symbols import Server, build_id, debug_file, place_debug, stripped, with_mini

pytestmark = pytest.mark.privileged

FUNCTIONS = ("lj_dispatch_update", "lj_trace_err", "lj_trace_flushall")
# No server of the machine's own set-up.
NOBODY = {"DEBUGINFOD_URLS": ""}


@pytest.fixture(scope="module")
def twin():
    """Debian's LuaJIT with symbols."""
    done = subprocess.run(["tests/twin"], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        pytest.skip("no LuaJIT with symbols")
    return done.stdout.strip()


def with_library(lib):
    """A process with one VM in that library."""
    target = Process(f"{PROGRAMS}/host", env={"LD_LIBRARY_PATH": os.path.dirname(lib)})
    target.expect("ok ready")
    target.say("vm")
    target.expect("ok vm")
    return target


def library(tmp_path):
    (tmp_path / "lib").mkdir()
    return str(tmp_path / "lib/libluajit-5.1.so.2")


def said(pid, where, env=None):
    """What doctor and trace say of where the functions are from, which must be this."""
    text = ljx("doctor", "-p", pid, env=env or NOBODY).out
    for name in FUNCTIONS:
        assert re.search(rf"^ok +recorder +{name} at 0x[0-9a-f]+ \({where}\); probe at \+", text, re.M), text
    with Ljx("trace", "-p", pid, env=env or NOBODY) as p:
        line = p.expect("^ljx: uprobes: .*$", "err").group()
        assert line == "ljx: uprobes: " + ", ".join(f"{name} ({where})" for name in FUNCTIONS)
    return text


def test_symtab(tmp_path, twin):
    lib = library(tmp_path)
    os.symlink(twin, lib)
    with with_library(lib) as target:
        assert "symbols: .symtab" in said(target.pid, r"in the code and by .symtab")


def test_stripped(tmp_path, twin):
    with with_library(stripped(twin, library(tmp_path))) as target:
        assert "symbols: none" in said(target.pid, "in the code")


def test_mini_debug_info(tmp_path, twin):
    with with_library(with_mini(twin, library(tmp_path))) as target:
        assert "symbols: MiniDebugInfo" in said(target.pid, "in the code and by MiniDebugInfo")


def test_debug_file_of_the_target(tmp_path, twin):
    """The debug file lies in the target's mount namespace only."""
    root = tmp_path / "root"
    lib = stripped(twin, library(tmp_path))
    place_debug(twin, root)
    shell = f"mount -t overlay overlay -o lowerdir={root}:/usr/lib /usr/lib && exec {PROGRAMS}/host"
    with Process("unshare", "-m", "sh", "-c", shell,
                 env={"LD_LIBRARY_PATH": os.path.dirname(lib)}) as target:
        target.expect("ok ready")
        target.say("vm")
        target.expect("ok vm")
        assert not os.path.exists(f"/usr/lib/debug/.build-id/{build_id(twin)[:2]}/{build_id(twin)[2:]}.debug")
        assert "symbols: debug file" in said(target.pid, "in the code and by debug file")


def test_debuginfod(tmp_path, twin):
    """Asked once; what it gave is in its cache, and a stripped file only is asked for."""
    lib = stripped(twin, library(tmp_path))
    debug = debug_file(twin, tmp_path / "twin.debug")
    with Server({build_id(twin): debug}) as server, with_library(lib) as target:
        env = server.environment(tmp_path / "cache")
        text = said(target.pid, "in the code and by debuginfod", env)
        assert "symbols: debuginfod" in text
        assert server.asked == [build_id(twin)]
        p = ljx("doctor", "-p", target.pid, env=env)
        assert "ljx: asking debuginfod for symbols that are missing here" in p.err
    # Gone, but cached.
    with with_library(lib) as target:
        said(target.pid, "in the code and by debuginfod", env)


def test_debuginfod_is_not_asked(tmp_path, twin):
    lib = library(tmp_path)
    os.symlink(twin, lib)
    with Server() as server, with_library(lib) as target:
        p = ljx("doctor", "-p", target.pid, env=server.environment(tmp_path / "cache"))
        assert server.asked == [] and "debuginfod" not in p.err
        # What only lists processes asks nobody.
        ljx("ps", env=server.environment(tmp_path / "cache"))
        assert server.asked == []


def test_debuginfod_without_an_answer(tmp_path, twin):
    """A server that is silent costs two seconds at the start, and nothing at the end."""
    with Server(silent=True) as server, with_library(stripped(twin, library(tmp_path))) as target:
        start = time.monotonic()
        with Ljx("trace", "-p", target.pid, "-d", 1, env=server.environment(tmp_path / "cache")) as p:
            p.expect("^ljx: asking debuginfod", "err")
            p.expect(r"^ljx: uprobes: .*\(in the code\)", "err")
            attached = time.monotonic()
            assert attached - start < 6
            assert p.finish() == OK
        assert time.monotonic() - attached < 4
        assert server.asked == [build_id(twin)]
        children = subprocess.run(["pgrep", "-P", str(p.pid)], stdout=subprocess.PIPE, text=True).stdout
        assert not children


def test_debuginfod_knows_nothing(tmp_path, twin):
    with Server() as server, with_library(stripped(twin, library(tmp_path))) as target:
        said(target.pid, "in the code", server.environment(tmp_path / "cache"))
        assert build_id(twin) in server.asked


# --- C functions ---

def cspin(tmp_path, program, env=None):
    """Samples of a C function that is no export of its program."""
    script = tmp_path / "cspin.lua"
    script.write_text("local function work() cspin(1e6) end\nwhile true do work() end\n")
    with Process(program) as target:
        target.expect("ok ready")
        target.say(f"main cspin.x {script}")
        target.expect("ok main")
        stacks = folded(record(tmp_path, "-p", target.pid, least=2000, env=env or NOBODY))
    assert total(stacks) > 300
    return stacks


def test_c_function_by_mini_debug_info(tmp_path):
    stacks = cspin(tmp_path, with_mini(f"{PROGRAMS}/host", str(tmp_path / "host")))
    assert count(stacks, "cspin.x", "work cspin.x:1", "C:host_cspin") / total(stacks) > 0.97


def test_c_function_by_debuginfod(tmp_path):
    """While the server is asked, samples go on: they are named from when it has answered."""
    program = stripped(f"{PROGRAMS}/host", str(tmp_path / "host"))
    debug = debug_file(f"{PROGRAMS}/host", tmp_path / "host.debug")
    with Server({build_id(program): debug}) as server:
        stacks = cspin(tmp_path, program, server.environment(tmp_path / "cache"))
        assert build_id(program) in server.asked
    assert count(stacks, "cspin.x", "work cspin.x:1", "C:host_cspin") / total(stacks) > 0.8
