# SPDX-License-Identifier: MIT
"""Programs that embed LuaJIT and that nobody here wrote. What runs in them tells its own stack, as
debug.getinfo has it, and what its traces are, by jit.v; ljx must say the same from outside."""
import contextlib
import os
import signal
import socket
from collections import Counter

import pytest

from frames import Truth
from harness import OK, ROOT, Ljx, Process, sampled
from web import free_port

pytestmark = [pytest.mark.privileged, pytest.mark.beside(1.1)]

# A chunk that runs a script of tests/lua with arguments, wherever the program's working directory is.
PRELUDE = f'package.path = "{ROOT}/tests/lua/?.lua;" .. package.path\n'
RUN = PRELUDE + "arg = {%s}\ndofile('" + ROOT + "/tests/lua/%s')\n"


def script(tmp_path, source, name="script.lua"):
    path = tmp_path / name
    path.write_text(source)
    return path


def nvim(_stack, tmp_path, source):
    return Process("nvim", "--headless", "-u", "NONE", "-i", "NONE", "-n", "-c",
                   f"luafile {script(tmp_path, source)}", env={"XDG_STATE_HOME": str(tmp_path)})


def wrk(stack, tmp_path, source):
    """In the second VM: that of its thread, which sends the requests."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return Process("wrk", "-t1", "-c1", "-d100s", "-s",
                   script(tmp_path, f"function request()\n{source}\nend\n"),
                   f"http://127.0.0.1:{server.getsockname()[1]}/")


def dnsdist(stack, tmp_path, source):
    """In the action of a rule, called from C++ when a query comes."""
    port = free_port()
    conf = script(tmp_path, f"setSecurityPollSuffix('') setLocal('127.0.0.1:{port}')\n"
                  f"addAction(AllRule(), LuaAction(function()\n{source}\nend))\n")
    target = Process("dnsdist", "--supervised", "--disable-syslog", "-C", conf)
    target.expect("Listening on")
    query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x00\x00\x01\x00\x01"
    client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.sendto(query, ("127.0.0.1", port))
    return target


def kresd(_stack, tmp_path, source):
    """In a timer of its event loop."""
    conf = script(tmp_path, "modules.unload('priming') modules.unload('detect_time_skew')\n"
                  f"event.after(0, function()\n{source}\nend)\n", "kresd.conf")
    return Process("kresd", "-n", "-c", conf, tmp_path)


def love(_stack, tmp_path, source):
    (tmp_path / "conf.lua").write_text("function love.conf(t) t.modules.window = false "
                                       "t.modules.graphics = false t.modules.audio = false end\n")
    script(tmp_path, f"function love.update()\n{source}\nend\n", "main.lua")
    return Process("love", tmp_path, env={"SDL_VIDEODRIVER": "dummy", "HOME": str(tmp_path)})


def lupa(_stack, tmp_path, source):
    """Called from Python, which calls it from Lua."""
    code = "import lupa\nlua = lupa.LuaRuntime()\n" \
           f"lua.eval('function(f) f() end')(lua.eval('loadfile')({str(script(tmp_path, source))!r}))\n"
    return Process("/usr/bin/python3", script(tmp_path, code, "script.py"))


def uwsgi(stack, tmp_path, source):
    """In the handler of a request. Its plugin is looked for by another name."""
    os.symlink("/usr/lib/uwsgi/plugins/luajit_plugin.so", tmp_path / "lua_plugin.so")
    port = free_port()
    app = script(tmp_path, f"return function()\n{source}\nend\n")
    target = Process("uwsgi", "--plugins-dir", tmp_path, "--plugin", "lua", "--http-socket-modifier1", "6",
                     "--http-socket", f"127.0.0.1:{port}", "--lua", app)
    target.expect("spawned uWSGI worker", "err")
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return target


def sysbench(_stack, tmp_path, source):
    """In a thread of its own VM; a flag of the program took the name of the debug library."""
    source = f"function event()\ndebug = package.loaded.debug\n{source}\nend\n"
    return Process("sysbench", script(tmp_path, source), "--time=100", "run")


def tarantool(_stack, tmp_path, source):
    """Its LuaJIT is linked statically, with numbers and VM states of its own; the fiber is a coroutine
    that C resumed."""
    return Process("tarantool", script(tmp_path, source), cwd=tmp_path)


def texluajit(_stack, tmp_path, source):
    return Process("texluajit", "--jiton", script(tmp_path, source))


def luajittex(_stack, tmp_path, source):
    return Process("luajittex", "--luaonly", "--jiton", script(tmp_path, source))


PROGRAMS = [nvim, wrk, dnsdist, kresd, love, lupa, uwsgi, sysbench, tarantool, texluajit, luajittex]


@contextlib.contextmanager
def running(program, tmp_path, source):
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(program(stack, tmp_path, source))


@pytest.mark.parametrize("name,jit", [("pcall", "on"), ("coroutine_nested", "off")])
@pytest.mark.parametrize("program", PROGRAMS)
def test_stacks(tmp_path, program, name, jit):
    source = RUN % (f"'{name}', '{jit}'", "semantics.lua")
    with running(program, tmp_path, source) as target:
        truth = Truth(target.event("stack"))
        stacks = sampled(tmp_path, "-g", target.pid, least=200, seconds=0.4, rate=1999,
                         options=["--split", "thread"])
    # The program's other threads run no Lua.
    threads = Counter()
    for frames, n in stacks:
        threads[frames[0]] += n
    busiest = max(threads, key=threads.get)
    assert {frames[1] for frames, _ in stacks if frames[0] != busiest} <= {"[no Lua stack: outside Lua]"}
    share, _, errors = truth.share([(frames[1:], n) for frames, n in stacks if frames[0] == busiest])
    assert share >= 0.995, errors


# What the recorder said to jit.v in these; the others have no jit/*.lua.
JITV = """
local function wait() local f = io.open("%s") f:read("*l") f:close() end
io.read = wait
print = function(...) io.stdout:write(..., "\\n") io.stdout:flush() end
package.path = "/usr/share/luajit-2.1.0-beta3/?.lua;" .. package.path
require("jit.v").on("%s")
"""
TRACED = [nvim, wrk, dnsdist, kresd, love, lupa, uwsgi, sysbench]


@pytest.mark.parametrize("program", TRACED)
def test_jv(tmp_path, program):
    """The trace events are those that jit.v logs in the same process, byte for byte."""
    fifo, log = tmp_path / "fifo", tmp_path / "jit.v"
    os.mkfifo(fifo)
    source = JITV % (fifo, log) + RUN % ("'1'", "recorder.lua") + "\nwait()"
    with running(program, tmp_path, source) as target:
        target.expect("^ready$")
        assert log.read_bytes() == b""
        with Ljx("trace", "--jv", "--limit", 0, "-p", target.pid) as p:
            p.expect("uprobes|watchpoints", "err")
            fifo.write_text("go\n")
            target.expect("^done$", seconds=60)
            p.kill(signal.SIGINT)  # while it waits for us to write
            assert p.finish() == OK, p.err
            got = p.text["out"].splitlines()
    want = log.read_bytes().splitlines()
    for i, (a, b) in enumerate(zip(got, want)):
        assert a == b, f"line {i + 1}"
    assert len(got) == len(want) and len(want) > 3000
