/* SPDX-License-Identifier: BSD-2-Clause */
/* The embedded keystore's files on disk: checked directory, whole reads, atomic replacement. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/keystore/keystore_private.h"
#include "kms/keystore/trust.h"

void keystore_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

int keystore_say(char why[KEYSTORE_WHY_MAX], int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, KEYSTORE_WHY_MAX, fmt, ap);
	va_end(ap);
	return r;
}

int keystore_dir_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? -ENODEV : -errno;
	struct stat st;
	if (fstat(fd, &st) == 0 && (st.st_mode & 077) == 0 && trust_check(&st) == 0)
		return fd;
	close(fd);
	return -EPERM;
}

int keystore_read(int dir, const char *name, size_t max, uint8_t **out, size_t *len)
{
	/* O_NONBLOCK: a planted fifo must not hang the gate. */
	AUTO(keystore_close_fd) int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ELOOP ? -EUCLEAN : -errno;
	struct stat st;
	if (fstat(fd, &st) != 0)
		return -errno;
	if (S_ISREG(st.st_mode) && trust_check(&st) < 0)
		return -EPERM;
	if (!S_ISREG(st.st_mode) || st.st_size < 1 || (uint64_t)st.st_size > max)
		return -EUCLEAN;
	uint8_t *buf = malloc((size_t)st.st_size);
	if (!buf)
		return -ENOMEM;
	size_t n = 0;
	while (n < (size_t)st.st_size) {
		ssize_t got = pread(fd, buf + n, (size_t)st.st_size - n, (off_t)n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			int r = got < 0 ? -errno : -EUCLEAN;

			free(buf);
			return r;
		}
		n += (size_t)got;
	}
	*out = buf;
	*len = n;
	return 0;
}

static int write_all(int fd, const uint8_t *buf, size_t len)
{
	while (len) {
		ssize_t put = write(fd, buf, len);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		buf += put;
		len -= (size_t)put;
	}
	return fsync(fd) == 0 ? 0 : -errno;
}

int keystore_replace(int dir, const char *name, const uint8_t *buf, size_t len)
{
	char temporary[NAME_MAX + 1];

	snprintf(temporary, sizeof(temporary), ".%s.tmp", name);
	unlinkat(dir, temporary, 0); /* left by a crash; the writers' lock is held */
	int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	int r = write_all(fd, buf, len);
	if (close(fd) != 0 && !r)
		r = -errno;
	if (!r && renameat(dir, temporary, dir, name) != 0)
		r = -errno;
	if (r) {
		unlinkat(dir, temporary, 0);
		return r;
	}
	return fsync(dir) == 0 ? 0 : -errno;
}
