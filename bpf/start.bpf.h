/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Where the walk of a sample's Lua stack starts: base and pc of the innermost frame. Part of
 * sampler.bpf.c, which tells what is in which register.
 *
 * Functions of their own have the sample from its map and take numbers only: so the verifier looks
 * at each once, in both forms of the program.
 */
#ifndef BPF_START_BPF_H
#define BPF_START_BPF_H

#include "bpf/inside.bpf.h"

/* judge_base for the sample's walk. */
WALK_FN_NUM int judge(u64 base, u64 pc)
{
	struct making *m = making_now();
	const struct layout *l = m ? layout_at(m->w.layout) : 0;

	return l ? judge_base(l, &m->w, &m->sc, base, pc) : BASE_NOT;
}

/* The base of the caller if the frame at base was, or is about to be, called from before pc. */
static __always_inline u64 caller_base(u64 fr2, u64 base, u64 pc)
{
	u32 ins = 0;

	if (pc & 3 || peek(&ins, 4, pc - 4))
		return 0;
	return base - 8 * (1 + fr2 + (u64)(ins >> 8 & 0xff));
}

/* mov [BASE-8], PC: ins_call of vm_x64.dasc; mov [BASE-4], PC: of vm_x86.dasc, of 3 bytes. */
#define STORE_LINK 0xf85a8948u
#define STORE_LINK32 0xfc5a89u

static __always_inline int stores_link(const struct layout *l, u64 ip)
{
	u32 ins = 0;

	if (peek(&ins, 4, ip))
		return 0;
	return l->gc64 ? ins == STORE_LINK : (ins & 0xffffff) == STORE_LINK32;
}

/*
 * In the VM's assembly: BASE and PC are in registers, but for a few instructions around calls and
 * returns, where one of the two has already moved. A base counts only if its function and the pc
 * agree.
 */
WALK_FN_NUM int start_in_asm(void)
{
	struct making *m = making_now();
	const struct layout *l = m ? layout_at(m->w.layout) : 0;
	u64 link = 0, v[2] = {};
	struct walk *w;
	struct regs *r;
	u32 *flags;
	int is;

	if (!l)
		return 0;
	w = &m->w;
	r = &m->r;
	flags = &sample_of(&m->sc)->flags;
	/* A call whose link is not stored yet: what is in its place is an old one. */
	if (stores_link(l, r->ip)) {
		start_at(w, r->dx, 0);
		*flags |= EV_SF_REPAIRED;
		if (!follow(w, &m->sc, r->bx) && judge(w->frame + 8, w->pc) != BASE_NOT)
			return 1;
	}
	is = judge(r->dx, r->bx);
	if (is == BASE_LUA_PC)
		return start_at(w, r->dx, r->bx);
	if (is == BASE_FF) {
		peek(v, sizeof(v), r->dx - 16);
		if (slots_of(l, v).link == r->bx)
			return start_at(w, r->dx, 0);
	}
	link = caller_base(l->fr2, r->dx, r->bx);
	if (link && judge(link, r->bx) == BASE_LUA_PC) {
		*flags |= EV_SF_REPAIRED;
		return start_at(w, link, r->bx);
	}
	/* A function that was entered or is being left: right, its position not known. */
	if (is != BASE_NOT)
		return start_at(w, r->dx, is == BASE_LUA ? r->bx : 0);
	is = judge(r->bp, r->bx);
	if (is == BASE_LUA_PC || is == BASE_FF) {
		*flags |= EV_SF_REPAIRED;
		return start_at(w, r->bp, is == BASE_FF ? 0 : r->bx);
	}
	/*
	 * A fast function that returns puts its results where it stood. Without LJ_FR2 that is
	 * where its link was, too; PC holds it.
	 */
	if (l->fr2 || r->bx & 3)
		return 0;
	start_at(w, r->dx, 0);
	*flags |= EV_SF_REPAIRED;
	return !follow(w, &m->sc, r->bx) && judge(w->frame + 8, w->pc) == BASE_LUA_PC;
}

/*
 * In C code called by the interpreter. Helpers find BASE in L->base and PC in the C frame. But a
 * few C library calls (math.sin, `^`) are made with BASE in rbp and PC in rbx only, both
 * callee-saved: if they are not there any more, they are among the words pushed right below the
 * VM's C frame.
 */
#define SAVED_WORDS 10

/* Is the i-th of the saved words still on the stack? The last one is a register. */
static __always_inline int is_saved(const struct walk *w, const struct regs *r, int i)
{
	return i == SAVED_WORDS || w->cf - 8 * (u64)(SAVED_WORDS - i) >= r->sp;
}

WALK_FN_NUM int start_in_helper(void)
{
	u64 word[SAVED_WORDS + 1] = {}; /* what was pushed; last, a register */
	struct making *m = making_now();
	struct walk *w;
	struct regs *r;
	u32 *flags;
	int i, j, is;

	if (!m)
		return 0;
	w = &m->w;
	r = &m->r;
	flags = &sample_of(&m->sc)->flags;
	is = judge(r->bp, r->bx);
	if (is == BASE_LUA_PC || is == BASE_FF)
		return start_at(w, r->bp, is == BASE_FF ? 0 : r->bx);
	if (r->bp == w->L || peek(word, 8 * SAVED_WORDS, w->cf - 8 * SAVED_WORDS))
		return 0;
	word[SAVED_WORDS] = r->bp;
	for (i = SAVED_WORDS; i >= 0 && is_saved(w, r, i); i--)
		if (word[i] == w->L) /* rbp of a caller that stored both */
			return 0;
	for (i = SAVED_WORDS; i >= 0 && is_saved(w, r, i); i--) {
		is = judge(word[i], r->bx);
		if (is == BASE_NOT)
			continue;
		*flags |= EV_SF_REPAIRED;
		if (is != BASE_LUA)
			return start_at(w, word[i], is == BASE_FF ? 0 : r->bx);
		for (j = SAVED_WORDS; j >= 0 && is_saved(w, r, j); j--)
			if (judge(word[i], word[j]) == BASE_LUA_PC)
				return start_at(w, word[i], word[j]);
	}
	return 0;
}

/*
 * A fast function that returns puts its results where it stood: goes on with its caller. Without
 * LJ_FR2 that is where its link was, too, which the C frame has as pc. 0 or -1.
 */
WALK_FN_NUM int start_in_caller(void)
{
	struct making *m = making_now();
	const struct layout *l = m ? layout_at(m->w.layout) : 0;
	u64 link, v[2] = {};
	struct walk *w;

	if (!l)
		return -1;
	w = &m->w;
	rd(v, sizeof(v), w->frame - 8);
	link = l->fr2 ? slots_of(l, v).link : w->pc;
	if (!link || (!l->fr2 && link & 3) || follow(w, &m->sc, link))
		return -1;
	return judge(w->frame + 8, w->pc) == BASE_NOT ? -1 : 0;
}

/* In a trace, which is the leaf. 0 or EV_WHY_*. A function of its own for want of stack. */
WALK_FN_NUM int start_in_trace(u64 base)
{
	struct making *m = making_now();
	const struct layout *l = m ? layout_at(m->w.layout) : 0;
	struct walk_trace t = {};
	struct ev_sample *s;
	struct walk *w;
	u64 jit_base;

	if (!l)
		return EV_WHY_READ;
	w = &m->w;
	s = sample_of(&m->sc);
	emit_trace(l, w, &m->sc, s->trace, &t);
	place(w, s, &m->r, &t);
	jit_base = global_ref(l, m, l->G_jit_base);
	start_at(w, jit_base ? jit_base : base, 0);
	return judge(w->frame + 8, 0) == BASE_NOT ? EV_WHY_BAD_BASE : 0;
}

/* Chooses where the walk starts. 0 or EV_WHY_*. */
static __always_inline int start(const struct layout *l, struct making *m, u64 base)
{
	struct ev_sample *s = sample_of(&m->sc);
	const struct regs *r = &m->r;
	struct walk *w = &m->w;
	u64 jit_base;
	int ok = 0;

	if (s->state == EV_STATE_TRACE)
		return start_in_trace(base);
	jit_base = global_ref(l, m, l->G_jit_base);
	if (s->flags & EV_SF_VMCODE)
		ok = start_in_asm();
	else if (jit_base && judge(jit_base, r->bx) == BASE_LUA_PC)
		ok = start_at(w, jit_base, r->bx);
	else if (s->state == EV_STATE_INTERP)
		ok = start_in_helper();
	if (ok) /* and it was judged */
		return 0;
	if (jit_base && s->state != EV_STATE_INTERP && s->state != EV_STATE_C)
		start_at(w, jit_base, 0);
	else
		start_saved(l, w, base);
	if (w->frame <= w->bottom || judge(w->frame + 8, 0) != BASE_NOT)
		return 0;
	s->flags |= EV_SF_REPAIRED;
	return start_in_caller() ? EV_WHY_BAD_BASE : 0;
}

#endif
