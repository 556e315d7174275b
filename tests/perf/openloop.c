// SPDX-License-Identifier: MIT
/*
 * Requests at a fixed rate: openloop PORT PATH RATE SECONDS CONNECTIONS
 *
 * A request is due each 1/RATE of a second, whether or not the answers to those before have come;
 * its latency counts from when it was due. Answers must have a Content-Length. Prints
 * {"sent":, "answered":, "late":, "p50_us":, "p99_us":, "max_us":}; late: sent more than 10 ms
 * after it was due, for want of a free connection or of CPU time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 256
#define LATE_NS 10000000u

struct conn {
	uint64_t due; /* of the request under way; 0: none */
	size_t used;
	char buf[4096];
};

static struct pollfd fds[CONNS_MAX];
static struct conn conns[CONNS_MAX];
static uint64_t *latency;
static size_t answered, late;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "openloop: %s\n", what);
	exit(1);
}

static int dial(int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die(strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* The length of a whole answer at the start of buf, 0 if its head is not there yet. */
static size_t answer_length(const char *buf)
{
	const char *end = strstr(buf, "\r\n\r\n"), *len = strcasestr(buf, "\r\ncontent-length:");

	if (!end)
		return 0;
	if (!len || len > end || strncmp(buf, "HTTP/1.1 200 ", 13))
		die("an answer without a length, or a failure");
	return (size_t)(end + 4 - buf) + strtoul(len + 17, NULL, 10);
}

static void take(int i)
{
	struct conn *c = &conns[i];
	ssize_t n = read(fds[i].fd, c->buf + c->used, sizeof(c->buf) - 1 - c->used);
	size_t want;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !c->due)
		die("the server closed a connection");
	c->used += (size_t)n;
	c->buf[c->used] = '\0';
	want = answer_length(c->buf);
	if (!want || c->used < want)
		return;
	latency[answered++] = now() - c->due;
	c->due = 0;
	c->used = 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static double us(size_t n, unsigned int of)
{
	size_t i = answered * n / of;

	return answered ? (double)latency[i < answered ? i : answered - 1] / 1e3 : 0;
}

/* Sends what is due over free connections. Returns how many were sent. */
static size_t send_due(const char *req, size_t len, size_t sent, size_t all, uint64_t start,
		       double step, int nconns)
{
	uint64_t t = now(), due;

	for (int i = 0; i < nconns && sent < all; i++) {
		due = start + (uint64_t)((double)sent * step);
		if (due > t)
			break;
		if (conns[i].due)
			continue;
		if (write(fds[i].fd, req, len) != (ssize_t)len)
			die("cannot send");
		late += t - due > LATE_NS;
		conns[i].due = due;
		sent++;
	}
	return sent;
}

int main(int argc, char **argv)
{
	char req[256];
	size_t len, sent = 0, all;
	uint64_t start, end;
	double step;
	int nconns;

	if (argc != 6 || atoi(argv[5]) < 1 || atoi(argv[5]) > CONNS_MAX || atof(argv[3]) <= 0) {
		fprintf(stderr, "usage: openloop PORT PATH RATE SECONDS CONNECTIONS\n");
		return 2;
	}
	nconns = atoi(argv[5]);
	all = (size_t)(atof(argv[3]) * atof(argv[4]));
	step = 1e9 / atof(argv[3]);
	latency = calloc(all + 1, sizeof(*latency));
	len = (size_t)snprintf(req, sizeof(req), "GET %.200s HTTP/1.1\r\nHost: bench\r\n\r\n",
			       argv[2]);
	if (!latency)
		die("out of memory");
	for (int i = 0; i < nconns; i++)
		fds[i] = (struct pollfd){.fd = dial(atoi(argv[1])), .events = POLLIN};
	start = now();
	end = start + (uint64_t)(atof(argv[4]) * 1e9) + 2000000000u;
	while (answered < all && now() < end) {
		sent = send_due(req, len, sent, all, start, step, nconns);
		poll(fds, (nfds_t)nconns, 1);
		for (int i = 0; i < nconns; i++)
			if (fds[i].revents)
				take(i);
	}
	qsort(latency, answered, sizeof(*latency), by_value);
	printf(
	    "{\"sent\": %zu, \"answered\": %zu, \"late\": %zu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	    "\"max_us\": %.1f}\n",
	    sent, answered, late, us(1, 2), us(99, 100), us(1, 1));
	return 0;
}
