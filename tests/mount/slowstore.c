/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For LD_PRELOAD: every read, write and fsync of a file of the store takes longer, as on a slow disk; but not, unless there is
 * $SLOWSTORE_ALL, those of the in-flight file, which is never synced (they end in the page cache, which a slow disk does not
 * slow), nor of the record of its slots (on /run). $SLOWSTORE is a file with three numbers of 15 places, the microseconds of a
 * read, a write and an fsync; they may be changed while it is mounted.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define PLACES 15
enum { READ, WRITE, SYNC };

static const char *told;
static int all;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("SLOWSTORE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 3 * PLACES + 1, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		abort();
	told = map;
	all = getenv("SLOWSTORE_ALL") != NULL;
	close(fd);
}

static int is_inflight(int fd)
{
	static const char *const names[] = {"/byokfs/inflight", ".slots"};
	char link[48], path[4096];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		ssize_t len = (ssize_t)strlen(names[i]);
		if (n >= len && memcmp(path + n - len, names[i], (size_t)len) == 0)
			return 1;
	}
	return 0;
}

static void slow(int fd, int what)
{
	useconds_t us = (useconds_t)atoi(told + what * PLACES);

	if (us && (all || !is_inflight(fd)))
		usleep(us);
}

/* The function NAME that this one stands before. */
static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

ssize_t pread(int fd, void *buf, size_t len, off_t off)
{
	static ssize_t (*next)(int, void *, size_t, off_t);

	if (!next)
		*(void **)&next = real("pread");
	slow(fd, READ);
	return next(fd, buf, len, off);
}

ssize_t pread64(int fd, void *buf, size_t len, off_t off)
{
	return pread(fd, buf, len, off);
}

ssize_t preadv(int fd, const struct iovec *iov, int n, off_t off)
{
	static ssize_t (*next)(int, const struct iovec *, int, off_t);

	if (!next)
		*(void **)&next = real("preadv");
	slow(fd, READ);
	return next(fd, iov, n, off);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t off)
{
	static ssize_t (*next)(int, const void *, size_t, off_t);

	if (!next)
		*(void **)&next = real("pwrite");
	slow(fd, WRITE);
	return next(fd, buf, len, off);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	return pwrite(fd, buf, len, off);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	static ssize_t (*next)(int, const struct iovec *, int, off_t);

	if (!next)
		*(void **)&next = real("pwritev");
	slow(fd, WRITE);
	return next(fd, iov, n, off);
}

int fsync(int fd)
{
	static int (*next)(int);

	if (!next)
		*(void **)&next = real("fsync");
	slow(fd, SYNC);
	return next(fd);
}

int fdatasync(int fd)
{
	static int (*next)(int);

	if (!next)
		*(void **)&next = real("fdatasync");
	slow(fd, SYNC);
	return next(fd);
}
