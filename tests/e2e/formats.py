# SPDX-License-Identifier: MIT
"""Readers of what ljx writes, made from the formats' own definitions and sharing nothing with the
writers. Each returns the stacks, {(frame, ... from the root): samples}, and checks what a viewer
relies on."""
import gzip
import json
from collections import Counter

import jsonschema

from harness import ljx


def schema(name):
    """A validator by ljx's own schema of that name."""
    return jsonschema.Draft202012Validator(json.loads(ljx("--json-schema", name).out))


def stacks(pairs):
    """Folded stacks as the others give them."""
    return Counter({tuple(frames): count for frames, count in pairs})


def no_constant(text):
    raise ValueError(f"{text} is not JSON")


def read_json(path):
    with open(path, "rb") as f:
        data = f.read()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    assert not any(b < 32 and b != 10 for b in data), "a control byte"
    return json.loads(data.decode("utf-8"), parse_constant=no_constant)


def speedscope(path):
    """{profile name: stacks}; a weight is the time of whole samples."""
    doc = read_json(path)
    assert doc["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames = [f["name"] for f in doc["shared"]["frames"]]
    assert 0 <= doc["activeProfileIndex"] < len(doc["profiles"])
    found = {}
    for p in doc["profiles"]:
        assert p["type"] == "sampled" and p["unit"] == "nanoseconds"
        assert len(p["samples"]) == len(p["weights"])
        assert p["endValue"] - p["startValue"] == sum(p["weights"])
        assert all(a != b for a, b in zip(p["samples"], p["samples"][1:])), "not merged"
        got = found.setdefault(p["name"], Counter())
        for stack, weight in zip(p["samples"], p["weights"]):
            got[tuple(frames[i] for i in stack)] += weight
    return found


# --- pprof: protocol buffers, https://protobuf.dev/programming-guides/encoding ---

def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def fields(data):
    """[(number, value)]: int or bytes"""
    at, found = 0, []
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        else:
            assert key & 7 == 2, "a wire type that profile.proto has no use for"
            size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        found.append((key >> 3, value))
    return found


def packed(data):
    at, found = 0, []
    while at < len(data):
        value, at = varint(data, at)
        found.append(value)
    return found


def all_of(message, number):
    return [v for n, v in message if n == number]


def one_of(message, number):
    return (all_of(message, number) or [0])[-1]


class Pprof:
    """stacks, lines: {(frame, line): samples that end there}, tags: {key: Counter}"""

    def __init__(self, path):
        with gzip.open(path) as f:
            top = fields(f.read())
        self.strings = [s.decode() for s in all_of(top, 6)]
        assert self.strings[0] == "" and len(set(self.strings)) == len(self.strings)
        self.types = [tuple(self.strings[one_of(fields(t), i)] for i in (1, 2))
                      for t in all_of(top, 1)]
        self.default = self.strings[one_of(top, 14)]
        self.period, self.time, self.duration = one_of(top, 12), one_of(top, 9), one_of(top, 10)
        self.comments = [self.strings[i] for c in all_of(top, 13)
                         for i in (packed(c) if isinstance(c, bytes) else [c])]
        functions = self.table(top, 5)
        mappings = self.table(top, 3)
        assert len(mappings) == 1
        places = {}
        for number, location in self.table(top, 4).items():
            assert one_of(location, 2) in mappings
            (line,) = map(fields, all_of(location, 4))
            places[number] = (self.strings[one_of(functions[one_of(line, 1)], 2)], one_of(line, 2))
        self.stacks, self.lines, self.tags = Counter(), Counter(), {}
        self.values = Counter()
        for sample in map(fields, all_of(top, 2)):
            ids, values = packed(one_of(sample, 1) or b""), packed(one_of(sample, 2))
            assert len(values) == len(self.types)
            stack = tuple(places[i][0] for i in reversed(ids))
            self.stacks[stack] += values[0]
            self.values[stack] += values[-1]
            if ids:
                self.lines[places[ids[0]]] += values[0]
            for label in map(fields, all_of(sample, 3)):
                text = one_of(label, 2)
                value = self.strings[text] if text else one_of(label, 3)
                self.tags.setdefault(self.strings[one_of(label, 1)], Counter())[value] += values[0]

    @staticmethod
    def table(top, number):
        rows = [fields(m) for m in all_of(top, number)]
        ids = [one_of(r, 1) for r in rows]
        assert all(ids) and len(set(ids)) == len(ids), "ids are not unique"
        return dict(zip(ids, rows))


# --- the Firefox Profiler ---

def column_table(table, optional=()):
    for name, column in table.items():
        if isinstance(column, list) and name not in optional:
            assert len(column) == table["length"], name
    return table


class Firefox:
    """stacks by thread name; categories and lines: Counter"""

    def __init__(self, path):
        doc = read_json(path)
        self.doc, shared = doc, doc["shared"]
        assert doc["meta"]["preprocessedProfileVersion"] == 66
        names = [c["name"] for c in doc["meta"]["categories"]]
        assert doc["meta"]["categories"][0]["color"] == "grey"
        for name, table in shared.items():
            if name != "stringArray":
                column_table(table)
        frames, funcs = shared["frameTable"], shared["funcTable"]
        self.strings, self.shared = shared["stringArray"], shared
        self.stacks, self.categories, self.lines = {}, Counter(), Counter()
        self.markers = []
        for thread in doc["threads"]:
            got = self.stacks.setdefault(thread["name"], Counter())
            samples = column_table(thread["samples"])
            assert samples["time"] == sorted(samples["time"]) and samples["weightType"] == "samples"
            for stack, weight in zip(samples["stack"], samples["weight"]):
                got[self.stack(stack)] += weight
                if stack is not None:
                    leaf = shared["stackTable"]["frame"][stack]
                    self.categories[names[frames["category"][leaf]]] += weight
                    name = self.strings[funcs["name"][frames["func"][leaf]]]
                    self.lines[(name, frames["line"][leaf])] += weight
            m = column_table(thread["markers"])
            for i in range(m["length"]):
                assert m["phase"][i] in (0, 1) and 0 <= m["category"][i] < len(names)
                self.markers.append((self.strings[m["name"][i]], m["startTime"][i], m["endTime"][i],
                                     m["data"][i]))

    def stack(self, row):
        table, frames = self.shared["stackTable"], []
        while row is not None:
            assert 0 <= row < table["length"]
            func = self.shared["frameTable"]["func"][table["frame"][row]]
            frames.append(self.strings[self.shared["funcTable"]["name"][func]])
            offset = table["prefixOffset"][row]
            row = row - offset if offset else None
        return tuple(reversed(frames))

    def all_stacks(self):
        return sum(self.stacks.values(), Counter())


# --- callgrind ---

class Callgrind:
    """self and inclusive: {function: samples}; lines: {(function, line): samples of its own}"""

    def __init__(self, path):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        head, body = text.split("\n\n", 1)
        assert head.startswith("# callgrind format\nversion: 1\n")
        self.head = dict(line.split(": ", 1) for line in head.split("\n")[1:])
        assert self.head["positions"] == "line" and self.head["events"] in ("samples", "aborts")
        self.self, self.inclusive, self.lines = Counter(), Counter(), Counter()
        self.files, self.names = {}, {}
        function, called = None, False
        for line in body.split("\n"):
            key, _, value = line.partition("=")
            if key in ("fl", "cfi"):
                self.name(self.files, value)
            elif key == "fn":
                function = self.name(self.names, value)
            elif key == "cfn":
                self.name(self.names, value)
            elif key == "calls":
                called = True
            elif line and line[0].isdigit():
                at, cost = map(int, line.split(" "))
                self.inclusive[function] += cost
                if not called:
                    self.self[function] += cost
                    self.lines[(function, at)] += cost
                called = False
            else:
                assert not line or line == f"totals: {self.head['summary']}", line

    @staticmethod
    def name(known, value):
        number, _, name = value.partition(" ")
        assert number[0] == "(" and number[-1] == ")" and (number in known) == (not name)
        return known.setdefault(number, name)


def by_function(stacks_, skip=()):
    """{frame: (self, anywhere)} of stacks."""
    own, total = Counter(), Counter()
    for frames, n in stacks_.items():
        if frames:
            own[frames[-1]] += n
        for f in set(frames):
            total[f] += n
    return {f: (own[f], total[f]) for f in total if f not in skip}
