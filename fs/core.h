/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of fs/ share: the mount's state. Private to fs/. */
#ifndef FS_CORE_H
#define FS_CORE_H

#include "fs/file.h"
#include "fs/fs.h"
#include "fs/pool.h"

struct loop;
struct janitor;

#define FS_WAKE_UNMOUNT 1u
#define FS_WAKE_ENDED (1ull << 32)

struct fs {
	struct fs_config cfg;
	struct gate *gate;
	struct store *store;
	struct file_env env;
	struct nodes nodes;
	enum name_mode names;
	dev_t dev;              /* of the backing: nothing of another filesystem is served */
	int fuse_fd;            /* /dev/fuse */
	bool mounted;
	struct loop *loop;      /* session and serving threads (loop.c) */
	struct pool *pool;
	pthread_mutex_t slot_lock;
	uint8_t *pool_slot; /* slot_lock: the in-flight slot of pool jobs that change a file, one at a time */
	_Atomic uint64_t refused_writes;
	_Atomic uint64_t writes; /* WRITE requests so far: a locking pass is over when none came */
	_Atomic uint64_t in_flight; /* requests between receipt and reply */
	_Atomic bool write_closed; /* step 5 of locking: page-cache WRITE is refused too */
	_Atomic int64_t seal_until;  /* ms of CLOCK_BOOTTIME: end of the drain limit; 0 = no drain */
	_Atomic uint64_t draining;
	_Atomic uint64_t sealed_bytes, refused_bytes; /* since the last LOCKING */
	_Atomic bool no_epoch;   /* the kernel has no NOTIFY_INC_EPOCH */
	_Atomic pid_t root_opened_by; /* the thread of ours whose OPENDIR of the root came last */
	pthread_mutex_t report_lock;
	struct fs_lock_report report; /* report_lock; without the bytes */
	struct janitor *janitor;
	int wake_fd;            /* eventfd: FS_WAKE_ENDED, FS_WAKE_UNMOUNT */
};

/* Invalidate an inode's pages and attributes in the kernel. Never from a request handler. */
int loop_invalidate(struct fs *fs, uint64_t ino, int64_t off, int64_t len);
/* Make the kernel ask again for every name that it has cached, also those that are not there. Costs nothing. */
void loop_forget_names(struct fs *fs);
/* Wipe the request and reply buffers of every serving thread; returns when all have done so. */
void loop_wipe(struct fs *fs);

/* Make fs_wait() unmount: on revocation, on order. Async-signal-safe. */
void fs_ask_unmount(struct fs *fs);

/* The gate's hooks: steps 2 to 6 of locking, and single files refused (locking.c). */
void locking_drain(void *arg, unsigned drain_ms);
void locking_files_refused(void *arg);
/* Step 5: page-cache WRITE is refused too. */
bool locking_sealed(const struct fs *fs);
/* ms of CLOCK_BOOTTIME. */
int64_t locking_now(void);
/* Whoever watches this process can tell slow progress from a hang. */
void locking_beat(struct fs *fs);

/*
 * Step 2: syncfs of the mount root, from a thread of its own that no request needs, until a round brings no WRITE; once more
 * and no longer when WRITE is closed. NULL: not now, invalidation writes back by itself then. Never from a request handler.
 */
struct rootsync;
struct rootsync *rootsync_start(struct fs *fs);
/* Wait for its end, or until UNTIL (locking_now()); then it is left to itself. NULL is legal. */
void rootsync_end(struct fs *fs, struct rootsync *s, int64_t until);

#endif
