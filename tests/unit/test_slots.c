/* SPDX-License-Identifier: BSD-2-Clause */
/* The in-flight file while it is used: valid only when whole, made again whatever is done to it, errors told before. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "crypto/auto.h"
#include "fs/store/slots.h"
#include "fs/store/store_own.h"
#include "tests/unit/store_rig.h"

static const struct layout layout = {.header_len = HEADER_LEN_STORE, .block_len = 4096};
static char dir[] = "/tmp/byokfs-slots-XXXXXX", logged[4096];
static int own_fd;
static size_t slot_len;
static uint8_t *slot;
static struct slots *slots;
static struct inflight in;

static void log_line(int priority, const char *text)
{
	(void)priority;
	snprintf(logged, sizeof(logged), "%s", text);
}

static void setup(void)
{
	struct slots_config cfg = {.session = 42, .log = log_line};
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	own_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	slot_len = inflight_slot_len(&layout);
	slot = calloc(1, slot_len);
	cfg.own_fd = own_fd;
	cfg.slot_len = slot_len;
	ck_assert_int_eq(slots_open(&cfg, &slots), 0);
	in = (struct inflight){
		.disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 1, .extent = {{4096, 5000}}, .path_len = 3};
	memset(inflight_data(slot), 0x77, 5000);
	logged[0] = 0;
}

static void teardown(void)
{
	char command[100];
	slots_free(slots);
	free(slot);
	close(own_fd);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* What the next mount would find at place NO: 0, -ENOENT, -EUCLEAN. */
static int found(unsigned no, struct inflight *out, char path[INFLIGHT_PATH_MAX + 1])
{
	const char *p;
	AUTO(auto_free) uint8_t *s = calloc(1, slot_len);
	AUTO(auto_close) int fd = store_open_file(own_fd, STORE_INFLIGHT, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pread_full(fd, s, slot_len, no * slot_len), 0);
	int r = inflight_parse(s, slot_len, &layout, out, &p);
	if (r == 0) {
		ck_assert_mem_eq(inflight_data(s), inflight_data(slot), 5000);
		snprintf(path, INFLIGHT_PATH_MAX + 1, "%.*s", (int)out->path_len, p);
	}
	return r;
}

static void put_and_clear(unsigned no)
{
	struct inflight out;
	struct slot_hold hold = {0, NULL};
	static char path[INFLIGHT_PATH_MAX + 1];
	struct stat st;
	hold.no = no;
	ck_assert_int_eq(slots_put(slots, &hold, slot, &in, "d/f"), 0);
	ck_assert_int_eq(found(no, &out, path), 0);
	ck_assert_str_eq(path, "d/f");
	ck_assert_int_eq(fstatat(own_fd, STORE_INFLIGHT, &st, 0), 0);
	ck_assert_uint_eq(out.home_ino, st.st_ino);
	ck_assert_uint_eq(out.home_fs, in.home_fs);
	ck_assert_uint_eq(out.session, 42);
	slots_clear(slots, &hold);
	ck_assert_int_eq(found(no, &out, path), -ENOENT);
}

START_TEST(put_clear)
{
	for (unsigned no = 0; no < INFLIGHT_SLOTS; no++)
		put_and_clear(no);
}
END_TEST

START_TEST(long_path)
{
	static char path[INFLIGHT_PATH_MAX + 1], back[INFLIGHT_PATH_MAX + 1];
	struct inflight out;
	struct slot_hold hold = {0, NULL};
	for (size_t i = 0; i < INFLIGHT_PATH_MAX; i++)
		path[i] = i % 200 == 199 ? '/' : 'p';
	in.path_len = INFLIGHT_PATH_MAX;
	hold.no = 3;
	ck_assert_int_eq(slots_put(slots, &hold, slot, &in, path), 0);
	ck_assert_int_eq(found(3, &out, back), 0);
	ck_assert_str_eq(back, path);
	slots_clear(slots, &hold);
	ck_assert_int_eq(found(3, &out, back), -ENOENT);
}
END_TEST

enum { REMOVE, CUT, CUT_AND_GROW, REPLACE, LINK, FIFO, FOLDER, PUNCH, LONGER, N_HARM };

static void harm(int kind)
{
	AUTO(auto_close) int fd = store_open_file(own_fd, STORE_INFLIGHT, O_RDWR);
	off_t len = (off_t)(INFLIGHT_SLOTS * slot_len);
	if (kind == CUT || kind == CUT_AND_GROW)
		ck_assert_int_eq(ftruncate(fd, 0), 0);
	if (kind == CUT_AND_GROW)
		ck_assert_int_eq(ftruncate(fd, len), 0);
	if (kind == LONGER)
		ck_assert_int_eq(ftruncate(fd, len + 1), 0);
	if (kind == PUNCH)
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, len);
	if (kind != REMOVE && kind != REPLACE && kind != LINK && kind != FIFO && kind != FOLDER)
		return;
	ck_assert_int_eq(unlinkat(own_fd, STORE_INFLIGHT, 0), 0);
	if (kind == LINK)
		ck_assert_int_eq(symlinkat("/etc/passwd", own_fd, STORE_INFLIGHT), 0);
	if (kind == FIFO)
		ck_assert_int_eq(mkfifoat(own_fd, STORE_INFLIGHT, 0600), 0);
	if (kind == REPLACE)
		ck_assert_int_eq(store_write_file(own_fd, STORE_INFLIGHT, "foreign", 7, 0644), 0);
	if (kind == FOLDER)
		ck_assert_int_eq(mkdirat(own_fd, STORE_INFLIGHT, 0700), 0);
}

/* Whatever is done to the file: a second later it is there again, and no request was in danger of a signal. */
START_TEST(harmed)
{
	static char path[INFLIGHT_PATH_MAX + 1];
	struct inflight out;
	struct slot_hold hold = {0, NULL};
	put_and_clear(0);
	hold.no = 1;
	ck_assert_int_eq(slots_put(slots, &hold, slot, &in, "d/f"), 0);
	harm(_i);
	slots_clear(slots, &hold);
	usleep(1100000);
	put_and_clear(0);
	if (_i == FOLDER) /* not ours to remove */
		ck_assert_int_eq(unlinkat(own_fd, STORE_INFLIGHT ".displaced", AT_REMOVEDIR), 0);
	ck_assert_int_eq(found(1, &out, path), -ENOENT);
	if (_i != CUT_AND_GROW && _i != PUNCH)
		ck_assert_ptr_nonnull(strstr(logged, "made again"));
	struct stat st;
	ck_assert_int_eq(fstatat(own_fd, STORE_INFLIGHT, &st, AT_SYMLINK_NOFOLLOW), 0);
	ck_assert_uint_eq((size_t)st.st_size, INFLIGHT_SLOTS * slot_len);
}
END_TEST

/* A file that cannot take the data: an error, and an empty slot. */
START_TEST(refused)
{
	static char path[INFLIGHT_PATH_MAX + 1];
	struct inflight out;
	struct slot_hold hold = {0, NULL};
	struct rlimit small = {(rlim_t)(slot_len * 2 + 4096), RLIM_INFINITY}, old;
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	hold.no = 2;
	int r = slots_put(slots, &hold, slot, &in, "d/f");
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_int_eq(r, -EFBIG);
	ck_assert_int_eq(found(2, &out, path), -ENOENT);
	put_and_clear(2);
}
END_TEST

/* Killed at any moment: a slot is empty, or valid with all its data (of one request: 'a' or 'b', never both). */
START_TEST(killed)
{
	const size_t n = 1000000;
	in.extent[0].len = (uint32_t)n;
	for (int round = 0; round < 20; round++) {
		pid_t pid = fork();
		if (pid == 0) {
			for (int c = 0;; c ^= 1) {
				struct slot_hold hold = {5, NULL};
				memset(inflight_data(slot), c ? 'a' : 'b', n);
				if (slots_put(slots, &hold, slot, &in, "d/f") < 0)
					_exit(1);
				slots_clear(slots, &hold);
			}
		}
		usleep(3000 + (useconds_t)round * 701);
		kill(pid, SIGKILL);
		int status;
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status));
		struct inflight out;
		const char *p;
		AUTO(auto_free) uint8_t *s = calloc(1, slot_len);
		AUTO(auto_close) int fd = store_open_file(own_fd, STORE_INFLIGHT, O_RDONLY);
		ck_assert_int_eq(store_pread_full(fd, s, slot_len, 5 * slot_len), 0);
		int r = inflight_parse(s, slot_len, &layout, &out, &p);
		ck_assert(r == 0 || r == -ENOENT);
		for (size_t i = 1; r == 0 && i < n; i++)
			ck_assert_int_eq(inflight_data(s)[i], inflight_data(s)[0]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("slots");
	TCase *t = tcase_create("slots");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, put_clear);
	tcase_add_test(t, long_path);
	tcase_add_loop_test(t, harmed, 0, N_HARM);
	tcase_add_test(t, refused);
	tcase_add_test(t, killed);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
