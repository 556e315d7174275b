/* SPDX-License-Identifier: MIT */
#include "bytecode/jitnames.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

const char *vmstate_name(unsigned int numbering, uint32_t state)
{
	static const char *const luajit[] = {"INTERP", "C", "GC", "EXIT", "RECORD", "OPT", "ASM"};
	static const char *const tarantool[] = {"INTERP", "LFUNC",  "FFUNC", "CFUNC", "GC",
						"EXIT",	  "RECORD", "OPT",   "ASM"};

	if (numbering > 1)
		return NULL;
	if (numbering)
		return state < COUNT(tarantool) ? tarantool[state] : NULL;
	return state < COUNT(luajit) ? luajit[state] : NULL;
}

const char *trace_link_name(uint32_t link)
{
	static const char *const names[LINK_MAX] = {
	    [LINK_NONE] = "none",	   [LINK_ROOT] = "root",
	    [LINK_LOOP] = "loop",	   [LINK_TAILREC] = "tail-recursion",
	    [LINK_UPREC] = "up-recursion", [LINK_DOWNREC] = "down-recursion",
	    [LINK_INTERP] = "interpreter", [LINK_RETURN] = "return",
	    [LINK_STITCH] = "stitch",
	};

	return link < LINK_MAX ? names[link] : NULL;
}

const char *trace_state_name(const struct layout *l, uint32_t state)
{
	if (!state)
		return "IDLE";
	if (state == l->ST_RECORD)
		return "RECORD";
	if (state == l->ST_START)
		return "START";
	if (state == l->ST_END)
		return "END";
	if (state == l->ST_ASM)
		return "ASM";
	if (state == l->ST_ERR)
		return "ERR";
	/* Between the two since 2021-09-19: recording the first instruction of a loop of next(). */
	if (state == l->ST_RECORD + 1u && l->ST_START == l->ST_RECORD + 2u)
		return "RECORD_1ST";
	return NULL;
}

const char *jit_param_name(uint32_t n, uint32_t i)
{
	static const char *const names[] = {"maxtrace",	 "maxrecord",  "maxirconst", "maxside",
					    "maxsnap",	 "minstitch",  "hotloop",    "hotexit",
					    "tryside",	 "instunroll", "loopunroll", "callunroll",
					    "recunroll", "sizemcode",  "maxmcode"};
	const uint32_t stitch = 5;

	if (i >= n || (n != COUNT(names) && n != COUNT(names) - 1))
		return NULL;
	return names[n < COUNT(names) && i >= stitch ? i + 1 : i];
}
