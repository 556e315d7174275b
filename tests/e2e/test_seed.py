# SPDX-License-Identifier: MIT
"""The example with known costs: foo two thirds, bar one third, in luajit and behind nginx."""
import pytest

from frames import count, total
from harness import folded, luajit, record, report
from web import Nginx, load

pytestmark = pytest.mark.privileged


def check_split(stacks, entry, file, leaf, loop_line=7):
    """foo 66.7 % and bar 33.3 % of all, each within 2 points, through the entry's frames."""
    everything = total(stacks)
    loop = "trace#*" if leaf == "trace" else leaf
    foo = count(stacks, *entry, f"foo {file}:*", f"heavy {file}:*") / everything
    bar = count(stacks, *entry, f"bar {file}:*", f"heavy {file}:*") / everything
    assert abs(foo - 2 / 3) <= 0.02 and abs(bar - 1 / 3) <= 0.02, f"foo {foo:.3f} bar {bar:.3f}"
    short = file.rsplit("/", 1)[1]
    if leaf == "trace":
        leaves = sum(n for s, n in stacks if s[-1].startswith("trace#")
                     and s[-1].endswith(f":{short}:{loop_line}"))
        assert leaves / everything > 0.95, f"{leaves} of {everything} in the loop's trace"
    else:
        assert count(stacks, f"heavy {file}:*", loop) / everything > 0.95


def luajit_stacks(tmp_path, *args, least):
    with luajit(*args) as target:
        path = record(tmp_path, "-p", target.pid, least=least)
    return path, folded(path)


FILE = "examples/heavy.lua"
MAIN = ["main chunk examples/heavy.lua", "main examples/heavy.lua:*"]


def test_luajit(tmp_path):
    path, stacks = luajit_stacks(tmp_path, FILE, least=5000)
    assert report(path)["samples"] == total(stacks) >= 5000
    check_split(stacks, MAIN, FILE, "trace")
    # The same recording by lines: foo calls at 14 and 15 alike, bar at 20, main at 26 and 27.
    lines = folded(path, "--lines")
    everything = total(lines)
    assert total(lines) == total(stacks)

    def share(function, line):
        return sum(n for frames, n in lines for a, b in zip(frames, frames[1:])
                   if a.startswith(f"{function} {FILE}:") and b == f"{FILE}:{line}") / everything

    for function, line, want in (("foo", 14, 1 / 3), ("foo", 15, 1 / 3), ("bar", 20, 1 / 3),
                                 ("main", 26, 2 / 3), ("main", 27, 1 / 3)):
        assert abs(share(function, line) - want) <= 0.03, (function, line)


def test_luajit_interpreted(tmp_path):
    _, stacks = luajit_stacks(tmp_path, FILE, "off", least=3500)
    check_split(stacks, MAIN, FILE, "lj_BC_*")
    leaves = {s[-1] for s, _ in stacks}
    assert {"lj_BC_ADDVV", "lj_BC_IFORL"} <= leaves
    assert not [leaf for leaf in leaves if leaf.startswith("trace#")]


def test_luajit_ffi(tmp_path):
    file = "examples/heavy_ffi.lua"
    _, stacks = luajit_stacks(tmp_path, file, least=3500)
    everything = total(stacks)
    sqrt = {who: count(stacks, f"{who} {file}:*", f"heavy {file}:*", "trace#*", "C:sqrt")
            for who in ("foo", "bar")}
    assert sqrt["foo"] and sqrt["bar"], sqrt
    assert 1.4 < sqrt["foo"] / sqrt["bar"] < 2.8, sqrt
    check = count(stacks, f"foo {file}:*") / everything
    assert abs(check - 2 / 3) <= 0.03
    assert not [s for s, _ in stacks if "sqrtf" in s[-1]], "an alias of sqrt"


def nginx_stacks(tmp_path, path, least=3000, jit=True):
    with Nginx(tmp_path, jit=jit) as nginx, load(nginx, path, 120) as wrk:
        # Recorded by the master: workers come and go.
        out = record(tmp_path, "-g", nginx.pid, least=least)
        handler = nginx.handler(path)
        assert wrk.child.poll() is None
    return handler, out, folded(out)


def test_nginx(tmp_path):
    handler, path, stacks = nginx_stacks(tmp_path, "/t", 5000)
    assert report(path)["samples"] >= 5000
    check_split(stacks, [handler, f"main {FILE}:*"], FILE, "trace")
    # The entry point is the root of its stacks.
    roots = {s[0] for s, _ in stacks if handler in s}
    assert roots == {handler}


def test_nginx_interpreted(tmp_path):
    handler, _, stacks = nginx_stacks(tmp_path, "/t", jit=False)
    check_split(stacks, [handler, f"main {FILE}:*"], FILE, "lj_BC_*")


def test_nginx_ffi(tmp_path):
    file = "examples/heavy_ffi.lua"
    handler, _, stacks = nginx_stacks(tmp_path, "/ffi")
    sqrt = {who: count(stacks, handler, f"main {file}:*", f"{who} {file}:*", f"heavy {file}:*",
                       "trace#*", "C:sqrt") for who in ("foo", "bar")}
    assert sqrt["foo"] and sqrt["bar"], sqrt
    assert 1.4 < sqrt["foo"] / sqrt["bar"] < 2.8, sqrt


def test_nginx_hello(tmp_path):
    """Hardly any Lua: every sample is still there, and most are honestly outside Lua."""
    handler, path, stacks = nginx_stacks(tmp_path, "/hello", 2000)
    assert count(stacks, handler) > 0
    outside = count(stacks, "[no Lua stack: outside Lua]")
    assert outside / total(stacks) > 0.3
    seen = report(path)
    assert seen["by_why"].get("no VM found yet", 0) / total(stacks) < 0.02
    # ngx.say is a C function of a stripped module: its name comes from the caller's bytecode.
    says = [f for s, _ in stacks for f in s if f.startswith("C:say")]
    assert says and all("@ngx_http_lua_module.so+0x" in f for f in says), says[:3]
