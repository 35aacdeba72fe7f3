/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the log whose number a writer of the store decides: some of them, and how many there were. */
#ifndef FS_TOLD_H
#define FS_TOLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define TOLD_LINES 32u       /* in full, ... */
#define TOLD_EVERY_MS 60000u /* ... in so long a time */

/* Lines of one kind; zeros to begin with. */
struct told_lines {
	_Atomic int64_t begun; /* ms, 0 = never */
	_Atomic uint32_t lines;
	_Atomic uint64_t left_out;
};

/*
 * One more line, at NOW (ms of CLOCK_MONOTONIC): may it be logged? When the answer is no for the first time, LOG is told so, and
 * later how many were left out. WHAT names the kind. Any thread.
 */
bool told_may(struct told_lines *t, int64_t now, const char *what, void (*log)(int priority, const char *text));
/* The end: LOG is told how many were left out, if any were. */
void told_end(struct told_lines *t, const char *what, void (*log)(int priority, const char *text));

#endif
