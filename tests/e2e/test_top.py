# SPDX-License-Identifier: MIT
"""The live view in a real terminal: on live targets, through resizes, signals and ends."""
import os
import re
import signal
import time

import pytest

import harness
import web
from harness import luajit
from screen import Screen

GOLDEN = os.path.join(harness.ROOT, "tests/golden")
MIXED = os.path.join(GOLDEN, "mixed.ljx")

HEADS = r"SELF%v TOTAL%   N   I   C"
LIVE = r"^ ljx top  luajit \d+ .* LIVE$"


def self_percent(text, name):
    """SELF% of a function's row."""
    match = re.search(r"^ +([\d.]+) .* " + re.escape(name) + r" ", text, re.M)
    return float(match.group(1)) if match else 0


# ---- a recording, without privileges ----

def test_replay(tmp_path):
    """A recording in the same screens; each key acts at once, and q gives the terminal back."""
    with Screen(tmp_path, "top", MIXED) as s:
        text = s.wait("REPLAY")
        golden = open(os.path.join(GOLDEN, "functions-100x30.txt"), encoding="utf-8").read()
        assert text.rstrip().splitlines()[1:] == golden.rstrip().splitlines()[1:]
        for key, shows in (("2", r"^ ljx nyi "), ("3", r"^ ljx traces "), ("4", r"^ ljx annotate "),
                           ("5", r"^ ljx log "), ("6", r"^ ljx quality "), ("1", r"^ ljx top "),
                           ("F5", "what it calls"), ("F5", "who calls it"), ("F5", "FUNCTION  "),
                           ("?", "Keys of Functions"), ("Escape", HEADS), ("e", "Write a file"),
                           ("Escape", HEADS)):
            s.keys(key)
            s.wait(shows, seconds=2)
        s.keys("q")
        text = s.wait("same modes")
        assert "ended 0" in text
        assert "samples" in s.err.read_text()


def test_find_and_filter(tmp_path):
    with Screen(tmp_path, "top", MIXED) as s:
        s.wait(HEADS)
        s.keys("/", "gsub")
        s.wait("Find: gsub")
        s.keys("Enter")
        s.wait(r"^ string.gsub")
        s.keys("\\", "dec")
        text = s.wait("filter: dec")
        assert "mandel" not in text.split("FUNCTION")[1]
        s.resize(70, 20)  # while a text is typed
        s.wait("^ Filter .*: dec")
        s.keys("Escape")
        s.wait("mandel")


def test_split(tmp_path):
    """The list has the rows that the table has: of each function one for each state."""
    want = set(re.findall(r"^ +([\d.]+) +([\d.]+) .*  (decode) .*  \((\[.*\])\)$",
                          harness.ljx("report", MIXED, "--split", "state", "--rows", "500").out, re.M))
    assert len(want) > 1
    with Screen(tmp_path, "top", MIXED, "--split", "state") as s:
        text = s.wait(r"FUNCTION +SPLIT")
        row = r"^ +([\d.]+) +([\d.]+) .* (decode) .* (\[[A-Za-z]+\])"
        got = set(re.findall(row, text, re.M))
        assert got and got <= want
        s.keys("\\", "decode.*GC")
        text = s.wait(r"\d hidden")
        assert set(re.findall(row, text, re.M)) == {r for r in want if r[3] == "[GC]"}


@pytest.mark.privileged
def test_split_while_it_runs(tmp_path):
    """S splits what was sampled, and what comes; a file that the command line names is as it says."""
    out = tmp_path / "x.folded"
    with luajit("tests/lua/mixed.lua", 60, limit=False) as target:
        with Screen(tmp_path, "top", "-p", str(target.pid), "-r", "499", "-o", str(out)) as s:
            s.wait(r"mandel ")
            for shows in (rf"FUNCTION +SPLIT(?s:.*) luajit:{target.pid} ?", rf"thread:{target.pid}",
                          "VM:1", r"\[(compiled|interpreted)\]", r"trace:\d|\[no trace\]"):
                s.keys("S")
                s.wait(shows)
            s.keys("q")
            s.wait("same modes")
    stacks = [line.split(";")[0] for line in out.read_text().splitlines()]
    assert stacks and not any(x.startswith(("trace:", "[no trace]")) for x in stacks)


@pytest.mark.parametrize("env, args", [({"NO_COLOR": "1"}, ()), ({}, ("--color=never",)),
                                       ({"TERM": "vt100"}, ())])
def test_no_colours(tmp_path, env, args):
    """Not one colour is sent; what is selected shows in reverse."""
    with Screen(tmp_path, "top", MIXED, *args, env=env) as s:
        s.wait(HEADS)
        s.keys("Down")
        text = s.wait("samples here", colours=True)
        assert not re.search(r"\033\[[\d;]*(3[0-8]|4[0-8]|9\d|10\d)[\d;]*m", text)
        assert "\033[7m" in text


def test_colours(tmp_path):
    """256 where there are, palettes change at a key."""
    with Screen(tmp_path, "top", MIXED, "--color=always", env={"NO_COLOR": "1"}) as s:
        s.wait(r"38;5;", colours=True)
        s.keys("C")
        s.wait("colours: mono")
        assert "38;5;" not in s.text(colours=True)


def test_few_colours(tmp_path):
    """A terminal with 8 or 16: those, and no others."""
    with Screen(tmp_path, "top", MIXED, env={"TERM": "xterm"}) as s:
        text = s.wait(r"\033\[[\d;]*3\dm", colours=True)
        assert "38;5;" not in text


def test_without_privileges(tmp_path):
    """A recording is replayed by who may do nothing."""
    none = ("--bounding-set=-all", "--inh-caps=-all", harness.LJX)
    with Screen(tmp_path, *none, "top", MIXED, program="setpriv") as s:
        s.wait(HEADS)
        with open(f"/proc/{s.ljx}/status", encoding="utf-8") as f:
            assert re.search(r"^CapEff:\t0+$", f.read(), re.M)
        s.keys("2")
        s.wait("^ ljx nyi ")


@pytest.mark.parametrize("env, args", [({"LC_ALL": "C"}, ()), ({}, ("--ascii",))])
def test_ascii(tmp_path, env, args):
    with Screen(tmp_path, "top", os.path.join(GOLDEN, "hostile.ljx"), *args, env=env) as s:
        text = s.wait(HEADS)
        assert text.isascii()


def test_nothing_harms(tmp_path):
    """Escape sequences of the target reach the terminal as text: no title, no clear."""
    with Screen(tmp_path, "top", os.path.join(GOLDEN, "hostile.ljx")) as s:
        for key in ("Down", "2", "g", "g", "3", "5", "6", "1"):
            s.keys(key)
        s.wait(HEADS)
        assert "evil" in s.text()
        assert s.tmux("display-message", "-p", "#{pane_title}").strip() != "evil"


def test_too_small(tmp_path):
    """It says so, waits, and is there again when there is room."""
    with Screen(tmp_path, "top", MIXED, width=38, height=9) as s:
        s.wait("terminal is 38x9")
        s.resize(40, 10)
        s.wait("SELF%v")
        s.resize(20, 5)
        s.wait("20x5")
        s.resize(100, 30)
        s.wait(HEADS)


def test_resize_storm(tmp_path):
    with Screen(tmp_path, "top", MIXED) as s:
        s.wait(HEADS)
        for i in range(60):
            s.resize(20 + i * 37 % 180, 5 + i * 11 % 60)
            if i % 7 == 0:
                s.keys("Tab")
        s.resize(100, 30)
        s.keys("1")
        s.wait(HEADS)
        s.keys("q")
        s.wait("ended 0")


def test_mouse(tmp_path):
    """A click chooses a row, a column's head sorts, the line of keys acts; --no-mouse asks for none."""
    env = {"TERM": "xterm-256color"}
    with Screen(tmp_path, "top", MIXED, env=env) as s:
        s.wait(HEADS)
        assert s.tmux("display-message", "-p", "#{mouse_any_flag}").strip() == "1"
        s.keys("-l", "\033[<0;10;14M\033[<0;10;14m")  # the fourth row
        s.wait("samples here")
        s.keys("-l", "\033[<0;12;10M\033[<0;12;10m")  # TOTAL%
        s.wait("TOTAL%v")
    with Screen(tmp_path, "top", MIXED, "--no-mouse", env=env) as s:
        s.wait(HEADS)
        assert s.tmux("display-message", "-p", "#{mouse_any_flag}").strip() == "0"


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": ""}, {"TERM": "unheard-of"}])
def test_no_terminal(tmp_path, env):
    """Text instead of screens, and why."""
    with Screen(tmp_path, "top", MIXED, env=env) as s:
        s.wait("mandel")
        s.wait("ended 0")
        assert "using batch output" in s.err.read_text()


def test_pipe():
    """Into a pipe it writes text."""
    out = harness.ljx("top", MIXED).out
    assert "mandel" in out and "\033" not in out


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT, signal.SIGTERM,
                                    signal.SIGHUP, signal.SIGINT])
def test_signals_restore_the_terminal(tmp_path, number):
    with Screen(tmp_path, "top", MIXED) as s:
        s.wait(HEADS)
        os.kill(s.ljx, number)
        s.wait("ended")
        s.wait("same modes")
        assert s.tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"
                      ).split() == ["0", "1", "0"]


def test_terminal_goes_away(tmp_path, monkeypatch):
    """It ends when its terminal does."""
    # LeakSanitizer does not come to an end in a process that has lost its session.
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    with Screen(tmp_path, "top", MIXED) as s:
        s.wait(HEADS)
        pid = s.ljx
        s.tmux("new-session", "-d", "sleep 600")
        s.tmux("kill-session", "-t", "0")
        harness.wait_until(lambda: not harness.alive(pid), "the end of ljx")


# ---- live ----

@pytest.mark.privileged
def test_live(tmp_path):
    """The three jobs with keys only: what is hot, why it is not compiled, a flame graph."""
    out = tmp_path / "out"
    with luajit("tests/lua/mixed.lua") as target, \
            Screen(tmp_path, "top", "-p", target.pid, "-r", 199, "-o", f"{out}.folded") as s:
        s.wait(LIVE)
        s.wait(r"decode +tests/lua/mixed.lua:6")
        s.keys("/", "decode", "Enter", "y")
        text = s.wait(r"NYI: bytecode")
        assert re.search(r"mixed.lua:6-\d+ \(decode\)", text)
        s.keys("1", "e", "n")
        s.wait("File name: ")
        s.keys(*["BSpace"] * 60)
        s.keys(f"{out}.svg", "Enter")
        s.wait(rf"Name +\(n\) +{out}.svg")
        s.keys("Enter")
        s.wait("wrote")
        assert "decode" in (tmp_path / "out.svg").read_text()
        s.keys("q")
        s.wait("ended 0")
        assert any("decode" in ";".join(stack) for stack, _ in harness.read_folded(f"{out}.folded"))


@pytest.mark.privileged
def test_machine_code(tmp_path):
    """Of a live trace: its loop, its exits, the samples in it; and the share of the loop."""
    with luajit("tests/lua/phases.lua") as target, Screen(tmp_path, "top", "-p", target.pid) as s:
        s.wait(r"trace#\d+ loop")
        s.keys("3")
        row = s.wait(r"^ \d+ +1 +- +[\d.]+ +\d+%  loop ")
        number, share = re.search(r"^ (\d+) +1 +- +[\d.]+ +(\d+)%  loop ", row, re.M).groups()
        assert int(share) > 90
        s.keys("Home")
        s.wait(r"From +\d+ phases.lua:13\b")
        s.wait(r"Path +\S+ phases.lua:1[34]\b")
        s.keys("m")
        text = s.wait("Machine code of trace")
        assert re.search(r"\d+ bytes at 0x[0-9a-f]+, \d+ instructions; \d+ samples, \d+% of them in "
                         "its loop", text)
        assert re.search(r"\+0000  mov", text)
        assert re.search(r"-> exit \d+", text)
        s.keys("H")
        text = s.wait("-> loop")
        hot = [float(p) for p in re.findall(r"^ .  +([\d.]+)  \+[0-9a-f]{4} ", text, re.M)]
        assert hot and sum(hot) < 101
        before, after = text.split("loop:")
        assert sum(float(p) for p in re.findall(r" ([\d.]+)  \+[0-9a-f]{4} ", after)) > 90
        s.keys("Escape")
        target.kill()
        target.finish()
        s.wait("TARGET (KILLED|EXITED)")
        s.keys("m")
        s.wait("the process is gone")
        assert number


@pytest.mark.privileged
def test_perf_map(tmp_path):
    """P keeps a map for perf while ljx runs, or until P again."""
    with luajit("tests/lua/phases.lua") as target, Screen(tmp_path, "top", "-p", target.pid) as s:
        path = f"/tmp/perf-{target.pid}.map"
        s.wait(r"trace#\d+ loop")
        s.keys("3", "P")
        s.wait(f"wrote {path}")
        lines = open(path, encoding="utf-8").read().splitlines()
        assert any(re.fullmatch(r"[0-9a-f]+ [0-9a-f]+ trace#\d+:phases.lua:\d+", x) for x in lines)
        s.keys("P")
        s.wait("no more maps")
        assert not os.path.exists(path)
        s.keys("P")
        s.wait(f"wrote {path}")
        s.keys("q")
        s.wait("ended 0")
        assert not os.path.exists(path)


@pytest.mark.privileged
def test_exits_are_looked_at(tmp_path):
    """What changes in the VM's memory without an event is seen while the view runs."""
    with luajit("tests/lua/holes.lua") as target, Screen(tmp_path, "top", "-p", target.pid) as s:
        s.wait(r"trace#1 loop")
        s.keys("3", "Home")
        s.wait(r"Selected 1 .*holes.lua:13 loop")
        s.wait(r"Exits +none was taken")
        target.say("go")
        s.wait(r"Exits +\d+ taken 4x to holes.lua:1\d")


@pytest.mark.privileged
def test_annotate_last_seconds(tmp_path):
    """Lines count the last seconds or all since the start, as the other screens do."""
    title = r"^ ljx annotate .*phases.lua:12-15  self "
    with luajit("tests/lua/phases.lua") as target, Screen(tmp_path, "top", "-p", target.pid) as s:
        s.wait(r"phases.lua:12$")
        s.keys("/", "lua:12", "Enter", "4")
        text = s.wait(title + r"[1-9]\d")
        assert "last 5 s" in text
        target.say("next")
        s.wait(title + "0.0%")
        s.keys("o")
        text = s.wait(title + r"[1-9]\d?\.")
        assert "since start" in text


@pytest.mark.privileged
def test_pause_and_reset(tmp_path):
    with luajit("tests/lua/mixed.lua") as target, \
            Screen(tmp_path, "top", "-p", target.pid, "--refresh", "200ms") as s:
        s.wait("mandel")
        s.keys("Z")
        s.wait("PAUSED")
        s.wait("F1Help")
        before = s.text()
        used = harness.cpu_seconds(target.pid)
        harness.wait_until(lambda: harness.cpu_seconds(target.pid) > used + 1, "the target to run")
        assert s.text() == before
        s.keys("Z")
        s.wait(LIVE)
        s.keys("o")
        s.wait("since start")
        s.keys("R")
        text = s.wait(r"samples \d+")
        assert int(re.search(r"samples (\d+)", text).group(1)) < 100


@pytest.mark.privileged
def test_target_exits(tmp_path):
    """The data stays, can be browsed and written."""
    out = tmp_path / "end.folded"
    with Screen(tmp_path, "top", "-r", 199, "--", "luajit", "tests/lua/mixed.lua", "3") as s:
        s.wait(r"TARGET EXITED \(code 0\) - data frozen", seconds=60)
        text = s.wait("EXITED$")
        assert "mandel" in text
        s.keys("3")
        s.wait("^ ljx traces ")
        s.keys("1", "e", "f", "n")
        s.wait("File name: ")
        s.keys(*["BSpace"] * 60)
        s.keys(str(out), "Enter", "Enter")
        s.wait("wrote")
        assert any("mandel" in ";".join(stack) for stack, _ in harness.read_folded(str(out)))
        s.keys("q")
        s.wait("ended 0")


@pytest.mark.privileged
def test_target_is_killed(tmp_path):
    with luajit("tests/lua/mixed.lua") as target, Screen(tmp_path, "top", "-p", target.pid) as s:
        s.wait("mandel")
        target.kill()
        target.finish()
        s.wait("TARGET (KILLED|EXITED)")
        os.kill(s.ljx, signal.SIGINT)
        s.wait("same modes")


@pytest.mark.privileged
def test_recording_while_it_runs(tmp_path):
    """-o FILE.ljx records what is seen; and so does e."""
    path = tmp_path / "run.ljx"
    with luajit("tests/lua/mixed.lua") as target, \
            Screen(tmp_path, "top", "-p", target.pid, "-o", path) as s:
        s.wait("mandel")
        s.keys("q")
        s.wait("ended 0")
        assert f"see it again: ljx top {path}" in s.err.read_text()
    with Screen(tmp_path, "top", path) as s:
        s.wait("mandel")
        s.keys("3")
        s.wait(r"^ \d+ +1 +- +[\d.]+ +\d+%  loop .*mandel")
        s.keys("m")
        s.wait("a recording has no machine code")


@pytest.mark.privileged
def test_nginx(tmp_path):
    """A group under load; Left and Right go through its workers."""
    with web.Nginx(tmp_path, workers=2) as server, web.load(server, "/t", 60), \
            Screen(tmp_path, "top", "-g", server.pid, width=120, height=40) as s:
        s.wait(r"^ ljx top  nginx")
        s.wait(r"heavy")
        s.keys("Right")
        first = int(re.search(r"\[(\d+)\]", s.wait(r"LIVE +\[\d+\]")).group(1))
        assert first in server.workers()
        s.keys("Left")
        s.wait(r"LIVE$")
        # Why is it not compiled, or where does its trace end? And a flame graph.
        s.keys("/", "heavy", "Enter", "y")
        s.wait(r"stitch +heavy.lua")
        s.keys("e", "n")
        s.wait("File name: ")
        s.keys(*["BSpace"] * 60)
        s.keys(f"{tmp_path}/nginx.svg", "Enter", "Enter")
        s.wait("wrote")
        assert "heavy" in (tmp_path / "nginx.svg").read_text()
        # Resized again and again while it runs.
        for i in range(60):
            s.resize(20 + i * 37 % 180, 5 + i * 11 % 60)
            if i % 7 == 0:
                s.keys("Tab")
        s.resize(120, 40)
        s.keys("1")
        s.wait(r"^ ljx top  nginx")
        os.kill(s.ljx, signal.SIGINT)
        s.wait("ended 0")
        s.wait("same modes")


@pytest.mark.privileged
def test_idle_target_costs_little(tmp_path):
    """Under 0.5 % of a CPU while nothing happens."""
    with luajit("tests/lua/csleep.lua") as target, Screen(tmp_path, "top", "-p", target.pid) as s:
        s.wait("no samples|F1Help")
        pid = s.ljx
        start, used = time.monotonic(), harness.cpu_seconds(pid)
        harness.wait_until(lambda: time.monotonic() > start + 10, "10 s of idling")
        assert (harness.cpu_seconds(pid) - used) / (time.monotonic() - start) < 0.005
