/* SPDX-License-Identifier: BSD-2-Clause */
/* The janitor's chores, which recur: sweeping up, watching writers while locked, asking for absent ids. */
#include <errno.h>
#include <time.h>

#include "fs/lock/janitor_own.h"
#include "fs/lock/lock_own.h"
#include "fs/lock/pass.h"

#define BATCH 256u
#define WATCH_PAUSE_MAX_MS 1000
#define ABSENT_FIRST_MS 1000
#define ABSENT_MS 5000
#define SYNC_WAIT_MS 50 /* pages that are there can be read meanwhile */
#define SYNC_PAUSE_MAX_MS 60000

void janitor_refuse_dirty(struct janitor *j)
{
	pthread_mutex_lock(&j->mutex);
	bool mine = !j->syncing && clock_ms(CLOCK_MONOTONIC) >= j->sync_next;
	j->syncing = j->syncing || mine;
	pthread_mutex_unlock(&j->mutex);
	if (!mine)
		return;
	/* a lock whose time was over before the kernel asked for each of them goes on here */
	bool ask = gate_state(j->lock->cfg.gate) == GATE_LOCKED && !atomic_load(&j->lock->asked);
	struct rootsync *s = rootsync_start(j->lock, ask ? ROOTSYNC_ASK_FIRST : ROOTSYNC_WRITE_BACK);
	if (rootsync_settle(s, j->lock, clock_ms(CLOCK_BOOTTIME) + SYNC_WAIT_MS)) {
		j->sync_pause = SYNC_PAUSE_MS;
	} else {
		j->sync_next = clock_ms(CLOCK_MONOTONIC) + j->sync_pause;
		j->sync_pause = sooner(j->sync_pause * 2, SYNC_PAUSE_MAX_MS);
	}
	rootsync_end(s, j->lock);
	pthread_mutex_lock(&j->mutex);
	j->syncing = false;
	pthread_mutex_unlock(&j->mutex);
}

static void forget_class(struct janitor *j, enum node_class class)
{
	pass_run(j->lock, &(struct pass_order){.class = class, .threads = 1});
}

static int64_t run_sweep(struct janitor *j)
{
	int64_t started = clock_ms(CLOCK_MONOTONIC), next = NEVER;

	forget_class(j, NODE_WRITTEN);
	forget_class(j, NODE_OPENED);
	pthread_mutex_lock(&j->mutex);
	if (j->swept_for >= started || (j->swept_for && started < j->swept_for + LAST_MS)) {
		next = clock_ms(CLOCK_MONOTONIC) + SWEEP_PAUSE_MS;
	} else if (j->swept_for) {
		j->swept_for = 0;
		atomic_fetch_sub(&j->lock->draining, 1);
	}
	pthread_mutex_unlock(&j->mutex);
	return next;
}

void janitor_sweep(struct lock *l)
{
	struct janitor *j = l->janitor;

	pthread_mutex_lock(&j->mutex);
	j->chore[SWEEP].due = 0;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->mutex);
}

/* Only the chore itself touches the list, so no lock is needed. */
static void gather(struct janitor *j)
{
	uint64_t ids[BATCH], next = 1;
	struct list *list = &j->watched;
	size_t n;

	list->n = 0;
	list->more = false;
	while ((n = pass_writable(j->lock, &next, ids, BATCH)) > 0)
		for (size_t i = 0; i < n; i++) {
			if (list->n < LIST_MAX)
				list->id[list->n++] = ids[i];
			else
				list->more = true;
		}
}

static void watch_once(struct janitor *j)
{
	struct list *list = &j->watched;
	size_t left = 0;

	for (size_t i = 0; i < list->n; i++) {
		if (!lock_writable(j->lock, list->id[i], NULL))
			continue;
		(void)lock_forget(j->lock, list->id[i]);
		list->id[left++] = list->id[i];
	}
	list->n = left;
	if (list->more)
		forget_class(j, NODE_WRITTEN);
}

/* Often at first and while something is refused; then twice as seldom each time, so that idle handles cost nothing. */
static int64_t run_watch(struct janitor *j)
{
	uint64_t refused = atomic_load(&j->lock->refused_writes);
	int64_t started = clock_ms(CLOCK_MONOTONIC);

	pthread_mutex_lock(&j->mutex);
	bool anew = j->gather;
	j->gather = false;
	pthread_mutex_unlock(&j->mutex);
	if (anew) {
		gather(j);
		j->watch_pause = PAUSE_MS;
	}
	if (janitor_gate_open(j) || (j->watched.n == 0 && !j->watched.more))
		return NEVER;
	janitor_refuse_dirty(j);
	watch_once(j);
	int64_t took = clock_ms(CLOCK_MONOTONIC) - started;
	j->watch_pause = refused != j->watch_refused ? PAUSE_MS : sooner(j->watch_pause * 2, WATCH_PAUSE_MAX_MS);
	if (j->watch_pause < took) /* not more than half of a processor */
		j->watch_pause = sooner(took, LAST_MS);
	j->watch_refused = refused;
	return j->watched.n > 0 || j->watched.more ? clock_ms(CLOCK_MONOTONIC) + j->watch_pause : NEVER;
}

void janitor_locked(struct lock *l)
{
	struct janitor *j = l->janitor;

	pthread_mutex_lock(&j->mutex);
	j->gather = true;
	j->chore[WATCH].due = 0;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->mutex);
}

static int64_t run_absent(struct janitor *j)
{
	struct list *list = &j->absent;
	size_t i = 0;

	pthread_mutex_lock(&j->mutex);
	if (janitor_gate_open(j))
		list->n = 0;
	while (i < list->n) {
		uint64_t id = list->id[i];

		pthread_mutex_unlock(&j->mutex);
		bool there = node_live(j->lock->cfg.nodes, id) && lock_forget_inode(j->lock, id, 0, 0) == -ENOENT;
		pthread_mutex_lock(&j->mutex);
		if (there)
			i++;
		else
			list->id[i] = list->id[--list->n]; /* others only append */
	}
	i = list->n;
	pthread_mutex_unlock(&j->mutex);
	return i > 0 ? clock_ms(CLOCK_MONOTONIC) + ABSENT_MS : NEVER;
}

void janitor_absent(struct lock *l, uint64_t ino)
{
	struct janitor *j = l->janitor;
	struct list *list = &j->absent;

	pthread_mutex_lock(&j->mutex);
	if (list->n < LIST_MAX)
		list->id[list->n++] = ino;
	j->chore[ABSENT].due = sooner(j->chore[ABSENT].due, clock_ms(CLOCK_MONOTONIC) + ABSENT_FIRST_MS);
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->mutex);
}

bool janitor_chore_run(struct janitor *j, int64_t now, int64_t *next)
{
	static int64_t (*const run[N_CHORES])(struct janitor *) = {run_sweep, run_watch, run_absent};

	for (unsigned i = 0; i < N_CHORES; i++) {
		struct chore *c = &j->chore[i];

		if (c->busy)
			continue;
		if (c->due > now) {
			*next = sooner(*next, c->due);
			continue;
		}
		c->busy = true;
		c->due = NEVER;
		pthread_mutex_unlock(&j->mutex);
		int64_t again = run[i](j);
		pthread_mutex_lock(&j->mutex);
		c->busy = false;
		c->due = sooner(c->due, again);
		return true;
	}
	return false;
}
