/* SPDX-License-Identifier: BSD-2-Clause */
/* The store's free space, asked as seldom as can be. */
#include "fs/fuse/space.h"

#include <errno.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "kms/gate.h"

/*
 * The kernel lets a FUSE mount hold 1 % of what it allows to be dirty in all (max_ratio 1, strict), and that is 20 % of the
 * memory unless set otherwise: 1/256 of the memory is twice as much. The rest is for what is under way in requests.
 */
#define DIRTY_SHARE 256
#define DIRTY_MIN (64ULL << 20)
#define FILL_PER_MS (4ULL << 20) /* no disk fills faster: 4 GB/s */
#define KNOWN_MAX_MS 1000
#define FAILED_MS 60000

static uint64_t dirty_bound(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

	return DIRTY_MIN + (pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page / DIRTY_SHARE : 0);
}

int64_t space_known_ms(uint64_t free, uint64_t bound)
{
	uint64_t ms = free > bound ? (free - bound) / FILL_PER_MS : 0;

	if (ms < 1)
		return 1;
	return ms < KNOWN_MAX_MS ? (int64_t)ms : KNOWN_MAX_MS;
}

bool space_near(struct space *s, int fd)
{
	int64_t now = clock_ms(CLOCK_MONOTONIC), failed = atomic_load(&s->failed_at);
	struct statvfs st;

	if (failed && now - failed < FAILED_MS)
		return true;
	if (now < atomic_load(&s->ask_at) || fstatvfs(fd, &st))
		return atomic_load(&s->near);
	/* what root alone may use does not count: a filesystem that reserves nothing says the same twice */
	uint64_t free = (uint64_t)st.f_bavail * st.f_frsize, bound = dirty_bound();
	atomic_store(&s->near, free < bound);
	atomic_store(&s->ask_at, now + space_known_ms(free, bound));
	return free < bound;
}

bool space_failed(struct space *s, int r)
{
	if (!r || r == -EACCES)
		return false;
	atomic_store(&s->failed_at, clock_ms(CLOCK_MONOTONIC));
	return true;
}
