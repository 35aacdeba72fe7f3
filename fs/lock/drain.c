/* SPDX-License-Identifier: BSD-2-Clause */
/* Locking is not done until the kernel has forgotten: the order in which it is made to (DESIGN.md "Locking"). */
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#include "fs/inode/behind.h"
#include "fs/lock/janitor.h"
#include "fs/lock/lock_own.h"
#include "fs/lock/pass.h"
#include "fs/lock/sentry.h"

#define HANDLERS_WAIT_MS 500 /* past the drain limit */
#define IN_FLIGHT_MS 250     /* after the order: what a write(2) then inside the kernel has added is still sealed */
#define BEAT_MS 100

static void forget_attributes(struct lock *l, enum node_class class)
{
	pass_run(l, &(struct pass_order){
			    .class = class, .attributes_only = true, .threads = PASS_THREADS_MAX, .beat = true});
}

static void forget_contents(struct lock *l, enum node_class class)
{
	pass_run(l, &(struct pass_order){.class = class, .threads = PASS_THREADS_MAX, .beat = true});
}

/* No pass comes after this one, so absent ids are asked for again; late repeats, which hold nobody up, are the janitor's. */
static void forget_for_good(struct lock *l, enum node_class class)
{
	pass_run(l, &(struct pass_order){
			    .class = class, .threads = PASS_THREADS_MAX, .beat = true, .absent = janitor_absent});
}

static void lock_begin(struct lock *l, int64_t until)
{
	atomic_store(&l->sealed_bytes, 0);
	atomic_store(&l->refused_bytes, 0);
	atomic_store(&l->seal_until, until);
	atomic_store(&l->write_closed, false);
	atomic_store(&l->asked, false);
	if (l->cfg.behind)
		behind_begin(l->cfg.behind, until);
	pthread_mutex_lock(&l->report_lock);
	l->report = (struct fs_lock_report){.started = time(NULL)};
	pthread_mutex_unlock(&l->report_lock);
	janitor_locking(l);
}

/*
 * Write-back and first passes. Names and attributes go first: they cost a microsecond each, wait for nothing, and without them the kernel
 * serves no path, no stat(2) and no new write(2) any more; only pages that it has can still be read. Contents that cannot
 * be dirty go while the others are written back. One round of syncfs and one pass after it, which waits for each page on
 * its way, have sealed all that was dirty at the order, on a disk as slow as the drain limit allows; more rounds than that
 * only follow a write(2) which has not returned, for as long as it goes on.
 */
static void write_back(struct lock *l, struct rootsync *sync, int64_t start, int64_t until)
{
	uint64_t before;

	lock_forget_names(l);
	forget_attributes(l, NODE_WRITTEN);
	forget_attributes(l, NODE_OPENED);
	forget_contents(l, NODE_OPENED);
	if (!rootsync_settle(sync, l, until + HANDLERS_WAIT_MS))
		l->cfg.log(LOG_WARNING, "locking: syncfs of the mount point does not come back; going on without it");
	do {
		before = atomic_load(&l->writes);
		forget_contents(l, NODE_WRITTEN);
	} while (atomic_load(&l->writes) != before && !lock_sealed(l) &&
		 clock_ms(CLOCK_BOOTTIME) < start + IN_FLIGHT_MS);
}

/*
 * WRITE is closed: whoever is still inside is waited for, so that the last pass sees every page that was filled, and none
 * of them has an answer to give after LOCKED. One that is stuck in a disk may not come out: the sentry sees it, and after
 * UNTIL the beat stops, so that the supervisor ends what this process cannot.
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
	if (l->cfg.behind)
		behind_end(l->cfg.behind);
}

static void lock_note(struct lock *l, uint64_t contents_ms, uint64_t all_ms)
{
	pthread_mutex_lock(&l->report_lock);
	l->report.inodes = atomic_load(&l->cfg.nodes->known);
	l->report.contents_ms = contents_ms;
	l->report.all_ms = all_ms;
	pthread_mutex_unlock(&l->report_lock);
	struct fs_lock_report r;
	lock_report(l, &r);
	char text[256];
	snprintf(text, sizeof(text),
		 "locking: %llu inodes forgotten by the kernel in %llu ms (contents: %llu ms), %llu bytes sealed, %llu "
		 "refused",
		 (unsigned long long)r.inodes, (unsigned long long)r.all_ms, (unsigned long long)r.contents_ms,
		 (unsigned long long)r.sealed_bytes, (unsigned long long)r.refused_bytes);
	l->cfg.log(LOG_NOTICE, text);
}

void lock_drain(struct lock *l, unsigned drain_ms)
{
	int64_t start = clock_ms(CLOCK_BOOTTIME), until = start + drain_ms;

	lock_hurry();
	lock_begin(l, until);
	struct sentry sentry;
	sentry_start(&sentry, l, until);
	struct rootsync *sync = rootsync_start(l, ROOTSYNC_WRITE_BACK);
	write_back(l, sync, start, until);
	rootsync_end(sync, l);
	handlers_out(l, until + HANDLERS_WAIT_MS);
	lock_forget_names(l);
	forget_attributes(l,
			  NODE_WRITTEN); /* after this no reply of before the door was shut gives them a time again */
	/* The last pass. Another thread: that one may still follow a write(2). */
	sync = rootsync_start(l, ROOTSYNC_ASK_FIRST);
	(void)rootsync_settle(sync, l, clock_ms(CLOCK_BOOTTIME) + HANDLERS_WAIT_MS);
	forget_for_good(l, NODE_WRITTEN);
	forget_for_good(l, NODE_OPENED);
	int64_t contents = clock_ms(CLOCK_BOOTTIME);
	rootsync_end(sync, l);
	forget_for_good(l, NODE_FOLDER);
	forget_for_good(l, NODE_OTHER);
	sentry_end(&sentry);
	janitor_locked(l);
	lock_note(l, (uint64_t)(contents - start), (uint64_t)(clock_ms(CLOCK_BOOTTIME) - start));
}
