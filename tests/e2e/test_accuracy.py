# SPDX-License-Identifier: MIT
"""The share of all samples, kernel and unresolved ones included, whose stack is right, in scripts
that never leave Lua. The target is attached to after its stack is as it stays."""
import pytest

from frames import Truth
from harness import luajit, sampled

pytestmark = pytest.mark.privileged

SCRIPT = "tests/lua/storms.lua"


def measure(tmp_path, name, jit, **truth):
    edges = None
    with luajit(SCRIPT, name, jit) as target:
        stack = target.event("stack")
        if "storm" in str(stack["frames"][0].get("name")):
            edges = target.event("edges")
        stacks = sampled(tmp_path, "-p", target.pid, least=2500, seconds=1, rate=3999)
    share, total, errors = Truth(stack, edges, **truth).share(stacks)
    print(f"{name} {jit}: {share:.4%} of {total}\n{errors}")
    return share, errors


@pytest.mark.parametrize("name,jit", [
    ("plain", "off"), ("plain", "on"), ("while_table", "off"), ("while_table", "on"),
    ("modulo", "off"), ("modulo", "on")])
def test_loops(tmp_path, name, jit):
    share, errors = measure(tmp_path, name, jit)
    assert share >= 0.999, errors


@pytest.mark.parametrize("name,above", [("sin", ["math.sin"]), ("pow", [])])
def test_loops_that_call_libm(tmp_path, name, above):
    share, errors = measure(tmp_path, name, "off", above=above, c_leaf=True)
    assert share >= 0.999, errors


@pytest.mark.parametrize("name", ["calls", "metamethods"])
def test_calls_between_lua_functions(tmp_path, name):
    share, errors = measure(tmp_path, name, "off", c_leaf=True)
    assert share >= 0.995, errors


@pytest.mark.parametrize("name", ["pcall", "callbacks", "coroutines", "library"])
def test_pcall_and_c_callbacks(tmp_path, name):
    share, errors = measure(tmp_path, name, "off", c_leaf=True)
    assert share >= 0.99, errors
