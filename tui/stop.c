// SPDX-License-Identifier: MIT
#include "tui/ljx.h"

#include <unistd.h>

volatile sig_atomic_t stop_requested;

static void on_signal(int sig)
{
	(void)sig;
	if (++stop_requested > 1)
		_exit(128 + sig);
}

void stop_on_signals(void)
{
	/* Output that waits for its reader is written all the same. */
	struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}
