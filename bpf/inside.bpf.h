/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Where in a trace's machine code a sample is. Part of sampler.bpf.c.
 *
 * In a trace rsp is the VM's C frame less two registers (vm_x64.dasc, vm_x86.dasc: BC_JLOOP) and
 * less what the trace has for its spill slots (lj_asm_x86.h:asm_stack_adjust), and nothing is ever
 * pushed there but the return address of a call. So the place of that address is known, and stale
 * words elsewhere on the stack need not be guessed about.
 */
#ifndef BPF_INSIDE_BPF_H
#define BPF_INSIDE_BPF_H

#define INSIDE_SAVED 16 /* bytes */
#define CALL_REL32 0xe8 /* lj_emit_x86.h:emit_call_ */
#define CALL_GROUP 0xff /* and where the callee is too far: call reg, with ModRM 0xd0 to 0xd7 */

/* The offset in the machine code that the call returns to that left its address at slot; 0: none.
 */
WALK_FN_NUM u32 call_returns_to(u64 slot, u64 mcode, u32 szmcode)
{
	u64 ret = 0, ofs;
	u8 code[8] = {};

	if (peek(&ret, 8, slot))
		return 0;
	ofs = ret - mcode;
	if (ofs < 5 || ofs >= szmcode || peek(code, 5, ret - 5))
		return 0;
	if (code[0] != CALL_REL32 && (code[3] != CALL_GROUP || (code[4] & 0xf8) != 0xd0))
		return 0;
	return (u32)ofs;
}

static __always_inline void place(const struct walk *w, struct ev_sample *s, const struct regs *r,
				  const struct walk_trace *t)
{
	u64 slot;

	if (r->ip - t->mcode < t->szmcode) {
		s->flags |= EV_SF_MCODE;
		s->mcofs = (u32)(r->ip - t->mcode);
		return;
	}
	if (!t->T || !r->ip)
		return;
	slot = w->cf - INSIDE_SAVED - t->spadjust - 8;
	if (slot < r->sp)
		return;
	s->mcofs = call_returns_to(slot, t->mcode, t->szmcode);
	if (s->mcofs)
		s->flags |= EV_SF_CALLED;
}

#endif
