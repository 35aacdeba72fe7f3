/* SPDX-License-Identifier: BSD-2-Clause */
/* LD_PRELOAD: a program that sees CLOCK_BOOTTIME and the wall clock as a test sets them, while it runs. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/*
 * The file that BYOKFS_TEST_CLOCK names: seconds to add to CLOCK_BOOTTIME, then to CLOCK_REALTIME. Timers that run are left
 * alone: after a real suspend those of CLOCK_BOOTTIME would fire at once, so what is measured here is never better.
 */
struct offsets {
	volatile int64_t boot, real;
};

static const struct offsets *offsets;

__attribute__((constructor)) static void shim_map(void)
{
	const char *path = getenv("BYOKFS_TEST_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*offsets), PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		_exit(99); /* a test that would measure nothing */
	offsets = p;
	close(fd);
}

static int64_t offset_of(clockid_t clock)
{
	if (!offsets)
		return 0;
	switch (clock) {
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		return offsets->boot;
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_TAI:
		return offsets->real;
	default:
		return 0;
	}
}

int clock_gettime(clockid_t clock, struct timespec *t)
{
	int r = (int)syscall(SYS_clock_gettime, clock, t);

	if (r == 0)
		t->tv_sec += offset_of(clock);
	return r;
}

time_t time(time_t *out)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &t);
	out->tv_sec = t.tv_sec;
	out->tv_usec = t.tv_nsec / 1000;
	return 0;
}

int timespec_get(struct timespec *t, int base)
{
	return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, t) == 0 ? base : 0;
}
