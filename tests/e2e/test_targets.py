# SPDX-License-Identifier: MIT
"""Which processes are profiled, and what may happen to them meanwhile."""
import ctypes
import json
import os
import re
import shutil
import signal
import struct
import time

import pytest

from frames import Truth, count, total
from harness import (EMPTY, LJX, OK, PROGRAMS, TARGET, Ljx, Process, alive, children, cpu_seconds,
                     folded, host, ljx, luajit, read_folded, record, report, sampled, state, wait_until)
from web import Nginx, load, requests

pytestmark = pytest.mark.privileged

SPIN = "tests/lua/spin.lua"


def spinning(stacks, chunk=SPIN):
    """Share of the samples in chunk's work > truth.spin."""
    return count(stacks, f"work {chunk}:*", "spin tests/lua/truth.lua:*") / total(stacks)


def lib():
    return os.path.realpath("/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2")


# --- selection ---

def test_several_pids(tmp_path):
    with luajit(SPIN) as one, luajit(SPIN) as two:
        one.event("stack"), two.event("stack")
        path = record(tmp_path, "-p", f"{one.pid},{two.pid}", least=600)
        live = tmp_path / "live.folded"
        ljx("record", "-p", f"{one.pid},{two.pid}", "--per-process", "-d", 1, "-r", 499, "-o", live)
    assert {s[0] for s, _ in read_folded(live)} == {f"luajit:{one.pid}", f"luajit:{two.pid}"}
    pids = {p["pid"]: p["samples"] for p in report(path)["processes"]}
    assert set(pids) == {one.pid, two.pid} and min(pids.values()) > 100
    only = folded(path, "--pid", str(two.pid))
    assert total(only) == pids[two.pid]
    roots = {s[0] for s, _ in folded(path, "--per-process")}
    assert roots == {f"luajit:{one.pid}", f"luajit:{two.pid}"}


def test_glob(tmp_path):
    program = tmp_path / "ljx-test-target"
    shutil.copy(shutil.which("luajit"), program)
    with Process(program, SPIN) as target, luajit(SPIN) as other:
        target.event("stack"), other.event("stack")
        # The kernel keeps 15 bytes of a name.
        path = record(tmp_path, "-n", "ljx-test-t*", least=300)
    assert [p["pid"] for p in report(path)["processes"]] == [target.pid]


def test_glob_without_a_match():
    p = ljx("record", "-n", "no-such-thing*", "-d", 1, status=TARGET)
    assert "no-such-thing*" in p.err


def in_pid_namespace(shell):
    """A shell in which nothing else runs."""
    return Process("unshare", "-m", "-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", shell)


def test_the_only_one(tmp_path):
    """Without a target: the only LuaJIT group there is. With two: a choice, and exit 3."""
    shell = f"""luajit {SPIN} > {tmp_path}/1 & one=$!
        until [ -s {tmp_path}/1 ]; do sleep 0.01; done
        {LJX} record -d 1 -r 499 -o {tmp_path}/x.folded
        luajit {SPIN} > {tmp_path}/2 & two=$!
        until [ -s {tmp_path}/2 ]; do sleep 0.01; done
        {LJX} record -d 1 -o {tmp_path}/y.folded; echo status $?
        echo pids $one $two; kill $one $two"""
    with in_pid_namespace(shell) as inside:
        pids = inside.expect(r"pids (\d+) (\d+)").groups()
        assert inside.out.startswith(f"status {TARGET}\n"), (inside.out, inside.err)
    assert re.search(rf"only .*\b{pids[0]}\b", inside.err), inside.err
    for pid in pids:
        assert re.search(rf"-[pg] {pid}\b", inside.err), inside.err


def test_from_inside_a_pid_namespace(tmp_path):
    """As in a container, where pids are not the kernel's."""
    shell = f"""luajit {SPIN} > {tmp_path}/1 & one=$!
        until [ -s {tmp_path}/1 ]; do sleep 0.01; done
        {LJX} record -p $one -d 2 -r 499 -o {tmp_path}/x.folded; echo status $?; kill $one"""
    with in_pid_namespace(shell) as inside:
        assert inside.expect(r"status (\d+)").group(1) == "0", inside.err
    assert spinning(read_folded(tmp_path / "x.folded")) > 0.99


def test_ps():
    with luajit(SPIN) as one, host() as two:
        one.event("stack")
        two.say("vm")
        two.expect("ok vm")
        out = ljx("ps").out
        rows = {pid: line for line in out.splitlines()
                for pid in (one.pid, two.pid) if str(pid) in line.split()}
        assert len(rows) == 2, out
        text = ljx("ps", "--json").out
        assert str(one.pid) in text and "LuaJIT 2.1" in text
        json.loads(text)


def test_doctor():
    with luajit(SPIN) as target:
        target.event("stack")
        assert ljx("doctor").out
        assert "LuaJIT" in ljx("doctor", "-p", target.pid).out
        json.loads(ljx("doctor", "-p", target.pid, "--json").out)


@pytest.mark.parametrize("verb", ["doctor", "bt", "layout", "bc -l"])
def test_looking_once(verb):
    """A VM that is replaced while ljx looks may be seen by no single look. Here there is none at first,
    and soon one."""
    for delay in 0, 0.03, 0.06, 0.1, 0.2:
        with host("states") as target:
            target.expect("ok ready")
            with Ljx(*verb.split(), "-p", target.pid) as p:
                p.pump(delay)
                target.say("new vm")
                target.expect("ok new vm")
                assert p.finish() in (OK, EMPTY), p.out + p.err  # EMPTY: no Lua runs


def test_bt():
    with luajit("tests/lua/semantics.lua", "coroutine_nested", "off") as target:
        target.event("stack")
        out = ljx("bt", "-p", target.pid).out
    for word in ("spin tests/lua/truth.lua:", "tests/lua/semantics.lua:271", "pcall",
                 "coroutine.wrap_aux"):
        assert word in out, out


def test_bt_of_an_idle_vm():
    """A coroutine that waits is shown too, without the target doing anything."""
    script = "local co = coroutine.create(function() coroutine.yield(1) end)\n" \
             "coroutine.resume(co)\nio.write('ready\\n') io.flush()\nio.read('*l')\nreturn co"
    with luajit("-e", script) as target:
        target.expect("ready")
        before = cpu_seconds(target.pid)
        out = ljx("bt", "-p", target.pid).out
        assert "io.read" in out and "coroutine.yield" in out, out
        assert cpu_seconds(target.pid) - before < 0.001
        target.say("")


def test_top():
    with luajit(SPIN) as target:
        target.event("stack")
        out = ljx("top", "-b", "-N", 2, "--refresh", 1, "-p", target.pid).out
    assert out.count("spin") >= 2 and "tests/lua/truth.lua" in out, out
    assert "\x1b" not in out


# --- what may happen to a target ---

@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_while_profiled(tmp_path, number):
    out = tmp_path / "x.folded"
    with luajit(SPIN) as target:
        target.event("stack")
        with Ljx("record", "-p", target.pid, "-d", 60, "-r", 499, "-o", out) as p:
            p.wait_sampling()
            target.kill(number)
            assert target.child.wait() == -number
            # Its end is the end of the recording.
            assert p.finish() == 0, p.err
            assert "the target exited after" in p.err
    assert spinning(read_folded(out)) > 0.99


def test_stopped_while_profiled(tmp_path):
    """A stopped target is not sampled, and goes on unharmed."""
    out = str(tmp_path / "x.ljx")
    with luajit(SPIN) as target:
        target.event("stack")
        with Ljx("record", "-p", target.pid, "-d", 4, "-r", 499, "-o", out) as p:
            p.wait_sampling()
            target.kill(signal.SIGSTOP)
            wait_until(lambda: state(target.pid) == "T", "stop")
            stopped = cpu_seconds(target.pid)
            end = time.monotonic() + 1
            wait_until(lambda: time.monotonic() > end, "a second")
            assert cpu_seconds(target.pid) == stopped
            target.kill(signal.SIGCONT)
            wait_until(lambda: cpu_seconds(target.pid) > stopped + 0.1, "it goes on")
            assert p.finish() == 0
        assert alive(target.pid)
    assert spinning(folded(out)) > 0.99


def test_attached_while_stopped(tmp_path):
    """VMs are found in a process that does nothing at all."""
    with luajit(SPIN) as target:
        target.event("stack")
        target.kill(signal.SIGSTOP)
        wait_until(lambda: state(target.pid) == "T", "stop")
        p = ljx("record", "-p", target.pid, "-d", 1, "-o", tmp_path / "x.folded", status=EMPTY)
        assert "no samples" in p.err
        target.kill(signal.SIGCONT)
        assert spinning(folded(record(tmp_path, "-p", target.pid, least=500))) > 0.99


def test_exec_while_profiled(tmp_path):
    """The program it becomes is profiled as well, and nothing of the old one is mixed in."""
    out = str(tmp_path / "x.ljx")
    with host() as target:
        target.expect("ok ready")
        target.say(f"thread old.x {SPIN}")
        target.event("stack")
        with Ljx("record", "-p", target.pid, "-d", 60, "-r", 499, "-o", out) as p:
            p.wait_sampling()
            target.say(f"exec luajit {SPIN}")
            target.expect(r'"file":"tests/lua/spin.lua"')
            p.stop_after(1000)
    stacks = folded(out)
    old = count(stacks, "work old.x:*", "spin tests/lua/truth.lua:*")
    new = count(stacks, f"work {SPIN}:*", "spin tests/lua/truth.lua:*")
    assert old > 50 and new > 300
    assert count(stacks, "work old.x:*", f"work {SPIN}:*") == 0
    assert (old + new) / total(stacks) > 0.9


def test_vm_and_thread_created_later(tmp_path):
    out = str(tmp_path / "x.ljx")
    with host() as target:
        target.expect("ok ready")
        target.say(f"thread first.x {SPIN}")
        target.event("stack")
        with Ljx("record", "-p", target.pid, "-d", 60, "-r", 499, "-o", out) as p:
            p.wait_sampling()
            target.say(f"thread second.x {SPIN}")
            target.expect('"file":"second.x"')
            p.stop_after(2000)
    stacks = folded(out)
    first, second = (count(stacks, f"work {c}.x:*", "spin tests/lua/truth.lua:*")
                     for c in ("first", "second"))
    assert first > 300 and second > 300
    # At most half a second of the second one is without its stack.
    assert total(stacks) - first - second < 250, report(out)["by_why"]


def test_a_thread_shows_only_its_own_vm(tmp_path):
    """Threads wait in C functions that Lua called, while others run C code and no Lua at all: their
    samples are outside Lua, and not in a VM whose C frame happens to lie near."""
    with host() as target:
        target.expect("ok ready")
        for i in range(3):
            target.say(f"thread parked{i}.x tests/lua/park.lua")
            wait_until(lambda i=i: (target.pump(0.01), len(target.events("parked")) > i)[1], "it")
            target.say("burn")
        stacks = folded(record(tmp_path, "-p", target.pid, least=200))
    assert total(stacks) > 100
    assert count(stacks, "[no Lua stack: outside Lua]") == total(stacks), stacks


def test_first_vm_created_later(tmp_path):
    """LuaJIT is mapped, but there is no VM yet."""
    out = str(tmp_path / "x.ljx")
    with host() as target:
        target.expect("ok ready")
        with Ljx("record", "-p", target.pid, "-d", 60, "-r", 499, "-o", out) as p:
            wait_until(lambda: attached(p), "ljx to attach")
            target.say(f"thread late.x {SPIN}")
            target.expect('"file":"late.x"')
            p.stop_after(2000)
    assert spinning(folded(out), "late.x") > 0.8


def attached(p):
    """ljx holds a perf event."""
    p.pump(0)
    assert p.child.poll() is None, p.err
    try:
        return any("perf_event" in os.readlink(f"/proc/{p.pid}/fd/{fd}")
                   for fd in os.listdir(f"/proc/{p.pid}/fd"))
    except OSError:
        return False


@pytest.mark.parametrize("mode", [[], ["--per-thread"]], ids=["per-cpu", "per-thread"])
def test_group_with_children_born_later(tmp_path, mode):
    out = str(tmp_path / "x.ljx")
    with host() as target:
        target.expect("ok ready")
        target.say(f"thread parent.x {SPIN}")
        target.event("stack")
        with Ljx("record", "-g", target.pid, *mode, "-d", 60, "-r", 499, "-o", out) as p:
            p.wait_sampling()
            target.say(f"fork child.x {SPIN}")
            child = int(target.expect(r"ok fork (\d+)").group(1))
            target.expect('"file":"child.x"')
            p.stop_after(3000)
    pids = {q["pid"]: q["samples"] for q in report(out)["processes"]}
    assert pids.get(target.pid, 0) > 200 and pids.get(child, 0) > 200, pids
    assert spinning(folded(out, "--pid", str(child)), "child.x") > 0.8


def test_static(tmp_path):
    with host("host-static") as target:
        target.expect("ok ready")
        target.say(f"thread static.x {SPIN}")
        target.event("stack")
        assert spinning(folded(record(tmp_path, "-p", target.pid, least=500)), "static.x") > 0.99


def bare(_tmp_path):
    """Linked statically, no symbol and no export of LuaJIT's left."""
    program = os.path.join(PROGRAMS, "host-bare")
    with open(program, "rb") as f:
        assert b"lua_pcall" not in f.read()
    return host("host-bare")


def mangled(tmp_path):
    """The library by a name that says nothing."""
    shutil.copy(lib(), tmp_path / "x86.bin")
    return host(env={"LD_PRELOAD": str(tmp_path / "x86.bin")})


@pytest.mark.parametrize("start", [bare, mangled])
def test_nothing_to_go_by(tmp_path, start):
    """Stacks as the target tells them, and all that jit.v logs."""
    log, script = tmp_path / "jit.v", tmp_path / "main.lua"
    script.write_text(f"require('jit.v').on('{log}') arg = {{1}} dofile('tests/lua/recorder.lua')\n"
                      f"require('jit.v').off() dofile('{SPIN}')\n")
    with start(tmp_path) as target:
        target.expect("ok ready")
        with open(f"/proc/{target.pid}/maps") as f:
            text = f.read()
        assert ("libluajit" in text, "x86.bin" in text) == (False, start is mangled)
        target.say(f"main nameless {script}")
        target.expect("^ready$")
        with Ljx("trace", "--jv", "--limit", 0, "-p", target.pid) as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            truth = Truth(target.event("stack", seconds=60))
            want = log.read_bytes().splitlines()
            stacks = sampled(tmp_path, "-p", target.pid, least=300, seconds=0.5, rate=1999)
            p.kill(signal.SIGINT)
            assert p.finish() == 0, p.err
    share, _, errors = truth.share(stacks)
    assert share >= 0.995, errors
    got = p.text["out"].splitlines()
    for i, (a, b) in enumerate(zip(got, want)):
        assert a == b, f"line {i + 1}"
    assert len(got) >= len(want) > 3000  # what spins is compiled as well


def test_no_search_table(tmp_path):
    """The library as if linked with --no-eh-frame-hdr: only its sections tell of .eh_frame. Errors cannot
    be thrown in it, so the script compiles nothing."""
    with open(lib(), "rb") as f:
        elf = bytearray(f.read())
    at, count = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<H", elf, 56)[0]
    for header in range(at, at + 56 * count, 56):
        if struct.unpack_from("<I", elf, header)[0] == 0x6474e550:  # PT_GNU_EH_FRAME
            struct.pack_into("<I", elf, header, 0)
    (tmp_path / "libluajit-5.1.so.2").write_bytes(elf)
    (tmp_path / "main.lua").write_text(f"jit.off() dofile('{SPIN}')\n")
    with host(env={"LD_LIBRARY_PATH": str(tmp_path)}) as target:
        target.expect("ok ready")
        target.say(f"main nameless {tmp_path}/main.lua")
        truth = Truth(target.event("stack"))
        stacks = sampled(tmp_path, "-p", target.pid, least=300, seconds=0.5, rate=1999)
    share, _, errors = truth.share(stacks)
    assert share >= 0.995, errors


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_library_gone_from_disk(tmp_path, what):
    """As after a package upgrade: the file that the process runs is not there any more."""
    copy = tmp_path / "libluajit-5.1.so.2"
    shutil.copy(lib(), copy)
    with host(env={"LD_LIBRARY_PATH": str(tmp_path)}) as target:
        target.expect("ok ready")
        with open(f"/proc/{target.pid}/maps") as f:
            assert str(copy) in f.read()
        copy.unlink()
        if what == "replaced":
            shutil.copy(shutil.which("true"), copy)
        target.say(f"thread gone.x {SPIN}")
        target.event("stack")
        stacks = folded(record(tmp_path, "-p", target.pid, least=500))
    assert spinning(stacks, "gone.x") > 0.99
    assert any(s[-1].startswith(("lj_", "trace#")) for s, _ in stacks)


def test_executable_gone_from_disk(tmp_path):
    program = tmp_path / "own-luajit"
    shutil.copy(shutil.which("luajit"), program)
    with Process(program, SPIN) as target:
        target.event("stack")
        program.unlink()
        assert spinning(folded(record(tmp_path, "-p", target.pid, least=500))) > 0.99


def test_other_mount_namespace(tmp_path):
    """The library's path names another file outside: it must be read through the process."""
    inside = tmp_path / "inside"
    inside.mkdir()
    shutil.copy(shutil.which("true"), inside / "libluajit-5.1.so.2")
    shell = f"mount -t tmpfs none {inside} && cp {lib()} {inside}/libluajit-5.1.so.2 && " \
            f"cd {os.getcwd()} && exec env LD_LIBRARY_PATH={inside} {PROGRAMS}/host"
    with Process("unshare", "-m", "sh", "-c", shell) as target:
        target.expect("ok ready")
        target.say(f"thread inside.x {SPIN}")
        target.event("stack")
        stacks = folded(record(tmp_path, "-p", target.pid, least=500))
    assert spinning(stacks, "inside.x") > 0.99


def test_own_pid_namespace(tmp_path):
    shell = f"cd {os.getcwd()} && exec luajit {SPIN}"
    with in_pid_namespace(shell) as target:
        target.event("stack")
        out = record(tmp_path, "-g", target.pid, least=500)
    assert spinning(folded(out)) > 0.99


# --- ljx record -- CMD ---

def test_command(tmp_path):
    out = tmp_path / "x.folded"
    p = ljx("record", "-r", 499, "-o", out, "--", "luajit", "tests/lua/timed.lua", 1)
    assert p.events("cpu"), "its output is its own"
    stacks = read_folded(out)
    assert count(stacks, "work tests/lua/timed.lua:*") / total(stacks) > 0.95


def test_short_command(tmp_path):
    """One that ends before anybody could look at it: all that its own jit.v logs, and its samples."""
    script, log, out = tmp_path / "short.lua", tmp_path / "jit.v", tmp_path / "x.folded"
    script.write_text("local t, n = {}, 0\n"
                      "for j = 1, 40 do for i = 1, 300 do t[1] = function() return i end end end\n"
                      "for i = 1, 3000 do n = n + #('x'):rep(i % 7) end\n")
    p = ljx("trace", "--jv", "--limit", 0, "--", "luajit", f"-jv={log}", script)
    want = log.read_text().splitlines()
    assert p.out.splitlines() == want and sum("NYI: bytecode" in x for x in want) > 5
    spin = tmp_path / "spin.lua"
    spin.write_text("jit.off() local t = os.clock() while os.clock() - t < 0.3 do end")
    ljx("record", "-r", 999, "-o", out, "--", "luajit", spin)
    stacks = read_folded(out)
    assert count(stacks, f"main chunk {spin}") > 0.9 * total(stacks) > 50


def test_unseen_command():
    """It never has a Lua state: that is said."""
    p = ljx("trace", "--", "true")
    assert "no Lua state of the command was seen" in p.err and p.out == ""


@pytest.mark.parametrize("cmd,status", [
    (["luajit", "tests/lua/timed.lua", "0.3", "5"], 5),
    (["sh", "-c", "luajit tests/lua/timed.lua 0.3; exit 6"], 6),
    (["luajit", "-e", "for i = 1, 1e8 do end require 'ffi'.cdef 'int raise(int);' "
      "require 'ffi'.C.raise(15)"], 143),
])
def test_command_status(tmp_path, cmd, status):
    ljx("record", "-r", 499, "-o", tmp_path / "x.folded", "--", *cmd, status=status)


@pytest.mark.parametrize("cmd,status,why", [
    ("/no/such/program", 127, "No such file or directory"),
    ("no-such-program", 127, "No such file or directory"),
    ("/etc/passwd", 126, "Permission denied"),
])
def test_command_that_cannot_be_run(tmp_path, cmd, status, why):
    """It is said before anything is written or attached."""
    for verb in ["record"], ["trace"], ["top", "-b"]:
        p = ljx(*verb, "-o", tmp_path / "x.ljx", "--", cmd, status=status)
        assert (p.out, p.err) == ("", f"ljx: cannot run '{cmd}': {why}\n")
    assert not list(tmp_path.iterdir())
    said = json.loads(ljx("nyi", "--json", "--", cmd, status=status).out)
    assert said["error"]["code"] == status and why in said["error"]["message"]


def test_command_on_no_path(tmp_path):
    """An executable elsewhere does not hide behind one that may not be run, and without PATH the
    usual folders are searched."""
    (tmp_path / "true").write_text("")
    path = f"{tmp_path}:/usr/bin"
    ljx("trace", "--", "true", env={"PATH": str(tmp_path)}, status=126)
    for env in f"PATH={path}", "-uPATH":
        with Process("env", env, LJX, "trace", "--", "true") as p:
            assert p.finish() == OK and "no Lua state of the command was seen" in p.err


def test_command_through_execs(tmp_path):
    """A chain as resty's: a script that becomes another program that starts LuaJIT."""
    out = str(tmp_path / "x.ljx")
    script = tmp_path / "wrapper"
    script.write_text("#!/bin/sh\nexec env X=1 luajit \"$@\"\n")
    script.chmod(0o755)
    ljx("record", "-r", 499, "-o", out, "--", script, "tests/lua/timed.lua", "1")
    stacks = folded(out)
    assert count(stacks, "work tests/lua/timed.lua:*") / total(stacks) > 0.9


def test_command_through_forks(tmp_path):
    out = str(tmp_path / "x.ljx")
    ljx("record", "-r", 499, "-o", out, "--", "sh", "-c",
        "luajit tests/lua/timed.lua 0.7; luajit tests/lua/timed.lua 0.7; :")
    stacks = folded(out)
    assert count(stacks, "work tests/lua/timed.lua:*") / total(stacks) > 0.9
    assert len([q for q in report(out)["processes"] if q["samples"] > 100]) == 2


@pytest.fixture
def orphans():
    """Whoever loses its parent is a child of this process."""
    prctl, subreaper = ctypes.CDLL(None).prctl, 36
    assert prctl(subreaper, 1, 0, 0, 0) == 0
    yield
    prctl(subreaper, 0, 0, 0, 0)


def held(p):
    """The command of a ljx that holds it, and is stopped meanwhile. None: it let it go before."""
    child, = wait_until(lambda: children(p.pid), "the command")
    wait_until(lambda: state(child) in ("T", "Z"), "it to be held")
    p.kill(signal.SIGSTOP)
    wait_until(lambda: state(p.pid) == "T", "ljx to stop")
    return child if state(child) == "T" else None


def test_killed_while_it_holds_the_command(tmp_path, orphans):
    """Nobody else would let the command go on, which is to run as if there had never been a ljx."""
    for _ in range(20):
        with Ljx("record", "-o", tmp_path / "x.ljx", "--", "luajit", "-e", "print('on') os.exit(7)") as p:
            child = held(p)
            if not child:
                continue
            try:
                assert p.out == ""
                p.kill()
                assert p.child.wait() == -signal.SIGKILL
                p.expect("^on$")
                wait_until(lambda: state(child) == "Z", "its end")
            finally:
                os.kill(child, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            return
    raise AssertionError("it never held the command when it was stopped itself")


# --- nginx ---

def test_nginx_workers(tmp_path):
    """All workers in one profile, and one profile each."""
    with Nginx(tmp_path, workers=2) as nginx, load(nginx, "/t", 6, connections=16) as wrk:
        workers = nginx.workers()
        out = record(tmp_path, "-g", nginx.pid, seconds=4)
        handler = nginx.handler("/t")
        wrk.finish()
    per = {p["pid"]: p["samples"] for p in report(out)["processes"]}
    assert all(per.get(pid, 0) > 100 for pid in workers), (per, workers)
    roots = {s[0] for s, _ in folded(out, "--per-process")}
    assert {f"nginx:{pid}" for pid in workers} <= roots
    assert count(folded(out), handler) / total(folded(out)) > 0.9


def test_nginx_reload(tmp_path):
    """The workers before and after a reload, and no request is lost."""
    out = str(tmp_path / "x.ljx")
    with Nginx(tmp_path, workers=1) as nginx, load(nginx, "/t", 120, keep=False) as wrk:
        before = set(nginx.workers())
        with Ljx("record", "-g", nginx.pid, "-d", 60, "-r", 499, "-o", out) as p:
            wait_until(lambda: p.pump(0.1) and p.samples() > 200, "samples")
            nginx.kill(signal.SIGHUP)
            wait_until(lambda: set(nginx.workers()) - before, "new workers")
            after = set(nginx.workers()) - before
            p.stop_after(1000)
        handler = nginx.handler("/t")
        wrk.kill(signal.SIGINT)
        wrk.finish()
        done, failed = requests(wrk)
    per = {q["pid"]: q["samples"] for q in report(out)["processes"]}
    assert all(per.get(pid, 0) > 50 for pid in before | after), (per, before, after)
    stacks = folded(out)
    assert count(stacks, handler) / total(stacks) > 0.85
    assert done > 10 and failed == 0


def test_nginx_unharmed(tmp_path):
    """Thousands of small requests while ljx comes and goes: every one is answered."""
    with Nginx(tmp_path) as nginx, load(nginx, "/hello", 6) as wrk:
        for i in range(3):
            ljx("record", "-g", nginx.pid, "-d", 1, "-o", tmp_path / f"{i}.folded")
        wrk.finish()
        done, failed = requests(wrk)
    assert done > 1000 and failed == 0, wrk.out
