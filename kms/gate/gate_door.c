/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's door: who may borrow keys now. Nothing above it is known here. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "kms/gate/gate_private.h"

static _Thread_local unsigned shard_number; /* 0 = not chosen yet */
static _Thread_local enum gate_use use_now;

/* A clock that counts a suspend: a laptop that slept through the lease wakes up locked. */
int64_t gate_clock(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

int64_t gate_now(const struct gate *g)
{
	return g->clock();
}

void gate_wake(struct gate *g)
{
	uint64_t one = 1;
	int saved = errno;
	ssize_t n = write(g->wake_fd, &one, sizeof(one)); /* a full counter wakes just as well */

	(void)n;
	errno = saved;
}

static struct gate_shard *shard_mine(struct gate *g)
{
	static atomic_uint next;

	if (!shard_number)
		shard_number = atomic_fetch_add(&next, 1) % GATE_SHARDS + 1;
	return &g->shard[shard_number - 1];
}

/*
 * Milliseconds since lease or grace ended, negative while it runs. A clock before the newest good answer was put back (a process
 * restored on another machine): that is the end too. The clock is looked at last, so that it is later than what was stored.
 */
static int64_t gate_past(const struct gate *g)
{
	const int64_t deadline = atomic_load(&g->deadline), from = atomic_load(&g->lease_from), now = g->clock();

	return now < from ? 0 : now - deadline;
}

static bool gate_admits(const struct gate *g, enum gate_use use)
{
	int state = atomic_load(&g->state);
	int64_t past;

	/* The limit too: requests that queue for one file come here one after another, as slowly as its disk takes them. */
	if (state == GATE_LOCKING)
		return use == GATE_USE_DRAIN && atomic_load(&g->drain_open) &&
		       g->clock() < atomic_load(&g->drain_until);
	if (state != GATE_ACTIVE && state != GATE_GRACE)
		return false;
	past = gate_past(g);
	/*
	 * The lease has ended: nothing new, whether the gate's thread lives or not. What was accepted before may still be
	 * sealed for as long as a drain may take, until the thread has gone through LOCKING.
	 */
	return past < 0 || (use == GATE_USE_DRAIN && past < (int64_t)g->drain_ms + 1000);
}

int gate_enter(struct gate *g, enum gate_use use, const struct store_keys **keys)
{
	struct gate_shard *s = shard_mine(g);
	int state = atomic_load(&g->state);

	/* A crowd that is refused must not keep the counts busy that a lock waits for. */
	if (state == GATE_LOCKED || state == GATE_RETURNING)
		return -EACCES;
	if (state == GATE_LOCKING && (use != GATE_USE_DRAIN || !atomic_load(&g->drain_open)))
		return -EACCES;
	/*
	 * Count first, look at the state second; the lock sets the state first and looks at the counts second. Both are
	 * sequentially consistent, so one of the two sees the other.
	 */
	atomic_fetch_add(&s->inside, 1);
	if (!gate_admits(g, use)) {
		atomic_fetch_sub(&s->inside, 1);
		return -EACCES;
	}
	use_now = use;
	*keys = g->store;
	return 0;
}

void gate_leave(struct gate *g)
{
	use_now = 0;
	atomic_fetch_sub(&shard_mine(g)->inside, 1);
}

enum gate_use gate_use_now(void)
{
	return use_now;
}

void gate_quiesce(struct gate *g)
{
	const struct timespec pause = {.tv_nsec = 50000};

	for (size_t i = 0; i < GATE_SHARDS; i++)
		while (atomic_load(&g->shard[i].inside))
			nanosleep(&pause, NULL);
}

void gate_drain_end(struct gate *g)
{
	atomic_store(&g->drain_open, false);
}

enum gate_state gate_state(const struct gate *g)
{
	enum gate_state state = (enum gate_state)atomic_load(&g->state);

	if ((state == GATE_ACTIVE || state == GATE_GRACE) && gate_past(g) >= 0)
		return GATE_LOCKING;
	return state;
}

bool gate_serving(const struct gate *g)
{
	int state = atomic_load(&g->state);

	return state == GATE_ACTIVE || state == GATE_GRACE;
}

void gate_poke(struct gate *g)
{
	atomic_store(&g->poked, true);
	gate_wake(g);
}
