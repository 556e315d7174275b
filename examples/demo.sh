#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make demo` runs: profiles examples/demo.lua for 10 s, in the tree's root.
set -eu

ljx=${LJX:-build/ljx}
out=build/demo
ready=$out.ready
mkdir -p build
rm -f "$out.svg" "$out.ljx" "$ready"

luajit examples/demo.lua > "$ready" &
pid=$!
trap 'kill $pid 2> /dev/null || true; rm -f "$ready"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Wait for its first line.
until [ -s "$ready" ]; do
	kill -0 $pid 2> /dev/null || { echo "demo: luajit did not start" >&2; exit 1; }
	sleep 0.05
done

echo "Profiling 'luajit examples/demo.lua' (pid $pid) for 10 seconds:"
"$ljx" record -p $pid -d 10 -o "$out.svg" -o "$out.ljx"
echo
"$ljx" report "$out.ljx"
echo
echo "The flame graph is $PWD/$out.svg"
echo "Open it in a web browser (xdg-open $out.svg), or copy it to a machine that has one. Click a"
echo "frame to zoom, press / to search. The recording, for 'ljx report', is $out.ljx"
