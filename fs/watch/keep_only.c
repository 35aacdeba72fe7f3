/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything else is closed, whatever it is: what is not known by name here lives on in no process but its own. */
#include "fs/watch/keep_only.h"

#include <fcntl.h>
#include <unistd.h>

/* The lowest of FDS that is FROM or more, or -1. */
static int next_kept(const int *fds, size_t n, int from)
{
	int next = -1;

	for (size_t i = 0; i < n; i++)
		if (fds[i] >= from && (next < 0 || fds[i] < next))
			next = fds[i];
	return next;
}

void keep_only(const int *fds, size_t n, bool to_stderr)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), from = 3, kept;

	for (int i = 0; null >= 0 && i < (to_stderr ? 2 : 3); i++)
		dup2(null, i);
	for (; (kept = next_kept(fds, n, from)) >= 0; from = kept + 1)
		if (kept > from)
			(void)close_range((unsigned)from, (unsigned)kept - 1, 0);
	(void)close_range((unsigned)from, ~0u, 0);
}
