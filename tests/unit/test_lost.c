/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of what was lost: through crashes and clean ends, found again, full, taken away, altered, foreign, older. */
#include "tests/unit/store_rig.h"

#include "fs/store/lost_own.h"

static struct rig rig;
static uint8_t list[LOST_LEN];

static void begin(void)
{
	char why[STORE_WHY_MAX];

	ck_assert_msg(store_begin(rig.store, rig.gate, NULL, why) == 0, "%s", why);
	ck_assert_ptr_nonnull(rig.store->lost);
}

static void next_mount(void)
{
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	begin();
}

/* The mount ends well, and the next one begins. */
static void remount(void)
{
	ck_assert_int_eq(store_end(rig.store, false), 0);
	next_mount();
}

/* What of the list is on disk now is what a mount that is killed leaves. */
static void load_list(void)
{
	AUTO(auto_close) int fd = openat(rig.store->own_fd, STORE_LOST, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pread_full(fd, list, sizeof(list), 0), 0);
}

static void put_list(void)
{
	AUTO(auto_close) int fd = openat(rig.store->own_fd, STORE_LOST, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pwrite_full(fd, list, sizeof(list), 0), 0);
}

/* How many entries are there. */
static unsigned entries(void)
{
	static const uint8_t empty[LOST_ENTRY_LEN];
	unsigned n = 0;

	load_list();
	for (size_t i = LOST_HEAD_LEN; i < LOST_LEN; i += LOST_ENTRY_LEN)
		n += memcmp(list + i, empty, LOST_ENTRY_LEN) != 0;
	return n;
}

static void setup(void)
{
	rig_begin(&rig);
	rig_start(&rig);
	begin();
}

static void teardown(void)
{
	rig_end(&rig);
}

/* File NO: its id, and its inode number is NO. */
static const uint8_t *id_of(unsigned no)
{
	static uint8_t id[ID_LEN];

	memset(id, 0, sizeof(id));
	be32_put(id, no);
	id[ID_LEN - 1] = 1;
	return id;
}

static void add(unsigned no, uint64_t start, uint64_t end)
{
	ck_assert_int_eq(lost_add(rig.store->lost, &(struct lost_of){id_of(no), no}, start, end), 0);
}

static void cut(unsigned no, uint64_t start, uint64_t end)
{
	lost_cut(rig.store->lost, &(struct lost_of){id_of(no), no}, start, end);
}

static void sync_list(void)
{
	ck_assert_int_eq(lost_sync(rig.store->lost, true), 0);
	ck_assert(!lost_pending(rig.store->lost));
}

static bool hit(unsigned no, uint64_t pos)
{
	return lost_hit(rig.store->lost, id_of(no), pos, pos + 1);
}

static struct lost_counts counts(void)
{
	struct lost_counts n;

	lost_count(rig.store->lost, &n);
	return n;
}

/* Told at the end of the mount, and known to the next one whether it ended well or not; until it is written again. */
START_TEST(stays)
{
	ck_assert(!lost_maybe(rig.store->lost, 1) && !hit(1, 0) && !lost_pending(rig.store->lost));
	add(1, 4096, 8192);
	add(1, 100000, UINT64_MAX);
	add(2, 0, 1);
	ck_assert(lost_pending(rig.store->lost));
	sync_list();
	ck_assert_uint_eq(entries(), 3);
	for (int i = 0; i < 4; i++) {
		if (i % 2)
			remount();
		else
			next_mount(); /* killed */
		ck_assert(!hit(1, 4095) && hit(1, 4096) && hit(1, 8191) && !hit(1, 8192) && hit(1, 1ull << 60));
		ck_assert(hit(2, 0) && !hit(2, 1) && !hit(3, 0));
		ck_assert(lost_maybe(rig.store->lost, 1) && lost_maybe(rig.store->lost, 2));
		ck_assert_uint_eq(lost_end(rig.store->lost, id_of(1)), UINT64_MAX);
		ck_assert_uint_eq(lost_end(rig.store->lost, id_of(2)), 1);
		const struct lost_counts n = counts();
		ck_assert(n.files == 2 && n.ranges == 3 && !n.altered && !n.overflowed);
	}
	cut(1, 5000, 6000);
	cut(2, 0, 100);
	sync_list();
	ck_assert_uint_eq(entries(), 3);
	next_mount();
	ck_assert(hit(1, 4999) && !hit(1, 5000) && !hit(1, 5999) && hit(1, 6000) && !hit(2, 0));
	cut(1, 0, UINT64_MAX);
	sync_list();
	ck_assert_uint_eq(entries(), 0);
	remount();
	ck_assert(counts().files == 0 && !hit(1, 4999));
}
END_TEST

/* What is lost in pieces that touch is one entry; lost again while the old entry waits to go, it stays. */
START_TEST(pieces)
{
	for (uint64_t i = 0; i < 100; i++)
		add(1, i * 4096, (i + 1) * 4096);
	sync_list();
	ck_assert_uint_eq(entries(), 1);
	for (uint64_t i = 0; i < 100; i += 2) {
		cut(1, i * 4096, (i + 1) * 4096);
		if (i % 10 == 0)
			sync_list();
	}
	add(1, 0, 4096);
	sync_list();
	ck_assert_uint_eq(entries(), 50); /* 0 and 1 are one */
	next_mount();
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_int_eq(hit(1, i * 4096), i % 2 || i == 0);
	lost_gone(rig.store->lost, id_of(1));
	ck_assert(hit(1, 4096)); /* who has it open */
	sync_list();
	ck_assert_uint_eq(entries(), 0);
	next_mount();
	ck_assert(!hit(1, 4096));
}
END_TEST

/* The thread: what is lost gets to the disk by itself, and so does what is found again. */
START_TEST(thread)
{
	ck_assert_int_eq(lost_start(rig.store->lost), 0);
	add(1, 1, 2);
	for (int i = 0; i < 500 && entries() != 1; i++)
		usleep(20000);
	ck_assert_uint_eq(entries(), 1);
	cut(1, 1, 2);
	for (int i = 0; i < 500 && entries() != 0; i++)
		usleep(20000);
	ck_assert_uint_eq(entries(), 0);
}
END_TEST

/* More than there is room for: the file with the most gets one entry for all; nothing that was lost reads as if it were not. */
START_TEST(full)
{
	for (uint64_t i = 0; i < LOST_SLOTS - 100; i++)
		add(1, 2 * i, 2 * i + 1);
	sync_list();
	ck_assert_uint_eq(entries(), LOST_SLOTS - 100);
	for (uint64_t i = 0; i < 1000; i++)
		add(2, 2 * i, 2 * i + 1);
	add(3, 5, 6);
	sync_list();
	ck_assert_uint_eq(entries(), 1 + 1000 + 1);
	ck_assert(!hit(1, 1) && hit(1, 2)); /* this mount knows better */
	ck_assert(!counts().overflowed);
	next_mount();
	ck_assert(hit(1, 0) && hit(1, 1) && hit(1, 2 * (LOST_SLOTS - 101)) && !hit(1, 2 * (LOST_SLOTS - 101) + 1));
	ck_assert(hit(2, 0) && !hit(2, 1) && hit(2, 1998) && hit(3, 5));
	/* as many files as there are slots, and one more */
	for (unsigned no = 10; no < LOST_SLOTS + 10; no++)
		add(no, 0, 5);
	sync_list();
	ck_assert(counts().overflowed);
	next_mount();
	ck_assert(counts().overflowed && counts().files >= LOST_SLOTS - LOST_SPARE && !counts().altered);
}
END_TEST

enum harm { GONE, CUT, FLIP_HEAD, FLIP_ENTRY, ZEROS, FOREIGN, A_FOLDER, OLDER, HARMS };

static void harm(enum harm h)
{
	load_list();
	switch (h) {
	case GONE:
	case A_FOLDER:
		ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_LOST, 0), 0);
		if (h == A_FOLDER)
			ck_assert_int_eq(mkdirat(rig.store->own_fd, STORE_LOST, 0700), 0);
		return;
	case CUT: {
		AUTO(auto_close) int fd = openat(rig.store->own_fd, STORE_LOST, O_WRONLY | O_CLOEXEC);
		ck_assert_int_eq(ftruncate(fd, LOST_LEN - 1), 0);
		return;
	}
	case FLIP_HEAD:
		list[20] ^= 1;
		break;
	case FLIP_ENTRY:
		list[LOST_HEAD_LEN + LOST_ENTRY_LEN + 30] ^= 1;
		break;
	case ZEROS:
		memset(list, 0, sizeof(list));
		break;
	default: /* of another store: nothing of it authenticates */
		memset(list + LOST_HEAD_LEN - 32, 7, 32);
		for (size_t i = 0; i < 3; i++)
			memset(list + LOST_HEAD_LEN + (i + 1) * LOST_ENTRY_LEN - 16, 7, 16);
	}
	put_list();
}

/* Told by every mount until a check has; what is authentic of it counts; and none is harmed by what is not. */
START_TEST(taken_away)
{
	const enum harm h = (enum harm)_i;
	const bool head_only = h == FLIP_HEAD, kept = h == FLIP_HEAD || h == FLIP_ENTRY;

	rig.store->keyring->ro_compat = FEATURE_RO_LOST;
	for (unsigned no = 1; no <= 3; no++)
		add(no, 10, 20);
	sync_list();
	if (h == OLDER) { /* the list of before the last session */
		static uint8_t old[LOST_LEN];
		load_list();
		memcpy(old, list, sizeof(old));
		remount();
		add(4, 1, 2);
		remount();
		rig_shut(&rig);
		ck_assert_int_eq(rig_open(&rig), 0);
		memcpy(list, old, sizeof(list));
		put_list();
	} else {
		rig_shut(&rig);
		ck_assert_int_eq(rig_open(&rig), 0);
		harm(h);
	}
	rig.store->keyring->ro_compat = FEATURE_RO_LOST;
	begin();
	for (int i = 0; i < 3; i++) {
		ck_assert_msg(counts().altered, "harm %d, mount %d", (int)h, i);
		ck_assert_uint_eq(counts().files, h == OLDER || head_only ? 3u : kept ? 2u : 0u);
		add(9, 1, 2);
		ck_assert(hit(9, 1));
		sync_list();
		cut(9, 1, 2);
		remount();
	}
	ck_assert(!hit(9, 1) && !hit(4, 1));
	/* a check has looked at all files, and met one of them */
	lost_met(rig.store->lost, &(struct lost_of){id_of(1), 1});
	lost_settle(rig.store->lost, true);
	remount();
	ck_assert(!counts().altered && !counts().overflowed && counts().files <= 1);
	ck_assert_int_eq(hit(1, 10), h == OLDER || kept);
}
END_TEST

/* While it is mounted, and nothing more is lost or found: made again, by the thread or at the end, with all that is on it. */
START_TEST(taken_away_in_peace)
{
	static const enum harm kind[] = {GONE, CUT, A_FOLDER};
	struct stat st = {0};

	if (_i % 2)
		ck_assert_int_eq(lost_start(rig.store->lost), 0);
	rig.store->keyring->ro_compat = FEATURE_RO_LOST;
	for (unsigned no = 1; no <= 3; no++)
		add(no, 10, 20);
	sync_list();
	harm(kind[_i / 2]);
	for (int i = 0; _i % 2 && i < 500 && (st.st_size != LOST_LEN || !S_ISREG(st.st_mode)); i++) {
		usleep(20000);
		(void)fstatat(rig.store->own_fd, STORE_LOST, &st, AT_SYMLINK_NOFOLLOW);
	}
	if (_i % 2)
		ck_assert_uint_eq(entries(), 3);
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	rig.store->keyring->ro_compat = FEATURE_RO_LOST;
	begin();
	ck_assert(!counts().altered && hit(1, 10) && hit(2, 10) && hit(3, 10));
}
END_TEST

/* A store that never had one gets one, without a word; where the disk has no room the mount goes on. */
START_TEST(new_to_it)
{
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_LOST, 0), 0);
	begin();
	ck_assert(!counts().altered);
	ck_assert_uint_eq(entries(), 0);
	/* removed while it is mounted: made again with what is to be in it */
	add(1, 1, 2);
	sync_list();
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_LOST, 0), 0);
	add(2, 1, 2);
	sync_list();
	ck_assert_uint_eq(entries(), 2);
	/* a copy: the same bytes in another file, where inode numbers say nothing */
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	load_list();
	AUTO(auto_close) int hold = openat(rig.store->own_fd, STORE_LOST, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_LOST, 0), 0);
	AUTO(auto_close) int fd = openat(rig.store->own_fd, STORE_LOST, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert(hold >= 0); /* so that it is no inode of before */
	ck_assert_int_eq(store_pwrite_full(fd, list, sizeof(list), 0), 0);
	begin();
	ck_assert(!counts().altered && lost_maybe(rig.store->lost, 12345) && hit(1, 1) && hit(2, 1));
	ck_assert(lost_any(rig.store->lost, &(struct lost_of){id_of(1), 77}));
	sync_list();
	next_mount();
	ck_assert(lost_maybe(rig.store->lost, 12345)); /* 2 was not seen yet */
	lost_met(rig.store->lost, &(struct lost_of){id_of(2), 78});
	sync_list();
	ck_assert_uint_eq(entries(), 2);
	next_mount();
	ck_assert(!lost_maybe(rig.store->lost, 12345) && lost_maybe(rig.store->lost, 77) &&
		  lost_maybe(rig.store->lost, 78));
	ck_assert(hit(1, 1) && hit(2, 1));
}
END_TEST

/* Without a list nothing is lost; one without a file forgets when it ends. */
START_TEST(none)
{
	struct lost_counts n;
	struct lost *l;

	ck_assert(!lost_maybe(NULL, 1) && !lost_any(NULL, &(struct lost_of){id_of(1), 1}) && !lost_pending(NULL));
	ck_assert(lost_end(NULL, id_of(1)) == 0 && lost_sync(NULL, true) == 0);
	lost_cut(NULL, &(struct lost_of){id_of(1), 1}, 0, 1);
	lost_gone(NULL, id_of(1));
	lost_met(NULL, &(struct lost_of){id_of(1), 1});
	lost_settle(NULL, true);
	lost_count(NULL, &n);
	ck_assert_uint_eq(n.files, 0);
	lost_free(NULL);
	ck_assert_int_eq(lost_new(&l), 0);
	ck_assert_int_eq(lost_add(l, &(struct lost_of){id_of(1), 1}, 3, 4), 0);
	ck_assert(lost_hit(l, id_of(1), 3, 4) && !lost_pending(l));
	lost_free(l);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lost");
	TCase *c = tcase_create("lost");
	const TTest *const list_of[] = {stays, pieces, thread, full, new_to_it, none};

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	for (size_t i = 0; i < ARRAY_LEN(list_of); i++)
		tcase_add_test(c, list_of[i]);
	tcase_add_loop_test(c, taken_away, 0, HARMS);
	tcase_add_loop_test(c, taken_away_in_peace, 0, 6);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
