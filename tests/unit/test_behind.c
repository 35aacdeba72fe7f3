/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealed changes that are answered before they are on disk: read through, waited for, written in order, refused, failing. */
#include <time.h>

#include "fs/inode/file_own.h"
#include "tests/unit/fault.h"
#include "tests/unit/store_rig.h"

#define B 128u /* no store has it: small, so that a few bytes are many blocks */
#define SPACE (12 * B)
#define DISK_NAME "f"
#define WRITES 24
#define LARGE (1u << 20)

static struct rig rig;
static struct nodes *nodes;
static struct file_env env;
static struct file_work work;
static struct node *node;
static struct file *file;
static pthread_t tester;
static _Atomic bool held; /* the disk stands still for the threads that write behind */
static uint8_t model[SPACE], content[LARGE];
static uint64_t size;
static struct {
	_Atomic unsigned n;
	uint64_t off, len;
	int r;
} failed;

static void on_log(int priority, const char *text)
{
	(void)priority;
	(void)text;
}

static void on_failed(void *arg, struct file *f, uint64_t off, uint64_t len, int r)
{
	ck_assert_ptr_eq(arg, &failed);
	failed.off = off;
	failed.len = len;
	failed.r = r;
	file_lost(f, off, len);
	atomic_fetch_add(&failed.n, 1);
}

static void at_write(enum fault_call call, int fd, const char *name)
{
	(void)fd;
	(void)name;
	if (call != CALL_PWRITE || pthread_equal(pthread_self(), tester))
		return;
	while (atomic_load(&held))
		clock_pause(1);
}

static void fail_next_write(void)
{
	faults[0] = (struct fault){CALL_PWRITE, NULL, EIO, 0, 1};
}

static void make_file(void)
{
	AUTO(blank_end) struct blank blank = {0};
	struct stat st;

	int fd = openat(rig.store->data_fd, DISK_NAME, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(blank_make(&blank, rig.gate, &env.layout), 0);
	ck_assert_int_eq(blank_write(&blank, fd), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	const struct node_key k = {st.st_dev, st.st_ino, OBJECT_FILE};
	ck_assert_int_eq(node_lookup(nodes, &k, nodes->root, DISK_NAME, &node), 0);
	ck_assert_int_eq(file_adopt(&env, node, fd, &blank, &file), 0);
}

static int64_t from_now(int64_t ms)
{
	return clock_ms(CLOCK_BOOTTIME) + ms;
}

static void setup(void)
{
	fault_clear();
	fake_reset();
	rig_begin(&rig);
	rig_start(&rig);
	rig.store->keyring->layout.block_len = B;
	nodes = calloc(1, sizeof(*nodes));
	ck_assert_int_eq(nodes_init(nodes, rig.store->data_fd), 0);
	env = (struct file_env){.gate = rig.gate, .layout = rig.store->keyring->layout, .nodes = nodes, .log = on_log};
	ck_assert_int_eq(lost_new(&env.lost), 0);
	ck_assert_int_eq(file_work_init(&work, &env.layout, calloc(1, inflight_slot_len(&env.layout))), 0);
	for (size_t i = 0; i < LARGE; i++)
		content[i] = (uint8_t)(i % 251 + 1);
	size = 0;
	memset(&failed, 0, sizeof(failed));
	memset(model, 0, sizeof(model));
	tester = pthread_self();
	make_file();
	ck_assert_int_eq(behind_new(&env.behind), 0);
	const struct behind_config cfg = {.env = &env,
					  .slot_no = 12,
					  .slot_len = inflight_slot_len(&env.layout),
					  .failed = on_failed,
					  .arg = &failed};
	ck_assert_int_eq(behind_start(env.behind, &cfg), 0);
	fault_watch = at_write;
}

static void teardown(void)
{
	atomic_store(&held, false);
	file_close(file, true);
	behind_stop(env.behind);
	behind_free(env.behind);
	free(work.slot);
	file_work_free(&work);
	nodes_free(nodes);
	free(nodes);
	lost_free(env.lost);
	rig_end(&rig);
}

static int write_for(uint64_t off, uint64_t len, enum gate_use use)
{
	const struct file_write w = {off, content + (off * 7 + len) % 1000, len, use};
	int r = file_write(file, &work, &w);

	if (r || off + len > SPACE)
		return r;
	memcpy(model + off, w.plain, len);
	size = off + len > size ? off + len : size;
	return 0;
}

static int drained(uint64_t off, uint64_t len)
{
	return write_for(off, len, GATE_USE_DRAIN);
}

static void compare(void)
{
	const uint8_t *plain;
	size_t len;

	ck_assert_uint_eq(file_size(file), size);
	ck_assert_int_eq(file_read(file, &work, 0, SPACE, &plain, &len), 0);
	ck_assert_uint_eq(len, size);
	ck_assert_mem_eq(plain, model, size);
}

static void reopen(void)
{
	file_close(file, true);
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
}

/* Any writes: read through what is behind at each moment, and from the disk when it is there, now and when it is opened anew. */
START_TEST(any_writes)
{
	unsigned rnd = (unsigned)_i + 1;

	for (unsigned turn = 0; turn < 3; turn++) {
		behind_begin(env.behind, from_now(60000));
		atomic_store(&held, turn != 2);
		for (unsigned i = 0; i < WRITES; i++) {
			uint64_t off = (uint64_t)rand_r(&rnd) % (SPACE - 1), len = (uint64_t)rand_r(&rnd) % (3 * B) + 1;
			if (rand_r(&rnd) % 3 == 0)
				off -= off % B;
			ck_assert_int_eq(drained(off, off + len > SPACE ? SPACE - off : len), 0);
			compare();
		}
		ck_assert(!held || !behind_idle(file));
		behind_end(env.behind);
		atomic_store(&held, false);
		if (turn == 1)
			ck_assert_int_eq(write_for(5, 3 * B, GATE_USE_NEW), 0); /* waits for what is behind */
		ck_assert_int_eq(behind_settle(file), 0);
		ck_assert_uint_eq(behind_bytes(env.behind), 0);
		compare();
		reopen();
		compare();
	}
	ck_assert_uint_eq(env.corrupt, 0);
	ck_assert_uint_eq(failed.n, 0);
}
END_TEST

/* What the end takes up, a truncate, a sync, and closing all handles: each after what is behind. */
START_TEST(who_waits)
{
	ck_assert_int_eq(write_for(0, 5 * B + 7, GATE_USE_NEW), 0);
	behind_begin(env.behind, from_now(60000));
	ck_assert_int_eq(drained(2 * B, 6 * B + 9), 0);
	behind_end(env.behind);
	ck_assert_int_eq(file_truncate(file, &work, 3 * B + 1), 0);
	ck_assert(behind_idle(file));
	memset(model + 3 * B + 1, 0, SPACE - 3 * B - 1);
	size = 3 * B + 1;
	compare();
	behind_begin(env.behind, from_now(60000));
	ck_assert_int_eq(drained(B, 6 * B), 0);
	ck_assert_int_eq(file_sync(file, true), 0);
	ck_assert(behind_idle(file));
	ck_assert_int_eq(drained(2 * B, 2 * B), 0);
	file_close(file, true); /* held by what is behind, or not any more */
	behind_end(env.behind);
	ck_assert_int_eq(file_open(&env, node, true, &work, &file), 0);
	compare();
}
END_TEST

/* The time is over: what would wait is refused, and nothing of the file is touched by that. */
START_TEST(too_late)
{
	ck_assert_int_eq(write_for(0, 4 * B, GATE_USE_NEW), 0);
	atomic_store(&held, true);
	behind_begin(env.behind, from_now(30));
	ck_assert_int_eq(drained(B, B), 0);
	ck_assert_int_eq(write_for(2 * B, B, GATE_USE_NEW), -EACCES);
	ck_assert_int_eq(write_for(2 * B + 3, 5 * B, GATE_USE_NEW), -EACCES);
	ck_assert_int_eq(file_truncate(file, &work, B), -EACCES);
	unsigned n = 0;
	while (n < 1000 && drained(16 * LARGE, LARGE) == 0)
		n++;
	ck_assert_uint_ge(n, 40); /* 64 MiB in all */
	ck_assert_uint_lt(n, 80);
	atomic_store(&held, false);
	ck_assert_int_eq(behind_settle(file), 0);
	behind_end(env.behind);
	ck_assert_int_eq(file_truncate(file, &work, size), 0);
	compare();
	reopen();
	compare();
}
END_TEST

/* A write in the middle that fails reads as lost, is told once, and is found when it is written again. */
START_TEST(one_that_fails)
{
	const uint8_t *plain;
	size_t len;

	ck_assert_int_eq(write_for(0, 8 * B, GATE_USE_NEW), 0);
	fail_next_write();
	behind_begin(env.behind, from_now(60000));
	ck_assert_int_eq(drained(3 * B, 2 * B), 0);
	behind_end(env.behind);
	ck_assert_int_eq(behind_settle(file), -EIO);
	ck_assert_int_eq(behind_settle(file), 0);
	ck_assert_uint_eq(failed.n, 1);
	ck_assert_uint_eq(failed.off, 3 * B);
	ck_assert_uint_eq(failed.len, 2 * B);
	ck_assert_int_eq(failed.r, -EIO);
	ck_assert_int_eq(file_read(file, &work, 4 * B, 10, &plain, &len), -EIO);
	ck_assert_int_eq(file_read(file, &work, 0, 3 * B, &plain, &len), 0);
	behind_begin(env.behind, from_now(60000));
	ck_assert_int_eq(drained(3 * B, 2 * B), 0);
	behind_end(env.behind);
	ck_assert_int_eq(behind_settle(file), 0);
	compare();
	ck_assert(!env.half_done);
}
END_TEST

/* One that moves the end: the file is broken until it is opened anew, and what comes behind it is lost, too. */
START_TEST(an_end_that_fails)
{
	const uint8_t *plain;
	size_t len;

	ck_assert_int_eq(write_for(0, 2 * B + 5, GATE_USE_NEW), 0);
	fail_next_write();
	atomic_store(&held, true);
	behind_begin(env.behind, from_now(60000));
	ck_assert_int_eq(drained(2 * B, 3 * B), 0);
	ck_assert_int_eq(drained(5 * B, B), 0);
	behind_end(env.behind);
	atomic_store(&held, false);
	ck_assert_int_eq(behind_settle(file), -EIO);
	ck_assert_uint_eq(failed.n, 2);
	ck_assert_int_eq(file_read(file, &work, 0, 10, &plain, &len), -EIO);
	ck_assert(env.half_done);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("behind");
	TCase *c = tcase_create("behind");

	tcase_set_timeout(c, 60);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, any_writes, 0, 12);
	tcase_add_test(c, who_waits);
	tcase_add_test(c, too_late);
	tcase_add_test(c, one_that_fails);
	tcase_add_test(c, an_end_that_fails);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failures = srunner_ntests_failed(r);
	srunner_free(r);
	return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
