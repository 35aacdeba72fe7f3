/* SPDX-License-Identifier: BSD-2-Clause */
/* The clocks in milliseconds, for kms/ and all above it. */
#ifndef KMS_CLOCK_H
#define KMS_CLOCK_H

#include <stdint.h>
#include <time.h>

/*
 * Now, in ms of CLOCK: CLOCK_BOOTTIME for what must count a suspend (leases, deadlines that two processes share),
 * CLOCK_MONOTONIC for how long something takes, CLOCK_REALTIME for what people read.
 */
static inline int64_t clock_ms(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A moment MS of some clock, as the system's calls take it. */
static inline struct timespec clock_timespec(int64_t ms)
{
	return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

/* Sleep MS; a signal ends it early. */
static inline void clock_pause(unsigned ms)
{
	nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}

#endif
