/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the audit log: queue, counters, what its thread owns. Private to fs/audit*.c. */
#ifndef FS_AUDIT_OWN_H
#define FS_AUDIT_OWN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fs/audit/audit.h"
#include "fs/audit/audit_file.h"

#define AUDIT_QUEUE 128u
#define AUDIT_KINDS 8u /* of operations, in the line of a minute */

struct audit_out;

struct audit {
	struct audit_config cfg;
	bool store_read_only;
	char *kms; /* references of all KEKs */
	pthread_t thread;

	pthread_mutex_t lock; /* never held over anything but memory */
	pthread_cond_t more, done;
	struct audit_text queue[AUDIT_QUEUE]; /* lock, and all below */
	size_t first, n;
	uint64_t lost, lost_untold, lines, waiting;
	int error;
	bool stop, finished;
	const _Atomic uint64_t *corrupt; /* the mount's counter, NULL when it has none or is over */

	_Atomic bool counts_due;
	_Atomic uint64_t denied_all[AUDIT_KINDS];

	/* The thread's. */
	uint64_t denied_told[AUDIT_KINDS], corrupt_told;
	struct audit_file file;
	struct audit_chain *chain;
	struct audit_out *out;
	struct audit_end end;
	struct audit_text text, counts, last; /* last: set before stop */
	bool end_told;
};

/* Queue the line of denied operations and of damage, if there were any since the last. The thread's. */
void audit_tell_counts(struct audit *a);

#endif
