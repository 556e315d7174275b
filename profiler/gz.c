/* SPDX-License-Identifier: MIT */
#include "profiler/gz.h"

#include <errno.h>
#include <stdlib.h>
#define ZLIB_CONST
#include <zlib.h>

struct gz {
	z_stream z;
	FILE *f;
	unsigned char out[1 << 16];
};

/* Compresses what z has for input. 0, or -1 and errno. */
static int run(struct gz *gz, int flush)
{
	do {
		size_t n;

		gz->z.next_out = gz->out;
		gz->z.avail_out = sizeof(gz->out);
		deflate(&gz->z, flush); /* fails only on misuse */
		n = sizeof(gz->out) - gz->z.avail_out;
		errno = EIO;
		if (fwrite(gz->out, 1, n, gz->f) != n)
			return -1;
	} while (!gz->z.avail_out);
	return 0;
}

static ssize_t gz_write(void *cookie, const char *data, size_t len)
{
	struct gz *gz = cookie;

	if (len > 1u << 30)
		len = 1u << 30;
	gz->z.next_in = (const unsigned char *)data;
	gz->z.avail_in = (unsigned int)len;
	return run(gz, Z_NO_FLUSH) ? 0 : (ssize_t)len;
}

static int gz_close(void *cookie)
{
	struct gz *gz = cookie;
	int err;

	gz->z.avail_in = 0;
	err = run(gz, Z_FINISH);
	if (!err)
		err = fflush(gz->f);
	deflateEnd(&gz->z);
	free(gz);
	return err;
}

FILE *gz_fopen(FILE *f)
{
	struct gz *gz = calloc(1, sizeof(*gz));
	FILE *stream = NULL;

	if (!gz)
		return NULL;
	gz->f = f;
	/* 16 + 15: a gzip header, without name and time. */
	if (deflateInit2(&gz->z, 6, Z_DEFLATED, 16 + 15, 8, Z_DEFAULT_STRATEGY) == Z_OK) {
		stream = fopencookie(gz, "w",
				     (cookie_io_functions_t){.write = gz_write, .close = gz_close});
		if (!stream)
			deflateEnd(&gz->z);
	}
	if (!stream) {
		free(gz);
		errno = ENOMEM;
	}
	return stream;
}
