/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock: sealing what was accepted, and making the kernel forget the rest (DESIGN.md "Locking"). Without libfuse. */
#ifndef FS_LOCK_H
#define FS_LOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs/inode/node.h"
#include "fs/report.h"
#include "kms/gate.h"

struct janitor;

/* What a lock works on; all of it outlives it. */
struct lock_config {
	struct nodes *nodes;
	struct gate *gate;
	struct behind *behind;      /* NULL where nothing is written */
	int fuse_fd;                /* /dev/fuse */
	const char *mountpoint;     /* canonical */
	struct gate_beacon *beacon; /* its `beat` is raised while a lock makes progress. NULL = none */
	void (*log)(int priority, const char *text);
};

#define LOCK_SEATS 32u /* more than there are threads that handle requests */
/* A thread that handles requests. */
struct lock_seat {
	_Atomic pid_t thread;
	_Atomic uint64_t request; /* a number of its own while it is at one, else 0 */
};

/* What the order of locking, the janitor and the serving threads share. Made by lock_init(). */
struct lock {
	struct lock_config cfg;
	_Atomic unsigned turn;         /* 0 or 1: which count a new request goes into */
	_Atomic uint64_t in_flight[2]; /* requests between receipt and reply */
	_Atomic uint64_t writes;       /* WRITE requests so far: a locking pass is over when none came */
	_Atomic uint64_t refused_writes;
	_Atomic uint64_t sealed_bytes, refused_bytes; /* since the last LOCKING */
	_Atomic bool write_closed;                    /* page-cache WRITE is refused too */
	_Atomic int64_t seal_until;                   /* ms of CLOCK_BOOTTIME: end of the drain limit; 0 = no drain */
	_Atomic bool asked;                           /* before a read(2) of a file open for writing the kernel asks */
	_Atomic int64_t ask_until;                    /* ms of CLOCK_BOOTTIME: no piece is invalidated before that */
	_Atomic uint64_t draining;                    /* inodes in the janitor's hands */
	_Atomic bool no_epoch;                        /* the kernel has no NOTIFY_INC_EPOCH */
	_Atomic pid_t root_opened_by;                 /* the thread of ours whose OPENDIR of the root came last */
	struct lock_seat seat[LOCK_SEATS];
	_Atomic uint64_t requests; /* numbers given */
	pthread_mutex_t report_lock;
	struct fs_lock_report report; /* report_lock; without the bytes */
	struct janitor *janitor;
};

/* Cannot fail; nothing runs until janitor_start(). */
void lock_init(struct lock *l, const struct lock_config *cfg);

/*
 * A request begins and ends. A lock turns to the other count and waits for the one before: a crowd that is refused all the
 * while does not hold it up.
 */
static inline unsigned lock_request_begin(struct lock *l)
{
	unsigned turn = atomic_load(&l->turn);

	atomic_fetch_add(&l->in_flight[turn], 1);
	return turn;
}

static inline void lock_request_end(struct lock *l, unsigned turn)
{
	atomic_fetch_sub(&l->in_flight[turn], 1);
}

/*
 * This thread begins to work at a request, and ends: what shows a lock whether it waits for a disk that is dead. Around all
 * that may wait for the disk; never nested.
 */
void lock_work_begin(struct lock *l);
void lock_work_end(struct lock *l);

/* WRITE is closed, or the drain limit has passed: page-cache WRITE is refused too. */
bool lock_sealed(const struct lock *l);
/* For the gate's hook `drain`: from the write-back to the last pass. Returns when the kernel has forgotten. */
void lock_drain(struct lock *l, unsigned drain_ms);
/* The gate is open again: page-cache WRITE is admitted as before. */
void lock_lifted(struct lock *l);
void lock_report(struct lock *l, struct fs_lock_report *out);

/*
 * Make the kernel forget pages and attributes of INO: LEN bytes from OFF on, 0 = to the end; OFF -1: attributes only. Waits
 * until dirty pages are written back, so never from a request handler. 0, -ENOENT the kernel does not know it, or as write(2).
 */
int lock_forget_inode(struct lock *l, uint64_t ino, int64_t off, int64_t len);
/* Make the kernel ask again for every name that it has cached, also those that are not there. Costs nothing. */
void lock_forget_names(struct lock *l);

/*
 * Tell the kernel, through the mount itself and by a thread of its own, that ID was changed at TIME: for writes that went past
 * its cache, since of a file the kernel keeps the times itself. Returns when it is told, or after 1 s; the file must be open.
 * Never from a thread that serves.
 */
void lock_touch(struct lock *l, uint64_t id, const struct timespec *time);

/* What a thread of ours gets for the attributes of an inode while locked: so it sees that the kernel does ask for them. */
#define LOCK_ASKED ENOKEY
/* The id in a name below the root by which a lock looks files up through the mount (rootsync.c); 0 if NAME is none. */
uint64_t lock_asked_id(const char *name);
/* The same for lock_touch(). It is there while the node's `written_ns` is set, so the kernel drops it at the next look. */
uint64_t lock_touched_id(const char *name);

#endif
