/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of locking: who is forgotten when, what is waited for, what the report says; and syncfs of the mount's root. */
#include <stdarg.h>
#include <sys/syscall.h>

#include "tests/unit/lock_rig.h"

/* ---- the system calls of rootsync.c ---- */

static bool root_is_ours;       /* the kernel asks this process for the root when it is opened */
static _Atomic unsigned syncs;  /* rounds so far */
static unsigned writing_rounds; /* so many bring a WRITE */
static _Atomic bool sync_hangs;

int byokfs_open(const char *path, int flags, ...) __asm__("open");
int byokfs_open64(const char *path, int flags, ...) __asm__("open64");
int byokfs_syncfs(int fd) __asm__("syncfs");

static int open_wrapped(const char *path, int flags, mode_t mode)
{
	if (root_is_ours && strcmp(path, rig.path) == 0)
		atomic_store(&lock.root_opened_by, gettid());
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static mode_t mode_of(int flags, va_list args)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int byokfs_open(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_wrapped(path, flags, mode);
}

int byokfs_open64(const char *path, int flags, ...)
{
	va_list args;
	va_start(args, flags);
	mode_t mode = mode_of(flags, args);
	va_end(args);
	return open_wrapped(path, flags, mode);
}

int byokfs_syncfs(int fd)
{
	if (fcntl(fd, F_GETFD) < 0)
		return -1;
	if (atomic_fetch_add(&syncs, 1) < writing_rounds)
		atomic_fetch_add(&lock.writes, 1);
	while (atomic_load(&sync_hangs))
		clock_pause(1);
	return 0;
}

/* The look-up by which the kernel is made to ask: so often its reply is thrown away before that. */
static atomic_uint thrown_away;
static _Atomic bool asks;   /* somebody is at it */
static char asked_name[64]; /* at the last time */
static unsigned asked_mask;
static size_t told_when_asked; /* n_told at the first */

int byokfs_statx(int dir, const char *name, int flags, unsigned mask, struct statx *out) __asm__("statx");
int byokfs_statx(int dir, const char *name, int flags, unsigned mask, struct statx *out)
{
	if (lock_asked_id(name) == 0)
		return (int)syscall(SYS_statx, dir, name, flags, mask, out);
	if (!atomic_exchange(&asks, true)) {
		pthread_mutex_lock(&told_mutex);
		told_when_asked = n_told;
		pthread_mutex_unlock(&told_mutex);
	}
	snprintf(asked_name, sizeof(asked_name), "%s", name);
	asked_mask = flags & AT_STATX_DONT_SYNC ? 0 : mask;
	*out = (struct statx){0};
	if (atomic_load(&thrown_away) > 0) {
		atomic_fetch_sub(&thrown_away, 1);
		return 0; /* of what the kernel has: it did not ask */
	}
	errno = LOCK_ASKED;
	return -1;
}

/* ---- the order ---- */

static struct node *writer, *reader, *folder, *other;

static void table(void)
{
	writer = lock_rig_writer(100);
	reader = lock_rig_node(OBJECT_FILE, OPENED);
	folder = lock_rig_node(OBJECT_DIR, 0);
	other = lock_rig_node(OBJECT_FILE, 0);
}

/* The index of the first entry that was made with WRITE closed. */
static size_t closed_at(void)
{
	for (size_t i = 0; i < n_told; i++)
		if (told[i].sealed)
			return i;
	ck_abort_msg("nothing was forgotten after WRITE was closed");
}

START_TEST(order)
{
	table();
	lock_drain(&lock, 2000);
	size_t last = closed_at();
	/* names, then attributes of what was opened, then contents: those that cannot be dirty first */
	ck_assert_uint_eq(told[0].ino, 0);
	size_t attributes = told_first(writer->id, -1, 0), clean = told_first(reader->id, 0, 0);
	size_t dirty = told_first(writer->id, 0, 0);
	ck_assert_uint_lt(attributes, told_first(reader->id, -1, 0));
	ck_assert_uint_lt(told_first(reader->id, -1, 0), clean);
	ck_assert_uint_lt(clean, dirty);
	ck_assert_uint_lt(dirty, last);
	/* and all of it once more, now that nothing is written any more; the rest only now */
	ck_assert_uint_eq(told[last].ino, 0);
	dirty = told_first(writer->id, 0, last);
	clean = told_first(reader->id, 0, last);
	size_t folders = told_first(folder->id, 0, 0), others = told_first(other->id, 0, 0);
	ck_assert_uint_lt(dirty, clean);
	ck_assert_uint_lt(clean, folders);
	ck_assert_uint_lt(folders, others);
	ck_assert_uint_lt(last, folders);
	ck_assert(lock_sealed(&lock));
	lock_lifted(&lock);
	ck_assert(!lock_sealed(&lock));
}
END_TEST

/* The kernel asks before each read(2) of what is written; a reply that was thrown away is had again. */
START_TEST(asked_until_it_asks)
{
	table();
	root_is_ours = true;
	atomic_store(&thrown_away, 5);
	lock_drain(&lock, 2000);
	ck_assert_uint_eq(atomic_load(&thrown_away), 0);
	ck_assert_uint_eq(lock_asked_id(asked_name), writer->id);
	ck_assert_uint_eq(asked_mask, STATX_SIZE);
	ck_assert(atomic_load(&lock.asked));
	/* replies of before the door was shut count no more by then, and the last pass over contents is still to come */
	size_t closed = closed_at();
	ck_assert_uint_lt(told_first(writer->id, -1, closed), told_when_asked);
	ck_assert_uint_ge(told_first(writer->id, 0, closed), told_when_asked);
}
END_TEST

/* One that the drain did not get to is asked for afterwards, until the kernel does ask. */
START_TEST(asked_afterwards)
{
	table();
	root_is_ours = true;
	atomic_store(&thrown_away, 1u << 30);
	ck_assert_int_eq(gate_lock(rig.gate, "the test"), 0);
	lock_drain(&lock, 2000);
	ck_assert(!atomic_load(&lock.asked));
	atomic_store(&thrown_away, 0);
	for (int ms = 0; ms < 10000 && !atomic_load(&lock.asked); ms++)
		clock_pause(1);
	ck_assert(atomic_load(&lock.asked));
}
END_TEST

static void *forget_thread(void *arg)
{
	(void)lock_forget(&lock, writer->id);
	return arg;
}

/* Invalidations in pieces, each of which throws such a reply away, hold off meanwhile, and not for ever. */
START_TEST(nothing_is_forgotten_meanwhile)
{
	pthread_t thread;
	table();
	root_is_ours = true;
	atomic_store(&thrown_away, 1u << 30);
	struct rootsync *s = rootsync_start(&lock, ROOTSYNC_ASK_FIRST);
	while (!atomic_load(&asks))
		clock_pause(1);
	int64_t start = clock_ms(CLOCK_MONOTONIC);
	ck_assert_int_eq(pthread_create(&thread, NULL, forget_thread, NULL), 0);
	clock_pause(50);
	if (clock_ms(CLOCK_MONOTONIC) - start < 200)
		ck_assert_uint_eq(told_count(writer->id, 0), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_gt(told_count(writer->id, 0), 0);
	atomic_store(&thrown_away, 0);
	ck_assert(rootsync_settle(s, &lock, clock_ms(CLOCK_BOOTTIME) + 10000));
	ck_assert_int_eq(atomic_load(&lock.ask_until), 0);
	rootsync_end(s, &lock);
}
END_TEST

START_TEST(from_the_end_down)
{
	const int64_t piece = 8 << 20;
	struct node *n = lock_rig_writer(2 * (uint64_t)piece + 1);
	ck_assert_int_eq(lock_forget(&lock, n->id), 0);
	/* a write(2) under way may reach 2 GiB beyond our end; the last call says "and all behind" */
	size_t calls = told_count(n->id, 0);
	ck_assert_uint_eq(calls, 1 + 3 + 256);
	ck_assert_int_eq(told[0].off, 259 * piece);
	ck_assert_int_eq(told[0].len, 0);
	for (size_t i = 1; i < calls; i++) {
		ck_assert_int_eq(told[i].off, told[i - 1].off - piece);
		ck_assert_int_eq(told[i].len, piece);
	}
	ck_assert_int_eq(told[calls - 1].off, 0);
	/* each piece is progress */
	ck_assert_uint_eq(atomic_load(&beacon.beat), calls - 1);
}
END_TEST

START_TEST(pieces_grow_with_the_file)
{
	struct node *n = lock_rig_writer(1ull << 40);
	ck_assert_int_eq(lock_forget(&lock, n->id), 0);
	ck_assert_uint_le(told_count(n->id, 0), 1030);
	ck_assert_int_eq(told[n_told - 1].off, 0);
	/* no hole between two pieces */
	for (size_t i = 1; i < n_told; i++)
		ck_assert_int_eq(told[i].off + told[i].len, told[i - 1].off);
}
END_TEST

START_TEST(closed_file_goes_at_once)
{
	struct node *n = lock_rig_writer(1ull << 40);
	lock_rig_close(n);
	ck_assert_int_eq(lock_forget(&lock, n->id), 0);
	ck_assert_uint_eq(n_told, 1);
	ck_assert_int_eq(told[0].off, 0);
	ck_assert_int_eq(told[0].len, 0);
}
END_TEST

/* ---- WRITE while locking ---- */

static void write_comes(const struct told *t)
{
	if (t->ino != writer->id || t->off != 0 || t->sealed)
		return;
	atomic_fetch_add(&lock.writes, 1);
	clock_pause(20);
}

START_TEST(passes_until_no_write_comes)
{
	table();
	on_told = write_comes;
	int64_t start = clock_ms(CLOCK_MONOTONIC);
	lock_drain(&lock, 10000);
	int64_t took = clock_ms(CLOCK_MONOTONIC) - start;
	/* a write(2) that goes on and on is followed for a quarter of a second, not for the drain limit */
	ck_assert_int_ge(took, 250);
	ck_assert_int_lt(took, 8000);
	size_t last = closed_at(), passes = 0;
	for (size_t i = 0; i < last; i++)
		passes += told[i].ino == writer->id && told[i].off == 0;
	ck_assert_uint_gt(passes, 2);
}
END_TEST

static bool limit_seen; /* WRITE was refused although the passes before step 5 went on */

static void slow_kernel(const struct told *t)
{
	if (t->ino == writer->id && t->off == -1)
		clock_pause(260);
	if (t->sealed && !atomic_load(&lock.write_closed))
		limit_seen = true;
}

START_TEST(drain_limit_closes_write)
{
	table();
	ck_assert(!lock_sealed(&lock));
	on_told = slow_kernel;
	lock_drain(&lock, 200);
	/* the limit bounds sealing, not the passes: they are all there */
	ck_assert(!told[0].sealed);
	ck_assert(limit_seen);
	ck_assert_int_eq(atomic_load(&lock.seal_until), 0);
	(void)told_first(folder->id, 0, closed_at());
	(void)told_first(other->id, 0, closed_at());
}
END_TEST

static void writes_are_accounted(const struct told *t)
{
	if (t->ino == writer->id && t->off == -1 && !t->sealed) {
		atomic_fetch_add(&lock.sealed_bytes, 4096);
		atomic_fetch_add(&lock.refused_bytes, 512);
	}
}

START_TEST(report)
{
	struct fs_lock_report r;
	lock_report(&lock, &r);
	ck_assert_int_eq(r.started, 0);
	ck_assert_uint_eq(r.inodes, 0);
	table();
	atomic_store(&lock.sealed_bytes, 1); /* of the lock before */
	on_told = writes_are_accounted;
	int64_t before = time(NULL);
	lock_drain(&lock, 2000);
	lock_report(&lock, &r);
	ck_assert_int_ge(r.started, before);
	ck_assert_uint_eq(r.sealed_bytes, 4096);
	ck_assert_uint_eq(r.refused_bytes, 512);
	ck_assert_uint_eq(r.inodes, 5); /* the root too */
	ck_assert_uint_le(r.contents_ms, r.all_ms);
	ck_assert_ptr_nonnull(strstr(logged, "locking: 5 inodes forgotten by the kernel"));
	/* what is refused later still counts */
	atomic_fetch_add(&lock.refused_bytes, 1);
	lock_report(&lock, &r);
	ck_assert_uint_eq(r.refused_bytes, 513);
}
END_TEST

/* ---- requests that are inside ---- */

static void *drain_thread(void *arg)
{
	lock_drain(&lock, 1);
	return arg;
}

START_TEST(waits_for_who_is_inside)
{
	pthread_t thread;
	table();
	unsigned turn = lock_request_begin(&lock);
	ck_assert_int_eq(pthread_create(&thread, NULL, drain_thread, NULL), 0);
	while (!atomic_load(&lock.write_closed))
		clock_pause(1);
	clock_pause(20);
	/* who comes later is no matter; folders go in the last pass, which has not begun */
	unsigned later = lock_request_begin(&lock);
	ck_assert_uint_ne(turn, later);
	ck_assert_uint_eq(told_count(folder->id, 0), 0);
	uint64_t beat = atomic_load(&beacon.beat);
	lock_request_end(&lock, turn);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_uint_eq(told_count(folder->id, 0), 1);
	ck_assert_uint_gt(atomic_load(&beacon.beat), beat);
	lock_request_end(&lock, later);
}
END_TEST

START_TEST(beat_stops_past_the_limit)
{
	pthread_t thread;
	table();
	unsigned turn = lock_request_begin(&lock);
	ck_assert_int_eq(pthread_create(&thread, NULL, drain_thread, NULL), 0);
	while (!atomic_load(&lock.write_closed))
		clock_pause(1);
	clock_pause(1 + 500 + 120);
	uint64_t beat = atomic_load(&beacon.beat);
	clock_pause(120);
	/* the supervisor is to see that this one does not get on */
	ck_assert_uint_eq(atomic_load(&beacon.beat), beat);
	lock_request_end(&lock, turn);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}
END_TEST

/* ---- ids that the kernel does not know yet ---- */

START_TEST(absent_is_asked_again)
{
	table();
	absent_ino = folder->id;
	absent_for = 1;
	lock_drain(&lock, 2000);
	ck_assert_uint_eq(told_count(folder->id, 0), 2);
	size_t first = told_first(folder->id, 0, 0), again = told_last(folder->id);
	ck_assert_int_ge(told[again].when - told[first].when, 9);
}
END_TEST

static void forgotten_meanwhile(const struct told *t)
{
	if (t->ino == absent_ino)
		node_forget(nodes, folder, 1);
}

START_TEST(absent_and_forgotten_is_not)
{
	table();
	absent_ino = folder->id;
	absent_for = 100;
	on_told = forgotten_meanwhile;
	lock_drain(&lock, 2000);
	ck_assert_uint_eq(told_count(absent_ino, 0), 1);
}
END_TEST

START_TEST(absent_early_is_no_matter)
{
	table();
	absent_ino =
		reader->id; /* once as attributes, once as contents before WRITE is closed: the last pass finds it */
	absent_for = 2;
	lock_drain(&lock, 2000);
	ck_assert_uint_eq(told_count(reader->id, 0), 3);
}
END_TEST

/* ---- syncfs of the root ---- */

static int64_t in_ms(int ms)
{
	return clock_ms(CLOCK_BOOTTIME) + ms;
}

/* A round of its own where the last one has ended before settle() asks. */
static bool rounds_are(unsigned n)
{
	return atomic_load(&syncs) == n || atomic_load(&syncs) == n + 1;
}

START_TEST(rounds_until_no_write)
{
	root_is_ours = true;
	writing_rounds = 2;
	struct rootsync *s = rootsync_start(&lock, ROOTSYNC_WRITE_BACK);
	ck_assert(rootsync_settle(s, &lock, in_ms(10000)));
	ck_assert(rounds_are(3));
	/* settled again: one more round */
	unsigned before = atomic_load(&syncs);
	ck_assert(rootsync_settle(s, &lock, in_ms(10000)));
	ck_assert_uint_eq(atomic_load(&syncs), before + 1);
	rootsync_end(s, &lock);
}
END_TEST

START_TEST(one_round_when_sealed)
{
	root_is_ours = true;
	writing_rounds = 1000;
	atomic_store(&lock.write_closed, true);
	struct rootsync *s = rootsync_start(&lock, ROOTSYNC_WRITE_BACK);
	ck_assert(rootsync_settle(s, &lock, in_ms(10000)));
	ck_assert(rounds_are(1));
	rootsync_end(s, &lock);
}
END_TEST

START_TEST(sync_that_hangs)
{
	root_is_ours = true;
	atomic_store(&sync_hangs, true);
	struct rootsync *s = rootsync_start(&lock, ROOTSYNC_WRITE_BACK);
	int64_t start = clock_ms(CLOCK_MONOTONIC);
	ck_assert(!rootsync_settle(s, &lock, in_ms(50)));
	ck_assert_int_lt(clock_ms(CLOCK_MONOTONIC) - start, 5000);
	/* left to itself, and does not touch the lock any more when it comes back */
	rootsync_end(s, &lock);
	ck_assert_int_lt(clock_ms(CLOCK_MONOTONIC) - start, 5000);
	uint64_t writes = atomic_load(&lock.writes);
	atomic_store(&sync_hangs, false);
	clock_pause(20);
	ck_assert_uint_eq(atomic_load(&lock.writes), writes);
}
END_TEST

START_TEST(something_else_is_mounted_there)
{
	struct rootsync *s = rootsync_start(&lock, ROOTSYNC_WRITE_BACK);
	ck_assert(rootsync_settle(s, &lock, in_ms(5000)));
	ck_assert_uint_eq(atomic_load(&syncs), 0);
	rootsync_end(s, &lock);
}
END_TEST

START_TEST(no_sync_is_legal)
{
	ck_assert(rootsync_settle(NULL, &lock, 0));
	rootsync_end(NULL, &lock);
}
END_TEST

START_TEST(names_that_ask)
{
	ck_assert_uint_eq(lock_asked_id(".byokfs:ask:1"), 1);
	ck_assert_uint_eq(lock_asked_id(".byokfs:ask:18446744073709551615"), UINT64_MAX);
	static const char *const no[] = {
		"",           ".byokfs:ask:",  ".byokfs:ask:0", ".byokfs:ask:01", ".byokfs:ask:-1", ".byokfs:ask:1x",
		".byokfs:as", "x.byokfs:ask:1"};
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		ck_assert_msg(lock_asked_id(no[i]) == 0, "%s", no[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lock");
	TCase *c = tcase_create("order");
	tcase_add_checked_fixture(c, lock_rig_start, lock_rig_end);
	tcase_set_timeout(c, 60);
	tcase_add_test(c, order);
	tcase_add_test(c, asked_until_it_asks);
	tcase_add_test(c, asked_afterwards);
	tcase_add_test(c, nothing_is_forgotten_meanwhile);
	tcase_add_test(c, from_the_end_down);
	tcase_add_test(c, pieces_grow_with_the_file);
	tcase_add_test(c, closed_file_goes_at_once);
	tcase_add_test(c, passes_until_no_write_comes);
	tcase_add_test(c, drain_limit_closes_write);
	tcase_add_test(c, report);
	tcase_add_test(c, waits_for_who_is_inside);
	tcase_add_test(c, beat_stops_past_the_limit);
	tcase_add_test(c, absent_is_asked_again);
	tcase_add_test(c, absent_and_forgotten_is_not);
	tcase_add_test(c, absent_early_is_no_matter);
	tcase_add_test(c, rounds_until_no_write);
	tcase_add_test(c, one_round_when_sealed);
	tcase_add_test(c, sync_that_hangs);
	tcase_add_test(c, something_else_is_mounted_there);
	tcase_add_test(c, no_sync_is_legal);
	tcase_add_test(c, names_that_ask);
	suite_add_tcase(suite, c);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
