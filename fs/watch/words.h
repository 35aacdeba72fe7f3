/* SPDX-License-Identifier: BSD-2-Clause */
/* What a mount says to the world: the log and the notify command, by a process of their own that nobody waits for. */
#ifndef FS_WORDS_H
#define FS_WORDS_H

#include <stdbool.h>

#include "fs/watch/notify.h"

/*
 * A log daemon that does not read, a stopped terminal or a program whose exec hangs holds up whoever calls it; the gate, a lock
 * and the supervisor must not be held up. So these only send: a packet, without waiting. What the process that speaks cannot get
 * rid of waits in a queue of bounded length; what does not fit is counted, and told when there is room again.
 */
struct words;

#define WORDS_LINE_MAX 4500u /* bytes of a line of the log; the rest of a longer one is cut off */
#define WORDS_QUEUE 512u     /* lines that wait for the log */
#define WORDS_END_MS 1000    /* so long the end of a mount waits for the log, after the notify command's time */

struct words_config {
	const char *mountpoint;     /* begins each line of the log */
	const char *notify_command; /* run at each change of state, or NULL */
	bool to_stderr;             /* lines go there as well */
	/* Where a line goes to, for tests; NULL: syslog(3), and stderr if so asked. May wait. */
	void (*out)(int priority, const char *text);
};

/*
 * Start the process that speaks; whoever is forked afterwards may speak through it too. It holds no descriptor of the caller's but
 * standard error (if asked), and ends when all who may speak have ended. Single-threaded callers only. -errno.
 */
int words_start(const struct words_config *cfg, struct words **out) MUST_CHECK;
/* A line of the log. PRIORITY as of syslog(3), with its facility; the daemons' without. Never waits; any thread; W may be NULL. */
void words_log(struct words *w, int priority, const char *text);
/* The same without the mount point in front. */
void words_log_bare(struct words *w, int priority, const char *text);
/* A change of state, for the notify command. Never waits. */
void words_notify(struct words *w, const struct notify_facts *f);
/* What a process must keep open to speak; -1 for NULL. */
int words_fd(const struct words *w);
/* In the process that started it, the others having ended: wait until all is said, within the limits above. NULL is legal. */
void words_end(struct words *w);

#endif
