/* SPDX-License-Identifier: BSD-2-Clause */
/* What `byokfs verify` prints: problems, progress, the summary; as lines or as JSON lines. */
#ifndef TOOLS_VERIFY_SHOW_H
#define TOOLS_VERIFY_SHOW_H

#include <stdbool.h>

#include "fs/check/check.h"

struct verify_show {
	bool json;
	bool terminal; /* stderr is one: there is a progress line */
	bool drawn;    /* it stands there now */
	int64_t begun_ms;
	int64_t drawn_ms;
};

/* What the summary says beside the counts. */
struct verify_result {
	const char *store;
	bool with_key, unclean, complete; /* complete: all of it was looked at */
	bool marked_clean;
	int exit_code;
};

void verify_show_begin(struct verify_show *s, bool json);
/* Callbacks for struct check_config, ARG is the verify_show. */
void verify_show_problem(void *arg, const struct check_problem *p);
void verify_show_progress(void *arg, const struct check_counts *c);
/* Something the store said when it was begun, or a warning: stderr, and a line of its own with JSON. */
void verify_show_log(struct verify_show *s, const char *text);
void verify_show_end(struct verify_show *s, const struct check_counts *c, const struct verify_result *r);

#endif
