/* SPDX-License-Identifier: BSD-2-Clause */
/* The janitor's table: inodes with lost writes, each invalidated until nothing more of it is lost. */
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "fs/lock/janitor_own.h"
#include "fs/lock/lock_own.h"

#define PROBES 16u

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
	e->untold = !janitor_gate_open(j);
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
	j->chore[SWEEP].due = sooner(j->chore[SWEEP].due, now + SWEEP_PAUSE_MS);
}

void janitor_lost(struct lock *l, uint64_t ino, uint64_t off, uint64_t len)
{
	struct janitor *j = l->janitor;
	int64_t now = clock_ms(CLOCK_MONOTONIC);

	pthread_mutex_lock(&j->mutex);
	struct entry *e = entry_find(j, ino);
	if (e && e->ino == 0)
		entry_add(j, e, ino, now);
	if (e)
		entry_lost(e, off, len, now);
	else
		lost_without_room(j, now);
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->mutex);
}

void janitor_locking(struct lock *l)
{
	struct janitor *j = l->janitor;

	pthread_mutex_lock(&j->mutex);
	j->n_told = 0;
	pthread_mutex_unlock(&j->mutex);
}

/* By its name on disk: the plain one would need keys, and does not belong in a log. */
static void tell_name(struct janitor *j, uint64_t ino, bool last)
{
	char path[2048], text[2400];
	struct node *n = node_pin(j->lock->cfg.nodes, ino);

	if (!n)
		return;
	size_t len = node_path(j->lock->cfg.nodes, n, path, sizeof(path) - 1);
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

void janitor_entry_run(struct janitor *j, struct entry *e)
{
	bool whole = !janitor_gate_open(j), tell = e->untold && tell_once(j, e->ino);
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
			janitor_refuse_dirty(j);
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

struct entry *janitor_entry_due(struct janitor *j, int64_t now, int64_t *next)
{
	for (size_t i = 0; i < ENTRIES; i++) {
		struct entry *e = &j->entry[i];

		if (e->ino == 0 || e->busy)
			continue;
		if (e->due <= now)
			return e;
		*next = sooner(*next, e->due);
	}
	return NULL;
}
