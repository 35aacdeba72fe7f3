/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue of sealed changes, and those who write them. For behind*.c. */
#ifndef FS_BEHIND_OWN_H
#define FS_BEHIND_OWN_H

#include <pthread.h>

#include "fs/inode/behind.h"
#include "fs/inode/file.h"

struct behind_job {
	struct behind_job *next;
	struct inflight in;
	uint64_t off, plain_len, size; /* as in struct behind_change */
	bool alone;                    /* not beside any other of its file */
	bool running;
	size_t len;
	uint8_t data[];
};

struct behind_thread {
	struct behind *behind;
	pthread_t thread;
	struct file_work work;
};

struct behind {
	struct behind_config cfg;
	pthread_mutex_t lock; /* before a node's; no I/O under it */
	pthread_cond_t changed;
	struct file *files; /* lock: those that have changes here */
	bool stopping;      /* lock */
	_Atomic bool on;
	_Atomic int64_t until;
	_Atomic uint64_t bytes;
	struct behind_thread thread[BEHIND_THREADS];
	unsigned n_threads;
	uint8_t *slots;
};

#endif
