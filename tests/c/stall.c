// SPDX-License-Identifier: MIT
/*
 * A target with a large heap that measures how long it is kept waiting: stall MEGABYTES
 *
 * Its memory is full of what looks like prototypes. One thread maps, touches and unmaps a little
 * memory, over and over, which waits for whoever reads the process's mappings; another one reads
 * the clock. For each line on stdin prints {"event":"stall","ops":N,"worst":US,"p999":US,"p99":US,
 * "gap":US} of the time since the line before: the slowest operations of the first, the longest gap
 * of the other.
 */
#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define US_MAX 65536u /* slower ones are counted as that */
#define PIECE (64u << 10)

static atomic_uint slow[US_MAX + 1]; /* operations by us */
static atomic_ullong gap;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *map_and_unmap(void *arg)
{
	uint64_t start, us;
	char *p;

	(void)arg;
	for (;;) {
		start = now();
		p = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			abort();
		p[0] = p[PIECE - 1] = 1;
		munmap(p, PIECE);
		us = (now() - start) / 1000;
		atomic_fetch_add(&slow[us < US_MAX ? us : US_MAX], 1);
	}
	return NULL;
}

static void *watch_clock(void *arg)
{
	uint64_t last = now(), t;

	(void)arg;
	for (;;) {
		t = now();
		if (t - last > atomic_load(&gap))
			atomic_store(&gap, t - last);
		last = t;
	}
	return NULL;
}

/* The slowest but for one in so many. */
static unsigned int slowest(const unsigned int *n, uint64_t ops, uint64_t but)
{
	uint64_t above = 0;
	unsigned int us;

	for (us = US_MAX; us > 0; us--) {
		above += n[us];
		if (above * but > ops)
			break;
	}
	return us;
}

static void tell(void)
{
	static unsigned int n[US_MAX + 1];
	uint64_t ops = 0;
	unsigned int us;

	for (us = 0; us <= US_MAX; us++) {
		n[us] = atomic_exchange(&slow[us], 0);
		ops += n[us];
	}
	printf(
	    "{\"event\":\"stall\",\"ops\":%llu,\"worst\":%u,\"p999\":%u,\"p99\":%u,\"gap\":%llu}\n",
	    (unsigned long long)ops, slowest(n, ops, UINT32_MAX), slowest(n, ops, 1000),
	    slowest(n, ops, 100), (unsigned long long)atomic_exchange(&gap, 0) / 1000);
	fflush(stdout);
}

/* A lua_State that nobody runs, and memory in which each word may be an object's head. */
static void fill(size_t mb)
{
	lua_State *L = luaL_newstate();
	uint64_t *p =
	    mmap(NULL, mb << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (!L || p == MAP_FAILED) {
		fprintf(stderr, "stall: %s\n", strerror(errno));
		exit(1);
	}
	luaL_openlibs(L);
	if (luaL_dostring(L, "local s = 0 for i = 1, 1e4 do s = s + i end"))
		exit(1);
	for (i = 0; i < (mb << 20) / 8; i++)
		p[i] = i & 15 ? (uintptr_t)(p + i) : 0x0701; /* gct 7: a prototype's */
}

int main(int argc, char **argv)
{
	pthread_t thread;
	char line[64];

	if (argc != 2)
		return 2;
	fill((size_t)atol(argv[1]));
	if (pthread_create(&thread, NULL, map_and_unmap, NULL) ||
	    pthread_create(&thread, NULL, watch_clock, NULL))
		return 1;
	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		tell();
	return 0;
}
