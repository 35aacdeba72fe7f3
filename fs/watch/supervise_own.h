/* SPDX-License-Identifier: BSD-2-Clause */
/* One worker as its supervisor sees it. Private to fs/watch/supervise*.c. */
#ifndef FS_SUPERVISE_OWN_H
#define FS_SUPERVISE_OWN_H

#include <signal.h>

#include "fs/watch/supervise.h"
#include "fs/watch/takeover.h"

#define RESPAWNS_KEPT 64u

enum run_end {
	RUN_ON = 0,
	RUN_DONE,  /* the worker has ended, and nothing was being served */
	RUN_TAKEN, /* the mount is to be taken from it; run.why says why */
};

/* One worker's life. */
struct run {
	pid_t pid; /* 0 once it is reaped */
	int pid_fd, sock;
	int fuse_fd; /* the supervisor's copy, -1 before the mount */
	struct fuse_conn conn;
	bool serves; /* `health` counts */
	struct health health;
	char why[HEALTH_WHY_MAX]; /* why it is taken over */
};

struct supervisor {
	const struct supervise_config *cfg;
	const struct supervise_limits *limits;
	struct watch_page *page;
	int signal_fd;
	sigset_t old_mask;
	struct own_time own;
	int64_t respawned[RESPAWNS_KEPT]; /* ms of CLOCK_BOOTTIME */
	unsigned n_respawned;
	bool served; /* a worker has served: the terminal is left */
	int dead_id; /* number of the mount that the last worker left behind, 0 = none */
	struct run run;
};

/* Fork the next worker. */
int run_start(struct supervisor *s) MUST_CHECK;
/* Wait for a moment, take what the worker says and what signals ask. *CODE is the worker's exit code on RUN_DONE. */
enum run_end run_look(struct supervisor *s, int *code);
/* Wait LIMIT_MS for the worker's end: its wait(2) status, or -1 when it has not ended. */
int run_reap(struct run *r, int limit_ms);
/* Have the notify command told of a change. */
void run_tell(struct supervisor *s, const char *from, const char *to, const char *cause, const char *reason);
/* Unmount the mount ID at once, if it is still there. */
void run_unmount(struct supervisor *s, int id);

#endif
