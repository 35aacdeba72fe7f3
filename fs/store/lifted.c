/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a plain user's own objects that lack the bits: they are lifted for the moment of the open. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/store.h"

/* The bits that an owner needs for FLAGS. A folder is opened to be worked in. */
static mode_t bits_for(mode_t mode, int flags)
{
	if (S_ISDIR(mode))
		return S_IRWXU;
	return (flags & O_ACCMODE) == O_RDONLY ? S_IRUSR : S_IRUSR | S_IWUSR;
}

int store_chmod(int fd, mode_t mode)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd); /* O_PATH has no fchmod */
	return chmod(path, mode) ? -errno : 0;
}

/* As store_openat(): without moving atime, where we may. */
static int open_quiet(const char *path, int flags)
{
	int fd = open(path, flags | O_NOATIME);

	if (fd < 0 && errno == EPERM)
		fd = open(path, flags);
	return fd < 0 ? -errno : fd;
}

void store_touch(int fd)
{
	char path[40], any[1];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	AUTO(auto_close) int again = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	(void)!(again >= 0 && pread(again, any, sizeof(any), 0) > 0);
}

static int open_lifted(const char *path, int fd_path, int flags)
{
	struct stat st;

	if (fstat(fd_path, &st) || st.st_uid != geteuid())
		return -EACCES;
	mode_t mode = st.st_mode & 07777, bits = bits_for(st.st_mode, flags);
	if ((mode & bits) == bits || store_chmod(fd_path, mode | bits))
		return -EACCES;
	AUTO(auto_close) int fd = open_quiet(path, flags);
	int r = fd < 0 ? fd : 0;
	if (store_chmod(fd_path, mode) && !r)
		return -EIO;
	int keep = fd;
	fd = -1;
	return r ? r : keep;
}

/* One at a time: a second one would take the lifted bits for the real ones, and leave them. */
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

int store_reopen(int fd_path, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd_path);
	flags |= O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	int fd = open_quiet(path, flags);
	if (fd != -EACCES || geteuid() == 0)
		return fd;
	pthread_mutex_lock(&one);
	fd = open_lifted(path, fd_path, flags);
	pthread_mutex_unlock(&one);
	return fd;
}

int store_setxattr(int fd, const char *name, const void *value, size_t len)
{
	char path[40];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int r = setxattr(path, name, value, len, 0) ? -errno : 0;
	if (r != -EACCES || geteuid() == 0)
		return r;
	pthread_mutex_lock(&one);
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && store_chmod(fd, (st.st_mode & 07777) | S_IWUSR) == 0) {
		r = setxattr(path, name, value, len, 0) ? -errno : 0;
		if (store_chmod(fd, st.st_mode & 07777) && !r)
			r = -EIO;
	}
	pthread_mutex_unlock(&one);
	return r;
}

int store_open_lifted(int dir_fd, const char *name, int flags)
{
	struct stat st;
	int fd = store_open_file(dir_fd, name, flags);

	if (fd != -EACCES)
		return fd;
	AUTO(auto_close) int fd_path = store_openat(dir_fd, name, O_PATH, 0);
	if (fd_path < 0)
		return fd_path;
	if (fstat(fd_path, &st))
		return -errno;
	return S_ISREG(st.st_mode) ? store_reopen(fd_path, flags) : -EUCLEAN;
}
