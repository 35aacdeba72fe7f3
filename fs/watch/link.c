/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets between supervisor and worker, and descriptors that come over a socket. */
#include "fs/watch/link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int link_send(int sock, const struct link_msg *m, int fd, bool nowait)
{
	struct link_msg copy = *m;
	struct iovec iov = {&copy, sizeof(copy)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		struct cmsghdr *c = &control.align;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
	}
	ssize_t n;
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | (nowait ? MSG_DONTWAIT : 0));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(copy) ? 0 : n < 0 ? -errno : -EPIPE;
}

ssize_t link_take(int sock, void *buf, size_t len, int *fd)
{
	struct iovec iov = {buf, len};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control)};

	*fd = -1;
	ssize_t n;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	return n;
}

int link_receive(int sock, struct link_msg *m, int *fd)
{
	struct link_msg got;
	ssize_t n = link_take(sock, &got, sizeof(got), fd);

	if (n != (ssize_t)sizeof(got)) {
		if (*fd >= 0)
			close(*fd);
		*fd = -1;
		return n < 0 ? (int)n : n == 0 ? -EPIPE : -EPROTO;
	}
	got.text[sizeof(got.text) - 1] = '\0';
	got.how[sizeof(got.how) - 1] = '\0';
	*m = got;
	return 0;
}
