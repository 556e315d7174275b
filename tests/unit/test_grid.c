// SPDX-License-Identifier: MIT
/* The cell grid: what text becomes, clipping; and how roles look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tui/grid.h"
#include "tui/palette.h"

static void check(struct grid *g, const char *want)
{
	char *got = grid_dump(g, 0);

	assert_non_null(got);
	assert_string_equal(got, want);
	free(got);
}

static void test_text(void **state)
{
	static const struct {
		const char *text;
		int width;
		const char *utf8, *ascii;
	} cases[] = {
	    {"plain", 10, "plain\n", "plain\n"},
	    {"cut here", 5, "cut >\n", "cut >\n"},
	    {"exact", 5, "exact\n", "exact\n"},
	    {"a\033[31mb\007\n\tc", 12,
	     "a\xef\xbf\xbd[31mb\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
	     "c\n",
	     "a?[31mb???c\n"},
	    {"\x9b\x31m\xff", 12,
	     "\xef\xbf\xbd"
	     "1m\xef\xbf\xbd\n",
	     "?1m?\n"},
	    {"\xc2\x9b"
	     "31m",
	     12,
	     "\xef\xbf\xbd"
	     "31m\n",
	     "?31m\n"},
	    {"\xe2\x80\xae"
	     "abc",
	     12,
	     "\xef\xbf\xbd"
	     "abc\n",
	     "?abc\n"},
	    {"e\xcc\x81", 12, "e\xef\xbf\xbd\n", "e?\n"},
	    {"\xc3\xa9t\xc3\xa9", 12, "\xc3\xa9t\xc3\xa9\n", "?t?\n"},
	    {"\xe6\x97\xa5\xe6\x9c\xac", 12, "\xe6\x97\xa5\xe6\x9c\xac\n", "??\n"},
	    {"\xe6\x97\xa5\xe6\x9c\xac", 3, "\xe6\x97\xa5>\n", "??\n"},
	    {"\xed\xa0\x80", 12, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\n", "???\n"},
	};
	struct grid g = {.ascii = 0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (g.ascii = 0; g.ascii < 2; g.ascii++) {
			assert_int_equal(grid_resize(&g, 12, 1), 0);
			grid_text(&g, 0, 0, cases[i].width, ROLE_NORMAL, cases[i].text);
			check(&g, g.ascii ? cases[i].ascii : cases[i].utf8);
		}
	grid_release(&g);
}

static void test_clipping(void **state)
{
	struct grid g = {.ascii = 1};

	(void)state;
	assert_int_equal(grid_resize(&g, 4, 2), 0);
	grid_text(&g, -2, 0, 100, ROLE_N, "abcdefgh");
	grid_text(&g, 0, 2, 4, ROLE_N, "no");
	grid_text(&g, 0, -1, 4, ROLE_N, "no");
	grid_right(&g, 0, 1, 4, ROLE_I, "xy");
	grid_fill(&g, 3, 1, 50, ROLE_C, '#', '#');
	grid_role(&g, -5, 0, 7, ROLE_SELECTED);
	grid_role(&g, 0, 9, 4, ROLE_SELECTED);
	check(&g, "cdef\n  x#\n");
	assert_int_equal(g.cell[1].role, ROLE_SELECTED);
	assert_int_equal(g.cell[2].role, ROLE_N);
	/* Half of a wide character does not show. */
	g.ascii = 0;
	grid_clear(&g);
	grid_text(&g, 3, 0, 9, ROLE_NORMAL, "\xe6\x97\xa5");
	check(&g, "\n\n");
	grid_release(&g);
}

/* Without colours none is used; marks are told apart by attributes. */
static void test_palettes(void **state)
{
	static const int colours[] = {0, 2, 8, 16, 256};
	size_t c;
	int p, r;

	(void)state;
	for (p = 0; p < PALETTES; p++)
		for (c = 0; c < sizeof(colours) / sizeof(colours[0]); c++)
			for (r = 0; r < ROLE_MAX; r++) {
				struct style s =
				    palette_style((enum palette)p, (enum grid_role)r, colours[c]);
				int most = p == PALETTE_MONO || colours[c] < 8 ? 0 : colours[c];

				assert_true(s.fg >= -1 && s.bg >= -1);
				assert_true(s.fg < most && s.bg < most);
				if (!most && (r == ROLE_SELECTED || r == ROLE_ALERT ||
					      r == ROLE_WARN || r == ROLE_TAB_ON))
					assert_int_not_equal(s.attrs, 0);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_clipping),
	    cmocka_unit_test(test_palettes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
