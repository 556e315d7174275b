# SPDX-License-Identifier: MIT
"""LuaJIT builds, those that Debian ships and others, each by what it says of itself: stacks by
debug.getinfo, trace events by its jit.v, bytecodes and fast functions by its vmdef.lua. The results
are printed as a table."""
import contextlib
import glob
import json
import os
import re
import subprocess

import pytest

from frames import Truth
from harness import OK, PROGRAMS, ROOT, UNSUPPORTED, Ljx, Process, folded, ljx, record, sampled, wait_until
from test_scan import TREES, check_trees
from test_tables import rows, vmdef

pytestmark = [pytest.mark.privileged, pytest.mark.beside(1)]

# LJX_BUILDS: other builds of tests/builds, or "all".
BUILDS = os.environ.get("LJX_BUILDS", "beta3 git20220320 luajit2 trixie sid texlive2022").split()
ALL = BUILDS == ["all"]


def listed(kind):
    return subprocess.run(["tests/builds", "--list", kind], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          check=True).stdout.split()


if ALL:
    BUILDS = listed("good")
LIBRARY_ONLY = {"texlive2020", "texlive2022", "texlive2024", "texlive-sid"}  # no interpreter, no vmdef.lua
OLD_SNAPSHOTS = {"beta3"}  # with no offset into the machine code: not every exit can be told
# Every kind of frame and call; all scenarios run against one build in test_semantics.py.
SCENARIOS = ["recursion", "tailcall", "varargs_pcall", "pcall", "methods", "metamethods", "sort",
             "gsub", "coroutine_nested", "coroutine_resume", "coroutine_wrap", "iterator",
             "ffi_callback", "finalizer", "hook", "error_handler", "stripped", "tostring"]
COMPILED = ["recursion", "pcall", "metamethods", "coroutine_nested", "ffi_callback"]
RUNS = [(s, "off") for s in SCENARIOS] + [(s, "on") for s in COMPILED]
PROBES = {"uprobe": "uprobes", "watch": "watchpoints"}

# What is printed at the end (conftest.py): build -> column -> [right, all].
COLUMNS = ["VM", "stacks", "library", "jit.v, uprobes", "jit.v, watchpoints", "late", "ff", "vmdef"]
RESULTS = {}
FACTS = {}  # build -> bits of a GCRef, where the layout is from


def table():
    """What was right of what was tried, a row for each build, as the README has it."""
    yield "| " + " | ".join(["build", "GCRef", "layout", *COLUMNS]) + " |"
    yield "|---" * (3 + len(COLUMNS)) + "|"
    for name, got in RESULTS.items():
        cells = [f"{got[c][0]}/{got[c][1]}" if c in got else "-" for c in COLUMNS]
        yield "| " + " | ".join([_builds[name].what, *FACTS.get(name, "??"), *cells]) + " |"


class Build:
    """One of the builds of tests/builds."""

    def __init__(self, name):
        done = subprocess.run(["tests/builds", name], cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr
        self.__dict__.update(json.loads(done.stdout))

    def env(self):
        path = f"{self.lua}/?.lua;;" if self.lua else ";;"
        env = {"LUA_PATH": path}
        if not self.under:
            env["LD_LIBRARY_PATH"] = self.libraries
        return env

    def run(self, *args):
        """Its interpreter, in which the VM is linked statically."""
        return Process(*self.under, self.luajit, *args, env=self.env())

    def embed(self, tmp_path, script, *args):
        """A program with its library, which runs a script on its main thread."""
        wrapper = tmp_path / f"{self.name}.lua"  # its own: another may be reading its file
        given = ",".join(f"'{a}'" for a in args)
        wrapper.write_text(f"arg = {{{given}}} dofile('{script}') return 0\n")
        target = Process(*self.under, os.path.join(PROGRAMS, "host"), env=self.env())
        target.expect("^ok ready$")
        target.say(f"main embedded {wrapper}")
        return target


_builds = {}


def get(name):
    if name not in _builds:
        _builds[name] = Build(name)
    return _builds[name]


@pytest.fixture(params=[b for b in BUILDS if b not in LIBRARY_ONLY])
def build(request):
    return get(request.param)


@pytest.fixture(params=BUILDS)
def library(request):
    return get(request.param)


def note(build, column, ok, of=1):
    got = RESULTS.setdefault(build.name, {}).setdefault(column, [0, 0])
    got[0] += ok
    got[1] += of


def stack(build, column, target, tmp_path):
    """One scenario's samples against what it says of its stack."""
    note(build, column, 0)
    with target:
        truth = Truth(target.event("stack"))
        stacks = sampled(tmp_path, "-p", target.pid, least=100, seconds=0.4, rate=1999)
    share, _, errors = truth.share(stacks)
    assert share >= 0.995, errors
    note(build, column, 1, 0)


def test_vm(library, tmp_path):
    """Found, by a layout that its code and its memory confirm."""
    note(library, "VM", 0)
    with library.embed(tmp_path, "tests/lua/spin.lua") as target:
        target.event("stack")
        mine, = [p for p in json.loads(ljx("ps", "--json", status=None).out)["processes"]
                 if p["pid"] == target.pid]
        assert mine["vms"] == 1 and mine["layout"]
        how = {"code": "derived", "dwarf": "DWARF"}.get(mine["layout"].partition("+")[2], "table")
        FACTS[library.name] = ["64" if mine["gc64"] else "32", how]
        assert os.path.samefile(mine["file"], library.library)
        ljx("bt", "-p", target.pid)
    note(library, "VM", 1, 0)


@pytest.mark.parametrize("name,jit", RUNS)
def test_stack(build, tmp_path, name, jit):
    target = build.run("tests/lua/semantics.lua", name, jit)
    stack(build, "stacks", target, tmp_path)


@pytest.mark.parametrize("name", COMPILED)
def test_library(library, tmp_path, name):
    """The same of the shared library in a program of ours."""
    target = library.embed(tmp_path, "tests/lua/semantics.lua", name, "on")
    stack(library, "library", target, tmp_path)


def check_each(path, targets):
    """In one recording of several processes, what each told of its stack."""
    for target in targets:
        truth = Truth(target.event("stack"))
        stacks = folded(path, "--lines", "--pid", str(target.pid))
        share, total, errors = truth.share(stacks)
        assert total > 30 and share >= 0.995, errors


def test_mixed(tmp_path):
    """Processes of different builds in one recording."""
    with contextlib.ExitStack() as stack:
        targets = [stack.enter_context(get(name).embed(tmp_path, "tests/lua/semantics.lua", "pcall", "on"))
                   for name in BUILDS[:6]]
        for target in targets:
            target.event("stack")
        pids = ",".join(str(t.pid) for t in targets)
        check_each(record(tmp_path, "-p", pids, seconds=3, rate=1999), targets)


TWO = """
import ctypes, os, sys, threading
def run(library, script):
    vm = ctypes.CDLL(library, mode=os.RTLD_LOCAL | os.RTLD_DEEPBIND)
    vm.luaL_newstate.restype = ctypes.c_void_p
    L = ctypes.c_void_p(vm.luaL_newstate())
    vm.luaL_openlibs(L)
    if vm.luaL_loadfile(L, script.encode()) or vm.lua_pcall(L, 0, 0, 0):
        print("failed", flush=True)
for i in (1, 3):
    threading.Thread(target=run, args=sys.argv[i:i + 2]).start()
"""


def test_two_builds_in_one_process(tmp_path):
    """One with 32-bit references and one with 64-bit ones, a thread each."""
    args = []
    for name, jit in (("beta3", "off"), ("luajit2", "on")):
        script = tmp_path / f"{name}.lua"
        script.write_text(f"arg = {{'recursion', '{jit}'}}\nlocal r = dofile('tests/lua/semantics.lua')\n")
        args += [get(name).library, script]
    with Process("/usr/bin/python3", "-c", TWO, *args) as target:
        wait_until(lambda: (target.pump(0.01), len(target.events("stack")) == 2)[1], "two stacks")
        mine, = [p for p in json.loads(ljx("ps", "--json", status=None).out)["processes"]
                 if p["pid"] == target.pid]
        assert mine["vms"] == 2
        stacks = sampled(tmp_path, "-p", target.pid, least=400, seconds=1, rate=1999)
    for told in target.events("stack"):
        truth = Truth(told)
        name = truth.stack[0]["file"]
        own = [(s, n) for s, n in stacks if s[0] == f"main chunk {name}"]
        share, total, errors = truth.share(own)
        assert total > 100 and share >= 0.995, errors
    assert sum(n for s, n in stacks if s[0].startswith("main chunk ")) / sum(n for _, n in stacks) >= 0.99


@pytest.mark.parametrize("probe", PROBES)
def test_jv(build, tmp_path, probe):
    """What ljx prints is what the build's own jit.v printed, byte for byte."""
    column = f"jit.v, {PROBES[probe]}"
    note(build, column, 0)
    theirs = tmp_path / "jit.v"
    with build.run(f"-jv={theirs}", "tests/lua/recorder.lua", "1") as target:
        target.expect("^ready$")
        with Ljx("trace", "-p", target.pid, f"--probe={probe}", "--jv") as p:
            p.expect(r"uprobes|watchpoints", "err")
            assert PROBES[probe] in p.err
            target.say("go")
            target.expect("^done$", seconds=120)
            assert target.finish() == 0
            assert p.finish() == OK, p.err
            got = p.text["out"].splitlines()
    want = theirs.read_bytes().splitlines()
    for i, (a, b) in enumerate(zip(got, want)):
        assert a == b, f"line {i + 1}"
    assert len(got) == len(want) and len(want) > 3000
    note(build, column, 1, 0)


def test_late(build, tmp_path):
    """What a late attach reads in memory of live traces, exits and calls is what jit.v logged."""
    note(build, "late", 0)
    script, log = tmp_path / "late.lua", tmp_path / "jit.v"
    script.write_text(TREES)
    check_trees(build.run(f"-jv={log}", script), log, build.name not in OLD_SNAPSHOTS)
    note(build, "late", 1, 0)


# What stands against each of the builds that must be refused.
EVIDENCE = {"nojit": "built without the JIT compiler",
            "order-global": "mainthref at 192 does not point back at the main thread",
            "order-proto": "a prototype's lines contradict each other",
            "order-trace": "trace 1 does not start in its prototype",
            "order-jit": r"J.freetrace is \d+ of \d+"}

if ALL:
    @pytest.mark.parametrize("name", listed("refused"))
    def test_refused(tmp_path, name):
        """Structures in another order than any LuaJIT's: refused with evidence. What the build's debug
        information says is the way out."""
        build, out, layout = get(name), tmp_path / "x.folded", tmp_path / "layout.json"
        with build.run("tests/lua/spin.lua") as target:
            truth = Truth(target.event("stack"))
            p = ljx("record", "-p", target.pid, "-d", 1, "-o", out, status=UNSUPPORTED)
            assert "no known layout fits it" in p.err and re.search(EVIDENCE[name], p.err), p.err
            assert not out.exists()
            assert re.search(EVIDENCE[name], ljx("doctor", "-p", target.pid, status=None).out)
            if name == "nojit":
                return
            layout.write_text(ljx("layout", "-f", build.debug, "--json").out)
            stacks = sampled(tmp_path, "-p", target.pid, "--layout", layout, least=100, seconds=0.4,
                             rate=1999)
        share, _, errors = truth.share(stacks)
        assert share >= 0.995, errors


def test_fast_functions(library, tmp_path):
    """Those that Lua can get hold of have the numbers that the build itself tells."""
    note(library, "ff", 0)
    with library.embed(tmp_path, "tests/lua/ffids.lua") as target:
        target.expect("^done$")
        told = {}  # some have two names: unpack and table.unpack
        for number, name in re.findall(r"^ff\t(\d+)\t(\S+)$", target.out, re.M):
            told.setdefault(int(number), set()).add(name)
    names = [r["name"] for r in rows("ff", "-f", library.library)[0]]
    assert not {number: name for number, name in told.items() if names[number] not in name}
    assert len(told) > 150
    note(library, "ff", 1, 0)


def test_vmdef(build):
    """Its bytecodes, fast functions, errors and IR instructions, by evidence in its file."""
    note(build, "vmdef", 0)
    want = vmdef(os.path.join(build.lua, "jit/vmdef.lua"))
    for verb, key in (("bc", "name"), ("ff", "name"), ("err", "text"), ("ir", "name")):
        for path in (build.luajit, build.library):
            got = [r[key] for r in rows(verb, "-f", path)[0]]
            assert got == want[verb], f"{verb} of {path}"
    note(build, "vmdef", 1, 0)


# All functions of a script, as luajit -bl lists them: number and name of each instruction.
LISTING = r"""
local util, bc = require("jit.util"), require("jit.bc")
local function list(f)
  for pc = 0, math.huge do
    local ins = util.funcbc(f, pc)
    if not ins then break end
    local name = pc > 0 and bc.line(f, pc):match("^%d+ [=> ]*(%u[%u%d]*)")
    if name then print(ins % 256, name) end
  end
  for i = -1, -math.huge, -1 do
    local k = util.funck(f, i)
    if k == nil then break end
    if type(k) == "proto" then list(k) end
  end
end
for i = 1, #arg do list(loadfile(arg[i])) end
"""


def test_listing(build, tmp_path):
    """Every opcode of thousands of instructions is called what the build itself calls it."""
    script = tmp_path / "list.lua"
    script.write_text(LISTING)
    chunks = sorted(glob.glob("tests/lua/*.lua") + glob.glob("examples/**/*.lua", recursive=True))
    with build.run(script, *chunks) as p:
        assert p.finish() == 0, p.err
        pairs = [line.split() for line in p.out.splitlines()]
    names = [r["name"] for r in rows("bc", "-f", build.luajit)[0]]
    wrong = {(number, name) for number, name in pairs if names[int(number)] != name}
    assert not wrong
    assert len(pairs) > 5000 and len({name for _, name in pairs}) > 60
