/* SPDX-License-Identifier: BSD-2-Clause */
/* The link between supervisor and worker, and the worker's end of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/watch/link.h"

int link_send(int sock, const struct link_msg *m, int fd, bool nowait)
{
	struct link_msg copy = *m;
	struct iovec iov = {&copy, sizeof(copy)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (fd >= 0) {
		struct cmsghdr *c = &control.align;

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
	}
	do {
		n = sendmsg(sock, &msg, MSG_NOSIGNAL | (nowait ? MSG_DONTWAIT : 0));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(copy) ? 0 : n < 0 ? -errno : -EPIPE;
}

int link_receive(int sock, struct link_msg *m, int *fd)
{
	struct iovec iov = {m, sizeof(*m)};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	ssize_t n;

	*fd = -1;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len >= CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(c), sizeof(*fd));
	if (n != (ssize_t)sizeof(*m))
		return n == 0 ? -EPIPE : -EPROTO;
	m->text[sizeof(m->text) - 1] = '\0';
	m->how[sizeof(m->how) - 1] = '\0';
	return 0;
}

int worker_mount(struct worker *w, int *fd, char why[STORE_WHY_MAX])
{
	struct link_msg m = {.type = LINK_MOUNT};
	int r = link_send(w->sock, &m, -1, false);

	/* a signal may have been passed on before */
	while (!r && (r = link_receive(w->sock, &m, fd)) == 0 && m.type != LINK_MOUNTED)
		if (m.type == LINK_STOP)
			r = -EINTR;
	if (r) {
		snprintf(why, STORE_WHY_MAX, r == -EINTR ? "interrupted" : "the supervisor does not answer");
		return r;
	}
	snprintf(why, STORE_WHY_MAX, "%s", m.text);
	snprintf(w->abort_how, sizeof(w->abort_how), "%s", m.how);
	return m.error ? m.error : *fd < 0 ? -EPROTO : 0;
}

void worker_serving(struct worker *w)
{
	const struct link_msg m = {.type = LINK_SERVING};

	atomic_store(&w->page->serving, 1);
	(void)(link_send(w->sock, &m, -1, false) == 0); /* its death is noticed elsewhere */
}

void worker_tell(struct worker *w, const struct gate_change *c)
{
	struct link_msg m = {.type = LINK_CHANGE, .from = (int)c->from, .to = (int)c->to, .cause = (int)c->cause};

	snprintf(m.text, sizeof(m.text), "%s", c->reason);
	(void)(link_send(w->sock, &m, -1, true) == 0); /* what does not fit in the queue is not told */
}
