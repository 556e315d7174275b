# SPDX-License-Identifier: MIT
"""What a target told of its stack (tests/lua/truth.lua), in ljx's grammar of frames, and the
comparison of all samples with it."""
import re
from collections import Counter

# What may stand above the innermost function: it says what the VM did there.
LEAF = re.compile(r"lj_\w+|\[kernel\]|\[GC\]|\[JIT\] (record|optimise|assemble)|\[exit\]|"
                  r"trace#\d+:\S+:\d+")
C_LEAF = re.compile(r"C:\S+")
LINE = re.compile(r"(.*):(\d+)")


def sanitise(label):
    label = re.sub(r"[\x00-\x1f\x7f]", " ", label).replace(";", ":")
    return re.sub(r"[ \t]+(\d+)$", r":\1", label)


class Functions:
    """Labels of functions: the name is a label, the most frequent one of a function."""

    def __init__(self):
        self.names = {}

    def learn(self, frame):
        names = self.names.setdefault(self.key(frame), Counter())
        if frame.get("name"):
            names[frame["name"]] += 1

    @staticmethod
    def key(frame):
        return (frame.get("file"), frame.get("line"), frame.get("last"), frame.get("id"))

    def label(self, frame):
        """The label, or for a C function a pattern."""
        kind = frame["kind"]
        if kind == "fast":
            return frame["name"]
        if kind == "C":
            return re.compile(r"C:[^@]+(@[^@]+\+0x[0-9a-f]+)?")
        if kind == "main":
            return sanitise(frame["file"] if frame["plain"] else "main chunk " + frame["file"])
        where = f"{frame['file']}:{frame['line']}"
        names = self.names.get(self.key(frame)) or Counter()
        if not names:
            return sanitise(where)
        best = min(names, key=lambda n: (-names[n], n.encode()))
        return sanitise(f"{best} {where}")


def same(want, got):
    return bool(want.fullmatch(got)) if isinstance(want, re.Pattern) else want == got


def is_line(label):
    return bool(LINE.fullmatch(label)) and " " not in label


def is_lua(frame):
    return frame["kind"] in ("Lua", "main")


class Truth:
    """The stack that a target printed, and the calls that are possible above it."""

    def __init__(self, stack, edges=None, above=(), c_leaf=False):
        """above: fast functions that the innermost function may call. c_leaf: samples may end in
        a C function that is not a frame of the Lua stack."""
        self.stack = list(reversed(stack["frames"]))
        self.edges = edges["edges"] if edges else []
        self.above = above
        self.c_leaf = c_leaf
        self.functions = Functions()
        for frame in self.stack:
            self.functions.learn(frame)
        for edge in self.edges:
            self.functions.learn(edge["to"])

    def wrong(self, got, truncated=False):
        """Compares a sample's frames (--lines, root first) with the truth. None if they are right,
        else what is wrong."""
        got = list(got)
        stack = self.stack
        if truncated:
            if got.pop(0) != "[truncated]":
                return "no [truncated]"
            functions = [f for f in got if not LEAF.fullmatch(f) and not is_line(f)]
            if len(functions) < 250:
                return f"only {len(functions)} frames"
            stack = stack[-len(functions):]
        line = None
        for i, frame in enumerate(stack):
            label = self.functions.label(frame)
            if not got or not same(label, got[0]):
                return f"frame {i}: {got[:1]} instead of {label}"
            got.pop(0)
            last = i == len(stack) - 1
            if is_lua(frame):
                error, line = self.line(frame, got, None if last else frame["current"])
                if error:
                    return f"frame {i}: {error}"
        return self.beyond(stack[-1], line, got)

    @staticmethod
    def line(frame, got, want):
        """Takes the line frame off got. want: the line; None: anywhere in the function."""
        match = LINE.fullmatch(got[0]) if got else None
        if not match or match.group(1) != sanitise(frame["file"]):
            # Unknown lines have no frame; the innermost function's need not be known.
            if frame["current"] <= 0 or (want is None and (not got or LEAF.fullmatch(got[0]))):
                return None, None
            return f"no line frame but {got[:1]}", None
        if frame["current"] <= 0:
            return None, None  # the next function of a stripped chunk, which has no name
        line = int(match.group(2))
        if want is None and not (frame["line"] <= line <= (frame["last"] or line)):
            return f"line {line} outside {frame['line']}-{frame['last']}", None
        if want is not None and line != want:
            return f"line {line} instead of {want}", None
        got.pop(0)
        return None, line

    def beyond(self, frame, line, got):
        """Checks what follows the told stack: calls by the edges, then the leaf's marks."""
        while got:
            step = self.call(frame, line, got[0])
            if step is None:
                break
            got.pop(0)
            frame, line = step, None
            if is_lua(frame):
                error, line = self.line(frame, got, None)
                if error:
                    return error
        allowed_c = self.c_leaf
        for label in got:
            if LEAF.fullmatch(label):
                continue
            if allowed_c and C_LEAF.fullmatch(label):
                allowed_c = False
                continue
            return f"{label} is not possible above {self.functions.label(frame)} at line {line}"
        return None

    def call(self, frame, line, label):
        """The callee of that label that frame can call at that line."""
        here = self.functions.label(frame)
        for edge in self.edges:
            if not same(self.functions.label(edge["to"]), label):
                continue
            if self.functions.label(edge["from"]) != here:
                continue
            if is_lua(frame) and edge["from"]["current"] != line:
                continue
            return edge["to"]
        if label in self.above:
            return {"kind": "fast", "name": label}
        return None

    def share(self, stacks, truncated=False):
        """(share of right samples, number of samples, what is wrong with the others)"""
        right = total = 0
        errors = Counter()
        for got, count in stacks:
            total += count
            error = self.wrong(got, truncated)
            if error:
                errors[error + "   in   " + ";".join(got)[-400:]] += count
            else:
                right += count
        text = "\n".join(f"{n:6} {e}" for e, n in errors.most_common(12))
        return (right / total if total else 0), total, text


def count(stacks, *labels):
    """Samples whose stack has these frames in this order. A label ending in * is a prefix."""
    def fits(label, frame):
        return frame.startswith(label[:-1]) if label.endswith("*") else label == frame

    total = 0
    for frames, n in stacks:
        at = iter(frames)
        if all(any(fits(label, f) for f in at) for label in labels):
            total += n
    return total


def total(stacks):
    return sum(n for _, n in stacks)
