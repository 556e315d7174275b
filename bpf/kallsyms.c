// SPDX-License-Identifier: MIT
#include "bpf/kallsyms.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (256u << 20)

struct sym {
	uint64_t addr;
	const char *name, *module;
};

struct kallsyms {
	char *text; /* names point into it */
	struct sym *sym;
	size_t n;
};

static int by_addr(const void *a, const void *b)
{
	const struct sym *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* "ADDRESS TYPE NAME[\t[MODULE]]" in [p, end), where *end may be written to. 1: a function. */
static int parse_line(char *p, char *end, struct sym *out)
{
	char *tab, *close;

	*end = '\0';
	out->addr = strtoull(p, &p, 16);
	if (!out->addr || p[0] != ' ' || !p[1] || !strchr("tTwW", p[1]) || p[2] != ' ')
		return 0;
	out->name = p + 3;
	out->module = "";
	tab = strchr(p + 3, '\t');
	if (tab) {
		*tab = '\0';
		close = strchr(tab + 1, ']');
		if (tab[1] == '[' && close) {
			*close = '\0';
			out->module = tab + 2;
		}
	}
	return out->name[0] != '\0';
}

/* Takes text, of len bytes and a further one. */
static struct kallsyms *make(char *text, size_t len)
{
	struct kallsyms *k = calloc(1, sizeof(*k));
	size_t cap = 0;
	char *p, *end;

	if (!k) {
		free(text);
		return NULL;
	}
	k->text = text;
	for (p = text; p < text + len; p = end + 1) {
		end = memchr(p, '\n', (size_t)(text + len - p));
		if (!end)
			end = text + len;
		if (k->n == cap) {
			struct sym *bigger;

			cap = cap ? 2 * cap : 4096;
			bigger = realloc(k->sym, cap * sizeof(*bigger));
			if (!bigger)
				break;
			k->sym = bigger;
		}
		k->n += (size_t)parse_line(p, end, &k->sym[k->n]);
	}
	if (k->n)
		qsort(k->sym, k->n, sizeof(*k->sym), by_addr);
	return k;
}

struct kallsyms *kallsyms_parse(const char *text, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text, len);
	return make(copy, len);
}

struct kallsyms *kallsyms_new(void)
{
	int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
	size_t cap = 1u << 20, len = 0;
	char *text = malloc(cap), *bigger;
	ssize_t n;

	while (text && fd >= 0 && cap < TEXT_MAX) {
		n = read(fd, text + len, cap - len - 1);
		if (n <= 0)
			break;
		len += (size_t)n;
		if (cap - len > 1)
			continue;
		bigger = realloc(text, cap *= 2);
		if (!bigger)
			free(text);
		text = bigger;
	}
	if (fd >= 0)
		close(fd);
	return text ? make(text, len) : NULL;
}

void kallsyms_free(struct kallsyms *k)
{
	if (!k)
		return;
	free(k->sym);
	free(k->text);
	free(k);
}

int kallsyms_find(const struct kallsyms *k, uint64_t addr, struct kallsyms_sym *out)
{
	size_t lo = 0, hi = k->n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (k->sym[mid].addr <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* What is behind the last one may be anything. */
	if (!lo || lo == k->n)
		return -ENOENT;
	out->end = k->sym[lo].addr;
	out->start = k->sym[lo - 1].addr;
	while (--lo && k->sym[lo - 1].addr == out->start)
		; /* of several names the first in order */
	out->name = k->sym[lo].name;
	out->module = k->sym[lo].module;
	return 0;
}
