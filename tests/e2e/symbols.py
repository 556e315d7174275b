# SPDX-License-Identifier: MIT
"""Programs without symbols, their symbols in other places, and a server of debug files."""
import http.server
import lzma
import os
import re
import shutil
import socketserver
import subprocess
import threading


def run(*cmd):
    return subprocess.run([str(c) for c in cmd], check=True, stdout=subprocess.PIPE, text=True).stdout


def build_id(path):
    return re.search(r"Build ID: ([0-9a-f]+)", run("readelf", "-n", path)).group(1)


def stripped(source, path):
    """A copy without .symtab and debug information."""
    shutil.copy(source, path)
    run("strip", path)
    return path


def debug_file(source, path):
    run("objcopy", "--only-keep-debug", source, path)
    return path


def names(*args):
    return {line.split()[0] for line in run("nm", "--format=posix", "--defined-only", *args).splitlines()
            if line.split()[1] in "Tt"}


def with_mini(source, path):
    """Stripped, with MiniDebugInfo, made as Fedora's find-debuginfo makes it."""
    keep, mini = f"{path}.keep", f"{path}.mini"
    with open(keep, "w", encoding="utf-8") as f:
        f.write("\n".join(names(source) - names("-D", source)))
    run("objcopy", "-S", "--remove-section=.comment", f"--keep-symbols={keep}",
        debug_file(source, f"{path}.debug"), mini)
    with open(mini, "rb") as f:
        packed = lzma.compress(f.read())
    with open(f"{mini}.xz", "wb") as f:
        f.write(packed)
    stripped(source, path)
    run("objcopy", f"--add-section=.gnu_debugdata={mini}.xz", path)
    return path


def place_debug(source, root):
    """Puts source's debug file below root, as /usr/lib would be."""
    name = build_id(source)
    folder = os.path.join(root, "debug/.build-id", name[:2])
    os.makedirs(folder)
    return debug_file(source, os.path.join(folder, name[2:] + ".debug"))


class Server:
    """A debuginfod. files: build-id -> path; asked: the build-ids it was asked for. silent: it takes
    connections and says nothing."""

    def __init__(self, files=None, silent=False):
        self.files, self.asked = files or {}, []
        self.end = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                match = re.fullmatch(r"/buildid/([0-9a-f]+)/debuginfo", self.path)
                outer.asked.append(match.group(1) if match else self.path)
                if silent:
                    outer.end.wait(60)
                    return
                path = outer.files.get(outer.asked[-1])
                if not path:
                    self.send_error(404)
                    return
                with open(path, "rb") as f:
                    data = f.read()
                self.send_response(200)
                self.send_header("Content-Type", "application/octet-stream")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

        self.server = Threads(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def environment(self, cache):
        return {"DEBUGINFOD_URLS": f"http://127.0.0.1:{self.server.server_address[1]}",
                "DEBUGINFOD_CACHE_PATH": str(cache)}
