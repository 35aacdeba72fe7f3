/* SPDX-License-Identifier: BSD-2-Clause */
/* A few threads for what a serving thread must not wait for: KMS calls, fsync, invalidation before lseek. */
#ifndef FS_POOL_H
#define FS_POOL_H

#include "crypto/attr.h"
#include "fs/inode/file.h"

struct pool;

/*
 * Who may run a job. What asks a KMS may wait as long as the KMS likes, so it has threads of its own: a KMS that hangs must
 * not hold up an fsync. What asks the mount itself waits for inodes that the kernel holds until an fsync is answered. And a folder
 * of a million names that are none of ours takes as long as it has names.
 */
enum pool_lane { POOL_DISK = 0, POOL_KMS, POOL_TELL, POOL_LISTS, POOL_LANES };

/* A job owns ARG; WORK is the pool thread's (no in-flight slot: jobs never write blocks). */
typedef void pool_job(struct file_work *work, void *arg);

/* THREADS of each lane. */
int pool_new(const struct layout *l, const unsigned threads[POOL_LANES], struct pool **out) MUST_CHECK;
/* -ENOMEM, -ECANCELED: the job was not queued. */
int pool_submit(struct pool *p, enum pool_lane lane, pool_job *run, void *arg) MUST_CHECK;
/* Wipe the buffers of threads that are idle; busy ones wipe theirs after the job. */
void pool_wipe(struct pool *p);
/* Finishes what is queued and ends the threads; whatever is submitted later is refused. NULL is legal, and twice. */
void pool_stop(struct pool *p);
/* The same, and frees. NULL is legal. */
void pool_free(struct pool *p);

#endif
