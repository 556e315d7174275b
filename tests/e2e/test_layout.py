# SPDX-License-Identifier: MIT
"""Layouts: those of files and processes, given ones, and VMs that contradict theirs."""
import json
import re
import subprocess

import pytest

from harness import ROOT, TARGET, UNSUPPORTED, USAGE, folded, ljx, luajit, record

pytestmark = [pytest.mark.privileged, pytest.mark.beside(0.7)]

LIB = "/usr/lib/x86_64-linux-gnu/libluajit-5.1.so.2"
STACKSIZE = 88 - 112  # of the main thread, from the global_State: layout luajit2-20230119


def test_refused_with_evidence(tmp_path):
    script = tmp_path / "wait.lua"
    script.write_text('print("ready") io.stdout:flush() io.read() os.exit(0, false)')
    with luajit(script) as target:
        target.expect("^ready$")
        g = int(re.search(r"global_State (0x[0-9a-f]+)", ljx("bt", "-p", target.pid).out)[1], 16)
        # The target, which waits, now contradicts itself.
        with open(f"/proc/{target.pid}/mem", "r+b", buffering=0) as mem:
            mem.seek(g + STACKSIZE)
            mem.write(b"\xff\xff\xff\x7f")
        out = tmp_path / "x.folded"
        p = ljx("record", "-p", target.pid, "-d", "1", "-o", out, status=UNSUPPORTED)
        assert "no known layout fits it" in p.err
        assert not out.exists()
        checks = json.loads(ljx("doctor", "-p", target.pid, "--json", status=None).out)["checks"]
        vm, = [c for c in checks if c["check"] == "VM"]
        assert not vm["ok"] and "maxstack and stacksize do not agree" in vm["result"]


def layout_of(*args):
    got = json.loads(ljx("layout", "--json", *args).out)
    assert got["schema"] == "ljx.layout/1"
    return got


def test_of_debug_information():
    """What the library with debug information says, the stripped one's code does not contradict."""
    twin = subprocess.run(["tests/twin"], check=True, cwd=ROOT, stdout=subprocess.PIPE,
                          text=True).stdout.strip()
    whole, = layout_of("-f", twin)["layouts"]
    assert {k for k, v in whole["from"].items() if v != "dwarf"} == {"dualnum"}
    got = layout_of("-f", LIB)["layouts"]
    assert whole["fields"] in [g["fields"] for g in got]
    for g in got:
        assert g["from"]["G_cur_L"] == "code" and g["from"]["PT_sizebc"] == "table"
    assert "global_State.cur_L" in ljx("layout", "-f", LIB).out
    ljx("layout", "-f", "/bin/true", status=UNSUPPORTED)
    ljx("layout", "-f", "/nowhere", status=TARGET)
    ljx("layout", status=USAGE)


@pytest.fixture
def spinning():
    with luajit("tests/lua/spin.lua") as target:
        target.event("stack")
        yield target


def test_given(spinning, tmp_path):
    """What is printed of a process can be given back, and is what the stacks are read by."""
    mine = layout_of("-p", spinning.pid)
    assert mine["verified"] and len(mine["layouts"]) == 1
    mine["layouts"][0]["name"] = "by-hand"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(mine))
    done = record(tmp_path, "-p", spinning.pid, "--layout", path, seconds=0.5)
    assert any(f.startswith("spin ") for s, _ in folded(done) for f in s)
    checks = json.loads(ljx("doctor", "-p", spinning.pid, "--layout", path, "--json",
                            status=None).out)["checks"]
    vm, = [c for c in checks if c["check"] == "VM"]
    assert vm["ok"] and "layout luajit2-20230119+by-hand" in vm["result"]


@pytest.mark.parametrize("field, by, says", [
    ("J_state", 4, "J_state is 236, in the layout 240"),         # the code contradicts it
    ("G_registrytv", 8, "registrytv at 280 is no table"),        # the memory does
    ("L_env", 8, "a layout that the sampler is not made for"),   # nobody can walk it
])
def test_given_wrong(spinning, tmp_path, field, by, says):
    mine = layout_of("-p", spinning.pid)
    mine["layouts"][0]["fields"][field] += by
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(mine))
    out = tmp_path / "x.folded"
    p = ljx("record", "-p", spinning.pid, "-d", 1, "-o", out, "--layout", path, status=UNSUPPORTED)
    assert "no known layout fits it" in p.err
    assert says in p.err
    assert not out.exists()


def test_hostile_files(tmp_path):
    good = layout_of("-f", LIB)
    good["layouts"] = good["layouts"][:1]
    fields = good["layouts"][0]["fields"]

    def refused(text, says):
        path = tmp_path / "bad.json"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        p = ljx("record", "-p", "1", "-d", 1, "--layout", path, status=USAGE)
        assert says in p.err, p.err
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", p.err)
        assert "bad value" not in p.err and len(re.findall("^ljx", p.err, re.M)) == 1, p.err

    def changed(**values):
        return json.dumps(dict(good, layouts=[dict(good["layouts"][0],
                                                   fields=dict(fields, **values))]))

    refused("", "is no layout")
    assert ljx("bt", "-p", "1", "--layout", tmp_path, status=USAGE).err == \
        f"ljx: cannot read '{tmp_path}': Is a directory\n"
    refused("{", "is no layout")
    refused("[" * 100000, "is no layout")
    refused(b"\xff\xfe\x00\x1b[31m", "is no layout")
    refused(" " * 300000, "too large")
    refused("{}", "schema")
    refused(json.dumps(dict(good, layouts=[])), "name")
    refused(json.dumps(dict(good, layouts=good["layouts"] * 2)), "holds 2 layouts")
    refused(json.dumps(dict(good, layouts=[dict(good["layouts"][0], name="a\x1b[31m")])), "name")
    refused(changed(G_cur_L=-1), "G_cur_L")
    refused(changed(G_cur_L=65536), "G_cur_L")
    refused(changed(G_cur_L=1.5), "G_cur_L")
    refused(changed(G_cur_L=65000), "G_cur_L")
    refused(changed(PT_varinfo=4000), "PT_varinfo")
    refused(changed(PT_size=60000), "PT_")
    refused(changed(T_size=60000), "T_size")
    refused(changed(GG_size=60000), "GG_size")
    refused(changed(bc_max=98), "bc_max")
    refused(changed(jit_p_max=0), "jit_p_max")
    refused(changed(CF_pc=8), "CF_pc")
    refused(changed(gc64=0), "CF_")
    refused(changed(extra=1), "not known")
    missing = dict(fields)
    del missing["STR_len"]
    refused(json.dumps(dict(good, layouts=[dict(good["layouts"][0], fields=missing)])), "STR_len")
    ljx("record", "-p", "1", "--layout", "/nowhere", status=USAGE)
