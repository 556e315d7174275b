# SPDX-License-Identifier: MIT
"""Recordings of any size, always the same for the same numbers."""
import os
import random
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from recording import SAMPLE, Writer  # noqa: E402: it lies with the tests


def recording(path, samples=1_000_000, stacks=20_000, functions=600, step_ns=1_000_000):
    """Four processes, distinct stacks of about 12 frames, some far more frequent than others."""
    rng = random.Random(7)
    w = Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.define("clock", 1_700_000_000_000_000_000, pid=0)
    w.define("build", 1, 3, strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/bin/luajit", "ab"))
    for pid in range(1, 5):
        w.define("proc", 1, 1, pid, strs=("nginx", "/usr/sbin/nginx", "nginx: worker"), pid=pid)
        w.define("vm", 0x1000, 1, 1, pid=pid)
    for i in range(1, functions + 1):
        w.define("func", i, 0, 0x1000, 0x9000 + i * 64, i * 7 % 400 + 1, 5, 20, i,
                 strs=(f"@/srv/app/module{i % 40}.lua",))
        for pc in range(3):
            w.define("name", i, pc, 2, 0, strs=(f"func{(i * 3 + pc) % functions}",))
    bodies = []
    for s in range(stacks):
        depth = max(1, int(rng.gauss(12, 3)))
        body = struct.pack("<QQQIIBBHI", 0x5000, 0x1000, 0x2000, 0, 0, rng.choice((2, 3, 4)), 0, depth, 0)
        for k in range(depth):  # what is near the root is shared by many
            f = (s >> max(0, 15 - depth + k)) % functions + 1 if k > depth // 2 else \
                rng.randrange(functions) + 1
            body += struct.pack("<QIBBH", rng.randrange(3) << 32 | f, f * 7 % 400 + rng.randrange(5), 1,
                                0, 0)
        bodies.append(body)
    with open(path, "wb") as out:
        out.write(w.bytes())
        block, size, at = [], 0, w.time
        for i in range(samples):
            body = bodies[i] if i < stacks else bodies[int(stacks * rng.random() ** 3)]
            at += step_ns
            block += struct.pack("<HHIQII", SAMPLE, 0, 24 + len(body), at, i % 4 + 1, i % 4 + 1), body
            size += 24 + len(body)
            if size > 900_000 or i + 1 == samples:
                data = b"".join(block)
                out.write(struct.pack("<II", len(data), zlib.crc32(data)) + data)
                block, size = [], 0
