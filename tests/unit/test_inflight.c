/* SPDX-License-Identifier: BSD-2-Clause */
/* In-flight slots: vector, round trip, hostile heads, room for the longest request. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/inflight.h"

static const struct layout layout = {HEADER_LEN_STORE, 4096, SUITE_2};
static uint8_t *slot;
static size_t slot_len;

static void slot_make(void)
{
	slot_len = inflight_slot_len(&layout);
	slot = aligned_alloc(4096, slot_len);
	memset(slot, 0, slot_len);
}

static struct inflight sample(void)
{
	struct inflight f = {.dev = 1, .ino = 2, .disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 2, .path_len = 7};
	memset(f.file_id, 5, ID_LEN);
	memset(f.boot_id, 6, ID_LEN);
	f.home_fs = 7, f.home_ino = 8, f.session = 9;
	f.extent[0] = (struct inflight_extent){512, 4124};
	f.extent[1] = (struct inflight_extent){512 + 4124, 60};
	return f;
}

/* As 0.1.0 wrote it, and with its home. */
static void vector_check(const char *name, uint64_t home_fs, uint64_t home_ino, uint64_t session)
{
	AUTO(vector_free) struct vector v;
	struct inflight f;
	const char *path = NULL;
	vector_load(&v, name);
	slot_make();
	memcpy(slot, vector_bytes(&v, "head"), vector_len(&v, "head"));
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &f, &path), 0);
	ck_assert_mem_eq(f.file_id, vector_bytes(&v, "file_id"), ID_LEN);
	ck_assert_mem_eq(f.boot_id, vector_bytes(&v, "boot_id"), ID_LEN);
	ck_assert(f.dev == 66 && f.ino == 77 && f.disk_size == 99999 && f.n_extents == 2);
	ck_assert(f.extent[1].disk_off == 9000 && f.extent[1].len == 60);
	ck_assert(f.home_fs == home_fs && f.home_ino == home_ino && f.session == session);
	ck_assert_uint_eq(f.path_len, vector_len(&v, "path"));
	ck_assert_mem_eq(path, vector_bytes(&v, "path"), f.path_len);
	uint8_t *again = aligned_alloc(4096, slot_len);
	memset(again, 0, slot_len);
	inflight_fill(again, &f, path);
	inflight_mark(again, 1);
	ck_assert_mem_eq(again, slot, INFLIGHT_HEAD_LEN);
	free(again);
	free(slot);
}

START_TEST(inflight_vector)
{
	vector_check("inflight", 0, 0, 0);
	vector_check("inflight-home", 0xfeed, 88, 5);
}
END_TEST

START_TEST(marks)
{
	struct inflight f = sample(), out;
	const char *path;
	slot_make();
	inflight_fill(slot, &f, "a/b/c.d");
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), -ENOENT);
	inflight_mark(slot, 1);
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), 0);
	ck_assert_uint_eq(out.disk_size, INFLIGHT_KEEP_SIZE);
	ck_assert(out.home_fs == 7 && out.home_ino == 8 && out.session == 9);
	ck_assert_int_eq(strncmp(path, "a/b/c.d", 7), 0);
	inflight_mark(slot, 0);
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), -ENOENT);
	f.path_len = 0;
	f.n_extents = 0;
	f.disk_size = layout_disk_size(&layout, 0);
	inflight_fill(slot, &f, NULL);
	inflight_mark(slot, 1);
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), 0);
	for (size_t i = 8; i < 12; i++) {
		slot[i] ^= 1;
		ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), -EUCLEAN);
		slot[i] ^= 1;
	}
	free(slot);
}
END_TEST

START_TEST(paths)
{
	const struct {
		const char *path;
		int rc;
	} row[] = {
		{"a", 0},          {"a/b", 0},         {".a/..b/...", 0}, {"/a", -EUCLEAN},
		{"a/", -EUCLEAN},  {"a//b", -EUCLEAN}, {"..", -EUCLEAN},  {"a/../b", -EUCLEAN},
		{"a/.", -EUCLEAN}, {"./a", -EUCLEAN},  {"/", -EUCLEAN},   {"a/..", -EUCLEAN},
	};
	struct inflight f = sample(), out;
	const char *path;
	slot_make();
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		f.path_len = (uint32_t)strlen(row[i].path);
		inflight_fill(slot, &f, row[i].path);
		inflight_mark(slot, 1);
		ck_assert_msg(inflight_parse(slot, slot_len, &layout, &out, &path) == row[i].rc, "%s", row[i].path);
	}
	f.path_len = 3;
	inflight_fill(slot, &f, "a\0b");
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), -EUCLEAN);
	static char longest[INFLIGHT_PATH_MAX + 1];
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 200 == 199 ? '/' : 'p';
	f.path_len = INFLIGHT_PATH_MAX;
	inflight_fill(slot, &f, longest);
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), 0);
	f.path_len = INFLIGHT_PATH_MAX + 1; /* too long to keep: left out, the inode number will do */
	inflight_fill(slot, &f, longest);
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), 0);
	ck_assert_uint_eq(out.path_len, 0);
	memset(longest, 'p', 256);
	f.path_len = 256;
	inflight_fill(slot, &f, longest);
	ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), -EUCLEAN);
	free(slot);
}
END_TEST

static int parse_with(const struct inflight *f)
{
	struct inflight out;
	const char *path;
	inflight_fill(slot, f, "a/b/c.d");
	inflight_mark(slot, 1);
	return inflight_parse(slot, slot_len, &layout, &out, &path);
}

START_TEST(hostile_numbers)
{
	slot_make();
	uint32_t room = (uint32_t)(slot_len - INFLIGHT_HEAD_LEN);
	struct inflight f = sample();
	ck_assert_int_eq(parse_with(&f), 0);
	f.extent[0].len = 0;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f.extent[0].len = room - 60;
	ck_assert_int_eq(parse_with(&f), 0);
	f.extent[0].len = room - 59;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f.extent[0].len = UINT32_MAX;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f = sample();
	f.extent[1].disk_off = 511; /* below the header's end */
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f.extent[1].disk_off = (uint64_t)INT64_MAX - 60;
	ck_assert_int_eq(parse_with(&f), 0);
	f.extent[1].disk_off++;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f.extent[1].disk_off = UINT64_MAX;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f = sample();
	f.n_extents = INFLIGHT_EXTENTS + 1;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f.n_extents = UINT32_MAX;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f = sample();
	f.disk_size = 571;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f.disk_size = (uint64_t)INT64_MAX + 1;
	ck_assert_int_eq(parse_with(&f), -EUCLEAN);
	f.disk_size = INT64_MAX;
	ck_assert_int_eq(parse_with(&f), 0);
	const size_t reserved[] = {60, 63, 76, 79, 0, 6, 7};
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		f = sample();
		ck_assert_int_eq(parse_with(&f), 0);
		struct inflight out;
		const char *path;
		slot[reserved[i]] ^= 1;
		ck_assert_int_eq(inflight_parse(slot, slot_len, &layout, &out, &path), -EUCLEAN);
		slot[reserved[i]] ^= 1;
	}
	struct inflight out;
	const char *path;
	ck_assert_int_eq(inflight_parse(slot, INFLIGHT_HEAD_LEN - 1, &layout, &out, &path), -EUCLEAN);
	free(slot);
}
END_TEST

/* The longest request, unaligned and beyond an old tail, with every block length. */
START_TEST(room)
{
	for (uint32_t b = BLOCK_LEN_MIN; b <= BLOCK_LEN_MAX; b *= 2) {
		struct layout l = {HEADER_LEN_FILE, b, SUITE_2};
		size_t len = inflight_slot_len(&l);
		uint64_t blocks = (INFLIGHT_REQUEST_MAX + b - 2) / b + 1; /* touched, starting at a block's last byte */
		ck_assert_uint_eq(len % 4096, 0);
		ck_assert_uint_ge(len - INFLIGHT_HEAD_LEN,
				  (blocks + 1) * (b + BLOCK_OVERHEAD) + FINAL_OVERHEAD + b - 1);
	}
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vector", inflight_vector},          {"marks", marks}, {"paths", paths},
		{"hostile numbers", hostile_numbers}, {"room", room},
	};
	return test_main("inflight", list, ARRAY_LEN(list));
}
