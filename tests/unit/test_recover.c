/* SPDX-License-Identifier: BSD-2-Clause */
/* Recovery of unfinished files: every end that a crash may leave, and what must never be touched. */
#include "fs/store/recover.h"

#include "tests/unit/store_rig.h"

static struct rig rig;
static int fd;
static struct gate_key *key;
static int logged;

static void log_line(int priority, const char *text)
{
	(void)priority;
	ck_assert_ptr_nonnull(strstr(text, "/store/data/file"));
	logged++;
}

static void setup(void)
{
	rig_begin(&rig);
	rig_start(&rig);
	fd = -1;
	key = NULL;
	logged = 0;
}

static void teardown(void)
{
	gate_key_close(key);
	if (fd >= 0)
		close(fd);
	rig_end(&rig);
}

static const struct layout *layout(void)
{
	return &rig.store->keyring->layout;
}

static void make(uint64_t size)
{
	gate_key_close(key);
	if (fd >= 0)
		close(fd);
	unlinkat(rig.store->data_fd, "file", 0);
	fd = rig_put_file(&rig, rig.store->data_fd, "file", size, &key);
	logged = 0;
}

/* 0 for a file that was whole, and for one that was mended, which must be told. */
static bool made;

static int recover(void)
{
	unsigned before = (unsigned)logged;
	const struct recover how = {
		.fd = fd, .layout = layout(), .gate = rig.gate, .key = key, .made = made, .log = log_line};
	int r = recover_file(&how);
	ck_assert_int_eq(r == 1, (unsigned)logged != before);
	return r == 1 ? 0 : r;
}

static uint64_t disk_size(void)
{
	struct stat st;
	ck_assert_int_eq(fstat(fd, &st), 0);
	return (uint64_t)st.st_size;
}

/* The file's bytes and times, to see that nothing was written. */
struct shot {
	uint8_t *bytes;
	struct stat st;
};

static struct shot shot_take(void)
{
	struct shot s;
	ck_assert_int_eq(fstat(fd, &s.st), 0);
	s.bytes = malloc((size_t)s.st.st_size + 1);
	ck_assert_int_eq(store_pread_full(fd, s.bytes, (size_t)s.st.st_size, 0), 0);
	return s;
}

static void shot_same(struct shot *s)
{
	struct shot now = shot_take();
	ck_assert_int_eq(now.st.st_size, s->st.st_size);
	ck_assert_int_eq(now.st.st_mtim.tv_nsec, s->st.st_mtim.tv_nsec);
	ck_assert_int_eq(now.st.st_ctim.tv_nsec, s->st.st_ctim.tv_nsec);
	ck_assert_mem_eq(now.bytes, s->bytes, (size_t)now.st.st_size);
	free(now.bytes);
	free(s->bytes);
}

/* The file is sound and has SIZE plain bytes; FLAGS are its final record's. */
static void sound(uint64_t size, uint32_t flags)
{
	struct recover r = {.fd = fd, .layout = layout(), .gate = rig.gate, .key = key};
	struct final_head head;
	uint64_t plain;
	ck_assert_int_eq(layout_classify(layout(), disk_size(), &plain), OBJECT_FILE);
	ck_assert_uint_eq(plain, size);
	ck_assert_int_eq(recover_final_at(&r, size / RIG_BLOCK, &head), 1);
	ck_assert_uint_eq(head.tail_len, size % RIG_BLOCK);
	ck_assert_uint_eq(head.flags, flags);
}

START_TEST(test_fine_is_left_alone)
{
	static const uint64_t size[] = {
		0, 1, RIG_BLOCK - 1, RIG_BLOCK, RIG_BLOCK + 1, 3 * RIG_BLOCK, 300 * RIG_BLOCK + 17};
	for (size_t i = 0; i < ARRAY_LEN(size); i++) {
		make(size[i]);
		struct shot s = shot_take();
		ck_assert_int_eq(recover(), 0);
		shot_same(&s);
		ck_assert_int_eq(logged, 0);
	}
}
END_TEST

/* Cut anywhere: the whole blocks before the cut stay, nothing else; times stay. */
START_TEST(test_cut)
{
	const struct timespec then[2] = {{12345, 678}, {23456, 789}};
	uint64_t whole = layout_disk_size(layout(), 3 * RIG_BLOCK + 100);
	for (uint64_t cut = layout()->header_len; cut < whole; cut += cut % 512 == 0 ? 1 : 131) {
		make(3 * RIG_BLOCK + 100);
		ck_assert_int_eq(ftruncate(fd, (off_t)cut), 0);
		ck_assert_int_eq(futimens(fd, then), 0);
		uint64_t blocks = (cut - layout()->header_len) / layout_record_len(layout());
		int nothing = blocks == 0 && cut >= layout()->header_len + FINAL_OVERHEAD;
		ck_assert_int_eq(recover(), nothing ? -EBADMSG : 0);
		ck_assert_int_eq(logged, !nothing);
		if (nothing)
			continue;
		sound(blocks * RIG_BLOCK, 0);
		struct stat st;
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert_int_eq(st.st_mtim.tv_sec, 23456);
		ck_assert_int_eq(st.st_mtim.tv_nsec, 789);
	}
}
END_TEST

/* At each block edge and one byte to either side. */
START_TEST(test_cut_at_edges)
{
	for (uint64_t no = 0; no <= 3; no++) {
		for (int d = -1; d <= 1; d++) {
			uint64_t cut = layout_record_off(layout(), no) + (uint64_t)(int64_t)d;
			if (cut < layout()->header_len)
				continue;
			make(3 * RIG_BLOCK);
			ck_assert_int_eq(ftruncate(fd, (off_t)cut), 0);
			uint64_t blocks = (cut - layout()->header_len) / layout_record_len(layout());
			int nothing = blocks == 0 && no > 0;
			ck_assert_int_eq(recover(), nothing ? -EBADMSG : 0);
			if (!nothing)
				sound(blocks * RIG_BLOCK, 0);
		}
	}
}
END_TEST

/* A torn last block, and a final record that never came. */
START_TEST(test_torn_block)
{
	uint8_t rubbish[RIG_BLOCK];
	make(5 * RIG_BLOCK);
	memset(rubbish, 0xa5, sizeof(rubbish));
	ck_assert_int_eq(store_pwrite_full(fd, rubbish, 2000, layout_record_off(layout(), 4) + 1000), 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 5)), 0);
	ck_assert_int_eq(recover(), 0);
	sound(4 * RIG_BLOCK, 0);
	ck_assert_int_eq(logged, 1);
}
END_TEST

/* A torn block in the middle does not cost what lies behind it. */
START_TEST(test_torn_in_the_middle)
{
	uint8_t rubbish[100];
	struct recover r = {.layout = layout(), .gate = rig.gate};
	struct recover_end end;
	make(5 * RIG_BLOCK + 5);
	memset(rubbish, 0xa5, sizeof(rubbish));
	ck_assert_int_eq(store_pwrite_full(fd, rubbish, sizeof(rubbish), layout_record_off(layout(), 2)), 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 5) + 30), 0);
	r.fd = fd;
	r.key = key;
	ck_assert_int_eq(recover_find(&r, &end), 0);
	ck_assert_uint_eq(end.blocks, 5);
	ck_assert_uint_eq(end.bad, 1);
	ck_assert_int_eq(end.sealed, 0);
	ck_assert_int_eq(recover(), 0);
	sound(5 * RIG_BLOCK, 0);
}
END_TEST

/* The old final record is still in its place, what was to come is there in part: it is the end. */
START_TEST(test_old_final)
{
	static const uint32_t tail[] = {0, 1, 77, RIG_BLOCK - 1};
	for (size_t i = 0; i < ARRAY_LEN(tail); i++) {
		make(4 * RIG_BLOCK);
		struct final_head head = {.tail_len = tail[i], .generation = 3};
		rig_put_final(&rig, fd, key, 2, &head);
		ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 4) + 10), 0);
		ck_assert_int_eq(recover(), 0);
		sound(2 * RIG_BLOCK + tail[i], 0);
	}
}
END_TEST

/* An unfinished shrink: the new end is sealed, the file not cut yet. Its size says that all is well. */
START_TEST(test_earlier_end)
{
	struct recover r = {.layout = layout(), .gate = rig.gate};
	struct recover_end end;
	struct final_head head = {.tail_len = 9, .generation = 2};
	make(4 * RIG_BLOCK + 1);
	rig_put_final(&rig, fd, key, 1, &head);
	ck_assert_int_eq(recover(), 0);
	sound(4 * RIG_BLOCK + 1, 0); /* the quick look leaves it */
	r.fd = fd;
	r.key = key;
	ck_assert_int_eq(recover_find(&r, &end), 0);
	ck_assert_uint_eq(end.blocks, 1);
	ck_assert_int_eq(end.sealed, 1);
	ck_assert_int_eq(recover_apply(&r, &end), 0);
	sound(RIG_BLOCK + 9, 0);
}
END_TEST

static unsigned told_lost;

static void count_lost(int priority, const char *text)
{
	const char *at = strrchr(text, ';');

	log_line(priority, text);
	told_lost = strstr(text, "before it are lost") ? (unsigned)strtoul(at + 2, NULL, 10) : 0;
}

/* Is block NO what a reader meets an error at, in a file whose final record has no flags? */
static bool unreadable(uint64_t no)
{
	AUTO(auto_free) uint8_t *cipher = malloc(layout_record_len(layout()));
	uint8_t plain[RIG_BLOCK];
	struct block_cipher c;

	ck_assert_int_eq(store_pread_full(fd, cipher, layout_record_len(layout()), layout_record_off(layout(), no)), 0);
	rig_cipher(&rig, key, 0, &c);
	int r = block_open(&c, no, 1, 0, cipher, plain, NULL);
	rig_cipher_end(&rig, &c);
	return r == -EBADMSG;
}

/*
 * Nobody synced it, and of its blocks the later ones reached the disk: what is empty before them are no zeros that somebody wrote. An
 * end that is lost takes with it whether they were holes, so an error is what they are; the blocks behind are there.
 */
START_TEST(test_never_reached)
{
	const uint64_t record = layout_record_len(layout());
	const struct recover how = {.layout = layout(), .gate = rig.gate, .log = count_lost};

	for (uint64_t empty = 0; empty < 4; empty++) {
		make(5 * RIG_BLOCK + 5);
		ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					   (off_t)layout_record_off(layout(), empty), (off_t)record),
				 0);
		ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 5) + 20), 0);
		struct recover r = how;
		r.fd = fd;
		r.key = key;
		ck_assert_int_eq(recover_file(&r), 1);
		ck_assert_uint_eq(told_lost, 1);
		sound(5 * RIG_BLOCK, 0);
		for (uint64_t no = 0; no < 5; no++)
			ck_assert_int_eq(unreadable(no), no == empty);
	}
}
END_TEST

/* Long ones cost nothing; those behind the last block are no content. */
START_TEST(test_empty_for_long)
{
	make(0);
	rig_put_block(&rig, fd, key, 1000);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 0)), 0);
	rig_put_block(&rig, fd, key, 1000);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 2000000)), 0);
	struct recover r = {.fd = fd, .layout = layout(), .gate = rig.gate, .key = key, .log = count_lost};
	struct recover_end end;
	ck_assert_int_eq(recover_find(&r, &end), 0);
	ck_assert_uint_eq(end.blocks, 1001);
	ck_assert_uint_eq(end.empty, 1000);
	ck_assert_int_eq(recover_file(&r), 1);
	ck_assert_uint_eq(told_lost, 1000);
	sound(1001ull * RIG_BLOCK, 0);
}
END_TEST

/* An older end that authenticates says itself whether it allows holes. */
START_TEST(test_sparse_earlier)
{
	struct final_head head = {.tail_len = 3, .flags = FINAL_SPARSE, .generation = 2};

	make(0);
	rig_put_block(&rig, fd, key, 10);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 0)), 0);
	rig_put_block(&rig, fd, key, 10);
	rig_put_final(&rig, fd, key, 11, &head);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 20) + 7), 0);
	struct recover r = {.fd = fd, .layout = layout(), .gate = rig.gate, .key = key, .log = count_lost};
	told_lost = 1;
	ck_assert_int_eq(recover_file(&r), 1);
	ck_assert_uint_eq(told_lost, 0);
	sound(11ull * RIG_BLOCK + 3, FINAL_SPARSE);
}
END_TEST

/* A sparse file whose arithmetic end is well is not even read. */
START_TEST(test_sparse_fine)
{
	struct final_head head = {.tail_len = 3, .flags = FINAL_SPARSE, .generation = 2};
	make(0);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout()->header_len), 0);
	rig_put_final(&rig, fd, key, 5000, &head);
	struct shot s = shot_take();
	ck_assert_int_eq(recover(), 0);
	shot_same(&s);
	sound(5000ull * RIG_BLOCK + 3, FINAL_SPARSE);
}
END_TEST

/* A body of zeros, or one too short for anything, was never written: an empty file. */
START_TEST(test_blank)
{
	static const uint64_t len[] = {0, 1, 59, 60, 61, 4123, 4124, 4125, 20000};
	for (size_t i = 0; i < ARRAY_LEN(len); i++) {
		make(0);
		ck_assert_int_eq(ftruncate(fd, (off_t)layout()->header_len), 0);
		ck_assert_int_eq(ftruncate(fd, (off_t)(layout()->header_len + len[i])), 0);
		ck_assert_int_eq(recover(), 0);
		sound(0, 0);
	}
}
END_TEST

/* Something is there and nothing of it authenticates: not a byte is touched. */
START_TEST(test_rubbish)
{
	static const uint64_t len[] = {60, 61, 500, 4124, 4184, 9000};
	uint8_t rubbish[9000];
	for (size_t i = 0; i < ARRAY_LEN(len); i++) {
		make(0);
		random_bytes(rubbish, sizeof(rubbish));
		ck_assert_int_eq(store_pwrite_full(fd, rubbish, len[i], layout()->header_len), 0);
		struct shot s = shot_take();
		ck_assert_int_eq(recover(), -EBADMSG);
		shot_same(&s);
		ck_assert_int_eq(logged, 0);
		made = true; /* nothing of it need be there */
		ck_assert_int_eq(recover(), 0);
		sound(0, 0);
		made = false;
		logged = 0;
	}
}
END_TEST

/* Every byte of a final record flipped: the end is the last block, or there is none. */
START_TEST(test_flipped_final)
{
	for (uint64_t blocks = 0; blocks < 2; blocks++) {
		for (uint64_t at = 0; at < FINAL_OVERHEAD + 5; at++) {
			uint8_t byte;
			make(blocks * RIG_BLOCK + 5);
			uint64_t off = layout_record_off(layout(), blocks) + at;
			ck_assert_int_eq(store_pread_full(fd, &byte, 1, off), 0);
			byte ^= 0x10;
			ck_assert_int_eq(store_pwrite_full(fd, &byte, 1, off), 0);
			ck_assert_int_eq(recover(), blocks ? 0 : -EBADMSG);
			if (blocks)
				sound(blocks * RIG_BLOCK, 0);
		}
	}
}
END_TEST

/* Another file's blocks, and its own in another place, are not authentic here. */
START_TEST(test_foreign)
{
	struct gate_key *other;
	uint8_t record[RIG_BLOCK + BLOCK_OVERHEAD];
	int from = rig_put_file(&rig, rig.store->data_fd, "other", 4 * RIG_BLOCK, &other);
	make(2 * RIG_BLOCK);
	ck_assert_int_eq(store_pread_full(from, record, sizeof(record), layout_record_off(layout(), 2)), 0);
	ck_assert_int_eq(store_pwrite_full(fd, record, sizeof(record), layout_record_off(layout(), 2)), 0);
	ck_assert_int_eq(store_pread_full(fd, record, sizeof(record), layout_record_off(layout(), 1)), 0);
	ck_assert_int_eq(store_pwrite_full(fd, record, sizeof(record), layout_record_off(layout(), 3)), 0);
	ck_assert_int_eq(recover(), 0);
	sound(2 * RIG_BLOCK, 0);
	close(from);
	gate_key_close(other);
}
END_TEST

START_TEST(test_locked)
{
	make(2 * RIG_BLOCK);
	ck_assert_int_eq(ftruncate(fd, (off_t)layout_record_off(layout(), 2)), 0);
	gate_close(rig.gate);
	rig.gate = NULL;
	gate_key_close(key);
	key = NULL;
	struct kms *kek = rig_kms_new();
	struct gate_config cfg = {.keyring = rig.store->keyring, .kek = &kek};
	uint8_t header[HEADER_LEN_FILE];
	ck_assert_int_eq(gate_new(&cfg, &rig.gate), 0);
	ck_assert_int_eq(store_pread_full(fd, header, layout()->header_len, 0), 0);
	ck_assert_int_eq(gate_key_open(rig.gate, header, &key), -EACCES);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recover");
	TCase *t = tcase_create("recover");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_fine_is_left_alone);
	tcase_add_test(t, test_cut);
	tcase_add_test(t, test_cut_at_edges);
	tcase_add_test(t, test_torn_block);
	tcase_add_test(t, test_torn_in_the_middle);
	tcase_add_test(t, test_old_final);
	tcase_add_test(t, test_earlier_end);
	tcase_add_test(t, test_never_reached);
	tcase_add_test(t, test_empty_for_long);
	tcase_add_test(t, test_sparse_earlier);
	tcase_add_test(t, test_sparse_fine);
	tcase_add_test(t, test_blank);
	tcase_add_test(t, test_rubbish);
	tcase_add_test(t, test_flipped_final);
	tcase_add_test(t, test_foreign);
	tcase_add_test(t, test_locked);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
