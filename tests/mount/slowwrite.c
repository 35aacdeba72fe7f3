/* SPDX-License-Identifier: BSD-2-Clause */
/* For LD_PRELOAD: every write to a file of the store takes SLOWWRITE_US microseconds more, as on a slow disk. */
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

static void slow(void)
{
	const char *us = getenv("SLOWWRITE_US");

	usleep(us ? (useconds_t)atoi(us) : 5000);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pwrite");
	slow();
	return real(fd, buf, len, off);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite(fd, buf, len, off);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	static ssize_t (*real)(int, const struct iovec *, int, off_t);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "pwritev");
	slow();
	return real(fd, iov, n, off);
}
