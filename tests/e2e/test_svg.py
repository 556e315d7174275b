# SPDX-License-Identifier: MIT
"""The flame graph as a reader of it meets it: an XML file, a picture without scripts, a page."""
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
return {frames: frames().length, before: before, zoomed: zoomed, after: after};
"""


def test_zoom_and_reset(picture):
    got, console = browser.run(picture[0], ZOOM)
    assert console == [] and "error" not in got, (got, console)
    assert got["zoomed"] > 2 * got["before"], got
    assert abs(got["after"] - got["before"]) < 1, got
