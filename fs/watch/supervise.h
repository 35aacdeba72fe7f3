/* SPDX-License-Identifier: BSD-2-Clause */
/* Supervisor and worker: a mount's two processes, so that the death of either leaves nothing readable. */
#ifndef FS_SUPERVISE_H
#define FS_SUPERVISE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "fs/watch/mnt.h"
#include "kms/gate.h"

/*
 * The supervisor mounts, keeps a second descriptor of /dev/fuse, and waits. It has no keys and asks no KMS. When the worker
 * dies, hangs or lets its lease run out, the supervisor kills it without waiting, aborts the connection, makes the kernel
 * forget every inode, twice, and closes (design: section 6, "The daemon's death must not fail open").
 */

/* Memory that both processes see. */
struct watch_page {
	struct gate_beacon gate;
	_Atomic uint64_t high;     /* highest node id that the kernel may know */
	_Atomic int serving;       /* 1 from fs_start() on, 2 when the worker ends in good order */
	_Atomic uint32_t drain_ms; /* the gate's limit, for the supervisor's own */
};

/* The worker's end of the link. */
struct worker {
	int sock;          /* SOCK_SEQPACKET to the supervisor */
	int supervisor_fd; /* pidfd: readable when the supervisor is dead */
	pid_t supervisor;
	struct watch_page *page;
	/* "fusectl", "forced unmount", "answering": how a connection is aborted; "" before the mount. */
	char abort_how[32];
};

struct supervise_config {
	struct mnt_config mnt;
	unsigned respawns;          /* how often in ten minutes a worker is started anew, 0 = never */
	const char *notify_command; /* run at each change of state, or NULL */
	void (*log)(int priority, const char *text);
	/* The worker's whole life, in its own process; its exit code. */
	int (*work)(struct worker *w, void *arg);
	/* The first worker serves: leave the terminal. Called in the supervisor. */
	void (*ready)(void);
	void *arg;
};

/*
 * Fork the worker and watch it until the mount is over. Returns the exit code: the worker's, or CMD_FAILED's number 1 when
 * it had to be ended. Single-threaded callers only; signals SIGTERM, SIGINT, SIGHUP (unmount; the second time: at once) and
 * SIGUSR1 (lock) are taken here and passed on.
 */
int supervise(const struct supervise_config *cfg);

/* Worker: ask the supervisor to mount; *FD is the worker's descriptor of /dev/fuse. WHY as mnt_mount(). */
int worker_mount(struct worker *w, int *fd, char why[STORE_WHY_MAX]) MUST_CHECK;
/* Worker: the first request may come. */
void worker_serving(struct worker *w);
/* Worker: tell the supervisor of a change of state. Never blocks; any thread. */
void worker_tell(struct worker *w, const struct gate_change *c);

/* What the supervisor, or a worker that lost it, has left behind about the end of a mount. */
struct ended_note {
	char mountpoint[4096], store[4096];
	char who[32]; /* "supervisor", "worker" */
	char why[320];
	int64_t when;  /* unix seconds */
	bool reported; /* already in the audit log */
};
/* The note on MOUNTPOINT: 0 or -ENOENT. */
int ended_read(const char *mountpoint, struct ended_note *out) MUST_CHECK;
int ended_write(const struct ended_note *n) MUST_CHECK;
/* Pure: the lines of a note, taken apart in place. -EUCLEAN. */
int ended_parse(char *text, struct ended_note *n) MUST_CHECK;
void ended_forget(const char *mountpoint);

#endif
