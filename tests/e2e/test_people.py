# SPDX-License-Identifier: MIT
"""Who may run ljx: each set of capabilities, what works with it, and what is said of what does not."""
import json
import os
import re
import shutil
import subprocess

import pytest

from frames import count, total
from harness import (LJX, OK, PERMISSION, PROGRAMS, Ljx, Process, ljx, luajit, read_folded, seccomp,
                     wait_until)

pytestmark = [pytest.mark.privileged, pytest.mark.beside(0.8)]

SPIN = "tests/lua/spin.lua"
NOBODY = 65534
ALL = ["bpf", "perfmon", "sys_ptrace"]


@pytest.fixture
def place(tmp_path_factory):
    """A folder of nobody's with a copy of ljx, reachable for all."""
    path = tmp_path_factory.mktemp("people")
    for folder in (path, path.parent, path.parent.parent):
        os.chmod(folder, 0o755)
    shutil.copy(LJX, path / "ljx")
    os.chown(path, NOBODY, NOBODY)
    return path


def nobody(caps, program, *args, **kwargs):
    """Runs a program as nobody with these capabilities, as ambient ones."""
    plus = "".join(f",+{c}" for c in caps)
    p = Process("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                f"--inh-caps=-all{plus}", f"--ambient-caps=-all{plus}", f"--bounding-set=-all{plus}",
                program, *args, limit=False, **kwargs)
    with p:
        p.status = p.finish()
    return p


@pytest.mark.parametrize("caps,first", [
    ([], "memory: .*EACCES"),
    (["bpf"], "memory: .*EACCES"),
    (["perfmon"], "memory: .*E(ACCES|PERM)"),
    (["bpf", "perfmon"], "memory: .*E(ACCES|PERM)"),
    (["sys_ptrace"], "BPF sampler: .*EPERM, missing: CAP_BPF CAP_PERFMON$"),
    (["sys_ptrace", "bpf"], "BPF sampler: .*EPERM, missing: CAP_PERFMON$"),
    (["sys_ptrace", "perfmon"], "BPF sampler: .*EPERM, missing: CAP_BPF$"),
    (["sys_admin"], "memory: .*E(ACCES|PERM)"),
    (ALL, ""),
    (["sys_ptrace", "sys_admin"], ""),
], ids=lambda v: "+".join(v) if isinstance(v, list) else None)
def test_first_cause(place, caps, first):
    """What ljx doctor names first is what is missing; and with nothing missing all works."""
    with luajit(SPIN) as target:
        target.event("stack")
        p = nobody(caps, place / "ljx", "doctor", "-p", target.pid, "--json", cwd=place)
        record = nobody(caps, place / "ljx", "record", "-p", target.pid, "-d", 1, "-r", 499,
                        "-o", "x.folded", cwd=place)
    got = json.loads(p.out)
    assert re.match(first, got["first"]) and bool(first) == bool(got["first"]), got
    assert got["ok"] == (not first)
    assert record.status == (PERMISSION if first else OK), record.err
    if first:
        # The same cause, and a way out.
        assert ("CAP_" in record.err and re.search("setcap|sudo", record.err)), record.err
        assert not os.path.exists(place / "x.folded")
        return
    stacks = read_folded(place / "x.folded")
    assert count(stacks, f"work {SPIN}:*") / total(stacks) > 0.95
    assert os.stat(place / "x.folded").st_uid == NOBODY


def test_root_without_capabilities():
    """As in a container: that it is root is not the point."""
    with luajit(SPIN) as target:
        target.event("stack")
        with Process("setpriv", "--bounding-set=-all,+dac_override", "--inh-caps=-all", LJX, "record",
                     "-p", target.pid, "-d", 1, "-o", "/dev/null", "-f", "ljx") as p:
            assert p.finish() == PERMISSION
    assert "as root, but without" in p.err and "--cap-add" in p.err and "sudo" not in p.err, p.err


def test_user_namespace():
    """Root of a user namespace has all capabilities, and may do nothing here."""
    with Process("unshare", "-U", "-r", LJX, "doctor") as p:
        p.finish()
    assert re.search("FAIL BPF sampler .*EPERM", p.out) and "user namespace" in p.out, p.out


@pytest.mark.parametrize("caps,first", [
    ([], "BPF sampler: .*EPERM, missing: CAP_BPF CAP_PERFMON$"),
    (["bpf"], "BPF sampler: .*EPERM, missing: CAP_PERFMON$"),
    (["perfmon"], "BPF sampler: .*EPERM, missing: CAP_BPF$"),
    (["bpf", "perfmon"], ""),
], ids=lambda v: "+".join(v) or "none" if isinstance(v, list) else None)
def test_own_target(place, caps, first):
    """One's own processes may be read without capabilities: what is missing then is the others."""
    with as_nobody("luajit", SPIN) as target:
        target.event("stack")
        got = json.loads(nobody(caps, place / "ljx", "doctor", "-p", target.pid, "--json", cwd=place).out)
    assert re.match(first, got["first"]) and bool(first) == bool(got["first"]), got


def as_nobody(*cmd):
    return Process("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *cmd)


def test_root_without_ptrace():
    """Root with all but the right to read others."""
    with as_nobody("luajit", SPIN) as target:
        target.event("stack")
        with Process("setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-all", LJX, "doctor", "-p",
                     target.pid, "--json", limit=False) as p:
            p.finish()
    assert re.match("memory: .*E(ACCES|PERM)", json.loads(p.out)["first"]), p.out
    assert "CAP_SYS_PTRACE" in p.out and "--cap-add" in p.out and "sudo" not in p.out, p.out


@pytest.mark.parametrize("call,first", [("321", "BPF sampler: .*EPERM"),
                                        ("298", "cpu-clock events: perf_event_open: EPERM"),
                                        ("310", "memory: .*EPERM")],
                         ids=["bpf", "perf_event_open", "process_vm_readv"])
def test_seccomp(call, first):
    """A filter that forbids a call is named, for all capabilities are there."""
    with luajit(SPIN) as target:
        target.event("stack")
        with Process(*seccomp(call), LJX, "doctor", "-p", target.pid, "--json", limit=False) as p:
            p.finish()
    assert re.match(first, json.loads(p.out)["first"]), p.out
    assert "seccomp filter" in p.out, p.out


def test_paranoid(tmp_path):
    """Debian's kernels want more than CAP_PERFMON. This one does not, so both are made up."""
    (tmp_path / "paranoid").write_text("3\n")
    shell = f"mount --bind {tmp_path}/paranoid /proc/sys/kernel/perf_event_paranoid && " \
            f"LJX_FAULT='perf+ 1 13' LD_PRELOAD={PROGRAMS}/faults.so exec {LJX} doctor --json"
    with Process("unshare", "-m", "sh", "-c", shell, limit=False) as p:
        p.finish()
    assert re.match("cpu-clock events: perf_event_open: EACCES although CAP_PERFMON is set: .*"
                    r"perf_event_paranoid <= 2 \(now 3\)", json.loads(p.out)["first"]), p.out
    assert "sysctl kernel.perf_event_paranoid=2" in p.out


@pytest.mark.parametrize("gone", ["/sys/kernel/tracing /sys/kernel/debug", "/sys"])
def test_no_tracefs(tmp_path, gone):
    """Neither tracefs nor sysfs is needed: not for samples, not for trace events."""
    hide = "; ".join(f"mount -t tmpfs none {path}" for path in gone.split() if os.path.isdir(path))
    script = tmp_path / "storm.lua"
    script.write_text("while true do for i = 1, 300 do local f = function() return i end end jit.flush() end")
    with luajit(script) as target:
        for args in (["doctor", "-p", target.pid], ["trace", "-N", 50, "-p", target.pid],
                     ["record", "-r", 499, "-d", 1, "-p", target.pid, "-o", tmp_path / "x.folded"]):
            with Process("unshare", "-m", "sh", "-c", f'{hide}; exec "$@"', "sh", LJX, *args,
                         limit=False) as p:
                assert p.finish() == OK, p.out + p.err
            assert args[0] != "trace" or p.out.count("\n") == 50
    assert total(read_folded(tmp_path / "x.folded")) > 20


def test_file_capabilities(place):
    subprocess.run(["setcap", ",".join(f"cap_{c}" for c in ALL) + "+ep", place / "ljx"], check=True,
                   env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin"))
    with luajit(SPIN) as target:
        target.event("stack")
        with Process("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                     place / "ljx", "record", "-p", target.pid, "-d", 1, "-r", 499, "-o", "x.folded",
                     limit=False, cwd=place) as p:
            assert p.finish() == OK, p.err
    stacks = read_folded(place / "x.folded")
    assert count(stacks, f"work {SPIN}:*") / total(stacks) > 0.95


@pytest.mark.parametrize("probe", ["uprobe", "watch"])
def test_trace_without_admin(place, probe):
    """Trace events need no CAP_SYS_ADMIN: they are those that jit.v tells."""
    theirs = place / "jit.v"
    with luajit(f"-jv={theirs}", "tests/lua/recorder.lua") as target:
        target.expect("^ready$")
        plus = "".join(f",+{c}" for c in ALL)
        with Process("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                     f"--inh-caps=-all{plus}", f"--ambient-caps=-all{plus}", place / "ljx", "trace",
                     "-p", target.pid, f"--probe={probe}", "--jv", limit=False, cwd=place) as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            target.finish(120)
            assert p.finish() == OK, p.err
    assert p.text["out"] == theirs.read_bytes() and p.out.count("\n") > 1000


def capabilities(pid):
    with open(f"/proc/{pid}/status") as f:
        return {k: int(v, 16) for k, v in re.findall(r"^(Cap\w+):\s*(\w+)$", f.read(), re.M)}


def test_privileges_are_dropped(tmp_path):
    """Root keeps what it needs for processes to come, and nothing else."""
    may = sum(1 << n for n in (2, 19, 38, 39, 40))  # DAC_READ_SEARCH ... CHECKPOINT_RESTORE
    admin, write = 1 << 21, 1 << 0 | 1 << 1
    with luajit(SPIN) as target:
        target.event("stack")
        for args, extra in (
                (["top", "-b"], 0), (["trace", "--probe=watch"], 0), (["trace"], admin),
                (["record", "-o", tmp_path / "x.ljx", "--probe=off"], 0),
                (["record", "-o", tmp_path / "x.svg"], write)):
            with Ljx(*args, "-p", target.pid) as p:
                wait_until(lambda: not capabilities(p.pid)["CapEff"] & 1 << 12, "it to drop them")
                now = capabilities(p.pid)
                assert not now["CapEff"] & ~(may | extra), (args, hex(now["CapEff"]))
                assert now["CapPrm"] == now["CapEff"] and not now["CapBnd"] & 1 << 12
                p.kill(2)
                p.finish()
        with Ljx("top", "-b", "--no-drop-root", "-p", target.pid) as p:
            p.expect("SELF%")
            assert capabilities(p.pid)["CapEff"] & 1 << 12


def test_later_processes_after_the_drop(tmp_path):
    """Children that come when the privileges are gone are attached and traced all the same."""
    out, script = tmp_path / "x.ljx", tmp_path / "anew.lua"
    script.write_text("while os.clock() < 1.5 do loadstring('for i = 1, 200 do end')() end\n")
    shell = f"luajit {script}; luajit {script}; :"
    with Ljx("record", "-r", 499, "-o", out, "--", "sh", "-c", shell) as p:
        assert p.finish() == OK, p.err
    ljx("report", out, "--per-process", "-o", tmp_path / "x.folded")
    roots = {s[0] for s, _ in read_folded(tmp_path / "x.folded") if s[0].startswith("luajit:")}
    assert len(roots) == 2
    events = [json.loads(line) for line in ljx("trace", "--json", out).out.splitlines()]
    stops = [e["pid"] for e in events if e["type"] == "stop"]
    assert len(set(stops)) == 2 and len(stops) > 20


def test_outputs_belong_to_who_ran_sudo(tmp_path):
    os.chown(tmp_path, NOBODY, NOBODY)
    with luajit(SPIN) as target:
        target.event("stack")
        names = [tmp_path / f"x.{ext}" for ext in ("ljx", "folded", "svg")]
        ljx("record", "-p", target.pid, "-d", 1, "-r", 499, *[a for n in names for a in ("-o", n)],
            env={"SUDO_UID": str(NOBODY), "SUDO_GID": str(NOBODY)})
    assert {(os.stat(n).st_uid, os.stat(n).st_gid) for n in names} == {(NOBODY, NOBODY)}
