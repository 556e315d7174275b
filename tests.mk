# SPDX-License-Identifier: MIT
# Set-up, demo and tests. Included by the Makefile, whose variables it uses.

# Debian 12 packages, by what needs them. tests/deps installs those that are missing.
BUILD_PKGS := gcc libc6-dev clang bpftool libbpf-dev libelf-dev libdw-dev zlib1g-dev liblzma-dev \
	libdebuginfod-dev libncurses-dev libjansson-dev libprotobuf-c-dev protobuf-c-compiler \
	uthash-dev libzydis-dev libiberty-dev pkg-config
DEMO_PKGS := luajit2
# Programs that embed LuaJIT: tests/e2e/test_programs.py.
PROGRAM_PKGS := neovim dnsdist knot-resolver love python3-lupa uwsgi-core uwsgi-plugin-luajit sysbench \
	tarantool texlive-binaries
TEST_PKGS := luajit2 libcap2-bin libluajit2-5.1-dev nginx libnginx-mod-http-lua wrk tmux libcmocka-dev \
	libclang-rt-dev musl-tools python3 python3-pytest librsvg2-bin libxml2-utils chromium dpkg-dev golang-go \
	valgrind linux-perf python3-jsonschema gdb $(PROGRAM_PKGS)
BENCH_PKGS := bpftrace

# Debian's own interpreter: the one that python3-pytest belongs to.
PYTHON := $(firstword $(wildcard /usr/bin/python3) python3)

deps:
	@tests/deps $(BUILD_PKGS)

deps-demo:
	@tests/deps $(BUILD_PKGS) $(DEMO_PKGS)

# npm gets the viewers of tests/viewers. Whoever has one of another origin keeps it.
deps-test:
	@tests/deps $(BUILD_PKGS) $(TEST_PKGS)
	@command -v npm > /dev/null || tests/deps nodejs npm

# A second make, because bpftool and the compilers may have come only now.
demo: deps-demo
	@+$(MAKE) --no-print-directory all
	@sh examples/demo.sh

test: deps-test
	@$(PYTHON) tests/run

# Parts of it, for those who have the packages: make unit, make e2e K=seed
STAGES := check-layers unit asan fuzz counts e2e
$(STAGES):
	@$(PYTHON) tests/run $(if $(K),-k '$(K)') $@

# All packages with LuaJIT, and LuaJIT built from Debian's source packages in all its modes: an hour at
# first, then half of one. Prints the table that the README has.
test-matrix: deps-test
	@+$(MAKE) --no-print-directory all programs
	@LJX_BUILDS="$(or $(BUILDS),all)" $(PYTHON) -m pytest -p no:cacheprovider -q --tb=short \
		tests/e2e/test_matrix.py

# Minutes, and more than an hour. Which part of it: make bench SECTION=gaps; see tests/bench.
bench bench-full: deps-test
	@tests/deps $(BENCH_PKGS) || echo "without bpftrace"
	@+$(MAKE) --no-print-directory all programs perf-programs
	@$(PYTHON) -B tests/bench $(if $(filter %-full,$@),--full) $(SECTION)

# A quarter of an hour: does anything grow, get lost, or stay behind?
soak-live: deps-test
	@+$(MAKE) --no-print-directory all programs
	@$(PYTHON) -B tests/perf/soak_live

# ljx under other kernels, in QEMU: minutes, and 250 MB to download at the first time.
KERNEL_PKGS := luajit2 qemu-system-x86 cpio busybox-static
test-kernels:
	@tests/deps $(BUILD_PKGS) $(KERNEL_PKGS)
	@+$(MAKE) --no-print-directory all
	@$(PYTHON) tests/kernels $(SUITES)

# Attaches, kills and fuzzes for a day; ^C stops it, and the next run goes on. SOAK: options of tests/soak.
soak: deps-test
	@+$(MAKE) --no-print-directory all programs
	@$(PYTHON) tests/run --build fuzz
	@$(PYTHON) tests/soak $(SOAK)

# What the tests run: made by tests/run, so that a broken build is a failed test.
UNIT_PROGS := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))
FUZZ_PROGS := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(wildcard tests/fuzz/*.c)))
HOST_PROGS := $(B)/tests/c/host $(B)/tests/c/host-static $(B)/tests/c/host-bare $(B)/tests/c/vms \
	$(B)/tests/c/gap $(B)/tests/c/states $(B)/tests/c/registers $(B)/tests/c/crowd \
	$(B)/tests/c/stall $(B)/tests/c/liar $(B)/tests/c/faults.so $(B)/tests/c/nest.so

unit-programs: $(UNIT_PROGS)
fuzz-programs: $(FUZZ_PROGS)
programs: $(HOST_PROGS)
PERF_PROGS := $(patsubst tests/%.c,$(B)/tests/%,$(sort $(filter-out %.bpf.c,$(wildcard tests/perf/*.c))))
perf-programs: $(PERF_PROGS) $(B)/tests/perf/flood.bpf.o

$(B)/libljx.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# The front end without its main().
$(B)/libtui.a: $(filter-out $(B)/tui/main.o,$(TUI_OBJ))
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/tests/unit/%: tests/unit/%.c $(B)/libljx.a $(B)/libtui.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -MMD -MP -MF $@.d -MT $@ -o $@ $< $(B)/libtui.a $(B)/libljx.a \
		$(LDLIBS) -lcmocka

$(B)/tests/perf/%: tests/perf/%.c $(B)/libljx.a $(B)/libtui.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $< $(B)/libtui.a $(B)/libljx.a $(LDLIBS)

$(B)/tests/perf/flood: EXTRA_CFLAGS += -isystem $(B)/skel
$(B)/tests/perf/%.bpf.o: tests/perf/%.bpf.c tests/perf/flood.h bpf/event.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

$(B)/tests/fuzz/%: tests/fuzz/%.c $(B)/libljx.a $(B)/libtui.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -fsanitize=fuzzer -MMD -MP -MF $@.d -MT $@ -o $@ $< $(B)/libtui.a \
		$(B)/libljx.a $(LDLIBS)

# Programs that embed LuaJIT. LuaJIT's code must be able to find the functions of a static one.
LUAJIT_CFLAGS = $(shell pkg-config --cflags luajit)
$(B)/tests/c/%-static: tests/c/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUAJIT_CFLAGS) -rdynamic -o $@ $< -l:libluajit-5.1.a -lm -ldl -pthread

# One in which nothing has a name.
$(B)/tests/c/%-bare: tests/c/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUAJIT_CFLAGS) -s -o $@ $< -l:libluajit-5.1.a -lm -ldl -pthread

# To be loaded: by Lua, with stacks that have no frame pointers, or before a program.
$(B)/tests/c/%.so: tests/c/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUAJIT_CFLAGS) -fomit-frame-pointer -shared -fPIC -o $@ $<

$(B)/tests/c/%: tests/c/%.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(LUAJIT_CFLAGS) -o $@ $< -lluajit-5.1 -lm -pthread

-include $(UNIT_PROGS:=.d) $(FUZZ_PROGS:=.d)

.PHONY: deps deps-demo deps-test demo test test-kernels test-matrix bench bench-full soak soak-live \
	$(STAGES) unit-programs fuzz-programs programs perf-programs
