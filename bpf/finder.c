// SPDX-License-Identifier: MIT
/* Symbols and code put together; the checks that hold for all. */
#include "bpf/finder_int.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A static library's functions lie together; what is further away is not LuaJIT's. */
#define TEXT_REACH (16ull << 20)
#define CLONES_MAX 8u

static const struct {
	const char *name;
	unsigned int args;
} funcs[] = {
#define FINDER_ROW(id, name, args) {name, args},
    FINDER_FUNCS(FINDER_ROW)
#undef FINDER_ROW
};

static const char *const anchors[] = {
#define FINDER_ROW(id, ...) #id,
    FINDER_ANCHORS(FINDER_ROW)
#undef FINDER_ROW
};

const char *finder_name(enum finder_id id)
{
	return funcs[id].name;
}

void finder_where(const struct elfobj *eo, const struct finder_func *fn, char *buf, size_t size)
{
	int code = fn->how & FINDER_BY_CODE, symbol = fn->how & FINDER_BY_SYMBOL;

	if (!fn->how)
		snprintf(buf, size, "(not found)");
	else
		snprintf(buf, size, "(%s%s%s%s)", code ? "in the code" : "",
			 code && symbol ? " and " : "", symbol ? "by " : "",
			 symbol ? elfobj_source_name(elfobj_source(eo)) : "");
}

int finder_anchor(const struct finder *f, enum finder_anchor_id id, int32_t *value)
{
	if (!(f->anchors & 1u << id))
		return -ENOENT;
	*value = f->anchor[id];
	return 0;
}

/* Adds a line, as far as it fits. */
__attribute__((format(printf, 3, 4))) static void add_line(char *text, size_t size, const char *fmt,
							   ...)
{
	size_t len = size ? strnlen(text, size) : 0;
	va_list ap;

	if (len >= size)
		return;
	va_start(ap, fmt);
	vsnprintf(text + len, size - len, fmt, ap);
	va_end(ap);
}

void fc_conflict(struct fctx *c, const char *fmt, ...)
{
	char line[160];
	va_list ap;

	c->conflicts++;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	add_line(c->f->text, sizeof(c->f->text), "%s\n", line);
}

void fc_anchor(struct fctx *c, enum finder_anchor_id id, int64_t value, const char *where)
{
	if (value != (int32_t)value)
		fc_conflict(c, "%s: %lld in %s", anchors[id], (long long)value, where);
	else if (!fc_has(c, id)) {
		c->f->anchors |= 1u << id;
		c->f->anchor[id] = (int32_t)value;
	} else if (c->f->anchor[id] != (int32_t)value)
		fc_conflict(c, "%s: %d, but %lld in %s", anchors[id], c->f->anchor[id],
			    (long long)value, where);
}

int fc_has(const struct fctx *c, enum finder_anchor_id id)
{
	return (c->f->anchors & 1u << id) != 0;
}

int32_t fc_get(const struct fctx *c, enum finder_anchor_id id)
{
	return c->f->anchor[id];
}

int32_t fc_g2j(const struct fctx *c)
{
	return fc_get(c, FINDER_A_G2DISP) + fc_get(c, FINDER_A_DISP2J);
}

uint64_t fc_addr(const struct fctx *c, enum finder_id id)
{
	return c->f->func[id].addr;
}

uint64_t fc_export(const struct fctx *c, const char *name)
{
	uint64_t addr, size;

	if (c->flags & FINDER_NO_EXPORTS || elfobj_export(c->eo, name, &addr, &size))
		return 0;
	return addr;
}

int fc_in_vm(const struct fctx *c, uint64_t addr)
{
	return addr - c->vm.start < c->vm.end - c->vm.start;
}

int fc_is_func(const struct fctx *c, uint64_t addr)
{
	uint64_t start, end;

	return !fc_in_vm(c, addr) && addr - c->text_start < c->text_end - c->text_start &&
	       !elfobj_func_bounds(c->eo, addr, &start, &end) && start == addr;
}

void fc_missing(struct fctx *c, enum finder_id id, const char *fmt, ...)
{
	struct finder_func *fn = &c->f->func[id];
	va_list ap;

	memset(fn, 0, sizeof(*fn));
	va_start(ap, fmt);
	vsnprintf(fn->text, sizeof(fn->text), fmt, ap);
	va_end(ap);
}

void fc_found(struct fctx *c, enum finder_id id, uint64_t addr, const char *fmt, ...)
{
	struct finder_func *fn = &c->f->func[id];
	va_list ap;

	if (id != FINDER_VM_CPCALL && !fc_is_func(c, addr)) {
		fc_missing(c, id, "no function starts at 0x%llx", (unsigned long long)addr);
		return;
	}
	memset(fn, 0, sizeof(*fn));
	fn->addr = addr;
	fn->how = FINDER_BY_CODE;
	va_start(ap, fmt);
	vsnprintf(fn->text, sizeof(fn->text), fmt, ap);
	va_end(ap);
}

size_t fc_callers(const struct fctx *c, uint64_t addr)
{
	size_t i, n = 0, len = (size_t)(c->text_end - c->text_start);
	uint32_t want = (uint32_t)(addr - c->text_start - 5), rel;
	const uint8_t *p = c->text;

	/* The distance first: hardly any is right, but every other byte may be an opcode. */
	for (i = 0; i + 5 <= len; i++) {
		memcpy(&rel, p + i + 1, sizeof(rel));
		if (rel + (uint32_t)i != want)
			continue;
		if (p[i] == 0xe8 || p[i] == 0xe9 ||
		    ((p[i] & 0xf0) == 0x80 && i && p[i - 1] == 0x0f))
			n += c->text_start + i + 5 + (uint64_t)(int64_t)(int32_t)rel == addr;
	}
	return n;
}

void fs_add(struct fset *s, uint64_t v)
{
	if (s->n < FS_MAX && !fs_has(s, v))
		s->v[s->n++] = v;
}

int fs_has(const struct fset *s, uint64_t v)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (s->v[i] == v)
			return 1;
	return 0;
}

void fc_callees(const struct fctx *c, uint64_t addr, struct fset *out)
{
	struct ffunc fn;
	size_t i;

	if (fi_func(c->eo, addr, c->work, &fn))
		return;
	for (i = 0; i < fn.n; i++)
		if (fi_leaves(&fn, &fn.ins[i]) && fc_is_func(c, fn.ins[i].target))
			fs_add(out, fn.ins[i].target);
	fi_release(&fn);
}

static int load_text(struct fctx *c)
{
	size_t len;

	if (elfobj_text(c->eo, c->vm.start, &c->text_start, &c->text_end))
		return -EINVAL;
	if (c->vm.start - c->text_start > TEXT_REACH)
		c->text_start = c->vm.start - TEXT_REACH;
	if (c->text_end > c->vm.end && c->text_end - c->vm.end > TEXT_REACH)
		c->text_end = c->vm.end + TEXT_REACH;
	len = (size_t)(c->text_end - c->text_start);
	c->text = malloc(len);
	if (!c->text) {
		c->work->no_memory = 1;
		return -ENOMEM;
	}
	c->text_end = c->text_start + elfobj_read(c->eo, c->text_start, c->text, len);
	return c->text_end >= c->vm.end ? 0 : -EINVAL;
}

/* The VM must be one function, all of which can be decoded: -ENOENT if it is none. */
static int load_vm(struct fctx *c)
{
	uint64_t start, end;
	int err;

	if (elfobj_func_bounds(c->eo, c->f->vm.asm_start, &start, &end) ||
	    start != c->f->vm.asm_start || end != c->f->vm.asm_end)
		return -ENOENT;
	err = fi_range(c->eo, start, end, c->work, &c->vm);
	return err ? err : load_text(c);
}

static void all_missing(struct fctx *c, const char *reason)
{
	unsigned int i;

	for (i = 0; i < FINDER_NFUNCS; i++)
		fc_missing(c, i, "%s", reason);
}

/* Nothing is known of the VM's code, not even whether it has a JIT compiler. */
static void unreadable(struct fctx *c, int err)
{
	const char *reason = err == -ENOENT ? "no call frame information (.eh_frame) tells where "
					      "the interpreter's code begins and ends"
					    : "the interpreter's code cannot be decoded";

	c->f->jit = 1;
	snprintf(c->f->text, sizeof(c->f->text), "%s", reason);
	all_missing(c, reason);
}

static void by_code(struct fctx *c)
{
	all_missing(c, "not looked for");
	finder_vm(c);
	if (!c->f->jit) {
		all_missing(c, "no JIT");
		return;
	}
	if (!fc_has(c, FINDER_A_DISP2J) || !fc_has(c, FINDER_A_G2DISP)) {
		all_missing(c, "the VM's code does not tell where jit_State is");
		return;
	}
	finder_rec(c);
	finder_err(c);
	if (!(c->flags & FINDER_ONLY_ANCHORS)) {
		finder_callees(c);
		finder_bc_ofs(c);
	}
	if (c->l && finder_check_layout(c->f, c->l, NULL, 0) > 0)
		fc_conflict(c, "the layout does not fit");
	if (c->conflicts)
		all_missing(c, "what the code says does not agree");
}

static void take_symbol(struct fctx *c, enum finder_id id, uint64_t addr)
{
	struct finder_func *fn = &c->f->func[id];
	char reason[sizeof(fn->text)];

	memcpy(reason, fn->text, sizeof(reason));
	memset(fn, 0, sizeof(*fn));
	fn->addr = addr;
	fn->how = FINDER_BY_SYMBOL;
	snprintf(fn->text, sizeof(fn->text), "symbol; by code: %.150s", reason);
	if (c->conflicts)
		return;
	if (id == FINDER_TRACE_ERR_INFO)
		fn->arg0 = (uint8_t)finder_err_arg(c, addr);
	else if (id == FINDER_TRACE_FLUSHALL && fc_has(c, FINDER_A_J_trace))
		fn->arg0 = (uint8_t)finder_flush_arg(c, addr);
}

static void by_symbol(struct fctx *c, enum finder_id id)
{
	struct finder_func *fn = &c->f->func[id];
	uint64_t addr[CLONES_MAX];
	size_t i, n;

	/*
	 * A copy of lj_trace_ins that lj_trace_hot does not call is of no use. trace_start may be a
	 * function of anybody in a program that LuaJIT is linked into.
	 */
	if (!fn->addr && ((id == FINDER_TRACE_INS && fc_addr(c, FINDER_TRACE_STATE)) ||
			  strncmp(funcs[id].name, "lj_", 3) != 0))
		return;
	n = elfobj_clones(c->eo, funcs[id].name, addr, CLONES_MAX);
	if (!n)
		return;
	for (i = 0; i < n && i < CLONES_MAX; i++) {
		if (fn->addr == addr[i]) {
			fn->how |= FINDER_BY_SYMBOL;
			return;
		}
	}
	if (fn->addr)
		fc_missing(c, id, "the symbol says 0x%llx, the code 0x%llx",
			   (unsigned long long)addr[0], (unsigned long long)fn->addr);
	else if (n > 1)
		fc_missing(c, id, "%zu symbols of that name", n);
	else
		take_symbol(c, id, addr[0]);
}

/* What the first argument is where all builds agree. */
static void set_args(struct finder *f)
{
	static const struct {
		enum finder_id id;
		enum finder_arg arg;
	} fixed[] = {
	    {FINDER_TRACE_HOT, FINDER_ARG_J},	{FINDER_TRACE_EXIT, FINDER_ARG_J},
	    {FINDER_TRACE_STATE, FINDER_ARG_L}, {FINDER_TRACE_INS, FINDER_ARG_J},
	    {FINDER_TRACE_START, FINDER_ARG_J}, {FINDER_TRACE_ERR, FINDER_ARG_J},
	    {FINDER_VM_CPCALL, FINDER_ARG_L},	{FINDER_DISPATCH_UPDATE, FINDER_ARG_G},
	};
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (f->func[fixed[i].id].addr)
			f->func[fixed[i].id].arg0 = (uint8_t)fixed[i].arg;
}

int finder_run(const struct elfobj *eo, const struct layout *l, unsigned int flags,
	       struct finder *out, struct why *why)
{
	struct fwork work = {.left = FINDER_WORK};
	struct fctx c = {.eo = eo, .l = l, .flags = flags, .f = out, .work = &work};
	unsigned int i;
	int err;

	memset(out, 0, sizeof(*out));
	err = elfobj_luajit(eo, &out->vm);
	if (err == -ENOMEM)
		return why_set(why, WHY_INTERNAL, err, "out of memory");
	if (err)
		return why_set(why, WHY_TARGET, -ENOENT, "no LuaJIT in the file");
	err = load_vm(&c);
	if (err)
		unreadable(&c, err);
	else
		by_code(&c);
	if (flags & FINDER_ONLY_ANCHORS)
		goto out;
	for (i = 0; i < FINDER_NFUNCS && !(flags & FINDER_NO_SYMBOLS); i++)
		by_symbol(&c, i);
	set_args(out);
	for (i = 0; i < FINDER_NFUNCS; i++)
		if (out->func[i].addr)
			finder_probe(&c, &out->func[i], funcs[i].args);
out:
	err = 0;
	if (work.no_memory)
		err = why_set(why, WHY_INTERNAL, -ENOMEM, "out of memory");
	fi_release(&c.vm);
	free(c.text);
	return err;
}

int finder_check_layout(const struct finder *f, const struct layout *l, char *text, size_t size)
{
	const int32_t expect[] = {
#define FINDER_ROW(id, value) value,
	    FINDER_ANCHORS(FINDER_ROW)
#undef FINDER_ROW
	};
	int32_t got;
	int bad = 0;
	unsigned int i;

	if (size)
		text[0] = '\0';
	if (!f->anchors)
		return -ENOENT;
	if (f->vm.gc64 != l->gc64) {
		bad++;
		add_line(text, size, "%d-bit GCRef, the layout has the other\n",
			 f->vm.gc64 ? 64 : 32);
	}
	for (i = 0; i < FINDER_NANCHORS; i++) {
		if (finder_anchor(f, i, &got) || got == expect[i])
			continue;
		bad++;
		add_line(text, size, "%s is %d, in the layout %d\n", anchors[i], got, expect[i]);
	}
	return bad;
}
