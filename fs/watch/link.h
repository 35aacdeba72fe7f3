/* SPDX-License-Identifier: BSD-2-Clause */
/* What supervisor and worker say to each other. Private to fs/watch/. */
#ifndef FS_LINK_H
#define FS_LINK_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/store/store.h"
#include "fs/watch/mountinfo.h"

enum link_type {
	LINK_MOUNT = 1, /* worker: mount now */
	LINK_MOUNTED,   /* supervisor: done (with the descriptor), or `error` and `text` */
	LINK_SERVING,   /* worker: the first request may come */
	LINK_CHANGE,    /* worker: a change of state */
	LINK_STOP,      /* supervisor: SIGTERM, SIGINT or SIGHUP came, from `uid` and `pid`; pid 0 = from the kernel */
	LINK_LOCK,      /* supervisor: SIGUSR1 came, from the same */
	LINK_LOOK, /* worker: who has the mount beside its own place? It may not look into others' mount tables itself */
	LINK_LOOKED, /* supervisor: so many places (`from`), which `text` names */
};

/* One packet of a SOCK_SEQPACKET pair; unused fields are zero. */
struct link_msg {
	int32_t type, error;
	int32_t from, to, cause; /* LINK_CHANGE */
	int32_t signal, pid;     /* LINK_STOP, LINK_LOCK */
	uint32_t uid;
	struct mount_num mount;   /* LINK_MOUNTED: worker.mount */
	char how[32];             /* LINK_MOUNTED: worker.abort_how */
	char text[STORE_WHY_MAX]; /* why, or the reason */
};

/* Send M; FD goes along unless it is -1. NOWAIT: -EAGAIN instead of waiting for room. -EPIPE: the other one is gone. */
int link_send(int sock, const struct link_msg *m, int fd, bool nowait) MUST_CHECK;
/*
 * Wait for a packet. *FD is the caller's, -1 where none came with it, as always on an error. -EPIPE: the other one is gone;
 * -EPROTO: no packet of ours.
 */
int link_receive(int sock, struct link_msg *m, int *fd) MUST_CHECK;
/* recvmsg(2) of up to LEN bytes: how many, 0 at the end, negative errno. *FD is a descriptor that came along, or -1. */
ssize_t link_take(int sock, void *buf, size_t len, int *fd) MUST_CHECK;

#endif
