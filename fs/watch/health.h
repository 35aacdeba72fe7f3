/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a worker, which lives, still in order? Pure: whoever watches brings the time and what the worker shows. */
#ifndef FS_HEALTH_H
#define FS_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "kms/gate.h"

#define HEALTH_WHY_MAX 320u

/*
 * Own running time of whoever watches: what a worker is given counts only while its supervisor runs too. Zeroed but for
 * `last`, a moment in ms of CLOCK_MONOTONIC.
 */
struct own_time {
	int64_t ms, last;
};
/* NOW is ms of CLOCK_MONOTONIC. More than STEP_MAX ms between two looks was a suspend, or our own stop: it does not count. */
void own_time_look(struct own_time *t, int64_t now, int64_t step_max);

/* Milliseconds of own running time. */
struct health_limits {
	int64_t beats_missed;  /* of the gate's thread, whose beat is GATE_BEAT_MS, by a worker that does not run */
	int64_t beats_late;    /* ... by one that runs: a machine that is starved */
	int64_t lease_over;    /* lending this long behind the lease's end: the gate's thread is not there */
	int64_t locking_over;  /* past the drain limit: a second for handlers, a second more */
	int64_t locking_stall; /* ... and no pass that makes progress */
};

/* When each thing was last in order, in own running time. */
struct health {
	int64_t beat_at, lease_at, not_locking_at;
	int64_t ran_at; /* beat, or time on the processor */
	uint64_t beat, ran;
};

/* What a worker shows at one moment. */
struct health_look {
	int64_t own_ms; /* own running time */
	int64_t now;    /* ms of CLOCK_BOOTTIME */
	enum gate_state state;
	int64_t deadline; /* of the lease, ms of CLOCK_BOOTTIME */
	uint64_t beat;
	uint64_t ran;      /* its time on the processor, in any unit; needed once health_doubts() */
	uint32_t drain_ms; /* the gate's limit */
	bool stuck;        /* LOCKING: it says itself that a request hangs in the store's disk */
};

/* The worker begins to serve, at OWN_MS. */
void health_begin(struct health *h, int64_t own_ms);
/* It has missed beats: the next look is to know how long it ran. */
bool health_doubts(const struct health *h, const struct health_limits *limits, int64_t own_ms);
/* True while it is in order, else one sentence in WHY. */
bool health_look(struct health *h, const struct health_limits *limits, const struct health_look *l,
		 char why[HEALTH_WHY_MAX]);

#endif
