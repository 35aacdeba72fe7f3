/* SPDX-License-Identifier: BSD-2-Clause */
/* The two notifications of FUSE that a lock needs, as the supervisor sends them too. */
#include <errno.h>
#include <linux/fuse.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/lock/lock.h"

#define NOTIFY_INC_EPOCH 8 /* linux/fuse.h has it from 6.16 on */

int lock_forget_inode(struct lock *l, uint64_t ino, int64_t off, int64_t len)
{
	struct {
		struct fuse_out_header head;
		struct fuse_notify_inval_inode_out body;
	} m = {.head = {.len = sizeof(m), .error = FUSE_NOTIFY_INVAL_INODE},
	       .body = {.ino = ino, .off = off, .len = len}};
	struct iovec iov = {&m, sizeof(m)};

	return writev(l->cfg.fuse_fd, &iov, 1) == (ssize_t)sizeof(m) ? 0 : -errno;
}

void lock_forget_names(struct lock *l)
{
	struct fuse_out_header out = {.len = sizeof(out), .error = NOTIFY_INC_EPOCH};

	if (atomic_load(&l->no_epoch) || write(l->cfg.fuse_fd, &out, sizeof(out)) == sizeof(out))
		return;
	if (errno == EINVAL) {
		atomic_store(&l->no_epoch, true);
		l->cfg.log(LOG_INFO, "this kernel cannot forget names at once: they go one by one, with their inodes");
	}
}
