/* SPDX-License-Identifier: BSD-2-Clause */
/* The worker's side of a mount: what it shares with its supervisor, and what it tells it. */
#ifndef FS_WORKER_H
#define FS_WORKER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "fs/store/store.h"
#include "fs/watch/mountinfo.h"
#include "kms/gate.h"

enum watch_phase {
	WATCH_STARTING = 0,
	WATCH_SERVING, /* its death or hang from now on is a reason to take over */
	WATCH_ENDING,  /* the mount ends in good order */
};

/* Memory that both processes see. */
struct watch_page {
	struct gate_beacon gate;
	_Atomic uint64_t high;     /* highest node id that the kernel may know */
	_Atomic int phase;         /* enum watch_phase */
	_Atomic uint32_t drain_ms; /* the gate's limit, for the supervisor's own */
};

/* The worker's end of the link. */
struct worker {
	int sock;          /* SOCK_SEQPACKET to the supervisor */
	int supervisor_fd; /* pidfd: readable when the supervisor is dead */
	pid_t supervisor;
	struct watch_page *page;
	struct mount_num mount; /* id 0 before it, or unknown */
	/* "fusectl", "forced unmount", "answering": how a connection is aborted; "" before the mount. */
	char abort_how[32];
};

/* Ask the supervisor to mount; *FD is the caller's descriptor of /dev/fuse. WHY and errors as mnt_mount(); -EINTR, -EPIPE. */
int worker_mount(struct worker *w, int *fd, char why[STORE_WHY_MAX]) MUST_CHECK;
/* The first request may come. */
void worker_serving(struct worker *w);
/* Tell the supervisor of a change of state. Never blocks; any thread. What does not fit in the link's queue is not told. */
void worker_tell(struct worker *w, const struct gate_change *c);

#endif
