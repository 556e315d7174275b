# SPDX-License-Identifier: MIT
"""The formats of other people's viewers: the same stacks in all of them, as folded stacks have
them, and what programs that nobody here wrote say about them. No privileges."""
import csv
import io
import re
import subprocess

import pytest

import formats
import recording
from harness import USAGE, folded, ljx, report

PERIOD = 1_000_000_000 // 99

# What a hostile target may call its functions and chunks.
NASTY = ["</script><script>alert(1)</script>", "a\"b\\c", "x;y 12", "\x1b[31mred\x07", "tab\there",
         "line\nbreak", "=1+1", "&amp;<b>'", "]]>", "{}[],:", "worker 4242", "fn=(1) x", "calls=3 1",
         b"\xff\xfe bad", b"\xed\xa0\x80", "漢字", "\u2028sep", "%s%n", ""]


def nasty():
    """Two processes, two VMs, odd names."""
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.define("clock", 1_700_000_000_000_000_000, pid=0)
    w.define("build", 1, 3, strs=("LuaJIT 2.1\"<", "lay\nout", "/usr/bin/luajit", "ab"))
    for pid in (7, 8):
        w.define("proc", 1, 1, pid, strs=("a<b\"&\\", "/x", "x"), pid=pid)
        for vm in (1, 2):
            w.define("vm", 0x1000 * vm, vm, 1, pid=pid)
    for i, name in enumerate(NASTY, 1):
        chunk = name if isinstance(name, bytes) else name.encode()
        w.define("func", i, i & 1, 0x1000, 0x9000 + i, i, 5, 9, i,
                 strs=(b"@/srv/" + chunk if i & 2 else chunk,), pid=7)
        w.define("name", i, 3, 2, 0, strs=(name,), pid=7)
    w.flush()
    n = len(NASTY)
    for i in range(1, n + 1):
        stack = [recording.lua((i + k * 3) % n + 1, 3, i + k) for k in range(i % 5)]
        w.sample(stack, pid=7 + i % 2, g=0x1000 * (1 + i % 3 // 2), why=0 if stack else 1,
                 state=recording.INTERP if i % 2 else recording.C)
        w.sample(stack, pid=7, g=0, state=recording.OUTSIDE)
    return w.bytes()


@pytest.fixture(params=["example", "nasty"])
def source(request, tmp_path):
    """A recording and its folded stacks."""
    path = tmp_path / "x.ljx"
    path.write_bytes({"example": recording.example, "nasty": nasty}[request.param]())
    return str(path), formats.stacks(folded(str(path)))


def convert(path, name, *args):
    out = path + name
    ljx("report", path, "-o", out, *args)
    return out


def tool(*cmd):
    return subprocess.run([str(c) for c in cmd], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True).stdout


# --- speedscope ---

def test_speedscope(source):
    path, want = source
    got = formats.speedscope(convert(path, ".speedscope.json"))
    total = sum(got.values(), formats.Counter())
    assert total == {s: n * PERIOD for s, n in want.items()}
    processes = report(path)["processes"]
    for p in processes:
        mine = sum(sum(c.values()) for name, c in got.items() if f" {p['pid']}" in name)
        assert mine == p["samples"] * PERIOD


def test_speedscope_is_in_order(example):
    doc = formats.read_json(convert(example, ".speedscope.json"))
    (p,) = doc["profiles"]
    leaves = [doc["shared"]["frames"][s[-1]]["name"] for s in p["samples"]]
    assert leaves == ["lj_BC_ADDVV", "trace#1:app.lua:6", "C:say@module.so+0x600", "[kernel]",
                      "C:sqrt", "lj_BC_ADDVV"]
    assert [w // PERIOD for w in p["weights"]] == [6, 4, 3, 1, 1, 1]
    assert p["name"] == "luajit 4242" and p["startValue"] == 30_000_000


# --- pprof ---

def test_pprof(source):
    path, want = source
    got = formats.Pprof(convert(path, ".pb.gz"))
    assert got.stacks == want
    assert got.values == {s: n * PERIOD for s, n in want.items()}
    assert got.types == [("samples", "count"), ("cpu", "nanoseconds")] and got.default == "cpu"
    assert got.period == PERIOD
    want = report(path)
    assert got.tags["pid"] == {p["pid"]: p["samples"] for p in want["processes"]}
    assert got.tags["vmstate"] == want["by_state"]


def test_pprof_labels(example):
    got = formats.Pprof(convert(example, ".pb.gz"))
    assert got.tags["trace"] == {1: 4} and got.tags["vm"] == {1: 15}
    assert got.tags["tid"] == {4242: 16} and got.tags["comm"] == {"luajit": 16}
    assert got.lines[("trace#1:app.lua:6", 6)] == 4
    assert got.time == 1_700_000_000_000_000_000 - 2_000_000 + 30_000_000
    assert got.duration == 30_000_000
    assert "5 samples lost" in got.comments and "LuaJIT 2.1.0-beta3 (luajit2-20230119)" in \
        got.comments


def go_top(path, *args):
    """{function: (flat, cum)} in samples, as go tool pprof counts them."""
    text = tool("go", "tool", "pprof", "-top", "-sample_index=samples", "-nodecount=1000",
                "-nodefraction=0", *args, path)
    rows = re.findall(r"^ +(\d+) +[\d.]+% +[\d.]+% +(\d+) +[\d.]+% +(.*)$", text, re.M)
    return {name.rstrip(): (int(flat), int(cum)) for flat, cum, name in rows}


def test_pprof_as_go_reads_it(example, tmp_path):
    out = convert(example, ".pb.gz")
    want = {}
    for frames, n in folded(example):
        for f in set(frames):
            flat, cum = want.get(f, (0, 0))
            want[f] = (flat + n * (f == frames[-1]), cum + n)
    assert go_top(out) == want
    only = go_top(out, "-tagfocus=vmstate=compiled")
    assert only["trace#1:app.lua:6"] == (4, 4) and "C:sqrt" not in only
    # Annotated source, by the lines where the samples were.
    (tmp_path / "app.lua").write_text("".join(f"-- line {i}\n" for i in range(1, 41)))
    text = tool("go", "tool", "pprof", "-sample_index=samples", f"-source_path={tmp_path}",
                "-list=^work", out)
    assert re.search(r"^ +\. +15 +9:-- line 9$", text, re.M), text


# --- the Firefox Profiler ---

def test_firefox(source):
    path, want = source
    got = formats.Firefox(convert(path, ".firefox.json"))
    assert got.all_stacks() == want
    by = report(path)["by_state"]
    assert got.categories["Interpreted"] == by.get("interpreted", 0)
    assert got.categories["Compiled"] == by.get("compiled", 0)


def test_firefox_tables(example):
    got = formats.Firefox(convert(example, ".firefox.json"))
    assert got.categories == {"Interpreted": 7, "Compiled": 4, "C code": 3, "Kernel": 1, "Other": 1}
    assert got.lines[("trace#1:app.lua:6", 6)] == 4
    (thread,) = got.doc["threads"]
    assert (thread["name"], thread["pid"], thread["tid"]) == ("luajit 4242", "4242", 4242)
    assert thread["samples"]["time"][:2] == [30, 32]
    assert got.doc["meta"]["startTime"] == 1_699_999_999_998
    assert [s for s in got.shared["sources"]["filename"] if got.strings[s] == "app.lua"]


def test_compressed(example):
    """Any format, if the name says so."""
    out = convert(example, ".firefox.json.gz")
    assert formats.Firefox(out).all_stacks() == formats.stacks(folded(example))
    assert tool("gzip", "-dc", convert(example, ".folded.gz")) == \
        open(convert(example, ".2.folded"), encoding="utf-8").read()


# --- callgrind ---

def test_callgrind(source):
    path, want = source
    got = formats.Callgrind(convert(path, ".callgrind"))
    assert {f: (got.self[f], got.inclusive[f]) for f in got.inclusive} == formats.by_function(want)
    assert int(got.head["summary"]) == sum(want.values())


def test_callgrind_as_its_own_tool_reads_it(example, tmp_path):
    out = tmp_path / "callgrind.out.1"
    ljx("report", example, "-o", out)
    (tmp_path / "app.lua").write_text("".join(f"-- line {i}\n" for i in range(1, 41)))
    text = tool("callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no",
                f"--include={tmp_path}", out)
    table = text[text.index("file:function"):].split("\n\n")[0]
    got = dict(reversed(row) for row in re.findall(r"^ *(\d+) +\S+?:(.*\S) *(?: \[\])?$", table, re.M)
               if "gen:e" not in row[1])
    want = formats.by_function(formats.stacks(folded(example)))
    assert got == {f: str(n) for f, (_, n) in want.items() if "gen:e" not in f}
    assert re.search(r"^ *4 .*-- line 6$", text, re.M) and \
        re.search(r"^ *9 .*=> .*helper gen:e rated 7:17", text, re.M), text


SPLITS = ("process", "thread", "vm", "coroutine", "state", "trace", "process,state")


@pytest.mark.parametrize("split", SPLITS)
def test_split(source, split):
    """All formats keep apart what folded stacks keep apart; one that adds up by function has a function
    for each group."""
    path, plain = source
    args, depth = ("--split", split), split.count(",") + 1
    want = formats.stacks(folded(path, *args))
    assert sum((formats.Counter({s[depth:]: n}) for s, n in want.items()), formats.Counter()) == plain
    got = formats.speedscope(convert(path, ".speedscope.json", *args))
    assert sum(got.values(), formats.Counter()) == {s: n * PERIOD for s, n in want.items()}
    assert formats.Pprof(convert(path, ".pb.gz", *args)).stacks == want
    assert formats.Firefox(convert(path, ".firefox.json", *args)).all_stacks() == want
    callgrind = formats.Callgrind(convert(path, ".callgrind", *args))
    assert {f: (callgrind.self[f], callgrind.inclusive[f]) for f in callgrind.inclusive} == \
        formats.by_function({s[:depth] + tuple(f"{f} ({';'.join(s[:depth])})" for f in s[depth:]): n
                             for s, n in want.items()})


def test_recursion(tmp_path):
    """However deep: a function is on a stack once."""
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.define("vm", 0x1000, 1, 1)
    for i, name in enumerate(("main", "a", "b"), 1):
        w.define("func", i, 0, 0x1000, 0x9000 + i, i, 5, 9, i, strs=("@r.lua",))
        w.define("name", i, 1, 2, 0, strs=(name,))
    stacks = [[1, 2, 2, 2, 3], [1, 2, 3, 2, 3, 2], [1, 2], [1, 3, 3]]
    for stack in stacks:
        w.sample([recording.lua(f, 1, f) for f in reversed(stack)], ip=0)
    path = tmp_path / "x.ljx"
    path.write_bytes(w.bytes())
    want = formats.by_function(formats.stacks(folded(str(path))))
    got = formats.Callgrind(convert(str(path), ".callgrind"))
    assert {f: (got.self[f], got.inclusive[f]) for f in got.inclusive} == want
    assert go_top(convert(str(path), ".pb.gz")) == want
    assert max(n for _, n in want.values()) == len(stacks)


# --- CSV and JSON ---

def test_csv(source):
    path, _ = source
    with open(convert(path, ".csv"), encoding="utf-8", newline="") as f:
        text = f.read()
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
    assert text.count("\r\n") == text.count("\n") == len(rows) + 1
    want = report(path)["functions"]
    assert [(r["function"].lstrip("'"), int(r["self"]), int(r["total"])) for r in rows] == \
        [(f["label"].lstrip("'"), f["self"], f["total"]) for f in want]
    assert not any(v[:1] in list("=+-@") for r in rows for v in r.values())
    for r in rows:
        assert sum(int(v) for k, v in r.items() if k.startswith("self ")) == int(r["self"])


def test_json(source):
    path, want = source
    doc = formats.read_json(convert(path, ".ljx.json"))
    formats.schema("ljx.profile/1").validate(doc)
    got, own = formats.Counter(), formats.Counter()
    for i, s in enumerate(doc["stacks"]):
        assert s["parent"] < i or i == 0
    for c in doc["counts"]:
        frames, at = [], c["stack"]
        own[at] += c["samples"]
        while at:
            frames.append(doc["frames"][doc["stacks"][at]["frame"]]["label"])
            at = doc["stacks"][at]["parent"]
        got[tuple(reversed(frames))] += c["samples"]
    assert got == want and sum(got.values()) == doc["samples"]
    assert {i: n for i, n in own.items() if n} == \
        {i: s["self"] for i, s in enumerate(doc["stacks"]) if s["self"]}
    assert sum(t["samples"] for t in doc["threads"]) == doc["samples"]


def test_schemas(source):
    """Each is a schema, and the documents are what it says and no other."""
    path, _ = source
    names_ = ljx("--json-schema").out.split()
    assert "ljx.report/1" in names_
    for name in names_:
        validator = formats.schema(name)
        validator.check_schema(validator.schema)
        assert validator.schema["properties"]["schema"]["const"] == name
    validator = formats.schema("ljx.report/1")
    validator.validate(report(path))
    assert not validator.is_valid({**report(path), "more": 1})
    assert "ljx.report/1" in ljx("--json-schema", "nothing", status=USAGE).err


# --- all of them ---

def names():
    """(name, how a file of it is named) of each format, from the help."""
    text = ljx("report", "--help").out
    rows = re.findall(r"^  (\w+) +((?:\S+ )*\S+)  +\S", text[text.index("Formats"):], re.M)
    return [(name, files.split()[0].replace("*", "")) for name, files in rows if name != "ljx"]


def test_formats_in_the_help():
    assert len(names()) >= 5 and ("pprof", ".pb.gz") in names()
    with open("ljx.1", encoding="utf-8") as f:
        man = f.read()
    for name, _ in names():
        assert f"\n.B {name}\n" in man or f"\nlB {name}|" in man or f"\n{name}|" in man, name


def test_twice_the_same(source, tmp_path):
    """All writers are deterministic, alone or together; and neither a control byte nor what is not
    UTF-8 gets out."""
    path, _ = source
    files = [path + ".a" + ending for _, ending in names()]
    ljx("report", path, *[a for f in files for a in ("-o", f)])
    for (name, ending), together in zip(names(), files):
        alone = convert(path, ".b" + ending)
        a, b = (open(f, "rb").read() for f in (together, alone))
        if name == "pprof":
            continue  # compressed, and its comment has the command line
        a, b = (re.sub(rb"ljx report [^\"\n]*", b"", x) for x in (a, b))
        assert a == b, name
        text = a.decode("utf-8")
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text), name


def test_empty(tmp_path):
    """A recording without samples is no error."""
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    path = tmp_path / "x.ljx"
    path.write_bytes(w.bytes())
    for _, ending in names():
        convert(str(path), ending)
    assert formats.Pprof(f"{path}.pb.gz").stacks == {}
    assert formats.Firefox(convert(str(path), ".firefox.json")).all_stacks() == {}



def test_go_reads_odd_names(source):
    path, want = source
    got = go_top(convert(path, ".pb.gz"))
    assert sum(flat for flat, _ in got.values()) == sum(want.values())


def test_pictures_are_xml(source):
    path, _ = source
    for args in ([], ["--reverse", "--color-by", "file"], ["--color-by", "cost", "--icicle"]):
        for ending in (".svg", ".html"):
            tool("xmllint", "--noout", "--nonet", convert(path, ending, *args))
