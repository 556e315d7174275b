# SPDX-License-Identifier: MIT
"""ljx diff: of folded files and recordings, checked against a comparison made here. No privileges."""
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

import browser
import formats
from harness import INTERNAL, USAGE, folded, ljx

BEFORE = {"main;work;sort": 300, "main;work": 100, "main;gone;deep": 200, "main;same": 400}
AFTER = {"main;work;sort": 1400, "main;work": 110, "main;fresh": 90, "main;same": 400}


def write(path, stacks):
    path.write_text("".join(f"{s} {n}\n" for s, n in stacks.items()))
    return path


@pytest.fixture
def files(tmp_path):
    return write(tmp_path / "a.folded", BEFORE), write(tmp_path / "b.folded", AFTER)


def rows(a, b, *args):
    got = json.loads(ljx("diff", a, b, "--json", *args).out)
    formats.schema("ljx.diff/1").validate(got)
    return got


def two_counts(path):
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        stack, before, after = re.fullmatch(r"(.+) (\d+) (\d+)", line).groups()
        assert stack not in found
        found[stack] = (int(before), int(after))
    return found


def test_folded(files, tmp_path):
    out = tmp_path / "d.folded"
    ljx("diff", *files, "-o", out)
    assert two_counts(out) == {s: (BEFORE.get(s, 0), AFTER.get(s, 0)) for s in {**BEFORE, **AFTER}}
    assert out.read_text().splitlines() == sorted(out.read_text().splitlines())
    assert ljx("diff", *files, "-f", "folded", "-o", "-").out == out.read_text()


def test_rows(files):
    got = rows(*files)
    assert (got["before"], got["after"]) == (1000, 2000)
    want = [formats.by_function({tuple(s.split(";")): n for s, n in side.items()})
            for side in (BEFORE, AFTER)]
    assert {f["label"] for f in got["functions"]} == set(want[0]) | set(want[1])
    for f in got["functions"]:
        for side, name in enumerate(("before", "after")):
            assert (f[f"self_{name}"], f[f"total_{name}"]) == want[side].get(f["label"], (0, 0))


def test_regressions_first(files):
    got = {f["label"]: f["verdict"] for f in rows(*files)["functions"]}
    assert got == {"sort": "grew", "fresh": "new", "main": "", "work": "shrank", "same": "shrank",
                   "deep": "vanished", "gone": "vanished"}
    order = list(got)
    assert order[:2] == ["sort", "fresh"] and set(order[-2:]) == {"gone", "deep"}
    text = ljx("diff", *files).out.splitlines()
    assert text[0].startswith("1000 samples before, 2000 after")
    assert text[2].split() == ["30.0", "70.0", "+40.0", "30.0", "70.0", "grew", "sort"]
    short = ljx("diff", *files, "--rows", "2").out.splitlines()
    assert "sort" in short[2] and "more" in short[3] and re.search("gone|deep", short[4])


def test_chance_is_no_change(tmp_path):
    """Twice the same thing, sampled: no verdict, whatever the number of samples."""
    for n in (20, 2000):
        a = write(tmp_path / "a.folded", {"main;f": n // 2 + n // 50, "main;g": n // 2})
        b = write(tmp_path / "b.folded", {"main;f": n // 2, "main;g": n // 2 + n // 50})
        assert {f["verdict"] for f in rows(a, b)["functions"]} == {""}
    assert {f["verdict"] for f in rows(a, a)["functions"]} == {""}


def test_of_recordings(tmp_path, example):
    """A recording against its own stacks: nothing changed."""
    stacks = folded(example)
    out = tmp_path / "d.folded"
    ljx("diff", example, example + ".folded", "-o", out)
    assert two_counts(out) == {";".join(s): (n, n) for s, n in stacks}
    ljx("diff", example, example, "--state", "N", "-o", out)
    assert sum(n for n, _ in two_counts(out).values()) == 4


@pytest.mark.parametrize("split", ["process", "thread", "vm", "coroutine", "state", "trace", "vm,state"])
def test_split(tmp_path, example, split):
    """A row for each function and group, in tables, stacks and what vanished, of recordings as of what
    they were folded to; the same picture of both."""
    depth = split.count(",") + 1
    stacks = {";".join(s): n for s, n in folded(example, "--split", split)}
    other = write(tmp_path / "b.folded", {s: 2 * n + (50 if i % 2 else 0)
                                          for i, (s, n) in enumerate(stacks.items())})
    same = write(tmp_path / "a.folded", stacks)
    got = rows(example, other, "--split", split)
    assert got == rows(same, other, "--split", split)
    want = {}
    for side, text in enumerate((same, other)):
        groups = {}
        for line in text.read_text().splitlines():
            stack, n = line.rsplit(" ", 1)
            frames = stack.split(";")
            own = groups.setdefault(";".join(frames[:depth]), {})
            own[tuple(frames[depth:])] = own.get(tuple(frames[depth:]), 0) + int(n)
        for group, own in groups.items():
            for label, (self, total) in formats.by_function(own).items():
                want.setdefault((group, label), [0, 0, 0, 0])[side::2] = [self, total]
    keys = ("self_before", "self_after", "total_before", "total_after")
    assert {(r["split"], r["label"]): [r[k] for k in keys] for r in got["functions"]} == want
    out = ljx("diff", example, other, "--split", split, "--rows", "1000").out
    assert all(f"{r['label']}  ({r['split']})\n" in out for r in got["functions"])
    ljx("diff", example, other, "--split", split, "-o", tmp_path / "d.folded")
    assert {s: n for s, (n, _) in two_counts(tmp_path / "d.folded").items()} == stacks
    ljx("diff", example, other, "--split", split, "-o", tmp_path / "d.svg")
    text = (tmp_path / "d.svg").read_text()
    assert all(f">{group.split(';')[0]}\n" in text for group, _ in want)
    plain = write(tmp_path / "plain.folded", BEFORE)
    p = ljx("diff", example, plain, "--split", split, status=USAGE)
    assert "line 1" in p.err and "--split" in p.err


def test_split_that_vanished(tmp_path):
    a = write(tmp_path / "a.folded", {"[GC];main;f": 900, "[C];main;f": 900})
    b = write(tmp_path / "b.folded", {"[C];main;f": 900})
    assert {(r["split"], r["label"]) for r in rows(a, b, "--split", "state")["functions"]
            if r["verdict"] == "vanished"} == {("[GC]", "main"), ("[GC]", "f")}
    ljx("diff", a, b, "--split", "state", "-o", tmp_path / "d.svg")
    assert re.search(r">vanished, was +50.0%  f  \(\[GC\]\)<", (tmp_path / "d.svg").read_text())


def test_picture(files, tmp_path):
    svg, page = tmp_path / "d.svg", tmp_path / "d.html"
    ljx("diff", *files, "-o", svg, "-o", page)
    frames = {}
    for g in ElementTree.parse(svg).getroot().iter():
        if g.get("class", "").startswith("f "):
            label, _, own, counts = g[0].text.split("\n")
            frames[label] = (g.get("class")[2:], int(g.get("data-n")), counts)
    assert {k: v[0] for k, v in frames.items()} == {
        "all": "e", "main": "e", "work": "u3", "sort": "u3", "fresh": "u4", "same": "d3"}
    assert frames["sort"][1] == 1400 and "before 300, 30.0%; after 1400, 70.0%" in frames["sort"][2]
    text = svg.read_text()
    assert re.search(r">vanished, was +20.0%  gone<", text) and "gone</title>" not in text
    png = tmp_path / "d.png"
    assert browser.screenshot(page, png) == []
    assert len(browser.pixels(png)[2]) > 8


def test_odd_files(tmp_path, files):
    a, b = files
    bad = tmp_path / "bad.folded"
    for text in ("no count\n", "x 0\n", "main;f 12x\n", " 5\n", "x 99999999999999999999\n"):
        bad.write_text(text)
        p = ljx("diff", a, bad, status=USAGE)
        assert "line 1" in p.err, (text, p.err)
    bad.write_bytes(b"ma\x1b[31min;\xff\xfe;" + b"y" * 2000 + b" 3\r\n\n;; 2\n")
    out = ljx("diff", a, bad).out
    assert "\x1b" not in out and out.isprintable() is False and "\ufffd" in out
    bad.write_bytes(b"LJX is not all")
    assert ljx("diff", a, bad, status=None).child.returncode in (INTERNAL, USAGE)
    assert "none.folded" in ljx("diff", a, tmp_path / "none.folded", status=INTERNAL).err
    for args in ([a], [a, b, b], [a, b, "-o", tmp_path / "x.pb.gz"], [a, b, "-o", tmp_path / "x.ljx"]):
        ljx("diff", *args, status=USAGE)
    empty = tmp_path / "empty.folded"
    empty.write_text("")
    assert rows(empty, empty)["functions"] == []
    ljx("diff", a, empty, "-o", tmp_path / "x.svg")
