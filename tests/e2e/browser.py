# SPDX-License-Identifier: MIT
"""Headless Chromium: what a page looks like and what its scripts do."""
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import urllib.parse
import zlib

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--allow-file-access-from-files",
         "--virtual-time-budget=4000", "--enable-logging=stderr", "--v=0"]


def chromium(url, *args):
    """Runs Chromium on a page; returns its standard output and what the page said on the console."""
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run([shutil.which("chromium"), *FLAGS, f"--user-data-dir={profile}", *args,
                               url], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors="replace", timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def screenshot(path, png, width=1280, height=720):
    _, console = chromium(f"file://{path}", f"--screenshot={png}", f"--window-size={width},{height}")
    return console


def run(svg, script, query=""):
    """Runs a script in a copy of the picture, after the picture's own; returns what it returns and
    the console's lines."""
    with open(svg, encoding="utf-8") as f:
        text = f.read()
    code = "<script><![CDATA[window.addEventListener('load', function () { var r; try { r = " \
           "(function () {" + script + "})(); } catch (e) { r = {error: String(e) + e.stack}; } " \
           "document.documentElement.setAttribute('data-result', " \
           "encodeURIComponent(JSON.stringify(r))); });]]></script></svg>"
    probe = str(svg) + ".probe" + os.path.splitext(svg)[1]
    with open(probe, "w", encoding="utf-8") as f:
        at = text.rindex("</svg>")
        f.write(text[:at] + code + text[at + len("</svg>"):])
    out, console = chromium(f"file://{probe}{query}", "--dump-dom")
    match = re.search(r'data-result="([^"]*)"', out)
    assert match, out[-500:]
    return json.loads(urllib.parse.unquote(match.group(1))), console


def pixels(png):
    """(width, height, set of the colours in it). 8-bit RGB or RGBA, not interlaced."""
    with open(png, "rb") as f:
        data = f.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, idat = 8, b""
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and interlace == 0
        elif kind == b"IDAT":
            idat += body
        at += 12 + size
    step = 3 if colour == 2 else 4
    raw, stride, line = zlib.decompress(idat), width * step, bytearray(width * step)
    colours = set()
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        _unfilter(kind, row, line, step)
        colours.update(bytes(row[x:x + 3]) for x in range(0, stride, step))
        line = row
    return width, height, colours


def _unfilter(kind, row, above, step):
    for i in range(len(row)):
        a = row[i - step] if i >= step else 0
        b = above[i]
        c = above[i - step] if i >= step else 0
        if kind == 1:
            row[i] = row[i] + a & 255
        elif kind == 2:
            row[i] = row[i] + b & 255
        elif kind == 3:
            row[i] = row[i] + (a + b) // 2 & 255
        elif kind == 4:
            p = a + b - c
            pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
            row[i] = row[i] + (a if pa <= pb and pa <= pc else b if pb <= pc else c) & 255
