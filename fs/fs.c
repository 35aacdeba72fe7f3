/* SPDX-License-Identifier: BSD-2-Clause */
/* A mount's life: mount, start, wait, end. */
#include "fs/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/core.h"
#include "fs/loop.h"
#include "fs/mnt.h"

#define POOL_THREADS 4u

static void block_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, set, NULL);
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
	const struct mnt_config mc = {cfg->store->path, cfg->mountpoint, cfg->allow_other, cfg->read_only, cfg->mount_flags};
	struct fs *fs = calloc(1, sizeof(*fs));
	sigset_t set;
	int r;

	if (!fs)
		return -ENOMEM;
	block_signals(&set);
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
		r = mnt_mount(&mc, &fs->fuse_fd, why);
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

	(void)reason;
	loop_wipe(fs);
	pool_wipe(fs->pool);
	if (fs->cfg.unmount_on_revoke && cause != GATE_CAUSE_ORDERED)
		fs_ask_unmount(fs);
}

static void on_active(void *arg)
{
	struct fs *fs = arg;

	atomic_store(&fs->write_closed, false);
}

int fs_start(struct fs *fs)
{
	struct gate_hooks hooks = {.drain = locking_drain,
				   .locked = on_locked,
				   .active = on_active,
				   .files_refused = locking_files_refused,
				   .arg = fs};
	int r = loop_new(fs);

	if (!r)
		r = pool_new(&fs->env.layout, POOL_THREADS, &fs->pool);
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
	fs->cfg.log(LOG_WARNING, "files are still open: the mount point is freed now, the session ends when they are closed");
	if (mnt_umount(fs->cfg.mountpoint, 1) == 0)
		fs->mounted = false;
}

/* One signal: true when the session shall end at once. */
static bool take_signal(struct fs *fs, int fd, unsigned *stops)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return false;
	if (info.ssi_signo == SIGUSR1) {
		gate_lock_signal(fs->gate);
		return false;
	}
	if ((*stops)++ == 0)
		unmount_anyway(fs);
	return *stops > 1;
}

int fs_wait(struct fs *fs)
{
	sigset_t set;
	unsigned stops = 0;
	struct pollfd p[2];
	bool end = false;

	block_signals(&set);
	p[0] = (struct pollfd){signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), POLLIN, 0};
	p[1] = (struct pollfd){fs->wake_fd, POLLIN, 0};
	if (p[0].fd < 0)
		return -errno;
	while (!end) {
		uint64_t what = 0;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents)
			end = take_signal(fs, p[0].fd, &stops);
		if (p[1].revents && read(fs->wake_fd, &what, sizeof(what)) == sizeof(what)) {
			end = end || what >= FS_WAKE_ENDED;
			if (!end)
				unmount_anyway(fs);
		}
	}
	close(p[0].fd);
	return 0;
}

void fs_free(struct fs *fs)
{
	if (!fs)
		return;
	if (fs->mounted)
		(void)(mnt_umount(fs->cfg.mountpoint, 1) == 0);
	/* the next mount mends what this one could not: by the rules for a crash, not as damage */
	if (atomic_load(&fs->env.half_done))
		fs->store->unclean = 1;
	loop_free(fs);
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
