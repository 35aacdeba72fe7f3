/* SPDX-License-Identifier: BSD-2-Clause */
/* Going to the background: the parent waits for the child's word and ends with its exit code. */
#ifndef TOOLS_DAEMON_H
#define TOOLS_DAEMON_H

#include <stdbool.h>

struct words;

/* Where the log goes besides syslog. Before daemon_ready() warnings go to the terminal too. */
struct daemon_config {
	bool foreground;
	const char *mountpoint;     /* begins each line of syslog */
	const char *notify_command; /* run at each change of state, or NULL */
};

/*
 * Fork, unless in the foreground. The child gets -1 and does the work, the terminal still at hand; the parent waits and gets
 * the exit code to end with.
 */
int daemon_fork(const struct daemon_config *cfg);
/* It is done: the parent may end with 0; leave the terminal, the folder and the session. In the supervisor. */
void daemon_ready(void);
/* The worker's part of it: leave the terminal and the folder. Before the supervisor is told that it serves. */
void daemon_leave(void);
/* For fs, gate and store. Any thread; never waits for whoever reads the log. */
void daemon_log(int priority, const char *text);
/* A line of the audit log, for syslog. Never waits. */
void daemon_log_audit(const char *line);
/* What supervise() tells changes of state to. */
struct words *daemon_words(void);
/* The mount is over: wait, not for long, until the log has all of it. In the supervisor. */
void daemon_end(void);

#endif
