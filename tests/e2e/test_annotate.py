# SPDX-License-Identifier: MIT
"""ljx annotate: shares per line against what the target measures of itself, aborts and traces
against jit.v, sources that are there, changed, gone or elsewhere."""
import collections
import json
import os
import re
import shutil
import signal
import subprocess

import pytest

import recording
from harness import EMPTY, OK, USAGE, Ljx, Process, ljx, luajit, record

SCRIPT = "tests/lua/lines.lua"


def marks():
    """{name: line} of the script."""
    with open(SCRIPT) as f:
        return {m.group(1): i for i, line in enumerate(f, 1)
                for m in [re.search(r"-- @(\w+)$", line)] if m}


def annotate(*args, status=OK, **kwargs):
    with ljx("annotate", "--json", *args, status=status, **kwargs) as got:
        doc = json.loads(got.out)
    assert doc["schema"] == "ljx.annotate/1"
    return doc


def by_line(doc):
    return {x["line"]: x for x in doc["lines"]}


@pytest.mark.privileged
def test_planted_costs(tmp_path):
    """Interpreted: the share of each line is the CPU time that it took, within two points."""
    path = str(tmp_path / "planted.ljx")
    with ljx("record", "-r", "999", "-o", path, "-q", "--", "luajit", "-joff", SCRIPT, "planted",
             "4") as run:
        truth = json.loads(re.search(r"^{.*}$", run.out, re.M).group())
    doc = annotate(SCRIPT, path)
    assert doc["samples"] > 3000 and doc["has_source"]
    lines, where = by_line(doc), marks()
    for name in "abcde":
        share = 100 * truth[name] / truth["seconds"]
        assert abs(lines[where[name]]["self_percent"] - share) < 2, name
        assert share > 3, "a test of nothing"
    assert lines[where["a"]]["interpreted_percent"] > 95
    assert lines[where["c"]]["interpreted_percent"] < 50  # it is in C
    assert all(x["compiled_percent"] in (None, 0) for x in doc["lines"])
    # A line's samples are those of its instructions.
    for x in doc["lines"]:
        assert sum(c["samples"] for c in x["code"]) == x["samples"]
    func = annotate("func:planted", path)
    first = where["a"] - 3
    assert (func["name"], func["from"]) == ("planted", first)
    total = sum(truth[n] for n in "abcde") / truth["seconds"]
    assert abs(func["total_percent"] - 100 * total) < 2
    assert abs(func["total_percent"] - func["self_percent"] -
               100 * truth["e"] / truth["seconds"]) < 2
    assert by_line(func)[where["call"]]["self_percent"] < 1
    assert where["e"] not in by_line(func)
    # The line of a function means all of it.
    assert annotate(f"lines.lua:{where['b']}", path) == func


def jit_v(text):
    """Aborts by the line where they stopped, and lines where root traces start, of the script."""
    aborts, roots = collections.Counter(), set()
    for line in text.splitlines():
        m = re.match(r"\[TRACE --- (?:\(\S+\) )?(\S+):(\d+) -- .*?(?: at (\S+):(\d+))?\]$", line)
        if m:
            file, at = (m.group(3), m.group(4)) if m.group(3) else (m.group(1), m.group(2))
            if file == "lines.lua":
                aborts[int(at)] += 1
        m = re.match(r"\[TRACE +\d+ lines\.lua:(\d+) ", line)
        if m:
            roots.add(int(m.group(1)))
    return aborts, roots


@pytest.mark.privileged
def test_aborts_and_traces_are_those_of_jit_v(tmp_path):
    log, path = tmp_path / "jit.v", str(tmp_path / "jit.ljx")
    with luajit(f"-jv={log}", SCRIPT, "jit", "once") as target:
        target.expect("ready")
        with Ljx("annotate", "lines.lua", "-p", target.pid, "-o", path) as run:
            run.expect("^ljx: (uprobes|watchpoints)", "err")
            target.say("go")
            target.expect("done")
            run.kill(signal.SIGINT)
            assert run.finish() == OK
    aborts, roots = jit_v(log.read_text())
    lines, where = by_line(annotate("lines.lua", path)), marks()
    got = collections.Counter({n: x["aborts"] for n, x in lines.items() if x["aborts"]})
    assert got == aborts
    assert aborts[where["fnew"]] >= 11 and aborts[where["func_fnew"]]
    assert {n for n, x in lines.items() if x["root"]} == roots
    assert where["root"] in roots
    # Where in the line, and why.
    stop = [c for c in lines[where["fnew"]]["code"] if c["stopped"]]
    assert len(stop) == 1 and " FNEW " in stop[0]["text"]
    assert stop[0]["note"].startswith("NYI: bytecode FNEW")
    black = lines[where["black"]]
    assert black["blacklisted"] and black["note"] == "BLACKLISTED loop"
    assert [c["note"] for c in black["code"] if c["blacklisted"]] == \
        ["IFORL (was FORL): BLACKLISTED"]
    assert any(c["note"] and "stitch" in c["note"] for c in lines[where["stitch"]]["code"])


@pytest.mark.privileged
def test_live_and_from_its_recording(tmp_path):
    """The same, but for where the source is; and with the listing that luajit -bl prints."""
    path = str(tmp_path / "live.ljx")
    with luajit(SCRIPT, "jit") as target:
        target.expect("ready")
        target.say("go")
        target.expect("done")
        live = annotate("lines.lua", "-p", target.pid, "-d", "3", "-r", "499", "-o", path)
        assert live["source"] == f"source: /proc/{target.pid}/root{os.path.abspath(SCRIPT)} " \
                                 "(not modified since the process started)"
    got = annotate("lines.lua", path)
    assert "source from this machine" in got["source"]
    assert {**live, "source": ""} == {**got, "source": ""}
    lines, where = by_line(got), marks()
    assert got["has_source"] and got["samples"] > 300
    with open(SCRIPT) as f:
        text = [x.rstrip("\n") for x in f]
    assert [x["text"] for x in got["lines"]] == text
    assert lines[where["root"]]["compiled_percent"] > 90
    assert lines[where["root"]]["root"] and lines[where["root"]]["trace"]
    # Blacklisted before we came: memory tells.
    assert lines[where["black"]]["blacklisted"]
    # jit.off() is said where the function begins.
    assert lines[where["e"] - 2]["note"] == "jit.off"
    plain = subprocess.run(["luajit", "-bl", SCRIPT], check=True, stdout=subprocess.PIPE,
                           text=True).stdout
    listed = {c["text"] for x in got["lines"] for c in x["code"] if c["position"]}
    assert listed and listed <= set(plain.split("\n"))


@pytest.mark.privileged
def test_text(tmp_path):
    with luajit(SCRIPT, "jit") as target:
        target.expect("ready")
        target.say("go")
        target.expect("done")
        path = record(tmp_path, "-p", target.pid)
    where = marks()
    with ljx("annotate", "func:closures", path) as got:
        text = got.out
    assert re.search(rf"^ +\d+\.\d .* {where['black']}   +for i = 1, n do -- @black  "
                     r"-- BLACKLISTED loop$", text, re.M)
    assert re.search(r"^ +\d+\.\d .*    \d{4} => FNEW ", text, re.M)
    assert "RET1" not in text  # not hot
    with ljx("annotate", "func:closures", path, "--bytecode") as got:
        assert "RET1" in got.out and "local f" in got.out
    with ljx("annotate", "func:closures", path, "--no-source") as got:
        assert "RET1" in got.out and "local f" not in got.out
    with ljx("annotate", f"lines.lua:{where['e'] - 2}-{where['e']}", path) as got:
        assert re.search(r"for i = 1, n do x = x \+ i % 7 end -- @e$", got.out, re.M)
        assert "closures" not in got.out


CODE = ["-- BYTECODE -- app.lua:1-9", "0001    KSHORT   0   1", "0002    CALL     0   1   1",
        "0003    RET0     0   1"]


def synthetic(tmp_path, chunk, code=True, n=10):
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.define("clock", 4_000_000_000_000_000_000, pid=0)
    w.define("proc", 1, 1, 4242, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"))
    w.define("build", 1, 3, strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/bin/luajit", "ab"))
    w.define("vm", 0x1000, 1, 1)
    w.define("func", 1, 0, 0x1000, 0x9000, 1, 8, 4, 11, strs=(chunk,))
    if code:
        w.code(1, [1, 2, 3, 9], CODE)
    for _ in range(n):
        w.sample([recording.lua(1, 2, 3)])
    path = tmp_path / "app.ljx"
    path.write_bytes(w.bytes())
    return str(path)


@pytest.mark.parametrize("chunk,says", [
    ("@/no/such/app.lua", "cannot open"), ("=app.lua", "not a file's name"),
    ("return 'app.lua'", "loaded from a string"), ("@/tmp", "no regular file"),
    ("@/dev/zero", "no regular file")])
def test_no_source(tmp_path, chunk, says):
    """Then it says so, and there is the bytecode."""
    path = synthetic(tmp_path, chunk)
    location = {"return 'app.lua'": "[string \"return 'app.lua'\"]"}.get(chunk, chunk[1:])
    doc = annotate(location, path)
    assert says in doc["source"] and not doc["has_source"]
    assert [(x["line"], x["self_percent"]) for x in doc["lines"]] == \
        [(1, 0), (2, 0), (3, 100), (9, 0)]
    with ljx("annotate", location, path) as got:
        assert CODE[2] in got.out and says in got.out


def test_sources(tmp_path):
    source = tmp_path / "app.lua"
    path = synthetic(tmp_path, f"@{source}")
    source.write_bytes(b"one\n\ttwo\r\nthr\x1b[31mee\xff\nfour")
    doc = annotate("app.lua", path)
    assert "source from this machine" in doc["source"]
    assert [x["text"] for x in doc["lines"]] == ["one", "        two", "thr^[[31mee\ufffd", "four", ""]
    os.utime(source, (5_000_000_000, 5_000_000_000))
    doc = annotate("app.lua", path)
    assert "was modified at" in doc["source"] and not doc["has_source"]
    assert doc["lines"][2]["code"][0]["text"] == CODE[2]
    os.utime(source, (1_000_000_000, 1_000_000_000))
    source.write_bytes(b"x\n" * (5 << 20))
    os.utime(source, (1_000_000_000, 1_000_000_000))
    assert "too big" in annotate("app.lua", path)["source"]


def test_without_a_listing(tmp_path):
    """A recording of before has none: positions and shares are still told."""
    doc = annotate("app.lua", synthetic(tmp_path, "@/no/such/app.lua", code=False))
    assert [(x["line"], x["self_percent"]) for x in doc["lines"]] == [(3, 100)]
    assert doc["lines"][0]["code"][0]["text"] == "0002    ?"


IN_JAIL = """
import os, sys
os.chroot(sys.argv[1])
os.chdir("/app")
os.execv("/usr/bin/luajit", ["luajit", "-joff", "-e", sys.argv[2]])
"""


@pytest.mark.privileged
def test_source_below_the_root(tmp_path):
    """The file of the target's root is read, not ours by that name; links stay in that root."""
    jail = tmp_path / "jail"
    for folder in ("app", "out"):
        (jail / folder).mkdir(parents=True)
    (tmp_path / "secret.lua").write_text("local secret = 1\n")
    code = "local x = 0\nwhile true do\nx = x + 1\nend\n"
    (jail / "app/spin.lua").write_text(code)
    os.symlink(str(tmp_path / "secret.lua"), jail / "app/link.lua")
    os.symlink("../../../../../../../../" + str(tmp_path / "secret.lua"), jail / "app/up.lua")
    libs = subprocess.run(["ldd", "/usr/bin/luajit"], check=True, stdout=subprocess.PIPE, text=True)
    for lib in re.findall(r"(/\S+) \(", libs.stdout) + ["/usr/bin/luajit"]:
        (jail / lib[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lib, jail / lib[1:])
    for name, shown in (("spin.lua", True), ("link.lua", False), ("up.lua", False)):
        run = "local f = io.open('spin.lua'):read('*a') print('ready') io.stdout:flush() " \
              f"assert(loadstring(f, '@{name}'))()"
        with Process("/usr/bin/python3", "-c", IN_JAIL, jail, run) as target:
            target.expect("ready")
            doc = annotate(name, "-p", target.pid, "-d", "1")
        assert doc["has_source"] == shown, doc["source"]
        assert "secret" not in json.dumps(doc["lines"])
        if shown:
            assert f"/proc/{target.pid}/root/app/spin.lua" in doc["source"]


@pytest.mark.privileged
def test_changed_since_the_start(tmp_path):
    script = tmp_path / "spin.lua"
    script.write_text("local x = 0\nwhile true do\n  x = x + 1\nend\n")
    with luajit("-joff", script) as target:
        later = os.stat(f"/proc/{target.pid}").st_mtime + 3600
        os.utime(script, (later, later))
        doc = annotate("spin.lua", "-p", target.pid, "-d", "1")
    assert "after the process started" in doc["source"] and not doc["has_source"]
    assert by_line(doc)[3]["code"]


def test_messages(tmp_path):
    path = synthetic(tmp_path, "@/no/such/app.lua")
    with ljx("annotate", status=USAGE) as got:
        assert "annotate what?" in got.err
    with ljx("annotate", path, status=USAGE) as got:
        assert "annotate what?" in got.err
    with ljx("annotate", "x.lua", "y.lua", status=USAGE) as got:
        assert "no recording" in got.err
    with ljx("annotate", "other.lua", path, status=EMPTY) as got:
        assert "/no/such/app.lua" in got.err
    with ljx("annotate", "func:nobody", path, status=EMPTY) as got:
        assert "nobody" in got.err
