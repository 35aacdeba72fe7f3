/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks that a filesystem keeps for root stay root's, although the daemon that writes is root. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "fs/inode/file_own.h"

#define LOOK_AFTER (64 << 20) /* bytes written between two looks, at most */
#define MARGIN (1 << 20)      /* other threads' requests, and the filesystem's own blocks for them */

/* Does one of the extents go where the file has no blocks yet? */
static bool allocates(int fd, const struct inflight *in)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	for (uint32_t i = 0; i < in->n_extents; i++) {
		off_t from = (off_t)in->extent[i].disk_off, end = from + in->extent[i].len;

		if (end > st.st_size || lseek(fd, from, SEEK_HOLE) < end)
			return true;
	}
	return false;
}

int file_room(struct file *f, const struct inflight *in)
{
	struct statvfs vfs;
	int64_t need = 0;

	if (geteuid() != 0)
		return 0; /* the kernel sees to it */
	for (uint32_t i = 0; i < in->n_extents; i++)
		need += in->extent[i].len;
	if (atomic_fetch_sub(&f->env->room, need) >= need || fstatvfs(f->fd, &vfs) < 0)
		return 0;
	uint64_t free = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	/* nothing is kept for root: the kernel says when it is full */
	if (vfs.f_bavail >= vfs.f_bfree || free / 2 > LOOK_AFTER)
		free = 2 * (uint64_t)LOOK_AFTER;
	bool full = free < (uint64_t)need + MARGIN;
	/* half, for others write there too; none when it is full, so that a small request is told what a large one was */
	atomic_store(&f->env->room, full ? 0 : (int64_t)(free / 2) - need);
	return full && allocates(f->fd, in) ? -ENOSPC : 0;
}

/* Has F, which had BLOCKS, grown into what is kept for root? */
static bool took_roots(const struct file *f, blkcnt_t blocks)
{
	struct statvfs vfs;
	struct stat st;

	return geteuid() == 0 && fstatvfs(f->fd, &vfs) == 0 && vfs.f_bavail < vfs.f_bfree &&
	       (uint64_t)vfs.f_bavail * vfs.f_frsize < MARGIN && fstat(f->fd, &st) == 0 && st.st_blocks > blocks;
}

int file_reserve(struct file *f, uint64_t at, uint64_t len)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	int r = fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)len) ? -errno : 0;
	if (!r && took_roots(f, st.st_blocks))
		r = -ENOSPC;
	/* ext4 goes as far as it comes, and nobody would find what a file of size 0 has taken */
	if (r && r != -EOPNOTSUPP && ftruncate(f->fd, st.st_size) < 0)
		r = -errno;
	return r;
}
