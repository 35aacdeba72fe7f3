/* SPDX-License-Identifier: BSD-2-Clause */
/* The queue between the two threads of the process that speaks. Private to fs/watch/words*.c. */
#ifndef FS_WORDS_OWN_H
#define FS_WORDS_OWN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define WORDS_DROPPED "%u lines are missing here: the log did not take them"

/* A line of the log; `text` follows. malloc'ed. */
struct words_line {
	struct words_line *next;
	int priority, pid;
	bool bare; /* without the mount point in front */
	char text[];
};

struct words_queue {
	pthread_mutex_t lock;
	pthread_cond_t more, less;
	struct words_line *first, *last;
	unsigned n, most; /* taken and not yet said counts */
	unsigned dropped;
};

void words_queue_init(struct words_queue *q, unsigned most);
/* A copy of HEAD's fields with TEXT; one too many, or without memory, is counted instead. Waits for no line to be said. */
void words_queue_put(struct words_queue *q, const struct words_line *head, const char *text);
/*
 * Wait for the next line, the caller's to free and to report by words_queue_said(). Where lines were dropped there is one that says
 * so. NULL: no memory, to be reported all the same.
 */
struct words_line *words_queue_take(struct words_queue *q);
void words_queue_said(struct words_queue *q);
/* Wait until all is said, LIMIT_MS at most. */
void words_queue_drain(struct words_queue *q, int limit_ms);

#endif
