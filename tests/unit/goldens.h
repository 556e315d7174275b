/* SPDX-License-Identifier: MIT */
/* The screens in tests/golden: of which recording, how large, and after which keys. */
#ifndef TESTS_UNIT_GOLDENS_H
#define TESTS_UNIT_GOLDENS_H

#include "profiler/prof.h"

#define MIXED "tests/golden/mixed.ljx"
#define HOSTILE "tests/golden/hostile.ljx"
#define WORKERS "tests/golden/workers.ljx"

static const struct {
	const char *name, *file;
	int w, h, ascii, roles;
	const char *keys;
} goldens[] = {
    {"functions-100x30", MIXED, 100, 30, 0, 0, ""},
    {"functions-100x30-ascii", MIXED, 100, 30, 1, 0, "Down Down"},
    {"functions-100x30-roles", MIXED, 100, 30, 1, 1, "Down"},
    {"functions-80x24", MIXED, 80, 24, 0, 0, "Down Down Down"},
    {"functions-60x16", MIXED, 60, 16, 1, 0, "Down"},
    {"functions-40x10", MIXED, 40, 10, 1, 0, "Down"},
    {"functions-38x9", MIXED, 38, 9, 1, 0, ""},
    {"functions-200x50", MIXED, 200, 50, 0, 0, "Down"},
    {"functions-recent", MIXED, 100, 30, 1, 0, "o Down"},
    {"functions-callees", MIXED, 100, 30, 1, 0, "F5 Down Down"},
    {"functions-callees-all", MIXED, 100, 40, 1, 0, "F5 *"},
    {"functions-callers", MIXED, 100, 30, 1, 0, "F5 F5 Down +"},
    {"functions-lines", MIXED, 100, 30, 1, 0, "L Down"},
    {"functions-interpreted", MIXED, 100, 30, 1, 0, "s s Down"},
    {"functions-filter", MIXED, 100, 30, 1, 0, "\\=mixed Enter Down"},
    {"functions-filtering", MIXED, 100, 30, 1, 0, "\\=(de|ma)"},
    {"functions-found", MIXED, 100, 30, 1, 0, "/=gsub Enter"},
    {"functions-by-name", MIXED, 100, 30, 1, 0, "< I Down"},
    {"functions-threshold", MIXED, 100, 30, 1, 0, "% % % %"},
    {"functions-paused", MIXED, 100, 30, 1, 0, "Z"},
    {"functions-help", MIXED, 100, 30, 0, 0, "?"},
    {"functions-help-end", MIXED, 80, 24, 1, 0, "F1 End"},
    {"functions-explain", MIXED, 100, 30, 1, 0, "/=decode Enter x"},
    {"functions-workers", WORKERS, 100, 30, 1, 0, ""},
    {"functions-one-worker", WORKERS, 100, 30, 1, 0, "Right Right Down"},
    {"split-process", WORKERS, 100, 30, 1, 0, "Down Down"},
    {"split-state", MIXED, 100, 30, 0, 0, "Down"},
    {"split-by-line", MIXED, 100, 30, 1, 0, "L Down"},
    {"split-filter", WORKERS, 100, 30, 1, 0, "\\=main.*VM:1) Enter Down"},
    {"split-coroutine-200x50", MIXED, 200, 50, 1, 0, "Down"},
    {"split-80x24", MIXED, 80, 24, 1, 0, "Down"},
    {"split-40x10", MIXED, 40, 10, 1, 0, "Down"},
    {"split-tree", MIXED, 100, 30, 1, 0, "F5 Down"},
    {"split-hostile", HOSTILE, 100, 30, 0, 0, "Down"},
    {"functions-hostile", HOSTILE, 100, 30, 0, 0, "Down"},
    {"functions-hostile-ascii", HOSTILE, 100, 30, 1, 0, "Down Down Down Down"},
    {"advice-goes-there", MIXED, 100, 40, 1, 0, "Enter"},
    {"nyi-function", MIXED, 100, 30, 1, 0, "/=decode Enter y"},
    {"nyi-file", MIXED, 100, 30, 1, 0, "/=decode Enter y g"},
    {"nyi-all", MIXED, 100, 30, 0, 0, "2 g g Down"},
    {"nyi-all-80x24", MIXED, 80, 24, 1, 0, "2 g g Down"},
    {"nyi-stacks", MIXED, 100, 30, 1, 0, "2 g g Down Enter"},
    {"nyi-40x12", MIXED, 40, 12, 1, 0, "2 g g"},
    {"traces", MIXED, 100, 30, 0, 0, "3"},
    {"traces-flat", MIXED, 100, 30, 1, 0, "3 F5 > >"},
    {"traces-family", MIXED, 100, 30, 1, 0, "3 Down r"},
    {"traces-80x24", MIXED, 80, 24, 1, 0, "3"},
    {"traces-of-function", MIXED, 100, 30, 1, 0, "/=mandel Enter 3"},
    {"function-of-trace", MIXED, 100, 30, 1, 0, "3 1"},
    {"trace-of-row", MIXED, 100, 30, 1, 0, "/=trace# Enter Enter"},
    {"traces-side", MIXED, 100, 30, 1, 0, "3 /=(4/ Enter"},
    {"traces-wide", MIXED, 140, 30, 1, 0, "3"},
    {"traces-live", MIXED, 100, 30, 1, 0, "3"},
    {"traces-no-map", MIXED, 100, 30, 1, 0, "3 P"},
    {"machine-live", MIXED, 100, 30, 1, 0, "3 m"},
    {"machine-live-hottest", MIXED, 60, 16, 1, 1, "3 m H"},
    {"machine-replay", MIXED, 100, 30, 1, 0, "3 m"},
    {"machine-of-line-live", MIXED, 80, 24, 1, 0, "/=mandel Enter 4 H m"},
    {"trace-of-line", MIXED, 100, 30, 1, 0, "/=mandel Enter 4 H Enter"},
    {"callers-of-function", MIXED, 100, 30, 1, 0, "/=put Enter 4 4"},
    {"annotate-recent", MIXED, 100, 30, 1, 0, "/=mandel Enter 4 o"},
    {"annotate", MIXED, 100, 40, 0, 0, "/=decode Enter 4"},
    {"annotate-abort", MIXED, 100, 30, 1, 0, "/=decode Enter 4 Home !"},
    {"annotate-hottest", MIXED, 100, 30, 1, 0, "/=price Enter 4 b H"},
    {"annotate-bytecode", MIXED, 100, 30, 1, 0, "/=escape Enter 4 b b b"},
    {"annotate-80x24", MIXED, 80, 24, 1, 0, "/=decode Enter 4 H"},
    {"annotate-50x14", MIXED, 50, 14, 1, 0, "/=decode Enter 4 H"},
    {"annotate-explain", MIXED, 100, 40, 1, 0, "/=decode Enter 4 Home ! x"},
    {"annotate-of-trace", MIXED, 100, 30, 1, 0, "3 Enter"},
    {"annotate-hostile", HOSTILE, 100, 30, 0, 0, "Down 4"},
    {"log", MIXED, 100, 30, 1, 0, "5"},
    {"log-filter", MIXED, 100, 24, 1, 0, "5 \\=flush Enter"},
    {"log-to-abort", MIXED, 100, 30, 1, 0, "5 End /=FNEW Enter Enter"},
    {"quality", MIXED, 100, 40, 1, 0, "6"},
    {"export", MIXED, 100, 30, 1, 0, "e Down"},
    {"back", MIXED, 100, 30, 1, 0, "Down 2 3 5 Esc Esc Esc"},
};

/* Those of them whose rows are split. */
static const struct {
	const char *name;
	unsigned int by;
} splits[] = {
    {"split-process", 1u << PROF_BY_PROCESS},
    {"split-state", 1u << PROF_BY_STATE},
    {"split-by-line", 1u << PROF_BY_STATE},
    {"split-filter", 1u << PROF_BY_VM},
    {"split-coroutine-200x50", 1u << PROF_BY_COROUTINE},
    {"split-80x24", 1u << PROF_BY_STATE | 1u << PROF_BY_TRACE},
    {"split-40x10", 1u << PROF_BY_THREAD},
    {"split-tree", 1u << PROF_BY_STATE},
    {"split-hostile", 1u << PROF_BY_PROCESS},
};

#endif
