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
	bool served;           /* a worker has served: the terminal is left */
	struct mount_num dead; /* the mount that the last worker left behind; id 0 = none */
	pid_t guard;           /* 0 = none */
	int64_t guard_since;   /* ms of CLOCK_MONOTONIC */
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
/* Unmount the mount N at once, if it is still there. */
void run_unmount(struct supervisor *s, const struct mount_num *n);

/* Killed, but not ended: a thread of the worker hangs. */
bool run_dying(const struct run *r);
/* Is the worker, which lives and serves, in order, after OWN_MS of own running time? False with the reason in run.why. */
bool run_in_order(struct supervisor *s, const struct health_limits *limits, int64_t own_ms);

/* Kill the worker without waiting, abort, make the kernel forget, twice; run.why says why. */
void take_over(struct supervisor *s);
/* The note about the end, by WHO. */
void leave_note(struct supervisor *s, const char *who);
/* Make the kernel forget again and again, for MS. */
void forget_more(struct supervisor *s, int ms);

/*
 * A mount's guard: a third process with the descriptor of /dev/fuse, for the case that supervisor and worker are killed together, or
 * stopped for longer than what they promised holds. It then does what the supervisor does after the worker's death. It is forked
 * when the mount is there, and lives as long as the supervisor has that mount.
 */
void guard_start(struct supervisor *s);
/* One that was killed is replaced. */
void guard_look(struct supervisor *s);
/* The mount is over: end it, so that the descriptor is the supervisor's alone. */
void guard_end(struct supervisor *s);

#endif
