/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls that fail on demand, and are seen: in one source of a test program only, which is linked with all of ours. */
#ifndef TESTS_UNIT_FAULT_H
#define TESTS_UNIT_FAULT_H

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum fault_call {
	CALL_NONE,
	CALL_OPENAT,
	CALL_OPENAT2, /* what store_openat() makes */
	CALL_UNLINKAT,
	CALL_RENAMEAT2, /* by its new name */
	CALL_LINKAT,    /* by its new name */
	CALL_MKDIRAT,
	CALL_PWRITE,
	CALL_FTRUNCATE,
	CALL_FCHMOD,
	CALL_CHMOD,
	CALL_FCHOWNAT,
	CALL_FSYNC,
	CALL_FDATASYNC,
	CALL_SYNCFS,
	CALL_SETXATTR,
	CALL_GETXATTR,
	CALL_LISTXATTR,
	CALLS
};

/* Each CALL whose name begins with NAME (NULL: any) fails with ERR, after SKIP that do not, LEFT times. */
struct fault {
	enum fault_call call;
	const char *name;
	int err;
	int skip, left;
};
#define FAULTS 2
static struct fault faults[FAULTS];
static _Atomic unsigned fault_seen[CALLS]; /* calls since fault_clear() */
/* Sees every call before it is made, "" where it has no name. NULL = nobody. */
static void (*fault_watch)(enum fault_call call, int dir_fd, const char *name);

static inline void fault_clear(void)
{
	memset(faults, 0, sizeof(faults));
	for (size_t i = 0; i < CALLS; i++)
		fault_seen[i] = 0;
	fault_watch = NULL;
}

/* The next CALL on a name that begins with NAME fails with ERR. */
static inline void fault_set(enum fault_call call, const char *name, int err)
{
	fault_clear();
	faults[0] = (struct fault){call, name, err, 0, 1};
}

static inline bool fault_strikes(enum fault_call call, int dir_fd, const char *name)
{
	fault_seen[call]++; /* threads of ours make calls, too */
	if (fault_watch)
		fault_watch(call, dir_fd, name ? name : "");
	for (size_t i = 0; i < FAULTS; i++) {
		struct fault *f = &faults[i];

		if (f->call != call || f->left == 0 ||
		    (f->name && (!name || strncmp(name, f->name, strlen(f->name)) != 0)))
			continue;
		if (f->skip-- > 0)
			continue;
		f->left--;
		errno = f->err;
		return true;
	}
	return false;
}

/* Where the size of off_t gives a function two names, both are ours. */
#define FAULT_BOTH(ret, name, params, args)              \
	ret fault_##name params __asm__(#name);          \
	ret fault_##name##64 params __asm__(#name "64"); \
	ret fault_##name params                          \
	{                                                \
		return real_##name args;                 \
	}                                                \
	ret fault_##name##64 params                      \
	{                                                \
		return real_##name args;                 \
	}
#define FAULT_ONE(ret, name, params)            \
	ret fault_##name params __asm__(#name); \
	ret fault_##name params

static inline int real_openat(int dir_fd, const char *path, int flags, mode_t mode)
{
	if (fault_strikes(CALL_OPENAT, dir_fd, path))
		return -1;
	return (int)syscall(SYS_openat, dir_fd, path, flags, mode);
}

static inline ssize_t real_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return fault_strikes(CALL_PWRITE, fd, NULL) ? -1 : syscall(SYS_pwrite64, fd, buf, len, off);
}

static inline int real_ftruncate(int fd, off_t len)
{
	return fault_strikes(CALL_FTRUNCATE, fd, NULL) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

/* The mode is read whether it was given or not: on every machine of ours it is a register then. */
FAULT_BOTH(int, openat, (int dir_fd, const char *path, int flags, mode_t mode), (dir_fd, path, flags, mode))
FAULT_BOTH(ssize_t, pwrite, (int fd, const void *buf, size_t len, off_t off), (fd, buf, len, off))
FAULT_BOTH(int, ftruncate, (int fd, off_t len), (fd, len))

/* Six arguments are read whether they were given or not, as the kernel does. */
FAULT_ONE(long, syscall, (long number, long a, long b, long c, long d, long e, long f))
{
	static long (*real)(long, ...);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	if (number == SYS_openat2 && fault_strikes(CALL_OPENAT2, (int)a, (const char *)b))
		return -1;
	return real(number, a, b, c, d, e, f);
}

FAULT_ONE(int, unlinkat, (int dir_fd, const char *path, int flags))
{
	return fault_strikes(CALL_UNLINKAT, dir_fd, path) ? -1 : (int)syscall(SYS_unlinkat, dir_fd, path, flags);
}

FAULT_ONE(int, renameat2, (int from_fd, const char *from, int to_fd, const char *to, unsigned flags))
{
	if (fault_strikes(CALL_RENAMEAT2, to_fd, to))
		return -1;
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

FAULT_ONE(int, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags))
{
	if (fault_strikes(CALL_LINKAT, to_fd, to))
		return -1;
	return (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

FAULT_ONE(int, mkdirat, (int dir_fd, const char *path, mode_t mode))
{
	return fault_strikes(CALL_MKDIRAT, dir_fd, path) ? -1 : (int)syscall(SYS_mkdirat, dir_fd, path, mode);
}

FAULT_ONE(int, fchmod, (int fd, mode_t mode))
{
	return fault_strikes(CALL_FCHMOD, fd, NULL) ? -1 : (int)syscall(SYS_fchmod, fd, mode);
}

FAULT_ONE(int, chmod, (const char *path, mode_t mode))
{
	return fault_strikes(CALL_CHMOD, AT_FDCWD, path) ? -1 : (int)syscall(SYS_fchmodat, AT_FDCWD, path, mode);
}

FAULT_ONE(int, fchownat, (int dir_fd, const char *path, uid_t uid, gid_t gid, int flags))
{
	if (fault_strikes(CALL_FCHOWNAT, dir_fd, path))
		return -1;
	return (int)syscall(SYS_fchownat, dir_fd, path, uid, gid, flags);
}

/* Counted, not done: a scratch store need not outlive the machine. */
FAULT_ONE(int, fsync, (int fd))
{
	return fault_strikes(CALL_FSYNC, fd, NULL) ? -1 : 0;
}

FAULT_ONE(int, fdatasync, (int fd))
{
	return fault_strikes(CALL_FDATASYNC, fd, NULL) ? -1 : 0;
}

FAULT_ONE(int, syncfs, (int fd))
{
	return fault_strikes(CALL_SYNCFS, fd, NULL) ? -1 : 0;
}

FAULT_ONE(int, setxattr, (const char *path, const char *name, const void *value, size_t size, int flags))
{
	if (fault_strikes(CALL_SETXATTR, -1, name))
		return -1;
	return (int)syscall(SYS_setxattr, path, name, value, size, flags);
}

/* What a filesystem says it is; 0: the truth. */
static long fault_fs_type;

static inline int real_fstatfs(int fd, struct statfs *out)
{
	int r = (int)syscall(SYS_fstatfs, fd, out);

	if (r == 0 && fault_fs_type)
		out->f_type = fault_fs_type;
	return r;
}

FAULT_BOTH(int, fstatfs, (int fd, struct statfs *out), (fd, out))

FAULT_ONE(ssize_t, getxattr, (const char *path, const char *name, void *value, size_t size))
{
	return fault_strikes(CALL_GETXATTR, -1, name) ? -1 : syscall(SYS_getxattr, path, name, value, size);
}

FAULT_ONE(ssize_t, listxattr, (const char *path, char *list, size_t size))
{
	return fault_strikes(CALL_LISTXATTR, -1, path) ? -1 : syscall(SYS_listxattr, path, list, size);
}

#endif
