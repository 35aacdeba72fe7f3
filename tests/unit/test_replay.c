/* SPDX-License-Identifier: BSD-2-Clause */
/* In-flight replay: a torn file is whole again; nothing else is touched, whatever a slot says. */
#include <dirent.h>
#include <dlfcn.h>
#include <sys/resource.h>

#include "crypto/auto.h"
#include "fs/store/replay.h"
#include "fs/store/slots.h"
#include "fs/store/store_own.h"
#include "tests/unit/store_rig.h"

#define SIZE (3 * RIG_BLOCK + 100)

static struct rig rig;
static char why[STORE_WHY_MAX];
static char logged[65536];
static struct gate_key *key;
static int file_fd;
static uint8_t whole[64 * 1024];
static size_t whole_len;
static struct inflight slot;

static void log_line(int priority, const char *text)
{
	(void)priority;
	size_t n = strlen(logged);
	snprintf(logged + n, sizeof(logged) - n, "%s\n", text);
}

static void begin_ok(void)
{
	ck_assert_msg(store_begin(rig.store, rig.gate, log_line, why) == 0, "%s", why);
}

static void file_read(uint8_t *out)
{
	ck_assert_int_eq(store_pread_full(file_fd, out, whole_len, 0), 0);
}

/* The file d/f, whole; a slot that is about to write its blocks and end again. */
static void setup(void)
{
	struct header h;
	struct stat st;
	rig_begin(&rig);
	rig_start(&rig);
	begin_ok();
	logged[0] = 0;
	ck_assert_int_eq(mkdirat(rig.store->data_fd, "d", 0755), 0);
	AUTO(auto_close) int dir = store_openat(rig.store->data_fd, "d", O_RDONLY | O_DIRECTORY, 0);
	file_fd = rig_put_file(&rig, dir, "f", SIZE, &key);
	ck_assert_int_eq(fstat(file_fd, &st), 0);
	whole_len = (size_t)st.st_size;
	file_read(whole);
	ck_assert_int_eq(header_parse(whole, rig.store->keyring->layout.header_len, &h), 0);
	memset(&slot, 0, sizeof(slot));
	memcpy(slot.file_id, h.file_id, ID_LEN);
	slot.dev = st.st_dev;
	slot.ino = st.st_ino;
	store_boot_id(slot.boot_id);
	AUTO(auto_close) int home = store_open_file(rig.store->own_fd, STORE_INFLIGHT, O_RDONLY);
	ck_assert_int_eq(fstat(home, &st), 0);
	slot.home_fs = slots_fs(home, &st);
	slot.home_ino = st.st_ino;
	slot.session = rig.store->session.number; /* of the record that the next begin finds */
	slot.disk_size = whole_len;
	slot.n_extents = 1;
	slot.extent[0].disk_off = layout_record_off(&rig.store->keyring->layout, 0);
	slot.extent[0].len = (uint32_t)(whole_len - slot.extent[0].disk_off);
}

static void teardown(void)
{
	gate_key_close(key);
	close(file_fd);
	rig_end(&rig);
}

/* The slot as bytes, at place I of the in-flight file. */
static void slot_put(unsigned i, const char *path)
{
	AUTO(auto_free) uint8_t *p = calloc(1, rig.store->slot_len);
	AUTO(auto_close) int fd = store_open_file(rig.store->own_fd, STORE_INFLIGHT, O_WRONLY);
	ck_assert_ptr_nonnull(p);
	memcpy(p + INFLIGHT_HEAD_LEN, whole + slot.extent[0].disk_off, slot.extent[0].len);
	inflight_fill(p, &slot, path);
	inflight_mark(p, 1);
	ck_assert_int_eq(store_pwrite_full(fd, p, rig.store->slot_len, i * rig.store->slot_len), 0);
}

/* Put the slot at place I as a serving thread does, up to the valid mark; then die. */
static void die_with(unsigned i, const char *path)
{
	slot.path_len = (uint32_t)strlen(path);
	slot_put(i, path);
	gate_key_close(key);
	key = NULL;
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
}

static void tear(void)
{
	static const uint8_t junk[1000];
	ck_assert_int_eq(store_pwrite_full(file_fd, junk, sizeof(junk), 5000), 0);
	ck_assert_int_eq(ftruncate(file_fd, (off_t)whole_len + 7777), 0);
}

static void check_whole(void)
{
	uint8_t now[sizeof(whole)];
	struct stat st;
	ck_assert_int_eq(fstat(file_fd, &st), 0);
	ck_assert_uint_eq((size_t)st.st_size, whole_len);
	file_read(now);
	ck_assert_mem_eq(now, whole, whole_len);
	ck_assert_int_eq(replay_pending(rig.store), 0);
}

static void check_untouched(const char *word)
{
	struct stat st;
	ck_assert_int_eq(fstat(file_fd, &st), 0);
	ck_assert_uint_eq((size_t)st.st_size, whole_len + 7777);
	ck_assert_msg(strstr(logged, word) != NULL, "'%s' not in: %s", word, logged);
	ck_assert_int_eq(replay_pending(rig.store), 0);
}

START_TEST(by_path)
{
	const struct timespec old[2] = {{1000, 5}, {-2000, 7}};
	struct stat st;
	tear();
	ck_assert_int_eq(futimens(file_fd, old), 0);
	die_with(3, "d/f");
	ck_assert_int_eq(replay_pending(rig.store), 1);
	begin_ok();
	check_whole();
	ck_assert_int_eq(fstat(file_fd, &st), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec, -2000);
	ck_assert_int_eq(st.st_mtim.tv_nsec, 7);
	ck_assert_ptr_nonnull(strstr(logged, "data/d/f"));
}
END_TEST

START_TEST(by_inode)
{
	tear();
	die_with(INFLIGHT_SLOTS - 1, "d/renamed/away");
	begin_ok();
	check_whole();
}
END_TEST

/* The file DEPTH folders down, where no path of the slot leads. */
static void move_down(unsigned depth)
{
	int dir = dup(rig.store->data_fd);

	for (unsigned i = 0; i < depth; i++) {
		ck_assert_int_eq(mkdirat(dir, "x", 0700), 0);
		int sub = openat(dir, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ck_assert_int_ge(sub, 0);
		close(dir);
		dir = sub;
	}
	AUTO(auto_close) int from = openat(rig.store->data_fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(renameat(from, "f", dir, "f"), 0);
	close(dir);
}

START_TEST(deep)
{
	move_down(1500);
	tear();
	die_with(0, "d/f");
	begin_ok();
	check_whole();
}
END_TEST

/* What could not be looked for is not gone: the mount is refused, and the next one completes the write. */
START_TEST(no_descriptors)
{
	struct rlimit old, few;

	move_down(60);
	tear();
	die_with(0, "d/f");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){40, old.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	ck_assert_int_eq(store_begin(rig.store, rig.gate, log_line, why), -EMFILE);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_int_eq(replay_pending(rig.store), 1);
	begin_ok();
	check_whole();
}
END_TEST

/* All slots marked, and nothing where their paths say: the tree is walked once for all of them. */
static unsigned n_listed;

DIR *fdopendir(int fd)
{
	static DIR *(*real)(int);

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "fdopendir");
	n_listed++;
	return real(fd);
}

START_TEST(one_walk)
{
	tear();
	slot.path_len = (uint32_t)strlen("d/renamed/away");
	for (unsigned i = 0; i < INFLIGHT_SLOTS - 1; i++) {
		if (i == 5)
			slot.ino += 1000000u; /* ten that are not to be found at all */
		slot_put(i, "d/renamed/away");
	}
	slot.ino -= 1000000u;
	n_listed = 0;
	die_with(INFLIGHT_SLOTS - 1, "d/renamed/away");
	begin_ok();
	ck_assert_uint_lt(n_listed, INFLIGHT_SLOTS); /* data/ and d/, and byokfs/ for leftovers */
	check_whole();
}
END_TEST

/* Another file took the name meanwhile (exchange): the header's file id decides. */
START_TEST(name_taken)
{
	struct gate_key *other;
	char path[256], path2[256];
	uint8_t before[sizeof(whole)], after[sizeof(whole)];
	tear();
	snprintf(path, sizeof(path), "%s/data/d/f", rig.path);
	snprintf(path2, sizeof(path2), "%s/data/d/g", rig.path);
	ck_assert_int_eq(rename(path, path2), 0);
	AUTO(auto_close) int dir = store_openat(rig.store->data_fd, "d", O_RDONLY | O_DIRECTORY, 0);
	AUTO(auto_close) int fd = rig_put_file(&rig, dir, "f", SIZE, &other);
	gate_key_close(other);
	ck_assert_int_eq(store_pread_full(fd, before, whole_len, 0), 0);
	die_with(0, "d/f");
	begin_ok();
	check_whole();
	ck_assert_int_eq(store_pread_full(fd, after, whole_len, 0), 0);
	ck_assert_mem_eq(before, after, whole_len);
}
END_TEST

START_TEST(file_gone)
{
	char path[256];
	tear();
	snprintf(path, sizeof(path), "%s/data/d/f", rig.path);
	ck_assert_int_eq(unlink(path), 0);
	die_with(0, "d/f");
	begin_ok();
	check_untouched("gone");
}
END_TEST

START_TEST(another_boot)
{
	tear();
	slot.boot_id[0] ^= 1;
	die_with(0, "d/f");
	begin_ok();
	check_untouched("restart");
}
END_TEST

/* A copy of the store made while it was written to: what a slot names may be complete there, and newer. */
START_TEST(another_inflight_file)
{
	tear();
	slot.home_ino++;
	die_with(0, "d/f");
	begin_ok();
	check_untouched("another copy");
}
END_TEST

START_TEST(another_filesystem)
{
	tear();
	slot.home_fs ^= 1;
	die_with(0, "d/f");
	begin_ok();
	check_untouched("another copy");
}
END_TEST

/* An in-flight file of an earlier mount, put back in place. */
START_TEST(another_session)
{
	tear();
	slot.session += 5;
	die_with(0, "d/f");
	begin_ok();
	check_untouched("another copy");
}
END_TEST

/* The same name and file id, another inode: a copy of the file. */
START_TEST(another_inode)
{
	tear();
	slot.ino++;
	die_with(0, "d/f");
	begin_ok();
	check_untouched("gone");
}
END_TEST

/* Written by 0.1.0, which left these fields zero. */
START_TEST(without_home)
{
	tear();
	slot.home_fs = slot.home_ino = slot.session = 0;
	die_with(0, "d/f");
	begin_ok();
	check_whole();
}
END_TEST

START_TEST(without_home_another_inode)
{
	tear();
	slot.home_fs = slot.home_ino = slot.session = 0;
	slot.ino++;
	die_with(0, "d/f");
	begin_ok();
	check_untouched("gone");
}
END_TEST

START_TEST(malformed)
{
	tear();
	slot.extent[0].disk_off = 0; /* over the header */
	die_with(0, "d/f");
	begin_ok();
	check_untouched("malformed");
}
END_TEST

/* A slot that names own files, links, or a way out of the store. */
START_TEST(hostile_paths)
{
	static const char *const paths[] = {"../byokfs/keyring",
					    "/etc/passwd",
					    "link",
					    "link/passwd",
					    "fifo",
					    ".byokfs.dir",
					    "",
					    "d",
					    "d/",
					    "d//f/..",
					    "."};
	char path[256];
	uint8_t keyring[4096], now[4096];
	tear();
	slot.ino = 1;
	snprintf(path, sizeof(path), "%s/data/link", rig.path);
	ck_assert_int_eq(symlink("/etc", path), 0);
	snprintf(path, sizeof(path), "%s/data/fifo", rig.path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	size_t len = rig.store->keyring->len;
	ck_assert_uint_le(len, sizeof(keyring));
	memcpy(keyring, rig.store->keyring->bytes, len);
	alarm(30);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		die_with(0, paths[i]);
		begin_ok();
		check_untouched("in-flight slot 0");
	}
	AUTO(auto_close) int fd = store_open_file(rig.store->own_fd, STORE_KEYRING, O_RDONLY);
	ck_assert_int_eq(store_pread_full(fd, now, len, 0), 0);
	ck_assert_mem_eq(now, keyring, len);
}
END_TEST

/* An error of the disk keeps the slot for the next try. */
START_TEST(kept_on_error)
{
	struct rlimit old;
	tear();
	die_with(0, "d/f");
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	/* One descriptor is left: for the slots' file, not for the folder of the file that the slot is for. */
	int top = dup(0);
	close(top);
	struct rlimit small = {(rlim_t)top + 1, old.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
	unsigned replayed;
	int r = replay_all(rig.store, log_line, &replayed);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
	ck_assert_int_eq(r, -EMFILE);
	ck_assert_int_eq(replay_pending(rig.store), 1);
	begin_ok();
	check_whole();
}
END_TEST

START_TEST(impossible_size)
{
	tear();
	slot.disk_size = (uint64_t)INT64_MAX;
	die_with(0, "d/f");
	begin_ok();
	ck_assert_ptr_nonnull(strstr(logged, "impossible"));
	ck_assert_int_eq(replay_pending(rig.store), 0);
}
END_TEST

START_TEST(every_head_byte)
{
	uint8_t head[512];
	slot.path_len = 3;
	slot_put(0, "d/f");
	AUTO(auto_close) int fd = store_open_file(rig.store->own_fd, STORE_INFLIGHT, O_RDWR);
	ck_assert_int_eq(store_pread_full(fd, head, sizeof(head), 0), 0);
	alarm(50);
	for (size_t i = 0; i < sizeof(head); i++) {
		unsigned n;
		head[i] ^= 1 << (i % 8);
		ck_assert_int_eq(store_pwrite_full(fd, head, sizeof(head), 0), 0);
		head[i] ^= 1 << (i % 8);
		int r = replay_all(rig.store, log_line, &n);
		ck_assert_msg(r <= 0, "%d", r);
		logged[0] = 0;
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("replay");
	TCase *t = tcase_create("replay");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, by_path);
	tcase_add_test(t, by_inode);
	tcase_add_test(t, deep);
	tcase_add_test(t, no_descriptors);
	tcase_add_test(t, one_walk);
	tcase_add_test(t, name_taken);
	tcase_add_test(t, file_gone);
	tcase_add_test(t, another_boot);
	tcase_add_test(t, another_inflight_file);
	tcase_add_test(t, another_filesystem);
	tcase_add_test(t, another_session);
	tcase_add_test(t, another_inode);
	tcase_add_test(t, without_home);
	tcase_add_test(t, without_home_another_inode);
	tcase_add_test(t, malformed);
	tcase_add_test(t, hostile_paths);
	tcase_add_test(t, kept_on_error);
	tcase_add_test(t, impossible_size);
	tcase_add_test(t, every_head_byte);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
