/* SPDX-License-Identifier: BSD-2-Clause */
/* The janitor's threads: a fixed table of inodes with lost writes, and three chores that recur. */
#include "fs/lock/janitor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <syslog.h>
#include <time.h>

#include "fs/lock/lock_own.h"
#include "kms/gate.h"

#define THREADS 2u /* one may be held up by a page that a READ from a dead disk has locked */
#define ENTRIES 1024u
#define PROBES 16u
#define LIST_MAX 4096u
#define BATCH 256u
#define PAUSE_MS 10
#define LAST_MS 100
#define SWEEP_PAUSE_MS 100
#define WATCH_PAUSE_MAX_MS 1000
#define ABSENT_FIRST_MS 1000
#define ABSENT_MS 5000
#define NAMES_MAX 20u
#define SYNC_WAIT_MS 50 /* pages that are there can be read meanwhile */
#define SYNC_PAUSE_MS 250
#define SYNC_PAUSE_MAX_MS 60000
#define NEVER INT64_MAX

/* An inode with lost writes; all under the janitor's lock. */
struct entry {
	uint64_t ino; /* 0 = free */
	uint64_t start, end;
	int64_t due, lost_at, done_at;
	bool busy;
	bool untold; /* its name is still to be logged */
};

enum chore_kind { SWEEP, WATCH, ABSENT, N_CHORES };

struct chore {
	int64_t due;
	bool busy;
};

/* Ids, a fixed number: what does not fit makes `more`. */
struct list {
	uint64_t id[LIST_MAX];
	size_t n;
	bool more;
};

struct janitor {
	struct lock *lock;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	pthread_t thread[THREADS];
	unsigned n_threads;
	bool stop;
	struct entry entry[ENTRIES];
	struct chore chore[N_CHORES];
	int64_t swept_for; /* the last lost write that did not fit into the table; 0 = none open */
	struct list watched, absent;
	bool gather; /* `watched` is to be made anew */
	int64_t watch_pause;
	uint64_t watch_refused;   /* refused writes at the last watch */
	uint64_t told[NAMES_MAX]; /* whose names were logged for this lock */
	unsigned n_told;
	bool syncing;
	int64_t sync_next;  /* syncing: not before; one that did not come back in time still runs */
	int64_t sync_pause; /* syncing */
};

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static bool gate_open_now(const struct lock *l)
{
	enum gate_state s = gate_state(l->cfg.gate);

	return s == GATE_ACTIVE || s == GATE_GRACE;
}

/*
 * What a write(2) under way has made dirty by now is refused in large requests: an invalidation alone goes page by page, and
 * the writer is faster. By one thread at a time. Only while a file is open for writing: the root is opened for it, and
 * would be in the way of an unmount.
 */
static void refuse_dirty(struct janitor *j)
{
	struct rootsync *s;
	bool mine;

	pthread_mutex_lock(&j->mutex);
	mine = !j->syncing && clock_ms(CLOCK_MONOTONIC) >= j->sync_next;
	j->syncing = j->syncing || mine;
	pthread_mutex_unlock(&j->mutex);
	if (!mine)
		return;
	s = rootsync_start(j->lock, ROOTSYNC_WRITE_BACK);
	if (rootsync_settle(s, j->lock, clock_ms(CLOCK_BOOTTIME) + SYNC_WAIT_MS)) {
		j->sync_pause = SYNC_PAUSE_MS;
	} else {
		j->sync_next = clock_ms(CLOCK_MONOTONIC) + j->sync_pause;
		j->sync_pause = earlier(j->sync_pause * 2, SYNC_PAUSE_MAX_MS);
	}
	rootsync_end(s, j->lock);
	pthread_mutex_lock(&j->mutex);
	j->syncing = false;
	pthread_mutex_unlock(&j->mutex);
}

/* ---- inodes with lost writes ---- */

/* The entry of INO, or a free one for it, or NULL. */
static struct entry *entry_find(struct janitor *j, uint64_t ino)
{
	struct entry *room = NULL;

	for (unsigned i = 0; i < PROBES; i++) {
		struct entry *e = &j->entry[(ino + i) % ENTRIES];

		if (e->ino == ino)
			return e;
		if (e->ino == 0 && !room)
			room = e;
	}
	return room;
}

static void entry_add(struct janitor *j, struct entry *e, uint64_t ino, int64_t now)
{
	*e = (struct entry){.ino = ino, .start = UINT64_MAX, .due = now, .done_at = now - PAUSE_MS};
	e->untold = !gate_open_now(j->lock);
	atomic_fetch_add(&j->lock->draining, 1);
}

static void entry_lost(struct entry *e, uint64_t off, uint64_t len, int64_t now)
{
	e->lost_at = now;
	if (off < e->start)
		e->start = off;
	if (off + len > e->end)
		e->end = off + len;
	if (e->due > e->done_at + PAUSE_MS)
		e->due = e->done_at + PAUSE_MS;
}

/* The table is full: one pass over everything that was opened stands in for what did not fit. */
static void lost_without_room(struct janitor *j, int64_t now)
{
	if (!j->swept_for)
		atomic_fetch_add(&j->lock->draining, 1);
	j->swept_for = now;
	j->chore[SWEEP].due = earlier(j->chore[SWEEP].due, now + SWEEP_PAUSE_MS);
}

void janitor_lost(struct lock *l, uint64_t ino, uint64_t off, uint64_t len)
{
	struct janitor *j = l->janitor;
	int64_t now = clock_ms(CLOCK_MONOTONIC);
	struct entry *e;

	pthread_mutex_lock(&j->mutex);
	e = entry_find(j, ino);
	if (e && e->ino == 0)
		entry_add(j, e, ino, now);
	if (e)
		entry_lost(e, off, len, now);
	else
		lost_without_room(j, now);
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->mutex);
}

/* By its name on disk: the plain one would need keys, and does not belong in a log. */
static void tell_name(struct janitor *j, uint64_t ino, bool last)
{
	char path[2048], text[2400];
	struct node *n = node_pin(j->lock->cfg.nodes, ino);
	size_t len;

	if (!n)
		return;
	len = node_path(j->lock->cfg.nodes, n, path, sizeof(path) - 1);
	path[len] = '\0';
	snprintf(text, sizeof(text),
		 "data/%s (inode %llu): written pages were refused; fsync or close tells the writer%s",
		 len ? path : "(deleted)", (unsigned long long)n->ino, last ? "; further files are not named" : "");
	node_unpin(j->lock->cfg.nodes, n);
	j->lock->cfg.log(LOG_WARNING, text);
}

static bool tell_once(struct janitor *j, uint64_t ino)
{
	for (unsigned i = 0; i < j->n_told; i++)
		if (j->told[i] == ino)
			return false;
	if (j->n_told == NAMES_MAX)
		return false;
	j->told[j->n_told++] = ino;
	return true;
}

/* Called with the lock, which is given up meanwhile. */
static void entry_run(struct janitor *j, struct entry *e)
{
	bool whole = !gate_open_now(j->lock), tell = e->untold && tell_once(j, e->ino);
	uint64_t ino = e->ino, start = e->start, end = e->end;
	bool last = j->n_told == NAMES_MAX;
	int64_t started = clock_ms(CLOCK_MONOTONIC);

	e->busy = true;
	e->untold = false;
	pthread_mutex_unlock(&j->mutex);
	if (tell)
		tell_name(j, ino, last);
	if (whole) {
		if (lock_writable(j->lock, ino, NULL))
			refuse_dirty(j);
		(void)lock_forget(j->lock, ino);
	} else {
		(void)lock_forget_inode(j->lock, ino, (int64_t)start, (int64_t)(end - start));
	}
	pthread_mutex_lock(&j->mutex);
	e->busy = false;
	e->done_at = clock_ms(CLOCK_MONOTONIC);
	if (e->lost_at >= started) {
		e->due = e->done_at + PAUSE_MS;
	} else if (started < e->lost_at + LAST_MS) {
		e->due = e->lost_at + LAST_MS;
	} else {
		e->ino = 0;
		atomic_fetch_sub(&j->lock->draining, 1);
	}
}

static struct entry *entry_due(struct janitor *j, int64_t now, int64_t *next)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &j->entry[i];

		if (e->ino == 0 || e->busy)
			continue;
		if (e->due <= now)
			return e;
		*next = earlier(*next, e->due);
	}
	return NULL;
}

/* ---- chores: each returns when it is due again ---- */

static void invalidate_class(struct lock *l, enum node_class class)
{
	uint64_t ids[BATCH], next = 1;
	size_t n;

	while ((n = nodes_collect(l->cfg.nodes, class, &next, ids, BATCH)) > 0)
		for (size_t i = 0; i < n; i++)
			(void)lock_forget(l, ids[i]);
}

static int64_t run_sweep(struct janitor *j)
{
	int64_t started = clock_ms(CLOCK_MONOTONIC), next = NEVER;

	invalidate_class(j->lock, NODE_WRITTEN);
	invalidate_class(j->lock, NODE_OPENED);
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
	while ((n = nodes_collect(j->lock->cfg.nodes, NODE_WRITTEN, &next, ids, BATCH)) > 0) {
		for (size_t i = 0; i < n; i++) {
			if (!lock_writable(j->lock, ids[i], NULL))
				continue;
			if (list->n < LIST_MAX)
				list->id[list->n++] = ids[i];
			else
				list->more = true;
		}
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
		invalidate_class(j->lock, NODE_WRITTEN);
}

/* Often at first and while something is refused; then twice as seldom each time, so that idle handles cost nothing. */
static int64_t run_watch(struct janitor *j)
{
	uint64_t refused = atomic_load(&j->lock->refused_writes);
	int64_t started = clock_ms(CLOCK_MONOTONIC), took;
	bool anew;

	pthread_mutex_lock(&j->mutex);
	anew = j->gather;
	j->gather = false;
	pthread_mutex_unlock(&j->mutex);
	if (anew) {
		gather(j);
		j->watch_pause = PAUSE_MS;
	}
	if (gate_open_now(j->lock) || (j->watched.n == 0 && !j->watched.more))
		return NEVER;
	refuse_dirty(j);
	watch_once(j);
	took = clock_ms(CLOCK_MONOTONIC) - started;
	j->watch_pause = refused != j->watch_refused ? PAUSE_MS : earlier(j->watch_pause * 2, WATCH_PAUSE_MAX_MS);
	if (j->watch_pause < took) /* not more than half of a processor */
		j->watch_pause = earlier(took, LAST_MS);
	j->watch_refused = refused;
	return j->watched.n > 0 || j->watched.more ? clock_ms(CLOCK_MONOTONIC) + j->watch_pause : NEVER;
}

void janitor_locking(struct lock *l)
{
	struct janitor *j = l->janitor;

	pthread_mutex_lock(&j->mutex);
	j->n_told = 0;
	pthread_mutex_unlock(&j->mutex);
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
	if (gate_open_now(j->lock))
		list->n = 0;
	while (i < list->n) {
		uint64_t id = list->id[i];
		bool there;

		pthread_mutex_unlock(&j->mutex);
		there = node_live(j->lock->cfg.nodes, id) && lock_forget_inode(j->lock, id, 0, 0) == -ENOENT;
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
	j->chore[ABSENT].due = earlier(j->chore[ABSENT].due, clock_ms(CLOCK_MONOTONIC) + ABSENT_FIRST_MS);
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->mutex);
}

/* ---- the threads ---- */

/* Run a chore that is due, the lock given up meanwhile; false if there is none. */
static bool run_chore(struct janitor *j, int64_t now, int64_t *next)
{
	static int64_t (*const run[N_CHORES])(struct janitor *) = {run_sweep, run_watch, run_absent};

	for (unsigned i = 0; i < N_CHORES; i++) {
		struct chore *c = &j->chore[i];
		int64_t again;

		if (c->busy)
			continue;
		if (c->due > now) {
			*next = earlier(*next, c->due);
			continue;
		}
		c->busy = true;
		c->due = NEVER;
		pthread_mutex_unlock(&j->mutex);
		again = run[i](j);
		pthread_mutex_lock(&j->mutex);
		c->busy = false;
		c->due = earlier(c->due, again);
		return true;
	}
	return false;
}

static void wait_until(struct janitor *j, int64_t when)
{
	struct timespec ts = {when / 1000, (long)(when % 1000) * 1000000};

	if (when == NEVER)
		pthread_cond_wait(&j->wake, &j->mutex);
	else
		pthread_cond_timedwait(&j->wake, &j->mutex, &ts);
}

static void *janitor_main(void *arg)
{
	struct janitor *j = arg;

	lock_hurry(); /* a write(2) that fills pages does not wait */
	pthread_mutex_lock(&j->mutex);
	while (!j->stop) {
		int64_t now = clock_ms(CLOCK_MONOTONIC), next = NEVER;
		struct entry *e = entry_due(j, now, &next);

		if (e)
			entry_run(j, e);
		else if (!run_chore(j, now, &next))
			wait_until(j, next);
	}
	pthread_mutex_unlock(&j->mutex);
	return NULL;
}

int janitor_start(struct lock *l)
{
	struct janitor *j = calloc(1, sizeof(*j));
	pthread_condattr_t attr;

	if (!j)
		return -ENOMEM;
	j->lock = l;
	j->watch_pause = PAUSE_MS;
	j->sync_pause = SYNC_PAUSE_MS;
	for (unsigned i = 0; i < N_CHORES; i++)
		j->chore[i].due = NEVER;
	pthread_mutex_init(&j->mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->wake, &attr);
	pthread_condattr_destroy(&attr);
	l->janitor = j;
	while (j->n_threads < THREADS && pthread_create(&j->thread[j->n_threads], NULL, janitor_main, j) == 0)
		j->n_threads++;
	if (j->n_threads > 0)
		return 0;
	janitor_free(l);
	return -EAGAIN;
}

void janitor_stop(struct lock *l)
{
	struct janitor *j = l->janitor;

	if (!j)
		return;
	pthread_mutex_lock(&j->mutex);
	j->stop = true;
	pthread_cond_broadcast(&j->wake);
	pthread_mutex_unlock(&j->mutex);
	while (j->n_threads > 0)
		pthread_join(j->thread[--j->n_threads], NULL);
}

void janitor_free(struct lock *l)
{
	struct janitor *j = l->janitor;

	if (!j)
		return;
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->mutex);
	l->janitor = NULL;
	free(j);
}
