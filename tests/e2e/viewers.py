# SPDX-License-Identifier: MIT
"""The viewers that ljx writes for, as programs: speedscope's page in Chromium and the command line of
the Firefox Profiler. tests/viewers gets them."""
import base64
import contextlib
import html
import json
import os
import re
import shutil
import subprocess

import pytest

import browser
from harness import ROOT, wait_until


def folder():
    """Where they lie. Without npm the test skips, and without a way to its registry: see tests/run."""
    if not shutil.which("npm"):
        pytest.skip("no npm")
    done = subprocess.run([f"{ROOT}/tests/viewers"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=300)
    if done.returncode == os.EX_TEMPFAIL:
        pytest.skip(f"no viewers: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Speedscope:
    """What the page makes of a file: rows is {frame: (own, anywhere)} in percent of the thread that
    it shows first, as wide as its bars are; threads is {name: time as shown} where there are several.
    """

    def __init__(self, path, tmp_path):
        with open(path, "rb") as f:
            data = base64.b64encode(f.read()).decode()
        # What the page runs if its address says so.
        load = tmp_path / "load.js"
        load.write_text(f"speedscope.loadFileFromBase64({json.dumps(os.path.basename(path))}, '{data}')")
        page = f"file://{folder()}/speedscope/dist/release/index.html"
        self.url = f"{page}#view=sandwich&localProfilePath={load}"
        # On a busy machine the page may not have got as far as its table when it is dumped.
        for _ in range(8):
            dom, console = browser.chromium(self.url, "--dump-dom", "--window-size=1600,4000")
            if "width: " in dom and "<td" in dom:
                break
        said = "\n".join(console)
        assert "Importing as" in said, said
        assert "Failed to load" not in said and "Something went wrong" not in dom, said
        self.importer = re.search('"Importing as (.*)", source', said).group(1)
        self.rows = {}
        self.threads = {}
        for row in re.findall(r"<tr.*?</tr>", dom, re.S):
            widths = re.findall(r"width: ([\d.e-]+)%", row)
            cells = [html.unescape(re.sub(r"<[^>]*>", "", c))
                     for c in re.findall(r"<td.*?</td>", row, re.S)]
            if len(widths) == 2:
                assert cells[2] not in self.rows
                self.rows[cells[2]] = tuple(float(w) for w in reversed(widths))
            elif cells:
                self.threads[cells[1]] = cells[2]


class FirefoxProfiler:
    """Its command line, with a profile loaded."""

    def __init__(self, path, tmp_path):
        self.main = f"{folder()}/profiler-cli/dist/profiler-cli.js"
        self.session = tmp_path / "session"
        self.env = dict(os.environ, PROFILER_CLI_SESSION_DIR=str(self.session))
        self.child = subprocess.Popen(["node", self.main, "--daemon", str(path), "--session", "s"],
                                      env=self.env, stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            # Who asks before it listens takes its files for those of one that is gone, and removes them.
            wait_until(lambda: self.child.poll() is not None or self.listens(), "its daemon", 120)
            wait_until(lambda: self.child.poll() is not None or self.run("profile", "info") is not None,
                       "the profile", 120)
            assert self.child.poll() is None, f"{path} cannot be loaded"
            stack.pop_all()

    def listens(self):
        try:
            return json.loads((self.session / "s.json").read_text())
        except (OSError, ValueError):
            return None

    def run(self, *args):
        done = subprocess.run(["node", self.main, *args, "--session", "s", "--json"], env=self.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True, timeout=120)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def __call__(self, *args):
        got = self.run(*args)
        assert got is not None, args
        return got

    def close(self):
        self.child.kill()
        self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
