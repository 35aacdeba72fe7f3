/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's ring: what is in force is on disk and whole, room comes back, many threads, a full disk. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "crypto/auto.h"
#include "fs/store/journal.h"
#include "fs/store/store_own.h"
#include "tests/unit/store_rig.h"
#include "tests/unit/vector.h"

#define RING JOURNAL_UNIT
#define THREADS 8
#define ROUNDS 100

static char dir[] = "/tmp/byokfs-journal-XXXXXX";
static int own_fd, file_fd;
static struct store_keys *keys;
static struct journal *j;
static struct journal_owner *owner;

static void begin(uint64_t session)
{
	struct journal_key *key;
	const struct journal_config cfg = {.own_fd = own_fd, .session = session, .ring_len = RING};

	ck_assert_int_eq(journal_key_new(keys, session, &key), 0);
	ck_assert_int_eq(journal_open(&cfg, key, &j), 0);
	ck_assert_int_eq(journal_join(j, file_fd, &owner), 0);
}

static void setup(void)
{
	memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	own_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file_fd = openat(own_fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	keys = test_store(1);
	begin(5);
}

static void end(void)
{
	journal_leave(j, owner);
	journal_close(j);
}

static void teardown(void)
{
	char command[100];

	end();
	store_keys_free(keys);
	close(file_fd);
	close(own_fd);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* LEN bytes of value VALUE, said to have been at OFF. */
static int put(struct journal_owner *o, uint64_t off, size_t len, uint8_t value, uint64_t *seq)
{
	AUTO(auto_free) uint8_t *bytes = malloc(len);
	struct journal_change c = {.owner = o,
				   .entry = {.ino = 3,
					     .cut = JOURNAL_NO_CUT,
					     .n_extents = 1,
					     .extent = {{off, (uint32_t)len, JOURNAL_OLD}},
					     .path_len = 3},
				   .path = "a/b",
				   .bytes = {bytes}};

	memset(bytes, value, len);
	int r = journal_put(j, &c);
	*seq = c.entry.seq;
	return r;
}

struct seen {
	unsigned in_force, ended;
	uint64_t newest, oldest; /* of the newest */
};

/* All that the next mount would find. */
static struct seen look(uint64_t session)
{
	struct seen seen = {0};
	struct journal_key *key;
	struct journal_head h;
	AUTO(auto_free) uint8_t *all = malloc(JOURNAL_HEAD_LEN + RING);
	AUTO(auto_close) int fd = store_open_file(own_fd, STORE_JOURNAL, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pread_full(fd, all, JOURNAL_HEAD_LEN + RING, 0), 0);
	ck_assert_int_eq(journal_key_new(keys, session, &key), 0);
	ck_assert_int_eq(journal_head_parse(key, all, JOURNAL_HEAD_LEN, &h), 0);
	ck_assert_uint_eq(h.ring_len, RING);
	for (uint64_t at = 0; at < RING; at += JOURNAL_ALIGN) {
		struct journal_left left;
		if (journal_entry_parse(key, all + JOURNAL_HEAD_LEN + at, RING - at, at, &left))
			continue;
		for (uint32_t i = 0; i < left.e.extent[0].len; i++)
			ck_assert_uint_eq(left.bytes[i], (uint8_t)left.e.extent[0].off);
		*(left.e.ended ? &seen.ended : &seen.in_force) += 1;
		if (left.e.seq > seen.newest) {
			seen.newest = left.e.seq;
			seen.oldest = left.e.oldest;
		}
	}
	journal_key_free(key);
	return seen;
}

static unsigned syncs; /* of the journal or of a file */

int byokfs_fdatasync(int fd) __asm__("fdatasync");
int byokfs_fdatasync(int fd)
{
	__atomic_add_fetch(&syncs, 1, __ATOMIC_RELAXED);
	return (int)syscall(SYS_fdatasync, fd);
}

/* As the file does: put, then change. */
static void change(struct journal_owner *o, uint64_t off, size_t len, uint64_t *seq)
{
	ck_assert_int_eq(put(o, off, len, (uint8_t)off, seq), 0);
	uint64_t era = journal_era(j, o);
	ck_assert(journal_enter(j, o, era));
	journal_made(j, o, era);
}

START_TEST(in_force)
{
	struct journal_stat s;
	uint64_t seq, last;

	journal_stat(j, &s);
	ck_assert_uint_eq(s.ring_len, 0);
	ck_assert_int_eq(faccessat(own_fd, STORE_JOURNAL, F_OK, 0),
			 -1); /* who writes nothing durable anew pays nothing */
	change(owner, 600, 5000, &seq);
	change(owner, 700, 60, &last);
	ck_assert_uint_eq(last, seq + 1);
	struct seen seen = look(5);
	ck_assert(seen.in_force == 2 && seen.oldest == 1);
	ck_assert_uint_eq(journal_before_sync(j, owner), last);
	ck_assert_int_eq(journal_synced(j, owner, last), 0);
	ck_assert_uint_eq(look(5).ended, 2);
	journal_stat(j, &s);
	ck_assert(s.ring_len == RING && s.used == 0 && s.in_force == 0 && s.put == 2);
	change(owner, 600, 60, &seq);
	ck_assert_uint_eq(look(5).oldest, seq); /* says so even where the marks have not reached the disk */
}
END_TEST

/* A sync under way, and somebody puts the next entry: that names the older ones as in force, so their marks must be durable. */
START_TEST(younger)
{
	uint64_t seq, last, upto;

	change(owner, 600, 60, &seq);
	upto = journal_before_sync(j, owner);
	unsigned before = syncs;
	ck_assert_int_eq(journal_synced(j, owner, upto), 0);
	ck_assert_uint_eq(syncs, before); /* nothing is younger */
	change(owner, 700, 60, &seq);
	upto = journal_before_sync(j, owner);
	ck_assert_uint_eq(upto, seq);
	change(owner, 800, 60, &last);
	before = syncs;
	ck_assert_int_eq(journal_synced(j, owner, upto), 0);
	ck_assert_uint_eq(syncs, before + 1);
	struct seen seen = look(5);
	ck_assert(seen.in_force == 1 && seen.newest == last && seen.oldest == seq);
}
END_TEST

/* Who looked before a sync began, and changes after, would write over what that makes durable. */
START_TEST(eras)
{
	uint64_t seq, era = journal_era(j, owner);

	ck_assert(journal_enter(j, owner, era));
	journal_made(j, owner, era);
	change(owner, 600, 60, &seq);
	ck_assert_uint_eq(journal_before_sync(j, owner), seq);
	ck_assert(!journal_enter(j, owner, era));
	ck_assert(journal_enter(j, owner, era + 1));
	journal_made(j, owner, era + 1);
	era = journal_era(j, owner);
	journal_tick(j, INT64_MAX - JOURNAL_AGE_S);
	ck_assert(!journal_enter(j, owner, era));
	struct seen seen = look(5);
	ck_assert(seen.in_force == 0 && seen.ended == 1);
}
END_TEST

START_TEST(sessions)
{
	uint64_t seq;
	struct journal_key *key;
	struct journal_left left;
	uint8_t buf[512];

	change(owner, 600, 60, &seq);
	end();
	begin(6);
	change(owner, 700, 9000, &seq);
	ck_assert_uint_eq(look(6).in_force, 1);
	ck_assert_int_eq(journal_key_new(keys, 5, &key), 0);
	AUTO(auto_close) int fd = store_open_file(own_fd, STORE_JOURNAL, O_RDONLY);
	ck_assert_int_eq(store_pread_full(fd, buf, sizeof(buf), JOURNAL_HEAD_LEN), 0);
	ck_assert_int_eq(journal_entry_parse(key, buf, sizeof(buf), 0, &left), -EBADMSG);
	journal_key_free(key);
}
END_TEST

/* Files that are closed again, more than there are descriptors: the oldest are synced, and give theirs back. */
START_TEST(descriptors)
{
	struct rlimit old, few;
	struct journal_owner *o;
	struct journal_stat s;
	uint64_t seq;

	change(owner, 600, 60, &seq);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){(rlim_t)dup(file_fd) + 5, old.rlim_max};
	close((int)few.rlim_cur - 5);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (unsigned i = 0; i < 40; i++) {
		ck_assert_int_eq(journal_join(j, file_fd, &o), 0);
		change(o, 700 + i, 60, &seq);
		journal_leave(j, o);
	}
	journal_stat(j, &s);
	ck_assert(s.put == 41 && s.in_force < 8);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

/* Ten times what it holds, of files that nobody syncs; nothing in force is ever written over. */
START_TEST(full)
{
	struct journal_owner *other;
	struct journal_stat s;
	uint64_t seq, held;

	ck_assert_int_eq(journal_join(j, file_fd, &other), 0);
	for (unsigned i = 0; i < 10 * RING / 70000; i++) {
		change(i % 2 ? owner : other, 1000 + i, 70000, &seq);
		if (i % 16 == 0)
			ck_assert_uint_eq(look(5).newest, seq);
		journal_stat(j, &s);
		ck_assert_uint_le(s.used, RING);
		ck_assert_uint_gt(s.in_force, 0);
	}
	journal_leave(j, other); /* its entries stay in force */
	journal_stat(j, &s);
	held = s.in_force;
	ck_assert_int_eq(journal_synced(j, owner, journal_before_sync(j, owner)), 0);
	journal_stat(j, &s);
	ck_assert(s.in_force > 0 && s.in_force < held);
	ck_assert_int_eq(put(owner, 1000, RING, (uint8_t)1000, &seq), -EFBIG);
}
END_TEST

static _Atomic int wrong;

static void *writer(void *arg)
{
	struct journal_owner *mine;
	uint64_t n = (uint64_t)(uintptr_t)arg, seq;

	if (journal_join(j, file_fd, &mine))
		atomic_store(&wrong, 1);
	for (unsigned i = 0; i < ROUNDS && !atomic_load(&wrong); i++) {
		uint64_t off = 512 + n * ROUNDS + i;
		if (put(mine, off, 1 + (i * 977 + n * 131) % 60000, (uint8_t)off, &seq))
			atomic_store(&wrong, 2);
		uint64_t era = journal_era(j, mine);
		if (journal_enter(j, mine, era))
			journal_made(j, mine, era);
		if (i % 7 == n % 7 && journal_synced(j, mine, journal_before_sync(j, mine)))
			atomic_store(&wrong, 3);
	}
	journal_leave(j, mine);
	return NULL;
}

START_TEST(threads)
{
	pthread_t t[THREADS];
	struct journal_stat s;

	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, writer, (void *)i), 0);
	for (unsigned i = 0; i < 20; i++) {
		journal_stat(j, &s);
		ck_assert_uint_le(s.used, RING);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(atomic_load(&wrong), 0);
	struct seen seen = look(5);
	journal_stat(j, &s);
	ck_assert_uint_eq(s.put, THREADS * ROUNDS);
	ck_assert_uint_eq(seen.newest, THREADS * ROUNDS);
	ck_assert_uint_ge(seen.in_force, s.in_force);
}
END_TEST

/* No room for it: the change must not be made, and it is tried again. */
START_TEST(no_room)
{
	struct rlimit old, small = {100000, 0};
	uint64_t seq;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	ck_assert_int_eq(put(owner, 600, 60, (uint8_t)600, &seq), -EFBIG);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
	ck_assert_int_eq(faccessat(own_fd, STORE_JOURNAL, F_OK, 0), -1);
	ck_assert_int_eq(faccessat(own_fd, STORE_TMP_PREFIX "journal", F_OK, 0), -1);
	change(owner, 600, 60, &seq);
	ck_assert_uint_eq(look(5).in_force, 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("journal");
	TCase *t = tcase_create("journal");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, in_force);
	tcase_add_test(t, younger);
	tcase_add_test(t, eras);
	tcase_add_test(t, sessions);
	tcase_add_test(t, descriptors);
	tcase_add_test(t, full);
	tcase_add_test(t, threads);
	tcase_add_test(t, no_room);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
