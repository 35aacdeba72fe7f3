/* SPDX-License-Identifier: BSD-2-Clause */
/* A bound for the log: a listing of 120,000 planted names must not push out of it what somebody has to see. */
#include "fs/inode/told.h"

#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

void told_end(struct told_lines *t, const char *what, void (*log)(int priority, const char *text))
{
	uint64_t n = atomic_exchange(&t->left_out, 0);
	char text[160];

	if (n == 0)
		return;
	snprintf(text, sizeof(text), "%s: %" PRIu64 " more lines like those before were left out", what, n);
	log(LOG_WARNING, text);
}

bool told_may(struct told_lines *t, int64_t now, const char *what, void (*log)(int priority, const char *text))
{
	int64_t begun = atomic_load(&t->begun);
	char text[160];

	if ((begun == 0 || now - begun >= (int64_t)TOLD_EVERY_MS) &&
	    atomic_compare_exchange_strong(&t->begun, &begun, now > 0 ? now : 1)) {
		atomic_store(&t->lines, 0);
		told_end(t, what, log);
	}
	uint32_t n = atomic_fetch_add(&t->lines, 1);
	if (n < TOLD_LINES)
		return true;
	atomic_fetch_add(&t->left_out, 1);
	if (n > TOLD_LINES)
		return false;
	snprintf(text, sizeof(text),
		 "%s: more than %u lines in a minute, the others are only counted; byokfs verify names all", what,
		 TOLD_LINES);
	log(LOG_WARNING, text);
	return false;
}
