/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a mount away from its worker, and what is said of it: for the supervisor, and for the guard. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/ended.h"
#include "fs/watch/supervise_own.h"

#define FORGET_EVERY_MS 50

void run_tell(struct supervisor *s, const char *from, const char *to, const char *cause, const char *reason)
{
	const struct notify_facts f = {
		.mountpoint = s->cfg->mnt.mountpoint,
		.store = s->cfg->mnt.source,
		.from = from,
		.to = to,
		.cause = cause,
		.reason = reason,
		.when = time(NULL),
		.supervisor_pid = getpid(),
		.worker_pid = s->run.pid,
	};

	words_notify(s->cfg->words, &f);
}

void take_over(struct supervisor *s)
{
	struct run *r = &s->run;
	int64_t t0 = clock_ms(CLOCK_MONOTONIC);
	char text[512];

	if (r->pid > 0)
		(void)syscall(SYS_pidfd_send_signal, r->pid_fd, SIGKILL, NULL, 0);
	if (r->fuse_fd >= 0) {
		fuse_conn_abort(&r->conn);
		fuse_conn_forget(&r->conn, atomic_load(&s->page->high));
	}
	atomic_fetch_add(&s->page->gate.watcher, 1);
	snprintf(text, sizeof(text), "%s: taken over and closed in %lld ms (%s)", r->why,
		 (long long)(clock_ms(CLOCK_MONOTONIC) - t0), r->conn.how[0] ? r->conn.how : "not mounted");
	s->cfg->log(LOG_CRIT, text);
	run_tell(s, gate_state_name((enum gate_state)atomic_load(&s->page->gate.state)), "dead", "taken over", r->why);
}

void leave_note(struct supervisor *s, const char *who)
{
	struct ended_note n = {.when = time(NULL)};

	snprintf(n.mountpoint, sizeof(n.mountpoint), "%s", s->cfg->mnt.mountpoint);
	snprintf(n.store, sizeof(n.store), "%s", s->cfg->mnt.source);
	snprintf(n.who, sizeof(n.who), "%s", who);
	snprintf(n.why, sizeof(n.why), "%s", s->run.why);
	if (ended_write(&n))
		s->cfg->log(LOG_WARNING, "the note about the end of the mount could not be written");
}

/*
 * A write(2) that was inside the kernel at the end goes on, reports success and fills pages behind the passes, which every
 * handle then reads until its attributes are too old, and a mapping for good. Nothing shows when it is over.
 */
void forget_more(struct supervisor *s, int ms)
{
	int64_t end = clock_ms(CLOCK_MONOTONIC) + ms;

	while (s->run.fuse_fd >= 0 && clock_ms(CLOCK_MONOTONIC) < end) {
		(void)poll(NULL, 0, FORGET_EVERY_MS);
		atomic_fetch_add(&s->page->gate.watcher, 1); /* or the guard would think that nobody sees to it */
		fuse_conn_forget(&s->run.conn, atomic_load(&s->page->high));
	}
}
