# SPDX-License-Identifier: MIT
"""Marks of the tests, and what they need of the machine."""
import glob
import os
import shutil
import sys

import pytest

import harness


def pytest_configure(config):
    config.addinivalue_line("markers", "privileged: needs root, eBPF and a live target")


def pytest_collection_modifyitems(items):
    """Privileged tests that cannot run here say so."""
    why = []
    if os.geteuid():
        why.append("not root")
    if not os.path.exists(harness.LJX):
        why.append(f"no {harness.LJX}")
    why += [f"no {tool}" for tool in ("luajit", "nginx") if not shutil.which(tool)]
    if why:
        skip = pytest.mark.skip(reason=", ".join(why))
        for item in items:
            if item.get_closest_marker("privileged"):
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def tree():
    """Paths in the tests are those of the tree's root, and so are the chunknames."""
    os.chdir(harness.ROOT)


def pytest_terminal_summary(terminalreporter):
    """The table of builds, if they were tested."""
    matrix = sys.modules.get("test_matrix")
    if matrix and matrix.RESULTS:
        terminalreporter.write_line("")
        for line in matrix.table():
            terminalreporter.write_line(line)


def programs():
    """Ids of the BPF programs in the kernel that are ours."""
    ids = set()
    for path in glob.glob("/proc/[0-9]*/fdinfo/*"):
        try:
            with open(path) as f:
                ids |= {line.split()[1] for line in f if line.startswith("prog_id:")}
        except OSError:
            continue
    return ids


@pytest.fixture
def bpf_programs():
    return programs
