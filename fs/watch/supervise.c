/* SPDX-License-Identifier: BSD-2-Clause */
/* The supervisor: starts workers, watches them, and takes the mount away from one that is dead or hangs. */
#include "fs/watch/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/link.h"
#include "fs/watch/notify.h"
#include "fs/watch/takeover.h"

#define TICK_MS 100
#define STEP_MAX_MS 300       /* more than that between two looks was a suspend, or our own stop: it does not count */
#define BEATS_MISSED_MS 4500  /* of the gate's thread: GATE_BEAT_MS is a second */
#define LEASE_OVER_MS 2000    /* ACTIVE this long behind the lease's end: the gate's thread is not there */
#define LOCKING_OVER_MS 2000  /* past the drain limit: a second for handlers, a second more */
#define LOCKING_STALL_MS 2000 /* ... and no pass that makes progress */
#define DYING_MS 50           /* from the first thread's end to the last one's */
#define FORGET_EVERY_MS 50
#define FORGET_MORE_MS 4000 /* 2 GiB, the most that a write(2) takes, needs 2 s here */
#define REAP_MS 5000
#define RESPAWN_WINDOW_MS 600000
#define RESPAWNS_MAX 64u

enum run_end { RUN_ON = 0, RUN_DONE, RUN_TAKEN };

/* One worker. */
struct run {
	pid_t pid;
	int pid_fd, sock;
	int fuse_fd; /* the supervisor's copy, -1 before the mount */
	struct connection conn;
	/* all times are the supervisor's own running time */
	int64_t beat_at, lease_over_at, locking_at, stop_at;
	uint64_t beat;
	int stops;
	bool done;     /* it was the worker that ended the mount, in good order */
	char why[320]; /* why it was taken over */
};

struct supervisor {
	const struct supervise_config *cfg;
	struct watch_page *page;
	struct notify *notify;
	int signal_fd;
	sigset_t old_mask;
	int64_t own_ms, last_look;
	int64_t respawned[RESPAWNS_MAX];
	unsigned n_respawned;
	bool served; /* a worker has served: the terminal is left */
	int dead_id; /* number of the mount that the last worker left behind */
	struct run run;
};

/* Own running time: what a worker is given counts only while the supervisor runs too. */
static void look_at_clock(struct supervisor *s)
{
	int64_t now = clock_ms(CLOCK_MONOTONIC), step = now - s->last_look;

	s->last_look = now;
	s->own_ms += step > STEP_MAX_MS ? STEP_MAX_MS : step;
}

/* ---- starting ---- */

static int page_map(struct watch_page **out)
{
	void *p = mmap(NULL, sizeof(struct watch_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	*out = p;
	return 0;
}

static void child(struct supervisor *s, int sock, pid_t parent)
{
	struct worker w = {.sock = sock, .supervisor = parent, .page = s->page};
	int code;

	close(s->signal_fd);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	w.supervisor_fd = (int)syscall(SYS_pidfd_open, parent, 0);
	/* Dead already: nobody would watch over this mount. */
	code = w.supervisor_fd < 0 || getppid() != parent ? 1 : s->cfg->work(&w, s->cfg->arg);
	fflush(NULL);
	_exit(code);
}

static int run_start(struct supervisor *s)
{
	struct run *r = &s->run;
	pid_t parent = getpid();
	int pair[2];

	memset(r, 0, sizeof(*r));
	r->fuse_fd = r->pid_fd = -1;
	memset(s->page, 0, sizeof(*s->page));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return -errno;
	fflush(NULL);
	r->pid = fork();
	if (r->pid == 0) {
		close(pair[0]);
		child(s, pair[1], parent);
	}
	close(pair[1]);
	r->sock = pair[0];
	if (r->pid > 0)
		r->pid_fd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	return r->pid < 0 || r->pid_fd < 0 ? -errno : 0;
}

/* ---- what the worker says ---- */

/* Mount for it. What a worker before it has left on the mount point makes room now, and not before. */
static void answer_mount(struct supervisor *s)
{
	struct link_msg m = {.type = LINK_MOUNTED};
	struct run *r = &s->run;
	int fd = -1;

	if (s->dead_id && mount_in_place(s->cfg->mnt.mountpoint, s->dead_id))
		(void)(mnt_umount(s->cfg->mnt.mountpoint, true) == 0);
	m.error = mnt_mount(&s->cfg->mnt, &fd, m.text);
	if (!m.error) {
		r->fuse_fd = fd;
		connection_open(&r->conn, fd, s->cfg->mnt.mountpoint);
		snprintf(m.how, sizeof(m.how), "%s", r->conn.how);
	}
	(void)(link_send(r->sock, &m, fd, false) == 0); /* its death is seen by its pidfd */
}

static void tell(struct supervisor *s, const char *from, const char *to, const char *cause, const char *reason)
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

	notify_say(s->notify, &f);
}

/* True when there was one. */
static bool take_message(struct supervisor *s)
{
	struct link_msg m;
	int fd;

	if (link_receive(s->run.sock, &m, &fd))
		return false;
	if (fd >= 0)
		close(fd);
	if (m.type == LINK_MOUNT && s->run.fuse_fd < 0) {
		answer_mount(s);
	} else if (m.type == LINK_SERVING) {
		s->run.beat_at = s->own_ms;
		ended_forget(s->cfg->mnt.mountpoint);
		if (!s->served)
			s->cfg->ready();
		s->served = true;
	} else if (m.type == LINK_CHANGE) {
		tell(s, gate_state_name((enum gate_state)m.from), gate_state_name((enum gate_state)m.to),
		     gate_cause_name((enum gate_cause)m.cause), m.text);
	}
	return true;
}

static void take_signal(struct supervisor *s)
{
	struct signalfd_siginfo info;
	struct link_msg m = {.type = LINK_STOP};
	struct run *r = &s->run;

	if (read(s->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	m.signal = (int)info.ssi_signo;
	m.uid = info.ssi_uid;
	m.pid = (int)info.ssi_pid;
	if (info.ssi_signo == SIGUSR1)
		m.type = LINK_LOCK;
	else if (atomic_load(&s->page->serving) == 0)
		kill(r->pid, SIGTERM); /* still starting, perhaps at a prompt: nothing is mounted that is in use */
	else if (++r->stops == 2)
		r->stop_at = s->own_ms; /* at once, whatever is open */
	(void)(link_send(r->sock, &m, -1, true) == 0);
}

/* ---- watching ---- */

/* Is the worker, which lives, still in order? False with the reason in run.why. */
static bool in_order(struct supervisor *s)
{
	const struct gate_beacon *b = &s->page->gate;
	struct run *r = &s->run;
	int state = atomic_load(&b->state);
	uint64_t beat = atomic_load(&b->beat);
	int64_t deadline = atomic_load(&b->deadline);
	bool lending = state == GATE_ACTIVE || state == GATE_GRACE;

	if (beat != r->beat)
		r->beat_at = s->own_ms;
	r->beat = beat;
	if (!lending || clock_ms(CLOCK_BOOTTIME) < deadline)
		r->lease_over_at = s->own_ms;
	if (state != GATE_LOCKING)
		r->locking_at = s->own_ms;
	if (state == GATE_LOCKING && s->own_ms - r->locking_at > atomic_load(&s->page->drain_ms) + LOCKING_OVER_MS &&
	    s->own_ms - r->beat_at > LOCKING_STALL_MS)
		snprintf(r->why, sizeof(r->why), "locking did not end in time");
	else if (lending && s->own_ms - r->lease_over_at > LEASE_OVER_MS)
		snprintf(r->why, sizeof(r->why), "the lease has ended and the worker did not lock");
	else if (state != GATE_LOCKING && s->own_ms - r->beat_at > BEATS_MISSED_MS)
		snprintf(r->why, sizeof(r->why), "the worker does not run any more (no beat for %d ms)",
			 BEATS_MISSED_MS);
	return r->why[0] == '\0';
}

static int reap(struct run *r, int limit_ms)
{
	struct pollfd p = {.fd = r->pid_fd, .events = POLLIN};
	int status;

	if (poll(&p, 1, limit_ms) != 1 || waitpid(r->pid, &status, WNOHANG) != r->pid)
		return -1;
	return status;
}

/*
 * Killed, but not ended: a thread that waits for its own mount (the syncfs of a lock) cannot die before the connection is
 * aborted, and until then the pidfd is silent. The state of the first thread tells.
 */
static bool is_dying(const struct run *r)
{
	char path[32], text[512];
	const char *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)r->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	state = strrchr(text, ')'); /* the name before it may hold anything */
	return state && (strncmp(state, ") Z", 3) == 0 || strncmp(state, ") X", 3) == 0);
}

/* The worker has ended: in good order (its exit code in *CODE), or not. */
static enum run_end worker_ended(struct supervisor *s, int *code)
{
	struct run *r = &s->run;
	int status = reap(r, 0);

	*code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	r->pid = 0;
	if (atomic_load(&s->page->serving) != 1 && WIFEXITED(status))
		return RUN_DONE;
	if (WIFEXITED(status))
		snprintf(r->why, sizeof(r->why), "the worker ended by itself with code %d", WEXITSTATUS(status));
	else
		snprintf(r->why, sizeof(r->why), "the worker was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	if (atomic_load(&s->page->serving) == 1)
		return RUN_TAKEN;
	s->cfg->log(LOG_ERR, r->why);
	return RUN_DONE;
}

static enum run_end watch_once(struct supervisor *s, int *code)
{
	struct run *r = &s->run;
	struct pollfd p[3] = {{r->pid_fd, POLLIN, 0}, {r->sock, POLLIN, 0}, {s->signal_fd, POLLIN, 0}};
	bool said = false;

	if (poll(p, 3, TICK_MS) < 0 && errno != EINTR)
		return RUN_ON;
	look_at_clock(s);
	if (p[1].revents & POLLIN)
		said = take_message(s);
	if (p[2].revents & POLLIN)
		take_signal(s);
	(void)notify_step(s->notify);
	/* what it said last is read before its end is looked at */
	if ((p[0].revents & POLLIN) && !said)
		return worker_ended(s, code);
	if (p[0].revents & POLLIN || atomic_load(&s->page->serving) != 1)
		return RUN_ON;
	if (is_dying(r) && poll(p, 1, DYING_MS) == 0) {
		snprintf(r->why, sizeof(r->why), "the worker was killed, and a thread of it hangs");
		return RUN_TAKEN;
	}
	return in_order(s) ? RUN_ON : RUN_TAKEN;
}

/* Kill without waiting, abort, make the kernel forget, twice. */
static void take_over(struct supervisor *s)
{
	struct run *r = &s->run;
	int64_t t0 = clock_ms(CLOCK_MONOTONIC);
	char text[512];

	if (r->pid > 0)
		(void)syscall(SYS_pidfd_send_signal, r->pid_fd, SIGKILL, NULL, 0);
	if (r->fuse_fd >= 0) {
		connection_abort(&r->conn);
		connection_forget(&r->conn, atomic_load(&s->page->high));
	}
	snprintf(text, sizeof(text), "%s: taken over and closed in %lld ms (%s)", r->why,
		 (long long)(clock_ms(CLOCK_MONOTONIC) - t0), r->conn.how[0] ? r->conn.how : "not mounted");
	s->cfg->log(LOG_CRIT, text);
	tell(s, gate_state_name((enum gate_state)atomic_load(&s->page->gate.state)), "dead", "taken over", r->why);
}

static void leave_note(struct supervisor *s)
{
	struct ended_note n = {.when = time(NULL)};

	snprintf(n.mountpoint, sizeof(n.mountpoint), "%s", s->cfg->mnt.mountpoint);
	snprintf(n.store, sizeof(n.store), "%s", s->cfg->mnt.source);
	snprintf(n.who, sizeof(n.who), "supervisor");
	snprintf(n.why, sizeof(n.why), "%s", s->run.why);
	if (ended_write(&n))
		s->cfg->log(LOG_WARNING, "the note about the end of the mount could not be written");
}

/*
 * A write(2) that was inside the kernel at the end goes on, reports success and fills pages behind the passes, which every
 * handle then reads until its attributes are too old, and a mapping for good. Nothing tells when it is over.
 */
static void forget_more(struct supervisor *s)
{
	int64_t end = clock_ms(CLOCK_MONOTONIC) + FORGET_MORE_MS;

	while (s->run.fuse_fd >= 0 && clock_ms(CLOCK_MONOTONIC) < end) {
		(void)poll(NULL, 0, FORGET_EVERY_MS);
		connection_forget(&s->run.conn, atomic_load(&s->page->high));
		(void)notify_step(s->notify);
	}
}

/* A worker that ended by itself has unmounted; if it could not, handles may be open, and pages behind them. */
static void close_after(struct supervisor *s)
{
	struct run *r = &s->run;

	if (r->fuse_fd < 0 || connection_gone(&r->conn))
		return;
	connection_abort(&r->conn);
	connection_forget(&r->conn, atomic_load(&s->page->high));
	if (atomic_load(&s->page->serving) == 0 && mount_in_place(s->cfg->mnt.mountpoint, r->conn.mount_id))
		(void)(mnt_umount(s->cfg->mnt.mountpoint, true) == 0); /* nobody has ever used it */
}

/* What is left of a run. A worker that cannot die (stuck in a disk) is left to init; its mount is answered until it ends. */
static void run_free(struct supervisor *s)
{
	struct run *r = &s->run;
	bool alone;

	alone = r->pid <= 0 || reap(r, REAP_MS) >= 0 || kill(r->pid, 0) != 0;
	if (!alone)
		s->cfg->log(LOG_ERR,
			    "the worker cannot be ended: a thread of it is stuck, in the store's disk most likely");
	connection_close(&r->conn, alone);
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
	if (s->n_respawned == RESPAWNS_MAX)
		memmove(s->respawned, s->respawned + 1, --s->n_respawned * sizeof(s->respawned[0]));
	s->respawned[s->n_respawned++] = now;
	s->dead_id = s->run.conn.mount_id;
	s->cfg->log(LOG_WARNING, "mounting again (--respawn)");
	return true;
}

static int supervise_runs(struct supervisor *s)
{
	enum run_end end;
	int code = 1;

	do {
		int r = run_start(s);

		if (r) {
			s->cfg->log(LOG_ERR, "cannot start the worker");
			return 1;
		}
		look_at_clock(s);
		while ((end = watch_once(s, &code)) == RUN_ON)
			;
		if (end == RUN_TAKEN) {
			code = 1;
			take_over(s);
			leave_note(s);
			forget_more(s);
		} else {
			close_after(s);
		}
		run_free(s);
	} while (end == RUN_TAKEN && may_respawn(s));
	if (s->n_respawned > 0 && code != 0 && atomic_load(&s->page->serving) == 0)
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

int supervise(const struct supervise_config *cfg)
{
	struct supervisor s = {.cfg = cfg, .last_look = clock_ms(CLOCK_MONOTONIC)};
	int code = 1;

	catch_signals(&s);
	s.notify = notify_new(cfg->notify_command, cfg->log);
	if (s.signal_fd < 0 || page_map(&s.page))
		cfg->log(LOG_ERR, "cannot prepare the supervisor: out of memory or descriptors");
	else
		code = supervise_runs(&s);
	notify_free(s.notify, NOTIFY_END_MS);
	if (s.signal_fd >= 0)
		close(s.signal_fd);
	return code;
}
