/* SPDX-License-Identifier: BSD-2-Clause */
/* The sentry of a lock: tells a handler that hangs in a dead disk from one that is slow. Private to fs/lock/. */
#ifndef FS_LOCK_SENTRY_H
#define FS_LOCK_SENTRY_H

#include "fs/lock/lock.h"

#define SENTRY_LOOKS 6u /* each 100 ms: a disk that gives a thread no turn for so long, at a lock, counts as dead */

/* What the sentry saw of a seat. */
struct sentry_seat {
	uint64_t request, turns;
	unsigned looks; /* ... in a row that it was in the same request */
	unsigned still; /* ... and slept, without one turn on the processor */
};

struct sentry {
	struct lock *lock;
	int64_t until; /* ms of CLOCK_BOOTTIME: end of the drain limit */
	struct sentry_seat seen[LOCK_SEATS];
	pthread_mutex_t mutex;
	pthread_cond_t ends;
	bool stop; /* mutex */
	bool runs;
	pthread_t thread;
};

/*
 * From now on to sentry_end(): when handlers hang past UNTIL, beacon->stuck is set, for the supervisor to end what this
 * process cannot. Allocates nothing. Where no thread can be made nobody looks, and the supervisor's own limits hold.
 */
void sentry_start(struct sentry *s, struct lock *l, int64_t until);
void sentry_end(struct sentry *s);
/*
 * One look, SEEN being those before. True: a handler hangs, and none that has been at its request for as long moves - one that
 * waits for another's lock on a slow disk stands still too. A look that comes late, on a starved machine, is still one look.
 */
bool sentry_look(struct sentry_seat seen[LOCK_SEATS], struct lock *l);

#endif
