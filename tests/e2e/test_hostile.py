# SPDX-License-Identifier: MIT
"""Targets that lie (tests/c/liar.c) and files that do: ljx ends, within bounds, and says what it does
not know; the target is none the worse for it."""
import json
import os
import random
import re
import shutil
import struct
import subprocess
import threading
import time

import pytest

from harness import EMPTY, LJX, OK, PROGRAMS, ROOT, UNSUPPORTED, Process, alive, ljx

LIBRARY = "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"

# What one run of ljx may take, whatever the target says: seconds of CPU time, MB. Usual are 0.3 and 30.
CPU, RSS = 8, 128
# An end that never comes is found out on a busy machine, too.
WALL = 120
SANITIZED = 20 if "asan" in LJX else 1

# Mode -> reasons of which the samples without a whole stack have at least one; None: stacks are whole.
MODES = {
    "frames": {"inconsistent frame"},
    "base": {"no valid stack base"},
    "stack": {"no valid stack base", "inconsistent frame", "memory not readable"},
    "cur_L": {"no VM found yet", "outside Lua"},
    "cframes": {"outside Lua"},
    "vmstate": {"no valid stack base", "no VM found yet"},
    "proto-sizes": {"no VM found yet", "undefined"},
    "proto-lines": {"undefined", "no VM found yet"},
    "chunknames": None,
    "trace-table": None,
    "traces": None,
    "snapshots": None,
    "penalties": None,
    "many-protos": None,
    "bodies": None,
    "flip": {"no VM found yet", "outside Lua", "no valid stack base", "undefined"},
    "vanish": {"no VM found yet", "outside Lua", "no valid stack base", "memory not readable"},
}

VERBS = {
    "record": ["record", "-d", "0.7", "-r", "499", "-o", "{tmp}/r.ljx", "-p", "{pid}"],
    "nyi": ["nyi", "-d", "0.3", "-p", "{pid}"],
    "bt": ["bt", "-p", "{pid}"],
    "trace": ["trace", "-d", "0.3", "-p", "{pid}"],
    "traces": ["traces", "-d", "0.3", "-p", "{pid}"],
    "top": ["top", "-b", "-d", "1.2", "-p", "{pid}"],
    "bc": ["bc", "-l", "victim", "-p", "{pid}"],
    "annotate": ["annotate", "func:down", "-d", "0.3", "-p", "{pid}"],
    "doctor": ["doctor", "-p", "{pid}"],
    "ps": ["ps"],
}


@pytest.fixture(scope="session")
def layout():
    """Where the fields are, for the liar."""
    got = json.loads(ljx("layout", "-f", LIBRARY, "--json").out)["layouts"][0]["fields"]
    return " ".join(f"{name}={value}" for name, value in got.items())


def liar(layout, mode, *files, **env):
    return Process(os.path.join(PROGRAMS, "liar"), mode, *files, limit=False,
                   env=dict(env, LAYOUT=layout))


class Run:
    """A run of ljx whose use of resources is known."""

    def __init__(self, args, tmp, pid=0, *wrapper):
        self.args = [a.format(tmp=tmp, pid=pid) for a in args]
        self.path = tmp / f"{self.args[0]}.out"
        with open(self.path, "wb") as out:
            self.child = subprocess.Popen([*wrapper, LJX, *self.args], stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=subprocess.STDOUT)
        self.most = 0
        self.watcher = threading.Thread(target=self.watch)
        self.watcher.start()

    def watch(self):
        """Its peak of memory, in KB. What wait4 tells is not less than what this process had itself."""
        while True:
            with open(f"/proc/{self.child.pid}/status") as f:
                found = re.search(r"^VmHWM:\s*(\d+)", f.read(), re.M)
            if not found:
                return  # it has ended
            self.most = int(found[1])
            time.sleep(0.02)

    def finish(self, *codes, cpu=CPU, rss=RSS):
        end, pid = time.monotonic() + WALL, 0
        while not pid:
            # It is a zombie until the watcher has seen that.
            if self.watcher.is_alive() and time.monotonic() < end:
                time.sleep(0.02)
                continue
            pid, status, used = os.wait4(self.child.pid, os.WNOHANG)
            if not pid and time.monotonic() > end:
                self.child.kill()
                end += WALL
                assert False, f"{self.args} does not end:\n{self.text()[-2000:]}"
            time.sleep(0.02)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        text = self.text()
        assert self.child.returncode in codes, f"{self.args}: {self.child.returncode}\n{text[-2000:]}"
        seconds = used.ru_utime + used.ru_stime
        assert seconds < cpu * SANITIZED, f"{self.args} took {seconds} s of CPU time"
        assert 0 < self.most < rss * 1024 * SANITIZED, f"{self.args} took {self.most} KB"
        bad = {c for c in text if (c < " " and c not in "\n\t") or c in "\x7f\x9b"}
        assert not bad, f"{self.args} printed {bad}"
        return text

    def text(self):
        return self.path.read_bytes().decode(errors="surrogateescape")


def truth(target):
    """It lives, and what it computes is right."""
    target.say("truth")
    told = target.event("truth")
    assert told["rounds"] > 0 and told["wrong"] == 0 and alive(target.pid)


def reasons(path):
    got = json.loads(ljx("report", path, "--json").out)
    unknown = set(got["by_why"]) | ({"undefined"} if got["undefined"] else set())
    return got, unknown


@pytest.mark.privileged
@pytest.mark.parametrize("mode", MODES)
def test_lies(tmp_path, layout, mode):
    """All that reads a process, on each kind of lie; each sample is told or has a reason."""
    others = [v for v in VERBS if v not in ("record", "nyi", "bt")]
    some = others if os.environ.get("LJX_HOSTILE") == "all" else \
        [others[list(MODES).index(mode) % len(others)]]
    with liar(layout, mode) as target:
        target.event("lying", seconds=60)
        runs = [Run(VERBS[v], tmp_path, target.pid) for v in ("record", "nyi", "bt")]
        for run in runs:
            run.finish(OK)
        for verb in some:
            Run(VERBS[verb], tmp_path, target.pid).finish(OK, EMPTY)
        truth(target)
    got, unknown = reasons(tmp_path / "r.ljx")
    assert got["samples"] > 10 and "worker" in json.dumps(got["functions"])
    if MODES[mode]:
        assert unknown & MODES[mode], unknown
    else: # but for a VM that did not verify, as it may when its traces lie
        refused = got["by_why"].get("no VM found yet", 0)
        assert got["with_lua"] + refused >= 0.8 * got["samples"], got["by_why"]
        assert not refused or "trace" in mode


@pytest.mark.privileged
def test_honest(tmp_path, layout):
    """The same target, when it does not lie, is told of whole: the bounds are not met by doing nothing."""
    with liar(layout, "honest") as target:
        target.event("lying")
        Run(VERBS["record"], tmp_path, target.pid).finish(OK)
        stacks = Run(VERBS["bt"], tmp_path, target.pid).finish(OK)
        nyi = Run(VERBS["nyi"], tmp_path, target.pid).finish(OK)
        truth(target)
    got, _ = reasons(tmp_path / "r.ljx")
    assert got["with_lua"] > 0.8 * got["samples"]
    assert stacks.count("down victim:9") >= 30 and "victim:5 loop" in nyi


@pytest.mark.privileged
def test_thousands_of_vms(tmp_path, layout):
    """Six thousand VMs that verify: as many as ljx looks at, and how many it does not."""
    with liar(layout, "many-vms") as target:
        target.event("lying", seconds=60)
        record = Run(VERBS["record"], tmp_path, target.pid)
        text = record.finish(OK)
        assert "VMs, or what looks like VMs, were not looked at: too many" in text
        assert "VMs are too many for one process" in text
        stacks = Run(VERBS["bt"], tmp_path, target.pid).finish(OK)
        assert stacks.count("global_State") > 1000
        Run(VERBS["nyi"], tmp_path, target.pid).finish(OK)
        doctor = Run(VERBS["doctor"], tmp_path, target.pid).finish(OK)
        assert re.search(r"^note VM +\d+ more, or what looks like them, were not looked at",
                         doctor, re.M), doctor
        truth(target)


@pytest.mark.privileged
def test_no_end_of_candidates(tmp_path, layout):
    """Sixteen million places that look like a VM at first do not hide those that are."""
    with liar(layout, "half-vms") as target:
        target.event("lying", seconds=60)
        Run(VERBS["record"], tmp_path, target.pid).finish(OK)
        assert "global_State" in Run(VERBS["bt"], tmp_path, target.pid).finish(OK)
        truth(target)


@pytest.mark.privileged
def test_too_many_near_vms(tmp_path, layout):
    """Ten thousand VMs but for one thing each, more than are verified, do not hide those that are."""
    with liar(layout, "near-vms") as target:
        target.event("lying", seconds=60)
        assert ", verified" in Run(["layout", "-p", "{pid}"], tmp_path, target.pid).finish(OK)
        truth(target)


# ---- files ----


def elf(phdrs=(), sections=(), pieces=()):
    """An ELF file of 4 GB, nearly all of it a hole, as [(offset, bytes)]. Program headers: (type, flags,
    offset, size); section headers: (type, flags, offset, size, link, entry size)."""
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 3, 62, 1, 0, 64, 512 * 1024, 0, 64, 56,
                       len(phdrs), 64, len(sections), 0)
    for kind, flags, off, length in phdrs:
        head += struct.pack("<IIQQQQQQ", kind, flags, off, off, off, length, length, 4096)
    table = b"".join(struct.pack("<IIQQQQIIQQ", 0, kind, flags, off, off, length, link, 0, 1, entsize)
                     for kind, flags, off, length, link, entsize in sections)
    return [(0, head), (512 * 1024, table), *pieces, (4 * GB - 1, b"\0")]


NEXT = bytes.fromhex("0fb6cc0fb6e84883c304c1e81041ff24ee")
MB, GB = 1 << 20, 1 << 30
# As many dispatch sequences as an interpreter has, so that all that is known of LuaJIT is asked of it.
CODE = (MB, b"".join(NEXT.ljust(160, b"\x90") for _ in range(97)))
LOAD = (1, 5, 0, 4 * GB)
NONE = (0, 0, 0, 0, 0, 0)

FILES = {
    "segments": lambda: elf([LOAD] * 4000),
    "interpreter": lambda: elf([LOAD] * 100, pieces=[CODE]),
    "symbols": lambda: elf([LOAD], [NONE, (2, 0, MB, GB, 2, 24), (3, 0, MB, GB, 0, 0)], [CODE]),
    "relocations": lambda: elf([LOAD], [NONE] + [(4, 2, MB, GB, 0, 24)] * 8000, [CODE]),
    "notes": lambda: elf([LOAD] + [(4, 4, MB, 65536)] * 4000, [(7, 0, MB, 65536, 0, 0)] * 8000,
                         [(MB, b"\1\0\0\0\1\0\0\0\3\0\0\0" * 6000)]),
    # A quarter of a million symbols of one name of a megabyte.
    "one name": lambda: elf(
        [LOAD], [NONE, (2, 0, 2 * MB, 6 * MB, 2, 24), (3, 0, 64 * MB, 2 * MB, 0, 0)],
        [CODE, (2 * MB, struct.pack("<IBBHQQ", 1, 2, 0, 2, MB, GB) * (MB // 4)),
         (64 * MB, b"\0" + b"x" * MB)]),
}


def put(path, what):
    with open(path, "wb") as f:
        for at, data in FILES[what]():
            f.seek(at)
            f.write(data)
    return path


@pytest.mark.parametrize("what", FILES)
def test_file(tmp_path, what):
    """Files that claim more than they have: a clear error, in time."""
    path = put(tmp_path / "lib.so", what)
    Run(["layout", "-f", str(path)], tmp_path).finish(OK, UNSUPPORTED, rss=700)
    Run(["bc", "51", "-f", str(path)], tmp_path).finish(OK, UNSUPPORTED, 3, rss=700)


@pytest.mark.privileged
def test_mapped_files(tmp_path, layout):
    """The same, mapped by a target, and each of them three thousand times."""
    paths = [put(tmp_path / f"lib{i}.so", what)
             for i, what in enumerate(("segments", "interpreter", "notes"))]
    with liar(layout, "files", *paths) as target:
        target.event("lying", seconds=60)
        os.unlink(paths[0])
        os.truncate(paths[1], 4096)
        Run(VERBS["record"], tmp_path, target.pid).finish(OK, cpu=16, rss=400)
        Run(VERBS["doctor"], tmp_path, target.pid).finish(OK, 1, 2, 3, 4, 5, 6, cpu=16, rss=400)
        truth(target)
    got, _ = reasons(tmp_path / "r.ljx")
    assert "worker" in json.dumps(got["functions"])


@pytest.mark.privileged
@pytest.mark.parametrize("how", ["deleted", "replaced", "sections", "notes"])
def test_library(tmp_path, layout, how):
    """LuaJIT's own file goes away, becomes another one, or lies where the loader does not look."""
    path = tmp_path / "libluajit-5.1.so.2"
    data = bytearray(open(LIBRARY, "rb").read())
    if how == "sections":
        shoff, = struct.unpack_from("<Q", data, 0x28)
        rng = random.Random(1)
        for i in range(shoff, len(data)):
            data[i] = rng.randrange(256)
        struct.pack_into("<HH", data, 0x3c, 0xffff, 0xfffe)
    if how == "notes":
        phoff, = struct.unpack_from("<Q", data, 0x20)
        for i in range(struct.unpack_from("<H", data, 0x38)[0]):
            if struct.unpack_from("<I", data, phoff + 56 * i)[0] == 4:
                off, = struct.unpack_from("<Q", data, phoff + 56 * i + 8)
                struct.pack_into("<III", data, off, 4, 0xffffffff, 3)
    path.write_bytes(data)
    with liar(layout, "honest", LD_LIBRARY_PATH=str(tmp_path)) as target:
        target.event("lying")
        assert str(path) in open(f"/proc/{target.pid}/maps").read()
        if how in ("deleted", "replaced"):
            path.unlink()
        if how == "replaced":
            shutil.copy("/bin/true", path)
        Run(VERBS["record"], tmp_path, target.pid).finish(OK)
        Run(VERBS["bt"], tmp_path, target.pid).finish(OK)
        truth(target)
    got, _ = reasons(tmp_path / "r.ljx")
    assert got["with_lua"] > 0.8 * got["samples"]


def test_debug_information(tmp_path):
    """DWARF with a few bytes changed: another layout never, a crash of what reads it at most in a child."""
    twin = subprocess.run([os.path.join(ROOT, "tests/twin")], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    data = open(twin, "rb").read()
    fields = json.loads(ljx("layout", "-f", twin, "--json").out)["layouts"][0]["fields"]
    rng = random.Random(7)
    where = [sections(data)[name] for name in (".debug_info", ".debug_abbrev", ".debug_str")]
    for _ in range(8):
        copy = bytearray(data)
        for _ in range(300):
            off, size = rng.choice(where)
            copy[off + rng.randrange(size)] = rng.randrange(256)
        path = tmp_path / "twin.so"
        path.write_bytes(copy)
        run = Run(["layout", "-f", str(path), "--json"], tmp_path)
        text = run.finish(OK, UNSUPPORTED, cpu=20, rss=400)
        if run.child.returncode == OK:
            got = json.loads(text)["layouts"][0]["fields"]
            assert got == fields


def sections(data):
    """Name -> (offset, size) of an ELF file's sections."""
    shoff, = struct.unpack_from("<Q", data, 0x28)
    size, n, names_at = struct.unpack_from("<HHH", data, 0x3a)
    rows = [struct.unpack_from("<IIQQQQ", data, shoff + i * size) for i in range(n)]
    strings = data[rows[names_at][4]:][:rows[names_at][5]]
    return {strings[r[0]:strings.index(b"\0", r[0])].decode(): (r[4], r[5]) for r in rows}


# ---- the scan's effect ----


@pytest.mark.privileged
@pytest.mark.parametrize("verb", ["bt", "traces"])
def test_scan_is_paced(tmp_path, verb):
    """A pass over a large heap takes half of a CPU at most, and the target's own calls do not wait."""
    with Process(os.path.join(PROGRAMS, "stall"), 1536, limit=False) as target:
        target.expect("^ready$", seconds=60)
        idle = stalls(target, lambda: time.sleep(1))
        run = stalls(target, lambda: Run(VERBS[verb], tmp_path, target.pid).finish(OK))
        # As if ljx had the machine for itself, so that only what it wants limits it.
        start, used = time.monotonic(), os.times()
        Run(VERBS[verb], tmp_path, target.pid, "chrt", "-f", "1").finish(OK)
        took = time.monotonic() - start
        cpu = sum(os.times()[2:4]) - sum(used[2:4])
    assert cpu > 0.3, "nothing was read"
    assert cpu < 0.62 * took, f"{cpu} s of CPU time in {took} s"
    assert run["ops"] > 100 and run["p99"] < 10 * idle["p99"] + 1000


def stalls(target, work):
    target.say("from now on")
    target.expect(r"(?s)(\"stall\".*){%d}" % (len(target.events("stall")) + 1))
    before = len(target.events("stall"))
    work()
    target.say("so far")
    target.expect(r"(?s)(\"stall\".*){%d}" % (before + 1))
    return target.events("stall")[before]
