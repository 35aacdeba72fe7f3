/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules by which a supervisor finds that its worker hangs (tests/model/death.pml). */
#include "fs/watch/health.h"

#include <inttypes.h>
#include <stdio.h>

void own_time_look(struct own_time *t, int64_t now, int64_t step_max)
{
	int64_t step = now - t->last;

	t->last = now;
	t->ms += step > step_max ? step_max : step;
}

void health_begin(struct health *h, int64_t own_ms)
{
	*h = (struct health){.beat_at = own_ms, .lease_at = own_ms, .not_locking_at = own_ms, .ran_at = own_ms};
}

static void note(struct health *h, const struct health_look *l, bool lending)
{
	if (l->beat != h->beat)
		h->beat_at = l->own_ms;
	if (l->beat != h->beat || l->ran != h->ran)
		h->ran_at = l->own_ms;
	h->beat = l->beat;
	h->ran = l->ran;
	if (!lending || l->now < l->deadline)
		h->lease_at = l->own_ms;
	if (l->state != GATE_LOCKING)
		h->not_locking_at = l->own_ms;
}

bool health_doubts(const struct health *h, const struct health_limits *limits, int64_t own_ms)
{
	return own_ms - h->beat_at > limits->beats_missed / 2;
}

/* A stopped worker does not run at all; one that is starved has no beat for a while, but gets its turn now and then. */
static bool is_running(const struct health *h, const struct health_limits *limits, const struct health_look *l)
{
	int64_t silent = l->own_ms - h->beat_at, still = l->own_ms - h->ran_at;

	return silent <= limits->beats_missed || still <= limits->beats_missed / 3;
}

static bool is_locking_on(const struct health *h, const struct health_limits *limits, const struct health_look *l)
{
	int64_t locking = l->own_ms - h->not_locking_at, silent = l->own_ms - h->beat_at;

	/* its thread may be in the passes, which raise the beat where they make progress */
	return locking <= l->drain_ms + limits->locking_over || silent <= limits->locking_stall;
}

bool health_look(struct health *h, const struct health_limits *limits, const struct health_look *l,
		 char why[HEALTH_WHY_MAX])
{
	bool lending = l->state == GATE_ACTIVE || l->state == GATE_GRACE, locking = l->state == GATE_LOCKING;

	note(h, l, lending);
	if (locking && l->stuck)
		snprintf(why, HEALTH_WHY_MAX, "locking cannot end: a request hangs, in the store's disk most likely");
	else if (lending && l->own_ms - h->lease_at > limits->lease_over)
		snprintf(why, HEALTH_WHY_MAX, "the lease has ended and the worker did not lock");
	else if (!is_running(h, limits, l))
		snprintf(why, HEALTH_WHY_MAX, "the worker is no longer running (no beat for %" PRId64 " ms)",
			 limits->beats_missed);
	else if (!locking && l->own_ms - h->beat_at > limits->beats_late)
		snprintf(why, HEALTH_WHY_MAX, "the worker does not answer (no beat for %" PRId64 " ms)",
			 limits->beats_late);
	else if (locking && !is_locking_on(h, limits, l))
		snprintf(why, HEALTH_WHY_MAX, "locking did not end in time");
	else
		return true;
	return false;
}
