# SPDX-License-Identifier: MIT
"""Bad targets and bad outputs: a clear message, the right exit code, and nothing sampled is lost."""
import os
import re
import shutil
import signal
import subprocess
import tempfile

import pytest

import left_behind
from harness import (EMPTY, INTERNAL, LJX, PERMISSION, PROGRAMS, TARGET, UNSUPPORTED, USAGE, Ljx,
                     Process, alive, ljx, luajit, read_folded, wait_until)

pytestmark = pytest.mark.privileged

SPIN = "tests/lua/spin.lua"


def one_message(p):
    """One cause, once, besides the progress."""
    lines = [line for line in p.err.splitlines() if line.startswith("ljx: ")
             and not re.match(r"ljx: \d+( of \d+)? s |ljx: wrote ", line)]
    assert len(lines) == 1, p.err
    return lines[0]


def dead_pid():
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_no_such_pid(tmp_path):
    pid = dead_pid()
    for verb in (["record", "-d", 1, "-o", tmp_path / "x.ljx"], ["bt"], ["top", "-b", "-N", 1]):
        p = ljx(*verb, "-p", pid, status=TARGET)
        assert str(pid) in one_message(p)
    assert not (tmp_path / "x.ljx").exists()


@pytest.mark.parametrize("cmd", [["sleep", "60"], ["/usr/bin/python3", "-c", "input()"]])
def test_not_luajit(tmp_path, cmd):
    with Process(*cmd) as target:
        wait_until(lambda: os.readlink(f"/proc/{target.pid}/exe") != LJX, "its exec")
        p = ljx("record", "-d", 1, "-p", target.pid, "-o", tmp_path / "x.ljx", status=UNSUPPORTED)
        assert str(target.pid) in one_message(p)
        assert target.child.poll() is None


def test_kernel_thread(tmp_path):
    """A process, but one without a program. (In a pid namespace there may be none.)"""
    for pid in sorted(int(p) for p in os.listdir("/proc") if p.isdigit())[:20]:
        with open(f"/proc/{pid}/cmdline") as f:
            if not f.read() and alive(pid):
                p = ljx("record", "-d", 1, "-p", pid, "-o", tmp_path / "x.ljx", status=UNSUPPORTED)
                assert "no process" not in one_message(p)
                return


def test_zombie(tmp_path):
    with Process("true") as target:
        wait_until(lambda: not alive(target.pid), "its end")
        p = ljx("record", "-d", 1, "-p", target.pid, "-o", tmp_path / "x.ljx", status=None)
        assert p.child.returncode in (TARGET, UNSUPPORTED) and str(target.pid) in one_message(p)


def test_exits_while_attaching(tmp_path):
    """At whatever moment the target ends, ljx ends as if it had ended a bit later or earlier."""
    for delay in (0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3):
        with luajit("tests/lua/timed.lua", 20) as target:
            wait_until(lambda: b"timed" in open(f"/proc/{target.pid}/cmdline", "rb").read(), "exec")
            with Ljx("record", "-p", target.pid, "-d", 600, "-o", tmp_path / "x.folded") as p:
                p.pump(delay)  # any moment will do
                target.kill()
                target.child.wait()
                code = p.finish()
        assert code in (0, TARGET, UNSUPPORTED, EMPTY), p.err
        assert "ljx: " in p.err or code == 0


def test_idle_target(tmp_path):
    with luajit("-e", "io.write('ready\\n') io.flush() io.read()") as target:
        target.expect("ready")
        p = ljx("record", "-d", 1, "-p", target.pid, "-o", tmp_path / "x.folded", status=EMPTY)
        assert "no samples" in one_message(p)


def test_not_permitted():
    """Another user's process, without any capability."""
    with luajit(SPIN) as target, tempfile.TemporaryDirectory() as work:
        target.event("stack")
        program = os.path.join(work, "ljx")
        shutil.copy(LJX, program)
        os.chmod(work, 0o777)
        with Process("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                     "--bounding-set=-all", program, "record", "-p", target.pid, "-d", 1,
                     "-o", "x.ljx", cwd=work) as p:
            assert p.finish() == PERMISSION, p.err
        # What was refused, and what helps.
        assert re.search("EPERM|EACCES|ermission", one_message(p)) and "CAP_" in p.err, p.err
        assert os.listdir(work) == ["ljx"]


@pytest.mark.parametrize("ext", ["ljx", "folded", "svg"])
def test_unwritable_output(tmp_path, ext):
    """Told before anything is sampled."""
    with luajit(SPIN) as target:
        target.event("stack")
        out = tmp_path / "none" / f"x.{ext}"
        p = ljx("record", "-p", target.pid, "-d", 600, "-o", out, status=INTERNAL)
        assert str(out) in one_message(p)


def test_full_disk(tmp_path):
    """One output that cannot be written does not cost the other."""
    small = tmp_path / "small"
    small.mkdir()
    good = tmp_path / "x.folded"
    shell = f"mount -t tmpfs -o size=4k none {small} && exec {LJX} record -p $1 -d 2 -r 499 " \
            f"-o {small}/x.ljx -o {good}"
    with luajit(SPIN) as target:
        target.event("stack")
        with Process("unshare", "-m", "sh", "-c", shell, "sh", target.pid) as p:
            assert p.finish() == INTERNAL, p.err
    assert "x.ljx" in p.err
    told = re.findall(r"(\d+) samples", p.err)[-1]
    assert sum(n for _, n in read_folded(good)) == int(told) > 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path, number):
    """Writes what there is."""
    outs = [tmp_path / f"x.{ext}" for ext in ("ljx", "folded", "svg")]
    with luajit(SPIN) as target:
        target.event("stack")
        with Ljx("record", "-p", target.pid, "-d", 60, "-r", 499,
                 *[a for out in outs for a in ("-o", out)]) as p:
            p.wait_sampling()
            p.interrupt(number)
    assert all(out.stat().st_size > 100 for out in outs)
    stacks = read_folded(outs[1])
    assert sum(n for _, n in stacks) > 0
    ljx("report", outs[0])
    assert not [f for f in os.listdir(tmp_path) if f not in {o.name for o in outs}], "left-overs"


@pytest.mark.parametrize("args, says", [
    (["reprot"], "unknown verb 'reprot' (did you mean report?)"),
    (["nothing"], "unknown verb 'nothing'"),
    (["tr"], "ambiguous verb 'tr': trace, traces"),
    (["report", "x.ljx", "-f", "svg"], "-f svg is the format of no file"),
    (["record", "-f", "folded"], "-f folded is the format of no file"),
    (["diff", "x.ljx", "x.ljx", "-f", "svg"], "-f svg is the format of no file"),
    # Before the recording is read, which takes its time.
    (["report", "no-such-file.ljx", "-o", "x.what"], "cannot tell the format of 'x.what'"),
])
def test_usage(args, says):
    """The message comes first, and nothing but the next step after it."""
    p = ljx(*args, status=USAGE)
    lines = p.err.splitlines()
    assert lines[0] == f"ljx: {says}" and len(lines) == 2 and not p.out


def test_nothing_in_it(example):
    """A recording that ended before its first block: no build to name, no samples."""
    with open(example, "r+b") as f:
        f.truncate(40)
    p = ljx("report", example)
    assert p.out.startswith("0 samples") and p.out.endswith("(no samples)\n")
    assert "was not finished by its writer" in p.err


def test_nothing_that_matches(example):
    assert "(no samples that match)" in ljx("report", example, "--pid", 7).out
    p = ljx("annotate", "app.lua:9999", example, status=EMPTY)
    assert "no function of the samples matches 'app.lua:9999'" in p.err and not p.out
    formats = ljx("diff", "--help").out.partition("Formats")[2]
    assert ".svg" in formats and ".pb.gz" not in formats


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_left_behind(tmp_path, number):
    """After a kill -9 no program, no event; the recording is good up to its last whole second."""
    out = tmp_path / "x.ljx"
    with luajit(SPIN) as target:
        target.event("stack")
        with Ljx("record", "-p", target.pid, "-d", 60, "-r", 499, "-o", out) as p:
            p.wait_sampling()
            mine = left_behind.objects(p.pid)
            assert {"prog_id", "map_id"} <= {kind for kind, _ in mine}
            assert left_behind.living(mine), "it has programs while it runs"
            wait_until(lambda: list(tmp_path.glob("*")) and
                       max(f.stat().st_size for f in tmp_path.glob("*")) > 5000, "a block")
            p.kill(number)
            p.child.wait()
        wait_until(lambda: not left_behind.living(mine), "the programs to go")
        assert target.child.poll() is None
    left = list(tmp_path.glob("*"))
    assert len(left) == 1, left
    got = ljx("report", left[0], status=0)
    assert "spin" in got.out


def test_without_a_terminal_or_home(tmp_path):
    with luajit(SPIN) as target:
        target.event("stack")
        env = {"HOME": "/nonexistent", "TERM": "", "LANG": "C"}
        p = ljx("record", "-p", target.pid, "-d", 1, "-o", tmp_path / "x.svg", env=env)
        assert "\x1b" not in p.err
        quiet = ljx("record", "-q", "-p", target.pid, "-d", 1, "-o", tmp_path / "x.svg", env=env)
        assert len(quiet.err) < len(p.err)


def test_layout_is_verified(tmp_path):
    """A host whose VM does not exist yet is not refused as a wrong layout."""
    with Process(f"{PROGRAMS}/host") as target:
        target.expect("ok ready")
        p = ljx("record", "-p", target.pid, "-d", 1, "-o", tmp_path / "x.folded", status=None)
        assert p.child.returncode in (EMPTY, UNSUPPORTED), p.err


def verbs():
    if not os.path.exists(LJX):
        return []
    usage = subprocess.run([LJX, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  (\w+) +\S", usage, re.M)


@pytest.mark.parametrize("verb", verbs())
def test_help_and_options(verb):
    """Each option that a verb's help has is one that it takes."""
    text = ljx(verb, "--help").out
    options = re.findall(r"^  (--?[\w-]+)", text, re.M) + re.findall(r"\[(--[\w-]+)", text)
    for option in set(options) - {"--"}:
        p = ljx(verb, option, "x", "--no-such-option", status=USAGE)
        assert f"unknown option {option}" not in p.err, p.err
        assert re.search("unknown option|bad value|cannot open 'x'", p.err), p.err
