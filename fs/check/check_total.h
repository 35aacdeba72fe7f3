/* SPDX-License-Identifier: BSD-2-Clause */
/* How much there is to check, summed up beside the check itself for its progress bar. */
#ifndef FS_CHECK_TOTAL_H
#define FS_CHECK_TOTAL_H

#include "fs/check/check_own.h"

struct check_total {
	struct check_run *run;
	pthread_t thread;
	bool started;
	_Atomic int stop;
};

/* Start adding up on a thread; the sum goes into the run's counts when it is complete. No thread, no sum: that is all. */
void check_total_begin(struct check_total *t);
void check_total_end(struct check_total *t);

#endif
