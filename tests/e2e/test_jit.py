# SPDX-License-Identifier: MIT
"""ljx trace, nyi and traces on recordings made by an independent writer: no privileges, runs under
the sanitizers too."""
import json

import pytest

import recording
from harness import EMPTY, OK, USAGE, ljx
from recording import (ABORT, EXPLICIT, FLUSH, LINK_INTERP, LINK_LOOP, LINK_RETURN, LINK_ROOT, LINK_STITCH,
                       LIVE, SIDE_TRACE, START, STITCHED_TRACE, STOP, lua)

FNEW = 0x4049800000000000  # 51.0
NYIBC, LLEAVE = 7, 8
FOUND_ANY = 10
GSUB = (recording.FAST, 0x9000, 0, 85)


def definitions():
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx trace"), pid=0)
    w.define("clock", 1_700_000_000_000_000_000, pid=0)
    w.define("proc", 1, 1, 4242, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"))
    w.define("build", 1, 7, strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/bin/luajit", "ab"))
    w.define("vm", 0x1000, 1, 1)
    w.define("func", 1, 1, 0x1000, 0x7000, 0, 90, 50, 1, strs=("@/srv/app/json.lua",))
    w.define("func", 2, 0, 0x1000, 0x7100, 40, 56, 50, 2, strs=("@/srv/app/json.lua",))
    w.define("name", 1, 30, 2, 0, strs=("decode",))
    w.define("ff", 1, 85, strs=("string.gsub",))
    return w


def abort_fnew(w):
    w.event(START, 1, lua(2, 9, 58))
    w.event(ABORT, 1, lua(2, 9, 58), lua(2, 12, 61), error=NYIBC, info=FNEW,
            frames=[lua(2, 12, 61), lua(1, 30, 80)])


@pytest.fixture
def path(tmp_path):
    """Eleven aborts of a loop, a trace with a side trace, a stitch, a flush of what came before."""
    w = definitions()
    for _ in range(3):
        abort_fnew(w)
    w.event(START, 1, lua(1, 3, 4))
    w.event(STOP, 1, lua(1, 3, 4), link=1, linktype=LINK_LOOP, nins=20, szmcode=90)
    w.event(FLUSH, 1000, cause=EXPLICIT)
    for _ in range(11):
        abort_fnew(w)
    w.event(START, 1, lua(1, 3, 4))
    w.event(ABORT, 1, lua(1, 3, 4), lua(1, 8, 9), error=LLEAVE)
    w.event(START, 1, lua(1, 3, 4))
    w.event(STOP, 1, lua(1, 3, 4), link=1, linktype=LINK_LOOP, nins=20, szmcode=90, nsnap=3)
    w.event(START, 2, lua(1, 4, 5), kind=SIDE_TRACE, parent=1, exitno=2)
    w.event(STOP, 2, lua(1, 4, 5), kind=SIDE_TRACE, parent=1, exitno=2, link=1, linktype=LINK_ROOT)
    w.event(START, 3, lua(1, 13, 14))
    w.event(STOP, 3, lua(1, 13, 14), end=GSUB, linktype=LINK_STITCH)
    w.event(START, 4, lua(1, 15, 16), kind=STITCHED_TRACE, parent=3)
    w.event(STOP, 4, lua(1, 15, 16), kind=STITCHED_TRACE, parent=3, link=3, linktype=LINK_ROOT)
    w.event(START, 5, lua(2, 0, 40))
    w.event(STOP, 5, lua(2, 0, 40), end=lua(2, 20, 70), linktype=LINK_RETURN)
    w.event(START, 6, lua(1, 6, 7), kind=SIDE_TRACE, parent=1, exitno=3)
    w.event(STOP, 6, lua(1, 6, 7), kind=SIDE_TRACE, parent=1, exitno=3, linktype=LINK_INTERP)
    file = tmp_path / "jit.ljx"
    file.write_bytes(w.bytes())
    return str(file)


JV = """[TRACE --- json.lua:58 -- NYI: bytecode 51 at json.lua:61]
[TRACE   1 json.lua:4 loop]
[TRACE flush]
[TRACE --- json.lua:4 -- leaving loop in root trace at json.lua:9]
[TRACE   2 (1/2) json.lua:5 -> 1]
[TRACE   3 json.lua:14 stitch string.gsub]
[TRACE   4 (3/stitch) json.lua:16 -> 3]
[TRACE   5 json.lua:40 return]
[TRACE   6 (1/3) json.lua:7 -- fallback to interpreter]
"""


def test_jv(path):
    lines = ljx("trace", path, "--jv").out.splitlines()
    assert len(lines) == 3 + 1 + 1 + 11 + 1 + 1 + 5
    seen = list(dict.fromkeys(lines))
    assert "\n".join(seen) + "\n" == JV
    named = ljx("trace", "--jv=name", path).out.splitlines()
    assert named[0] == "[TRACE --- json.lua:58 -- NYI: bytecode FNEW   at json.lua:61]"
    assert ljx("trace", "--jv=number", path).out.splitlines() == lines


def test_plain(path):
    lines = ljx("trace", path, env={"TZ": "UTC"}).out.splitlines()
    assert lines[0].startswith("22:13:20.") and lines[0].endswith(
        " 4242 abort 1 /srv/app/json.lua:58 -- NYI: bytecode FNEW at /srv/app/json.lua:61 [1/11]")
    assert lines[4].endswith(" 4242 flush -- explicit, 1 traces dropped")
    assert lines[15].endswith("[11/11: blacklisted]")
    assert lines[17].endswith(" 4242 stop 1 /srv/app/json.lua:4 loop, 20 IR, 90 bytes")


def test_only_and_count(path):
    assert ljx("trace", path, "--only", "flush").out.count("\n") == 1
    assert ljx("trace", path, "--only", "start,flush").out.count(" start ") == 3 + 1 + 11 + 2 + 5
    assert ljx("trace", path, "-N", 4).out.count("\n") == 4


def test_trace_json(path):
    rows = [json.loads(line) for line in ljx("trace", path, "--json").out.splitlines()]
    assert {r["schema"] for r in rows} == {"ljx.trace/1"}
    assert [r["type"] for r in rows].count("abort") == 15
    first = rows[0]
    assert first["pid"] == 4242 and first["trace"] == 1 and first["kind"] == "root"
    assert first["error"] == "NYIBC" and first["error_number"] == NYIBC
    assert first["reason"] == "NYI: bytecode FNEW"
    assert first["start"]["file"] == "/srv/app/json.lua" and first["start"]["line"] == 58
    assert first["end"]["line"] == 61 and first["end"]["linedefined"] == 40
    assert 1_700_000_000 < first["time"] < 1_700_000_001
    stitch = next(r for r in rows if r.get("linktype") == "stitch")
    assert stitch["end"] == {"function": "string.gsub"}
    assert next(r for r in rows if r["type"] == "flush")["dropped"] == 1


def test_nyi(path):
    got = json.loads(ljx("nyi", path, "--json", "--stacks").out)
    assert got["schema"] == "ljx.nyi/1" and got["aborts"] == 15 and got["hidden"] == 1
    first, low, stitch = got["sites"]
    assert first["reason"] == "NYI: bytecode FNEW" and first["subject"] == "FNEW"
    assert first["count"] == 14 and first["state"] == "BLACKLISTED" and first["vms_given_up"] == 1
    assert first["at"]["line"] == 61 and first["start"]["line"] == 58
    assert first["cost_percent"] is None and not first["low"]
    assert first["stack_count"] == 14
    assert [(f["name"] if "name" in f else None, f["line"]) for f in first["stack"]] == [
        ("decode", 61), (None, 80)]
    assert low["low"] and low["state"] == "compiled" and low["error"] == "LLEAVE"
    assert stitch["kind"] == "stitch" and stitch["reason"] == "string.gsub"
    assert stitch["at"]["line"] == 16 and (stitch["trace"], stitch["link"]) == (3, 4)


@pytest.mark.parametrize("location, count", [
    ("json.lua", 3), ("app/json.lua", 3), ("json.lua:61", 1), ("json.lua:58", 1),
    ("json.lua:55-60", 1), ("func:decode", 1), ("son.lua", 0), ("json.lua:1-3", 0),
])
def test_nyi_location(path, location, count):
    for args in ((location, path), (path, location)):
        got = json.loads(ljx("nyi", *args, "--json").out)
        assert len(got["sites"]) == count
    ljx("nyi", location, path, "--check", status=FOUND_ANY if count else OK)


def test_one_row_for_a_c_function(tmp_path):
    """Its name comes with a look at memory, after the event that cannot know it."""
    say = (recording.CFUNC, 0x6000, 0, 1)
    w = definitions()
    w.define("sym", 0x6000, 0x600a, 0x600, 2, 0, strs=("", "http.so"))
    w.event(START, 3, lua(1, 13, 14))
    w.event(STOP, 3, lua(1, 13, 14), end=say, linktype=LINK_STITCH, mcode=0x100, szmcode=9)
    before = tmp_path / "before.ljx"
    before.write_bytes(w.bytes())
    w.define("name", 1, 15, 2, 0, strs=("say",))
    w.event(LIVE, 3, lua(1, 13, 14), end=say, linktype=LINK_STITCH, mcode=0x100, szmcode=9,
            frames=[say, lua(1, 15, 16)])
    w.event(LIVE, 4, lua(1, 13, 14), end=say, linktype=LINK_STITCH, mcode=0x200, szmcode=9,
            frames=[say, lua(1, 15, 16)])
    after = tmp_path / "after.ljx"
    after.write_bytes(w.bytes())
    for path, name in ((before, "C:?@http.so+0x600"), (after, "C:say@http.so+0x600")):
        row, = json.loads(ljx("nyi", path, "--json").out)["sites"]
        assert (row["reason"], row["subject"], row["count"]) == (name, name, 1)


def test_nyi_text(path):
    text = ljx("nyi", path).out
    assert "BLACKLISTED" in text and "json.lua:61" in text and "trace#3 -> 4" in text
    assert "Usual fix" not in text
    assert "Usual fix" in ljx("nyi", "json.lua:61", path).out
    assert "decode (/srv/app/json.lua:61)" in ljx("nyi", path, "--stacks").out
    rows = ljx("nyi", path, "-s", "last").out.splitlines()[2:]
    assert "string.gsub" in rows[0]


def test_traces(path):
    got = json.loads(ljx("traces", path, "--json").out)
    assert got["schema"] == "ljx.traces/1"
    assert [t["trace"] for t in got["traces"]] == [1, 2, 3, 4, 5, 6]
    first = got["traces"][0]
    assert first["generation"] == 2 and first["aborts_before"] == 1 and first["children"] == 2
    assert got["traces"][2]["link"] == 4
    text = ljx("traces", path).out
    assert "`2 " in text and "interpreter" in text and "1 flushes" in text
    one = ljx("traces", 1, path).out
    assert "Child     2 (1/2)" in one and "Child     6 (1/3)" in one
    assert "no trace 9" in ljx("traces", 9, path, status=EMPTY).err


@pytest.mark.parametrize("args", [
    ("trace", "word"), ("trace", "--jv=best", "x.ljx"), ("trace", "--jv", "--json", "x.ljx"),
    ("trace", "--only", "stop,nothing", "x.ljx"), ("trace", "--probe", "ptrace"),
    ("nyi", "a.lua", "b.lua", "x.ljx"), ("nyi", "-s", "self", "x.ljx"), ("traces", "zero", "x.ljx"),
    ("trace", "a.ljx", "b.ljx"),
])
def test_usage(args):
    assert ljx(*args, status=USAGE).err.startswith("ljx")


def test_no_events(tmp_path):
    file = tmp_path / "none.ljx"
    file.write_bytes(definitions().bytes())
    assert ljx("trace", file).out == ""
    assert "nothing" in ljx("nyi", file, "--check").out
    assert "no traces" in ljx("traces", file).out


def test_missing_definitions(tmp_path):
    w = definitions()
    w.event(STOP, 1, lua(77, 3, 4), link=1, linktype=LINK_LOOP)
    file = tmp_path / "undefined.ljx"
    file.write_bytes(w.bytes())
    p = ljx("trace", "--jv", file)
    assert p.out == "[TRACE   1 [undefined] loop]\n"
    assert "1 events with an undefined part" in p.err


def test_hostile_names(tmp_path):
    w = definitions()
    w.define("func", 9, 0, 0x1000, 0x7200, 1, 5, 50, 3, strs=(b"@/a\x1b[31m\xff.lua",))
    w.event(ABORT, 1, lua(9, 3, 4), lua(9, 3, 4), error=0xffffffff, text=b"bad\x1b\xff\nnews")
    file = tmp_path / "hostile.ljx"
    file.write_bytes(w.bytes())
    for args in (["trace"], ["trace", "--json"], ["nyi"], ["nyi", "--json"], ["traces"]):
        out = ljx(*args, file).out
        assert "\x1b" not in out
        if "--json" in args:
            json.loads(out)
