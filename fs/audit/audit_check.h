/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking a store's audit log: removed, changed and reordered lines, a cut end (FORMAT.md "Audit log"). */
#ifndef FS_AUDIT_CHECK_H
#define FS_AUDIT_CHECK_H

#include <stdbool.h>

#include "fs/store/store.h"
#include "kms/gate.h"

enum audit_trouble {
	AUDIT_CHANGED = 1, /* no line of ours, or its MAC is wrong */
	AUDIT_REMOVED,     /* lines before this one are not there */
	AUDIT_ORDER,       /* a line stands where it does not belong */
	AUDIT_END,         /* the end was cut, the log deleted, or an older one put back */
	AUDIT_UNFINISHED,  /* a crash cut a line off: no damage */
	AUDIT_NO_END,      /* this host remembers no end: no damage, and a cut end would not be found */
	AUDIT_NEWER,       /* a line of a newer version, not judged: no damage */
	AUDIT_BACK,        /* the number of the session went back: no damage of the log */
};
const char *audit_trouble_name(enum audit_trouble t); /* "changed", "removed", ... */

struct audit_problem {
	enum audit_trouble trouble;
	bool damage;
	uint64_t at;            /* number of the line in the file, from 1; 0: the log as a whole */
	uint64_t session, line; /* as the line says, or should; 0 unknown */
	const char *text;       /* one sentence; lives during the call */
};

struct audit_check_config {
	const struct store *store; /* open; begun or not */
	struct gate *gate;         /* ACTIVE */
	bool live;                 /* mounted: the end may move meanwhile */
	void (*problem)(void *arg, const struct audit_problem *p);
	void *arg;
};
struct audit_checked {
	uint64_t lines, sessions; /* authentic */
	uint64_t damage, notes;
	bool end_known; /* this host remembers an end */
};
/* -EACCES (the gate locked), -ENOMEM, -EIO, -EUCLEAN (no regular file). A damaged log is no error. */
int audit_check(const struct audit_check_config *cfg, struct audit_checked *out) MUST_CHECK;

#endif
