# SPDX-License-Identifier: MIT
"""nginx with examples/nginx/nginx.conf, or another, on a free port, and load for it."""
import contextlib
import os
import random
import re
import shutil
import socket
import urllib.request

from harness import ROOT, Process, children, wait_until

CONF = os.path.join(ROOT, "examples/nginx/nginx.conf")


def free_port():
    """None of those that the kernel gives to whoever connects: one of these may be taken until the
    server that is about to start wants it."""
    for port in random.sample(range(20000, 30000), 100):
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


class Nginx(Process):
    """A master and its workers. handler is the label of a location's content_by_lua."""

    def __init__(self, tmp_path, workers=1, jit=True, conf=CONF):
        self.prefix = tmp_path / "nginx"
        shutil.rmtree(self.prefix, ignore_errors=True)
        self.prefix.mkdir()
        self.port = free_port()
        self.conf = self.prefix / "nginx.conf"
        with open(conf) as f:
            self.template = f.read()
        self.write(workers, jit)
        super().__init__("nginx", "-p", self.prefix, "-e", "stderr", "-c", self.conf, limit=False)
        wait_until(self.serves, "nginx")

    def write(self, workers=1, jit=True):
        text = self.template.replace("127.0.0.1:8080", f"127.0.0.1:{self.port}")
        text = text.replace("worker_processes 1", f"worker_processes {workers}")
        if workers > 1:  # else the first one awake takes all connections
            text = re.sub(r"(listen [^;]*);", r"\1 reuseport;", text)
        if not jit:
            text = text.replace("# init_by_lua_block", "init_by_lua_block")
        self.conf.write_text(text)

    def handler(self, path):
        lines = self.conf.read_text().splitlines()
        at = next(i for i, line in enumerate(lines) if f"location = {path} " in line)
        line = next(i for i in range(at, len(lines)) if "content_by_lua_block" in lines[i]) + 1
        return f"content_by_lua(nginx.conf:{line})"

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def serves(self):
        assert self.child.poll() is None, self.err
        self.pump(0)
        with contextlib.suppress(OSError), urllib.request.urlopen(self.url("/hello")) as answer:
            return answer.read() == b"hello\n"
        return False

    def workers(self):
        return children(self.pid)

    def __exit__(self, *exc):
        if self.child.poll() is None:
            self.child.terminate()
            self.child.wait()
        super().__exit__(*exc)


def load(nginx, path, seconds, connections=4, keep=True):
    """Load for so many seconds. keep: many requests on a connection."""
    close = [] if keep else ["-H", "Connection: close"]
    return Process("wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", "--timeout", "20s",
                   *close, nginx.url(path), limit=False)


def requests(wrk):
    """How many requests a finished load had answered, and how many failed."""
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", wrk.out)
    errors = re.search(r"Socket errors: (.*)", wrk.out)
    done = re.search(r"(\d+) requests in", wrk.out)
    failed = int(bad.group(1)) if bad else 0
    if errors:
        failed += sum(map(int, re.findall(r"\d+", errors.group(1))))
    return int(done.group(1)), failed
