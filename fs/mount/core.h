/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of fs/ share: the mount's state. Private to fs/. */
#ifndef FS_CORE_H
#define FS_CORE_H

#include "fs/inode/file.h"
#include "fs/mount/fs.h"
#include "fs/fuse/pool.h"

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
	dev_t dev;   /* of the backing: nothing of another filesystem is served */
	int fuse_fd; /* /dev/fuse */
	bool mounted;
	bool lost, lost_cut; /* the supervisor died; the connection is cut already */
	struct loop *loop;   /* session and serving threads (loop.c) */
	struct pool *pool;
	pthread_mutex_t slot_lock;
	uint8_t *pool_slot; /* slot_lock: the in-flight slot of pool jobs that change a file, one at a time */
	_Atomic uint64_t refused_writes;
	_Atomic uint64_t writes;       /* WRITE requests so far: a locking pass is over when none came */
	_Atomic unsigned turn;         /* 0 or 1: which count a new request goes into */
	_Atomic uint64_t in_flight[2]; /* requests between receipt and reply */
	_Atomic bool write_closed;     /* step 5 of locking: page-cache WRITE is refused too */
	_Atomic int64_t seal_until;    /* ms of CLOCK_BOOTTIME: end of the drain limit; 0 = no drain */
	_Atomic uint64_t draining;
	_Atomic uint64_t sealed_bytes, refused_bytes; /* since the last LOCKING */
	_Atomic bool no_epoch;                        /* the kernel has no NOTIFY_INC_EPOCH */
	_Atomic pid_t root_opened_by;                 /* the thread of ours whose OPENDIR of the root came last */
	pthread_mutex_t report_lock;
	struct fs_lock_report report; /* report_lock; without the bytes */
	struct janitor *janitor;
	int wake_fd; /* eventfd: FS_WAKE_ENDED, FS_WAKE_UNMOUNT */
};

/*
 * A request begins and ends. A lock turns to the other count and waits for the one before: a crowd that is refused all the
 * while does not hold it up.
 */
static inline unsigned fs_request_begin(struct fs *fs)
{
	unsigned turn = atomic_load(&fs->turn);

	atomic_fetch_add(&fs->in_flight[turn], 1);
	return turn;
}

static inline void fs_request_end(struct fs *fs, unsigned turn)
{
	atomic_fetch_sub(&fs->in_flight[turn], 1);
}

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
/* Whoever watches this process can tell slow progress from a hang. */
void locking_beat(struct fs *fs);

/*
 * Make the kernel forget all of an inode that may be open for writing; as loop_invalidate(). A write(2) under way does not
 * hold it up for longer than a few megabytes take.
 */
int locking_forget(struct fs *fs, uint64_t ino);
/* Is INO open for writing, and how long is it on disk? SIZE may be NULL. */
bool locking_writable(struct fs *fs, uint64_t ino, uint64_t *size);
/* This thread goes before all that keep the machine busy, where we may say so. Threads that it makes are the same. */
void locking_hurry(void);

/*
 * Step 2: syncfs of the mount root, from a thread of its own that no request needs, begun at once. NULL: not now; the
 * passes write back page by page then. Never from a request handler.
 */
enum rootsync_kind {
	ROOTSYNC_WRITE_BACK,
	ROOTSYNC_ASK_FIRST, /* before it, each file open for writing loses its time: each read(2) of it is a request from then on */
};
struct rootsync;
struct rootsync *rootsync_start(struct fs *fs, enum rootsync_kind kind);
/*
 * Rounds of syncfs until one brings no WRITE, or WRITE was closed before it began (what is dirty is refused then, in large
 * requests); at most until UNTIL (clock_ms(CLOCK_BOOTTIME)): false then. NULL is legal.
 */
bool rootsync_settle(struct rootsync *s, struct fs *fs, int64_t until);
/* End it; one that does not come back is left to itself. NULL is legal. */
void rootsync_end(struct rootsync *s, struct fs *fs);
/* The id in a name below the root by which ROOTSYNC_ASK_FIRST looks a file up; 0 if NAME is none. */
uint64_t rootsync_id(const char *name);

#endif
