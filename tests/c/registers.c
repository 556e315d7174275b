/* SPDX-License-Identifier: MIT */
/*
 * registers PID: takes all four debug registers of that thread, as a debugger with four watchpoints
 * does, until its standard input ends. Prints "ready".
 */
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_BREAKPOINT,
				       .bp_type = HW_BREAKPOINT_W,
				       .bp_addr = 0x10000, /* nothing is there */
				       .bp_len = HW_BREAKPOINT_LEN_4,
				       .exclude_kernel = 1,
				       .exclude_hv = 1};
	int i;

	for (i = 0; i < 4; i++, attr.bp_addr += 4) {
		if (syscall(SYS_perf_event_open, &attr, argc > 1 ? atoi(argv[1]) : 0, -1, -1, 0) <
		    0) {
			fprintf(stderr, "registers: %s\n", strerror(errno));
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
