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
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/audit/audit.h"
#include "fs/mount/core.h"
#include "fs/watch/link.h"
#include "fs/fuse/loop.h"
#include "fs/watch/takeover.h"

#define LOST_PAUSE_MS 30
#define LOST_STAY_MS 4000 /* as the supervisor does after a takeover */
#define LOST_STEP_MS 50
#define LOST_LOCK_MS 3000 /* past the drain limit: then the connection is cut without waiting for the lock */
/* What asks the KMS (wrap type `file`) waits 50 ms each, or for long; see fs/pool.h. */
#define POOL_THREADS_DISK 4u
#define POOL_THREADS_KMS 12u

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
	signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of one write, not our death */
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

static int prepare(struct fs *fs)
{
	struct stat st;
	int r;

	if (fstat(fs->store->data_fd, &st))
		return -errno;
	fs->dev = st.st_dev;
	fs->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fs->wake_fd < 0)
		return -errno;
	r = nodes_init(&fs->nodes, fs->store->data_fd);
	fs->nodes.shared_high = fs->cfg.high;
	if (!r && fs->cfg.high)
		atomic_store(fs->cfg.high, fs->nodes.high);
	return r;
}

int fs_mount(const struct fs_config *cfg, struct fs **out, char why[STORE_WHY_MAX])
{
	struct fs *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	block_signals();
	raise_nofile();
	fs->cfg = *cfg;
	pthread_mutex_init(&fs->slot_lock, NULL);
	pthread_mutex_init(&fs->report_lock, NULL);
	fs->gate = cfg->gate;
	fs->store = cfg->store;
	fs->names = cfg->store->keyring->name_mode;
	fs->env = (struct file_env){
		.gate = cfg->gate,
		.layout = cfg->store->keyring->layout,
		.nodes = &fs->nodes,
		.unclean = cfg->store->unclean != 0,
		.read_only = cfg->read_only != 0,
		.log = cfg->log,
	};
	store_boot_id(fs->env.boot_id);
	r = prepare(fs);
	if (!r)
		r = worker_mount(cfg->worker, &fs->fuse_fd, why);
	if (r) {
		if (fs->nodes.hash)
			nodes_free(&fs->nodes);
		if (fs->wake_fd > 0)
			close(fs->wake_fd);
		free(fs);
		return r;
	}
	fs->mounted = true;
	*out = fs;
	return 0;
}

static void on_locked(void *arg, enum gate_cause cause, const char *reason)
{
	struct fs *fs = arg;
	struct fs_lock_report report;
	struct gate_status st;

	(void)reason;
	loop_wipe(fs);
	pool_wipe(fs->pool);
	fs_lock_report(fs, &report);
	gate_status(fs->gate, &st);
	audit_locked(fs->cfg.audit, &report, cause == GATE_CAUSE_REVOKED ? st.last_refusal : 0);
	if (fs->cfg.unmount_on_revoke && cause != GATE_CAUSE_ORDERED)
		fs_ask_unmount(fs);
}

static void on_active(void *arg)
{
	struct fs *fs = arg;
	struct fs_lock_report report;

	atomic_store(&fs->write_closed, false);
	fs_lock_report(fs, &report);
	audit_returned(fs->cfg.audit, &report);
}

static void on_changed(void *arg, const struct gate_change *c)
{
	struct fs *fs = arg;

	audit_change(fs->cfg.audit, c);
	worker_tell(fs->cfg.worker, c);
}

int fs_start(struct fs *fs)
{
	struct gate_hooks hooks = {.drain = locking_drain,
				   .locked = on_locked,
				   .active = on_active,
				   .changed = on_changed,
				   .files_refused = locking_files_refused,
				   .arg = fs};
	const unsigned threads[POOL_LANES] = {
		[POOL_DISK] = POOL_THREADS_DISK,
		[POOL_KMS] = fs->store->keyring->wrap_type == WRAP_FILE ? POOL_THREADS_KMS : 0,
	};
	int r = loop_new(fs);

	audit_corrupt(fs->cfg.audit, &fs->env.corrupt);
	if (!r)
		r = pool_new(&fs->env.layout, threads, &fs->pool);
	if (!r)
		r = loop_start(fs);
	return r ? r : gate_start(fs->gate, &hooks);
}

void fs_ask_unmount(struct fs *fs)
{
	uint64_t one = FS_WAKE_UNMOUNT;

	if (write(fs->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

int fs_unmount(struct fs *fs)
{
	int r = mnt_umount(fs->cfg.mountpoint, 0);

	if (!r)
		fs->mounted = false;
	return r;
}

/* Have the kernel write back what it holds; the root may be opened by ourselves in any state. */
static void write_back(const struct fs *fs)
{
	int fd = open(fs->cfg.mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (syncfs(fd))
		fs->cfg.log(LOG_WARNING, "not everything could be written back before the unmount");
	close(fd);
}

/*
 * Unmount for good: when files are open, write back what is dirty, then take the mount out of the tree; the handles that
 * are open go on until they are closed.
 */
static void unmount_anyway(struct fs *fs)
{
	if (fs_unmount(fs) == 0)
		return;
	write_back(fs);
	fs->cfg.log(LOG_WARNING,
		    "files are still open: the mount point is freed now, the session ends when they are closed");
	if (mnt_umount(fs->cfg.mountpoint, 1) == 0)
		fs->mounted = false;
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
		gate_lock_signal(fs->gate);
	} else if (m.type == LINK_STOP && (*stops)++ == 0) {
		tell_order(fs, &m, "unmount");
		unmount_anyway(fs);
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
	struct connection c;

	connection_open(&c, fs->fuse_fd, fs->cfg.mountpoint);
	for (int ms = 0; ms < LOST_STAY_MS; ms += LOST_STEP_MS) {
		clock_pause(LOST_STEP_MS);
		if (fs->lost_cut)
			connection_forget(&c, atomic_load(&fs->cfg.worker->page->high));
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
	struct connection c;

	/* Killed at the same moment, this process must not be in the middle of a lock: its threads would wait for one another. */
	clock_pause(LOST_PAUSE_MS);
	fs->cfg.log(LOG_CRIT, "the supervisor is dead: locking, and ending the mount");
	audit_ending(fs->cfg.audit, n.why);
	n.reported = fs->cfg.audit != NULL;
	gate_lock_signal(fs->gate);
	for (; wait_ms > 0 && gate_state(fs->gate) != GATE_LOCKED; wait_ms -= 5)
		clock_pause(5);
	connection_open(&c, fs->fuse_fd, fs->cfg.mountpoint);
	fs->lost = true;
	fs->lost_cut = connection_cut(&c);
	if (fs->lost_cut)
		connection_forget(&c, atomic_load(&fs->cfg.worker->page->high));
	fs->mounted = false;
	snprintf(n.mountpoint, sizeof(n.mountpoint), "%s", fs->cfg.mountpoint);
	snprintf(n.store, sizeof(n.store), "%s", fs->store->path);
	if (ended_write(&n))
		fs->cfg.log(LOG_WARNING, "the note about the end of the mount could not be written");
}

static bool take_wake(struct fs *fs)
{
	uint64_t what = 0;

	if (read(fs->wake_fd, &what, sizeof(what)) != sizeof(what))
		return false;
	if (what >= FS_WAKE_ENDED)
		return true;
	unmount_anyway(fs);
	return false;
}

int fs_wait(struct fs *fs)
{
	struct worker *w = fs->cfg.worker;
	struct pollfd p[3] = {{fs->wake_fd, POLLIN, 0}, {w->sock, POLLIN, 0}, {w->supervisor_fd, POLLIN, 0}};
	unsigned stops = 0;
	bool end = false;

	worker_serving(w);
	while (!end) {
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			break;
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
	atomic_store(&w->page->serving, 2);
	return 0;
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	if (fs->lost)
		lost_stay(fs); /* only now: nobody is told any more that this mount lives */
	if (fs->mounted)
		(void)(mnt_umount(fs->cfg.mountpoint, 1) == 0);
	/* the next mount mends what this one could not: by the rules for a crash, not as damage */
	if (atomic_load(&fs->env.half_done))
		fs->store->unclean = 1;
	loop_free(fs);
	audit_corrupt(fs->cfg.audit, NULL);
	pool_free(fs->pool); /* of a mount that never began to serve */
	nodes_free(&fs->nodes);
	close(fs->wake_fd);
	free(fs);
}

void fs_stats(struct fs *fs, struct fs_stats *out)
{
	*out = (struct fs_stats){
		.cached_inodes = atomic_load(&fs->nodes.known),
		.refused_writes = atomic_load(&fs->refused_writes),
		.corrupt = atomic_load(&fs->env.corrupt),
		.recovered = atomic_load(&fs->env.recovered),
		.draining = atomic_load(&fs->draining),
	};
	nodes_count(&fs->nodes, &out->open_files, &out->lost_ranges);
}
