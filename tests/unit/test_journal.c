/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's ring: what is in force is on disk and whole, room comes back, many threads, a full disk. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "crypto/auto.h"
#include "fs/store/journal_own.h"
#include "fs/store/store_own.h"
#include "tests/unit/store_rig.h"
#include "tests/unit/vector.h"

#define RING (2 * JOURNAL_UNIT)
#define RING_MIN JOURNAL_UNIT
#define THREADS 8
#define BIG (RING / 2 + 1000)
#define ROUNDS 100

/* A disk that is full at the offset `room` of any file, and says that so much is free. */
static uint64_t room, disk_free;
static int full_errno = ENOSPC;

ssize_t byokfs_pwrite(int fd, const void *buf, size_t len, off_t off) __asm__("pwrite");
ssize_t byokfs_pwrite64(int fd, const void *buf, size_t len, off_t off) __asm__("pwrite64");
int byokfs_fstatvfs(int fd, struct statvfs *out) __asm__("fstatvfs");
int byokfs_fstatvfs64(int fd, struct statvfs *out) __asm__("fstatvfs64");

ssize_t byokfs_pwrite64(int fd, const void *buf, size_t len, off_t off)
{
	if ((uint64_t)off + len <= room)
		return syscall(SYS_pwrite64, fd, buf, len, off);
	errno = full_errno;
	return -1;
}

ssize_t byokfs_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	return byokfs_pwrite64(fd, buf, len, off);
}

int byokfs_fstatvfs64(int fd, struct statvfs *out)
{
	(void)fd;
	*out = (struct statvfs){.f_blocks = 1u << 30, .f_bavail = disk_free / 4096, .f_bsize = 4096, .f_frsize = 4096};
	return 0;
}

int byokfs_fstatvfs(int fd, struct statvfs *out)
{
	return byokfs_fstatvfs64(fd, out);
}

static char dir[] = "/tmp/byokfs-journal-XXXXXX";
static int own_fd, file_fd;
static struct store_keys *keys;
static struct journal *j;
static struct journal_owner *owner;

static unsigned logged;

static void log_line(int priority, const char *text)
{
	(void)priority;
	ck_assert_ptr_nonnull(strstr(text, STORE_OWN "/" STORE_JOURNAL));
	logged++;
}

static void begin(uint64_t session)
{
	struct journal_key *key;
	const struct journal_config cfg = {
		.own_fd = own_fd, .session = session, .ring_len = RING, .ring_min = RING_MIN, .log = log_line};

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
	room = disk_free = UINT64_MAX;
	logged = 0;
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
	struct stat st;
	AUTO(auto_close) int fd = store_open_file(own_fd, STORE_JOURNAL, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	const uint64_t len = (uint64_t)st.st_size - JOURNAL_HEAD_LEN;
	AUTO(auto_free) uint8_t *all = malloc(JOURNAL_HEAD_LEN + len);
	ck_assert_int_eq(store_pread_full(fd, all, JOURNAL_HEAD_LEN + len, 0), 0);
	ck_assert_int_eq(journal_key_new(keys, session, &key), 0);
	ck_assert_int_eq(journal_head_parse(key, all, JOURNAL_HEAD_LEN, &h), 0);
	ck_assert_uint_eq(h.ring_len, len);
	ck_assert(h.home_ino == st.st_ino && h.home_born == journal_born(fd));
	for (uint64_t at = 0; at < len; at += JOURNAL_ALIGN) {
		struct journal_left left;
		if (journal_entry_parse(key, all + JOURNAL_HEAD_LEN + at, len - at, at, &left))
			continue;
		uint32_t bad = 0;
		for (uint32_t i = 0; i < left.e.extent[0].len; i++)
			bad += left.bytes[i] != (uint8_t)left.e.extent[0].off;
		ck_assert_uint_eq(bad, 0);
		*(left.e.ended ? &seen.ended : &seen.in_force) += 1;
		if (left.e.seq > seen.newest) {
			seen.newest = left.e.seq;
			seen.oldest = left.e.oldest;
		}
	}
	journal_key_free(key);
	return seen;
}

static unsigned syncs, file_syncs; /* of the journal or of a file; of the file */

static int sync_errno;

int byokfs_fdatasync(int fd) __asm__("fdatasync");
int byokfs_fdatasync(int fd)
{
	struct stat a, b;

	__atomic_add_fetch(&syncs, 1, __ATOMIC_RELAXED);
	if (fstat(fd, &a) == 0 && fstat(file_fd, &b) == 0 && a.st_ino == b.st_ino)
		__atomic_add_fetch(&file_syncs, 1, __ATOMIC_RELAXED);
	if (sync_errno) {
		errno = sync_errno;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

#define TRIES_MAX 1000

/* As the file does: put, then change; and anew, when somebody has synced it meanwhile. */
static int try_change(struct journal_owner *o, uint64_t off, size_t len, uint64_t *seq)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		uint64_t era = journal_era(j, o);
		int r = put(o, off, len, (uint8_t)off, seq);

		if (r)
			return r;
		if (!journal_enter(j, o, era))
			continue;
		journal_made(j, o, era);
		return 0;
	}
	return -ELOOP;
}

static void change(struct journal_owner *o, uint64_t off, size_t len, uint64_t *seq)
{
	ck_assert_int_eq(try_change(o, off, len, seq), 0);
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
static bool endless;
static _Atomic bool enough;

static void *writer(void *arg)
{
	struct journal_owner *mine;
	uint64_t n = (uint64_t)(uintptr_t)arg, seq;

	if (journal_join(j, file_fd, &mine))
		atomic_store(&wrong, 1);
	for (unsigned i = 0; (endless ? !atomic_load(&enough) : i < ROUNDS) && !atomic_load(&wrong); i++) {
		if (try_change(mine, 512 + n * ROUNDS + i, 1 + (i * 977 + n * 131) % 60000, &seq))
			atomic_store(&wrong, 2);
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
	ck_assert_uint_ge(s.put, THREADS * ROUNDS); /* who was too late put again */
	ck_assert_uint_eq(seen.newest, s.put);
	ck_assert_uint_ge(seen.in_force, s.in_force);
}
END_TEST

/*
 * Entries of which the ring holds one at a time, of one file and of many that are changed at once: each makes his change in the end,
 * though whoever needs room syncs the file of whoever has just put his.
 */
static void *big_writer(void *arg)
{
	struct journal_owner *mine;
	uint64_t off = 1000 + (uint64_t)(uintptr_t)arg, seq;

	if (journal_join(j, file_fd, &mine))
		atomic_store(&wrong, 1);
	for (unsigned i = 0; i < 20 && !atomic_load(&wrong); i++)
		if (try_change(mine, off, BIG, &seq))
			atomic_store(&wrong, 2);
	journal_leave(j, mine);
	return NULL;
}

START_TEST(one_at_a_time)
{
	pthread_t t[THREADS];
	uint64_t seq;

	for (unsigned i = 0; i < 5; i++)
		change(owner, 2000 + i, BIG, &seq);
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, big_writer, (void *)i), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	ck_assert_int_eq(atomic_load(&wrong), 0);
	ck_assert_uint_eq(look(5).in_force, 1);
}
END_TEST

/* ---- the file: taken away, no room ---- */

static void harm(unsigned kind)
{
	static const char *const command[] = {
		"rm journal",
		"mv journal away",
		"cp journal copy && mv copy journal",
		"truncate -s 0 journal",
		"truncate -s -1M journal",
		"truncate -s 0 journal && truncate -s 2101248 journal",
		"truncate -s +1M journal",
		"rm journal && mkdir journal",
		"rm journal && ln -s file journal",
		"rm journal && ln file journal",
		"rm journal && mkfifo journal",
	};
	char text[300];

	ck_assert_uint_lt(kind, ARRAY_LEN(command));
	_Static_assert(JOURNAL_HEAD_LEN + RING == 2101248, "above");
	snprintf(text, sizeof(text), "cd %s && rm -rf away journal.displaced && %s", dir, command[kind]);
	ck_assert_int_eq(system(text), 0);
}
#define HARMS 11

/* Whatever becomes of the file: what was in it is synced, what comes is in a new one, and nothing of before is there. */
START_TEST(taken_away)
{
	struct journal_stat s;
	struct journal_owner *closed;
	uint64_t seq, last;

	change(owner, 600, 5000, &seq);
	ck_assert_int_eq(journal_join(j, file_fd, &closed), 0);
	change(closed, 700, 60, &seq);
	journal_leave(j, closed);
	uint64_t era = journal_era(j, owner);
	harm((unsigned)_i);
	file_syncs = 0;
	journal_tick(j, 0);
	ck_assert_uint_eq(logged, 1);
	ck_assert_uint_eq(file_syncs, 2); /* both, none twice */
	ck_assert(!journal_enter(j, owner, era));
	journal_stat(j, &s);
	ck_assert(s.in_force == 0 && s.used == 0);
	change(owner, 800, 60, &last);
	ck_assert_uint_eq(last, seq + 1);
	struct seen seen = look(5);
	ck_assert(seen.in_force == 1 && seen.ended == 0 && seen.newest == last && seen.oldest == last);
	journal_tick(j, 0);
	ck_assert_uint_eq(logged, 1);
	ck_assert_uint_eq(look(5).in_force, 1);
	ck_assert_int_eq(journal_synced(j, owner, journal_before_sync(j, owner)), 0);
	ck_assert_uint_eq(look(5).ended, 1);
}
END_TEST

/* Nobody need wait for the thread, and what was moved away is nobody's journal any more, though it came back. */
START_TEST(moved_and_back)
{
	uint8_t head[JOURNAL_HEAD_LEN];
	uint64_t seq;

	change(owner, 600, 5000, &seq);
	harm(1);
	sleep(2);
	change(owner, 800, 60, &seq);
	ck_assert_uint_eq(logged, 1);
	ck_assert_uint_eq(look(5).in_force, 1);
	AUTO(auto_close) int fd = store_open_file(own_fd, "away", O_RDONLY);
	ck_assert_int_eq(store_pread_full(fd, head, sizeof(head), 0), 0);
	ck_assert(block_is_zero(head, sizeof(head)));
	ck_assert_int_eq(renameat(own_fd, "away", own_fd, STORE_JOURNAL), 0);
	journal_tick(j, 0);
	change(owner, 900, 60, &seq);
	ck_assert_uint_eq(look(5).in_force, 1);
	ck_assert_uint_eq(logged, 2);
}
END_TEST

static bool is_there(void)
{
	struct stat st;

	return fstatat(own_fd, STORE_JOURNAL, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_nlink == 1 && st.st_size == JOURNAL_HEAD_LEN + RING;
}

static void *harmer(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 3 * HARMS; i++) {
		harm(i % HARMS);
		journal_tick(j, 0);
		usleep(3000);
		journal_tick(j, 0);
		while (!is_there() && !atomic_load(&wrong))
			usleep(1000); /* for the next put */
	}
	atomic_store(&enough, true);
	return NULL;
}

/* While many put, sync and change. */
START_TEST(taken_away_from_many)
{
	pthread_t t[THREADS], h;

	endless = true;
	for (uintptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, writer, (void *)i), 0);
	while (faccessat(own_fd, STORE_JOURNAL, F_OK, 0))
		usleep(1000);
	ck_assert_int_eq(pthread_create(&h, NULL, harmer, NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	pthread_join(h, NULL);
	ck_assert_int_eq(atomic_load(&wrong), 0);
	struct seen seen = look(5);
	struct journal_stat s;
	journal_stat(j, &s);
	ck_assert_uint_ge(seen.in_force, s.in_force);
	ck_assert_uint_ge(logged, HARMS);
}
END_TEST

/* A sync of a file fails: what was in the old journal stays in force as long as nobody writes over anything. */
START_TEST(taken_away_and_no_sync)
{
	uint64_t seq;
	struct journal_stat s;

	change(owner, 600, 5000, &seq);
	harm(0);
	sync_errno = EIO;
	journal_tick(j, 0);
	journal_stat(j, &s);
	ck_assert_uint_eq(s.in_force, 1);
	ck_assert_int_eq(put(owner, 700, 60, (uint8_t)700, &seq), -EIO);
	sync_errno = 0;
	change(owner, 700, 60, &seq);
	ck_assert_uint_eq(look(5).in_force, 1);
	ck_assert_uint_eq(logged, 1);
}
END_TEST

/* A full disk or a quota: half as much, and half of that, but not less than the largest entry needs. */
START_TEST(little_room)
{
	struct journal_stat s;
	uint64_t seq;

	full_errno = _i % 2 ? EDQUOT : ENOSPC;
	room = JOURNAL_HEAD_LEN + RING_MIN - 1;
	ck_assert_int_eq(put(owner, 600, 60, (uint8_t)600, &seq), -full_errno);
	ck_assert_int_eq(faccessat(own_fd, STORE_JOURNAL, F_OK, 0), -1);
	ck_assert_int_eq(faccessat(own_fd, STORE_TMP_PREFIX "journal", F_OK, 0), -1);
	room++;
	change(owner, 600, RING_MIN - 300, &seq);
	journal_stat(j, &s);
	ck_assert_uint_eq(s.ring_len, RING_MIN);
	ck_assert_uint_eq(logged, 1);
	ck_assert_uint_eq(look(5).in_force, 1);
	end();
	begin(6); /* there is no more; what is there will do */
	change(owner, 600, 60, &seq);
	journal_stat(j, &s);
	ck_assert_uint_eq(s.ring_len, RING_MIN);
	end();
	room = UINT64_MAX;
	begin(7);
	change(owner, 600, 60, &seq);
	journal_stat(j, &s);
	ck_assert_uint_eq(s.ring_len, RING);
	ck_assert_uint_eq(look(7).in_force, 1);
}
END_TEST

/* Others write there, too: a quarter of what is free is enough. Nothing is tried where it is known to fail. */
START_TEST(share)
{
	static const struct {
		uint64_t free, ring_len;
	} row[] = {{4ull * RING, RING},
		   {4ull * RING - 4096, RING_MIN},
		   {RING_MIN + JOURNAL_HEAD_LEN, RING_MIN},
		   {RING_MIN, 0}};
	struct journal_stat s;
	uint64_t seq;

	disk_free = row[_i].free;
	ck_assert_int_eq(put(owner, 600, 60, (uint8_t)600, &seq), row[_i].ring_len ? 0 : -ENOSPC);
	journal_stat(j, &s);
	ck_assert_uint_eq(s.ring_len, row[_i].ring_len);
}
END_TEST

/* Taken away, and the disk is full by now; but what lies there has room, whoever made it. */
START_TEST(taken_away_and_full)
{
	uint64_t seq;
	struct seen seen;

	change(owner, 600, 60, &seq);
	harm(2);
	disk_free = 0;
	journal_tick(j, 0);
	change(owner, 800, 60, &seq);
	seen = look(5);
	ck_assert(seen.in_force == 1 && seen.ended == 0 && seen.newest == seq);
	harm(0);
	journal_tick(j, 0);
	ck_assert_int_eq(put(owner, 900, 60, (uint8_t)900, &seq), -ENOSPC);
	disk_free = UINT64_MAX;
	change(owner, 900, 60, &seq);
	ck_assert_uint_eq(look(5).in_force, 1);
}
END_TEST

/* What the largest entries of a mount need, by hand. */
START_TEST(ring_min)
{
	static const struct {
		uint32_t block;
		uint64_t mib;
	} row[] = {{4096, 2}, {65536, 2}, {262144, 2}, {524288, 4}, {1048576, 7}};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		const struct layout l = {.header_len = HEADER_LEN_STORE, .block_len = row[i].block, .suite = SUITE_2};
		ck_assert_uint_eq(journal_ring_min(&l), row[i].mib << 20);
	}
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
	tcase_add_test(t, one_at_a_time);
	tcase_add_loop_test(t, taken_away, 0, HARMS);
	tcase_add_test(t, moved_and_back);
	tcase_add_test(t, taken_away_from_many);
	tcase_add_test(t, taken_away_and_no_sync);
	tcase_add_test(t, taken_away_and_full);
	tcase_add_loop_test(t, little_room, 0, 2);
	tcase_add_loop_test(t, share, 0, 4);
	tcase_add_test(t, ring_min);
	tcase_add_test(t, no_room);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
