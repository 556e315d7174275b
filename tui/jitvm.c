// SPDX-License-Identifier: MIT
/* What a VM's memory says of its JIT compiler and of the exits of its traces. */
#include "bytecode/jitnames.h"
#include "tui/ljx.h"

#include <jansson.h>
#include <string.h>

/* JIT parameter of a VM; -1: not known. */
static int32_t param(const struct jt_vm_info *vm, const char *name)
{
	const char *is;
	uint32_t i;

	for (i = 0; i < vm->nparams; i++) {
		is = jit_param_name(vm->nparams, i);
		if (is && !strcmp(is, name))
			return vm->param[i];
	}
	return -1;
}

/* ", 3% of maxmcode 512 KB" */
static void print_share(uint64_t used, int32_t limit, uint64_t unit, const char *name,
			const char *suffix)
{
	if (limit > 0)
		printf(", %.0f%% of %s %d%s", 100 * (double)used / ((double)limit * (double)unit),
		       name, limit, suffix);
}

void print_vm_limits(const struct jt_vm_info *vm)
{
	uint32_t i;

	if (!vm->time)
		return;
	printf("  JIT %s; %u traces", vm->on ? "on" : "off", vm->traces);
	print_share(vm->traces, param(vm, "maxtrace"), 1, "maxtrace", "");
	printf("; %llu KB of machine code areas", (unsigned long long)vm->szallmcarea / 1024);
	print_share(vm->szallmcarea, param(vm, "maxmcode"), 1024, "maxmcode", " KB");
	printf("\n ");
	for (i = 0; i < vm->nparams; i++)
		printf(" %s=%d",
		       jit_param_name(vm->nparams, i) ? jit_param_name(vm->nparams, i) : "?",
		       vm->param[i]);
	printf("\n");
}

json_t *json_vm(const struct jt_vm_info *vm)
{
	json_t *j = json_pack("{s:I,s:I,s:I,s:I,s:I}", "pid", (json_int_t)vm->pid, "vm",
			      (json_int_t)vm->vm, "flushes", (json_int_t)vm->epoch, "traces",
			      (json_int_t)vm->traces, "mcode_bytes", (json_int_t)vm->szmcode),
	       *params = json_object();
	uint32_t i;

	if (!vm->time) { /* its memory was not read */
		json_decref(params);
		return j;
	}
	json_object_set_new(j, "jit_on", json_boolean(vm->on));
	json_object_set_new(j, "mcode_area_bytes", json_integer((json_int_t)vm->szallmcarea));
	json_object_set_new(j, "trace_table", json_integer(vm->sizetrace));
	for (i = 0; i < vm->nparams; i++)
		if (jit_param_name(vm->nparams, i))
			json_object_set_new(params, jit_param_name(vm->nparams, i),
					    json_integer(vm->param[i]));
	json_object_set_new(j, "params", params);
	return j;
}

static void state_text(const struct jt_exit *e, char buf[64])
{
	if (e->child)
		snprintf(buf, 64, "-> trace %u", e->child);
	else if (e->count == EV_EXIT_DONE)
		snprintf(buf, 64, "side trace, not known which");
	else if (e->left)
		snprintf(buf, 64, "%sgiven up after %u more", e->retrying ? "retrying, " : "",
			 e->left);
	else
		snprintf(buf, 64, "-");
}

void print_exits(const struct jt_trace *t)
{
	char count[16], state[64];
	uint32_t i;

	if (!t->nexits)
		return;
	/* lj_trace.c:trace_hotside counts no further once there is a side trace. */
	printf("  Exits     counted while they have no side trace\n");
	for (i = 0; i < t->nexits; i++) {
		const struct jt_exit *e = &t->exits[i];

		snprintf(count, sizeof(count), "%u", e->count);
		state_text(e, state);
		printf("            %3u %4s  %-32s %s\n", e->exitno,
		       e->count == EV_EXIT_DONE ? "-" : count, state, short_place(&e->at, 0));
	}
}

json_t *json_exits(const struct jt_trace *t)
{
	json_t *list = json_array(), *j;
	uint32_t i;

	for (i = 0; i < t->nexits; i++) {
		const struct jt_exit *e = &t->exits[i];

		j = json_pack("{s:I,s:b,s:b}", "exit", (json_int_t)e->exitno, "side_trace",
			      e->count == EV_EXIT_DONE, "retrying", e->retrying);
		if (!j)
			continue;
		json_object_set_new(
		    j, "count", e->count == EV_EXIT_DONE ? json_null() : json_integer(e->count));
		json_object_set_new(j, "child", e->child ? json_integer(e->child) : json_null());
		json_object_set_new(j, "left", e->left ? json_integer(e->left) : json_null());
		json_object_set_new(j, "at", json_place(&e->at));
		json_array_append_new(list, j);
	}
	return list;
}
