/* SPDX-License-Identifier: BSD-2-Clause */
/* The supervisor: starts workers, and takes the mount away from one that is dead or hangs. */
#include "fs/watch/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/supervise_own.h"

#define RESPAWN_WINDOW_MS 600000

static const struct supervise_limits limits_real = {
	.health = {.beats_missed = 1700,
		   .beats_late = 5000,
		   .lease_over = 2000,
		   .locking_over = 2000,
		   .locking_stall = 2000},
	.forget_more = 4000, /* 2 GiB, the most that a write(2) takes, needs 2 s here */
	.reap = 5000,
};

/* A worker that ended by itself has unmounted; if it could not, handles may be open, and pages behind them. */
static void close_after(struct supervisor *s)
{
	struct run *r = &s->run;

	if (r->fuse_fd < 0 || fuse_conn_gone(&r->conn))
		return;
	fuse_conn_abort(&r->conn);
	fuse_conn_forget(&r->conn, atomic_load(&s->page->high));
	if (atomic_load(&s->page->phase) == WATCH_STARTING)
		run_unmount(s, &r->conn.mount); /* nobody has ever used it */
}

/* What is left of a run. A worker that cannot die (stuck in a disk) is left to init; its mount is answered until it ends. */
static void run_free(struct supervisor *s)
{
	struct run *r = &s->run;

	guard_end(s);
	bool alone = r->pid <= 0 || run_reap(r, s->limits->reap) >= 0 || kill(r->pid, 0) != 0;

	if (!alone)
		s->cfg->log(LOG_ERR,
			    "the worker cannot be ended: a thread of it is stuck, in the store's disk most likely");
	fuse_conn_close(&r->conn, alone);
	if (r->fuse_fd >= 0)
		close(r->fuse_fd);
	if (r->pid_fd >= 0)
		close(r->pid_fd);
	close(r->sock);
}

static bool may_respawn(struct supervisor *s)
{
	int64_t now = clock_ms(CLOCK_BOOTTIME);
	int state = atomic_load(&s->page->gate.state);
	unsigned recent = 0;

	/* A new worker would not know that a person ordered the lock, or has to end it; and a refusal it would only meet again. */
	if (s->cfg->respawns > 0 && (state == GATE_LOCKED || state == GATE_LOCKING)) {
		s->cfg->log(LOG_WARNING, "it was locked when it died: not mounted again");
		return false;
	}
	for (unsigned i = 0; i < s->n_respawned; i++)
		recent += now - s->respawned[i] < RESPAWN_WINDOW_MS;
	if (recent >= s->cfg->respawns || !s->served)
		return false;
	if (s->n_respawned == RESPAWNS_KEPT)
		memmove(s->respawned, s->respawned + 1, --s->n_respawned * sizeof(s->respawned[0]));
	s->respawned[s->n_respawned++] = now;
	s->dead = s->run.conn.mount;
	s->cfg->log(LOG_WARNING, "mounting again (--respawn)");
	return true;
}

static int supervise_runs(struct supervisor *s)
{
	enum run_end end;
	int code = 1;

	do {
		if (run_start(s)) {
			s->cfg->log(LOG_ERR, "cannot start the worker");
			return 1;
		}
		own_time_look(&s->own, clock_ms(CLOCK_MONOTONIC), 0); /* a start is not the worker's time */
		while ((end = run_look(s, &code)) == RUN_ON)
			;
		if (end == RUN_TAKEN) {
			code = 1;
			take_over(s);
			leave_note(s, "supervisor");
			forget_more(s, s->limits->forget_more);
		} else {
			close_after(s);
		}
		run_free(s);
	} while (end == RUN_TAKEN && may_respawn(s));
	if (s->n_respawned > 0 && code != 0 && atomic_load(&s->page->phase) == WATCH_STARTING)
		s->cfg->log(
			LOG_ERR,
			"mounting again failed: what is mounted answers errors until byokfs umount or byokfs mount");
	return code;
}

static void catch_signals(struct supervisor *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &s->old_mask);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int page_map(struct watch_page **out)
{
	void *p = mmap(NULL, sizeof(struct watch_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

int supervise(const struct supervise_config *cfg)
{
	struct supervisor s = {
		.cfg = cfg,
		.limits = cfg->limits ? cfg->limits : &limits_real,
		.own = {.last = clock_ms(CLOCK_MONOTONIC)},
	};
	int code = 1;

	catch_signals(&s);
	if (s.signal_fd < 0 || page_map(&s.page))
		cfg->log(LOG_ERR, "cannot prepare the supervisor: out of memory or descriptors");
	else
		code = supervise_runs(&s);
	if (s.signal_fd >= 0)
		close(s.signal_fd);
	return code;
}
