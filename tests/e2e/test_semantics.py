# SPDX-License-Identifier: MIT
"""Stacks equal what the target itself prints at the same point, frame by frame, in every sample."""
import subprocess

import pytest

from frames import Truth
from harness import ROOT, luajit, sampled

pytestmark = [pytest.mark.privileged, pytest.mark.beside(1.6)]

SCRIPT = "tests/lua/semantics.lua"
# Where the compiler could make a difference: calls that it compiles or that it meets on its way.
COMPILED = {"recursion", "mutual", "tailcall", "varargs", "pcall", "methods", "metamethods", "sort",
            "gsub", "coroutine_nested", "coroutine_after", "load_string", "stripped",
            "ffi_callback", "iterator"}


def scenarios():
    try:
        names = subprocess.run(["luajit", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                               check=True).stdout.split()
    except OSError:
        names = ["no-luajit"]
    return [(name, "off") for name in names] + [(n, "on") for n in names if n in COMPILED]


@pytest.mark.parametrize("name,jit", scenarios())
def test_stack(tmp_path, name, jit):
    truncated = name == "recursion_truncated"
    with luajit(SCRIPT, name, jit) as target:
        truth = Truth(target.event("stack"))
        stacks = sampled(tmp_path, "-p", target.pid, least=300, seconds=0.5, rate=1999)
    share, _, errors = truth.share(stacks, truncated)
    assert share >= 0.999, errors
