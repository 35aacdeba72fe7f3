/* SPDX-License-Identifier: BSD-2-Clause */
/* Abort first, then invalidate: the other way round waits for ever for a dead server. */
#include "fs/watch/takeover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/watch/mnt.h"
#include "fs/watch/mountinfo.h"

#define NOTIFY_RESEND 7 /* Linux 6.9: what was read and not answered is handed out again */
#define ANSWER_LOOK_MS 100
#define REQUEST_MAX ((1u << 20) + 65536u) /* a WRITE of max_write and its head */

struct inval {
	struct fuse_out_header head;
	struct fuse_notify_inval_inode_out body;
};

void fuse_conn_open_at(struct fuse_conn *c, int fd, const char *mountpoint, const struct fuse_places *places)
{
	char file[sizeof(c->control) + 8];
	struct mountinfo m;

	*c = (struct fuse_conn){.fd = fd, .table = places->table};
	if (mountinfo_find(places->table, mountpoint, &m) == 0) {
		AUTO(auto_close) int at = open(mountpoint, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (at < 0 || !mount_num_of(at, &c->mount) || c->mount.id != m.id)
			c->mount = (struct mount_num){.id = m.id};
		c->minor = m.minor;
		snprintf(c->control, sizeof(c->control), "%s/%u", places->connections, m.minor);
	}
	snprintf(file, sizeof(file), "%s/abort", c->control);
	if (c->control[0] && access(file, W_OK) == 0) {
		snprintf(c->how, sizeof(c->how), "fusectl");
		return;
	}
	c->control[0] = '\0';
	snprintf(c->how, sizeof(c->how), geteuid() == 0 ? "forced unmount" : "answering");
}

void fuse_conn_open(struct fuse_conn *c, int fd, const char *mountpoint)
{
	const struct fuse_places kernels = {MOUNTINFO_SELF, "/sys/fs/fuse/connections"};

	fuse_conn_open_at(c, fd, mountpoint, &kernels);
}

bool fuse_conn_gone(const struct fuse_conn *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

static bool abort_fusectl(const struct fuse_conn *c)
{
	char path[sizeof(c->control) + 8];

	if (!c->control[0])
		return false;
	snprintf(path, sizeof(path), "%s/abort", c->control);
	AUTO(auto_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, "1", 1) == 1;
}

/*
 * The descriptor keeps the mount busy, so that the unmount fails after it has aborted: what stays is a mount that answers
 * errors, not a bare folder into which the next backup goes in clear. What is mounted over it is left alone.
 */
static bool abort_forced(const struct fuse_conn *c)
{
	char path[4096];

	if (geteuid() != 0 || !c->mount.id || mountinfo_path(c->table, c->mount.id, path, sizeof(path)))
		return false;
	AUTO(auto_close) int hold = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (hold < 0 || !mount_holds(hold, &c->mount))
		return false;
	int r = mnt_umount_at(path, &c->mount, MNT_FORCE);
	if (r && r != -EBUSY)
		return false;
	return fuse_conn_gone(c);
}

static int send_packet(int fd, void *packet, size_t len)
{
	struct iovec iov = {packet, len};

	/* writev(2), as libfuse does it: one packet, one call */
	return writev(fd, &iov, 1) == (ssize_t)len ? 0 : -errno;
}

static void resend(int fd)
{
	struct fuse_out_header h = {.len = sizeof(h), .error = NOTIFY_RESEND};

	(void)(send_packet(fd, &h, sizeof(h)) == 0); /* an older kernel: what the dead one held waits for the unmount */
}

/* The head of a request at BUF, or false for those that get no answer. */
static bool wants_answer(const uint8_t *buf, ssize_t n, uint64_t *unique)
{
	struct fuse_in_header in;

	if (n < (ssize_t)sizeof(in))
		return false;
	memcpy(&in, buf, sizeof(in));
	*unique = in.unique;
	return in.opcode != FUSE_FORGET && in.opcode != FUSE_BATCH_FORGET && in.opcode != FUSE_INTERRUPT;
}

static void *answer_all(void *arg)
{
	struct fuse_conn *c = arg;
	uint8_t *buf = malloc(REQUEST_MAX);

	resend(c->fd);
	while (buf && !atomic_load(&c->stop)) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN};
		struct fuse_out_header out = {.len = sizeof(out), .error = -EACCES};

		if (poll(&p, 1, ANSWER_LOOK_MS) <= 0)
			continue;
		ssize_t n = read(c->fd, buf, REQUEST_MAX);
		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOENT)
			break;
		if (n > 0 && wants_answer(buf, n, &out.unique) && send_packet(c->fd, &out, sizeof(out)) == -EPERM)
			break;
	}
	free(buf);
	return NULL;
}

bool fuse_conn_cut(struct fuse_conn *c)
{
	return fuse_conn_gone(c) || abort_fusectl(c) || abort_forced(c);
}

void fuse_conn_abort(struct fuse_conn *c)
{
	if (fuse_conn_cut(c))
		return;
	snprintf(c->how, sizeof(c->how), "answering");
	/* its server is dead or dying: it must not take a request from under us and leave us waiting for the next */
	(void)(fcntl(c->fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	c->answering = pthread_create(&c->answerer, NULL, answer_all, c) == 0;
}

void fuse_conn_forget(const struct fuse_conn *c, uint64_t high)
{
	struct inval m = {.head = {.len = sizeof(m), .error = FUSE_NOTIFY_INVAL_INODE}};

	/* twice: what was faulted in behind the first pass is met by the second */
	for (int pass = 0; pass < 2; pass++) {
		for (uint64_t id = 1; id <= high; id++) {
			m.body.ino = id;
			(void)(send_packet(c->fd, &m, sizeof(m)) == 0); /* -ENOENT: the kernel does not know it */
		}
	}
}

void fuse_conn_close(struct fuse_conn *c, bool alone)
{
	atomic_store(&c->stop, alone);
	if (c->answering)
		pthread_join(c->answerer, NULL);
	c->answering = false;
}
