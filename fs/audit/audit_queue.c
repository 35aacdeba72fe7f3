/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit log's queue: whoever says something leaves it here. */
#include <string.h>
#include <time.h>

#include "fs/audit/audit_own.h"

void audit_event(struct audit_text *t, const char *event)
{
	audit_text_begin(t, clock_ms(CLOCK_REALTIME), event);
}

/* Under the lock. */
static void push(struct audit *a, const struct audit_text *t)
{
	if (a->n == AUDIT_QUEUE) {
		a->lost++;
		a->lost_untold++;
		return;
	}
	struct audit_text *to = &a->queue[(a->first + a->n++) % AUDIT_QUEUE];
	memcpy(to->text, t->text, t->len);
	to->len = t->len;
	to->cut = t->cut;
}

void audit_say(struct audit *a, const struct audit_text *t)
{
	if (!a)
		return;
	/* The thread holds this lock for a copy in memory at most. */
	pthread_mutex_lock(&a->lock);
	push(a, t);
	pthread_cond_signal(&a->more);
	pthread_mutex_unlock(&a->lock);
}
