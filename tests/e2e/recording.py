# SPDX-License-Identifier: MIT
"""A reader of recordings written from bpf/event.h and bpf/rec.h alone: it shows that what ljx wrote
is what those headers say, and gives the tests what reports leave out."""
import struct
import zlib
from collections import namedtuple

Header = namedtuple("Header", "kind cpu size time pid tid")
Sample = namedtuple("Sample", "h ip g L trace flags state why frames mcofs mark")
Frame = namedtuple("Frame", "addr line kind ffid")
Record = namedtuple("Record", "h fields strings")
Native = namedtuple("Native", "h kernel words why")
Tally = namedtuple("Tally", "h first last count starts attempts like")
Event = namedtuple("Event", "h g mcode info trace parent exitno link root szmcode nins error nsnap "
                            "type kind linktype cause flags start end about text frames")

Loops = namedtuple("Loops", "h id loops")

Code = namedtuple("Code", "h g id flags lines text")

Scan = namedtuple("Scan", "h g type trace unplaced entries")

Snaps = namedtuple("Snaps", "h g mcode start trace szmcode mcloop mark why ranges frames")
SnapFrame = namedtuple("SnapFrame", "frame caller flags")

SAMPLE, META, EVENT, LOOPS, CODE, SCAN, TALLY, SNAPS, NATIVE = 1, 15, 17, 20, 21, 22, 23, 24, 26
# enum ev_scan_type
SCAN_BEGIN, SCAN_END, SCAN_EXITS, SCAN_CAUSE = 1, 2, 3, 4
CODE_CUT, CODE_NOJIT = 1, 2
# kind -> (name, format of the fields, number of strings)
KINDS = {
    4: ("proc", "QII", 3), 5: ("build", "II", 4), 6: ("vm", "QII", 0), 7: ("func", "IIQQiiII", 1),
    8: ("name", "IIII", 1), 9: ("sym", "QQQII", 2), 10: ("fork", "II", 0), 11: ("exec", "", 0),
    12: ("exit", "iI", 0), 13: ("lost", "QQQ", 0), 14: ("clock", "Q", 0), 15: ("meta", "II", 4),
    27: ("inline", "QII", 1), 28: ("module", "QQQ", 2), 16: ("ff", "II", 1), 29: ("tables", "II", 4), 18: ("spot", "QQIBB2xIHHBB6s", 0), 19: ("jit", "QQIIII24i", 0),
}
NUMBER = {name: kind for kind, (name, _, _) in KINDS.items()}

# bpf/event.h, EV_STATES, EV_WHYS and flags.
TRACE, INTERP, C, OUTSIDE = 1, 2, 3, 9
WHY_NO_VM = 2
KERNEL, TRUNCATED, IN_MCODE, REPAIRED, CALLED = 1, 2, 8, 16, 32
LUA, CFUNC, FAST, COROUTINE, TRACE_FRAME = 1, 2, 3, 4, 5
# enum ev_trace_type, ev_trace_kind, ev_flush_cause; LJ_TRLINK_*
START, STOP, ABORT, FLUSH, LIVE = 1, 2, 3, 4, 5
ROOT_TRACE, SIDE_TRACE, STITCHED_TRACE = 1, 2, 3
EXPLICIT, TABLE, MCODE = 1, 2, 3
LINK_ROOT, LINK_LOOP, LINK_INTERP, LINK_RETURN, LINK_STITCH = 1, 2, 6, 7, 8


def strings(data, n):
    parts = data.split(b"\0")
    assert len(parts) > n, "a string is not terminated"
    rest = b"\0".join(parts[n:])
    assert rest.strip(b"\0") == b"" and len(rest) < 8, "padding is not zero"
    return [p.decode(errors="replace") for p in parts[:n]]


def sample(h, data):
    ip, g, lstate, trace, flags, state, why, n, mcofs = struct.unpack_from("<QQQIIBBHI", data, 24)
    assert h.size == 64 + 16 * n
    assert flags & (IN_MCODE | CALLED) or mcofs == 0
    frames, first = [], 0
    for i in range(n):
        addr, line, kind, ffid, mark = struct.unpack_from("<QIBBH", data, 64 + 16 * i)
        assert mark == 0 or (i == 0 and kind == TRACE_FRAME)
        first = first or mark
        frames.append(Frame(addr, line, kind, ffid))
    return Sample(h, ip, g, lstate, trace, flags, state, why, frames, mcofs, first)


def snaps(h, data):
    """ranges: (offset, number of the innermost frame or 0); frames from number 1 on"""
    g, mcode, start, trace, size, loop, mark, why, n, m = struct.unpack_from("<QQQIIIHHII", data, 24)
    at = 72 + 8 * n
    assert h.size == at + 24 * m
    ranges = [struct.unpack_from("<II", data, 72 + 8 * i) for i in range(n)]
    frames = [SnapFrame(frame(data, at + 24 * i), *struct.unpack_from("<II", data, at + 24 * i + 16))
              for i in range(m)]
    assert all(a[0] < b[0] for a, b in zip(ranges, ranges[1:])) and all(f <= m for _, f in ranges)
    assert all(f.caller <= i for i, f in enumerate(frames))
    return Snaps(h, g, mcode, start, trace, size, loop, mark, why, ranges, frames)


def frame(data, at):
    addr, line, kind, ffid, pad = struct.unpack_from("<QIBBH", data, at)
    assert pad == 0
    return Frame(addr, line, kind, ffid)


def event(h, data):
    *fields, n = struct.unpack_from("<QQQIIIIIIIIHBBBBBB", data, 24)
    assert h.size == 200 + 16 * n
    ends = [frame(data, 88 + 16 * i) for i in range(3)]
    frames = [frame(data, 200 + 16 * i) for i in range(n)]
    return Event(h, *fields, *ends, data[136:200].split(b"\0")[0], frames)


def loops(h, data):
    """loops: (pos, first, last)"""
    proto, n = struct.unpack_from("<II", data, 24)
    assert h.size == 32 + 16 * n
    return Loops(h, proto, [struct.unpack_from("<III", data, 32 + 16 * i) for i in range(n)])


def code(h, data):
    """lines: the source line of each instruction; text: as many lines"""
    g, proto, flags, n, pad = struct.unpack_from("<QIIII", data, 24)
    assert pad == 0 and flags < 4 and 0 < n <= 4096
    lines = struct.unpack_from(f"<{n}i", data, 48)
    text = strings(data[48 + 4 * n:], 1)[0].split("\n")
    assert len(text) == n
    return Code(h, g, proto, flags, lines, text)


def scan(h, data):
    """entries: (frame, exit, count)"""
    g, what, trace, unplaced, n = struct.unpack_from("<QIIII", data, 24)
    assert 1 <= what <= 4 and h.size == 48 + 24 * n
    return Scan(h, g, what, trace, unplaced,
                [(frame(data, 48 + 24 * i), *struct.unpack_from("<II", data, 64 + 24 * i))
                 for i in range(n)])


def tally(h, data):
    *fields, pad = struct.unpack_from("<QQQQII", data, 24)
    like = Header(*struct.unpack_from("<HHIQII", data, 64))
    assert pad == 0 and like.kind == EVENT and like.size == h.size - 64
    return Tally(h, *fields, event(like, data[64:]))


def native(h, data):
    """kernel: addresses; words: ("at", address), ("lua", from, to) or ("gap", why), leaf first"""
    nkernel, n, why, p0, p1, p2 = struct.unpack_from("<HHBBBB", data, 24)
    assert p0 == p1 == p2 == 0 and nkernel <= n and h.size == 32 + 8 * n
    values = struct.unpack_from(f"<{n}Q", data, 32)
    words = []
    for w in values[nkernel:]:
        assert w >> 56 < 3
        words.append([("at", w), ("lua", w >> 32 & 0xffff, w & 0xffffffff),
                      ("gap", w & 0xff)][w >> 56])
    return Native(h, values[:nkernel], words, why)


def records(path):
    """All records of a whole recording, in order."""
    with open(path, "rb") as f:
        data = f.read()
    magic, order, version, r0, r1 = struct.unpack_from("<8sIIQQ", data)
    assert (magic, order, version, r0, r1) == (b"LJXREC\r\n", 0x01020304, 1, 0, 0)
    at, found = 32, []
    while at < len(data):
        length, crc = struct.unpack_from("<II", data, at)
        block = data[at + 8:at + 8 + length]
        assert len(block) == length <= 1 << 20 and zlib.crc32(block) == crc, "bad block"
        found += block_records(block)
        at += 8 + length
    assert found and found[0].h.kind == META, "META does not come first"
    return found


def block_records(block):
    at, found = 0, []
    while at < len(block):
        h = Header(*struct.unpack_from("<HHIQII", block, at))
        assert 24 <= h.size <= len(block) - at and h.size % 8 == 0
        data = block[at:at + h.size]
        if h.kind == SAMPLE:
            found.append(sample(h, data))
        elif h.kind == EVENT:
            found.append(event(h, data))
        elif h.kind == LOOPS:
            found.append(loops(h, data))
        elif h.kind == CODE:
            found.append(code(h, data))
        elif h.kind == SCAN:
            found.append(scan(h, data))
        elif h.kind == TALLY:
            found.append(tally(h, data))
        elif h.kind == SNAPS:
            found.append(snaps(h, data))
        elif h.kind == NATIVE:
            found.append(native(h, data))
        else:
            assert h.kind in KINDS, f"a recording must not hold kind {h.kind}"
            _, fmt, n = KINDS[h.kind]
            fields = struct.unpack_from("<" + fmt, data, 24)
            rest = data[24 + struct.calcsize("<" + fmt):]
            found.append(Record(h, fields, strings(rest, n)))
        at += h.size
    return found


def codes(recs):
    return [r for r in recs if r.h.kind == CODE]


def natives(recs):
    return [r for r in recs if r.h.kind == NATIVE]


def all_loops(recs):
    return [r for r in recs if r.h.kind == LOOPS]


def all_snaps(recs):
    return [r for r in recs if r.h.kind == SNAPS]


def samples(recs):
    return [r for r in recs if r.h.kind == SAMPLE]


def events(recs):
    return [r for r in recs if r.h.kind == EVENT]


def of(recs, name):
    return [r for r in recs if r.h.kind == NUMBER[name]]


class Writer:
    """Makes recordings, good ones and bad ones, without a target."""

    def __init__(self, pid=4242):
        self.pid, self.time, self.blocks, self.block = pid, 1000, [], b""

    def put(self, kind, body, pid=None, tid=None):
        pid = self.pid if pid is None else pid
        body += b"\0" * (-len(body) % 8)
        self.time += 2_000_000
        self.block += struct.pack("<HHIQII", kind, 0, 24 + len(body), self.time, pid,
                                  pid if tid is None else tid) + body

    def define(self, name, *fields, strs=(), pid=None):
        kind = NUMBER[name]
        _, fmt, n = KINDS[kind]
        assert n == len(strs)
        text = b"".join((s if isinstance(s, bytes) else s.encode()) + b"\0" for s in strs)
        self.put(kind, struct.pack("<" + fmt, *fields) + text, pid)

    def sample(self, frames, state=INTERP, why=0, flags=0, g=0x1000, trace=0, ip=0x5000, pid=None):
        """frames: leaf first, (kind, addr, line, ffid)"""
        body = struct.pack("<QQQIIBBHI", ip, g, 0x2000, trace, flags, state, why, len(frames), 0)
        for kind, addr, line, ffid in frames:
            body += struct.pack("<QIBBH", addr, line, kind, ffid, 0)
        self.put(SAMPLE, body, pid)

    def event(self, type, trace=0, start=None, end=None, about=None, frames=(), kind=ROOT_TRACE,
              g=0x1000, text=b"", pid=None, **rest):
        """A trace event; frames as those of a sample."""
        value = dict.fromkeys(("mcode", "info", "parent", "exitno", "link", "root", "szmcode", "nins",
                               "error", "nsnap", "linktype", "cause", "flags"), 0)
        assert set(rest) <= set(value)
        v = {**value, **rest}
        body = struct.pack("<QQQIIIIIIIIHBBBBBB", g, v["mcode"], v["info"], trace, v["parent"],
                           v["exitno"], v["link"], v["root"], v["szmcode"], v["nins"], v["error"],
                           v["nsnap"], type, kind if type != FLUSH else 0, v["linktype"],
                           v["cause"], v["flags"], len(frames))
        for f in (start, end, about):
            k, addr, line, ffid = f or (0, 0, 0, 0)
            body += struct.pack("<QIBBH", addr, line, k, ffid, 0)
        body += struct.pack("64s", text)
        for k, addr, line, ffid in frames:
            body += struct.pack("<QIBBH", addr, line, k, ffid, 0)
        self.put(EVENT, body, pid)

    def loops(self, proto, *loops):
        """loops: (pos, first, last)"""
        body = struct.pack("<II", proto, len(loops))
        for loop in loops:
            body += struct.pack("<IIII", *loop, 0)
        self.put(LOOPS, body)

    def code(self, proto, lines, text, flags=0, g=0x1000):
        body = struct.pack("<QIIII", g, proto, flags, len(lines), 0)
        body += struct.pack(f"<{len(lines)}i", *lines) + "\n".join(text).encode() + b"\0"
        self.put(CODE, body)

    def flush(self):
        if self.block:
            self.blocks.append(struct.pack("<II", len(self.block), zlib.crc32(self.block)) +
                               self.block)
        self.block = b""

    def bytes(self):
        self.flush()
        return struct.pack("<8sIIQQ", b"LJXREC\r\n", 0x01020304, 1, 0, 0) + b"".join(self.blocks)


def lua(proto, pc, line):
    return (LUA, pc << 32 | proto, line, 0)


def example():
    """A small recording: main chunk > work > helper, compiled, interpreted, in C and outside."""
    w = Writer()
    w.define("meta", 99, 0, strs=("0.1", "host", "6.1", "ljx record"), pid=0)
    w.define("clock", 1_700_000_000_000_000_000, pid=0)
    w.define("proc", 1, 1, 4242, strs=("luajit", "/usr/bin/luajit", "luajit app.lua"))
    w.define("build", 1, 3, strs=("LuaJIT 2.1.0-beta3", "luajit2-20230119", "/usr/bin/luajit", "ab"))
    w.define("vm", 0x1000, 1, 1)
    w.define("func", 1, 1, 0x1000, 0x9000, 0, 30, 40, 11, strs=("@app.lua",))
    w.define("func", 2, 0, 0x1000, 0x9100, 5, 10, 20, 12, strs=("@app.lua",))
    w.define("func", 3, 0, 0x1000, 0x9200, 17, 3, 9, 13, strs=("=gen;e\nrated 7",))
    w.define("name", 1, 8, 2, 0, strs=("work",))
    w.define("name", 2, 4, 1, 0, strs=("helper",))
    w.define("name", 3, 2, 4, 0, strs=("say",))
    w.define("ff", 1, 90, strs=("string.match",))
    w.define("sym", 0x5000, 0x5100, 0x100, 3, 0, strs=("lj_BC_ADDVV", "luajit"))
    w.define("sym", 0x6000, 0x6100, 0x600, 2, 0, strs=("", "module.so"))
    w.define("sym", 0x7000, 0x7100, 0x700, 1, 0, strs=("sqrt", "libm.so.6"))
    base = [lua(2, 4, 9), lua(1, 8, 25)]
    for _ in range(6):
        w.sample([lua(3, 2, 18)] + base)
    w.flush()
    for _ in range(4):
        w.sample([(TRACE_FRAME, 3 << 32 | 2, 6, 0)] + base, state=TRACE, trace=1, flags=8)
    for _ in range(3):
        w.sample([(CFUNC, 0x6010, 0, 1), lua(3, 2, 19)] + base, state=C, ip=0x6020)
    w.sample([(FAST, 0x100, 0, 90)] + base, state=C, flags=KERNEL, ip=0x7010)
    w.flush()
    w.sample([], state=OUTSIDE, why=1, g=0, ip=0x7010)
    w.sample([lua(2, 4, 9)], flags=TRUNCATED)
    w.define("lost", 5, 0, 0, pid=0)
    return w.bytes()
