# SPDX-License-Identifier: MIT
"""What other kernels lack, taken away here: the programs for old ones, and no BTF."""
import subprocess

import pytest

from frames import count, total
from harness import LJX, Ljx, Process, ljx, luajit, read_folded

pytestmark = pytest.mark.privileged

SPIN = "tests/lua/spin.lua"
FORMS = {"old": ["--old-bpf"], "new": []}
# Calls of the kernel, made by a C function that Lua called.
CALLS = "local f = io.open('/dev/zero') f:setvbuf('no') " \
        "local function calls() for i = 1, 1e9 do f:read(262144) end end jit.off(calls) " \
        "io.write('ready\\n') io.flush() calls()"


def without_btf(*args):
    """ljx where the kernel does not tell its structures. Runs to its end."""
    shell = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\""
    p = Process("unshare", "-m", "sh", "-c", shell, "sh", LJX, *args, limit=False)
    with p:
        assert p.finish() == 0, p.err
    return p


def run(btf, *args):
    return ljx(*args) if btf else without_btf(*args)


@pytest.mark.parametrize("btf", [True, False], ids=["btf", "nobtf"])
@pytest.mark.parametrize("form", FORMS)
def test_user_mode(tmp_path, form, btf):
    out = tmp_path / "x.folded"
    with luajit(SPIN) as target:
        target.event("stack")
        run(btf, "record", "-p", target.pid, "-d", 2, "-r", 499, "-o", out, *FORMS[form])
    stacks = read_folded(out)
    assert total(stacks) > 50
    assert count(stacks, f"work {SPIN}:*", "spin tests/lua/truth.lua:*") / total(stacks) > 0.97


@pytest.mark.parametrize("btf", [True, False], ids=["btf", "nobtf"])
@pytest.mark.parametrize("form", FORMS)
def test_kernel_mode(tmp_path, form, btf):
    """In the kernel the registers of user mode are found, or the walk does without and says so."""
    out = tmp_path / "x.folded"
    with luajit("-e", CALLS) as target:
        target.expect("ready")
        run(btf, "record", "-p", target.pid, "-d", 2, "-r", 499, "-o", out, *FORMS[form])
    kernel = [(s, n) for s, n in read_folded(out) if s[-1] == "[kernel]"]
    whole = sum(n for s, n in kernel if any(f.startswith("calls ") for f in s))
    none = sum(n for s, n in kernel if s[0].startswith("[no Lua stack: kernel: no user registers"))
    assert total(kernel) > 30
    assert whole / total(kernel) > (0.98 if btf else 0.9), kernel
    # What is not whole is said to be so, never guessed.
    assert whole + none == total(kernel) or btf, kernel


@pytest.mark.parametrize("probe", ["uprobe", "watch"])
def test_trace_events(tmp_path, probe):
    """The programs for old kernels say of the recorder what jit.v says, byte for byte."""
    theirs = tmp_path / "jit.v"
    with luajit(f"-jv={theirs}", "tests/lua/recorder.lua") as target:
        target.expect("^ready$")
        with Ljx("trace", "-p", target.pid, f"--probe={probe}", "--jv", "--old-bpf") as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            target.finish(120)
            assert p.finish() == 0, p.err
            got = p.text["out"]
    assert got == theirs.read_bytes() and got.count(b"\n") > 1000


def test_children_without_btf(tmp_path):
    """Forks are not told, so children are looked for."""
    out = tmp_path / "x.folded"
    without_btf("record", "-r", 499, "--per-process", "-o", out, "--", "sh", "-c",
                "luajit tests/lua/timed.lua 1; luajit tests/lua/timed.lua 1; :")
    stacks = [(s, n) for s, n in read_folded(out)
              if any(f.startswith("work tests/lua/timed.lua:") for f in s)]
    assert len({s[0] for s, _ in stacks}) == 2 and total(stacks) > 100


def test_both_forms_have_the_same_variables():
    """The loader reads and writes those of either form by one description."""
    def variables(path):
        out = subprocess.run(["readelf", "-sW", path], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
        return {line.split()[7]: line.split()[1:3] + line.split()[6:7]
                for line in out.splitlines() if " OBJECT  GLOBAL " in line}

    new, old = (variables(f"build/skel/{n}.bpf.o") for n in ("sampler", "sampler_old"))
    for name in ("config", "counters", "limit", "tallies_full"):
        assert new[name][:2] == old[name][:2], name
