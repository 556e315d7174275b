# SPDX-License-Identifier: MIT
"""Marks of the tests, and what they need of the machine."""
import os
import shutil
import sys

import pytest

import harness
import recording


def pytest_addoption(parser):
    parser.addoption("--part", metavar="K/N",
                     help="of the tests in N parts that take about the same time the one of number K")


def pytest_configure(config):
    config.addinivalue_line("markers", "privileged: needs root, eBPF and a live target")
    config.addinivalue_line("markers", "beside(seconds): privileged, but other tests may run beside "
                            "it; what one takes")
    config.addinivalue_line("markers", "viewer: shows what ljx wrote to programs that take seconds")


def seconds(item):
    """What a test takes, about."""
    beside = item.get_closest_marker("beside")
    return beside.args[0] if beside else 1 if item.get_closest_marker("privileged") else 0.3


def part(items, which):
    """The files of a part: whole ones, because their tests share what they have prepared."""
    k, n = map(int, which.split("/"))
    files = {}
    for item in items:
        files[item.path] = files.get(item.path, 0) + seconds(item)
    loads, mine = [0] * n, set()
    for path in sorted(files, key=lambda f: (-files[f], f)):
        least = loads.index(min(loads))
        loads[least] += files[path]
        if least == k:
            mine.add(path)
    return mine


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Those of the part; privileged tests that cannot run here say so."""
    which = config.getoption("--part")
    if which:
        mine = part(items, which)
        config.hook.pytest_deselected(items=[i for i in items if i.path not in mine])
        items[:] = [i for i in items if i.path in mine]
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


@pytest.fixture
def example(tmp_path):
    """The path of a small recording."""
    path = tmp_path / "example.ljx"
    path.write_bytes(recording.example())
    return str(path)


def pytest_terminal_summary(terminalreporter):
    """The table of builds, if they were tested."""
    matrix = sys.modules.get("test_matrix")
    if matrix and matrix.RESULTS:
        terminalreporter.write_line("")
        for line in matrix.table():
            terminalreporter.write_line(line)
