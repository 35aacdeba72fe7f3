/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock's state: made, read, lifted. */
#include "fs/lock/lock.h"

#include <time.h>

void lock_init(struct lock *l, const struct lock_config *cfg)
{
	*l = (struct lock){.cfg = *cfg};
	pthread_mutex_init(&l->report_lock, NULL);
}

void lock_lifted(struct lock *l)
{
	atomic_store(&l->write_closed, false);
}

bool lock_sealed(const struct lock *l)
{
	int64_t until = atomic_load(&l->seal_until);

	return atomic_load(&l->write_closed) || (until && clock_ms(CLOCK_BOOTTIME) >= until);
}

void lock_report(struct lock *l, struct fs_lock_report *out)
{
	pthread_mutex_lock(&l->report_lock);
	*out = l->report;
	pthread_mutex_unlock(&l->report_lock);
	out->sealed_bytes = atomic_load(&l->sealed_bytes);
	out->refused_bytes = atomic_load(&l->refused_bytes);
}
