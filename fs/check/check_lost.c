/* SPDX-License-Identifier: BSD-2-Clause */
/* What a check tells of lost ranges: file by file, and of files that are no more. */
#include <inttypes.h>

#include "fs/check/check_own.h"

#define RANGES_MAX 100u /* of a file that are named one by one */

static void say_range(struct check_run *run, const struct check_at *at, const struct range *r)
{
	const struct check_finding f = {
		.code = CHECK_LOST_RANGE,
		.severity = CHECK_DAMAGE,
		.in_blocks = true,
		.block = r->start / run->layout->block_len,
		.last = (r->end - 1) / run->layout->block_len,
	};

	if (r->end > layout_size_max(run->layout))
		check_say(run, at, &f,
			  "all from byte %" PRIu64
			  " on is lost: a mount accepted it and could not store it; it reads as an error "
			  "until it is written again or cut off",
			  r->start);
	else
		check_say(run, at, &f,
			  "bytes %" PRIu64 " to %" PRIu64
			  " are lost: a mount accepted them and could not store them; they read as "
			  "an error until they are written again or cut off",
			  r->start, r->end - 1);
}

void check_lost(struct check_run *run, const struct check_at *at, const struct lost_of *of)
{
	struct lost *l = run->cfg->store->lost;
	uint64_t pos = 0, more = 0;
	unsigned n = 0;

	lost_met(l, of);
	for (struct range r; lost_next(l, of->file_id, pos, &r); pos = r.end, n++) {
		if (n < RANGES_MAX)
			say_range(run, at, &r);
		else
			more++;
	}
	if (more)
		check_say(run, at, &(struct check_finding){.code = CHECK_LOST_RANGE, .severity = CHECK_DAMAGE},
			  "%" PRIu64 " further ranges of it are lost", more);
}

static void say_unmet(void *arg, const struct lost_of *of, size_t ranges)
{
	struct check_run *run = arg;
	const struct check_at at = {.name = STORE_OWN "/" STORE_LOST};
	const struct check_finding f = {.code = CHECK_LOST_RANGE, .severity = CHECK_NOTE, .repaired = run->repair};

	check_say(run, &at, &f, "%zu lost ranges of a file that is not there any more (inode %" PRIu64 ")", ranges,
		  of->ino);
}

void check_lost_end(struct check_run *run)
{
	struct lost *l = run->cfg->store->lost;

	/* else what could not be looked at may be the file that is missed */
	bool all = run->counts.damage == run->counts.lost;

	if (all)
		lost_unmet(l, say_unmet, run);
	if (run->repair)
		lost_settle(l, all);
}
