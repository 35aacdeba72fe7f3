/* SPDX-License-Identifier: BSD-2-Clause */
/* Times of regular files: what was told is answered, and lies on disk when it is settled; a later change is not hidden by it. */
#include "tree_rig.h"

#include <sys/xattr.h>

#include "fs/inode/times.h"

static const struct timespec then = {1000000000, 1}, later = {1500000000, 999999999}, still = {1600000000, 7};

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void fresh(void)
{
	tree_fresh(false, false);
	tree->env.keeps_times = true;
}

static struct node *file_f(void)
{
	tree->env.keeps_times = true;
	return new_file(root(), "f");
}

static void tell(struct node *n, const struct timespec *mtime, const struct timespec *ctime)
{
	AUTO(auto_close) int fd = node_open_path(&tree->nodes, n);
	ck_assert_int_ge(fd, 0);
	times_told(&tree->env, n, fd, mtime, ctime);
}

/* The file's bytes change on disk, at another time than the kernel has. */
static void change(struct file *f)
{
	const struct timespec ts[2] = {{0, UTIME_OMIT}, {1700000000, 0}};
	times_hold(f);
	ck_assert_int_eq(futimens(f->fd, ts), 0);
}

static struct file *opened(struct node *n)
{
	struct file_work w;
	struct file *f;
	ck_assert_int_eq(file_work_init(&w, &tree->env.layout, NULL), 0);
	ck_assert_int_eq(file_open(&tree->env, n, true, &w, &f), 0);
	file_work_free(&w);
	return f;
}

static void closed(struct file *f)
{
	times_settle(&tree->env, f->node, f->fd);
	file_close(f, true);
}

static void told(struct node *n, struct timespec mtime, struct timespec ctime)
{
	struct stat st = attr(n);
	ck_assert(same_time(st.st_mtim, mtime));
	ck_assert(same_time(st.st_ctim, ctime));
}

static ssize_t kept(struct node *n, uint8_t out[TIMES_LEN])
{
	AUTO(auto_close) int fd = node_open(&tree->nodes, n, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	return fgetxattr(fd, TIMES_XATTR, out, TIMES_LEN);
}

START_TEST(test_bytes)
{
	uint8_t buf[TIMES_LEN], again[TIMES_LEN];
	struct times t = {{-1, 999999999}, {1ll << 40, 0}}, u;
	times_encode(&t, buf);
	ck_assert_int_eq(times_decode(buf, sizeof(buf), &u), 0);
	ck_assert(same_time(t.mtime, u.mtime) && same_time(t.ctime, u.ctime));
	times_encode(&u, again);
	ck_assert_mem_eq(buf, again, sizeof(buf));
	ck_assert_int_eq(times_decode(buf, sizeof(buf) - 1, &u), -EBADMSG);
	be32_put(buf + 20, 1000000000);
	ck_assert_int_eq(times_decode(buf, sizeof(buf), &u), -EBADMSG);
	times_encode(&t, buf);
	be32_put(buf + 8, UINT32_MAX);
	ck_assert_int_eq(times_decode(buf, sizeof(buf), &u), -EBADMSG);
}
END_TEST

START_TEST(test_told_stays)
{
	struct node *n = file_f();
	uint8_t buf[TIMES_LEN];
	tell(n, &then, &later);
	told(n, then, later);
	ck_assert_int_eq(kept(n, buf), TIMES_LEN);
	node_forget(&tree->nodes, n, 1);
	n = look(root(), "f");
	told(n, then, later);
	fresh();
	told(look(root(), "f"), then, later);
	tree_fresh(false, true); /* read-only: the kernel keeps nothing, and is told the same */
	told(look(root(), "f"), then, later);
}
END_TEST

/* While the file is written and afterwards: as told; the kernel says one of both, the other stays. */
START_TEST(test_written)
{
	struct node *n = file_f();
	tell(n, &then, &later);
	struct file *f = opened(n);
	change(f);
	told(n, then, later);
	closed(f);
	told(n, then, later);
	fresh();
	n = look(root(), "f");
	told(n, then, later);
	f = opened(n);
	change(f);
	tell(n, NULL, &still);
	closed(f);
	fresh();
	told(look(root(), "f"), then, still);
}
END_TEST

/* While a thread writes nothing is put on disk, and nothing is lost by that. */
START_TEST(test_busy)
{
	struct node *n = file_f();
	struct stat st;
	struct file *f = opened(n);
	change(f);
	pthread_rwlock_wrlock(&f->lock);
	tell(n, &then, &later);
	ck_assert_int_eq(fstat(f->fd, &st), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, 1700000000);
	pthread_rwlock_unlock(&f->lock);
	told(n, then, later);
	closed(f);
	fresh();
	told(look(root(), "f"), then, later);
}
END_TEST

/* A daemon that died while it wrote, or somebody else: the disk is right then. */
START_TEST(test_changed_otherwise)
{
	struct node *n = file_f();
	tell(n, &then, &later);
	struct file *f = opened(n);
	change(f);
	file_close(f, true); /* unsettled */
	fresh();
	n = look(root(), "f");
	struct stat st = attr(n);
	ck_assert_int_eq(st.st_mtim.tv_sec, 1700000000);
	ck_assert_int_gt(st.st_ctim.tv_sec, later.tv_sec);
}
END_TEST

START_TEST(test_past_the_cache)
{
	struct node *n = file_f();
	tell(n, &then, &then);
	struct file *f = opened(n);
	change(f);
	times_written(n, &later);
	told(n, later, later);
	closed(f);
	fresh();
	told(look(root(), "f"), later, later);
}
END_TEST

/* What is kept is damaged, or of another length: as if there were none. */
START_TEST(test_damaged)
{
	for (size_t len = 0; len <= TIMES_LEN; len += TIMES_LEN / 2) {
		struct node *n = file_f();
		uint8_t buf[TIMES_LEN];
		tell(n, &then, &later);
		ck_assert_int_eq(kept(n, buf), TIMES_LEN);
		memset(buf + 20, 0xff, 4);
		AUTO(auto_close) int fd = node_open(&tree->nodes, n, O_RDWR);
		ck_assert_int_eq(fsetxattr(fd, TIMES_XATTR, buf, len, 0), 0);
		fresh();
		n = look(root(), "f");
		struct stat st = attr(n);
		ck_assert(same_time(st.st_mtim, then));
		ck_assert_int_gt(st.st_ctim.tv_sec, later.tv_sec);
		node_forget(&tree->nodes, n, 1);
		ck_assert_int_eq(obj_unlink(tree, at(root(), "f"), true), 0);
	}
}
END_TEST

/* A store of suite 1 is written as ever: 0.1.0 would take what is kept for damage. */
START_TEST(test_suite_1)
{
	struct node *n = file_f();
	uint8_t buf[TIMES_LEN];
	tree->env.layout.suite = SUITE_1;
	tell(n, &then, &later);
	told(n, then, later);
	ck_assert_int_lt(kept(n, buf), 0);
	fresh();
	tree->env.layout.suite = SUITE_1;
	struct stat st = attr(look(root(), "f"));
	ck_assert(same_time(st.st_mtim, then));
	ck_assert_int_gt(st.st_ctim.tv_sec, later.tv_sec);
}
END_TEST

/* Where the kernel leaves the times to us they are the disk's. */
START_TEST(test_not_kept)
{
	struct node *n = new_file(root(), "f");
	tell(n, &then, &later);
	struct file *f = opened(n);
	change(f);
	ck_assert_int_eq(attr(n).st_mtim.tv_sec, 1700000000);
	closed(f);
	ck_assert_int_eq(attr(n).st_mtim.tv_sec, 1700000000);
}
END_TEST

/* A file that its owner may not write: its times are kept all the same, and its mode stays. */
START_TEST(test_plain_user)
{
	become_plain_user();
	struct node *n = file_f();
	AUTO(auto_close) int fd = node_open_path(&tree->nodes, n);
	ck_assert_int_eq(store_chmod(fd, 0400), 0);
	tell(n, &then, &later);
	fresh();
	n = look(root(), "f");
	told(n, then, later);
	ck_assert_uint_eq(attr(n).st_mode & 07777, 0400);
}
END_TEST

static Suite *make_suite(void)
{
	const TTest *const test[] = {
		test_bytes,          test_told_stays, test_written, test_busy,     test_changed_otherwise,
		test_past_the_cache, test_damaged,    test_suite_1, test_not_kept, test_plain_user};
	Suite *suite = suite_create("times");
	TCase *tcase = tcase_create("times");
	tcase_add_checked_fixture(tcase, setup, teardown);
	for (size_t i = 0; i < ARRAY_LEN(test); i++)
		tcase_add_test(tcase, test[i]);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(make_suite());
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
