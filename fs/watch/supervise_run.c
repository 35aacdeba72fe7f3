/* SPDX-License-Identifier: BSD-2-Clause */
/* One worker's life: started, listened to, watched. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/watch/ended.h"
#include "fs/watch/holders.h"
#include "fs/watch/link.h"
#include "fs/watch/supervise_own.h"

#define TICK_MS 100
#define STEP_MAX_MS 300
#define DYING_MS 50 /* from the first thread's end to the last one's */

/* Starting */

static void child(struct supervisor *s, int sock, pid_t parent)
{
	struct worker w = {.sock = sock, .supervisor = parent, .page = s->page};

	close(s->signal_fd);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	w.supervisor_fd = (int)syscall(SYS_pidfd_open, parent, 0);
	/* Dead already: nobody would watch over this mount. */
	int code = w.supervisor_fd < 0 || getppid() != parent ? 1 : s->cfg->work(&w, s->cfg->arg);
	fflush(NULL);
	_exit(code);
}

int run_start(struct supervisor *s)
{
	struct run *r = &s->run;
	pid_t parent = getpid();
	int pair[2];

	*r = (struct run){.fuse_fd = -1, .pid_fd = -1};
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

/* What the worker says, and signals */

void run_unmount(struct supervisor *s, const struct mount_num *n)
{
	(void)((s->cfg->umount ? s->cfg->umount : mnt_umount)(s->cfg->mnt.mountpoint, n, true) == 0);
}

/* Mount for it. What a worker before it has left on the mount point makes room now, and not before. */
static void answer_mount(struct supervisor *s)
{
	struct link_msg m = {.type = LINK_MOUNTED};
	struct run *r = &s->run;
	int fd = -1;

	if (s->dead.id)
		run_unmount(s, &s->dead);
	m.error = (s->cfg->mount ? s->cfg->mount : mnt_mount)(&s->cfg->mnt, &fd, m.text);
	if (!m.error) {
		r->fuse_fd = fd;
		fuse_conn_open(&r->conn, fd, s->cfg->mnt.mountpoint);
		m.mount = r->conn.mount;
		snprintf(m.how, sizeof(m.how), "%s", r->conn.how);
		guard_start(s);
	}
	(void)(link_send(r->sock, &m, fd, false) == 0); /* its death is seen by its pidfd */
}

/* Who would be served on, or lose his place, after an unmount. */
static void answer_look(struct supervisor *s)
{
	const struct mountinfo mine = {.id = s->run.conn.mount.id, .minor = s->run.conn.minor};
	struct link_msg m = {.type = LINK_LOOKED};

	if (mine.id)
		m.from = (int)holders_find("/proc", &mine, m.text);
	(void)(link_send(s->run.sock, &m, -1, true) == 0); /* it asks again */
}

/* True when there was a message. */
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
		ended_forget(s->cfg->mnt.mountpoint);
		if (!s->served)
			s->cfg->ready();
		s->served = true;
	} else if (m.type == LINK_LOOK) {
		answer_look(s);
	} else if (m.type == LINK_CHANGE) {
		run_tell(s, gate_state_name((enum gate_state)m.from), gate_state_name((enum gate_state)m.to),
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
	else if (atomic_load(&s->page->phase) == WATCH_STARTING)
		kill(r->pid, SIGTERM); /* perhaps at a prompt: nothing is mounted that is in use */
	(void)(link_send(r->sock, &m, -1, true) == 0);
}

/* Watching */

int run_reap(struct run *r, int limit_ms)
{
	struct pollfd p = {.fd = r->pid_fd, .events = POLLIN};
	int status;

	if (poll(&p, 1, limit_ms) != 1 || waitpid(r->pid, &status, WNOHANG) != r->pid)
		return -1;
	return status;
}

/* The worker has ended: in good order (its exit code in *CODE), or not. */
static enum run_end worker_ended(struct supervisor *s, int *code)
{
	struct run *r = &s->run;
	int phase = atomic_load(&s->page->phase), status = run_reap(r, 0);

	*code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
	r->pid = 0;
	if (phase != WATCH_SERVING && WIFEXITED(status))
		return RUN_DONE;
	if (WIFEXITED(status))
		snprintf(r->why, sizeof(r->why), "the worker ended by itself with code %d", WEXITSTATUS(status));
	else
		snprintf(r->why, sizeof(r->why), "the worker was killed by signal %d (%s)", WTERMSIG(status),
			 strsignal(WTERMSIG(status)));
	if (phase == WATCH_SERVING)
		return RUN_TAKEN;
	s->cfg->log(LOG_ERR, r->why);
	return RUN_DONE;
}

enum run_end run_look(struct supervisor *s, int *code)
{
	struct run *r = &s->run;
	struct pollfd p[3] = {{r->pid_fd, POLLIN, 0}, {r->sock, POLLIN, 0}, {s->signal_fd, POLLIN, 0}};
	bool said = false;

	if (poll(p, 3, TICK_MS) < 0 && errno != EINTR)
		return RUN_ON;
	own_time_look(&s->own, clock_ms(CLOCK_MONOTONIC), STEP_MAX_MS);
	atomic_fetch_add(&s->page->gate.watcher, 1);
	guard_look(s);
	if (p[1].revents & POLLIN)
		said = take_message(s);
	if (p[2].revents & POLLIN)
		take_signal(s);
	/* what it said last is read before its end is looked at */
	if ((p[0].revents & POLLIN) && !said)
		return worker_ended(s, code);
	if (p[0].revents & POLLIN || atomic_load(&s->page->phase) != WATCH_SERVING)
		return RUN_ON;
	if (run_dying(r) && poll(p, 1, DYING_MS) == 0) {
		snprintf(r->why, sizeof(r->why), "the worker was killed, and a thread of it hangs");
		return RUN_TAKEN;
	}
	return run_in_order(s, &s->limits->health, s->own.ms) ? RUN_ON : RUN_TAKEN;
}
