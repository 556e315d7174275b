# SPDX-License-Identifier: MIT
"""C and Lua in one stack: against gdb's backtrace, debug.traceback and what the C code does."""
import fnmatch
import json
import os
import re
import subprocess
from collections import Counter

import pytest

from harness import LJX, OK, Process, folded, host, ljx, luajit, record, report, wait_until
from recording import COROUTINE, LUA, natives, of, records, samples
from web import Nginx, load

pytestmark = pytest.mark.privileged

SCRIPT = "tests/lua/nest.lua"
LOOP = ["C:nest::turn", "C:nest::loop"]  # mangled as Rust and C++ do
LEAF = [f"* {SCRIPT}:*", "C:l_spin"] + LOOP
CALL = ["C:l_call", "C:call_3", "C:call_2", "C:call_1"]
FN = f"*{SCRIPT}:*"
TOP = ["C:_start", "C:__libc_start_main", "C:__libc_start_call_main", "C:main", "C:lua_cpcall",
       "C:lua_pcall", f"main chunk {SCRIPT}", FN]
CHUNK = "main chunk [[]string *"
INNER = "*[[]string *:1"
SPIN = ["C:l_spin"] + LOOP
# From the root to the leaf, without what has no name in a LuaJIT without symbols.
SHAPES = {
    "c": TOP + [FN] + CALL + [FN] + SPIN,
    "coroutine": TOP + CALL + ["coroutine.wrap*", FN, FN] + CALL + [FN] + SPIN,
    "resume": TOP + ["C:l_resume", "C:resume_1", FN, FN] + CALL + [FN] + SPIN,
    "vm": TOP + CALL + [FN, "C:l_vm", "C:vm_1", CHUNK] + CALL + [INNER] + SPIN,
    "resume_vm": TOP + ["C:l_resume", "C:resume_1", FN] * 2 +
                 ["C:l_vm", "C:vm_1", CHUNK, "C:l_resume", "C:resume_1", INNER, "C:l_vm", "C:vm_1",
                  CHUNK] + SPIN,
    "deep": TOP + ["C:l_deep"] + ["C:deep_1"] * 50 + ["C:call_1", FN] + SPIN,
    "aligned": TOP + ["C:l_aligned", "C:aligned_1", "C:call_1", FN] + SPIN,
    "signal": TOP + ["C:l_signal", "C:raise_1", "C:raise", "C:__pthread_kill_implementation",
                     "C:*libc.so*", "C:on_signal", "C:call_1", FN] + SPIN,
    "sort": TOP + ["table.sort", FN, FN] + SPIN,
    "gsub": TOP + ["string.gsub", FN] + SPIN,
    "finalizer": TOP + ["collectgarbage", "C:lua_gc", FN] + SPIN,
}
# One lua_State has it all, so that its traceback does.
ALONE = ("c", "deep", "aligned", "signal", "sort", "gsub", "finalizer")


def is_luajit(frame):
    return fnmatch.fnmatchcase(frame, "C:[?]@*luajit*")


def check_shape(stacks, shape):
    """All samples, but for single ones in puts() before the loop."""
    good = 0
    for stack, n in stacks:
        stack = [f for f in stack if not is_luajit(f)]
        if stack[-1] == "[kernel]":
            stack.pop()
        fits = len(stack) == len(shape) and all(map(fnmatch.fnmatchcase, stack, shape))
        assert fits or n < 3, f"{stack}\nis not\n{shape}"
        good += n if fits else 0
    assert good > 100


GDB = """
import gdb
f = gdb.newest_frame()
while f:
    if f.type() in (gdb.NORMAL_FRAME, gdb.SIGTRAMP_FRAME):
        print("PC", f.pc())
    f = f.older()
"""


def gdb(pid, tmp_path, code):
    script = tmp_path / "stack.py"
    script.write_text(code)
    cmd = ["gdb", "-nx", "-batch", "-ex", "set backtrace past-main on", "-p", str(pid), "-x", script]
    return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60).stdout


def gdb_stack(pid, tmp_path):
    """The addresses of all frames, from the leaf to the root."""
    out = gdb(pid, tmp_path, GDB)
    return [int(pc) for pc in re.findall(r"^PC (\d+)$", out, re.M)]


def check_gdb(native, pcs):
    """Each word is a frame of gdb's: Lua frames run in one of the interpreter's."""
    assert len(native.words) == len(pcs), (native.words, [hex(pc) for pc in pcs])
    for i, (word, pc) in enumerate(zip(native.words, pcs)):
        assert word[0] in ("at", "lua")
        if word[0] == "at" and i:  # the loop is anywhere; of a call the last byte, of a signal not
            assert word[1] in (pc - 1, pc), (i, hex(word[1]), hex(pc))


def check_traceback(sample, text):
    """The Lua stack but for the C function at its top, which was called then."""
    lines = [m.group(1) or "C"
             for m in re.finditer(rf"^\t(?:{SCRIPT}:(\d+)|\[C\]): (?:in|at)", text, re.M)]
    seen = [str(f.line) if f.kind == LUA else "C" for f in sample.frames if f.kind != COROUTINE]
    assert seen[1:] == lines


# The programs for older kernels differ in their loops only.
@pytest.mark.parametrize("name,form", [(name, "new") for name in SHAPES] +
                         [(name, "old") for name in ("c", "vm", "resume_vm")])
def test_nested(tmp_path, name, form):
    old = ["--old-bpf"] if form == "old" else []
    with luajit(SCRIPT, name) as target:
        target.expect("^spinning$")
        path = record(tmp_path, "-p", target.pid, "--native", *old, least=200, rate=499)
        pcs = gdb_stack(target.pid, tmp_path)
    check_shape(folded(path), SHAPES[name])
    recs = records(path)
    pairs = list(zip(natives(recs), samples(recs)))
    assert len(pairs) == len(samples(recs)) > 100
    assert all(n.h.time == s.h.time and n.h.tid == s.h.tid for n, s in pairs)
    whole = [(n, s) for n, s in pairs if not n.why and not any(w[0] == "gap" for w in n.words)]
    assert len(whole) / len(pairs) >= 0.99
    # Those of the loop: each has the same callers.
    usual = Counter(tuple(n.words[1:]) for n, _ in whole).most_common(1)[0][0]
    stack, sample = next((n, s) for n, s in whole if tuple(n.words[1:]) == usual)
    check_gdb(stack, pcs)
    if name in ALONE:
        check_traceback(sample, target.out)


GDB_NAMES = """
import gdb
f = gdb.newest_frame()
while f:
    if f.find_sal().symtab and f.find_sal().symtab.filename.endswith("nest.c"):
        print("NAME", f.name())
    f = f.older()
"""


def addr2line(path, addr):
    """[(function, the line that it is at)] of an address, the innermost first."""
    out = subprocess.run(["addr2line", "-i", "-f", "-e", path, hex(addr)], stdout=subprocess.PIPE,
                         text=True, check=True).stdout.split("\n")
    return [(name, re.sub(r".*/| .*", "", place)) for name, place in zip(out[::2], out[1::2])]


def test_inlined(tmp_path):
    """The functions of a file with debug information as gdb has them, those inlined too, and where
    they are called as addr2line tells."""
    with luajit(SCRIPT, "c") as target:
        target.expect("^spinning$")
        path = record(tmp_path, "-p", target.pid, "--inline", seconds=1)
        out = gdb(target.pid, tmp_path, GDB_NAMES)
    stack = max(folded(path), key=lambda s: s[1])[0]
    ours = [re.sub(r"^C:| \(inlined.*", "", f) for f in stack
            if re.match(r"C:(l_|call_|inlined_|nest::)", f)]
    names = [re.sub(".*(turn|loop).*", r"nest::\1", n) for n in re.findall("^NAME (.*)$", out, re.M)]
    assert ours == names[::-1]
    assert [f.split(" at ")[0] for f in stack if "(inlined" in f] == \
        ["C:inlined_2 (inlined", "C:inlined_1 (inlined"]
    recs = records(path)
    nest = next(r for r in of(recs, "module") if r.strings[1].endswith("/nest.so"))
    seen = [r for r in of(recs, "inline") if nest.fields[0] <= r.fields[0] < nest.fields[1]]
    assert seen
    for r in seen:
        places = addr2line(nest.strings[1], r.fields[0] - nest.fields[2])
        assert r.strings[0].split("\n") == \
            [f"{name}\t{line}" for (name, _), (_, line) in zip(places, places[1:])]
        for line in r.strings[0].split("\n"):
            assert "C:{} (inlined at {})".format(*line.split("\t")) in stack


def test_without_unwind_info(tmp_path):
    """What cannot be unwound is named and counted, and the stack goes on where Lua called it."""
    flags = subprocess.run(["pkg-config", "--cflags", "luajit"], stdout=subprocess.PIPE, text=True,
                           check=True).stdout.split()
    subprocess.run(["gcc", "-O2", "-fPIC", "-shared", "-fno-asynchronous-unwind-tables",
                    "-fno-unwind-tables", *flags, "-o", tmp_path / "nest.so", "tests/c/nest.c"],
                   check=True)
    with luajit(SCRIPT, "c", env={"NEST": str(tmp_path)}) as target:
        target.expect("^spinning$")
        path = record(tmp_path, "-p", target.pid, "--native", least=500)
    got = report(path)
    assert got["native"]["no unwind info"] / got["samples"] >= 0.99, got["native"]
    stack = [f for f in max(folded(path), key=lambda s: s[1])[0] if not is_luajit(f)]
    gap = "[native: no unwind info in nest.so]"
    shape = TOP + [FN, "C:l_call", gap, "C:call_1", FN, "C:l_spin", gap, "C:nest::loop"]
    assert len(stack) == len(shape) and all(map(fnmatch.fnmatchcase, stack, map(
        lambda s: s.replace("[native", "[[]native"), shape))), stack


def test_bt(tmp_path):
    """One stack, now: its C functions as gdb has them, its lines as debug.traceback tells."""
    with luajit(SCRIPT, "c") as target:
        target.expect("^spinning$")
        lines = []

        def running():
            out = ljx("bt", "-p", target.pid, "--native").out
            lines[:] = out.partition(f" thread {target.pid}  ")[2].split(" VM 1 ")[0].splitlines()[1:]
            return lines and "did not run" not in out and "not down to" not in out

        wait_until(running, "a sample", 60)
        out = gdb(target.pid, tmp_path, GDB_NAMES)
        doc = json.loads(ljx("bt", "-p", target.pid, "--native", "--json").out)
        check_bt_lines([m.group(1) for m in (re.search(r"  at line (\d+)$", s) for s in lines) if m],
                       target.out)
    functions = [re.sub("  +at line.*", "", s.strip()) for s in lines]
    ours = [f.removeprefix("C:") for f in functions if re.match("C:(l_|call_|nest::)", f)]
    names = [re.sub(".*(turn|loop).*", r"nest::\1", n) for n in re.findall("^NAME (.*)$", out, re.M)]
    assert ours == [n for n in names if not n.startswith("inlined_")]
    shape = SHAPES["c"][::-1]
    named = [f for f in functions if not is_luajit(f) and f != "[kernel]"]
    assert len(named) == len(shape) and all(map(fnmatch.fnmatchcase, named, shape)), named
    for t in doc["threads"]:
        assert t["tid"] == t["pid"] == target.pid and (not t["whole"] or t["frames"][-1] == "C:_start")


def check_bt_lines(lines, traceback):
    """Those of the functions on the stack, the innermost first."""
    want = re.findall(rf"^\t{SCRIPT}:(\d+): (?:in|at)", traceback, re.M)
    assert lines == want and len(want) > 3


def test_bt_threads(tmp_path):
    """More busy threads than CPUs, so that they take turns: a stack of each, not of the first ones."""
    script = tmp_path / "busy.lua"
    script.write_text("while true do cspin(1e9) end\n")
    with host() as target:
        for i in range(24):
            target.say(f"thread t{i} {script}")
        target.expect(r"(^ok thread\n){24}")
        # It is to have its turns at once: the threads are enough for the machine.
        with Process("nice", "-n", -15, LJX, "bt", "-p", target.pid, "--native", "--json",
                     limit=False) as p:
            assert p.finish() == OK, p.err
        doc = json.loads(p.out)
        tids = {int(t) for t in os.listdir(f"/proc/{target.pid}/task")} - {target.pid}
    assert {t["tid"] for t in doc["threads"]} == tids and len(tids) == 24
    assert all("C:host_cspin" in t["frames"] for t in doc["threads"])


def test_bt_asleep():
    """A thread that waits has no sample, and is not disturbed: that is said."""
    with luajit("-e", "io.write('ready\\n') io.flush() io.read('*l')") as target:
        target.expect("ready")
        out = ljx("bt", "-p", target.pid, "--native").out
        assert f" thread {target.pid}  did not run: no C stack" in out and "io.read" in out, out
        target.say("")


def test_only_when_asked(tmp_path):
    with luajit(SCRIPT, "c") as target:
        target.expect("^spinning$")
        path = record(tmp_path, "-p", target.pid, seconds=0.6)
    assert not natives(records(path))
    assert not any("_start" in s for s, _ in folded(path))


def test_jit_and_gc(tmp_path):
    """All that the VM does, in compiled code and in its own C functions: whole stacks."""
    with luajit("tests/lua/mixed.lua") as target:
        path = record(tmp_path, "-p", target.pid, "--native", least=2500)
    got = report(path)
    whole = got["native"]["down to the bottom"] / sum(got["native"].values())
    assert sum(got["native"].values()) == got["samples"] > 500
    assert whole >= 0.99, got["native"]
    roots = Counter()
    for stack, n in folded(path):
        roots[stack[0]] += n
    assert roots["C:_start"] / sum(roots.values()) >= 0.99, roots


def test_nginx(tmp_path):
    """From main() to the handler and to the C function that it calls."""
    with Nginx(tmp_path) as nginx, load(nginx, "/hello", 8):
        path = record(tmp_path, "-g", nginx.pid, "--native", "-r", 999, seconds=5)
        handler = nginx.handler("/hello")
    got = report(path)
    assert got["native"]["down to the bottom"] / sum(got["native"].values()) >= 0.99, got["native"]
    stacks = [(s, n) for s, n in folded(path) if handler in s]
    assert sum(n for _, n in stacks) > 3
    for stack, _ in stacks:
        below = [f for f in stack[:stack.index(handler)] if "?" not in f]
        assert below[0] == "C:_start" and below.index("C:main") == 3, stack
        assert below[-2:] == ["C:ngx_http_lua_content_by_chunk", "C:ngx_http_lua_run_thread"], stack
    say = [s[s.index(handler) + 1:] for s, _ in stacks if "C:ngx_http_output_filter" in s]
    assert say and all(s[0].startswith("C:say@ngx_http_lua_module.so") for s in say), say


def test_kernel(tmp_path):
    with luajit("-e", "local f = io.open('/dev/zero') while true do f:read(2^20) end") as target:
        path = record(tmp_path, "-p", target.pid, "--kernel", "--native", seconds=2)
        only = str(tmp_path / "kernel.folded")
        ljx("record", "-q", "-d", 1, "-p", target.pid, "--kernel", "-o", only)
    inside = [(s, n) for s, n in folded(path) if "[kernel]" in s]
    assert sum(n for _, n in inside) > 30
    for stack, _ in inside:
        at = stack.index("[kernel]")
        assert all(f.startswith("kernel:") for f in stack[at + 1:])
    reads = sum(n for s, n in inside
                if "kernel:vfs_read" in s and {"kernel:read_zero", "kernel:read_iter_zero"} & set(s))
    assert reads / sum(n for _, n in inside) > 0.5, inside[:5]
    assert any(s[0] == "C:_start" and {"C:__read", "C:read"} & set(s) for s, _ in inside), inside[:2]
    # Without --native what is on top of the Lua stack.
    with open(only) as f:
        assert re.search(r"^C:[?]@luajit.*;io.method.read;\[kernel\];.*;kernel:vfs_read", f.read(), re.M)
