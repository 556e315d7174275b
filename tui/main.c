// SPDX-License-Identifier: MIT
#include "tui/options.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct verb {
	const char *name;
	verb_fn *run;
	const char *accepts; /* names of options */
	const char *usage, *summary, *options, *examples;
} verbs[];

static void usage(FILE *f)
{
	const struct verb *v;

	fprintf(f, "Usage: ljx VERB [TARGET] [OPTIONS]\n"
		   "See what LuaJIT really does, in a live process.\n\n");
	for (v = verbs; v->name; v++)
		fprintf(f, "  %-8s %s\n", v->name, v->summary);
	fprintf(
	    f, "\nTARGET: -p PID[,PID]  -g PID (and all its children)  -n GLOB  -- CMD ARGS\n"
	       "ljx VERB --help tells more.  ljx --json-schema [NAME] prints a schema.  man ljx\n");
}

#define TARGET_OPTIONS "pid group name container cgroup layout " OPTIONS_COMMAND " "
#define SAMPLE_OPTIONS "rate duration per-thread no-drop-root "
#define JIT_OPTIONS "duration probe limit quiet no-drop-root "
#define SHAPE_OPTIONS "lines annotate-frames per-process icicle reverse split "
#define COST_OPTIONS "aborts color-by embed-source "
#define BUILD_OPTIONS "pid file vmdef gen json "
#define FILE_OPTIONS "debug-dir "

#define TARGET_HELP                                                                  \
	"Target:\n"                                                                  \
	"  -p PID[,PID...]  these processes\n"                                       \
	"  -g PID           this process and all its children, present and future\n" \
	"  -n GLOB          processes by name or command line\n"                     \
	"  --container ID   those of a container; with -p: the pid that it has inside\n" \
	"  --cgroup PATH    those of a control group, and of those below\n"           \
	"  -- CMD ARGS      run CMD; it is held until ljx has attached\n"            \
	"  (nothing)        the one LuaJIT process group that runs\n"                \
	"  --layout FILE    its structures are as FILE says, see ljx layout --help\n"
#define SAMPLE_HELP                                                                             \
	"  -r HZ            samples a second (99)\n"                                            \
	"  -d TIME          stop after this long: 30, 30s, 5m, 1h (until ^C)\n"                 \
	"  --per-thread     an event per thread instead of one per CPU: exact counts, but it\n" \
	"                   costs microseconds at each context switch\n"                       \
	"  --no-drop-root   keep all privileges after the attach\n"
#define NATIVE_HELP                                                                           \
	"  --native         C functions, too: between Lua functions and below them, to main\n" \
	"  --inline         and what the compiler inlined in them, by debug information\n"    \
	"  --kernel         functions of the kernel, too\n"
#define JIT_HELP                                                                 \
	"  -d TIME          stop after this long: 30, 30s, 5m, 1h (until ^C)\n"  \
	"  --probe KIND     auto, uprobe or watch (auto)\n"                      \
	"  --limit N        recordings told a second and place (1000; 0: all)\n" \
	"  -q               no messages\n"
#define SHAPE_HELP                                                                                \
	"  --lines          a frame for the current line above each Lua function\n"               \
	"  --annotate-frames  _[j], _[i], _[k] behind compiled, inlined and kernel frames\n"      \
	"  --per-process    keep processes apart: a root frame comm:pid\n"                        \
	"  --icicle         pictures: the root at the top\n"                                      \
	"  --reverse        pictures: leaves first\n"                                             \
	"  --split LIST     keep apart by process,thread,vm,coroutine,state,trace\n"
#define COST_HELP                                                                                 \
	"  --aborts[=cost]  the stacks of failed recordings of traces in the place of samples,\n" \
	"                   by their number or by the CPU that they cost\n"                       \
	"  --color-by WHAT  pictures: by state, file or cost (of aborts)\n"                      \
	"  --embed-source   svg, html, firefox, json: the source of the functions, and what each\n" \
	"                   line of it counts; not what changed since it was loaded\n"

#define FILE_HELP \
	"  --debug-dir DIR  recordings: debug files by build-id, beside /usr/lib/debug\n"

#define BUILD_HELP                                                                    \
	"Build:\n"                                                                    \
	"  -p PID           that of a process\n"                                      \
	"  -f FILE          that of an ELF file with LuaJIT in it\n"                  \
	"  --vmdef FILE     what this jit/vmdef.lua says, also against -p and -f\n"   \
	"  --gen NAME       by name: G20, G21, G21b, 2.1.0-beta3, v2.1-20230119+52\n" \
	"  (nothing)        all that are known\n"                                     \
	"  --json           the same as JSON\n"

static const struct verb verbs[] = {
    {"top", verb_top, TARGET_OPTIONS FILE_OPTIONS SAMPLE_OPTIONS SHAPE_OPTIONS
     "batch frames count output format no-mouse ascii color probe limit refresh sort filter rows "
     "native kernel inline quiet json",
     "ljx top [TARGET] [-b] [-o FILE]... [--refresh TIME] [-s COLUMN] [--filter RE]\n"
     "       ljx top FILE.ljx",
     "the hot Lua functions, and what keeps them from being compiled, live",
     TARGET_HELP "Options:\n"
		 "  -b               plain text, a table per refresh; also without a terminal\n"
		 "  -N N             stop after N tables\n"
		 "  -o FILE          .ljx: recorded; other formats: written at the end; repeatable\n"
		 "  --no-mouse       leave the mouse to the terminal\n"
		 "  --ascii          nothing but ASCII\n"
		 "  --color WHEN     auto, always or never (auto: unless NO_COLOR is set)\n"
		 "  --probe KIND     auto, uprobe or watch (auto)\n"
		 "  --refresh TIME   time between refreshes (1s)\n"
		 "  -s COLUMN        sort by self, total or name\n"
		 "  --filter RE      only functions that match\n"
		 "  --rows N         -b: rows per table (20)\n" FILE_HELP NATIVE_HELP SAMPLE_HELP SHAPE_HELP
		 "In the view F1 or ? shows the keys.\n",
     "  ljx top -p 4242\n  ljx top run.ljx\n  ljx top -b -N 1 -d 10 -g $(cat /run/nginx.pid)\n"},
    {"record", verb_record, TARGET_OPTIONS SAMPLE_OPTIONS SHAPE_OPTIONS COST_OPTIONS
     "output format probe limit native kernel inline quiet json",
     "ljx record [TARGET] [-d TIME] [-o FILE]...",
     "sample, and write a recording, folded stacks or a flame graph",
     TARGET_HELP
     "Options:\n"
     "  -o FILE          .ljx recording or another format, by its name; repeatable\n"
     "  -f FORMAT        format of files whose name does not tell\n"
     "  --probe KIND     of the trace recorder, for .ljx: auto, uprobe, watch, off (auto)\n"
     "  --limit N        recordings of traces told a second and place (1000; 0: all)\n"
     "  -q               no progress\n" NATIVE_HELP SAMPLE_HELP SHAPE_HELP COST_HELP,
     "  ljx record -g $(cat /run/nginx.pid) -d 30 -o nginx.svg -o nginx.ljx\n"
     "  ljx record -r 499 -o run.svg -- luajit script.lua\n"},
    {"report", verb_report, FILE_OPTIONS SHAPE_OPTIONS COST_OPTIONS
     "inline output format json pid time state rows quiet",
     "ljx report FILE.ljx [-o FILE]... [--json]",
     "read a recording: print it, or convert it",
     "Options:\n"
     "  -o FILE          convert; repeatable; without it the hot functions are printed\n"
     "  -f FORMAT        format of files whose name does not tell\n"
     "  --json           the report as JSON\n"
     "  --pid PID        only this process\n"
     "  --time FROM-TO   only this part of the recording: 10s-20s, 5m-, -500ms\n"
     "  --state LETTERS  only in these states: N compiled, I interpreted, C, G, J, O other\n"
     "  --rows N         rows printed (20)\n"
     "  --inline         what the compiler inlined in C functions, by those debug files\n" FILE_HELP
	 SHAPE_HELP COST_HELP,
     "  ljx report run.ljx\n  ljx report run.ljx -o run.svg --lines\n"},
    {"diff", verb_diff, FILE_OPTIONS SHAPE_OPTIONS "output format json pid state rows quiet",
     "ljx diff BEFORE AFTER [-o FILE]... [--json]",
     "compare two recordings or files of folded stacks",
     "Prints the functions, those that grew first, what shrank or vanished last.\n\nOptions:\n"
     "  -o FILE          .folded (two counts a line), .svg or .html: red grew, blue shrank\n"
     "  -f FORMAT        format of files whose name does not tell\n"
     "  --json           all functions as JSON\n"
     "  --pid PID        only this process\n"
     "  --state LETTERS  only in these states: N compiled, I interpreted, C, G, J, O other\n"
     "  --rows N         rows printed (20)\n" FILE_HELP SHAPE_HELP,
     "  ljx diff before.ljx after.ljx\n  ljx diff before.folded after.ljx -o diff.html\n"},
    {"trace", verb_trace, TARGET_OPTIONS FILE_OPTIONS JIT_OPTIONS "jv only frames count output json",
     "ljx trace [TARGET] [--jv[=name|number]] [--only TYPES] [-N COUNT] [-d TIME]\n"
     "       ljx trace FILE.ljx [...]",
     "log what the JIT compiler starts, compiles, gives up and throws away",
     TARGET_HELP "Options:\n"
		 "  --jv             print what luajit -jv prints; =name, =number: bytecodes so\n"
		 "  --only TYPES     of start,stop,abort,flush (stop,abort,flush)\n"
		 "  -N N             stop after N lines\n"
		 "  -o FILE.ljx      record, too\n"
		 "  --json           an object per line\n" FILE_HELP JIT_HELP,
     "  ljx trace -p 4242\n  ljx trace --jv -- luajit script.lua\n"
     "  ljx trace run.ljx --only abort\n"},
    {"nyi", verb_nyi, TARGET_OPTIONS FILE_OPTIONS JIT_OPTIONS
     "sort stacks min-cost check watch refresh rate per-thread rows output json",
     "ljx nyi [LOCATION] [TARGET] [-d TIME]\n       ljx nyi [LOCATION] FILE.ljx",
     "where recordings abort and traces end, and why",
     TARGET_HELP "LOCATION: FILE, FILE:LINE, FILE:A-B or func:NAME, of the abort or the start\n"
		 "Options:\n"
		 "  -s COLUMN        sort by cost, count or last\n"
		 "  --stacks         the most frequent Lua stack of each\n"
		 "  --min-cost P     only what costs at least P percent of the CPU\n"
		 "  --check          exit with 10 if there are any\n"
		 "  --watch          print the list again and again, each --refresh TIME (1s)\n"
		 "  -r HZ            CPU samples a second, for COST% (99)\n"
		 "  --per-thread     see ljx record --help\n"
		 "  --rows N         rows printed (20)\n"
		 "  -o FILE.ljx      record, too\n"
		 "  --json           all of it as JSON\n" FILE_HELP JIT_HELP,
     "  ljx nyi -p 4242 -d 30\n  ljx nyi json.lua:40-96 run.ljx --stacks\n"},
    {"traces", verb_traces, TARGET_OPTIONS FILE_OPTIONS JIT_OPTIONS "rate per-thread rows output json",
     "ljx traces [NUMBER] [TARGET] [-d TIME]\n       ljx traces [NUMBER] FILE.ljx",
     "the traces that were compiled and live",
     TARGET_HELP "Options:\n"
		 "  -r HZ            CPU samples a second, for SELF% (99)\n"
		 "  --per-thread     see ljx record --help\n"
		 "  --rows N         rows printed (20)\n"
		 "  -o FILE.ljx      record, too\n"
		 "  --json           all of it as JSON\n" FILE_HELP JIT_HELP,
     "  ljx traces -p 4242 -d 10\n  ljx traces 17 run.ljx\n"},
    {"annotate", verb_annotate, TARGET_OPTIONS FILE_OPTIONS SAMPLE_OPTIONS
     "bytecode no-source output json probe quiet",
     "ljx annotate LOCATION [TARGET] [-d TIME]\n       ljx annotate LOCATION FILE.ljx",
     "source and bytecode with shares, aborts and traces",
     TARGET_HELP "LOCATION: FILE, FILE:LINE (the function there), FILE:A-B or func:NAME\n"
		 "Options:\n"
		 "  --bytecode       under every line, not only under those that matter\n"
		 "  --no-source      bytecode only\n"
		 "  -o FILE.ljx      record, too\n"
		 "  --json           all of it as JSON\n"
		 "  --probe KIND     auto, uprobe or watch (auto)\n"
		 "  -q               no messages\n" FILE_HELP SAMPLE_HELP,
     "  ljx annotate func:decode -p 4242 -d 10\n"
     "  ljx annotate json.lua:61 run.ljx --bytecode\n"},
    {"perfmap", verb_perfmap, TARGET_OPTIONS FILE_OPTIONS JIT_OPTIONS "keep refresh",
     "ljx perfmap [TARGET] [-d TIME] [--keep]\n       ljx perfmap FILE.ljx [--pid PID]",
     "name the machine code of traces for perf, in /tmp/perf-PID.map",
     TARGET_HELP
     "The map is written where the target sees it, anew after each change, and removed\n"
     "at the end. That of a recording goes to standard output.\n"
     "Options:\n"
     "  --keep           leave it there at the end\n"
     "  --refresh TIME   how often to look for changes (1s)\n" FILE_HELP JIT_HELP,
     "  ljx perfmap -p 4242 & perf record -p 4242 sleep 10; perf report\n"
     "  ljx perfmap run.ljx > /tmp/perf-4242.map\n"},
    {"bt", verb_bt, "pid group name container cgroup layout native inline json",
     "ljx bt [TARGET] [--native]",
     "print every VM's and coroutine's Lua stack once",
     TARGET_HELP "Options:\n"
		 "  --native         and of each thread that runs, C and Lua in one stack\n"
		 "  --inline         --native, with what the compiler inlined\n"
		 "  --json           the same as JSON\n",
     "  ljx bt -p 4242\n"},
    {"ps", verb_ps, "json", "ljx ps [--json]", "list the LuaJIT processes", "", "  ljx ps\n"},
    {"doctor", verb_doctor, "pid json layout", "ljx doctor [-p PID] [--json]",
     "tell what works here, and why not",
     "  -p PID           for this process, too\n"
     "  --layout FILE    its structures are as FILE says, see ljx layout --help\n",
     "  ljx doctor -p 4242\n"},
    {"bc", verb_bc, BUILD_OPTIONS "list quiet",
     "ljx bc [N|NAME]... [-p PID | -f FILE | --gen NAME] [--json]\n"
     "       ljx bc -l [LOCATION] -p PID [--json]",
     "bytecodes by number and name; -l: the bytecode of a live process",
     BUILD_HELP
     "  -l               list prototypes of a process as luajit -bl does, with what the\n"
     "                   JIT compiler made of them; without LOCATION those on its stacks\n"
     "LOCATION: FILE, FILE:LINE, FILE:A-B (all with code there) or func:NAME\n",
     "  ljx bc 51 -p 4242\n  ljx bc FNEW\n  ljx bc -l json.lua:61 -p 4242\n"},
    {"ff", verb_ff, BUILD_OPTIONS, "ljx ff [N|NAME]... [-p PID | -f FILE | --gen NAME] [--json]",
     "fast functions (builtin#N) by number and name", BUILD_HELP,
     "  ljx ff 85 -p 4242\n  ljx ff string.match -f /usr/bin/luajit\n"},
    {"err", verb_err, BUILD_OPTIONS, "ljx err [N|NAME]... [-p PID | -f FILE | --gen NAME] [--json]",
     "reasons of trace aborts by number and name", BUILD_HELP,
     "  ljx err 7 -p 4242\n  ljx err LLEAVE\n"},
    {"ir", verb_ir, BUILD_OPTIONS, "ljx ir [N|NAME]... [-p PID | -f FILE | --gen NAME] [--json]",
     "IR instructions by number and name", BUILD_HELP, "  ljx ir 51 -p 4242\n"},
    {"explain", verb_explain, BUILD_OPTIONS,
     "ljx explain [REASON] [-p PID | -f FILE | --gen NAME] [--json]",
     "what the reason of an abort means, and what helps", BUILD_HELP,
     "  ljx explain FNEW\n  ljx explain 'NYI: bytecode 51'\n  ljx explain string.gsub\n"
     "  ljx explain leaving loop\n"},
    {"layout", verb_layout, "pid file json", "ljx layout -p PID | -f FILE [--json]",
     "where the fields of LuaJIT's structures lie in a build, and how that is known",
     "Build:\n"
     "  -p PID           that of a process, verified in its memory\n"
     "  -f FILE          that of an ELF file: all layouts that its code allows\n"
     "  --json           what --layout FILE of the verbs that attach reads\n",
     "  ljx layout -p 4242\n  ljx layout -f libluajit.so --json >mine.json\n"
     "  ljx record -p 4242 --layout mine.json\n"},
    {"version", verb_version, "json", "ljx version [--json]", "print the version", "", ""},
    {NULL, NULL, NULL, NULL, NULL, NULL, NULL},
};

static int help(const struct verb *v)
{
	printf("Usage: %s\n%s.\n", v->usage, v->summary);
	if (v->options[0])
		printf("\n%s", v->options);
	if (options_accept(v->accepts, "output") && options_accept(v->accepts, "format"))
		output_help(stdout, v->name);
	if (v->examples[0])
		printf("\nExamples:\n%s", v->examples);
	return 0;
}

/* The verb by its name or a unique prefix. */
static const struct verb *find_verb(const char *name, int *ambiguous)
{
	const struct verb *v, *found = NULL;

	*ambiguous = 0;
	for (v = verbs; v->name; v++) {
		if (!strcmp(v->name, name))
			return v;
		if (!strncmp(v->name, name, strlen(name))) {
			*ambiguous |= found != NULL;
			found = v;
		}
	}
	return found;
}

static int bad_verb(const char *name, int ambiguous)
{
	size_t least = strlen(name) > 3 ? 3 : 2, n = 0, d;
	const struct verb *v, *best = NULL;

	for (v = verbs; v->name; v++) {
		d = options_distance(name, v->name);
		if (d < least) {
			least = d;
			best = v;
		}
	}
	fprintf(stderr, "ljx: %s verb '%s'", ambiguous ? "ambiguous" : "unknown", printable(name));
	for (v = verbs; v->name && ambiguous; v++)
		if (!strncmp(v->name, name, strlen(name)))
			fprintf(stderr, "%s %s", n++ ? "," : ":", v->name);
	if (best && !ambiguous)
		fprintf(stderr, " (did you mean %s?)", best->name);
	fprintf(stderr, "\nTry: ljx --help\n");
	return WHY_USAGE;
}

int verb_version(const struct options *o)
{
	if (o->json)
		printf("{\"schema\":\"ljx.version/1\",\"version\":\"%s\",\"recording\":%u}\n",
		       LJX_VERSION, EV_VERSION);
	else
		printf("ljx %s\n", LJX_VERSION);
	return 0;
}

/* A document that lacks a part looks whole: no verb could tell. */
static void *json_memory(size_t n)
{
	void *p = malloc(n);

	if (p || !n)
		return p;
	fputs("ljx: out of memory\n", stderr);
	exit(WHY_INTERNAL);
}

int main(int argc, char **argv)
{
	struct options o;
	const struct verb *v;
	const char *name;
	int ambiguous, i, code;

	if (argc < 2) {
		usage(stderr);
		return WHY_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--json-schema"))
		return print_schema(argv[2]);
	name = argv[1];
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		name = "version";
	v = find_verb(name, &ambiguous);
	if (!v || ambiguous)
		return bad_verb(name, ambiguous);
	for (i = 2; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return help(v);
	json_set_alloc_funcs(json_memory, free);
	signal(SIGXFSZ, SIG_IGN); /* a file that grew too large is an error like others */
	code = options_parse(&o, argc, argv, v->name, v->accepts);
	if (!code)
		code = command_check(&o);
	if (code)
		return code;
	code = v->run(&o);
	/* What failed may be long ago, and all that came later fine. */
	if ((fflush(stdout) || ferror(stdout)) && !code) {
		fprintf(stderr, "ljx: cannot write to standard output\n");
		code = WHY_INTERNAL;
	}
	return code;
}
