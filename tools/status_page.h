/* SPDX-License-Identifier: BSD-2-Clause */
/* The page of `byokfs status` for people: what state a mount is in and why, what to do, and nothing that is zero. */
#ifndef TOOLS_STATUS_PAGE_H
#define TOOLS_STATUS_PAGE_H

#include "tools/emit.h"

/*
 * Put a mount's ANSWER (`key value` lines of the control socket) to E, which writes for people; NOW in seconds since 1970. What the
 * answer lacks, as one of another version does, is left out.
 */
void status_page(struct emit *e, const char *answer, int64_t now);

#define STATUS_WORDS_MAX 32u
/* SECONDS as people say it, two units at most: "12 s", "3 min", "2 h 5 min", "4 d 1 h". */
void status_words(uint64_t seconds, char out[STATUS_WORDS_MAX]);

#endif
