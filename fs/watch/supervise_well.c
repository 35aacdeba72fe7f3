/* SPDX-License-Identifier: BSD-2-Clause */
/* How a worker looks from outside: what it shows in the shared page, and its threads in /proc. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/watch/supervise_own.h"

/* What /proc/PID/stat says of the worker, from its state on, into TEXT; NULL: nothing. */
static const char *proc_stat(const struct run *r, char *text, size_t size)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)r->pid);
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	const char *name_end = strrchr(text, ')'); /* the name before it may hold anything */
	return name_end && name_end[1] == ' ' ? name_end + 2 : NULL;
}

/*
 * Killed, but not ended: a thread that waits for its own mount (the syncfs of a lock) cannot die before the connection is
 * aborted, and until then the pidfd is silent. The state of the first thread tells.
 */
bool run_dying(const struct run *r)
{
	char text[512];
	const char *state = proc_stat(r, text, sizeof(text));

	return state && (*state == 'Z' || *state == 'X');
}

/* Its time on the processor, of all threads, in ticks; 0: cannot be told. */
static uint64_t ran(const struct run *r)
{
	char text[512];
	const char *at = proc_stat(r, text, sizeof(text));
	char *end;

	/* state, 10 numbers, utime, stime: proc_pid_stat(5) */
	for (unsigned i = 0; at && i < 11; i++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return 0;
	uint64_t user = strtoull(at, &end, 10);
	return user + strtoull(end, NULL, 10);
}

bool run_in_order(struct supervisor *s, const struct health_limits *limits, int64_t own_ms)
{
	const struct gate_beacon *b = &s->page->gate;
	struct run *r = &s->run;
	/* the state first: what belongs to it was stored before it */
	struct health_look look = {.own_ms = own_ms, .state = (enum gate_state)atomic_load(&b->state)};

	look.beat = atomic_load(&b->beat);
	look.deadline = atomic_load(&b->deadline);
	look.drain_ms = atomic_load(&s->page->drain_ms);
	look.stuck = atomic_load(&b->stuck);
	look.now = clock_ms(CLOCK_BOOTTIME);
	if (!r->serves)
		health_begin(&r->health, look.own_ms);
	r->serves = true;
	look.ran = health_doubts(&r->health, limits, look.own_ms) ? ran(r) : r->health.ran;
	return health_look(&r->health, limits, &look, r->why);
}
