/* SPDX-License-Identifier: BSD-2-Clause */
/* The janitor from within: its table of inodes, its chores. Private to fs/lock/janitor*.c. */
#ifndef FS_JANITOR_OWN_H
#define FS_JANITOR_OWN_H

#include "fs/lock/janitor.h"

#define JANITOR_THREADS 2u /* one may be held up by a page that a READ from a dead disk has locked */
#define ENTRIES 1024u
#define LIST_MAX 4096u
#define NAMES_MAX 20u
#define PAUSE_MS 10
#define LAST_MS 100
#define SWEEP_PAUSE_MS 100
#define SYNC_PAUSE_MS 250
#define NEVER INT64_MAX

/* An inode with lost writes; all under the janitor's mutex. */
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
	pthread_t thread[JANITOR_THREADS];
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

static inline int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static inline bool janitor_gate_open(const struct janitor *j)
{
	enum gate_state s = gate_state(j->lock->cfg.gate);

	return s == GATE_ACTIVE || s == GATE_GRACE;
}

/*
 * What a write(2) under way has made dirty by now is refused in large requests: an invalidation alone goes page by page, and
 * the writer is faster. By one thread at a time. Only while a file is open for writing: the root is opened for it, and
 * would be in the way of an unmount.
 */
void janitor_refuse_dirty(struct janitor *j);

/* The entry that is due at NOW, or NULL and *NEXT not later than the first that will be. With the mutex. */
struct entry *janitor_entry_due(struct janitor *j, int64_t now, int64_t *next);
/* Do it. With the mutex, which is given up meanwhile. */
void janitor_entry_run(struct janitor *j, struct entry *e);
/* Run a chore that is due, the mutex given up meanwhile; false if there is none, and *NEXT as above. */
bool janitor_chore_run(struct janitor *j, int64_t now, int64_t *next);

#endif
