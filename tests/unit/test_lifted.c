/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a plain user's own objects whatever their bits are; keys borrowed and empty files, which need a gate. */
#include <pthread.h>

#include "fs/inode/blank.h"
#include "fs/store/recover.h"
#include "fs/store/borrow.h"
#include "tests/unit/store_rig.h"

#define NOBODY 65534u

static char dir[64];
static int dir_fd;
static bool was_root;

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/byokfs-lifted.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	was_root = geteuid() == 0;
	if (!was_root)
		return;
	ck_assert_int_eq(chown(dir, NOBODY, NOBODY), 0);
	close(openat(dir_fd, "roots", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	ck_assert_int_eq(seteuid(NOBODY), 0);
}

static void teardown(void)
{
	char command[sizeof(dir) + 16];

	if (was_root)
		ck_assert_int_eq(seteuid(0), 0);
	close(dir_fd);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, mode_t mode)
{
	int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fchmod(fd, mode), 0);
	close(fd);
}

static mode_t mode_of(const char *name)
{
	struct stat st;
	ck_assert_int_eq(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st.st_mode & 07777;
}

static int reopen(const char *name, int flags)
{
	AUTO(auto_close) int fd_path = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	ck_assert_int_ge(fd_path, 0);
	return store_reopen(fd_path, flags);
}

static void opens(int fd)
{
	ck_assert_int_ge(fd, 0);
	close(fd);
}

START_TEST(bits_are_lifted_and_put_back)
{
	static const mode_t modes[] = {0600, 0444, 0000, 0200, 04511};
	char name[16];
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		put(name, modes[i]);
		opens(store_open_lifted(dir_fd, name, O_RDONLY));
		opens(store_open_lifted(dir_fd, name, O_RDWR));
		opens(reopen(name, O_RDWR));
		ck_assert_uint_eq(mode_of(name), modes[i]);
	}
	ck_assert_int_eq(mkdirat(dir_fd, "d", 0), 0);
	opens(reopen("d", O_RDONLY | O_DIRECTORY));
	ck_assert_uint_eq(mode_of("d"), 0);
}
END_TEST

START_TEST(what_is_not_ours_or_no_file)
{
	ck_assert_int_eq(store_open_lifted(dir_fd, "absent", O_RDONLY), -ENOENT);
	ck_assert_int_eq(mkfifoat(dir_fd, "fifo", 0), 0);
	ck_assert_int_eq(store_open_lifted(dir_fd, "fifo", O_RDWR), -EUCLEAN);
	ck_assert_int_eq(symlinkat("absent", dir_fd, "link"), 0);
	ck_assert_int_eq(store_open_lifted(dir_fd, "link", O_RDWR), -EUCLEAN);
	if (!was_root)
		return;
	ck_assert_int_eq(store_open_lifted(dir_fd, "roots", O_RDONLY), -EACCES);
	ck_assert_int_eq(reopen("roots", O_RDWR), -EACCES);
	ck_assert_uint_eq(mode_of("roots"), 0600);
}
END_TEST

static void *open_often(void *arg)
{
	int *failed = arg;
	for (int i = 0; i < 200; i++) {
		int fd = store_open_lifted(dir_fd, "f", i % 2 ? O_RDWR : O_RDONLY);
		*failed += fd < 0;
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

/* A second opener must not take the lifted bits for the real ones, and leave them. */
START_TEST(two_at_once)
{
	pthread_t thread[4];
	int failed[4] = {0};
	put("f", 0000);
	for (size_t i = 0; i < ARRAY_LEN(thread); i++)
		ck_assert_int_eq(pthread_create(&thread[i], NULL, open_often, &failed[i]), 0);
	for (size_t i = 0; i < ARRAY_LEN(thread); i++) {
		pthread_join(thread[i], NULL);
		ck_assert_int_eq(failed[i], 0);
	}
	ck_assert_uint_eq(mode_of("f"), 0);
}
END_TEST

START_TEST(empty_files_and_borrowed_keys)
{
	static struct rig rig;
	struct blank blank;
	struct borrow b;
	rig_begin(&rig);
	rig_start(&rig);
	const struct layout *l = &rig.store->keyring->layout;
	ck_assert_int_eq(blank_make(&blank, rig.gate, l), 0);
	ck_assert_uint_eq(blank.len, layout_disk_size(l, 0));
	AUTO(auto_close) int fd = openat(rig.store->data_fd, "f", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_eq(blank_write(&blank, fd), 0);
	const struct recover file = {.fd = fd, .layout = l, .gate = rig.gate, .key = blank.key};
	struct final_head head;
	ck_assert_int_eq(recover_final_at(&file, 0, &head), 1);
	ck_assert_uint_eq(head.tail_len, 0);
	ck_assert_uint_eq(head.generation, 1);
	ck_assert_int_eq(borrow_file(&b, rig.gate, GATE_USE_NEW, blank.key, l), 0);
	ck_assert_ptr_nonnull(b.store);
	ck_assert_ptr_nonnull(b.file);
	borrow_end(&b);
	ck_assert_ptr_null(b.gate);
	borrow_end(&b); /* nothing is borrowed any more */
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
	ck_assert_int_eq(borrow_store(&b, rig.gate, GATE_USE_NEW), -EACCES);
	borrow_end(&b);
	ck_assert_int_eq(borrow_file(&b, rig.gate, GATE_USE_NEW, blank.key, l), -EACCES);
	ck_assert_ptr_null(b.gate);
	blank_end(&blank);
	blank_end(&blank);
	ck_assert_int_eq(blank_make(&blank, rig.gate, l), -EACCES);
	ck_assert_ptr_null(blank.key);
	rig_end(&rig);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lifted");
	TCase *c = tcase_create("lifted");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, bits_are_lifted_and_put_back);
	tcase_add_test(c, what_is_not_ours_or_no_file);
	tcase_add_test(c, two_at_once);
	suite_add_tcase(s, c);
	c = tcase_create("keys");
	tcase_add_test(c, empty_files_and_borrowed_keys);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
