/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes on disk and back, the worked sizes of FORMAT.md, and every size around the edges. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/layout.h"

static const struct layout small = {HEADER_LEN_STORE, 4096, SUITE_1}, large = {HEADER_LEN_FILE, 65536, SUITE_1};

START_TEST(worked_sizes)
{
	const struct {
		uint64_t small_size, small_disk, large_size, large_disk;
	} row[] = {
		{0, 572, 0, 4156},          {1, 573, 1, 4157},          {4095, 4667, 65535, 69691},
		{4096, 4696, 65536, 69720}, {4097, 4697, 65537, 69721}, {40965, 41817, 655365, 659801},
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		ck_assert_uint_eq(layout_disk_size(&small, row[i].small_size), row[i].small_disk);
		ck_assert_uint_eq(layout_disk_size(&large, row[i].large_size), row[i].large_disk);
	}
}
END_TEST

/* FORMAT.md's table is what the code says: each row's numbers stand in it. */
START_TEST(worked_sizes_in_format)
{
	char path[512], line[512], want[64];
	snprintf(path, sizeof(path), "%s/../crypto/FORMAT.md", TEST_DATA);
	FILE *in = fopen(path, "re");
	ck_assert_ptr_nonnull(in);
	int found = 0;
	const uint64_t size[][2] = {{0, 0}, {1, 1}, {4095, 65535}, {4096, 65536}, {4097, 65537}, {40965, 655365}};
	while (fgets(line, sizeof(line), in))
		for (size_t i = 0; i < ARRAY_LEN(size); i++) {
			snprintf(want, sizeof(want), "| %lu | %lu |",
				 (unsigned long)layout_disk_size(&small, size[i][0]),
				 (unsigned long)layout_disk_size(&large, size[i][1]));
			found += strstr(line, want) != NULL;
		}
	fclose(in);
	ck_assert_int_eq(found, (int)ARRAY_LEN(size));
}
END_TEST

START_TEST(round_trip)
{
	const struct layout *all[] = {&small, &large};
	for (size_t a = 0; a < ARRAY_LEN(all); a++) {
		const struct layout *l = all[a];
		for (uint64_t block = 0; block < 5; block++) {
			for (int around = -3; around <= 3; around++) {
				uint64_t size = block * l->block_len + (uint64_t)(int64_t)around, back;
				if ((int64_t)size < 0)
					continue;
				ck_assert_int_eq(layout_classify(l, layout_disk_size(l, size), &back), OBJECT_FILE);
				ck_assert_uint_eq(back, size);
			}
		}
	}
}
END_TEST

/* Every disk size from 0 to beyond two blocks is exactly one thing. */
START_TEST(every_size)
{
	uint64_t files = 0, bad = 0, back;
	const uint64_t f0 = 512 + 60, r = 4124;
	for (uint64_t disk = 0; disk < f0 + 3 * r; disk++) {
		enum object_type type = layout_classify(&small, disk, &back);
		if (disk == 0) {
			ck_assert_int_eq(type, OBJECT_STUMP);
		} else if (disk >= f0 && (disk - f0) % r < 4096) {
			ck_assert_int_eq(type, OBJECT_FILE);
			ck_assert_uint_eq(layout_disk_size(&small, back), disk);
			ck_assert_uint_eq(layout_record_off(&small, back / 4096) + layout_final_len(&small, back),
					  disk);
			ck_assert_uint_lt(layout_final_len(&small, back), layout_final_room(&small));
			files++;
		} else if (disk > f0 + 4096 && disk <= f0 + 4096 + 5) {
			ck_assert_int_eq(type, OBJECT_SYMLINK + (int)(disk - f0 - 4096) - 1);
			ck_assert_uint_eq(layout_special_size(&small, type), disk);
			ck_assert_uint_eq(back, 0);
		} else {
			ck_assert_int_eq(type, OBJECT_BAD);
			ck_assert_uint_eq(back, 0);
			bad++;
		}
	}
	ck_assert_uint_eq(files, 3 * 4096);
	ck_assert_uint_eq(bad, f0 - 1 + 3 * 28 - 5);
}
END_TEST

START_TEST(largest)
{
	const struct layout *all[] = {&small, &large, &(struct layout){HEADER_LEN_STORE, BLOCK_LEN_MAX, SUITE_2}};
	for (size_t a = 0; a < ARRAY_LEN(all); a++) {
		uint64_t most = layout_size_max(all[a]), back;
		ck_assert_uint_le(layout_disk_size(all[a], most), INT64_MAX);
		ck_assert_uint_gt(layout_disk_size(all[a], most + 1), INT64_MAX);
		ck_assert_int_eq(layout_classify(all[a], layout_disk_size(all[a], most), &back), OBJECT_FILE);
		ck_assert_uint_eq(back, most);
	}
	uint64_t back;
	ck_assert_int_eq(layout_classify(&small, (uint64_t)INT64_MAX + 1, &back), OBJECT_BAD);
	ck_assert_int_eq(layout_classify(&small, UINT64_MAX, &back), OBJECT_BAD);
}
END_TEST

START_TEST(which_layouts)
{
	const struct {
		struct layout l;
		int rc;
	} row[] = {
		{{512, 4096, 1}, 0},          {{4096, 1 << 20, 2}, 0},    {{512, 2048, 1}, -EINVAL},
		{{512, 1 << 21, 1}, -EINVAL}, {{512, 4097, 2}, -EINVAL},  {{512, 0, 2}, -EINVAL},
		{{0, 4096, 1}, -EINVAL},      {{1024, 4096, 2}, -EINVAL}, {{4096, 12288, 2}, -EINVAL},
		{{512, 4096, 0}, -EINVAL},    {{512, 4096, 3}, -EINVAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		ck_assert_int_eq(layout_check(&row[i].l), row[i].rc);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"worked sizes", worked_sizes}, {"worked sizes in FORMAT.md", worked_sizes_in_format},
		{"round trip", round_trip},     {"every size", every_size},
		{"largest", largest},           {"which layouts", which_layouts},
	};
	return test_main("layout", list, ARRAY_LEN(list));
}
