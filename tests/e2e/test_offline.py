# SPDX-License-Identifier: MIT
"""Names for a recording whose machine had no symbols: from debug files of where it is read."""
import os
import re
import shutil
import subprocess

import pytest

from harness import PROGRAMS, folded, ljx, luajit, read_folded, record
from recording import Writer, of, records
from symbols import Server, build_id, debug_file, place_debug, stripped

SCRIPT = "tests/lua/nest.lua"
NOBODY = {"DEBUGINFOD_URLS": ""}


@pytest.fixture(scope="module")
def nest(tmp_path_factory):
    """(folder of the module with symbols, of the stripped one, of the debug files)"""
    top = tmp_path_factory.mktemp("nest")
    full, bare = top / "full", top / "bare"
    full.mkdir()
    bare.mkdir()
    shutil.copy(f"{PROGRAMS}/nest.so", full)
    stripped(full / "nest.so", bare / "nest.so")
    place_debug(full / "nest.so", top)
    return full, bare, top / "debug"


def run(folder, option):
    """A recording of the scenario "c" with the module in that folder, and the target's mappings."""
    out = folder / option
    out.mkdir()
    with luajit(SCRIPT, "c", env={"NEST": str(folder)}) as target:
        target.expect("^spinning$")
        path = record(out, "-p", target.pid, option, env=NOBODY)
        with open(f"/proc/{target.pid}/maps") as f:
            return path, [line.split() for line in f]


@pytest.fixture(scope="module")
def full(nest):
    return run(nest[0], "--native")[0]


@pytest.fixture(scope="module")
def bare(nest):
    return run(nest[1], "--native")


def usual(stacks):
    """That of the loop."""
    return max(stacks, key=lambda s: s[1])[0]


@pytest.mark.privileged
def test_debug_file(nest, full, bare):
    _, folder, debug = nest
    want = usual(folded(full))
    assert {"C:call_3", "C:l_spin"} <= set(want)
    path, _ = bare
    before = ljx("report", path, "-o", path + ".folded", env=NOBODY)
    nameless = usual(read_folded(path + ".folded"))
    assert len(nameless) == len(want) and not {"C:call_3", "C:l_spin"} & set(nameless)
    assert sum(bool(re.fullmatch(r"C:.*@nest\.so\+0x[0-9a-f]+", f)) for f in nameless) == 5
    count = int(re.search(rf" (\d+) in nest\.so \(no debug file of {build_id(folder / 'nest.so')}\)",
                          before.err).group(1))
    after = ljx("report", path, "--debug-dir", debug, "-o", path + ".folded", env=NOBODY)
    assert usual(read_folded(path + ".folded")) == want
    assert f"ljx: {count} C functions have their names from debug files here\n" in after.err
    assert "nest.so" not in after.err
    # Nobody was asked, and what has other names in the same recording is as it was.
    assert "debuginfod" not in before.err + after.err


@pytest.mark.privileged
def test_inlined(nest, bare):
    """What was inlined comes from the debug file as it does live, of a file that has it itself."""
    folder, _, debug = nest
    want = usual(folded(run(folder, "--inline")[0]))
    assert sum("(inlined at nest.c:" in f for f in want) == 2
    assert usual(folded(bare[0], "--inline", "--debug-dir", debug, env=NOBODY)) == want


@pytest.mark.privileged
def test_debuginfod(tmp_path, nest, bare):
    ident = build_id(nest[1] / "nest.so")
    with Server({ident: debug_file(nest[0] / "nest.so", tmp_path / "nest.debug")}) as server:
        p = ljx("report", bare[0], "-o", tmp_path / "x.folded", env=server.environment(tmp_path / "cache"))
        assert "ljx: asking debuginfod for symbols that are missing here\n" in p.err
        assert server.asked.count(ident) == 1
    stack = usual(read_folded(tmp_path / "x.folded"))
    assert ["C:l_call", "C:call_3", "C:call_2", "C:call_1"] == stack[stack.index("C:l_call"):][:4]


@pytest.mark.privileged
def test_modules_are_those_of_the_process(bare):
    path, maps = bare
    maps = {int(line[0].split("-")[0], 16): line for line in maps}
    found = of(records(path), "module")
    assert any(r.strings[1].endswith("/nest.so") for r in found)
    for r in found:
        start, end, bias = r.fields
        line = maps[start]
        assert int(line[0].split("-")[1], 16) == end and "x" in line[1]
        assert r.strings[1] == line[5] and r.strings[0] == build_id(line[5])
        # Whose first part is mapped at its start.
        assert bias == min(a for a, m in maps.items() if m[-1] == line[5])


def made_up(tmp_path, module, strs, ip=0x400010):
    """A recording with one sample in code without a name, [start, end) of a module."""
    w = Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.define("proc", 1, 1, 4242, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"))
    w.define("module", *module, strs=strs)
    w.define("sym", *module[:2], 0, 2, 0, strs=("", "nest.so"))
    w.sample([], state=9, why=1, g=0, ip=ip)
    path = tmp_path / "made-up.ljx"
    path.write_bytes(w.bytes())
    return str(path)


def test_all_functions_of_a_file_without_unwind_info(tmp_path, nest):
    """Then the whole mapping is one function without a name, which the debug file takes apart."""
    full, _, debug = nest
    text = subprocess.run(["nm", full / "nest.so"], stdout=subprocess.PIPE, text=True, check=True).stdout
    at = int(re.search(r"^([0-9a-f]+) t call_2$", text, re.M).group(1), 16)
    size = os.path.getsize(full / "nest.so")
    path = made_up(tmp_path, (0x400000, 0x400000 + size, 0x400000),
                   (build_id(full / "nest.so"), "/x/nest.so"), 0x400000 + at + 1)
    assert usual(folded(path, "--debug-dir", debug, env=NOBODY))[-1] == "C:call_2"


@pytest.mark.parametrize("name", ["", "ab", "../../../etc/passwd", "zz" * 20, "0" * 400])
def test_odd_build_ids(tmp_path, name):
    """They lead nowhere, and what they stand for stays without a name."""
    path = made_up(tmp_path, (0x400000, 0x500000, 0x3ff000), (name, "/x/\33[31mnest.so"))
    p = ljx("report", path, "--debug-dir", tmp_path, env=NOBODY)
    assert "\33" not in p.out + p.err
    bad = re.search("[^0-9a-f]", name)
    assert ("malformed records skipped" in p.err) == bool(bad)
    assert ("no debug file" in p.err or "no build-id" in p.err) == (not bad)


def test_damaged_debug_files(tmp_path, nest):
    """Cut, or with numbers that lead out of them (tests/fuzz/fuzz_elf.c does more): no crash."""
    full, _, debug = nest
    ident = build_id(full / "nest.so")
    with open(debug / ".build-id" / ident[:2] / (ident[2:] + ".debug"), "rb") as f:
        good = f.read()
    folder = tmp_path / ".build-id" / ident[:2]
    folder.mkdir(parents=True)
    path = made_up(tmp_path, (0x400000, 0x500000, 0x400000), (ident, "/x/nest.so"))
    for cut in (0, 16, 64, 1000, len(good) // 2, len(good) - 1):
        (folder / (ident[2:] + ".debug")).write_bytes(good[:cut])
        ljx("report", path, "--debug-dir", tmp_path, env=NOBODY)
    sections = int.from_bytes(good[40:48], "little")
    for at in (32, 40, 54, 60, *range(sections + 64 * 4, len(good), 509)):
        bad = bytearray(good)
        bad[at:at + 4] = b"\xff\xff\xff\x7f"
        (folder / (ident[2:] + ".debug")).write_bytes(bad)
        ljx("report", path, "--debug-dir", tmp_path, env=NOBODY)
