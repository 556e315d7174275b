// SPDX-License-Identifier: MIT
#include "bpf/inlines.h"
#include "bpf/helper.h"
#include "bpf/inlines_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CPU_SECONDS 20 /* for an answer: how many there will be is not known */
/* An answer takes microseconds; before the first one all functions are listed. */
#define FIRST_MS 20000
#define NEXT_MS 2000

struct inlines {
	struct helper helper; /* asked for an address, it answers with a text */
	int answers;
};

static void serve(const void *eo, int sock)
{
	static char text[INLINES_TEXT];
	struct inlines_dw *in = inlines_dw_new(eo);
	uint64_t vaddr;

	while (in && recv(sock, &vaddr, sizeof(vaddr), 0) == sizeof(vaddr) &&
	       !helper_limit_cpu(CPU_SECONDS)) {
		inlines_dw_at(in, vaddr, text, sizeof(text));
		if (send(sock, text, strlen(text) + 1, MSG_NOSIGNAL) < 0)
			break;
	}
	inlines_dw_free(in);
}

int inlines_new(const struct elfobj *eo, struct inlines **out)
{
	static const struct helper_opts opts = {
	    .cpu_seconds = CPU_SECONDS, .memory = 2ull << 30, .goes_on = 1};
	struct inlines *in;
	int err;

	if (!elfobj_has_debug(eo))
		return -ENOENT;
	in = calloc(1, sizeof(*in));
	if (!in)
		return -ENOMEM;
	err = helper_start(serve, eo, &opts, &in->helper);
	if (err) {
		free(in);
		return err;
	}
	*out = in;
	return 0;
}

void inlines_free(struct inlines *in)
{
	if (!in)
		return;
	helper_end(&in->helper);
	free(in);
}

/* How many lines the text of an answer has, or -EIO: it is none. */
static int count_lines(const char *text, ssize_t len)
{
	const char *c;
	int n;

	if (len <= 0 || strnlen(text, (size_t)len) != (size_t)len - 1)
		return -EIO;
	n = *text != '\0';
	for (c = text; (c = strchr(c, '\n')); c++)
		n++;
	return n <= INLINES_MAX ? n : -EIO;
}

int inlines_at(struct inlines *in, uint64_t vaddr, char text[INLINES_TEXT])
{
	int n = -EIO, ms = in->answers ? NEXT_MS : FIRST_MS;
	char answer[INLINES_TEXT];

	if (in->helper.pid && !helper_ask(&in->helper, &vaddr, sizeof(vaddr)))
		n = count_lines(answer, helper_answer(&in->helper, answer, sizeof(answer), ms));
	if (n < 0) {
		helper_end(&in->helper);
		return n;
	}
	in->answers = 1;
	memcpy(text, answer, strlen(answer) + 1);
	return n;
}
