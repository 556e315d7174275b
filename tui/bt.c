// SPDX-License-Identifier: MIT
/* ljx bt: every VM's and coroutine's Lua stack, once. */
#include "tui/bt.h"
#include "bpf/snapshot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Samples of VMs that were running when we looked. */
#define RUNNING_MAX 256
#define RUNNING_MS 60

struct bt {
	const struct options *o;
	struct prof *defs; /* remembers the definitions; a stack at a time is folded in it */
	unsigned int vm;   /* creation number of the VM whose stacks come */
	uint64_t g;
	json_t *stacks, *threads;
	struct ev_sample *running[RUNNING_MAX]; /* the latest of each VM; owned */
	size_t nrunning;
	unsigned int waited_ms; /* for VMs */
};

size_t bt_path(const struct prof *p, const struct prof_frame **f, size_t max)
{
	const struct prof_node *n = prof_root(p);
	size_t depth = 0, i;

	while (n->nchildren && depth < max) {
		n = n->children[0];
		f[depth++] = prof_frame(p, n->frame);
	}
	for (i = 0; i < depth / 2; i++) {
		const struct prof_frame *t = f[i];

		f[i] = f[depth - 1 - i];
		f[depth - 1 - i] = t;
	}
	return depth;
}

void bt_print_frames(const struct prof_frame **f, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (f[i]->kind == PROF_LINE && i + 1 < n) { /* the line of the function below it */
			printf("    %-50s at line %s\n", f[i + 1]->label,
			       strrchr(f[i]->label, ':') ? strrchr(f[i]->label, ':') + 1 : "?");
			i++;
		} else {
			printf("    %s\n", f[i]->label);
		}
	}
}

json_t *bt_json_frames(const struct prof_frame **f, size_t n)
{
	json_t *frames = json_array();
	size_t i;

	for (i = 0; i < n; i++)
		json_array_append_new(frames, json_string(f[i]->label));
	return frames;
}

void *bt_copy(const struct ev_hdr *h)
{
	void *copy = malloc(h->size);

	if (copy)
		memcpy(copy, h, h->size);
	return copy;
}

static void print_stack(const struct ev_sample *s, const struct prof_frame **f, size_t n)
{
	if (s->state == EV_STATE_OUTSIDE && !s->nframes) {
		printf("  idle: no Lua function is active\n");
		return;
	}
	printf("  coroutine %#" PRIx64 "  %s%s\n", s->L,
	       s->state != EV_STATE_UNKNOWN ? "current, " : "suspended",
	       s->state != EV_STATE_UNKNOWN ? state_name(s->state) : "");
	bt_print_frames(f, n);
}

static void add_json(struct bt *b, const struct ev_sample *s, const struct prof_frame **f, size_t n)
{
	char L[24];

	snprintf(L, sizeof(L), "%#" PRIx64, s->L);
	json_array_append_new(b->stacks,
			      json_pack("{s:i,s:i,s:s,s:b,s:s,s:o}", "pid", (int)s->h.pid, "vm",
					(int)b->vm, "coroutine", L, "current",
					s->state != EV_STATE_UNKNOWN, "state", state_name(s->state),
					"frames", bt_json_frames(f, n)));
}

static struct ev_sample **running_at(struct bt *b, uint64_t g)
{
	size_t i;

	for (i = 0; i < b->nrunning; i++)
		if (b->running[i]->g == g)
			return &b->running[i];
	return NULL;
}

/*
 * The stack of a coroutine that runs Lua code at this moment is in registers: only a sample has it.
 * Keeps the latest whole one of each VM, and all definitions.
 */
static int keep_running(void *ctx, const struct ev_hdr *h)
{
	const struct ev_sample *s = (const void *)h;
	struct ev_sample **slot, *copy;
	struct bt *b = ctx;

	if (h->kind != EV_SAMPLE)
		return prof_add(b->defs, h);
	if (s->why != EV_WHY_NONE || !s->nframes)
		return 0;
	copy = bt_copy(h);
	if (!copy)
		return -ENOMEM;
	slot = running_at(b, s->g);
	if (slot) {
		free(*slot);
		*slot = copy;
	} else if (b->nrunning < RUNNING_MAX) {
		b->running[b->nrunning++] = copy;
	} else {
		free(copy);
	}
	return 0;
}

/* Samples pid for a moment. Without the right to, memory alone must do. */
static void sample_running(struct bt *b, int pid)
{
	struct capture_opts co = {.rate = 999, .layout = b->o->layout};
	struct capture *c;

	if (capture_new(&co, keep_running, b, &c, NULL))
		return;
	if (!capture_add(c, pid, NULL) && !capture_start(c, NULL) && !capture_poll(c, RUNNING_MS))
		capture_stop(c);
	capture_free(c);
}

static void forget_running(struct bt *b)
{
	while (b->nrunning)
		free(b->running[--b->nrunning]);
}

static int sink(void *ctx, const struct ev_hdr *h)
{
	const struct prof_frame *f[4 * EV_MAX_FRAMES];
	const struct ev_sample *s = (const void *)h;
	struct ev_sample **running;
	struct bt *b = ctx;
	size_t n;
	int err;

	if (h->kind == EV_SAMPLE && s->state != EV_STATE_UNKNOWN) {
		running = running_at(b, s->g);
		if (running)
			s = *running;
	}
	err = prof_add(b->defs, &s->h);
	if (err || h->kind != EV_SAMPLE)
		return err;
	err = prof_finish(b->defs);
	if (err)
		return err;
	n = bt_path(b->defs, f, sizeof(f) / sizeof(f[0]));
	if (s->g != b->g) {
		b->g = s->g;
		b->vm++;
		if (!b->o->json)
			printf(" VM %u  global_State %#" PRIx64 "\n", b->vm, s->g);
	}
	if (b->o->json)
		add_json(b, s, f, n);
	else
		print_stack(s, f, n);
	return prof_reset(b->defs);
}

static int one_process(struct bt *b, int pid, struct why *why)
{
	struct resolve *r = resolve_new(sink, b, b->o->layout);
	const struct vm_list *vms;
	struct proc_info info;
	int err, has_code = 0;

	if (!r)
		return why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	b->vm = 0;
	b->g = 0;
	err = proc_info_read(pid, &info);
	if (!err)
		err = resolve_look(r, pid, &b->waited_ms, &vms, &has_code, NULL);
	if (err) {
		capture_why_attach(why, pid, err);
	} else if (!vms->n) {
		err = why_set(why, WHY_UNSUPPORTED, -ENOEXEC, "pid %d (%s) %s", pid, info.comm,
			      has_code ? "has no Lua state that could be verified"
				       : "is not a LuaJIT process");
		if (vms->dropped)
			why_hint(why, "%zu places that look like one were not looked at: too many",
				 vms->dropped);
	} else {
		if (!b->o->json)
			printf("%d %s\n", pid, info.cmdline);
		if (b->o->native || b->o->inlines)
			err = bt_native(b->o, pid, b->threads, why);
		sample_running(b, pid);
		err = err ? err : snapshot(r, pid, vms);
		forget_running(b);
		if (!err && vms->dropped && !b->o->quiet)
			fprintf(stderr,
				"ljx: %zu VMs, or what looks like VMs, were not looked at: too "
				"many\n",
				vms->dropped);
		if (err && !why->code)
			why_set(why, WHY_INTERNAL, err, "cannot read the stacks of pid %d: %s", pid,
				strerror(-err));
	}
	resolve_free(r);
	return err;
}

int verb_bt(const struct options *o)
{
	struct prof_opts po = {.lines = !o->json || o->lines};
	struct bt b = {.o = o, .stacks = json_array(), .threads = json_array()};
	struct why why = {.code = 0};
	struct targets t;
	int code = targets_find(o, &t), good = 0;
	size_t i;

	if (code) {
		json_decref(b.stacks);
		json_decref(b.threads);
		return code;
	}
	for (i = 0; i < t.n; i++) {
		struct why w = {.code = 0};

		b.defs = prof_new(&po);
		if (!b.defs)
			why_set(&w, WHY_INTERNAL, -ENOMEM, "out of memory");
		else if (!one_process(&b, t.pid[i], &w))
			good = 1;
		prof_free(b.defs);
		if (w.code && !why.code)
			why = w;
	}
	if (o->json) {
		json_t *j = json_pack("{s:s,s:O}", "schema", "ljx.bt/1", "stacks", b.stacks);

		if (j && (o->native || o->inlines))
			json_object_set(j, "threads", b.threads);
		if (j && good)
			json_dumpf(j, stdout, JSON_INDENT(1));
		if (good)
			putchar('\n');
		json_decref(j);
	}
	json_decref(b.stacks);
	json_decref(b.threads);
	if (why.code && (t.must || !good))
		return complain(o, &why);
	return 0;
}
