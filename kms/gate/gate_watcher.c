/* SPDX-License-Identifier: BSD-2-Clause */
/* Does whoever watches over this process still run? Counted in time that the gate's thread itself ran. */
#include "kms/gate/gate_private.h"

/* More than this between two looks was a suspend, our own stop, or a machine that let neither run: it does not count. */
#define STEP_MAX_MS 400

bool gate_watcher_look(struct gate_watcher *w, uint64_t beat, int64_t now)
{
	int64_t step = now - w->last;

	w->last = now;
	w->silent_ms += step > STEP_MAX_MS ? STEP_MAX_MS : step > 0 ? step : 0;
	if (beat != w->beat || beat == 0)
		w->silent_ms = 0;
	w->beat = beat;
	return w->silent_ms > GATE_WATCHER_MS;
}
