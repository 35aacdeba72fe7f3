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
	*h = (struct health){.beat_at = own_ms, .lease_at = own_ms, .not_locking_at = own_ms};
}

static void note(struct health *h, const struct health_look *l, bool lending)
{
	if (l->beat != h->beat)
		h->beat_at = l->own_ms;
	h->beat = l->beat;
	if (!lending || l->now < l->deadline)
		h->lease_at = l->own_ms;
	if (l->state != GATE_LOCKING)
		h->not_locking_at = l->own_ms;
}

bool health_look(struct health *h, const struct health_limits *limits, const struct health_look *l,
		 char why[HEALTH_WHY_MAX])
{
	bool lending = l->state == GATE_ACTIVE || l->state == GATE_GRACE;

	note(h, l, lending);
	int64_t locking = l->own_ms - h->not_locking_at, silent = l->own_ms - h->beat_at;
	if (l->state == GATE_LOCKING) {
		/* its thread may be in the passes, which raise the beat where they make progress */
		if (locking <= l->drain_ms + limits->locking_over || silent <= limits->locking_stall)
			return true;
		snprintf(why, HEALTH_WHY_MAX, "locking did not end in time");
		return false;
	}
	if (lending && l->own_ms - h->lease_at > limits->lease_over) {
		snprintf(why, HEALTH_WHY_MAX, "the lease has ended and the worker did not lock");
		return false;
	}
	if (silent <= limits->beats_missed)
		return true;
	snprintf(why, HEALTH_WHY_MAX, "the worker is no longer running (no beat for %" PRId64 " ms)",
		 limits->beats_missed);
	return false;
}
