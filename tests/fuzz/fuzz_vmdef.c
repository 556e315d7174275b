// SPDX-License-Identifier: MIT
/* A jit/vmdef.lua from anywhere: the input is the file, after one of its list heads. */
#include "bytecode/vmdef.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const heads[] = {"", "bcnames = \"", "ffnames = {", "traceerr = {",
					    "irnames = \""};
	const char *head = size ? heads[data[0] % 5] : "";
	size_t len = strlen(head) + size;
	char *text = malloc(len + 1), buf[32];
	struct tables t, by;
	static struct vmdef v;
	unsigned int l;
	uint32_t i;

	if (!text || tables_by_name("openresty v2.1-20230119+52", &t) > 1)
		abort();
	memcpy(text, head, strlen(head));
	if (size)
		memcpy(text + strlen(head), data + 1, size - 1);
	len -= size != 0;
	if (!vmdef_parse(text, len, &v)) {
		for (l = 0; l < VMDEF_LISTS; l++) {
			int64_t at = vmdef_differs(&v, (enum vmdef_list)l, &t);

			if (at > (int64_t)v.list[l].n)
				abort();
			for (i = 0; i <= v.list[l].n; i++) {
				vmdef_name(&v, (enum vmdef_list)l, i, buf, sizeof(buf));
				if (strlen(buf) >= sizeof(buf))
					abort();
			}
		}
		vmdef_tables(&v, &by);
	}
	free(text);
	return 0;
}
