/* SPDX-License-Identifier: BSD-2-Clause */
/* The guard: takes the mount over when neither supervisor nor worker is there to do it. */
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "crypto/attr.h"
#include "fs/watch/keep_only.h"
#include "fs/watch/supervise_own.h"

#define TICK_MS 250
#define STEP_MAX_MS 500
#define QUIT_MS 1000  /* a killed guard has this long to end */
#define BRIEF_MS 1000 /* one that was ended sooner is not started again */

/* What the guard sees of the two. */
struct sight {
	struct supervisor *s;
	int supervisor_fd; /* pidfd */
	bool alone;        /* the supervisor has ended */
	struct own_time own;
	uint64_t watcher;
	int64_t watcher_at; /* own time when it moved */
	int64_t ending_at; /* own time when a worker without supervisor was first seen to end by itself; 0: it was not */
};

static bool ended(int pid_fd)
{
	struct pollfd p = {.fd = pid_fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/*
 * Is the worker, which lives, in order, as far as this is ours to say? One without supervisor is held to all that a supervisor holds
 * it to. When both are silent they may only be paused, and that is nobody's loss as long as what they promised holds: the end of
 * the lease, and of a lock.
 */
static bool in_order(struct sight *g)
{
	struct health_limits limits = g->s->limits->health;

	if (!g->alone)
		limits.beats_missed = limits.beats_late = INT64_MAX;
	return run_in_order(g->s, &limits, g->own.ms);
}

/* True when the mount is nobody's any more; run.why says why. */
static bool is_ours(struct sight *g)
{
	struct run *r = &g->s->run;
	int phase = atomic_load(&g->s->page->phase);
	uint64_t watcher = atomic_load(&g->s->page->gate.watcher);

	own_time_look(&g->own, clock_ms(CLOCK_MONOTONIC), STEP_MAX_MS);
	if (watcher != g->watcher)
		g->watcher_at = g->own.ms;
	g->watcher = watcher;
	g->alone = g->alone || ended(g->supervisor_fd);
	if (g->alone && phase == WATCH_ENDING && !g->ending_at)
		g->ending_at = g->own.ms;
	bool well = phase != WATCH_SERVING || in_order(g);
	if (!g->alone && g->own.ms - g->watcher_at <= GATE_WATCHER_MS)
		return false;
	if (!ended(r->pid_fd) && !run_dying(r))
		return !well;
	snprintf(r->why, sizeof(r->why),
		 g->alone ? "supervisor and worker were killed"
			  : "the worker was killed, and the supervisor is stopped");
	return true;
}

/* A worker that lost its supervisor ends by itself and has forgotten already; the rest of its time is waited out for it. */
static void finish(struct sight *g)
{
	struct supervisor *s = g->s;
	struct run *r = &s->run;
	int stay = s->limits->forget_more;

	if (g->ending_at) {
		stay -= (int)(g->own.ms - g->ending_at);
		if (!fuse_conn_gone(&r->conn))
			fuse_conn_abort(&r->conn);
	} else {
		take_over(s);
		leave_note(s, "guard");
	}
	forget_more(s, stay);
	struct pollfd p = {.fd = r->pid_fd, .events = POLLIN};
	fuse_conn_close(&r->conn, poll(&p, 1, s->limits->reap) == 1 && ended(g->supervisor_fd));
}

/* Nothing of the others' may be kept from closing here: not the pipe to a shell, not the link, not a terminal. */
static void keep_own(const struct sight *g)
{
	const struct run *r = &g->s->run;
	const int keep[] = {r->fuse_fd, r->pid_fd, g->supervisor_fd, words_fd(g->s->cfg->words)};
	const int ignored[] = {SIGPIPE, SIGTTOU, SIGTTIN, SIGTSTP, SIGQUIT};

	for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
		signal(ignored[i], SIG_IGN); /* the others are blocked since the supervisor's start */
	setsid();
	(void)prctl(PR_SET_NAME, "byokfs-guard");
	keep_only(keep, ARRAY_LEN(keep), false);
	if (chdir("/") < 0)
		return; /* a folder in use a little longer */
}

static _Noreturn void guard(struct supervisor *s, pid_t parent)
{
	struct sight g = {.s = s, .own = {.last = clock_ms(CLOCK_MONOTONIC)}};

	g.supervisor_fd = (int)syscall(SYS_pidfd_open, parent, 0);
	g.alone = g.supervisor_fd < 0 || getppid() != parent;
	s->run.serves = false; /* by own time from here on */
	keep_own(&g);
	while (!is_ours(&g)) {
		struct pollfd p[2] = {{g.alone ? -1 : g.supervisor_fd, POLLIN, 0}, {s->run.pid_fd, POLLIN, 0}};

		if (ended(s->run.pid_fd))
			p[1].fd = -1; /* the supervisor's to do */
		(void)poll(p, 2, TICK_MS);
	}
	finish(&g);
	_exit(0);
}

void guard_start(struct supervisor *s)
{
	pid_t parent = getpid();

	fflush(NULL);
	s->guard_since = clock_ms(CLOCK_MONOTONIC);
	s->guard = fork();
	if (s->guard == 0)
		guard(s, parent);
	if (s->guard < 0)
		s->cfg->log(LOG_WARNING,
			    "cannot start the guard: nobody would end the mount if both its processes died");
}

void guard_look(struct supervisor *s)
{
	int status;

	if (s->guard <= 0 || waitpid(s->guard, &status, WNOHANG) != s->guard)
		return;
	s->guard = 0;
	if (!WIFSIGNALED(status))
		return;
	bool again = clock_ms(CLOCK_MONOTONIC) - s->guard_since >= BRIEF_MS;
	s->cfg->log(LOG_WARNING, again ? "the guard was killed: another one is started"
				       : "the guard was killed at once: the mount goes on without");
	if (again)
		guard_start(s);
}

void guard_end(struct supervisor *s)
{
	int64_t until = clock_ms(CLOCK_MONOTONIC) + QUIT_MS;

	if (s->guard > 0) {
		kill(s->guard, SIGKILL);
		while (waitpid(s->guard, NULL, WNOHANG) == 0 && clock_ms(CLOCK_MONOTONIC) < until)
			clock_pause(1);
	}
	s->guard = 0;
}
