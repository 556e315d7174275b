/* SPDX-License-Identifier: MIT */
/*
 * A child process for what may crash, hang or take all memory: it is asked, and answers, by
 * messages over a socket, and what it does not answer in time is not known.
 *
 * The child is a copy of us. It has nothing open but its end of the socket, above all no probe, and
 * writes nowhere else; it ends with us, leaves no core, and has no handler of ours for its faults.
 */
#ifndef BPF_HELPER_H
#define BPF_HELPER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct helper {
	pid_t pid; /* 0: there is none, or it ended */
	int sock;
};

struct helper_opts {
	unsigned int cpu_seconds; /* 0: as many as it takes */
	uint64_t memory;	  /* bytes beyond what we have; 0: any */
	int goes_on;		  /* after ^C and other signals that ask us to end */
};

/* What the child runs, to its end. */
typedef void helper_fn(const void *ctx, int sock);

/* 0 or -errno; *out is the caller's, for helper_end. */
int helper_start(helper_fn *fn, const void *ctx, const struct helper_opts *opts,
		 struct helper *out);

/* Ends it, whatever it does. What ended or is all zero may be given. */
void helper_end(struct helper *h);

/* Sends it a message, without waiting. 0 or -errno. */
int helper_ask(const struct helper *h, const void *msg, size_t len);

/*
 * Waits up to ms for a message: its length, of which at most cap bytes come. 0: none yet; -EINTR: a
 * signal came; another -errno: there will be none.
 */
ssize_t helper_take(const struct helper *h, void *msg, size_t cap, int ms);

/* The same through all signals; none in time is -ETIMEDOUT. */
ssize_t helper_answer(const struct helper *h, void *msg, size_t cap, int ms);

/* In the child: it may use so much CPU time from now on. 0 or -errno. */
int helper_limit_cpu(unsigned int seconds);

#endif
