// SPDX-License-Identifier: MIT
#include "tui/ljx.h"

#include <string.h>

static const struct schema {
	const char *name, *text;
} schemas[] = {
    /* clang-format off */
    {"ljx.diff/1",
#include <tui/schema/ljx.diff.1.json.h>
    },
    {"ljx.profile/1",
#include <tui/schema/ljx.profile.1.json.h>
    },
    {"ljx.report/1",
#include <tui/schema/ljx.report.1.json.h>
    },
    /* clang-format on */
};

#define NSCHEMAS (sizeof(schemas) / sizeof(schemas[0]))

int print_schema(const char *name)
{
	size_t i;

	for (i = 0; name && i < NSCHEMAS; i++) {
		if (!strcmp(name, schemas[i].name)) {
			fputs(schemas[i].text, stdout);
			return 0;
		}
	}
	if (name)
		fprintf(stderr, "ljx: no schema '%s'; there are:\n", printable(name));
	for (i = 0; i < NSCHEMAS; i++)
		fprintf(name ? stderr : stdout, "%s\n", schemas[i].name);
	return name ? WHY_USAGE : 0;
}
