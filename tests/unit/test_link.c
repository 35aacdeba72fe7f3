/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets between supervisor and worker: with and without a descriptor, cut off, from a peer that is gone; the worker's words. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/watch/link.h"
#include "fs/watch/worker.h"

static int pair[2];
static struct watch_page page;
static struct worker worker;

static void setup(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	memset(&page, 0, sizeof(page));
	worker = (struct worker){.sock = pair[1], .page = &page};
	alarm(10);
}

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(packet)
{
	const struct link_msg m = {.type = LINK_STOP, .signal = 15, .pid = 7, .uid = 8, .text = "why"};
	struct link_msg got;
	int fd;

	ck_assert_int_eq(link_send(pair[0], &m, -1, false), 0);
	ck_assert_int_eq(link_receive(pair[1], &got, &fd), 0);
	ck_assert_int_eq(fd, -1);
	ck_assert_mem_eq(&got, &m, sizeof(m));
}
END_TEST

START_TEST(descriptor)
{
	const struct link_msg m = {.type = LINK_MOUNTED, .how = "fusectl"};
	struct link_msg got;
	int fd, p[2];
	char c;

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_int_eq(link_send(pair[0], &m, p[1], false), 0);
	close(p[1]);
	ck_assert_int_eq(link_receive(pair[1], &got, &fd), 0);
	ck_assert_int_ge(fd, 0);
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_int_eq(write(fd, "x", 1), 1);
	ck_assert_int_eq(read(p[0], &c, 1), 1);
	ck_assert_str_eq(got.how, "fusectl");
	close(fd);
	close(p[0]);
}
END_TEST

/* A packet that is too short or too long is none, and a descriptor that came with it is not kept. */
START_TEST(wrong_size)
{
	struct link_msg m = {.type = LINK_MOUNT}, before = {.type = LINK_LOCK}, got = before;
	char longer[sizeof(m) + 1] = {0};
	int fd, open_before = descriptors();

	ck_assert_int_eq(send(pair[0], &m, sizeof(m) - 1, 0), (ssize_t)sizeof(m) - 1);
	ck_assert_int_eq(link_receive(pair[1], &got, &fd), -EPROTO);
	ck_assert_int_eq(fd, -1);
	ck_assert_mem_eq(&got, &before, sizeof(got));
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.align = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov = {longer, 3};
	const struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)};
	memcpy(CMSG_DATA(&control.align), &pair[0], sizeof(int));
	ck_assert_int_eq(sendmsg(pair[0], &msg, 0), 3);
	ck_assert_int_eq(link_receive(pair[1], &got, &fd), -EPROTO);
	ck_assert_int_eq(fd, -1);
	ck_assert_int_eq(descriptors(), open_before);
}
END_TEST

START_TEST(unterminated)
{
	struct link_msg m, got;
	int fd;

	memset(&m, 'x', sizeof(m));
	ck_assert_int_eq(link_send(pair[0], &m, -1, false), 0);
	ck_assert_int_eq(link_receive(pair[1], &got, &fd), 0);
	ck_assert_uint_eq(strlen(got.text), sizeof(got.text) - 1);
	ck_assert_uint_eq(strlen(got.how), sizeof(got.how) - 1);
}
END_TEST

START_TEST(gone)
{
	struct link_msg m = {.type = LINK_SERVING};
	int fd;

	close(pair[0]);
	ck_assert_int_eq(link_receive(pair[1], &m, &fd), -EPIPE);
	ck_assert_int_eq(link_send(pair[1], &m, -1, false), -EPIPE);
}
END_TEST

/* Full: whoever must not wait does not. */
START_TEST(full)
{
	const struct link_msg m = {.type = LINK_CHANGE};
	const struct gate_change c = {.from = GATE_ACTIVE, .to = GATE_LOCKING, .reason = "no"};
	int r = 0, n = 0;

	while (n < 100000 && (r = link_send(pair[1], &m, -1, true)) == 0)
		n++;
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_int_ge(n, 10);
	worker_tell(&worker, &c); /* and drops it */
}
END_TEST

/* The worker's words */

START_TEST(mount_done)
{
	const struct link_msg done = {.type = LINK_MOUNTED, .how = "answering"}, lock = {.type = LINK_LOCK};
	char why[STORE_WHY_MAX];
	struct link_msg got;
	int fd, none;

	/* what came before the answer does not disturb */
	ck_assert_int_eq(link_send(pair[0], &lock, -1, false), 0);
	ck_assert_int_eq(link_send(pair[0], &done, 0, false), 0);
	ck_assert_int_eq(worker_mount(&worker, &fd, why), 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_str_eq(worker.abort_how, "answering");
	ck_assert_int_eq(link_receive(pair[0], &got, &none), 0);
	ck_assert_int_eq(got.type, LINK_MOUNT);
	close(fd);
}
END_TEST

START_TEST(mount_failed)
{
	const struct link_msg busy = {.type = LINK_MOUNTED, .error = -EBUSY, .text = "in use"};
	const struct link_msg empty = {.type = LINK_MOUNTED}, stop = {.type = LINK_STOP, .signal = 15};
	char why[STORE_WHY_MAX];
	int fd;

	ck_assert_int_eq(link_send(pair[0], &busy, -1, false), 0);
	ck_assert_int_eq(worker_mount(&worker, &fd, why), -EBUSY);
	ck_assert_str_eq(why, "in use");
	ck_assert_int_eq(link_send(pair[0], &empty, -1, false), 0);
	ck_assert_int_eq(worker_mount(&worker, &fd, why), -EPROTO);
	ck_assert_int_eq(link_send(pair[0], &stop, -1, false), 0);
	ck_assert_int_eq(worker_mount(&worker, &fd, why), -EINTR);
	ck_assert_str_eq(why, "interrupted");
	close(pair[0]);
	ck_assert_int_lt(worker_mount(&worker, &fd, why), 0); /* -ECONNRESET: what it had not read is lost */
	ck_assert_str_eq(why, "the supervisor does not answer");
}
END_TEST

START_TEST(words)
{
	const struct gate_change c = {
		.from = GATE_ACTIVE, .to = GATE_LOCKING, .cause = GATE_CAUSE_REVOKED, .reason = "key is disabled"};
	struct link_msg got;
	int fd;

	worker_serving(&worker);
	ck_assert_int_eq(atomic_load(&page.phase), WATCH_SERVING);
	ck_assert_int_eq(link_receive(pair[0], &got, &fd), 0);
	ck_assert_int_eq(got.type, LINK_SERVING);
	worker_tell(&worker, &c);
	ck_assert_int_eq(link_receive(pair[0], &got, &fd), 0);
	ck_assert(got.type == LINK_CHANGE && got.from == GATE_ACTIVE && got.to == GATE_LOCKING &&
		  got.cause == GATE_CAUSE_REVOKED);
	ck_assert_str_eq(got.text, "key is disabled");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("link");
	TCase *c = tcase_create("link");

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, packet);
	tcase_add_test(c, descriptor);
	tcase_add_test(c, wrong_size);
	tcase_add_test(c, unterminated);
	tcase_add_test(c, gone);
	tcase_add_test(c, full);
	tcase_add_test(c, mount_done);
	tcase_add_test(c, mount_failed);
	tcase_add_test(c, words);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
