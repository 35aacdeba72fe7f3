/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a connection away from its server: abort it, make the kernel forget what it cached. */
#ifndef FS_TAKEOVER_H
#define FS_TAKEOVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "crypto/attr.h"

/* A connection as its supervisor (or a worker that lost it) holds it. */
struct connection {
	int fd; /* /dev/fuse, not owned */
	const char *mountpoint;
	int mount_id;      /* as in /proc/self/mountinfo, 0 = not found */
	char control[64];  /* fusectl's folder of it, "" where there is none */
	char how[32];      /* what abort will do: "fusectl", "forced unmount", "answering" */
	bool answering;    /* `answerer` runs */
	_Atomic bool stop; /* ... and shall end */
	pthread_t answerer;
};

/* Find out how it can be aborted; touches nothing that is mounted. */
void connection_open(struct connection *c, int fd, const char *mountpoint);
/* Is mount ID what lies on MOUNTPOINT now? What is mounted over it, or instead of it, is somebody else's. */
bool mount_in_place(const char *mountpoint, int id);
/* 1 when the kernel has ended it already: unmounted or aborted. */
bool connection_gone(const struct connection *c);
/*
 * End every request, those that the (dead or killed) server holds included: by fusectl, by a forced unmount (which leaves
 * the mount in place), else by answering EACCES to all of them on a thread of its own until the connection is gone.
 */
void connection_abort(struct connection *c);
/* The same where the kernel does it at once; false: it must be answered. For the server itself, which answers anyway. */
bool connection_cut(struct connection *c);
/* Make the kernel forget pages and attributes of the ids 1..HIGH, twice. Only after connection_abort(): it would wait. */
void connection_forget(const struct connection *c, uint64_t high);
/*
 * Done with it. ALONE: nobody else has the descriptor, so that closing it will end the connection; else the answering thread,
 * if there is one, goes on until the mount ends, and this waits for it.
 */
void connection_close(struct connection *c, bool alone);

#endif
