/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a connection away: a fake fusectl, and a packet socket in the place of /dev/fuse with the test as the kernel. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/watch/mountinfo.h"
#include "fs/watch/takeover.h"

static char dir[64], mountpoint[80], folder[80], abort_file[96], table[80];
static struct fuse_places places = {table, dir};
static struct fuse_conn conn;
static int kernel, device; /* the two ends of the connection */

static void setup(void)
{
	int pair[2];

	snprintf(dir, sizeof(dir), "/tmp/byokfs-takeover-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(mountpoint, sizeof(mountpoint), "%s/mnt", dir);
	snprintf(folder, sizeof(folder), "%s/47", dir);
	snprintf(abort_file, sizeof(abort_file), "%s/abort", folder);
	snprintf(table, sizeof(table), "%s/table", dir);
	ck_assert(mkdir(mountpoint, 0700) == 0 && mkdir(folder, 0700) == 0);
	FILE *f = fopen(table, "we");
	ck_assert_ptr_nonnull(f);
	fprintf(f, "36 25 0:47 / %s rw - fuse.byokfs /srv/store rw,user_id=0\n", mountpoint);
	fclose(f);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	kernel = pair[0];
	device = pair[1];
	alarm(10);
}

static void teardown(void)
{
	unlink(abort_file);
	unlink(table);
	rmdir(folder);
	rmdir(mountpoint);
	rmdir(dir);
}

static void make_abort(void)
{
	int fd = open(abort_file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* The next packet that the server's side has written; -1 when none comes within MS. */
static ssize_t packet(void *buf, size_t len, int ms)
{
	struct pollfd p = {.fd = kernel, .events = POLLIN};

	return poll(&p, 1, ms) == 1 ? recv(kernel, buf, len, 0) : -1;
}

START_TEST(found)
{
	make_abort();
	fuse_conn_open_at(&conn, device, mountpoint, &places);
	ck_assert_int_eq(conn.mount.id, 36);
	ck_assert_str_eq(conn.control, folder);
	ck_assert_str_eq(conn.how, "fusectl");
	ck_assert(!fuse_conn_gone(&conn));
}
END_TEST

START_TEST(not_found)
{
	const char *without = geteuid() == 0 ? "forced unmount" : "answering";

	/* in the table, and no fusectl */
	fuse_conn_open_at(&conn, device, mountpoint, &places);
	ck_assert_int_eq(conn.mount.id, 36);
	ck_assert_str_eq(conn.control, "");
	ck_assert_str_eq(conn.how, without);
	/* not in the table */
	make_abort();
	fuse_conn_open_at(&conn, device, "/nonexistent", &places);
	ck_assert_int_eq(conn.mount.id, 0);
	ck_assert_str_eq(conn.control, "");
	ck_assert_str_eq(conn.how, without);
}
END_TEST

START_TEST(cut_by_fusectl)
{
	char text[8] = "";

	make_abort();
	fuse_conn_open_at(&conn, device, mountpoint, &places);
	ck_assert(fuse_conn_cut(&conn));
	int fd = open(abort_file, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 1);
	ck_assert_str_eq(text, "1");
	close(fd);
	fuse_conn_abort(&conn);
	ck_assert(!conn.answering);
	fuse_conn_close(&conn, true);
}
END_TEST

/* What lies on the mount point is not the mount that is meant: nothing is unmounted. */
START_TEST(not_in_place)
{
	fuse_conn_open_at(&conn, device, mountpoint, &places);
	ck_assert(!mount_in_place(mountpoint, &(struct mount_num){.id = 36}));
	ck_assert(!mount_in_place("/nonexistent", &(struct mount_num){.id = 36}));
	ck_assert(!fuse_conn_cut(&conn));
}
END_TEST

START_TEST(gone)
{
	int p[2];

	/* a pipe whose reader is gone polls as an aborted /dev/fuse does */
	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	fuse_conn_open_at(&conn, p[1], mountpoint, &places);
	ck_assert(!fuse_conn_gone(&conn));
	close(p[0]);
	ck_assert(fuse_conn_gone(&conn));
	ck_assert(fuse_conn_cut(&conn));
	fuse_conn_abort(&conn);
	ck_assert(!conn.answering);
	close(p[1]);
}
END_TEST

static void ask(uint32_t opcode, uint64_t unique)
{
	const struct fuse_in_header in = {.len = sizeof(in), .opcode = opcode, .unique = unique};

	ck_assert_int_eq(send(kernel, &in, sizeof(in), 0), (ssize_t)sizeof(in));
}

/* Neither fusectl nor an unmount: every request is answered, those that get no answer are taken. */
START_TEST(answering)
{
	struct fuse_out_header out;

	fuse_conn_open_at(&conn, device, mountpoint, &places);
	fuse_conn_abort(&conn);
	ck_assert(conn.answering);
	ck_assert_str_eq(conn.how, "answering");
	/* first, what the dead server held is asked for again */
	ck_assert_int_eq(packet(&out, sizeof(out), 5000), (ssize_t)sizeof(out));
	ck_assert(out.unique == 0 && out.error == 7);
	for (uint64_t unique = 2; unique <= 20; unique += 2) {
		ask(FUSE_FORGET, 0);
		ask(FUSE_READ, unique);
		ck_assert_int_eq(packet(&out, sizeof(out), 5000), (ssize_t)sizeof(out));
		ck_assert(out.unique == unique && out.error == -EACCES && out.len == sizeof(out));
	}
	ask(FUSE_BATCH_FORGET, 30);
	ask(FUSE_INTERRUPT, 31);
	ck_assert_int_eq(send(kernel, "short", 5, 0), 5);
	ck_assert_int_eq(packet(&out, sizeof(out), 100), -1);
	fuse_conn_close(&conn, true);
	ck_assert(!conn.answering);
}
END_TEST

/* Ids 1 to HIGH, twice, all of each inode. */
START_TEST(forget)
{
	struct {
		struct fuse_out_header head;
		struct fuse_notify_inval_inode_out body;
	} m;

	make_abort();
	fuse_conn_open_at(&conn, device, mountpoint, &places);
	fuse_conn_forget(&conn, 5);
	for (int pass = 0; pass < 2; pass++)
		for (uint64_t id = 1; id <= 5; id++) {
			ck_assert_int_eq(packet(&m, sizeof(m), 5000), (ssize_t)sizeof(m));
			ck_assert(m.head.unique == 0 && m.head.error == FUSE_NOTIFY_INVAL_INODE &&
				  m.head.len == sizeof(m));
			ck_assert(m.body.ino == id && m.body.off == 0 && m.body.len == 0);
		}
	ck_assert_int_eq(packet(&m, sizeof(m), 0), -1);
	fuse_conn_forget(&conn, 0);
	ck_assert_int_eq(packet(&m, sizeof(m), 0), -1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("takeover");
	TCase *c = tcase_create("takeover");

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 20);
	tcase_add_test(c, found);
	tcase_add_test(c, not_found);
	tcase_add_test(c, cut_by_fusectl);
	tcase_add_test(c, not_in_place);
	tcase_add_test(c, gone);
	tcase_add_test(c, answering);
	tcase_add_test(c, forget);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
