// SPDX-License-Identifier: MIT
/* Events as text. What jit.v does is in LuaJIT src/jit/v.lua and src/lj_debug.c:lj_debug_pushloc.
 */
#include "jittrace/jt_int.h"

#include "bytecode/jitnames.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char undefined[] = "[undefined]";

uint32_t jt_nframes(const struct ev_trace *ev)
{
	size_t room = (ev->h.size - sizeof(*ev)) / sizeof(ev->f[0]);

	return ev->nframes < room ? ev->nframes : (uint32_t)room;
}

/* The Lua function on top of the coroutine's stack; NULL: there is none. */
static const struct ev_frame *nearest_lua(const struct ev_trace *ev)
{
	uint32_t i, n = jt_nframes(ev);

	for (i = 0; i < n && ev->f[i].kind != EV_FRAME_CO; i++)
		if (ev->f[i].kind == EV_FRAME_LUA)
			return &ev->f[i];
	return NULL;
}

int jt_end(const struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
	   struct jt_ending *out)
{
	const struct ev_frame *lua = nearest_lua(ev);
	struct jt_place *at = &out->at;
	int missing;

	out->in[0] = '\0';
	out->cfunc = NULL;
	jt_place(jt, ev->h.pid, vm, &ev->end, jt_nframes(ev) > 1 ? &ev->f[1] : NULL, at);
	missing = at->undefined;
	if (at->kind != JT_LOC_FUNCTION)
		return missing;
	snprintf(out->in, sizeof(out->in), "%s", at->text);
	out->cfunc = at->cfunc;
	if (lua) {
		jt_place(jt, ev->h.pid, vm, lua, NULL, at);
		missing |= at->undefined;
	}
	return missing;
}

/* ---- reasons ---- */

/* The number in a TValue: a double or, on DUALNUM, an integer. 0: it is none. */
static int tvalue_number(uint64_t tv, uint32_t *out)
{
	uint32_t exp = tv >> 52 & 0x7ff;

	if (tv >> 47 == 0x1fff2) { /* LJ_TISNUM */
		*out = (uint32_t)tv;
		return 1;
	}
	if (tv >> 63 || (tv && (exp < 1023 || exp > 1023 + 31)))
		return 0;
	*out = !tv ? 0
		   : (uint32_t)(((tv & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52) >>
				(1075 - exp));
	return 1;
}

enum err_id jt_err_id(const struct jt_build *b, const struct ev_trace *ev)
{
	const struct err_row *row = err_row(b->err, ev->error);

	return row ? row->id : ERR_MAX;
}

/* func: what the function is called, if it is one. */
static struct err_info info_of(const struct ev_trace *ev, const char *func)
{
	struct err_info info = {.kind = ERR_INFO_NONE};

	if (ev->about.kind) {
		info.kind = ERR_INFO_FUNC;
		info.func = func;
	} else if (tvalue_number(ev->info, &info.number)) {
		info.kind = ERR_INFO_NUMBER;
	}
	return info;
}

/* The error's own text is cut: len is what of it there is. */
static int error_text(const struct ev_trace *ev, char *buf, size_t size)
{
	if (ev->error == EV_ERROR_STRING)
		return snprintf(buf, size, "%.*s", (int)strnlen(ev->text, sizeof(ev->text)),
				ev->text);
	return snprintf(buf, size, "(error object)");
}

/* Is ev->info about this error? It is stale where the message has no argument. */
static int has_argument(const struct jt_build *b, const struct ev_trace *ev)
{
	const struct err_row *row = err_row(b->err, ev->error);

	return row && strchr(row->text, '%');
}

const struct jt_cfunc *jt_reason(const struct jt *jt, const struct jt_vm *vm,
				 const struct ev_trace *ev, char reason[JT_TEXT],
				 char subject[JT_TEXT])
{
	const struct jt_build *b = jt_build_of(jt, vm);
	char raw[JT_TEXT], func[JT_TEXT] = "";
	const char *about = NULL;
	struct err_info info;
	struct jt_place p;
	struct jt_loc loc;

	p.cfunc = NULL;
	subject[0] = '\0';
	if (ev->error == EV_ERROR_STRING || ev->error == EV_ERROR_OTHER) {
		error_text(ev, raw, sizeof(raw));
		jt_clean(reason, JT_TEXT, raw);
		return NULL;
	}
	if (ev->about.kind) {
		jt_place(jt, ev->h.pid, vm, &ev->about, NULL, &p);
		jt_place_loc(&p, &loc);
		jt_loc_format(&loc, func, sizeof(func));
	}
	info = info_of(ev, func);
	err_format(reason, JT_TEXT, b->err, ev->error, &info, b->bc, b->ir, ERR_PLAIN);
	if (!has_argument(b, ev))
		return NULL;
	if (info.kind == ERR_INFO_FUNC)
		about = func;
	else if (info.kind == ERR_INFO_NUMBER)
		about = jt_err_id(b, ev) == ERR_NYIBC ? bc_name(b->bc, info.number)
						      : ir_name(b->ir, info.number);
	snprintf(subject, JT_TEXT, "%s", about ? about : "");
	return p.cfunc;
}

static void show(const struct jt_place *p, struct jt_loc *loc, char text[JT_TEXT])
{
	jt_place_loc(p, loc);
	jt_loc_format(loc, text, JT_TEXT);
	if (loc->kind == JT_LOC_FUNCTION)
		loc->name = text;
}

void jt_describe(const struct jt *jt, const struct ev_trace *ev, struct jt_event *out)
{
	const struct jt_vm *vm = jt_vm_find(jt, ev->h.pid, ev->g);
	const struct jt_build *b = jt_build_of(jt, vm);
	int about = has_argument(b, ev) && ev->about.kind;
	const char *link = trace_link_name(ev->linktype);
	char subject[JT_TEXT];
	struct jt_ending end;
	struct jt_place p;

	memset(out, 0, sizeof(*out));
	out->err = ERR_MAX;
	out->link = ev->type == EV_TRACE_STOP && link ? link : "";
	out->vm = vm ? vm->number : 0;
	out->epoch = vm ? vm->epoch : 0;
	if (jt->last.time == ev->h.time && jt->last.g == ev->g && jt->last.type == ev->type &&
	    jt->last.trace == ev->trace) {
		out->attempts = jt->last.attempts;
		out->limit = jt->last.limit;
		out->dropped = jt->last.dropped;
		out->site = jt->last.site;
	}
	if (ev->type < EV_TRACE_START || ev->type > EV_TRACE_ABORT)
		return;
	jt_place(jt, ev->h.pid, vm, &ev->start, NULL, &p);
	out->undefined = p.undefined;
	show(&p, &out->start_at, out->start);
	if (ev->type == EV_TRACE_START)
		return;
	if (jt_end(jt, vm, ev, &end) &&
	    (ev->type == EV_TRACE_ABORT || ev->linktype == LINK_STITCH ||
	     ev->linktype == LINK_RETURN))
		out->undefined = 1;
	memcpy(out->in, end.in, sizeof(out->in));
	show(&end.at, &out->end_at, out->end);
	if (ev->type == EV_TRACE_STOP)
		return;
	out->err = jt_err_id(b, ev);
	jt_reason(jt, vm, ev, out->reason, subject);
	if (about) {
		jt_place(jt, ev->h.pid, vm, &ev->about, NULL, &p);
		out->undefined |= p.undefined;
	}
}

/* ---- ours ---- */

/* How it ended, if that does not depend on trace numbers. */
static int plain_end(const struct ev_trace *ev, const struct jt_event *e, char *buf, size_t size)
{
	if (ev->linktype == LINK_INTERP)
		return snprintf(buf, size, "-- fallback to interpreter");
	if (ev->linktype == LINK_STITCH && e->in[0] && strcmp(e->in, e->end) != 0)
		return snprintf(buf, size, "stitch %s at %s", e->in, e->end);
	if (ev->linktype == LINK_STITCH)
		return snprintf(buf, size, "stitch %s", e->end);
	return 0;
}

static int plain_stop(const struct ev_trace *ev, const struct jt_event *e, char *buf, size_t size)
{
	char link[2 * JT_TEXT + 32];

	if (plain_end(ev, e, link, sizeof(link)))
		;
	else if (ev->link == ev->trace || !ev->link)
		snprintf(link, sizeof(link), "%s", e->link);
	else
		snprintf(link, sizeof(link), "-> %u%s%s", ev->link,
			 ev->linktype == LINK_ROOT ? "" : " ",
			 ev->linktype == LINK_ROOT ? "" : e->link);
	return snprintf(buf, size, "%s, %u IR, %u bytes", link, ev->nins, ev->szmcode);
}

static int plain_abort(const struct ev_trace *ev, const struct jt_event *e, char *buf, size_t size)
{
	int in = e->in[0] && strcmp(e->in, e->end) != 0;
	char tries[48] = "";

	if (e->attempts && e->limit)
		snprintf(tries, sizeof(tries), " [%u/%u%s]", e->attempts, e->limit,
			 ev->kind == EV_TRACE_SIDE || e->attempts < e->limit ? ""
									     : ": blacklisted");
	return snprintf(buf, size, "-- %s at %s%s%s%s", e->reason, e->end, in ? " in " : "",
			in ? e->in : "", tries);
}

static const char *flush_cause(const struct ev_trace *ev)
{
	static const char *const cause[] = {"cause not known", "explicit", "trace table full",
					    "no machine code memory"};

	return cause[ev->cause < JT_FLUSH_CAUSES ? ev->cause : 0];
}

static int plain_flush(const struct ev_trace *ev, const struct jt_event *e, char *buf, size_t size)
{
	return snprintf(buf, size, "-- %s, %u traces dropped", flush_cause(ev), e->dropped);
}

/* "PID[/VM] TYPE" */
static void plain_head(const struct ev_trace *ev, const struct jt_event *e, char *buf, size_t size)
{
	static const char *const type[] = {"", "start", "stop", "abort", "flush"};

	if (e->vm > 1)
		snprintf(buf, size, "%u/%u %s", ev->h.pid, e->vm, type[ev->type]);
	else
		snprintf(buf, size, "%u %s", ev->h.pid, type[ev->type]);
}

static int plain(const struct jt *jt, const struct ev_trace *ev, char *buf, size_t size)
{
	char head[96], parent[48] = "", what[4 * JT_TEXT] = "";
	struct jt_event e;

	if (ev->type < EV_TRACE_START || ev->type > EV_TRACE_FLUSH)
		return 0;
	jt_describe(jt, ev, &e);
	plain_head(ev, &e, head, sizeof(head));
	if (ev->type == EV_TRACE_FLUSH) {
		plain_flush(ev, &e, what, sizeof(what));
		return snprintf(buf, size, "%s %s", head, what);
	}
	if (ev->kind == EV_TRACE_SIDE)
		snprintf(parent, sizeof(parent), "(%u/%u) ", ev->parent, ev->exitno);
	else if (ev->kind == EV_TRACE_STITCHED)
		snprintf(parent, sizeof(parent), "(%u/stitch) ", ev->parent);
	if (ev->type == EV_TRACE_STOP)
		plain_stop(ev, &e, what, sizeof(what));
	else if (ev->type == EV_TRACE_ABORT)
		plain_abort(ev, &e, what, sizeof(what));
	return snprintf(buf, size, "%s %u %s%s%s%s", head, ev->trace, parent, e.start,
			*what ? " " : "", what);
}

int jt_format_tally(const struct jt *jt, const struct ev_tally *t, char *buf, size_t size)
{
	const struct ev_trace *ev = &t->like;
	char head[96], what[4 * JT_TEXT] = "at places not known";
	struct jt_event e;

	if (size)
		buf[0] = '\0';
	if (ev->type < EV_TRACE_STOP || ev->type > EV_TRACE_FLUSH || !t->count)
		return 0;
	jt_describe(jt, ev, &e);
	e.attempts = 0;
	plain_head(ev, &e, head, sizeof(head));
	if (ev->type == EV_TRACE_FLUSH)
		snprintf(what, sizeof(what), "-- %s", flush_cause(ev));
	else if (ev->start.kind && ev->type == EV_TRACE_ABORT)
		plain_abort(ev, &e, what, sizeof(what));
	else if (ev->start.kind && !plain_end(ev, &e, what, sizeof(what)))
		snprintf(what, sizeof(what), "%s", e.link);
	return snprintf(buf, size, "%s ... and %" PRIu64 " more like it: %s%s%s", head, t->count,
			e.start, *e.start ? " " : "", what);
}

/* ---- jit.v's ---- */

/* lj_strfmt.c:lj_strfmt_wptr: of the upper half of an address only the bytes that it has. */
static int jv_address(uint64_t p, char *buf, size_t size)
{
	uint32_t high = (uint32_t)(p >> 32);
	int digits = 8, bit = 31;

	if (high) {
		while (!(high >> bit & 1))
			bit--;
		digits += 2 + 2 * (bit >> 3);
	}
	return snprintf(buf, size, "0x%0*" PRIx64, digits, p);
}

/* What is longer is printed as an address. */
#define CHUNK_SHOWN 40u

static int jv_lua(const struct jt_func *func, int32_t line, char *buf, size_t size)
{
	const char *chunk = func->ident->chunk, *base;
	uint32_t flags = func->ident->k.flags;
	char address[32];
	size_t i;

	if (flags & EV_FUNC_BUILTIN)
		return snprintf(buf, size, "builtin:%s", chunk);
	if (*chunk == '@') {
		base = chunk + 1;
		/* Its first character is not looked at. */
		for (i = strlen(base); i > 1; i--)
			if (base[i - 1] == '/' || base[i - 1] == '\\')
				break;
		base += i > 1 ? i : 0;
		return snprintf(buf, size, "%s%s:%d", base, flags & EV_FUNC_CUT ? "..." : "", line);
	}
	if (strlen(chunk) > CHUNK_SHOWN || flags & EV_FUNC_CUT) {
		jv_address(func->pt, address, sizeof(address));
		return snprintf(buf, size, "%s:%d", address, line);
	}
	if (*chunk == '=')
		return snprintf(buf, size, "%s:%d", chunk + 1, line);
	return snprintf(buf, size, "\"%s\":%d", chunk, line);
}

/* v.lua:fmtfunc. bare: without a position, which means the function's first line. */
static void jv_func(const struct jt *jt, const struct jt_vm *vm, const struct ev_frame *f, int bare,
		    char buf[JT_TEXT])
{
	const struct jt_func *func;
	int32_t line = (int32_t)f->line;
	const char *name;

	snprintf(buf, JT_TEXT, "%s", undefined);
	switch (f->kind) {
	case EV_FRAME_LUA:
	case EV_FRAME_TRACE:
		func = jt_func_find(jt, EV_FRAME_PROTO(f->addr));
		if (!func)
			return;
		if (bare)
			line =
			    func->ident->k.flags & EV_FUNC_STRIPPED ? 0 : func->ident->k.firstline;
		jv_lua(func, line, buf, JT_TEXT);
		return;
	case EV_FRAME_FF:
		name = jt_ff_name(jt, vm ? vm->build : 0, f->ffid);
		if (name)
			snprintf(buf, JT_TEXT, "%s", name);
		return;
	case EV_FRAME_C:
		snprintf(buf, JT_TEXT, "C:%" PRIx64, f->addr);
		return;
	default:
		return;
	}
}

/* v.lua:fmterr */
static void jv_error(const struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		     enum jt_style style, char buf[JT_TEXT])
{
	const struct jt_build *b = jt_build_of(jt, vm);
	char func[JT_TEXT] = "";
	struct err_info info;

	if (ev->error == EV_ERROR_STRING || ev->error == EV_ERROR_OTHER) {
		error_text(ev, buf, JT_TEXT);
		return;
	}
	if (ev->about.kind)
		jv_func(jt, vm, &ev->about, 1, func);
	info = info_of(ev, func);
	err_format(buf, JT_TEXT, b->err, ev->error, &info, b->bc, b->ir,
		   style == JT_JV_NAME	   ? ERR_JV_NAME
		   : style == JT_JV_NUMBER ? ERR_JV_NUMBER
					   : ERR_JV);
}

static int jv_stop(const struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		   const char *head, char *buf, size_t size)
{
	const char *link = trace_link_name(ev->linktype);
	char func[JT_TEXT], number[32];

	if (!link) {
		snprintf(number, sizeof(number), "%u", ev->linktype);
		link = number;
	}
	if (ev->linktype == LINK_INTERP)
		return snprintf(buf, size, "[TRACE %3u %s -- fallback to interpreter]", ev->trace,
				head);
	if (ev->linktype == LINK_STITCH) {
		jv_func(jt, vm, &ev->end, 1, func);
		return snprintf(buf, size, "[TRACE %3u %s %s %s]", ev->trace, head, link, func);
	}
	if (ev->link == ev->trace || !ev->link)
		return snprintf(buf, size, "[TRACE %3u %s %s]", ev->trace, head, link);
	if (ev->linktype == LINK_ROOT)
		return snprintf(buf, size, "[TRACE %3u %s -> %u]", ev->trace, head, ev->link);
	return snprintf(buf, size, "[TRACE %3u %s -> %u %s]", ev->trace, head, ev->link, link);
}

static int jv_abort(const struct jt *jt, const struct jt_vm *vm, const struct ev_trace *ev,
		    enum jt_style style, const char *head, const char *start, char *buf,
		    size_t size)
{
	const struct ev_frame *end = &ev->end, *lua = nearest_lua(ev);
	char at[JT_TEXT], reason[JT_TEXT];

	if (end->kind != EV_FRAME_LUA && lua && !jt_build_of(jt, vm)->top_function)
		end = lua;
	jv_func(jt, vm, end, 0, at);
	jv_error(jt, vm, ev, style, reason);
	if (!strcmp(at, start))
		return snprintf(buf, size, "[TRACE --- %s -- %s]", head, reason);
	return snprintf(buf, size, "[TRACE --- %s -- %s at %s]", head, reason, at);
}

static int jv(const struct jt *jt, const struct ev_trace *ev, enum jt_style style, char *buf,
	      size_t size)
{
	const struct jt_vm *vm = jt_vm_find(jt, ev->h.pid, ev->g);
	char start[JT_TEXT], head[JT_TEXT + 48];

	if (ev->type == EV_TRACE_FLUSH)
		return snprintf(buf, size, "[TRACE flush]");
	if (ev->type != EV_TRACE_STOP && ev->type != EV_TRACE_ABORT)
		return 0;
	jv_func(jt, vm, &ev->start, 0, start);
	if (ev->kind == EV_TRACE_SIDE)
		snprintf(head, sizeof(head), "(%u/%u) %s", ev->parent, ev->exitno, start);
	else if (ev->kind == EV_TRACE_STITCHED && !jt_build_of(jt, vm)->bare_stitch)
		snprintf(head, sizeof(head), "(%u/stitch) %s", ev->parent, start);
	else
		snprintf(head, sizeof(head), "%s", start);
	if (ev->type == EV_TRACE_STOP)
		return jv_stop(jt, vm, ev, head, buf, size);
	return jv_abort(jt, vm, ev, style, head, start, buf, size);
}

int jt_format(const struct jt *jt, const struct ev_trace *ev, enum jt_style style, char *buf,
	      size_t size)
{
	if (size)
		buf[0] = '\0';
	return style == JT_PLAIN ? plain(jt, ev, buf, size) : jv(jt, ev, style, buf, size);
}
