/* SPDX-License-Identifier: MIT */
/* How the fuzz targets that make records take numbers from their input. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *p;
	size_t left;
};

static inline uint8_t take(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

/* Mostly 0 to 15, sometimes anything. */
static inline uint64_t number(struct input *in)
{
	uint8_t b = take(in);
	uint64_t v = b & 15;

	if (b < 0xf0)
		return v;
	for (int i = 0; i < 8; i++)
		v = v << 8 | take(in);
	return v;
}

#endif
