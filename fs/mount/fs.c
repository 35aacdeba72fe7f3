/* SPDX-License-Identifier: BSD-2-Clause */
/* A mount's life: mount, start, wait, end. */
#include "fs/mount/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/audit/audit.h"
#include "fs/fuse/server.h"
#include "fs/lock/janitor.h"
#include "fs/lock/lock.h"
#include "fs/mount/leave.h"
#include "fs/store/journal.h"
#include "fs/store/written.h"
#include "fs/tree/tree.h"
#include "fs/watch/built_on.h"
#include "fs/watch/ended.h"
#include "fs/watch/link.h"
#include "fs/watch/mnt.h"
#include "fs/watch/mountinfo.h"
#include "fs/watch/takeover.h"
#include "fs/watch/worker.h"

#define LOST_PAUSE_MS 30
#define LOST_STAY_MS 4000 /* as the supervisor does after a takeover */
#define LOST_STEP_MS 50
#define LOST_LOCK_MS 3000 /* past the drain limit: then the connection is cut without waiting for the lock */

/* What fs_wait() is woken with: counts of an eventfd. */
#define WAKE_UNMOUNT 1u
#define WAKE_LOCKED (1ull << 16)
#define WAKE_ENDED (1ull << 32)

/* A mount. Nobody else sees its fields: the lock and the server get theirs. */
struct fs {
	struct fs_config cfg;
	struct tree tree;
	struct lock lock;
	struct server *server;
	int fuse_fd; /* /dev/fuse */
	int wake_fd; /* eventfd */
	bool mounted;
	struct leave leave;  /* the thread of fs_wait() */
	bool lost, lost_cut; /* the supervisor died; the connection is cut already */
};

/* Signals are the supervisor's: it takes them and passes them on, those that a terminal or pkill sends to both too. */
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Descriptors: folders and open files are many, and none of them is worth an EMFILE. */
static void raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &r);
	}
}

/* The kernel leaves atime to us (S_NOATIME), whatever the mount's flags say. */
static unsigned atimes(const struct fs_config *cfg)
{
	struct statvfs st;

	/* where the store's filesystem moves none there is nothing to ask of it */
	if (cfg->read_only || (cfg->mount_flags & MS_NOATIME) ||
	    (fstatvfs(cfg->store->data_fd, &st) == 0 && (st.f_flag & ST_NOATIME)))
		return 0;
	unsigned which = ATIME_FILES | (cfg->mount_flags & MS_NODIRATIME ? 0 : ATIME_FOLDERS);
	return which | (cfg->mount_flags & MS_STRICTATIME ? ATIME_ALWAYS : 0);
}

static int prepare(struct fs *fs)
{
	int r = tree_init(&fs->tree, fs->cfg.store, fs->cfg.gate, fs->cfg.read_only, fs->cfg.log);

	if (r)
		return r;
	fs->tree.root_only = fs->cfg.root_only;
	fs->tree.env.atimes = atimes(&fs->cfg);
	fs->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fs->wake_fd < 0)
		r = -errno;
	if (!r && !fs->cfg.read_only)
		r = behind_new(&fs->tree.env.behind);
	if (r) {
		auto_close(&fs->wake_fd);
		tree_free(&fs->tree);
		return r;
	}
	fs->tree.nodes.shared_high = fs->cfg.high;
	if (fs->cfg.high)
		atomic_store(fs->cfg.high, fs->tree.nodes.high);
	return 0;
}

int fs_mount(const struct fs_config *cfg, struct fs **out, char why[STORE_WHY_MAX])
{
	struct fs *fs = calloc(1, sizeof(*fs));

	if (!fs)
		return -ENOMEM;
	block_signals();
	raise_nofile();
	fs->cfg = *cfg;
	int r = prepare(fs);
	if (r) {
		free(fs);
		return r;
	}
	r = worker_mount(cfg->worker, &fs->fuse_fd, why);
	if (r) {
		behind_free(fs->tree.env.behind);
		tree_free(&fs->tree);
		close(fs->wake_fd);
		free(fs);
		return r;
	}
	fs->mounted = true;
	fs->leave = (struct leave){
		.gate = cfg->gate, .worker = cfg->worker, .mountpoint = cfg->mountpoint, .log = cfg->log};
	leave_init(&fs->leave);
	*out = fs;
	return 0;
}

/* Wake fs_wait() with WHAT. It cannot fail but for a full counter, and then it is awake. */
static void wake(const struct fs *fs, uint64_t what)
{
	if (write(fs->wake_fd, &what, sizeof(what)) < 0)
		fs->cfg.log(LOG_WARNING, "the main thread has been woken very often");
}

static void on_locked(void *arg, enum gate_cause cause, const char *reason)
{
	struct fs *fs = arg;
	struct fs_lock_report report;
	struct gate_status st;

	(void)reason;
	server_wipe(fs->server);
	lock_report(&fs->lock, &report);
	gate_status(fs->cfg.gate, &st);
	audit_locked(fs->cfg.audit, &report, cause == GATE_CAUSE_REVOKED ? st.last_refusal : 0);
	bool unmount = fs->cfg.unmount_on_revoke && (cause == GATE_CAUSE_REVOKED || cause == GATE_CAUSE_OUTAGE);
	wake(fs, WAKE_LOCKED + (unmount ? WAKE_UNMOUNT : 0));
}

static void on_active(void *arg)
{
	struct fs *fs = arg;
	struct fs_lock_report report;

	lock_lifted(&fs->lock);
	lock_report(&fs->lock, &report);
	audit_returned(fs->cfg.audit, &report);
}

static void on_changed(void *arg, const struct gate_change *c)
{
	struct fs *fs = arg;

	audit_change(fs->cfg.audit, c);
	worker_tell(fs->cfg.worker, c);
}

static void on_drain(void *arg, unsigned drain_ms)
{
	struct fs *fs = arg;

	lock_drain(&fs->lock, drain_ms);
}

/* Not on the gate's thread: the mount goes on, and a READ from a slow disk may hold up a pass. */
static void on_files_refused(void *arg)
{
	struct fs *fs = arg;

	janitor_sweep(&fs->lock);
}

static void on_ended(void *arg)
{
	wake(arg, WAKE_ENDED);
}

int fs_start(struct fs *fs)
{
	const struct gate_hooks hooks = {.drain = on_drain,
					 .locked = on_locked,
					 .active = on_active,
					 .changed = on_changed,
					 .files_refused = on_files_refused,
					 .arg = fs};
	const struct lock_config lock = {.nodes = &fs->tree.nodes,
					 .gate = fs->cfg.gate,
					 .fuse_fd = fs->fuse_fd,
					 .mountpoint = fs->cfg.mountpoint,
					 .behind = fs->tree.env.behind,
					 .beacon = fs->cfg.beacon,
					 .log = fs->cfg.log};
	const struct server_config server = {.tree = &fs->tree,
					     .lock = &fs->lock,
					     .store = fs->cfg.store,
					     .audit = fs->cfg.audit,
					     .fuse_fd = fs->fuse_fd,
					     .attr_timeout_ms = fs->cfg.attr_timeout_ms,
					     .ended = on_ended,
					     .arg = fs};

	lock_init(&fs->lock, &lock);
	int r = server_new(&server, &fs->server);
	audit_corrupt(fs->cfg.audit, &fs->tree.env.corrupt);
	if (!r && fs->cfg.store->written)
		r = written_start(fs->cfg.store->written);
	if (!r && fs->cfg.store->journal)
		r = journal_start(fs->cfg.store->journal);
	if (!r && fs->cfg.store->lost)
		r = lost_start(fs->cfg.store->lost);
	if (!r)
		r = janitor_start(&fs->lock);
	if (!r)
		r = server_start(fs->server);
	return r ? r : gate_start(fs->cfg.gate, &hooks);
}

void fs_leave(struct fs *fs)
{
	wake(fs, WAKE_UNMOUNT);
}

static void tell_order(struct fs *fs, const struct link_msg *m, const char *order)
{
	char name[24];

	snprintf(name, sizeof(name), "SIG%s", sigabbrev_np(m->signal));
	audit_ordered(fs->cfg.audit,
		      &(struct audit_order){.order = order, .signal = name, .uid = m->uid, .pid = m->pid, .why = ""});
}

/* What the supervisor passes on: true when the session shall end at once, whatever is open. */
static bool take_link(struct fs *fs, unsigned *stops)
{
	struct link_msg m;
	int fd;

	if (link_receive(fs->cfg.worker->sock, &m, &fd))
		return false;
	if (fd >= 0)
		close(fd);
	if (m.type == LINK_LOCK) {
		tell_order(fs, &m, "lock");
		gate_lock_signal(fs->cfg.gate);
	} else if (m.type == LINK_STOP && (*stops)++ == 0) {
		tell_order(fs, &m, "unmount");
		leave_order(&fs->leave);
	} else if (m.type == LINK_LOOKED) {
		leave_looked(&fs->leave, &m);
	}
	return *stops > 1;
}

/*
 * A write(2) that was inside the kernel at the end goes on and fills pages behind the passes. So this process, locked and
 * without keys, stays for a while: it makes the kernel forget again, or, if the connection is not cut, serves refusals, with
 * the janitor at work.
 */
static void lost_stay(struct fs *fs)
{
	struct fuse_conn c;

	fuse_conn_open(&c, fs->fuse_fd, fs->cfg.mountpoint);
	for (int ms = 0; ms < LOST_STAY_MS; ms += LOST_STEP_MS) {
		clock_pause(LOST_STEP_MS);
		if (fs->lost_cut)
			fuse_conn_forget(&c, atomic_load(&fs->cfg.worker->page->high));
	}
}

/*
 * Nobody watches over this process any more: its own death would leave what the kernel has cached readable. So it locks,
 * cuts the connection and ends; what stays mounted answers errors.
 */
static void supervisor_lost(struct fs *fs)
{
	struct ended_note n = {.when = time(NULL), .who = "worker", .why = "the supervisor died: locked and closed"};
	int64_t wait_ms = atomic_load(&fs->cfg.worker->page->drain_ms) + LOST_LOCK_MS;

	/* Killed at the same moment, this process must not be in the middle of a lock: its threads would wait for one another. */
	clock_pause(LOST_PAUSE_MS);
	fs->cfg.log(LOG_CRIT, "the supervisor is dead: locking, and ending the mount");
	audit_ending(fs->cfg.audit, n.why);
	n.reported = fs->cfg.audit != NULL;
	gate_lock_signal(fs->cfg.gate);
	for (; wait_ms > 0 && gate_state(fs->cfg.gate) != GATE_LOCKED; wait_ms -= 5)
		clock_pause(5);
	struct fuse_conn c;
	fuse_conn_open(&c, fs->fuse_fd, fs->cfg.mountpoint);
	fs->lost = true;
	fs->lost_cut = fuse_conn_cut(&c);
	if (fs->lost_cut)
		fuse_conn_forget(&c, atomic_load(&fs->cfg.worker->page->high));
	fs->mounted = false;
	snprintf(n.mountpoint, sizeof(n.mountpoint), "%s", fs->cfg.mountpoint);
	snprintf(n.store, sizeof(n.store), "%s", fs->cfg.store->path);
	if (ended_write(&n))
		fs->cfg.log(LOG_WARNING, "the note about the end of the mount could not be written");
}

/* After a lock, and on no thread that one waits for: what is built on our files keeps what it has cached. */
static void tell_built_on(struct fs *fs)
{
	struct built_on found;
	char text[2048];
	int r = built_on_here(fs->cfg.worker->mount.id, fs->cfg.mountpoint, &found);

	if (r && r != -ENOENT) {
		snprintf(text, sizeof(text), "what is built on files of the mount cannot be looked for: %s",
			 strerror(-r));
		fs->cfg.log(LOG_WARNING, text);
	}
	if (!found.n)
		return;
	audit_built_on(fs->cfg.audit, &found);
	int at = snprintf(text, sizeof(text),
			  "locked, but what is built on files of the mount has a cache of its own, which may still be "
			  "read; unmount and detach it: ");
	built_on_line(&found, text + at, sizeof(text) - (size_t)at);
	fs->cfg.log(LOG_WARNING, text);
}

static bool take_wake(struct fs *fs)
{
	uint64_t what = 0;

	if (read(fs->wake_fd, &what, sizeof(what)) != sizeof(what))
		return false;
	if (what >= WAKE_ENDED)
		return true;
	if (what >= WAKE_LOCKED)
		tell_built_on(fs);
	if (what % WAKE_LOCKED)
		leave_order(&fs->leave);
	return false;
}

static void look(struct fs *fs, bool changed)
{
	const struct lock *l = &fs->lock;
	struct leave_facts f = {.connected = fs_connected(fs), .writes = atomic_load(&l->writes)};

	f.busy = atomic_load(&l->in_flight[0]) + atomic_load(&l->in_flight[1]) > 0;
	f.open_files = nodes_open_files(&fs->tree.nodes);
	leave_look(&fs->leave, &f, changed);
}

int fs_wait(struct fs *fs)
{
	struct worker *w = fs->cfg.worker;
	struct pollfd p[4] = {{fs->wake_fd, POLLIN, 0}, {w->sock, POLLIN, 0}, {w->supervisor_fd, POLLIN, 0}};
	unsigned stops = 0;
	bool end = false;
	int timeout_ms;

	worker_serving(w);
	while (!end) {
		p[3] = (struct pollfd){leave_poll(&fs->leave, &timeout_ms), POLLPRI, 0};
		if (poll(p, 4, timeout_ms) < 0 && errno != EINTR)
			break;
		look(fs, p[3].revents & POLLPRI);
		if (p[0].revents)
			end = take_wake(fs);
		if (p[1].revents & POLLIN)
			end = take_link(fs, &stops) || end;
		if (p[2].revents) {
			supervisor_lost(fs);
			end = true;
		} else if (p[1].revents & POLLHUP) {
			p[1].fd = -1; /* its descriptor says the rest */
		}
	}
	atomic_store(&w->page->phase, WATCH_ENDING);
	return 0;
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	if (fs->lost)
		lost_stay(fs); /* only now: nobody is told any more that this mount lives */
	/* unmounted, most likely, when the connection has ended: where nothing else tells, its number may be another mount's by now */
	fs->mounted = fs->mounted && !fs->leave.gone && (fs->cfg.worker->mount.unique || fs_connected(fs));
	if (fs->mounted && fs->leave.wanted)
		fs->cfg.log(LOG_WARNING, "ended while in use: what is mounted answers errors until byokfs umount");
	else if (fs->mounted)
		(void)(mnt_umount(fs->cfg.mountpoint, &fs->cfg.worker->mount, true) == 0);
	if (fs->tree.env.behind)
		behind_stop(fs->tree.env.behind);
	/* the next mount mends what this one could not: by the rules for a crash, not as damage */
	if (atomic_load(&fs->tree.env.half_done))
		fs->cfg.store->unclean = 1;
	/* while requests are still answered: it may wait for a page that is being written back */
	janitor_stop(&fs->lock);
	server_free(fs->server);
	janitor_free(&fs->lock);
	audit_corrupt(fs->cfg.audit, NULL);
	behind_free(fs->tree.env.behind);
	tree_free(&fs->tree);
	leave_free(&fs->leave);
	close(fs->wake_fd);
	free(fs);
}

bool fs_connected(const struct fs *fs)
{
	const struct fuse_conn c = {.fd = fs->fuse_fd};

	return !fuse_conn_gone(&c);
}

void fs_stats(struct fs *fs, struct fs_stats *out)
{
	struct lost_counts lost;

	*out = (struct fs_stats){
		.cached_inodes = atomic_load(&fs->tree.nodes.known),
		.refused_writes = atomic_load(&fs->lock.refused_writes),
		.corrupt = atomic_load(&fs->tree.env.corrupt),
		.recovered = atomic_load(&fs->tree.env.recovered),
		.draining = atomic_load(&fs->lock.draining),
		.sealed_waiting_bytes = behind_bytes(fs->tree.env.behind),
	};
	out->open_files = nodes_open_files(&fs->tree.nodes);
	lost_count(fs->cfg.store->lost, &lost);
	out->lost_ranges = lost.ranges;
}

void fs_last_lock(struct fs *fs, struct fs_lock_report *out)
{
	lock_report(&fs->lock, out);
}
