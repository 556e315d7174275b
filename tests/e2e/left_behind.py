# SPDX-License-Identifier: MIT
"""What an ljx that ended may have left: in the kernel, in the target's code, in its registers."""
import contextlib
import ctypes
import glob
import os
import re

from harness import PROGRAMS, Died, Process

SYS_BPF = 321
NEXT_ID = {"prog_id": 11, "map_id": 12, "link_id": 31}  # BPF_PROG_GET_NEXT_ID and its like

libc = ctypes.CDLL(None, use_errno=True)


def objects(pid):
    """(kind, id) of the BPF objects that a process holds."""
    found = set()
    for path in glob.glob(f"/proc/{pid}/fdinfo/*"):
        with contextlib.suppress(OSError), open(path) as f:
            found |= {(k, int(v)) for k, v in re.findall(r"^(\w+):\s*(\d+)$", f.read(), re.M)
                      if k in NEXT_ID}
    return found


def exists(kind, ident):
    attr = (ctypes.c_uint32 * 32)(ident - 1)
    err = libc.syscall(SYS_BPF, NEXT_ID[kind], ctypes.byref(attr), ctypes.sizeof(attr))
    return err == 0 and attr[1] == ident


def living(found):
    """Those that the kernel still has."""
    return {o for o in found if exists(*o)}


def breakpoints(pid):
    """Where the machine code of a process is not that of its files; "": nowhere."""
    with open(f"/proc/{pid}/maps") as f:
        maps = re.findall(r"^(\w+)-(\w+) (\S+) (\w+) \S+ \d+ +(/.*)$", f.read(), re.M)
    for start, end, prot, offset, path in maps:
        if "x" not in prot or not os.path.exists(path):
            continue
        start, end, offset = (int(x, 16) for x in (start, end, offset))
        with open(f"/proc/{pid}/mem", "rb") as mem, open(path, "rb") as f:
            mem.seek(start), f.seek(offset)
            text, wanted = mem.read(end - start), f.read(end - start)
        if text[:len(wanted)] != wanted:
            at = next(i for i, (a, b) in enumerate(zip(text, wanted)) if a != b)
            return f"{path}+{offset + at:#x} is {text[at]:#x}, not {wanted[at]:#x}"
    return ""


def registers_free(pid):
    """Can a debugger have all four?"""
    with Process(f"{PROGRAMS}/registers", pid) as p:
        with contextlib.suppress(Died):
            return bool(p.expect("^ready$"))
    return False
