/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose turn it is: a write behind the end waits for those before it that are under way, so that it leaves no gap for them. */
#ifndef FS_TURN_H
#define FS_TURN_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* One write under way; on its thread's stack. */
struct turn {
	uint64_t off;
	struct turn *next;
};

/* Those of one file. */
struct turns {
	pthread_mutex_t lock;
	pthread_cond_t left;
	struct turn *first; /* lock */
};

void turns_init(struct turns *t);
void turns_free(struct turns *t);
/* A write at OFF is under way until turn_leave(). Neither waits. */
void turn_enter(struct turns *t, struct turn *me, uint64_t off);
void turn_leave(struct turns *t, struct turn *me);
/* Is another one under way that begins at FROM or behind, and before ME? */
bool turn_is_anothers(struct turns *t, const struct turn *me, uint64_t from);
/* Wait until one has left, if there still is such a one. No lock of the file may be held. */
void turn_wait(struct turns *t, const struct turn *me, uint64_t from);

#endif
