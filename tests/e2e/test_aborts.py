# SPDX-License-Identifier: MIT
"""The trace recorder's failures as stacks and as markers, against what ljx nyi counts of them."""
import json
import pathlib
import re

import pytest

import browser
import formats
from frames import total
from harness import Ljx, folded, ljx, luajit, record, report, wait_until
from recording import ABORT, CFUNC, EXPLICIT, FLUSH, INTERP, LINK_LOOP, START, STOP, Writer, lua
from test_svg import drawn

FNEW = 0x4049800000000000  # 51.0
NYIBC, LLEAVE, NYIFFU = 7, 8, 15


@pytest.fixture
def path(tmp_path):
    """5 aborts of one stack, 3 of another, 2 of another reason; a trace; a flush; samples."""
    w = Writer()
    w.define("meta", 100, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.define("clock", 1_700_000_000_000_000_000, pid=0)
    w.define("proc", 1, 1, 4242, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"))
    w.define("build", 1, 7, strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/bin/luajit", "ab"))
    w.define("vm", 0x1000, 1, 1)
    w.define("func", 1, 1, 0x1000, 0x7000, 0, 90, 50, 1, strs=("@/srv/a<b>.lua",))
    w.define("func", 2, 0, 0x1000, 0x7100, 40, 56, 50, 2, strs=("@/srv/a<b>.lua",))
    w.define("name", 1, 30, 2, 0, strs=("decode",))
    w.define("name", 1, 31, 2, 0, strs=("decode",))
    w.define("sym", 0x7000, 0x7100, 0x700, 1, 0, strs=("lua_call", "lib.so"))
    for n, pc, error, more in ((5, 30, NYIBC, []), (3, 31, NYIBC, [(CFUNC, 0x7010, 0, 1)]),
                               (2, 30, LLEAVE, [])):
        for _ in range(n):
            w.event(START, 1, lua(2, 9, 58))
            w.event(ABORT, 1, lua(2, 9, 58), lua(2, 12, 61), error=error,
                    info=FNEW if error == NYIBC else 0,
                    frames=[lua(2, 12, 61), lua(1, pc, 80), *more])
            w.sample([lua(2, 12, 61), lua(1, pc, 80)], state=INTERP, ip=0)
    w.event(START, 1, lua(1, 3, 4))
    w.event(STOP, 1, lua(1, 3, 4), link=1, linktype=LINK_LOOP, nins=20, szmcode=90)
    w.event(FLUSH, 1000, cause=EXPLICIT)
    file = tmp_path / "aborts.ljx"
    file.write_bytes(w.bytes())
    return str(file)


WANT = {
    ("main chunk /srv/a<b>.lua", "decode /srv/a<b>.lua:40", "[abort] NYI: bytecode FNEW"): 5,
    ("C:lua_call", "main chunk /srv/a<b>.lua", "decode /srv/a<b>.lua:40",
     "[abort] NYI: bytecode FNEW"): 3,
    ("main chunk /srv/a<b>.lua", "decode /srv/a<b>.lua:40", "[abort] leaving loop in root trace"): 2,
}


def convert(path, ending, *args):
    out = path + ending
    ljx("report", path, "-o", out, *args)
    return out


def test_by_count(path):
    assert formats.stacks(folded(path, "--aborts")) == WANT
    assert formats.stacks(folded(path, "--aborts=count", "--split", "process")) == \
        {("luajit:4242", *s): n for s, n in WANT.items()}
    assert sum(n for _, n in folded(path, "--aborts", "--time", "-60ms")) < 10
    got = formats.Pprof(convert(path, ".pb.gz", "--aborts"))
    assert got.stacks == WANT and got.types == [("aborts", "count")] and got.default == "aborts"
    assert got.tags["reason"] == {"NYI: bytecode FNEW": 8, "leaving loop in root trace": 2}
    assert formats.Callgrind(convert(path, ".callgrind", "--aborts")).head["events"] == "aborts"
    assert "10 aborts" in open(convert(path, ".svg", "--aborts"), encoding="utf-8").read()
    assert ["5 aborts", "3 aborts", "2 aborts"] == sorted(
        (f[4].split("\n")[1].split(",")[0] for f in drawn(pathlib.Path(path + ".svg"))
         if f[4].startswith("[abort]")), reverse=True)


def test_samples_stay_what_they_are(path):
    """Events are no samples: neither in the counts nor in the stacks."""
    assert sum(n for _, n in folded(path)) == report(path)["samples"] == 10
    fox = formats.Firefox(convert(path, ".firefox.json"))
    assert fox.all_stacks() == formats.stacks(folded(path))


def test_markers(path):
    fox = formats.Firefox(convert(path, ".firefox.json"))
    names = [name for name, *_ in fox.markers]
    assert {n: names.count(n) for n in names} == \
        {"trace abort": 10, "trace compiled": 1, "trace flush": 1}
    stacks = formats.Counter()
    for name, start, end, data in fox.markers:
        if name != "trace abort":
            assert "cause" not in data
            continue
        assert end - start == 2 and data["start"] == "/srv/a<b>.lua:58"
        assert data["end"] == "/srv/a<b>.lua:61" and data["cause"]["time"] == end
        stacks[(*fox.stack(data["cause"]["stack"]), f"[abort] {data['reason']}")] += 1
    assert stacks == WANT
    schemas = {s["name"]: [f["key"] for f in s["fields"]] for s in fox.doc["meta"]["markerSchema"]}
    for *_, data in fox.markers:
        assert set(schemas[data["type"]]) <= set(data)


def test_function_named_later(tmp_path):
    """Aborts at a C function whose name comes only with a later stack are of one site with those
    after it: the first 4 and the last 4 share what it costs, also if no abort comes after it."""
    for after in (0, 4):
        w = Writer()
        w.define("meta", 100, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
        w.define("proc", 1, 1, 4242, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"))
        w.define("build", 1, 7,
                 strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/bin/luajit", "ab"))
        w.define("vm", 0x1000, 1, 1)
        w.define("func", 1, 1, 0x1000, 0x7000, 0, 90, 50, 1, strs=("@/srv/a.lua",))
        w.define("name", 1, 30, 4, 0, strs=("say",))
        w.define("sym", 0x6000, 0x6100, 0x600, 2, 0, strs=("", "module.so"))
        say = (CFUNC, 0x6010, 0, 1)
        w.loops(1, (9, 9, 40))

        def fail(frames):
            w.event(START, 1, lua(1, 9, 58))
            w.event(ABORT, 1, lua(1, 9, 58), lua(1, 30, 61), about=say, error=NYIFFU, frames=frames)

        for _ in range(4):
            fail([])
        for _ in range(10):
            w.sample([say, lua(1, 30, 61)], state=INTERP, ip=0)
        for _ in range(after):
            fail([lua(1, 30, 61)])
        path = tmp_path / "named.ljx"
        path.write_bytes(w.bytes())
        site, = json.loads(ljx("nyi", path, "--json").out)["sites"]
        assert site["count"] == 4 + after and site["cost_percent"] == 100, site
        stacks = formats.stacks(folded(str(path), "--aborts=cost"))
        assert sum(stacks.values()) == 100, stacks


@pytest.mark.privileged
def test_as_nyi_counts_them(tmp_path):
    """A storm: what is told one by one and what is only counted, all of it is in the stacks, and
    costs there what nyi says."""
    path = tmp_path / "storm.ljx"
    with luajit("tests/lua/storm.lua", "compile", 3, "-", limit=False) as target:
        target.expect("^ready$")
        with Ljx("record", "-p", target.pid, "-r", 499, "-o", path) as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            target.expect(r"^\{", seconds=90)
            target.say("")
            target.finish(150)
            assert p.finish() == 0, p.err
    nyi = json.loads(ljx("nyi", path, "--json").out)
    aborts = folded(str(path), "--aborts")
    assert sum(n for _, n in aborts) == nyi["aborts"] > 100
    by_reason = formats.Counter()
    for frames, n in aborts:
        by_reason[re.sub(r"^\[abort\] ", "", frames[-1])] += n
    want = formats.Counter()
    for s in nyi["sites"]:
        if s["kind"] == "abort":
            want[s["reason"].replace(";", ":")] += s["count"]
    assert by_reason == want
    cost = sum(n for _, n in folded(str(path), "--aborts=cost"))
    percent = sum(s["cost_percent"] for s in nyi["sites"] if s["kind"] == "abort")
    want = percent / 100 * nyi["cpu"]["samples"] * 1000 / 499
    assert want > 20 and abs(cost - want) < 0.02 * want + len(aborts), (cost, want)


def given_up(pid):
    """The lines of the loops that a process does not try to compile any more, as its memory says."""
    nyi = json.loads(ljx("nyi", "-p", pid, "-d", 0.2, "--json", "-q").out)
    return {s["start"]["line"] for s in nyi["sites"] if s["state"] == "BLACKLISTED"}


@pytest.mark.privileged
def test_what_came_before(tmp_path):
    """What was given up before ljx came costs, too, though no event and so no stack tells of it."""
    # Two loops that take 30 and 25 percent of its time: of such the events go on for a while.
    with open("tests/lua/cost.lua", encoding="utf-8") as f:
        loops = {n for n, line in enumerate(f, 1) if re.search("-- (one|inner)$", line)}
    assert len(loops) == 2
    with luajit("tests/lua/cost.lua", 100, limit=False) as target:
        target.expect("^ready$")
        target.say("go")
        wait_until(lambda: loops <= given_up(target.pid), "its loops to be given up", 120)
        path = record(tmp_path, "-p", target.pid, rate=499, least=1000)
    nyi = json.loads(ljx("nyi", path, "--json").out)
    sites = [s for s in nyi["sites"] if s["kind"] == "abort"]
    want = sum(s["cost_percent"] for s in sites) / 100 * nyi["cpu"]["samples"] * 1000 / 499
    stacks = folded(str(path), "--aborts=cost")
    cost = sum(n for _, n in stacks)
    assert want > 20 and abs(cost - want) < 0.02 * want + len(stacks), (cost, want)
    unseen = [(frames, n) for frames, n in stacks if frames[0] == "[before ljx came]"]
    assert all(len(f) == 3 and f[2].startswith("[abort] ") for f, _ in unseen), stacks
    for line in loops:
        assert sum(n for f, n in unseen if f[1] == f"tests/lua/cost.lua:{line}") > 0.15 * total(stacks), stacks


def test_split():
    """Aborts are split as samples are; what only memory tells has no thread."""
    path = "tests/golden/workers.ljx"
    plain = formats.stacks(folded(path, "--aborts=cost"))
    for by in ("process", "thread", "vm", "coroutine", "state", "trace"):
        split = formats.stacks(folded(path, "--aborts=cost", "--split", by))
        assert sum((formats.Counter({s[1:]: n}) for s, n in split.items()), formats.Counter()) == plain
        if by == "thread":
            assert {s[0] for s in split} == {"thread:31876", "thread:31877", "[no thread]"}
            assert all((s[0] == "[no thread]") == (s[1] == "[before ljx came]") for s in split)


@pytest.mark.privileged
def test_colour_by_cost(tmp_path):
    """The function whose loop cannot be compiled glows."""
    path = tmp_path / "cost.ljx"
    with luajit("tests/lua/cost.lua", 3, limit=False) as target:
        target.expect("^ready$")
        with Ljx("record", "-p", target.pid, "-r", 499, "-o", path) as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            target.finish(150)
            assert p.finish() == 0, p.err
    svg = tmp_path / "cost.svg"
    ljx("report", path, "--color-by", "cost", "-o", svg)
    heat = {}
    for cls, _, _, _, tip in drawn(svg):
        name = tip.split(" ")[0]
        heat[name] = max(heat.get(name, 0), int(cls[3:]) if cls.startswith("f w") else 0)
    assert heat["one"] >= 6 and heat["nested"] >= 6 and heat["spin"] == 0, heat
    assert "aborts cost" in svg.read_text() and browser.screenshot(svg, tmp_path / "x.png") == []
