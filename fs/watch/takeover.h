/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a connection away from its server: abort it, make the kernel forget what it cached. */
#ifndef FS_TAKEOVER_H
#define FS_TAKEOVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/attr.h"
#include "fs/watch/mountinfo.h"

/* A FUSE connection as its supervisor (or a worker that lost it) holds it. */
struct fuse_conn {
	int fd;                 /* /dev/fuse, not owned */
	const char *table;      /* of mounts */
	struct mount_num mount; /* id 0 = not found */
	unsigned minor;         /* the number of the connection there */
	char control[4096];     /* fusectl's folder of it, "" where there is none */
	char how[32];           /* what abort will do: "fusectl", "forced unmount", "answering" */
	bool answering;         /* `answerer` runs */
	_Atomic bool stop;      /* ... and shall end */
	pthread_t answerer;
};

/* Where the kernel tells of mounts and connections. */
struct fuse_places {
	const char *table;       /* like MOUNTINFO_SELF */
	const char *connections; /* fusectl: a folder per connection */
};

/* Find out how the connection behind FD, mounted on MOUNTPOINT (canonical), can be aborted. Touches no mount. */
void fuse_conn_open(struct fuse_conn *c, int fd, const char *mountpoint);
/* The same with other places, for tests; their texts must live on. */
void fuse_conn_open_at(struct fuse_conn *c, int fd, const char *mountpoint, const struct fuse_places *places);
/* The kernel has ended it already: unmounted or aborted. */
bool fuse_conn_gone(const struct fuse_conn *c);
/*
 * End every request, those that the (dead or killed) server holds included: by fusectl, by a forced unmount (which leaves
 * the mount in place), else by answering EACCES to all of them on a thread of its own until the connection is gone.
 */
void fuse_conn_abort(struct fuse_conn *c);
/* The same where the kernel does it at once; false: it must be answered. For the server itself, which answers anyway. */
bool fuse_conn_cut(struct fuse_conn *c);
/* Make the kernel forget pages and attributes of the ids 1..HIGH, twice. Only after fuse_conn_abort(): it would wait. */
void fuse_conn_forget(const struct fuse_conn *c, uint64_t high);
/*
 * Done with it. ALONE: nobody else has the descriptor, so that closing it will end the connection; else the answering thread,
 * if there is one, goes on until the mount ends, and this waits for it.
 */
void fuse_conn_close(struct fuse_conn *c, bool alone);

#endif
