// SPDX-License-Identifier: MIT
/* Names of symbols from a hostile target's files. */
#include "bpf/demangle.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses the language. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[1100], out[256];
	size_t n = size < 1000 ? size : 1000;

	if (!size)
		return 0;
	memset(name, 0, sizeof(name));
	strcpy(name, data[0] & 1 ? "_R" : data[0] & 2 ? "_ZN" : "_Z");
	memcpy(name + strlen(name), data + 1, n - 1);
	demangle(name, out, sizeof(out));
	if (!memchr(out, '\0', sizeof(out)))
		abort();
	return 0;
}
