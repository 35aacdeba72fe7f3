/* SPDX-License-Identifier: BSD-2-Clause */
/* Which blocks of a file are being read or written at the moment, so that those that do not meet need not wait. */
#ifndef FS_BUSY_H
#define FS_BUSY_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* One request's blocks, first and last; on its thread's stack while it lasts. */
struct busy {
	uint64_t first, last;
	bool writes;
	struct busy *next;
};

struct busy_list {
	pthread_mutex_t lock;
	pthread_cond_t gone;
	struct busy *head; /* lock */
	unsigned writers;  /* lock */
};

void busy_init(struct busy_list *l);
/* Nobody is in it. */
void busy_destroy(struct busy_list *l);
/* Wait until nobody is there whom B would meet: two that read do not. B stays until busy_leave(). */
void busy_enter(struct busy_list *l, struct busy *b);
void busy_leave(struct busy_list *l, struct busy *b);
/* Does anybody write at the moment? */
bool busy_written(struct busy_list *l);

#endif
