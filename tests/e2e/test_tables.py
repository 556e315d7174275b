# SPDX-License-Identifier: MIT
"""Names and numbers: what ljx chooses by evidence is what the build's own jit/vmdef.lua says."""
import json
import os
import re
import subprocess

import pytest

import recording
from harness import TARGET, UNSUPPORTED, USAGE, Process, ljx, luajit

VMDEF = "/usr/share/luajit-2.1.0-beta3/jit/vmdef.lua"
BUILDS = ["/usr/bin/luajit", "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"]


def vmdef(path=VMDEF):
    """Its four lists: names by number."""
    with open(path) as f:
        text = f.read()
    lists = {}
    for verb, name in (("bc", "bcnames"), ("ir", "irnames")):
        joined = re.search(rf'^{name} = "([^"]*)"', text, re.M).group(1)
        lists[verb] = [joined[i:i + 6].strip() for i in range(0, len(joined), 6)]
    for verb, name in (("ff", "ffnames"), ("err", "traceerr")):
        body = re.search(rf"^{name} = \{{\n(.*?)\n\}}", text, re.M | re.S).group(1)
        lists[verb] = re.findall(r'^(?:\[0\]=)?"([^"]*)"', body, re.M)
    return lists


def rows(verb, *args):
    """The one table of a build as a list of rows, whose numbers have no gap."""
    got = json.loads(ljx(verb, "--json", *args).out)
    assert got["schema"] == f"ljx.{verb}/1"
    [table] = got["tables"]
    assert table["table"] and table["evidence"]
    assert [r["number"] for r in table["rows"]] == list(range(len(table["rows"])))
    return table["rows"], got, table


needs_luajit2 = pytest.mark.skipif(not os.path.exists(VMDEF), reason=f"no {VMDEF}")


@needs_luajit2
@pytest.mark.parametrize("path", BUILDS)
@pytest.mark.parametrize("verb, key, atleast", [("bc", "name", 97), ("ff", "name", 200),
                                                ("err", "text", 35), ("ir", "name", 99)])
def test_vmdef(path, verb, key, atleast):
    got, doc, _ = rows(verb, "-f", path)
    assert doc["file"] == path and doc["version"] == "LuaJIT 2.1.0-beta3"
    assert len(got) >= atleast
    assert [r[key] for r in got] == vmdef()[verb]


@needs_luajit2
def test_symbols_change_nothing():
    """The library with symbols and the stripped one give the same."""
    twin = subprocess.run(["tests/twin"], check=True, stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    for verb in ("bc", "ff", "err", "ir"):
        assert rows(verb, "-f", twin)[0] == rows(verb, "-f", BUILDS[1])[0]


def test_names_of_a_listing():
    """luajit -bl prints the names that its opcodes have here."""
    chunk = "tests/lua/semantics.lua"
    listing = subprocess.run(["luajit", "-bl", chunk], check=True, capture_output=True,
                             text=True).stdout
    printed = set(re.findall(r"^\d{4} (?:=>)?\s*([A-Z][A-Z0-9]+)\b", listing, re.M))
    names = [r["name"] for r in rows("bc", "-f", BUILDS[0])[0]]
    assert len(printed) > 20
    assert printed <= set(names)

    # The numbers too: the dump of a function that has each of three.
    code = ("local u, bc = require'jit.util', require'jit.bc' "
            "local f = loadstring'local t = ... for k in pairs(t) do t[k] = function() return k end end' "
            "for pc = 1, 99 do local ins = u.funcbc(f, pc) if not ins then break end "
            "io.write(ins % 256, ' ', bc.line(f, pc):match('^%d+ [=> ]*(%u[%u%d]*)'), '\\n') end")
    out = subprocess.run(["luajit", "-e", code], check=True, capture_output=True, text=True).stdout
    pairs = [line.split() for line in out.splitlines()]
    assert {"ISNEXT", "ITERN", "FNEW", "UCLO"} <= {name for _, name in pairs}
    for number, name in pairs:
        assert names[int(number)] == name


@pytest.mark.privileged
def test_process():
    """The same of a live process as of the file that it runs, by number and by name."""
    with luajit("tests/lua/spin.lua") as target:
        target.expect(r".", "out")
        for verb in ("bc", "ff", "err", "ir"):
            got, doc, table = rows(verb, "-p", target.pid)
            assert got == rows(verb, "-f", BUILDS[0])[0]
            assert os.path.realpath(doc["file"]) == os.path.realpath(BUILDS[0])
            assert table["evidence"].startswith("by ")
        for verb, number, name in (("bc", 51, "FNEW"), ("err", 7, "NYIBC")):
            p = ljx(verb, number, "-p", target.pid)
            assert p.out.split()[:2] == [str(number), name]
            assert p.err.startswith("ljx: ") and ", by " in p.err
            assert ljx(verb, name, "-p", target.pid).out == p.out


def test_evidence_is_told():
    for verb, word in (("bc", "lj_bc_mode"), ("ff", "lj_lib_init"), ("err", "version string"),
                       ("ir", "lj_ir_mode")):
        p = ljx(verb, "0", "-f", BUILDS[0])
        assert word in p.err and BUILDS[0] in p.err
        assert len(p.out.splitlines()) == 1
        assert word in rows(verb, "-f", BUILDS[0])[2]["evidence"]


def test_any_build():
    """Without a build: what each number is, and where."""
    out = ljx("bc", "51").out
    assert re.search(r"^ 51 FNEW\n +in G21, G21b$", out, re.M)
    assert re.search(r"^ 51 TDUP\n +in G20$", out, re.M)
    assert "LLEAVE" in ljx("err", "lj_trerr_lleave").out
    assert len(json.loads(ljx("ff", "--json", "85").out)["tables"]) > 20
    ljx("ff", status=USAGE)


def test_generations_by_name():
    assert ljx("bc", "FUNCF", "--gen", "G21b").out.split() == ["96", "FUNCF"]
    assert ljx("bc", "FUNCF", "--gen", "g20").out.split() == ["85", "FUNCF"]
    assert ljx("ff", "85", "--gen", "v2.1-20190131+52").out.split() == ["85", "string.dump"]
    assert "v2.1-20230119" in ljx("bc", "--gen", "no such", status=USAGE).err
    ljx("bc", "--gen", "openresty", status=USAGE)
    ljx("ff", "--gen", "G21", status=UNSUPPORTED)


def test_refusals(tmp_path):
    assert "/nowhere" in ljx("bc", "-f", "/nowhere", status=TARGET).err
    assert "no LuaJIT" in ljx("bc", "-f", "/bin/true", status=UNSUPPORTED).err
    text = tmp_path / "text"
    text.write_text("LuaJIT 2.1.0-beta3\n")
    ljx("bc", "-f", text, status=UNSUPPORTED)
    ljx("bc", "104", "-f", BUILDS[0], status=USAGE)
    ljx("err", "string.gsub", status=USAGE)
    ljx("bc", "-f", BUILDS[0], "--gen", "G21", status=USAGE)
    ljx("bc", "-p", "1,2", status=USAGE)
    ljx("bc", "--format", "svg", status=USAGE)


@pytest.mark.parametrize("reason, keys", [
    (["FNEW"], ["FNEW"]),
    (["leaving", "loop"], ["LLEAVE"]),
    (["NYI: bytecode 51"], ["FNEW", "NYIBC"]),
    (["[TRACE --- v.lua:8 -- NYI: bytecode 71 at v.lua:9]"], ["VARG", "NYIBC"]),
    (["string.gsub"], ["string.gsub"]),
    (["8", "-f", BUILDS[0]], ["LLEAVE"]),
    (["8", "--gen", "2.0.5"], ["LUNROLL"]),
])
def test_explain(reason, keys):
    got = json.loads(ljx("explain", "--json", *reason).out)
    assert got["schema"] == "ljx.explain/1"
    assert [r["key"] for r in got["reasons"]] == keys
    text = ljx("explain", *reason).out
    assert all(len(line) <= 100 for line in text.splitlines())
    assert re.search(r"^  Usual fix ", text, re.M)


def test_each_reason_of_vmdef_is_explained():
    for text in vmdef()["err"]:
        got = json.loads(ljx("explain", "--json", text).out)["reasons"]
        assert len(got) == 1
        assert re.sub("%.", "%", got[0]["message"]) == re.sub("%.", "%", text)


def test_explain_lists_all():
    lines = ljx("explain").out.splitlines()
    assert len(lines) > 70
    assert len(json.loads(ljx("explain", "--json").out)["reasons"]) == len(lines)
    ljx("explain", "string.sub", status=USAGE)


# --- the target's own vmdef.lua ---

@needs_luajit2
@pytest.mark.privileged
def test_targets_vmdef(tmp_path):
    """Found through the package.path in the binary and the target's root, and compared."""
    with luajit("tests/lua/spin.lua") as target:
        target.expect(r"^\{")
        for verb in ("bc", "ff", "err", "ir"):
            assert f"ljx: the target's '{VMDEF}' says the same\n" in ljx(verb, 1, "-p", target.pid).err
        assert "vmdef" not in ljx("nyi", "-p", target.pid, "-d", 0.2).err


@needs_luajit2
@pytest.mark.privileged
def test_other_vmdef_of_target(tmp_path):
    """One that says something else, which only the target sees: told, by all verbs that name things."""
    other = tmp_path / "vmdef.lua"
    with open(VMDEF) as f:
        text = f.read()
    assert text.count("leaving loop in root trace") == 1
    other.write_text(text.replace("leaving loop in root trace", "a \x1b[2J loop"))
    says = f"ljx: '{VMDEF}' says trace error 8 is a ?[2J loop, the tables leaving loop in root trace: " \
           "using the tables\n"
    with Process("unshare", "-m", "sh", "-c",
                 f"mount --bind {other} {VMDEF} && exec luajit tests/lua/spin.lua") as target:
        target.expect(r"^\{")
        for args in (["err", 8], ["bc"], ["nyi", "-d", 0.2]):
            got = ljx(*args, "-p", target.pid)
            assert says in got.err and got.err.count(" says ") == 1
        assert "leaving loop" in ljx("err", 8, "-p", target.pid).out


@needs_luajit2
def test_vmdef_given(tmp_path):
    """--vmdef FILE decides, alone or against a file."""
    other = tmp_path / "vmdef.lua"
    with open(VMDEF) as f:
        text = f.read()
    other.write_text(text)
    for verb in ("bc", "ff", "err", "ir"):
        alone, doc, table = rows(verb, "--vmdef", other)
        assert doc["file"] == str(other) and table["evidence"] == "by vmdef.lua"
        assert [r.get("text", r["name"]) for r in alone] == vmdef()[verb]
        assert alone == rows(verb, "-f", BUILDS[0], "--vmdef", other)[0]
    # A build of another time: the file is believed.
    got = ljx("ff", "--gen", "upstream 2.1.0-beta2", "--vmdef", other, "--json")
    assert " says fast function " in got.err and "using the file\n" in got.err
    assert [r["name"] for r in json.loads(got.out)["tables"][0]["rows"]] == vmdef()["ff"]
    # One that no table fits is no choice; what is no such file neither.
    other.write_text(text.replace('"string.match"', '"string.mtch"'))
    assert "no table is as vmdef.lua says" in ljx("ff", "--vmdef", other, status=UNSUPPORTED).err
    assert ljx("err", 8, "--vmdef", other).out.startswith("  8 LLEAVE")
    assert "is no jit/vmdef.lua" in ljx("ff", "--vmdef", "/etc/passwd", status=UNSUPPORTED).err
    assert "cannot open" in ljx("ff", "--vmdef", tmp_path / "none", status=TARGET).err


@pytest.mark.privileged
def test_in_recordings(tmp_path):
    """A recording names the tables that its build has, so that it is read with those again."""
    path = tmp_path / "run.ljx"
    ljx("record", "-o", path, "--", "luajit", "-e", "for i = 1, 1e8 do end")
    recs = recording.records(path)
    build, = recording.of(recs, "build")
    tables, = recording.of(recs, "tables")
    assert tables.fields == (build.fields[0], 0)
    assert recs.index(build) + 1 == recs.index(tables)
    want = [rows(verb, "-f", build.strings[2])[2]["table"] for verb in ("bc", "ff", "err", "ir")]
    assert tables.strings == want
