# SPDX-License-Identifier: MIT
"""ljx trace --jv against the jit.v that runs in the same process at the same time, line for line: in
nginx, and in the programs of examples/bench."""
import contextlib
import glob
import http.client
import os
import re
import signal

import pytest

from harness import OK, ROOT, Ljx, luajit, wait_until
from test_trace import PROBES
from web import Nginx

pytestmark = pytest.mark.privileged

JITV_CONF = os.path.join(ROOT, "tests/nginx/jitv.conf")
REQUESTS = 1500  # to all workers; the first of 9 paths is asked for every second time
NGINX_LINES = 4000
BENCH = sorted(glob.glob(os.path.join(ROOT, "examples/bench/*.lua")))
BENCH_ROUNDS = 15
# Lines that all of them must have had, and one at least; what is compared is counted here.
BENCH_LINES, BENCH_LEAST = 4500, 60
compared = {}
PATHS = ("string", "table", "yield", "errors", "nginx", "recursion", "hello")


def same(got, want, what):
    """Line for line; returns how many lines."""
    for i, (a, b) in enumerate(zip(got.splitlines(), want.splitlines())):
        assert a == b, f"{what}: line {i + 1}"
    assert got == want, what
    return want.count(b"\n")


def jv(pid, probe):
    p = Ljx("trace", "--jv", "--limit", 0, "-p", pid, f"--probe={probe}")
    p.expect(PROBES[probe], "err")
    return p


def finished(p):
    """All it printed, and that nothing is missing in that."""
    assert p.finish() == OK, p.err
    for word in ("lost", "undefined", "missing", "only in the counts"):
        assert word not in p.err, p.err
    return p.text["out"]


def ask(port):
    """Sends the requests, ten to a connection so that all workers get some."""
    for n in range(REQUESTS):
        if n % 10 == 0:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        path = "flush" if n % 500 == 250 else PATHS[n // 2 % len(PATHS)] if n % 2 else f"fresh?n={n % 900}"
        client.request("GET", "/" + path)
        answer = client.getresponse()
        answer.read()
        assert answer.status == 200, path
        if n % 10 == 9:
            client.close()


@pytest.mark.parametrize("probe", PROBES)
def test_nginx(tmp_path, probe):
    """Two workers, each with its own jit.v, each with its own ljx."""
    with contextlib.ExitStack() as stack:
        nginx = stack.enter_context(Nginx(tmp_path, workers=2, conf=JITV_CONF))
        wait_until(lambda: len(list(nginx.prefix.glob("jitv.*"))) == 2, "two workers")
        logs = {pid: nginx.prefix / f"jitv.{pid}" for pid in nginx.workers()}
        tracers = {pid: stack.enter_context(jv(pid, probe)) for pid in logs}
        # All that jit.v has seen, ljx has too.
        assert [log.read_bytes() for log in logs.values()] == [b"", b""]
        ask(nginx.port)
        total = 0
        for pid, p in tracers.items():
            want = logs[pid].read_bytes()  # the worker is idle: it is complete
            p.kill(signal.SIGINT)  # while it waits for us to read
            lines = same(finished(p), want, f"worker {pid}")
            assert lines > NGINX_LINES / 8, "this worker had no work"
            total += lines
        assert total >= NGINX_LINES, "too few lines to tell"
        text = b"".join(log.read_bytes() for log in logs.values()).decode("latin-1")
        for form in (r" stitch C:[0-9a-f]+\]$", r" stitch string\.\w+\]$", r" loop\]$", r"^\[TRACE flush\]$",
                     r"^\[TRACE +\d+ \(\d+/\d+\) ", r"^\[TRACE +\d+ \(\d+/stitch\) ",
                     r"-- NYI: bytecode 51\b", r"^\[TRACE +(\d+|---) fresh\d+:\d"):
            assert len(re.findall(form, text, re.M)) >= 2, form


def promised(path):
    """What a program's header says that ljx must report, as regular expressions."""
    with open(path, encoding="utf-8") as f:
        head = f.read().split("-- ljx trace --jv must report:\n")[1]
    found = []
    for line in head.splitlines():
        if not line.startswith("--   "):
            return found
        text = re.split(r"  +", line[5:].strip())[0]
        found.append(re.escape(text).replace("NN", r"\d+").replace(r"\[TRACE\ ", r"^\[TRACE +"))


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("path", BENCH, ids=[os.path.basename(p) for p in BENCH])
def test_bench(tmp_path, path, probe):
    """A program of examples/bench, again and again in one VM."""
    log = tmp_path / "jit.v"
    with luajit(f"-jv={log}", "tests/lua/rounds.lua", BENCH_ROUNDS, path) as target:
        target.expect("^ready$")
        assert log.read_bytes() == b""
        with jv(target.pid, probe) as p:
            target.say("go")
            target.expect("^done$")
            assert target.finish() == 0
            got = finished(p)
    lines = same(got, log.read_bytes(), path)
    assert lines >= BENCH_LEAST, "too few lines to tell"
    compared[path, probe] = lines
    wanted = promised(path)
    assert len(wanted) >= 2
    for form in wanted:
        assert re.search(form, got.decode("latin-1"), re.M), form


def test_bench_lines():
    """No program was left out, and all together said enough."""
    if len(compared) < 2 * len(BENCH):
        pytest.skip("the programs were not all run")
    assert len(BENCH) >= 10
    for probe in PROBES:
        assert sum(n for (_, kind), n in compared.items() if kind == probe) >= BENCH_LINES
