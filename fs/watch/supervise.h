/* SPDX-License-Identifier: BSD-2-Clause */
/* Supervisor and worker: a mount's two processes, so that the death of either leaves nothing readable. */
#ifndef FS_SUPERVISE_H
#define FS_SUPERVISE_H

#include "fs/watch/health.h"
#include "fs/watch/mnt.h"
#include "fs/watch/words.h"
#include "fs/watch/worker.h"

/*
 * The supervisor mounts, keeps a second descriptor of /dev/fuse, and waits. It has no keys and asks no KMS. When the worker
 * dies, hangs or lets its lease run out, the supervisor kills it without waiting, aborts the connection, makes the kernel
 * forget every inode, twice, and closes.
 */

/* How long what may take; ms. */
struct supervise_limits {
	struct health_limits health;
	int forget_more; /* a write(2) under way at the end fills pages behind the passes */
	int reap;        /* a killed worker has this long to end */
};

struct supervise_config {
	struct mnt_config mnt;
	unsigned respawns;   /* how often in ten minutes a worker is started anew, 0 = never */
	struct words *words; /* for changes of state; may be NULL */
	void (*log)(int priority, const char *text);
	/* The worker's whole life, in its own process; its exit code. */
	int (*work)(struct worker *w, void *arg);
	/* The first worker serves: leave the terminal. Called in the supervisor. */
	void (*ready)(void);
	void *arg;

	/* How it mounts; NULL: mnt_mount(). */
	int (*mount)(const struct mnt_config *cfg, int *fd, char why[STORE_WHY_MAX]);
	/* For tests; NULL: the limits that hold, mnt_umount(). */
	const struct supervise_limits *limits;
	int (*umount)(const char *mountpoint, const struct mount_num *n, bool detach);
};

/*
 * Fork the worker and watch it until the mount is over. Returns the exit code: the worker's, or 1 (CMD_FAILED) when it had to
 * be ended. Single-threaded callers only; signals SIGTERM, SIGINT, SIGHUP (unmount; the second time: at once) and SIGUSR1
 * (lock) are taken here and passed on; they stay blocked on return.
 */
int supervise(const struct supervise_config *cfg);

#endif
