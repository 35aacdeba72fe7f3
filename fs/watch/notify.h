/* SPDX-License-Identifier: BSD-2-Clause */
/* --notify-command: a program of the operator's, run at each change of state by the process that speaks (words.h). */
#ifndef FS_NOTIFY_H
#define FS_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/attr.h"

#define NOTIFY_LIMIT_MS 10000 /* a run that takes longer is killed */
#define NOTIFY_END_MS 2000    /* so long the end of a mount waits for what is left */
#define NOTIFY_QUEUE 16u      /* changes that wait for their run; the oldest is dropped */

/* One change, as the program gets it on its standard input: a line of JSON. */
struct notify_facts {
	const char *mountpoint, *store;
	const char *from, *to, *cause, *reason;
	int64_t when; /* unix seconds */
	int supervisor_pid, worker_pid;
};

struct notify;

/*
 * COMMAND is the path of a program, without arguments; it gets no environment but PATH, and is killed after LIMIT_MS. NULL
 * when COMMAND is, or without memory: then notify_* do nothing.
 */
struct notify *notify_new(const char *command, int limit_ms, void (*log)(int priority, const char *text));
/* The facts as a line of JSON, malloc'ed; NULL without memory. */
char *notify_line(const struct notify_facts *f);
/* Queue a run that reads LINE. Never waits, not even for an exec that hangs. */
void notify_put(struct notify *n, const char *line);
/* Start, reap, kill what is due. Call it often. Returns how many runs are left. */
unsigned notify_step(struct notify *n);
/* Go on until all runs are done (LIMIT_MS at most, then the one under way is killed), then free. NULL is legal. */
void notify_free(struct notify *n, int limit_ms);

#endif
