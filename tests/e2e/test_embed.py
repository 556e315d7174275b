# SPDX-License-Identifier: MIT
"""--embed-source: the source is in the exports that have a place for it, only when asked for, and only
if it is what ran."""
import os
import re

import pytest

import browser
import formats
import recording
import viewers
from harness import USAGE, Ljx, ljx, luajit

MARK = "a line of <source> & ]]> \"quoted\"; 漢字\ttab"
WITH = (".svg", ".html", ".firefox.json", ".ljx.json")
WITHOUT = (".folded", ".speedscope.json", ".pb.gz", ".callgrind", ".csv")
ENDED = 1_700_000_000 - 1000  # before the samples of recording.example


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The recording of the example, whose chunk is @app.lua, in a folder that has this file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.lua").write_text("".join(f"-- line {i} {MARK}\n" for i in range(1, 41)))
    os.utime(tmp_path / "app.lua", (ENDED, ENDED))
    (tmp_path / "x.ljx").write_bytes(recording.example())
    return "x.ljx"


def report(path, *args, **kwargs):
    return ljx("report", path, *args, cwd=os.getcwd(), **kwargs)


def profile(path, *args):
    """The JSON document, which is as its schema says."""
    report(path, "-o", "x.ljx.json", *args)
    doc = formats.read_json("x.ljx.json")
    formats.schema("ljx.profile/1").validate(doc)
    return doc


def test_only_when_asked(path):
    for ending in WITH + WITHOUT:
        for args in ([], ["--embed-source"]):
            if args and ending in WITHOUT:
                assert "place for source" in report(path, "-o", "y" + ending, *args, status=USAGE).err
                continue
            report(path, "-o", "y" + ending, *args)
            with open("y" + ending, "rb") as f:
                data = f.read()
            assert (b"-- line 17 " in data) == bool(args), ending
    report(path, "-o", "z.folded", "-o", "z.html", "--embed-source")
    with open("z.folded", encoding="utf-8") as f:
        assert "-- line" not in f.read()


def test_lines(path):
    """Each line has what ends in it, or in what it calls that is no Lua function."""
    doc = profile(path, "--embed-source")
    assert "sources" not in profile(path)
    app, gen = doc["sources"]
    assert app["file"] == "app.lua" and gen["file"].startswith("gen") and "text" not in gen
    assert "not a file's name" in gen["status"] and "not modified" in app["status"]
    lines = app["text"].split("\n")
    assert lines[16].startswith("-- line 17 a line of <source> & ]]> \"quoted\"; 漢字 ")
    assert len(lines) == 41
    got = {n["line"]: (n["self"], n["total"]) for n in app["lines"]}
    # See recording.example(): 4 in the trace, 1 in string.match, 1 whose stack was cut.
    assert got == {9: (6, 15), 25: (0, 14)}
    got = {n["line"]: (n["self"], n["total"], n["interpreted"]) for n in gen["lines"]}
    assert got == {18: (6, 6, 6), 19: (3, 3, 0)}
    only = profile(path, "--embed-source", "--state", "I")["sources"][1]["lines"]
    assert [n["line"] for n in only] == [18]


def test_not_what_ran(path):
    """What was modified since, or is not there, is not embedded, and that is said."""
    os.utime("app.lua")
    p = report(path, "-o", "x.html", "--embed-source")
    assert re.search("'app.lua' is not embedded: no source: .*was modified at", p.err), p.err
    os.unlink("app.lua")
    p = report(path, "-o", "y.html", "--embed-source")
    assert re.search("'app.lua' is not embedded: no source: cannot open", p.err), p.err
    for name in ("x.html", "y.html"):
        with open(name, encoding="utf-8") as f:
            text = f.read()
        assert "-- line" not in text and "no source: " in text
    assert [s.get("text") for s in profile(path, "--embed-source")["sources"]] == [None, None]


PANEL = """
function key(k) { window.document.documentElement.dispatchEvent(
    new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true})); }
function click(label) { Array.from(document.querySelectorAll('g.f')).filter(function (g) {
    return g.querySelector('title').textContent.indexOf(label) === 0; })[0].querySelector('rect')
    .dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true, view: window})); }
function panel() { var s = document.querySelector('.source'); return s && {
    head: s.firstChild.textContent, rows: Array.from(s.lastChild.children, function (e) {
    return e.textContent; })}; }
var got = [panel()];
click('work'); key('s'); got.push(panel());
click('helper'); got.push(panel());
click('C:say'); got.push(panel());
key('Escape'); got.push(panel());
return got;
"""


def test_page(path):
    report(path, "-o", "x.html", "--embed-source")
    (closed, work, helper, say, shut), console = browser.run(os.path.abspath("x.html"), PANEL)
    assert console == [] and closed is None and shut is None
    assert work["head"].startswith("work app.lua:5 ") and "not modified" in work["head"]
    assert len(work["rows"]) == 40 and work["rows"][16].split(None, 1)[1].startswith("-- line 17 a")
    assert re.match(r" +37\.5% +93\.8% +67 +17 +9  -- line 9 ", work["rows"][8]), work["rows"][8]
    assert "not a file's name" in helper["head"] and len(helper["rows"]) == 2
    assert "no Lua function" in say["head"] and say["rows"] == []
    report(path, "-o", "plain.html")
    with open("plain.html", encoding="utf-8") as f:
        assert '"sources"' not in f.read()


@pytest.mark.viewer
def test_firefox_profiler_shows_it(path, tmp_path):
    report(path, "-o", "x.firefox.json", "--embed-source")
    with viewers.FirefoxProfiler(os.path.abspath("x.firefox.json"), tmp_path) as ff:
        (work,) = [f["functionHandle"] for f in ff("thread", "functions", "--thread", "t-0")["functions"]
                   if f["name"] == "work app.lua:5"]
        shown = ff("function", "annotate", work, "--context", "file")["srcAnnotation"]
    line = {n["lineNumber"]: n for n in shown["lines"]}
    assert shown["filename"] == "app.lua" and shown["totalFileLines"] in (40, 41)
    assert line[9]["totalSamples"] == 15 and line[9]["sourceText"].startswith("-- line 9 a line of")


@pytest.mark.privileged
def test_live(tmp_path):
    """Read where the target sees it, which has changed its file since in one case."""
    script = tmp_path / "spin.lua"
    with open("tests/lua/spin.lua", encoding="utf-8") as f:
        script.write_text(f.read())
    for changed in (False, True):
        out = tmp_path / f"{changed}.html"
        with luajit(script) as target:
            target.expect("ready|.")
            with Ljx("record", "-p", target.pid, "-r", 499, "--embed-source", "-o", out) as p:
                p.wait_sampling(60)
                if changed:
                    script.write_text("-- CHANGED\n")
                p.kill(2)
                assert p.finish() == 0, p.err
        text = out.read_text()
        assert ("is not embedded" in p.err) == changed and "CHANGED" not in text
        assert ("-- Spins for ever" in text) != changed
