# SPDX-License-Identifier: MIT
"""What the viewers that people open our files with count in them, against what folded stacks say. No
privileges."""
import json
import os

import jsonschema
import pytest

import formats
import viewers
from harness import folded, ljx, report
from test_aborts import WANT, path as aborts  # noqa: F401: a fixture
from test_formats import nasty

pytestmark = pytest.mark.viewer


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.ljx"
    path.write_bytes(nasty())
    return str(path)


def convert(path, ending, *args):
    ljx("report", path, "-o", path + ending, *args)
    return path + ending


def shares(stacks):
    """{frame: (own, anywhere)} in percent."""
    total = sum(stacks.values())
    return {f: (100 * own / total, 100 * n / total)
            for f, (own, n) in formats.by_function(stacks).items()}


def same(got, want):
    assert set(got) == set(want)
    for frame, pair in want.items():
        assert got[frame] == pytest.approx(pair, abs=0.01), frame


def schema_of_speedscope():
    with open(os.path.join(viewers.folder(), "speedscope/dist/release/file-format-schema.json"),
              encoding="utf-8") as f:
        return jsonschema.Draft7Validator(json.load(f))


def test_speedscope_reads_folded_stacks(example, tmp_path):
    got = viewers.Speedscope(convert(example, ".folded"), tmp_path)
    assert got.importer == "collapsed stack format"
    same(got.rows, shares(formats.stacks(folded(example))))


def test_speedscope_counts_the_same(odd, tmp_path):
    path = convert(odd, ".speedscope.json")
    doc = formats.read_json(path)
    schema_of_speedscope().validate(doc)
    threads = formats.speedscope(path)
    got = viewers.Speedscope(path, tmp_path)
    assert got.importer == "speedscope json file"
    same(got.rows, shares(threads[doc["profiles"][doc["activeProfileIndex"]]["name"]]))
    assert got.threads == {name: f"{sum(stacks.values()) / 1e6:.2f}ms"
                           for name, stacks in threads.items()}


def test_speedscope_schema(example):
    validator = schema_of_speedscope()
    doc = formats.read_json(convert(example, ".speedscope.json"))
    validator.validate(doc)
    assert not validator.is_valid({**doc, "shared": {"frames": [{"line": 1}]}})


def test_firefox_counts_the_same(odd, tmp_path):
    stacks, categories = formats.Counter(), formats.Counter()
    with viewers.FirefoxProfiler(convert(odd, ".firefox.json"), tmp_path) as ff:
        threads = ff("profile", "info", "--all")["processes"]
        for thread in [t["threadHandle"] for p in threads for t in p["threads"]]:
            samples = ff("thread", "samples", "--thread", thread, "--include-idle")
            for c in samples["categoryBreakdown"]["categories"]:
                categories[c["name"]] += c["samples"]
            for f in ff("thread", "functions", "--thread", thread, "--include-idle")["functions"]:
                stacks[f["name"], 0] += f["selfSamples"]
                stacks[f["name"], 1] += f["totalSamples"]
    want = formats.stacks(folded(odd))
    by = formats.by_function(want)
    assert {f: (stacks[f, 0], stacks[f, 1]) for f, _ in stacks} == by
    assert sum(categories.values()) == sum(want.values())
    assert categories["Compiled"] == report(odd)["by_state"].get("compiled", 0)
    assert categories["Interpreted"] == report(odd)["by_state"].get("interpreted", 0)


def test_firefox_shows_aborts(aborts, tmp_path):  # noqa: F811: the fixture
    """Each abort is a marker with the stack where it was."""
    stacks = formats.Counter()
    with viewers.FirefoxProfiler(convert(aborts, ".firefox.json"), tmp_path) as ff:
        by_name = {}
        for kind in ff("thread", "markers", "--list", "--thread", "t-0")["byType"]:
            by_name[kind["markerName"]] = kind["count"]
        found = ff("thread", "markers", "--list", "--thread", "t-0", "--limit", "100")
        for m in found.get("flatMarkers", []):
            if m["name"] != "trace abort":
                continue
            info = ff("marker", "info", m["handle"])
            reason = {f["key"]: f["value"] for f in info["fields"]}["reason"]
            stack = [f["name"] for f in info["stack"]["frames"]]
            stacks[(*reversed(stack), f"[abort] {reason}")] += 1
    assert by_name == {"trace abort": 10, "trace compiled": 1, "trace flush": 1}
    assert stacks == WANT
