/* SPDX-License-Identifier: MIT */
/* What a profile tells of itself. */
#include "profiler/fold.h"

#include <string.h>

static const char *const state_text[EV_STATE_MAX] = {
#define STATE_TEXT(num, name, text) [num] = text,
    EV_STATES(STATE_TEXT)
#undef STATE_TEXT
};

static const char *const phase_text[PROF_INSIDE_MAX] = {
#define PHASE_TEXT(name, text) [PROF_INSIDE_##name] = text,
    PROF_INSIDES(PHASE_TEXT)
#undef PHASE_TEXT
};

const char *prof_phase(unsigned int inside)
{
	return phase_text[inside];
}

const struct prof_node *prof_root(const struct prof *p)
{
	return &node_at(p, 0)->pub;
}

uint32_t prof_stacks(const struct prof *p)
{
	return p->nnodes;
}

const struct prof_node *prof_stack(const struct prof *p, uint32_t stack)
{
	return &node_at(p, stack)->pub;
}

uint32_t prof_parent(const struct prof *p, uint32_t stack)
{
	return node_at(p, stack)->parent;
}

uint32_t prof_frames(const struct prof *p)
{
	return p->nframes;
}

const struct prof_frame *prof_frame(const struct prof *p, uint32_t frame)
{
	return &p->frames[frame].pub;
}

const struct prof_stats *prof_stats(const struct prof *p)
{
	return &p->stats;
}

const char *prof_unit_name(const struct prof *p, int many)
{
	static const char *const names[][2] = {[PROF_SAMPLES] = {"sample", "samples"},
					       [PROF_ABORTS] = {"abort", "aborts"},
					       [PROF_LOST_MS] = {"ms", "ms"}};

	return names[p->stats.unit][!!many];
}

const struct prof_process *prof_processes(const struct prof *p, size_t *n)
{
	*n = p->finished ? p->nprocs : 0;
	return p->processes;
}

static const uint32_t group_states[PROF_GROUP_MAX] = {
#define GROUP_STATES(letter, text, states) [PROF_GROUP_##letter] = states,
    PROF_GROUPS(GROUP_STATES)
#undef GROUP_STATES
};

const char *prof_state_name(unsigned int state)
{
	return state < EV_STATE_MAX ? state_text[state] : "?";
}

uint32_t prof_states(char letter)
{
	static const char letters[] = {
#define GROUP_LETTER(letter, text, states) #letter[0],
	    PROF_GROUPS(GROUP_LETTER)
#undef GROUP_LETTER
	};
	const char *at = letter ? memchr(letters, letter, sizeof(letters)) : NULL;

	return at ? group_states[at - letters] : 0;
}

void prof_groups(const uint64_t by_state[EV_STATE_MAX], uint64_t out[PROF_GROUP_MAX])
{
	for (int g = 0; g < PROF_GROUP_MAX; g++) {
		out[g] = 0;
		for (int s = 0; s < EV_STATE_MAX; s++)
			if (group_states[g] & 1u << s)
				out[g] += by_state[s];
	}
}

const char *prof_builds(const struct prof *p)
{
	return p->builds_shown ? p->builds_shown : "";
}
