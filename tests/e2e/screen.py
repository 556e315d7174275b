# SPDX-License-Identifier: MIT
"""Runs ljx top in a tmux of its own: sends keys, resizes, and reads the screen."""
import itertools
import os
import re
import shlex
import subprocess
import time

import harness


class Screen:
    """A terminal with a program in it. Its end is shown as "ended N"."""

    number = itertools.count()

    def __init__(self, tmp_path, *args, width=100, height=30, env=None, program=harness.LJX):
        # A server of its own each: one that is about to end takes no new terminal.
        self.socket = str(tmp_path / f"tmux{next(Screen.number)}")
        self.err = tmp_path / "err"
        self.modes = tmp_path / "modes"
        env = dict({"LC_ALL": "C.UTF-8", "TERM": "tmux-256color"}, **(env or {}))
        words = ["env"] + [f"{k}={v}" for k, v in env.items()] + [program, *map(str, args)]
        command = (f"stty -g > {self.modes}; {shlex.join(words)} 2> {self.err}; "
                   f"echo \"ended $?\"; stty -g | cmp - {self.modes} && echo same modes; sleep 600")
        self.tmux("new-session", "-d", "-x", width, "-y", height, "-c", harness.ROOT, command)

    def tmux(self, *args):
        done = subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *map(str, args)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, f"tmux {args}: {done.stderr}"
        return done.stdout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.pids():
            with open(f"/proc/{pid}/comm") as f:
                if f.read().strip() == "ljx":
                    os.kill(pid, 9)
        self.tmux("kill-server")

    def pids(self):
        """The shell's children."""
        shell = int(self.tmux("list-panes", "-F", "#{pane_pid}"))
        return harness.children(shell)

    @property
    def ljx(self):
        return next(p for p in self.pids())

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def resize(self, width, height):
        self.tmux("resize-window", "-x", width, "-y", height)

    def text(self, colours=False):
        return self.tmux("capture-pane", "-p", *(["-e"] if colours else []))

    def wait(self, pattern, seconds=60, colours=False):
        """Until the screen matches, and is not in the middle of being drawn; returns its text."""
        end, text = time.monotonic() + seconds, None
        while True:
            last, text = text, self.text(colours)
            matches = re.search(pattern, text, re.M)
            if matches and (text == last or time.monotonic() > end):
                return text
            assert time.monotonic() < end, \
                f"no {pattern!r} on the screen:\n{text}\n{self.err.read_text()}"
            time.sleep(0.02)
