/* SPDX-License-Identifier: BSD-2-Clause */
/* For LD_PRELOAD: a filesystem that lacks what $LACKFS names: lock, truncate, link, xattr, exchange, chown. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static char lacking[32];

__attribute__((constructor)) static void begin(void)
{
	const char *list = getenv("LACKFS"); /* the program empties its environment */

	snprintf(lacking, sizeof(lacking), "%s", list ? list : "");
}

static bool lacks(const char *what)
{
	return strcmp(lacking, what) == 0;
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

int fcntl64(int fd, int cmd, ...)
{
	va_list ap;

	va_start(ap, cmd);
	void *arg = va_arg(ap, void *);
	va_end(ap);
	return cmd == F_OFD_SETLK && lacks("lock") ? refuse(ENOSYS) : (int)syscall(SYS_fcntl, fd, cmd, arg);
}

int fcntl(int fd, int cmd, ...) __attribute__((alias("fcntl64")));

int ftruncate64(int fd, off_t len)
{
	return lacks("truncate") ? refuse(EOPNOTSUPP) : (int)syscall(SYS_ftruncate, fd, len);
}

int ftruncate(int fd, off_t len) __attribute__((alias("ftruncate64")));

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	return lacks("link") ? refuse(EPERM) : (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}

int fsetxattr(int fd, const char *name, const void *value, size_t len, int flags)
{
	return lacks("xattr") ? refuse(EOPNOTSUPP) : (int)syscall(SYS_fsetxattr, fd, name, value, len, flags);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
	if ((flags & RENAME_EXCHANGE) && lacks("exchange"))
		return refuse(EINVAL);
	return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
	return lacks("chown") ? refuse(EPERM) : (int)syscall(SYS_fchown, fd, uid, gid);
}
