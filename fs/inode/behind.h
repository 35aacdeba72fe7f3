/* SPDX-License-Identifier: BSD-2-Clause */
/* While a lock drains: what is sealed is answered at once, and reaches the disk behind the answer. It needs no key any more. */
#ifndef FS_BEHIND_H
#define FS_BEHIND_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/inflight.h"
#include "kms/gate.h"

struct behind;
struct behind_job;
struct file;
struct file_env;
struct file_work;

/* Sealed changes of one file that are still to be made, in their order. All under the lock of `struct behind`, unless said. */
struct behind_queue {
	struct behind_job *first, *last;
	struct file *next;       /* another one that has some */
	_Atomic unsigned n;      /* read without the lock, too */
	_Atomic uint64_t stored; /* the plain size as it is on disk while there are any */
	uint64_t done;           /* counts those made */
	_Atomic int error;       /* of one that failed; whoever waits is told once. 0 or a negative errno */
};

/* Threads that write, and as many in-flight slots of their own. */
#define BEHIND_THREADS 3u

struct behind_config {
	struct file_env *env;
	unsigned slot_no; /* the first of their in-flight slots */
	size_t slot_len;
	/* [OFF, OFF + LEN) of F, which was answered well, could not be written, by R. On a thread of ours; no lock is held. */
	void (*failed)(void *arg, struct file *f, uint64_t off, uint64_t len, int r);
	void *arg;
};

/* No thread yet. -ENOMEM. */
int behind_new(struct behind **out) MUST_CHECK;
/* The threads. Not before the last fork. -ENOMEM, -EAGAIN. */
int behind_start(struct behind *b, const struct behind_config *cfg) MUST_CHECK;
/* Waits until all is written; from now on nothing goes behind. No thread of ours runs any more. */
void behind_stop(struct behind *b);
/* Stopped, or never started. NULL is legal. */
void behind_free(struct behind *b);

/* From now on page-cache writes go behind, until UNTIL (clock_ms(CLOCK_BOOTTIME)): then a full queue refuses them. */
void behind_begin(struct behind *b, int64_t until);
/* They do not any more; what is there is written all the same. */
void behind_end(struct behind *b);
/* Does a write of F for USE? */
bool behind_takes(const struct file *f, enum gate_use use);
/* Bytes that are still to be written. */
uint64_t behind_bytes(const struct behind *b);

/* What a change means for its file. */
struct behind_change {
	const struct inflight *in; /* its bytes lie in the slot of the caller's `struct file_work` */
	uint64_t off, len;         /* plain bytes that it is for; 0: none */
	uint64_t size;             /* plain size of the file afterwards */
	bool inside;               /* whole blocks in the middle: beside others that it does not meet */
};

/*
 * Take a sealed change of F, under its lock: a copy, room for which is taken on disk first. -ENOSPC, -ENOMEM; -EACCES when there is too
 * much and the time is over. On error nothing has been changed.
 */
int behind_put(struct file *f, const struct file_work *w, const struct behind_change *c) MUST_CHECK;

/* Is nothing of F behind? Any thread. */
bool behind_idle(const struct file *f);
/*
 * Wait until nothing of F is. Its lock may be held. -EACCES: a lock drains, and its time is over. For whoever serves a request.
 */
int behind_wait(struct file *f) MUST_CHECK;
/* The same, as long as it takes: 0, or the error of a change that failed, told once. For the pool, without F's lock. */
int behind_settle(struct file *f) MUST_CHECK;
/*
 * Read LEN disk bytes of F at OFF as they will be when all is written: as store_pread_full(), where nothing is behind. The caller has
 * F's lock, and nobody puts changes of these bytes meanwhile.
 */
int behind_pread(struct file *f, uint8_t *buf, size_t len, uint64_t off) MUST_CHECK;
/* The plain size of F that is on disk. For whoever changes what is there: the owner of F's lock, or of a change that is being made. */
uint64_t behind_stored(const struct file *f);

#endif
