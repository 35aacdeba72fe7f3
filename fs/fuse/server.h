/* SPDX-License-Identifier: BSD-2-Clause */
/* The FUSE session of a mount, its serving threads and its pool. */
#ifndef FS_SERVER_H
#define FS_SERVER_H

#include "crypto/attr.h"

struct audit;
struct lock;
struct server;
struct store;
struct tree;

/* What is served, and how; all of it outlives the server. */
struct server_config {
	struct tree *tree;
	struct lock *lock; /* its janitor runs from before server_start() until server_stop() */
	struct store *store;
	struct audit *audit; /* or NULL */
	int fuse_fd;         /* /dev/fuse; taken over: server_free() closes it */
	unsigned attr_timeout_ms;
	void (*ended)(void *arg); /* called once, on a serving thread: the connection is gone */
	void *arg;
};

/* A session on cfg->fuse_fd: who opened the descriptor is no matter. -ENOMEM, -EINVAL, -EIO. */
int server_new(const struct server_config *cfg, struct server **out) MUST_CHECK;
/* Start the pool and the serving threads: requests are answered from now on. -ENOMEM, -EAGAIN. */
int server_start(struct server *s) MUST_CHECK;
/* Wipe the request and reply buffers of every thread; returns when all that serve have done so, or after 2 s. */
void server_wipe(struct server *s);
/* Wait for what the pool has been given, while requests are still answered, then for the threads' end; free. NULL is legal. */
void server_free(struct server *s);

#endif
