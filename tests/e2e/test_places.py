# SPDX-License-Identifier: MIT
"""Targets in containers, chroots and control groups; and ljx in a container."""
import json
import os
import re
import shutil
import subprocess
import uuid

import pytest

from frames import Truth, count, total
from harness import (LJX, PROGRAMS, TARGET, Ljx, Process, children, folded, ljx, luajit, read_folded, record,
                     wait_until)

pytestmark = [pytest.mark.privileged, pytest.mark.beside(3.7)]

SPIN = "tests/lua/spin.lua"
UNSHARE = ["unshare", "-m", "-p", "-f", "-i", "-u", "--kill-child"]


def libraries(program):
    out = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


@pytest.fixture
def image(tmp_path):
    """A root file system that has a host of LuaJIT, the library it needs, and nothing else."""
    root = tmp_path / "image"
    for program in (f"{PROGRAMS}/host", shutil.which("luajit"), shutil.which("sh"), LJX,
                    shutil.which("mount")):
        for path in [program] + libraries(program):
            to = root / (f"bin/{os.path.basename(path)}" if path == program else path.lstrip("/"))
            if not to.exists():
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, to)
    shutil.copytree("tests/lua", root / "tests/lua")
    for folder in ("proc", "tmp", "sys", "old"):
        (root / folder).mkdir()
    os.chmod(root / "tmp", 0o1777)
    return root


def inside(image, shell, user=False):
    """Runs in a container: own root, mounts, processes, host name and, maybe, users."""
    script = f"mount --bind {image} {image} && cd {image} && pivot_root . old && mount -t proc none " \
             f"/proc && {shell}"
    return Process(*UNSHARE, *(["-U", "-r"] if user else []), "/bin/sh", "-c", script)


def member(process, comm):
    """The pid, outside, of the process with that name below it."""
    def find():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    text = f.read()
            except OSError:
                continue
            ppid = int(text.rsplit(")", 1)[1].split()[1])
            if f"({comm})" in text and ppid in (process.pid, *below):
                return int(pid)
            if ppid == process.pid:
                below.add(int(pid))
        return 0

    below = set()
    return wait_until(find, comm)


def spins(stacks, chunk=SPIN):
    return count(stacks, f"work {chunk}:*", "spin tests/lua/truth.lua:*") / total(stacks)


@pytest.mark.parametrize("user", [False, True], ids=["root", "rootless"])
def test_container_seen_from_the_host(tmp_path, image, user):
    """The library exists only inside, at a path that names another file outside; the pid that the
    process has inside is another one outside, and is told."""
    # The same name outside is another library: one that was cut.
    with inside(image, f"exec luajit {SPIN}", user) as target:
        target.event("stack")
        pid = member(target, "luajit")
        got = folded(record(tmp_path, "-p", pid, least=400))
        assert spins(got) > 0.97
        assert "spin tests/lua/truth.lua" in ljx("bt", "-p", pid).out
        with Ljx("trace", "-p", pid, "-d", 1) as p:
            p.expect("uprobes|watchpoints", "err")
            assert p.finish() == 0, p.err


def test_shared_library_only_inside(tmp_path, image):
    with inside(image, "exec /bin/host") as target:
        target.expect("ok ready")
        target.say(f"thread in.x {SPIN}")
        target.event("stack")
        pid = member(target, "host")
        assert spins(folded(record(tmp_path, "-p", pid, least=400)), "in.x") > 0.97


def test_ljx_inside_the_container(tmp_path, image):
    """With the target's pid namespace, as a sidecar has it."""
    shell = f"luajit {SPIN} > /tmp/1 & one=$!; until [ -s /tmp/1 ]; do :; done; mount -t sysfs none " \
            "/sys; /bin/ljx record -q -p $one -d 2 -r 499 -o /tmp/x.folded; echo status $?; kill $one"
    with inside(image, shell) as p:
        assert p.expect(r"status (\d+)").group(1) == "0", p.err
    assert spins(read_folded(image / "tmp/x.folded")) > 0.97


@pytest.fixture(scope="module")
def musl(tmp_path_factory):
    """An image as Alpine's: LuaJIT with musl, and nothing of another C library."""
    made = subprocess.run(["tests/musl"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    root = tmp_path_factory.mktemp("musl") / "image"
    shutil.copytree(made, root)
    shutil.copytree("tests/lua", root / "tests/lua")
    (root / "tmp").mkdir()
    return root


def in_musl(image, *args):
    """Its luajit in a container: own root, processes and mounts."""
    env = {"LUA_PATH": "/share/?.lua;;"}
    return Process(*UNSHARE, "chroot", image, "/bin/luajit", *args, env=env)


def test_musl(tmp_path, musl):
    """Stacks of all kinds, by what the target says of them itself."""
    for name in ("pcall", "coroutine_nested", "metamethods", "gsub"):
        with in_musl(musl, "tests/lua/semantics.lua", name, "on") as target:
            truth = Truth(target.event("stack"))
            pid = member(target, "luajit")
            assert "/ld-musl" in open(f"/proc/{pid}/maps").read()
            share, n, errors = truth.share(folded(record(tmp_path, "-p", pid, least=400), "--lines"))
        assert n > 30 and share >= 0.995, (name, errors)


@pytest.mark.parametrize("probe", ["uprobe", "watch"])
def test_musl_trace_events(musl, probe):
    """Those of its own jit.v, byte for byte."""
    with in_musl(musl, f"-jv=/tmp/{probe}", "tests/lua/recorder.lua") as target:
        target.expect("^ready$")
        pid = member(target, "luajit")
        with Ljx("trace", "-p", pid, f"--probe={probe}", "--jv") as p:
            p.expect("uprobes|watchpoints", "err")
            target.say("go")
            target.finish(120)
            assert p.finish() == 0, p.err
            got = p.text["out"]
    assert got == (musl / "tmp" / probe).read_bytes() and got.count(b"\n") > 1000


def test_chroot(tmp_path, image):
    with Process("chroot", image, "/bin/luajit", SPIN) as target:
        target.event("stack")
        assert spins(folded(record(tmp_path, "-p", target.pid, least=400))) > 0.97


@pytest.fixture
def cgroup():
    """A control group of version 2, or of any controller of version 1, by a container's name."""
    name = "docker-" + (uuid.uuid4().hex + uuid.uuid4().hex) + ".scope"
    for top in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids"):
        if os.path.exists(f"{top}/cgroup.procs"):
            break
    else:
        pytest.skip("no control groups are mounted")
    path = f"{top}/ljx-test-{uuid.uuid4().hex}/{name}"
    try:
        os.makedirs(path)
    except OSError as e:
        pytest.skip(f"no control group can be made: {e}")
    yield path
    for folder in (path, os.path.dirname(path)):
        wait_until(lambda f=folder: not os.path.exists(f) or not rmdir(f), "the group to be empty")


def rmdir(path):
    try:
        os.rmdir(path)
    except OSError as e:
        return e
    return None


def test_control_group(tmp_path, cgroup):
    ident = re.search("docker-(.*)[.]scope", cgroup).group(1)
    with luajit(SPIN) as target, luajit(SPIN) as other:
        target.event("stack"), other.event("stack")
        with open(f"{cgroup}/cgroup.procs", "w") as f:
            f.write(str(target.pid))
        line = [x for x in open(f"/proc/{target.pid}/cgroup").read().splitlines() if ident in x][0]
        for args in (["--container", ident], ["--container", ident[:12]], ["--cgroup", cgroup],
                     ["--cgroup", os.path.dirname(cgroup)], ["--cgroup", line.split(":", 2)[2]],
                     ["--container", ident, "-p", target.pid]):
            path = record(tmp_path, *args, seconds=0.5)
            got = folded(path, "--per-process")
            assert {s[0] for s, _ in got} == {f"luajit:{target.pid}"}, args
    for args, text in ((["--container", "feedfeedfeed"], "no process in container 'feedfeedfeed'"),
                       (["--container", "web"], "by its id, which docker ps"),
                       (["--cgroup", "/ljx/no/such"], "no process in control group")):
        assert text in ljx("record", *args, "-d", 1, status=TARGET).err


def test_beginning_of_an_id(tmp_path, cgroup):
    """It must be that of one container; a runtime's name is that of none."""
    ident = re.search("docker-(.*)[.]scope", cgroup).group(1)
    twin = ident[:20] + uuid.uuid4().hex + ident[52:]
    other = cgroup.replace(ident, twin)
    with luajit(SPIN) as one, luajit(SPIN) as two:
        one.event("stack"), two.event("stack")
        os.makedirs(other)
        for target, folder in ((one, cgroup), (two, other)):
            with open(f"{folder}/cgroup.procs", "w") as f:
                f.write(str(target.pid))
        err = ljx("bt", "--container", ident[:20], status=TARGET).err
        assert f"several containers begin with '{ident[:20]}'" in err
        assert f"--container {ident}\n" in err and f"--container {twin}\n" in err
        for name in (ident, ident[:32]):
            stacks = json.loads(ljx("bt", "--json", "--container", name).out)["stacks"]
            assert {s["pid"] for s in stacks} == {one.pid}
        for name in ("docker", "doc", "docker-"):
            assert f"no process in container '{name}'" in ljx("bt", "--container", name, status=TARGET).err
    wait_until(lambda: not rmdir(other), "the group to be empty")


def test_pid_of_the_inside(tmp_path, image, cgroup):
    """The pid that the container gives: as it is asked for, and as a hint."""
    ident = re.search("docker-(.*)[.]scope", cgroup).group(1)
    # Its pid inside is 3 or so: outside that is none of its.
    with inside(image, f"luajit {SPIN} & wait") as target:
        target.event("stack")
        pid = member(target, "luajit")
        with open(f"{cgroup}/cgroup.procs", "w") as f:
            f.write(str(pid))
        nspid = int(open(f"/proc/{pid}/status").read().split("NSpid:")[1].split("\n")[0].split()[-1])
        assert nspid != pid
        got = folded(record(tmp_path, "--container", ident, "-p", nspid), "--per-process")
        assert {s[0] for s, _ in got} == {f"luajit:{pid}"}
        p = ljx("record", "--container", ident, "-p", nspid + 77, "-d", 1, status=TARGET)
        assert "has that pid" in p.err
        if not os.path.exists(f"/proc/{nspid}"):
            assert f"-p {pid}" in ljx("record", "-p", nspid, "-d", 1, status=TARGET).err


def test_life_in_a_container(tmp_path, image, cgroup):
    """A container's processes fork, become other programs and end, while all of it is profiled: those
    of before ljx came, and those that come later, with their trace events."""
    ident = re.search("docker-(.*)[.]scope", cgroup).group(1)
    (image / "storm.lua").write_text(
        "while os.clock() < 1.5 do for i = 1, 200 do local f = function() return i end end jit.flush() end")
    shell = f"{{ luajit {SPIN} & (read go < /tmp/go; exec luajit /storm.lua) & wait; }}"
    os.mkfifo(image / "tmp/go")
    (image / "dev").mkdir()
    (image / "dev/null").touch()  # what a shell gives to what runs beside it
    out = str(tmp_path / "x.ljx")
    with inside(image, shell) as target:
        target.event("stack")
        for pid in everyone(target.pid):
            with open(f"{cgroup}/cgroup.procs", "w") as f:
                f.write(str(pid))
        spin = member(target, "luajit")
        with Ljx("record", "--container", ident, "-r", 499, "-d", 60, "-o", out) as p:
            p.wait_sampling()
            with open(image / "tmp/go", "w") as f:
                f.write("go\n")
            storm = wait_until(lambda: [q for q in everyone(target.pid) if q != spin and comm(q) == "luajit"],
                               "the other program")[0]
            wait_until(lambda: comm(storm) != "luajit", "its end", 90)
            p.interrupt()
    stacks = folded(out, "--per-process")
    roots = {s[0] for s, _ in stacks if "storm.lua" in " ".join(s) or f"work {SPIN}" in " ".join(s)}
    assert roots == {f"luajit:{spin}", f"luajit:{storm}"}, (p.err, sorted({s[0] for s, _ in stacks}))
    events = [json.loads(line) for line in ljx("trace", "--json", out).out.splitlines()]
    assert sum(e["pid"] == storm for e in events) > 100


def comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


def everyone(pid):
    """A process and all below it."""
    return [pid] + [q for child in children(pid) for q in everyone(child)]
