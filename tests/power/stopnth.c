/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For LD_PRELOAD: the process stops at its n-th call that changes the store, before it is made, and none of its threads makes
 * another one. $STOPNTH is a file, shared with who counts: four numbers of 8 bytes.
 *
 *   who     the process that is counted (0: none yet)
 *   at      the call at which it stops; 0: only counts
 *   count   calls so far
 *   stopped 1 + the call's number in `names`, when it has
 *
 * Counted are writes to regular files, and everything that changes a file, a name or an attribute, or makes one durable.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

struct told {
	_Atomic uint64_t who, at, count, stopped;
};

static struct told *told;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("STOPNTH");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		abort();
	told = map;
	close(fd);
}

static void stop(void)
{
	for (;;)
		pause();
}

/* Before call NO of the list in failnth.py. */
static void count(int no)
{
	int was = errno;

	if (!told || told->who != (uint64_t)getpid())
		return;
	if (told->stopped)
		stop();
	if (told->count++ + 1 == told->at) {
		told->stopped = 1 + (uint64_t)no;
		stop();
	}
	/* whoever came in between */
	if (told->stopped)
		stop();
	errno = was;
}

static int is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* NAME, number NO, of TYPE: counted if WHEN, then what is behind it. */
#define CALL(no, type, name, when, params, args)                   \
	type name params                                           \
	{                                                          \
		static type(*next) params;                         \
		if (!next)                                         \
			*(void **)&next = dlsym(RTLD_NEXT, #name); \
		if (when)                                          \
			count(no);                                 \
		return next args;                                  \
	}

CALL(0, ssize_t, pwrite64, 1, (int fd, const void *p, size_t n, off64_t o), (fd, p, n, o))
CALL(0, ssize_t, pwrite, 1, (int fd, const void *p, size_t n, off_t o), (fd, p, n, o))
CALL(1, ssize_t, pwritev64, 1, (int fd, const struct iovec *v, int n, off64_t o), (fd, v, n, o))
CALL(1, ssize_t, pwritev, 1, (int fd, const struct iovec *v, int n, off_t o), (fd, v, n, o))
CALL(2, ssize_t, write, is_file(fd), (int fd, const void *p, size_t n), (fd, p, n))
CALL(3, ssize_t, writev, is_file(fd), (int fd, const struct iovec *v, int n), (fd, v, n))
CALL(4, int, ftruncate64, 1, (int fd, off64_t o), (fd, o))
CALL(4, int, ftruncate, 1, (int fd, off_t o), (fd, o))
CALL(5, int, fallocate64, 1, (int fd, int m, off64_t o, off64_t n), (fd, m, o, n))
CALL(5, int, posix_fallocate64, 1, (int fd, off64_t o, off64_t n), (fd, o, n))
CALL(6, int, renameat, 1, (int a, const char *b, int c, const char *d), (a, b, c, d))
CALL(6, int, renameat2, 1, (int a, const char *b, int c, const char *d, unsigned f), (a, b, c, d, f))
CALL(7, int, unlinkat, 1, (int a, const char *b, int f), (a, b, f))
CALL(8, int, mkdirat, 1, (int a, const char *b, mode_t m), (a, b, m))
CALL(9, int, linkat, 1, (int a, const char *b, int c, const char *d, int f), (a, b, c, d, f))
CALL(10, int, symlinkat, 1, (const char *a, int b, const char *c), (a, b, c))
CALL(11, int, mknodat, 1, (int a, const char *b, mode_t m, dev_t d), (a, b, m, d))
CALL(12, int, fsetxattr, 1, (int fd, const char *a, const void *p, size_t n, int f), (fd, a, p, n, f))
CALL(12, int, lsetxattr, 1, (const char *w, const char *a, const void *p, size_t n, int f), (w, a, p, n, f))
CALL(12, int, setxattr, 1, (const char *w, const char *a, const void *p, size_t n, int f), (w, a, p, n, f))
CALL(13, int, fremovexattr, 1, (int fd, const char *a), (fd, a))
CALL(13, int, lremovexattr, 1, (const char *w, const char *a), (w, a))
CALL(13, int, removexattr, 1, (const char *w, const char *a), (w, a))
CALL(14, int, fchmod, 1, (int fd, mode_t m), (fd, m))
CALL(14, int, fchmodat, 1, (int a, const char *b, mode_t m, int f), (a, b, m, f))
CALL(14, int, chmod, 1, (const char *b, mode_t m), (b, m))
CALL(15, int, fchownat, 1, (int a, const char *b, uid_t u, gid_t g, int f), (a, b, u, g, f))
CALL(15, int, fchown, 1, (int a, uid_t u, gid_t g), (a, u, g))
CALL(16, int, utimensat, 1, (int a, const char *b, const struct timespec t[2], int f), (a, b, t, f))
CALL(16, int, futimens, 1, (int a, const struct timespec t[2]), (a, t))
CALL(17, int, fsync, 1, (int fd), (fd))
CALL(18, int, fdatasync, 1, (int fd), (fd))
CALL(19, int, syncfs, 1, (int fd), (fd))
CALL(20, ssize_t, copy_file_range, 1, (int a, off64_t *b, int c, off64_t *d, size_t n, unsigned f), (a, b, c, d, n, f))

int openat64(int dir, const char *path, int flags, ...)
{
	static int (*next)(int, const char *, int, ...);
	va_list ap;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "openat64");
	va_start(ap, flags);
	mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE)
		count(21);
	return next(dir, path, flags, mode);
}

/* openat2(2) has no function of its own. */
long syscall(long no, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list ap;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "syscall");
	va_start(ap, no);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (no == SYS_openat2 && *(const uint64_t *)a[2] & O_CREAT)
		count(21);
	return next(no, a[0], a[1], a[2], a[3], a[4], a[5]);
}
