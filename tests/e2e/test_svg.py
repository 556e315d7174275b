# SPDX-License-Identifier: MIT
"""The flame graph as a reader of it meets it: an XML file, a picture without scripts, a page."""
import colorsys
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

import browser
import recording
from harness import folded, ljx


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("svg")
    path = tmp_path / "x.ljx"
    path.write_bytes(recording.example())
    svg = tmp_path / "x.svg"
    ljx("report", path, "-o", svg)
    return svg, folded(str(path))


def test_self_contained(picture):
    svg, _ = picture
    text = svg.read_text()
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("viewBox")
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not re.match(r"(https?:|//|file:)", value), (element.tag, name, value)
    assert not re.search(r"@import|url\((?!['\"]?#)|\bfetch\(|XMLHttpRequest|import\(", text)


def test_titles(picture):
    """Each frame's tooltip has its name and its numbers."""
    svg, stacks = picture
    titles = [e.text or "" for e in ElementTree.parse(svg).iter() if e.tag.endswith("}title")]
    for label in {f for frames, _ in stacks for f in frames}:
        assert any(label in t and "%" in t for t in titles), label


def test_legend_and_colours(picture):
    svg, _ = picture
    text = " ".join(ElementTree.parse(svg).getroot().itertext()).lower()
    for kind in ("interpreted", "compiled", "kernel", "gc"):
        assert kind in text, kind
    assert "prefers-color-scheme" in svg.read_text()


def test_without_scripts(picture, tmp_path):
    """A static picture, as rsvg and code hosting sites show it."""
    png = tmp_path / "x.png"
    subprocess.run(["rsvg-convert", picture[0], "-o", png], check=True)
    width, height, colours = browser.pixels(png)
    assert width > 300 and height > 100 and len(colours) > 8


def test_in_a_browser(picture, tmp_path):
    png = tmp_path / "x.png"
    console = browser.screenshot(picture[0], png)
    assert console == []
    width, height, colours = browser.pixels(png)
    assert (width, height) == (1280, 720) and len(colours) > 8


ZOOM = """
function frames() { return Array.prototype.filter.call(document.querySelectorAll('g'),
    function (g) { var c = g.children; return c.length && c[0].tagName === 'title'; }); }
function find(label) { return frames().filter(function (g) {
    return g.querySelector('title').textContent.indexOf(label) === 0; })[0]; }
function width(g) { var r = g.querySelector('rect').getBoundingClientRect(); return r.width; }
function click(g) { g.querySelector('rect').dispatchEvent(
    new MouseEvent('click', {bubbles: true, cancelable: true, view: window})); }
function key(k) { window.document.documentElement.dispatchEvent(
    new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true})); }
var g = find('trace#1:app.lua:6');
var before = width(g);
click(g);
var zoomed = width(g);
key('Escape');
var after = width(g);
function search(s) { var input = document.querySelector('.find input'); input.value = s;
    input.dispatchEvent(new Event('input')); return [document.querySelector('.matched').textContent,
    document.querySelectorAll('g.hit').length]; }
return {frames: frames().length, before: before, zoomed: zoomed, after: after,
    found: [search('sqrt|trace#1'), search('^work '), search('no such'), search('(')]};
"""


def test_zoom_search_and_reset(picture):
    got, console = browser.run(picture[0], ZOOM)
    assert console == [] and "error" not in got, (got, console)
    assert got["zoomed"] > 2 * got["before"], got
    assert abs(got["after"] - got["before"]) < 1, got
    stacks, found = picture[1], []
    for pattern in ("sqrt|trace#1", "^work ", "no such"):
        n = sum(n for frames, n in stacks if any(re.search(pattern, f) for f in frames))
        found.append(100 * n / sum(n for _, n in stacks))
    texts = [text for text, _ in got["found"]]
    assert texts.pop() == "not a pattern"
    assert [float(text[len("matched: "):-1]) for text in texts] == pytest.approx(found, abs=0.06)
    assert all(hits for _, hits in got["found"][:2]) and got["found"][2][1] == 0


# --- other views: drawn anew by the script, and as ljx draws them itself ---

STEPS = """
function key(k) { window.document.documentElement.dispatchEvent(
    new KeyboardEvent('keydown', {key: k, bubbles: true, cancelable: true})); }
function click(e) { e.dispatchEvent(new MouseEvent('click', {bubbles: true, view: window})); }
function button(text) { return Array.from(document.querySelectorAll('.button')).filter(
    function (b) { return b.textContent.indexOf(text) >= 0; })[0]; }
function switches() { return document.querySelectorAll('.legend .switch'); }
function choose(text) { var s = document.querySelector('select');
    s.selectedIndex = Array.from(s.options).findIndex(function (o) { return o.text === text; });
    s.dispatchEvent(new Event('change')); }
function shot() { return Array.from(document.querySelectorAll('g.f'), function (g) {
    return [g.getAttribute('class'), +g.dataset.x, +g.dataset.n, +g.dataset.d,
            g.querySelector('title').textContent.trim()]; }); }
var copied = null;
Object.defineProperty(navigator, 'clipboard', {value: {writeText: function (s) {
    copied = s; return Promise.resolve(); }}});
return [%s];
"""


def drawn(path):
    """The frames of a picture: (class, x, n, depth, tip)."""
    text = path.read_text()
    root = ElementTree.fromstring(re.sub("<!DOCTYPE html>", "", text))
    return [[g.get("class"), int(g.get("data-x")), int(g.get("data-n")), int(g.get("data-d")),
             g[0].text.strip()] for g in root.iter() if g.get("class", "").startswith("f ")]


def after(path, steps, what="shot()"):
    """What is to be seen after each of these steps, one after the other."""
    each = ", ".join(f"(function () {{ {step} return {what}; }})()" for step in steps)
    got, console = browser.run(path, STEPS % each)
    assert console == [] and "error" not in got, (got, console)
    return got


@pytest.fixture
def two(tmp_path):
    """Two processes in one recording."""
    w = recording.Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    for pid, name in ((10, "one"), (11, "t<w>o")):
        w.define("proc", 1, 1, pid, strs=(name, "/x", "x"), pid=pid)
        w.define("vm", 0x1000, 1, 1, pid=pid)
    names = ("main", "\u6f22", "\U0001f600", "\uff5e", "a&b")
    for i in range(1, 6):
        w.define("func", i, 0, 0x1000, 0x9000 + i, i, 5, 9, i, strs=(f"@/f{i % 2}.lua",))
        for called, name in enumerate(names, 1):
            w.define("name", i, called, 2, 0, strs=(name,))
    for i in range(60):
        stack = (1 + i % 5, 1 + i % 4, 1 + i % 3)[:1 + i % 3]
        stack = [recording.lua(f, called, f) for f, called in zip(stack, (0,) + stack)]
        w.sample(stack, state=(recording.INTERP, recording.C, 4, recording.INTERP)[i % 4],
                 pid=10 + (i % 7 == 0), ip=0)
    path = tmp_path / "two.ljx"
    path.write_bytes(w.bytes())
    return path


def picture_of(path, name, *args):
    out = path.parent / name
    ljx("report", path, "-o", out, *args)
    return out


@pytest.mark.parametrize("ext", ["svg", "html"])
def test_views_are_those_of_ljx(two, ext):
    views = (("key('r');", ["--reverse"]),
             ("key('r'); key('i');", []),
             ("key('c');", ["--color-by", "file", "--icicle"]),
             ("key('r');", ["--color-by", "file", "--reverse"]),
             ("key('c'); choose('t<w>o 11');", ["--pid", "11", "--reverse"]),
             ("choose('one 10'); key('r');", ["--pid", "10"]),
             ("choose('all processes'); click(switches()[1]);", ["--state", "NCGJO"]),
             ("click(switches()[1]); click(switches()[2]); click(switches()[3]);",
              ["--state", "NIJO"]))
    base = picture_of(two, f"base.{ext}")
    plain = sorted(drawn(base))
    shots = after(base, [steps for steps, _ in views])
    for (steps, args), got in zip(views, shots):
        want = sorted(drawn(picture_of(two, f"want.{ext}", *args)))
        assert sorted(got) == want, steps
        assert (want == plain) == (not args), steps
    # And from the other side: what was drawn reversed, turned.
    turned = picture_of(two, f"turned.{ext}", "--reverse", "--color-by", "file")
    assert sorted(after(turned, ["key('r');"])[0]) == \
        sorted(drawn(picture_of(two, f"want.{ext}", "--color-by", "file")))


LEGEND = """(function () { var svg = document.querySelector('svg'), width = svg.getBoundingClientRect().width;
return Array.from(svg.querySelectorAll('.legend .by')).filter(function (g) {
    return getComputedStyle(g).display !== 'none'; }).map(function (g) {
    var b = g.getBoundingClientRect(), f = svg.querySelector('.find').getBoundingClientRect();
    return [g.dataset.by, g.textContent, b.width > 0 && b.right <= width && b.bottom <= f.top]; }); })()"""


@pytest.mark.parametrize("ext", ["svg", "html"])
def test_legend_of_colours(two, ext):
    """What the colours mean is one line, that of what they are by; and it is in sight."""
    by_state, by_file, again = after(picture_of(two, f"base.{ext}"), ["", "key('c');", "key('c');"], LEGEND)
    assert [len(x) for x in (by_state, by_file, again)] == [1, 1, 1] and again == by_state
    assert by_state[0][0] == "state" and "mostly interpreted" in by_state[0][1]
    assert by_file[0][0] == "file" and re.search(r"f0.lua \d+\.\d%", by_file[0][1])
    turned, = after(picture_of(two, f"file.{ext}", "--color-by", "file", "--reverse"), [""], LEGEND)
    assert turned == by_file
    assert by_state[0][2] and by_file[0][2]


def test_legend_without_scripts(tmp_path):
    """The whole scale of costs, low to high, in a viewer that runs no script."""
    svg, png = tmp_path / "x.svg", tmp_path / "x.png"
    ljx("report", "tests/golden/mixed.ljx", "--color-by", "cost", "-o", svg)
    subprocess.run(["rsvg-convert", svg, "-o", png], check=True)
    seen = browser.pixels(png)[2]
    for i in range(1, 9):
        want = [255 * c for c in colorsys.hls_to_rgb((56 - 7 * i) / 360, (88 - 4 * i) / 100, 0.9)]
        assert any(all(abs(x - y) <= 2 for x, y in zip(c, want)) for c in seen), (i, want)


def test_copy_as_folded(two):
    def lines(*args):
        return sorted(picture_of(two, "want.folded", *args).read_text().splitlines())
    copy = "click(button('Copy'));"
    got = after(picture_of(two, "base.svg"), [copy, "key('r');" + copy, "choose('one 10');" + copy,
                                              "click(switches()[1]);" + copy], "copied")
    want = [lines(), lines(), lines("--pid", "10"), lines("--pid", "10", "--state", "NCGJO")]
    assert [sorted(text.splitlines()) for text in got] == want


def test_icicle(two, tmp_path):
    def top(path):
        root = ElementTree.parse(path).getroot()
        ys = {int(g.get("data-d")): int(g[1].get("y")) for g in root.iter()
              if g.get("class", "").startswith("f ")}
        return ys[0], max(ys.values()), min(ys.values())
    y, most, _ = top(picture_of(two, "up.svg"))
    assert y == most
    y, _, least = top(picture_of(two, "down.svg", "--icicle"))
    assert y == least


def test_page(two, tmp_path):
    page = picture_of(two, "x.html")
    subprocess.run(["xmllint", "--noout", "--nonet", page], check=True)
    png = tmp_path / "x.png"
    assert browser.screenshot(page, png) == []
    width, height, colours = browser.pixels(png)
    assert (width, height) == (1280, 720) and len(colours) > 8
    assert drawn(page) == drawn(picture_of(two, "x.svg"))
