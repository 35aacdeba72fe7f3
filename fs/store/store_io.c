/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening, reading and writing below a store: nothing in it can lead out of it or make us hang. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "crypto/block.h"
#include "fs/store/store.h"
#include "fs/store/store_own.h"

#define OPENAT2_TRIES 8

static int open_as_told(int dir_fd, const char *path, const struct open_how *how)
{
	/* EAGAIN: a rename elsewhere made the kernel unsure that we are still beneath. */
	for (int i = 0; i < OPENAT2_TRIES; i++) {
		long fd = syscall(SYS_openat2, dir_fd, path, how, sizeof(*how));
		if (fd >= 0)
			return (int)fd;
		if (errno == EXDEV) /* to a user this is no matter of two filesystems */
			errno = EIO;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

/* What we read for ourselves moves no atime; whom the object is not does not get it so (O_NOATIME is its owner's). */
static int open_how(int dir_fd, const char *path, const struct open_how *how)
{
	struct open_how quiet = *how;

	if (how->flags & O_PATH)
		return open_as_told(dir_fd, path, how);
	quiet.flags |= O_NOATIME;
	int fd = open_as_told(dir_fd, path, &quiet);
	return fd == -EPERM ? open_as_told(dir_fd, path, how) : fd;
}

int store_openat(int dir_fd, const char *path, uint64_t flags, uint64_t mode)
{
	/* NO_XDEV: whoever may mount below the store could mount a server that never answers, and stat(2) would wait for it. */
	const struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};

	return open_how(dir_fd, path, &how);
}

int store_open_part(int dir_fd, const char *name)
{
	/* `data` may lie on a disk of its own. It is opened once, by whoever waits for it himself. */
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return open_how(dir_fd, name, &how);
}

int store_stat(int dir_fd, const char *name, struct stat *st)
{
	int fd = store_openat(dir_fd, name, O_PATH, 0);

	if (fd < 0)
		return fd;
	int r = fstat(fd, st) < 0 ? -errno : 0;
	close(fd);
	return r;
}

int store_open_file(int dir_fd, const char *name, int flags)
{
	struct stat st;

	/* Asked before the open, so that a device node is not even touched; asked again after it, against a swap. */
	if (!(flags & O_CREAT)) {
		int r = store_stat(dir_fd, name, &st);
		if (r < 0)
			return r;
		if (!S_ISREG(st.st_mode))
			return -EUCLEAN;
	}
	AUTO(auto_close)
	int fd = store_openat(dir_fd, name, (uint64_t)flags | O_NONBLOCK | O_NOCTTY, flags & O_CREAT ? 0600 : 0);
	/* Where O_CREAT meets a planted link (ELOOP), socket (ENXIO) or directory (EISDIR). */
	if (fd == -ELOOP || fd == -ENXIO || fd == -EISDIR)
		return -EUCLEAN;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EUCLEAN;
	int keep = fd;
	fd = -1;
	return keep;
}

int store_open_own(int dir_fd, const char *name, int flags)
{
	struct stat st;
	AUTO(auto_close) int fd = store_open_file(dir_fd, name, flags);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_nlink > 1)
		return -EUCLEAN;
	int keep = fd;
	fd = -1;
	return keep;
}

int store_pread_full(int fd, void *buf, size_t len, uint64_t off)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pread(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int store_pwrite_full(int fd, const void *buf, size_t len, uint64_t off)
{
	const uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = pwrite(fd, p, len, (off_t)off);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		off += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int store_put_in_place(int dir_fd, const char *tmp, const char *name)
{
	char aside[NAME_MAX + 1];

	if (renameat(dir_fd, tmp, dir_fd, name) == 0)
		return 0;
	if (errno != EISDIR || snprintf(aside, sizeof(aside), "%s.displaced", name) >= (int)sizeof(aside))
		return -errno;
	if (renameat(dir_fd, name, dir_fd, aside) < 0 || renameat(dir_fd, tmp, dir_fd, name) < 0)
		return -errno;
	return 0;
}

/* Write, sync and rename TMP, which the caller removes on failure. */
static int write_and_rename(int dir_fd, const char *const names[2], const void *buf, size_t len, unsigned mode)
{
	AUTO(auto_close) int fd = store_open_file(dir_fd, names[0], O_WRONLY | O_CREAT | O_EXCL);
	if (fd < 0)
		return fd;
	int r = fchmod(fd, mode) < 0 ? -errno : store_pwrite_full(fd, buf, len, 0);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	return store_put_in_place(dir_fd, names[0], names[1]);
}

int store_write_file(int dir_fd, const char *name, const void *buf, size_t len, unsigned mode)
{
	static atomic_uint counter;
	char tmp[64];

	/* The own prefix, so that a leftover is never taken for a user's file, whatever the folder. */
	snprintf(tmp, sizeof(tmp), STORE_TMP_PREFIX "%d.%u", (int)getpid(), atomic_fetch_add(&counter, 1));
	int r = write_and_rename(dir_fd, (const char *const[2]){tmp, name}, buf, len, mode);
	if (r < 0) {
		unlinkat(dir_fd, tmp, 0);
		return r;
	}
	return fsync(dir_fd) < 0 ? -errno : 0;
}

int store_read_file(int dir_fd, const char *name, size_t max, uint8_t **out, size_t *len)
{
	AUTO(auto_close) int fd = store_open_file(dir_fd, name, O_RDONLY);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < 0 || (uint64_t)st.st_size > max)
		return -EFBIG;
	size_t n = (size_t)st.st_size;
	uint8_t *buf = malloc(n + 1); /* never zero bytes */
	if (!buf)
		return -ENOMEM;
	int r = store_pread_full(fd, buf, n, 0);
	if (r < 0) {
		free(buf);
		return r;
	}
	buf[n] = 0;
	*out = buf;
	*len = n;
	return 0;
}

void store_dir_close(DIR **d)
{
	if (*d)
		closedir(*d);
	*d = NULL;
}

DIR *store_dir_open(int dir_fd)
{
	int fd = store_openat(dir_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	DIR *d = fdopendir(fd);
	if (!d)
		close(fd);
	return d;
}

int store_dir_empty(int dir_fd, const char *except)
{
	AUTO(store_dir_close) DIR *d = store_dir_open(dir_fd);
	if (!d)
		return -errno;
	for (;;) {
		errno = 0;
		const struct dirent *e = readdir(d);
		if (!e)
			return errno != 0 ? -errno : 1;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (!except || strcmp(e->d_name, except) != 0)
			return 0;
	}
}

int store_make_dirs(char *path)
{
	for (char *p = path + 1;; p++) {
		if (*p != '/' && *p != 0)
			continue;
		char c = *p;
		*p = 0;
		int bad = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
		*p = c;
		if (bad < 0 || c == 0)
			return bad;
	}
}

void store_id_hex(const uint8_t id[ID_LEN], char out[2 * ID_LEN + 1])
{
	for (size_t i = 0; i < ID_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

int store_id_read(const char *text, uint8_t id[ID_LEN])
{
	static const char digits[] = "0123456789abcdef";

	if (strlen(text) != 2 * ID_LEN)
		return -EINVAL;
	for (size_t i = 0; i < 2 * ID_LEN; i++) {
		const char *d = strchr(digits, text[i] >= 'A' && text[i] <= 'F' ? text[i] + ('a' - 'A') : text[i]);

		if (!d)
			return -EINVAL;
		id[i / 2] = (uint8_t)(i % 2 ? id[i / 2] | (d - digits) : (d - digits) << 4);
	}
	return 0;
}

int store_is_blank(int fd, uint64_t size, uint64_t least)
{
	uint8_t buf[4096];

	for (uint64_t off = 0; size >= least && off < size;) {
		off_t data = lseek(fd, (off_t)off, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			break;
		off = data > (off_t)off ? (uint64_t)data : off;
		size_t n = size - off < sizeof(buf) ? (size_t)(size - off) : sizeof(buf);
		int r = store_pread_full(fd, buf, n, off);
		if (r)
			return r;
		if (!block_is_zero(buf, n))
			return 0;
		off += n;
	}
	return 1;
}

bool store_is_local(int fd)
{
	struct statfs sfs;

	if (fstatfs(fd, &sfs) < 0)
		return false;
	return sfs.f_type == EXT4_SUPER_MAGIC || sfs.f_type == XFS_SUPER_MAGIC || sfs.f_type == BTRFS_SUPER_MAGIC;
}

bool store_born(int fd, struct timespec *out)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &stx) < 0 || !(stx.stx_mask & STATX_BTIME))
		return false;
	*out = (struct timespec){.tv_sec = stx.stx_btime.tv_sec, .tv_nsec = stx.stx_btime.tv_nsec};
	return true;
}

int store_sync_dir(int fd)
{
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}
