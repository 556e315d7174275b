# SPDX-License-Identifier: MIT
"""ljx bc -l: the listing of a live process against the one that LuaJIT itself prints."""
import json
import re
import subprocess

import pytest

import recording
from harness import EMPTY, UNSUPPORTED, USAGE, Process, ljx, luajit, record

pytestmark = pytest.mark.privileged
SCRIPT = "tests/lua/operands.lua"


def listing(*args):
    """What luajit -bl prints, as bytes."""
    return subprocess.run(["luajit", "-bl", *args], check=True, stdout=subprocess.PIPE).stdout


def functions(text):
    """{"file:a-b": lines} of a listing."""
    found = {}
    for part in text.strip("\n").split("\n\n"):
        lines = part.split("\n")
        place = re.match(r"-- BYTECODE -- (\S+)", lines[0]).group(1)
        assert place not in found
        found[place] = lines
    return found


def without_notes(line):
    return re.sub(r"  ; (JF?\w+( -> trace \d+)?|I\w+ \(was \w+\): (blacklisted|jit\.off)|jit\.off)$",
                  "", line)


def test_listing_equals_that_of_luajit():
    """Every operand kind, byte for byte, as long as nothing was compiled."""
    with luajit("-joff", SCRIPT) as target:
        target.expect("ready")
        with ljx("bc", "-l", "operands.lua", "-p", target.pid) as got:
            want = listing(SCRIPT)
            # jit.off() is told; it does not change an instruction.
            lines = got.text["out"].replace(b"  ; jit.off\n", b"\n")
            assert lines == want
            assert got.text["out"].count(b"; jit.off\n") == 1
    kinds = set(re.findall(r"^\d{4} .. (\w+)", want.decode(errors="replace"), re.M))
    assert kinds >= {"KSTR", "KNUM", "KCDATA", "KSHORT", "KPRI", "KNIL", "UGET", "USETV", "USETS",
                     "USETN", "USETP", "UCLO", "FNEW", "TNEW", "TDUP", "TSETM", "TGETS", "TGETB",
                     "VARG", "CALLMT", "ISNEXT", "ITERN", "ITERC", "LOOP", "FORL", "ISEQP", "POW",
                     "ISTC", "ISFC", "ISNEN", "ISNES"}


def test_string_chunks_and_builtins(tmp_path):
    """Names of chunks that are no file, compared with jit.bc in the very process."""
    path = tmp_path / "chunks.lua"
    path.write_text("""
local bc = require "jit.bc"
local keep, out = {}, { flush = function() end, close = function() end }
function out:write(s) io.write(s) end
for _, c in ipairs { { "return function() return 1 end", "=named" }, { "return {'x'}, 0.5", "short" },
    { "return function(a) return a.b end -- longer than a name may be", nil },
    { "local a = ... return a[1]", "@no/such/folder/file.lua" }, { "return 1", "@/rooted" } } do
  local f = assert(loadstring(c[1], c[2]))
  keep[#keep + 1] = f
  bc.dump(f, out, true)
end
print("ready") io.stdout:flush() io.read()
""")
    with luajit("-joff", path) as target:
        target.expect("ready")
        want = functions(target.out.replace("ready\n", ""))
        with ljx("bc", "-l", "--json", "func:none", "-p", target.pid, status=EMPTY) as none:
            assert "no prototype" in none.out + none.err
        got = {}
        for location in ("named", "no/such/folder/file.lua", "rooted",
                         '[string "short"]', '[string "return function(a) return a.b end -- longer t..."]'):
            with ljx("bc", "-l", location, "-p", target.pid) as one:
                got.update(functions(one.out))
    assert got == want


def notes_of(patched):
    """The comment that each instruction must have, from what jit.util read in the process."""
    notes = {}
    for place, pc, op, d in patched:
        key = place.rsplit(":", 1)[1], int(pc)
        if op[0] == "J":
            notes[key] = f"{op} -> trace {d}" if op != "JFORI" else "JFORI"
        else:
            notes[key] = f"{op} (was {op[1:]}): blacklisted"
    return notes


def test_patches_are_those_that_jit_util_tells():
    with luajit(SCRIPT) as target:
        target.expect("ready", seconds=60)
        patched = re.findall(r"^patched\t(\S+)\t(\d+)\t(\w+)\t(\d+)$", target.out, re.M)
        with ljx("bc", "-l", "operands.lua", "-p", target.pid) as got:
            live = functions(got.text["out"].decode("latin-1"))
    plain = functions(listing(SCRIPT).decode("latin-1"))
    assert live.keys() == plain.keys()
    assert {p[2] for p in patched} >= {"JFORL", "JFORI", "IFORL", "JLOOP", "ILOOP", "JFUNCF"}
    off = next(p for p, lines in live.items() if lines[0].endswith("; jit.off"))
    for place, pc, op, _ in patched:
        assert not off.startswith(place + "-") or op[0] == "I"
    notes = notes_of(p for p in patched if not off.startswith(p[0] + "-"))
    seen = {}
    for place, lines in live.items():
        first = place.rsplit(":", 1)[1].split("-")[0]
        assert [without_notes(x) for x in lines] == \
            [x for x in plain[place]], "not as the parser made it"
        for line, was in zip(lines, plain[place]):
            pc = int(line[:4]) if re.match(r"\d{4} ", line) else 0
            if line != was and "jit.off" not in line:
                seen[first, pc] = line[len(was):].removeprefix("  ; ")
    seen = {k: v for k, v in seen.items() if k[0] != "0"}
    for key, note in notes.items():
        assert seen[key].startswith(note)
        assert not note.startswith("JFORI") or re.fullmatch(r"JFORI -> trace \d+", seen[key])
    assert seen.keys() == notes.keys()


def test_locations():
    with luajit("-joff", SCRIPT) as target:
        target.expect("ready")

        def names(location):
            with ljx("bc", "-l", location, "-p", target.pid, "--json") as got:
                doc = json.loads(got.out)
            assert doc["schema"] == "ljx.code/1" and doc["pid"] == target.pid
            return [f["name"] for f in doc["functions"]]

        lines = open(SCRIPT).read().split("\n")
        line = 1 + next(i for i, x in enumerate(lines) if "return self:method" in x)
        assert names(f"tests/lua/operands.lua:{line}") == ["method"]
        assert names("func:recursive") == ["recursive"]
        line = 1 + next(i for i, x in enumerate(lines) if "for i = 1, n do f = function" in x)
        assert names(f"operands.lua:{line}") == ["f", "failing"]  # a closure, and who makes it


def test_stacks_without_a_location():
    """Only what is on the stacks: the main chunk, which waits for its input."""
    with luajit("-joff", SCRIPT) as target:
        target.expect("ready")
        with ljx("bc", "-l", "-p", target.pid) as got:
            found = re.findall(r"^-- BYTECODE -- (\S+)", got.out, re.M)
            assert len(found) == 1 and found[0].startswith("operands.lua:0-")


def test_running_loop_without_a_location():
    """A loop that never leaves Lua has its stack in registers."""
    with luajit("-e", "local function spin() while true do end end print('ready') "
                "io.stdout:flush() spin()") as target:
        target.expect("ready")
        with ljx("bc", "-l", "-p", target.pid) as got:
            assert "LOOP" in got.out


def test_equal_listings():
    """The same code, loaded three times, is listed once."""
    code = "local co = {} for i = 1, 3 do co[i] = loadstring('coroutine.yield()', '=same') " \
        "coroutine.wrap(co[i])() end print('ready') io.stdout:flush() io.read()"
    with luajit("-e", code) as target:
        target.expect("ready")
        with ljx("bc", "-l", "same", "-p", target.pid) as got:
            assert got.out.count("-- BYTECODE -- same:0-1\n") == 1
            assert "2 more with the same listing" in got.err


def test_messages():
    with ljx("bc", "-l", status=USAGE) as got:
        assert "one process" in got.err
    with ljx("bc", "-l", "-f", "/usr/bin/luajit", status=USAGE) as got:
        assert "no prototypes" in got.err
    with Process("sleep", "60") as target:
        ljx("bc", "-l", "-p", target.pid, status=UNSUPPORTED)
    with luajit("-joff", SCRIPT) as target:
        target.expect("ready")
        with ljx("bc", "-l", "nowhere.lua", "-p", target.pid, status=EMPTY) as got:
            assert "no prototype" in got.err and SCRIPT in got.err


HOT = """
local function work(n)
  local s = 0
  for i = 1, n do
    s = s + #tostring(i)
  end
  return s
end
local function unused() return 1 end
print("ready") io.stdout:flush()
while true do work(1000) end
"""


@pytest.mark.parametrize("jit", ["-joff", "-jon"])
def test_recording_has_the_listing(tmp_path, jit):
    """Once, of what runs, before the first sample of it, and as the parser made it."""
    path = tmp_path / "hot.lua"
    path.write_text(HOT)
    with luajit(jit, path) as target:
        target.expect("ready")
        recs = recording.records(record(tmp_path, "-p", target.pid))
    want = {k: v for k, v in functions(listing(str(path)).decode()).items()}
    codes = recording.codes(recs)
    assert len(codes) == len({c.id for c in codes}) and codes
    work = [c for c in codes if c.text[0].endswith("hot.lua:2-8")]
    # What memory told of at the start has an id of its own.
    assert len([c for c in work if c.id < 1 << 31]) == 1 and work[0].flags == 0
    plain = [x for x in want["hot.lua:2-8"] if not x.startswith("K")]
    assert all(c.text == plain for c in work)
    assert work[0].lines[0] == 2 and set(work[0].lines[1:]) == {3, 4, 5, 7}
    assert not [c for c in codes if "hot.lua:9-9" in c.text[0]]
    known = set()
    for r in recs:
        if r.h.kind == recording.CODE:
            assert any(f.fields[0] == r.id for f in recording.of(recs, "func"))
            known.add(r.id)
        elif r.h.kind == recording.SAMPLE:
            leaf = [f for f in r.frames if f.kind == recording.LUA][:1]
            assert all(f.addr & 0xffffffff in known for f in leaf)


def test_long_functions_are_cut(tmp_path):
    path = tmp_path / "long.lua"
    path.write_text("local x = 0\nlocal function long()\n" + "x = x + 1.5\n" * 6000 + "end\n"
                    "print('ready') io.stdout:flush()\nwhile true do long() end\n")
    with luajit("-joff", path) as target:
        target.expect("ready")
        recs = recording.records(record(tmp_path, "-p", target.pid))
    cut = [c for c in recording.codes(recs) if c.flags & recording.CODE_CUT]
    assert len(cut) == 1 and 1000 < len(cut[0].text) <= 4096
    plain = [x for x in functions(listing(str(path)).decode())["long.lua:2-6003"] if x[0] != "K"]
    assert cut[0].text == plain[:len(cut[0].text)]


def test_jit_off_is_recorded(tmp_path):
    path = tmp_path / "off.lua"
    path.write_text("jit.off(true, true)\nprint('ready') io.stdout:flush()\n"
                    "local x = 0 while true do x = x + 1 end\n")
    with luajit(path) as target:
        target.expect("ready")
        recs = recording.records(record(tmp_path, "-p", target.pid))
    assert [c.flags for c in recording.codes(recs)] == [recording.CODE_NOJIT]
