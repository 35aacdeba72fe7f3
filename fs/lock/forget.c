/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel holds of this mount, and making it forget; without libfuse, as the supervisor does it. */
#include <errno.h>
#include <linux/fuse.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "fs/mount/core.h"

#define NOTIFY_INC_EPOCH 8 /* linux/fuse.h has it from 6.16 on */
#define PIECE (8ull << 20)
#define PIECES_MAX 1024u
#define WRITE_MAX (2ull << 30) /* of one write(2), the kernel's limit; it may lie behind our end of the file */

int loop_invalidate(struct fs *fs, uint64_t ino, int64_t off, int64_t len)
{
	struct {
		struct fuse_out_header head;
		struct fuse_notify_inval_inode_out body;
	} m = {.head = {.len = sizeof(m), .error = FUSE_NOTIFY_INVAL_INODE},
	       .body = {.ino = ino, .off = off, .len = len}};
	struct iovec iov = {&m, sizeof(m)};

	return writev(fs->fuse_fd, &iov, 1) == (ssize_t)sizeof(m) ? 0 : -errno;
}

void loop_forget_names(struct fs *fs)
{
	struct fuse_out_header out = {.len = sizeof(out), .error = NOTIFY_INC_EPOCH};

	if (atomic_load(&fs->no_epoch) || write(fs->fuse_fd, &out, sizeof(out)) == sizeof(out))
		return;
	if (errno == EINVAL) {
		atomic_store(&fs->no_epoch, true);
		fs->cfg.log(LOG_INFO, "this kernel cannot forget names at once: they go one by one, with their inodes");
	}
}

void locking_hurry(void)
{
	(void)setpriority(PRIO_PROCESS, 0, -20); /* on Linux: of this thread */
}

void locking_beat(struct fs *fs)
{
	if (fs->cfg.beacon)
		atomic_fetch_add(&fs->cfg.beacon->beat, 1);
}

bool locking_writable(struct fs *fs, uint64_t ino, uint64_t *size)
{
	struct node *n = node_pin(&fs->nodes, ino);
	struct file *f;
	bool r;

	if (!n)
		return false;
	pthread_mutex_lock(&n->lock);
	f = atomic_load(&n->file);
	r = f && f->writers > 0;
	if (size)
		*size = r ? file_size(f) : 0;
	pthread_mutex_unlock(&n->lock);
	node_unpin(&fs->nodes, n);
	return r;
}

/*
 * From the end down: a write(2) under way goes up, so the two meet once. Upwards, one call would run right behind it, page
 * by page, for as long as it lasts. What it makes dirty behind our back is the janitor's.
 */
int locking_forget(struct fs *fs, uint64_t ino)
{
	uint64_t size, piece = PIECE, at;
	int r;

	if (!locking_writable(fs, ino, &size))
		return loop_invalidate(fs, ino, 0, 0);
	while (size / piece >= PIECES_MAX)
		piece *= 2;
	at = (size / piece + 1 + WRITE_MAX / piece) * piece;
	r = loop_invalidate(fs, ino, (int64_t)at, 0);
	while (!r && at > 0) {
		at -= piece;
		r = loop_invalidate(fs, ino, (int64_t)at, (int64_t)piece);
		locking_beat(fs);
	}
	return r;
}

bool locking_sealed(const struct fs *fs)
{
	int64_t until = atomic_load(&fs->seal_until);

	return atomic_load(&fs->write_closed) || (until && clock_ms(CLOCK_BOOTTIME) >= until);
}

void fs_lock_report(struct fs *fs, struct fs_lock_report *out)
{
	pthread_mutex_lock(&fs->report_lock);
	*out = fs->report;
	pthread_mutex_unlock(&fs->report_lock);
	out->sealed_bytes = atomic_load(&fs->sealed_bytes);
	out->refused_bytes = atomic_load(&fs->refused_bytes);
}
