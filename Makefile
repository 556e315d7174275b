# SPDX-License-Identifier: MIT
# make: build/ljx. make demo, make test, make bench: set up and run. See README.md.

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(shell command -v bpftool || echo /usr/sbin/bpftool)
B := build

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
	-Wwrite-strings -Wcast-qual -Wformat=2 -Wundef -Wvla
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -iquote . $(WARN) $(WERROR) $(CFLAGS) $(EXTRA_CFLAGS) -D_GNU_SOURCE
LDLIBS := -lbpf -lelf -ldw -lz -ljansson -lZydis -llzma -lprotobuf-c -lncursesw -liberty -lm

# The layers: tests/layers checks what each may include.
LIB_SRC := $(sort $(wildcard bytecode/*.c bpf/*.c profiler/*.c jittrace/*.c))
LIB_SRC := $(filter-out bytecode/mk%.c %.bpf.c,$(LIB_SRC))
TUI_SRC := $(sort $(wildcard tui/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o) $(B)/gen/profile.pb-c.o
TUI_OBJ := $(TUI_SRC:%.c=$(B)/%.o)

all: $(B)/ljx

$(B)/ljx: $(TUI_OBJ) $(LIB_OBJ)
	$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

BPF_CFLAGS = -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_x86 -iquote . \
	-idirafter /usr/include/$(shell uname -m)-linux-gnu -Wall -Werror
# BPF: the object, then its skeleton, which is a system header because it fails strict warnings.
$(B)/skel/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

# The same for Linux 5.10 to 5.16: bpf/compat.bpf.h.
$(B)/skel/%_old.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -DOLD_KERNEL -MMD -MP -c -o $@ $<

$(B)/skel/%.skel.h: $(B)/skel/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $(notdir $*)_bpf > $@.tmp && mv $@.tmp $@

CAPTURE_OBJ := $(filter $(B)/bpf/capture%.o,$(LIB_OBJ))
$(CAPTURE_OBJ): $(B)/skel/sampler.skel.h $(B)/skel/sampler_old.skel.h
$(CAPTURE_OBJ): EXTRA_CFLAGS += -isystem $(B)/skel

# Texts that the program has in it, as C strings: build/gen/X.h is made of X.
$(B)/gen/%.h: %
	@mkdir -p $(@D)
	sed -e 's/[\\"]/\\&/g' -e 's/.*/"&\\n"/' $< > $@.tmp && mv $@.tmp $@

$(B)/profiler/fmt_svg.o: $(B)/gen/profiler/svg.js.h
$(B)/profiler/fmt_svg.o: EXTRA_CFLAGS += -isystem $(B)/gen

SCHEMAS := $(sort $(wildcard tui/schema/*.json))
$(B)/tui/schema.o: $(SCHEMAS:%=$(B)/gen/%.h)
$(B)/tui/schema.o: EXTRA_CFLAGS += -isystem $(B)/gen

# pprof's messages; a system header too.
$(B)/gen/profile.pb-c.c $(B)/gen/profile.pb-c.h &: profiler/profile.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(@D) --proto_path=$(<D) $<

$(B)/gen/%.pb-c.o: $(B)/gen/%.pb-c.c
	$(CC) -std=gnu11 $(CFLAGS) -c -o $@ $<

$(B)/profiler/fmt_pprof.o: $(B)/gen/profile.pb-c.h
$(B)/profiler/fmt_pprof.o: EXTRA_CFLAGS += -isystem $(B)/gen

# The checked-in tables, made from the data beside them and from a LuaJIT with DWARF.
TABLES := ff err ir bc points
tables: $(B)/mklayouts $(B)/mktables $(B)/ljx
	$(B)/ljx layout --json -f $(shell tests/twin) > $(B)/twin.json
	$(B)/mklayouts -e luajit2-20230119=$(B)/twin.json bytecode/layouts.json > $(B)/layout_rows.h
	mv $(B)/layout_rows.h bytecode/layout_rows.h
	for k in $(TABLES); do $(B)/mktables $$k bytecode/tables.json > bytecode/$${k}_tables.h || exit 1; done

TABLE_OBJ := $(B)/bytecode/layout.o $(B)/bytecode/bc.o
$(B)/mk%: bytecode/mk%.c bytecode/layout.h $(TABLE_OBJ)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -o $@ $< $(TABLE_OBJ) -ljansson

PREFIX ?= /usr/local
install: $(B)/ljx
	install -D -m 755 $(B)/ljx $(DESTDIR)$(PREFIX)/bin/ljx
	install -D -m 644 ljx.1 $(DESTDIR)$(PREFIX)/share/man/man1/ljx.1

clean:
	rm -rf $(B)

-include $(wildcard $(B)/skel/*.d) $(LIB_OBJ:.o=.d) $(TUI_OBJ:.o=.d)
include tests.mk

.PHONY: all clean install tables
.SECONDARY:
.DELETE_ON_ERROR:
