/* SPDX-License-Identifier: BSD-2-Clause */
/* Locking is not done until the kernel has forgotten: the passes over every inode that it knows (design: section 6). */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <syslog.h>
#include <time.h>

#include "fs/lock/janitor.h"
#include "fs/lock/lock_own.h"

#define PASS_THREADS 4u
#define BATCH 256u
#define HANDLERS_WAIT_MS 500 /* past the drain limit */
#define IN_FLIGHT_MS 250     /* after the order: what a write(2) then inside the kernel has added is still sealed */
#define RETRIES_MAX 512u     /* per pass; what is more goes to the janitor at once */
#define BEAT_MS 100

/* What is to be forgotten, as lock_forget_inode() takes it. */
#define ALL 0
#define ATTRIBUTES (-1)

/* One pass over one class of inodes, shared by its threads. */
struct pass {
	struct lock *lock;
	enum node_class class;
	int64_t off; /* ALL or ATTRIBUTES */
	bool again;  /* the last pass: ids that were absent are tried again */
	pthread_mutex_t mutex;
	uint64_t next;                /* lock */
	uint64_t absent[RETRIES_MAX]; /* lock: ENOENT, a reply may still be under way */
	size_t n_absent;
};

/* ---- passes ---- */

static int forget(const struct pass *p, uint64_t id)
{
	return p->class == NODE_WRITTEN && p->off == ALL ? lock_forget(p->lock, id)
							 : lock_forget_inode(p->lock, id, p->off, 0);
}

static void absent(struct pass *p, uint64_t id)
{
	bool kept;

	pthread_mutex_lock(&p->mutex);
	kept = p->n_absent < RETRIES_MAX;
	if (kept)
		p->absent[p->n_absent++] = id;
	pthread_mutex_unlock(&p->mutex);
	if (!kept)
		janitor_absent(p->lock, id);
}

static void *pass_thread(void *arg)
{
	struct pass *p = arg;
	uint64_t ids[BATCH];

	for (;;) {
		size_t n;

		pthread_mutex_lock(&p->mutex);
		n = nodes_collect(p->lock->cfg.nodes, p->class, &p->next, ids, BATCH);
		pthread_mutex_unlock(&p->mutex);
		if (n == 0)
			return NULL;
		/* no lock is held here: with dirty pages the kernel waits for our own WRITE handlers */
		for (size_t i = 0; i < n; i++)
			if (forget(p, ids[i]) == -ENOENT && p->again)
				absent(p, ids[i]);
		lock_beat(p->lock);
	}
}

/* An id that the kernel did not know yet: its reply was under way. Later repeats, which hold nobody up, are the janitor's. */
static void pass_again(struct pass *p)
{
	static const unsigned wait_ms[] = {10, 100};

	for (size_t w = 0; w < ARRAY_LEN(wait_ms) && p->n_absent > 0; w++) {
		size_t left = 0;

		clock_pause(wait_ms[w]);
		for (size_t i = 0; i < p->n_absent; i++) {
			uint64_t id = p->absent[i];

			if (node_live(p->lock->cfg.nodes, id) && forget(p, id) == -ENOENT)
				p->absent[left++] = id;
		}
		p->n_absent = left;
		lock_beat(p->lock);
	}
	for (size_t i = 0; i < p->n_absent; i++)
		janitor_absent(p->lock, p->absent[i]);
}

/* Nothing is allocated: a lock must not fail where memory is short. Fewer threads only make it slower. */
static void pass_run(struct lock *l, enum node_class class, int64_t off, bool again)
{
	struct pass p = {.lock = l, .class = class, .off = off, .again = again, .next = 1};
	pthread_t thread[PASS_THREADS];
	unsigned n;

	pthread_mutex_init(&p.mutex, NULL);
	for (n = 0; n < PASS_THREADS - 1; n++)
		if (pthread_create(&thread[n], NULL, pass_thread, &p))
			break;
	pass_thread(&p);
	while (n > 0)
		pthread_join(thread[--n], NULL);
	if (again)
		pass_again(&p);
	pthread_mutex_destroy(&p.mutex);
}

/* ---- the order ---- */

static void lock_begin(struct lock *l, int64_t until)
{
	atomic_store(&l->sealed_bytes, 0);
	atomic_store(&l->refused_bytes, 0);
	atomic_store(&l->seal_until, until);
	atomic_store(&l->write_closed, false);
	pthread_mutex_lock(&l->report_lock);
	l->report = (struct fs_lock_report){.started = time(NULL)};
	pthread_mutex_unlock(&l->report_lock);
	janitor_locking(l);
}

/*
 * Steps 2 to 4. Names and attributes go first: they cost a microsecond each, wait for nothing, and without them the kernel
 * serves no path, no stat(2) and no new write(2) any more; only pages that it has can still be read. Contents that cannot
 * be dirty go while the others are written back. One round of syncfs and one pass after it, which waits for each page on
 * its way, have sealed all that was dirty at the order, on a disk as slow as the drain limit allows; more rounds than that
 * only follow a write(2) which has not returned, for as long as it goes on.
 */
static void write_back(struct lock *l, struct rootsync *sync, int64_t start, int64_t until)
{
	uint64_t before;

	lock_forget_names(l);
	pass_run(l, NODE_WRITTEN, ATTRIBUTES, false);
	pass_run(l, NODE_OPENED, ATTRIBUTES, false);
	pass_run(l, NODE_OPENED, ALL, false);
	if (!rootsync_settle(sync, l, until + HANDLERS_WAIT_MS))
		l->cfg.log(LOG_WARNING, "locking: syncfs of the mount point does not come back; going on without it");
	do {
		before = atomic_load(&l->writes);
		pass_run(l, NODE_WRITTEN, ALL, false);
	} while (atomic_load(&l->writes) != before && !lock_sealed(l) &&
		 clock_ms(CLOCK_BOOTTIME) < start + IN_FLIGHT_MS);
}

/*
 * Step 5: whoever is still inside is waited for, so that the last pass sees every page that was filled, and none of them has
 * an answer to give after LOCKED. One that is stuck in a disk may not come out: after UNTIL the beat stops, and the
 * supervisor ends what this process cannot.
 */
static void handlers_out(struct lock *l, int64_t until)
{
	unsigned before = atomic_load(&l->turn);

	atomic_store(&l->write_closed, true);
	atomic_store(&l->seal_until, 0);
	gate_drain_end(l->cfg.gate);
	atomic_store(&l->turn, !before);
	for (unsigned ms = 0; atomic_load(&l->in_flight[before]) > 0; ms++) {
		clock_pause(1);
		if (ms % BEAT_MS == 0 && clock_ms(CLOCK_BOOTTIME) < until)
			lock_beat(l);
	}
}

static void lock_note(struct lock *l, uint64_t contents_ms, uint64_t all_ms)
{
	struct fs_lock_report r;
	char text[256];

	pthread_mutex_lock(&l->report_lock);
	l->report.inodes = atomic_load(&l->cfg.nodes->known);
	l->report.contents_ms = contents_ms;
	l->report.all_ms = all_ms;
	pthread_mutex_unlock(&l->report_lock);
	lock_report(l, &r);
	snprintf(text, sizeof(text),
		 "locking: %llu inodes forgotten by the kernel in %llu ms (contents: %llu ms), %llu bytes sealed, %llu "
		 "refused",
		 (unsigned long long)r.inodes, (unsigned long long)r.all_ms, (unsigned long long)r.contents_ms,
		 (unsigned long long)r.sealed_bytes, (unsigned long long)r.refused_bytes);
	l->cfg.log(LOG_NOTICE, text);
}

void lock_drain(struct lock *l, unsigned drain_ms)
{
	int64_t start = clock_ms(CLOCK_BOOTTIME), until = start + drain_ms, contents;
	struct rootsync *sync;

	lock_hurry();
	lock_begin(l, until);
	sync = rootsync_start(l, ROOTSYNC_WRITE_BACK);
	write_back(l, sync, start, until);
	rootsync_end(sync, l);
	handlers_out(l, until + HANDLERS_WAIT_MS);
	/* Step 6. Another thread: that one may still follow a write(2). */
	sync = rootsync_start(l, ROOTSYNC_ASK_FIRST);
	lock_forget_names(l);
	(void)rootsync_settle(sync, l, clock_ms(CLOCK_BOOTTIME) + HANDLERS_WAIT_MS);
	pass_run(l, NODE_WRITTEN, ALL, true);
	pass_run(l, NODE_OPENED, ALL, true);
	contents = clock_ms(CLOCK_BOOTTIME);
	rootsync_end(sync, l);
	pass_run(l, NODE_FOLDER, ALL, true);
	pass_run(l, NODE_OTHER, ALL, true);
	janitor_locked(l);
	lock_note(l, (uint64_t)(contents - start), (uint64_t)(clock_ms(CLOCK_BOOTTIME) - start));
}
