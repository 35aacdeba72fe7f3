/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit log of a mount: who did what to the store, sealed by a thread of its own (FORMAT.md "Audit log"). */
#ifndef FS_AUDIT_H
#define FS_AUDIT_H

#include "crypto/audit.h"
#include "fs/report.h"
#include "fs/store/store.h"
#include "fs/watch/built_on.h"
#include "kms/gate.h"

/*
 * Nobody waits for the log: whoever says something leaves it in a queue, and only the log's thread touches the disk. What
 * does not fit the queue while the disk is full or hangs is counted, and the count is told as soon as lines can be written
 * again; on the host it is remembered when that is not before the unmount. Every function takes NULL for "no log".
 */
struct audit;

struct audit_config {
	/* Begun; may be closed only after audit_stop(). Read-only: lines go to syslog at most. */
	const struct store *store;
	struct gate *gate; /* ACTIVE; used by audit_start() only */
	/* For syslog, too: each line as it is written; must not wait. NULL: not asked for. */
	void (*line)(const char *line);
	void (*log)(int priority, const char *text);
};

/*
 * Derive the session's key, look at the log and start the thread: after the last fork. *OUT may be NULL on 0: a read-only
 * store without syslog. WHY on error: -EUCLEAN (no regular file under that name), -EACCES (locked meanwhile), -ENOMEM.
 */
int audit_start(const struct audit_config *cfg, struct audit **out, char why[STORE_WHY_MAX]) MUST_CHECK;
/*
 * Write what is queued, the counts, and LAST (NULL: nothing) behind all, then stop. Waits 2 s at most: a thread that hangs in
 * the disk is left to the end of the process.
 */
void audit_stop(struct audit *a, const struct audit_text *last);

/* An event of now; add members with audit_text_*(), then say it. audit_say() never blocks: any thread, under any lock. */
void audit_event(struct audit_text *t, const char *event);
void audit_say(struct audit *a, const struct audit_text *t);

/* The events that have a form of their own. */
struct audit_mount {
	const char *mountpoint;
	bool read_only, unmount_on_revoke, manual_return;
	bool accepted_older;                  /* --accept-older-keyring */
	unsigned poll_ms, lease_ms, grace_ms; /* 0 = default */
};
/* The session's first line; and a second one when the mount before this one has left a note that it was ended. */
void audit_mounted(struct audit *a, const struct audit_mount *m);
void audit_change(struct audit *a, const struct gate_change *c);
/* The keys and buffers are wiped: what the lock did, and when the KMS refused (unix seconds; 0 = it did not). */
void audit_locked(struct audit *a, const struct fs_lock_report *r, int64_t refused_at);
/* A line for each thing found at a lock whose cache the lock does not reach; the last has how many there are besides. */
void audit_built_on(struct audit *a, const struct built_on *b);
/* ACTIVE again: what has been refused since. */
void audit_returned(struct audit *a, const struct fs_lock_report *r);
/* Make the last line of a session that ends in good order (RESULT 0), or because its connection broke. */
void audit_unmount_text(struct audit_text *t, const struct fs_stats *st, int result);
/* The worker ends the mount, because WHY. */
void audit_ending(struct audit *a, const char *why);
/*
 * An order (`lock`, `unlock`, `unmount`) of process PID of UID; PID 0: nobody's, a terminal's key. SIGNAL is the name of the
 * signal that it came by, or NULL. ERROR is its outcome so far, WHY may be "".
 */
struct audit_order {
	const char *order, *signal;
	unsigned uid;
	int pid;
	int error;
	const char *why;
};
void audit_ordered(struct audit *a, const struct audit_order *o);
/* One operation refused because the store is locked: one atomic add. OPCODE is one of <linux/fuse.h>. One line a minute tells them. */
void audit_denied(struct audit *a, uint32_t opcode);
/* Objects that did not authenticate so far: told when the number has grown, once a minute. */
void audit_corrupt(struct audit *a, const _Atomic uint64_t *count);

/* For status. */
struct audit_stats {
	uint64_t lines;   /* written in this session */
	uint64_t waiting; /* not written yet */
	uint64_t lost;    /* dropped, the queue was full; since the mount */
	uint64_t denied;  /* operations */
	int error;        /* of the last try to write: 0 or negative errno */
};
void audit_stats(struct audit *a, struct audit_stats *out);

#endif
