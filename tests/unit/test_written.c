/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of files being written: who stays on it, what the next session makes of it, when it is taken away or altered. */
#include "tests/unit/fault.h"
#include "tests/unit/store_rig.h"

#include "fs/store/written_own.h"
#include "tests/unit/vector.h"

static struct rig rig;
static struct stat young; /* a file that nothing is known of but that it is new */

static void begin(void)
{
	char why[STORE_WHY_MAX];

	ck_assert_msg(store_begin(rig.store, rig.gate, NULL, why) == 0, "%s", why);
	ck_assert_ptr_nonnull(rig.store->written);
}

/* The mount dies, and the next one begins. */
static void crash(void)
{
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	begin();
	ck_assert(rig.store->unclean);
}

static void setup(void)
{
	fault_clear();
	fault_fs_type = EXT4_SUPER_MAGIC;
	rig_begin(&rig);
	rig_start(&rig);
	begin();
	young = (struct stat){.st_ino = 999, .st_size = 1, .st_ctime = time(NULL)};
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

static uint32_t add(unsigned no, uint64_t ino, uint64_t place)
{
	uint32_t slot = 0;
	const struct written_file f = {.file_id = id_of(no), .ino = ino, .place = place};

	ck_assert_int_eq(written_add(rig.store->written, &f, &slot), 0);
	return slot;
}

static uint32_t add_next(unsigned *no)
{
	++*no;
	return add(*no, *no, 0);
}

static bool file_excused(unsigned no)
{
	return leeway_file(&rig.store->leeway, id_of(no), &young);
}

static bool stump_excused(uint64_t ino, uint64_t place)
{
	struct stat st = young;

	st.st_ino = ino;
	st.st_size = 0;
	return leeway_stump(&rig.store->leeway, &st, place);
}

START_TEST(listed)
{
	struct stat old = {.st_ino = 77, .st_size = 1, .st_ctime = 1000};

	add(1, 77, 0);
	uint32_t made = add(2, 0, 4242);
	add(3, 0, 4343);
	written_found(rig.store->written, made, 88);
	written_tick(rig.store->written, 0);
	crash();
	const struct leeway *l = &rig.store->leeway;
	ck_assert(!l->all && !l->lost && !l->moved && l->to == 0);
	ck_assert(file_excused(1) && file_excused(2) && file_excused(3) && !file_excused(4));
	/* 77 was written to, not made: it has been there before */
	ck_assert(!stump_excused(77, 1) && stump_excused(88, 1) && stump_excused(5, 4343) && !stump_excused(5, 5));
	ck_assert(leeway_made(l, &young, id_of(2), 0, 0) && !leeway_made(l, &young, id_of(1), 0, 0));
	/* A look is worth it where the number is listed, and at a young file, since one's number was not known yet. */
	ck_assert(leeway_maybe(l, &old) && leeway_maybe(l, &young));
	old.st_ino = 78;
	ck_assert(!leeway_maybe(l, &old));
	/* The next session that breaks off has not forgotten them. */
	add(4, 99, 44);
	crash();
	ck_assert(file_excused(1) && file_excused(2) && file_excused(3) && file_excused(4) && !file_excused(5));
	ck_assert(stump_excused(88, 1) && stump_excused(99, 1));
	/* Written in each session, it takes no more room for that. */
	size_t n = rig.store->leeway.n;
	for (int i = 0; i < 3; i++) {
		add(4, 99, 44);
		add(2, 0, 7);
		crash();
		ck_assert_uint_eq(rig.store->leeway.n, n);
		ck_assert(file_excused(2) && file_excused(4) && stump_excused(88, 1) && stump_excused(99, 1));
	}
	/* Durable, or changed in a session that did not know it as made: its header must be there. */
	uint32_t slot = add(2, 0, 7);
	written_durable(rig.store->written, slot, id_of(1)); /* the slot is another's */
	crash();
	ck_assert(stump_excused(88, 1));
	slot = add(2, 0, 7);
	written_durable(rig.store->written, slot, id_of(2));
	written_tick(rig.store->written, 0);
	add(4, 99, 0);
	crash();
	ck_assert(!stump_excused(88, 1) && !stump_excused(99, 1) && file_excused(2) && file_excused(4));
	/* a new file with a number that another one had */
	add(6, 88, 66);
	crash();
	ck_assert(stump_excused(88, 1) && leeway_made(&rig.store->leeway, &(struct stat){.st_ino = 88}, NULL, 0, 0));
	ck_assert(!leeway_made(&rig.store->leeway, &young, id_of(2), 0, 0));
	/* Known whole: nothing is tolerated any more. */
	ck_assert_int_eq(store_end(rig.store, true), 0);
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	begin();
	ck_assert(!rig.store->unclean && !file_excused(1) && !stump_excused(77, 1));
	crash();
	ck_assert(!file_excused(1) && !stump_excused(77, 1));
}
END_TEST

/* Open: never goes. Closed: goes when it is durable, after a while. Open again meanwhile: stays. */
START_TEST(lingers)
{
	struct written *w = rig.store->written;
	int64_t now = 1000 + (1ll << 40);
	uint32_t open = add(1, 1, 0), closed = add(2, 2, 0), again = add(3, 3, 0), broken = add(4, 4, 0);
	uint32_t same = again;
	const struct written_file f = {.file_id = id_of(3), .ino = 3};

	ck_assert_uint_eq(w->used, 4);
	written_closed(w, closed, false);
	written_closed(w, again, false);
	written_closed(w, broken, true);
	ck_assert_int_eq(written_add(w, &f, &same), 0);
	ck_assert_uint_eq(same, again);
	written_tick(w, w->slot[closed].closed + WRITTEN_LINGER_S - 1);
	ck_assert_uint_eq(w->used, 4);
	written_tick(w, now);
	ck_assert_uint_eq(w->used, 3);
	ck_assert_int_eq(w->slot[closed].state, SLOT_FREE);
	/* Two who have it open: the first one's close is not the last. */
	ck_assert_int_eq(written_add(w, &f, &same), 0);
	written_closed(w, same, false);
	written_tick(w, now);
	ck_assert_uint_eq(w->used, 3);
	/* A slot that is another file's by now is not taken for this one's. */
	same = open;
	ck_assert_int_eq(written_add(w, &f, &same), 0);
	ck_assert_uint_ne(same, open);
	crash();
	ck_assert(file_excused(1) && !file_excused(2) && file_excused(3) && file_excused(4));
}
END_TEST

/* Where syncfs(2) may reach nothing: not before two systems have written back by themselves, whatever the pressure. */
START_TEST(elsewhere)
{
	struct written *w = rig.store->written;
	unsigned no = 100;

	fault_fs_type = FUSE_SUPER_MAGIC;
	while (w->used < WRITING_SLOTS / 4 * 3)
		written_closed(w, add_next(&no), false);
	int64_t closed = w->slot[w->oldest].closed;
	written_tick(w, closed + 100);
	ck_assert_uint_eq(w->used, WRITING_SLOTS / 4 * 3);
	written_tick(w, closed + 200);
	ck_assert_uint_lt(w->used, WRITING_SLOTS / 4 * 3);
}
END_TEST

/* More files than there is room for: closed ones go early; when all are open, every end is tolerated. */
START_TEST(full)
{
	struct written *w = rig.store->written;
	unsigned no = 0;

	while (w->used < WRITING_SLOTS / 4 * 3)
		written_closed(w, add_next(&no), false);
	for (uint32_t i = 1; i <= WRITING_SLOTS; i++)
		w->slot[i].closed -= 2; /* not in the very second of the sync */
	written_tick(w, w->slot[1].closed + 3);
	ck_assert_uint_eq(w->used, WRITING_SLOTS / 4);
	ck_assert_int_eq(w->slot[1].state, SLOT_FREE);
	while (w->used < WRITING_SLOTS)
		ck_assert_uint_ne(add_next(&no), 0);
	ck_assert(!w->head.all);
	ck_assert_uint_eq(add_next(&no), 0);
	ck_assert(w->head.all);
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	begin();
	ck_assert(rig.store->leeway.all && file_excused(no + 1));
	ck_assert(rig.store->written->head.all && rig.store->written->all_carried);
}
END_TEST

/* There was no room for a while: when there is again, and all is durable, it is as before. */
START_TEST(calmed)
{
	struct written *w = rig.store->written;
	unsigned no = 0;

	while (w->used < WRITING_SLOTS)
		add_next(&no);
	ck_assert_uint_eq(add_next(&no), 0);
	ck_assert(w->head.all);
	/* Nobody has closed anything: so it stays. */
	written_tick(w, 1ll << 40);
	ck_assert(w->head.all && w->in_vain);
	for (uint32_t i = 1; i <= WRITING_SLOTS; i++)
		written_closed(w, i, false);
	w->tried = 0;
	written_tick(w, w->overflowed + 29);
	ck_assert(w->head.all);
	written_tick(w, (1ll << 40) + 5);
	ck_assert(!w->head.all && w->used <= WRITING_SLOTS / 4);
	ck_assert_uint_ne(add_next(&no), 0);
	crash();
	ck_assert(!rig.store->leeway.all && file_excused(no) && !file_excused(1) && !file_excused(no - 1));
}
END_TEST

/* Files that age one after another do not make the store sync each second. */
START_TEST(seldom)
{
	struct written *w = rig.store->written;

	written_closed(w, add(1, 1, 0), false);
	written_closed(w, add(2, 2, 0), false);
	w->slot[2].closed += 10;
	int64_t due = w->slot[1].closed + WRITTEN_LINGER_S;
	written_tick(w, due);
	ck_assert(w->tried == due && w->used == 1);
	written_tick(w, due + 20);
	ck_assert(w->tried == due && w->used == 1);
	written_tick(w, due + 60);
	ck_assert(w->tried == due + 60 && w->used == 0);
}
END_TEST

START_TEST(mended)
{
	struct written_mends mends;

	ck_assert_int_eq(written_mended(rig.store->written, id_of(1), 7, 60), 0);
	ck_assert_int_eq(written_back(rig.store->written, id_of(1), 7), 0);
	ck_assert_int_eq(written_back(rig.store->written, id_of(3), 9), 0);
	ck_assert_int_eq(written_mended(rig.store->written, id_of(2), 8, 0), 0);
	for (int i = 0; i < 2; i++) {
		crash();
		written_mends(rig.store->written, &mends);
		ck_assert(mends.files == 2 && mends.bytes == 60 && mends.back == 2);
		const struct writing_entry *e = leeway_mended(&rig.store->leeway, id_of(1));
		ck_assert(e && e->value == 60 && leeway_mended(&rig.store->leeway, id_of(2)));
		ck_assert(!leeway_mended(&rig.store->leeway, id_of(3)) && file_excused(1));
		ck_assert(leeway_back(&rig.store->leeway, id_of(1)) && leeway_back(&rig.store->leeway, id_of(3)));
		ck_assert(!leeway_back(&rig.store->leeway, id_of(2)) && !file_excused(3)); /* it is whole */
	}
	ck_assert_int_eq(store_end(rig.store, true), 0);
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	begin();
	written_mends(rig.store->written, &mends);
	ck_assert(mends.files == 0 && mends.back == 0);
}
END_TEST

/* ---- tampering ---- */

static uint8_t list[WRITING_LEN];

static void load_list(void)
{
	AUTO(auto_close) int fd = store_open_file(rig.store->own_fd, STORE_WRITING, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pread_full(fd, list, sizeof(list), 0), 0);
}

/* What a list of BYTES would excuse, its session being SESSION; nothing is begun. */
static struct leeway judged(const uint8_t *bytes, uint64_t ino, const struct leeway_how *how)
{
	const struct leeway_file file = {(uint8_t *)(uintptr_t)bytes, ino};
	const struct store_keys *keys;
	struct leeway l;

	ck_assert_int_eq(gate_enter(rig.gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(leeway_judge(keys, &file, how, &l), 0);
	gate_leave(rig.gate);
	return l;
}

static uint64_t list_ino(void)
{
	struct stat st;

	ck_assert_int_eq(fstatat(rig.store->own_fd, STORE_WRITING, &st, 0), 0);
	return st.st_ino;
}

START_TEST(altered)
{
	struct leeway_how how = {.session = rig.store->session.number, .listed = true};

	store_boot_id(how.boot_id);
	add(1, 11, 0);
	add(2, 12, 0);
	load_list();
	for (size_t i = 0; i < WRITING_HEAD_LEN + 2 * WRITING_ENTRY_LEN; i++) {
		list[i] ^= (uint8_t)(1u << (i % 8));
		struct leeway l = judged(list, list_ino(), &how);
		bool one = leeway_file(&l, id_of(1), &young), two = leeway_file(&l, id_of(2), &young);
		if (i < WRITING_HEAD_LEN)
			ck_assert_msg(l.lost && !l.all && !one && !two, "byte %zu", i);
		else
			ck_assert_msg(!l.lost && one == (i >= WRITING_HEAD_LEN + WRITING_ENTRY_LEN) && two != one,
				      "byte %zu", i);
		leeway_free(&l);
		list[i] ^= (uint8_t)(1u << (i % 8));
	}
	/* In another file: ids count, numbers do not. */
	struct leeway l = judged(list, list_ino() + 1, &how);
	young.st_ino = 11;
	ck_assert(l.moved && leeway_file(&l, id_of(1), &young) && !leeway_stump(&l, &young, 0));
	leeway_free(&l);
}
END_TEST

/* What counts: the list of the very session, or the next one's; without it nothing, where this host knows that there was one. */
START_TEST(of_which_session)
{
	crash();
	crash();
	uint64_t number = rig.store->session.number;
	const struct {
		uint64_t session;
		bool accept, known, counts, all, lost;
	} row[] = {
		{number, false, true, true, false, false},      {number - 1, false, true, true, false, false},
		{0, false, true, true, false, false},           {number + 1, false, true, false, false, true},
		{number + 1, false, false, false, true, false}, {number - 2, false, true, false, false, true},
		{number + 1, true, false, false, true, false},  {number, true, false, true, true, false},
	};

	add(1, 11, 0);
	load_list();
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		struct leeway_how how = {.session = row[i].session, .accept = row[i].accept, .listed = row[i].known};
		store_boot_id(how.boot_id);
		struct leeway l = judged(list, list_ino(), &how);
		ck_assert_msg((l.n == 1) == row[i].counts && l.all == row[i].all && l.lost == row[i].lost, "row %zu",
			      i);
		leeway_free(&l);
		l = judged(NULL, 0, &how);
		ck_assert(l.n == 0 && l.all == !row[i].known && l.lost == row[i].known);
		leeway_free(&l);
	}
}
END_TEST

/* After a restart the last entries may be missing: young files are tolerated, those from before and from afterwards are not. */
START_TEST(restarted)
{
	uint64_t now = (uint64_t)time(NULL);
	struct leeway_how how = {.session = rig.store->session.number, .listed = true, .boot_id = "another boot"};
	struct stat st = {.st_ino = 5, .st_size = 0};

	load_list();
	for (int i = 0; i < 2; i++) {
		how.booted = i ? now + 1000 : now - 5000; /* no restart that this clock knows of: no end of the span */
		struct leeway l = judged(list, list_ino(), &how);
		st.st_ctime = (time_t)now - 500;
		ck_assert(!leeway_maybe(&l, &st) && !leeway_file(&l, id_of(1), &st) && !leeway_stump(&l, &st, 0));
		st.st_ctime = (time_t)now + 500;
		ck_assert(leeway_maybe(&l, &st) && leeway_file(&l, id_of(1), &st) && leeway_stump(&l, &st, 0));
		st.st_ctime = (time_t)now + 1500;
		ck_assert(leeway_file(&l, id_of(1), &st) == (i == 0));
		leeway_free(&l);
	}
	/* The same boot: the page cache has kept every entry. */
	store_boot_id(how.boot_id);
	struct leeway l = judged(list, list_ino(), &how);
	ck_assert(!leeway_maybe(&l, &st));
	leeway_free(&l);
}
END_TEST

/* The record gone too, and the list of an earlier session in place: it is the mark's that counts. */
START_TEST(record_gone)
{
	add(1, 11, 0);
	load_list();
	crash();
	crash();
	crash();
	AUTO(auto_close) int fd = store_open_file(rig.store->own_fd, STORE_WRITING, O_WRONLY);
	ck_assert_int_eq(store_pwrite_full(fd, list, sizeof(list), 0), 0);
	ck_assert_int_eq(unlinkat(rig.store->own_fd, STORE_SESSION, 0), 0);
	crash();
	ck_assert(rig.store->leeway.lost && !file_excused(1));
}
END_TEST

/* A copy of a store in use, where nobody has seen its session: as before there were lists. */
START_TEST(copied)
{
	struct leeway_how how = {.session = rig.store->session.number};

	add(1, 11, 0);
	load_list();
	store_boot_id(how.boot_id);
	struct leeway l = judged(list, list_ino() + 1, &how);
	ck_assert(l.moved && l.all && l.n == 1);
	leeway_free(&l);
	l = judged(list, list_ino(), &how);
	ck_assert(!l.moved && !l.all);
	leeway_free(&l);
}
END_TEST

static int other_length(void)
{
	return ftruncate(rig.store->written->fd, 1000);
}

static int removed(void)
{
	return unlinkat(rig.store->own_fd, STORE_WRITING, 0);
}

static int replaced(void)
{
	return removed() || symlinkat("/etc/passwd", rig.store->own_fd, STORE_WRITING);
}

static int hard_link(void)
{
	return linkat(rig.store->own_fd, STORE_WRITING, rig.store->own_fd, "other", 0);
}

static int (*const harm[])(void) = {other_length, removed, replaced};

/* While it is mounted: made again, with all that is on it. Between two mounts: told, and nothing is tolerated. */
START_TEST(taken_away)
{
	add(1, 11, 0);
	ck_assert_int_eq(harm[_i](), 0);
	add(2, 12, 0);
	written_tick(rig.store->written, 0);
	crash();
	ck_assert(file_excused(1) && file_excused(2) && !file_excused(3));
	ck_assert_int_eq(harm[_i](), 0);
	for (int i = 0; i < 2; i++) {
		crash();
		ck_assert(rig.store->leeway.lost && !rig.store->leeway.all && !file_excused(1));
	}
	rig_shut(&rig);
	ck_assert_int_eq(rig_open(&rig), 0);
	rig.store->accept_session = true;
	begin();
	ck_assert(rig.store->leeway.all && !rig.store->leeway.lost);
}
END_TEST

/* So it is when nobody begins or ends a write: those that are open for hours are on it. */
START_TEST(taken_away_in_peace)
{
	add(1, 11, 0);
	written_tick(rig.store->written, 0);
	ck_assert_int_eq(harm[_i](), 0);
	written_tick(rig.store->written, 1);
	crash();
	ck_assert(!rig.store->leeway.lost && file_excused(1) && !file_excused(3));
}
END_TEST

/* A clean store's list is used again as it lies, unless it has another name: that would be another file's bytes. */
START_TEST(other_name)
{
	uint64_t ino = list_ino();

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(store_end(rig.store, false), 0);
		if (i)
			ck_assert_int_eq(hard_link(), 0);
		rig_shut(&rig);
		ck_assert_int_eq(rig_open(&rig), 0);
		begin();
		ck_assert(i ? list_ino() != ino : list_ino() == ino);
	}
}
END_TEST

/* The thread: what is found gets to the disk by itself. */
START_TEST(thread)
{
	struct writing_entry e = {0};

	ck_assert_int_eq(written_start(rig.store->written), 0);
	uint32_t slot = add(1, 0, 9);
	written_found(rig.store->written, slot, 31);
	for (int i = 0; i < 500 && e.ino != 31; i++) {
		usleep(20000);
		load_list();
		ck_assert_int_eq(writing_entry_parse(rig.store->written->key, list + WRITING_HEAD_LEN, &e), 0);
	}
	ck_assert_uint_eq(e.ino, 31);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("written");
	TCase *c = tcase_create("written");
	const TTest *const list_of[] = {listed,  lingers,          elsewhere, full,       calmed, seldom,      mended,
					altered, of_which_session, restarted, other_name, thread, record_gone, copied};

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_set_timeout(c, 120);
	for (size_t i = 0; i < ARRAY_LEN(list_of); i++)
		tcase_add_test(c, list_of[i]);
	tcase_add_loop_test(c, taken_away, 0, (int)ARRAY_LEN(harm));
	tcase_add_loop_test(c, taken_away_in_peace, 0, (int)ARRAY_LEN(harm));
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
