/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of byte ranges: from every small set every step, against a bitmap; the ends of the number line; no memory. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/store/ranges.h"

#define WIDTH 9u /* of the bitmaps: all 512 sets are tried */

void *__real_realloc(void *p, size_t len);
void *__wrap_realloc(void *p, size_t len);

static bool no_memory;
static unsigned n_allocations;

/* In the place of realloc(3) for what is linked. */
void *__wrap_realloc(void *p, size_t len)
{
	n_allocations++;
	return no_memory ? NULL : __real_realloc(p, len);
}

/* The set whose members are the bits of BITS. */
static struct ranges set_of(unsigned bits)
{
	struct ranges s = {0};

	for (unsigned i = 0; i < WIDTH; i++)
		if (bits >> i & 1)
			ck_assert_int_eq(ranges_add(&s, i, i + 1), 0);
	return s;
}

/* The members of S below WIDTH; sorted, apart from one another and none empty, or the test fails. */
static unsigned bits_of(const struct ranges *s)
{
	unsigned bits = 0;
	bool good = s->n <= s->cap;

	for (size_t i = 0; i < s->n; i++) {
		good = good && s->r[i].start < s->r[i].end && (i == 0 || s->r[i].start > s->r[i - 1].end);
		for (uint64_t at = s->r[i].start; at < s->r[i].end && at < WIDTH; at++)
			bits |= 1u << at;
	}
	ck_assert(good);
	return bits;
}

static unsigned mask(unsigned start, unsigned end)
{
	return start < end ? (1u << end) - (1u << start) : 0;
}

/* Every set, every range, the empty and the reversed too. */
START_TEST(every_step)
{
	for (unsigned bits = 0; bits < 1u << WIDTH; bits++)
		for (unsigned start = 0; start <= WIDTH; start++)
			for (unsigned end = 0; end <= WIDTH; end++) {
				struct ranges s = set_of(bits);
				bool hit = (bits & mask(start, end)) != 0;
				if (ranges_hit(&s, start, end) != hit)
					ck_abort_msg("set %x, hit %u to %u", bits, start, end);
				int r = ranges_add(&s, start, end);
				if (r || bits_of(&s) != (bits | mask(start, end)))
					ck_abort_msg("set %x, add %u to %u", bits, start, end);
				ranges_clear(&s);
				s = set_of(bits);
				ranges_cut(&s, start, end);
				if (bits_of(&s) != (bits & ~mask(start, end)))
					ck_abort_msg("set %x, cut %u to %u", bits, start, end);
				ranges_clear(&s);
			}
}
END_TEST

START_TEST(the_ends)
{
	struct ranges s = {0};

	ck_assert(!ranges_hit(&s, 0, UINT64_MAX));
	ranges_cut(&s, 0, UINT64_MAX);
	ck_assert_int_eq(ranges_add(&s, 0, 1), 0);
	ck_assert_int_eq(ranges_add(&s, UINT64_MAX - 1, UINT64_MAX), 0);
	ck_assert_uint_eq(s.n, 2);
	ck_assert(!ranges_hit(&s, 1, UINT64_MAX - 1));
	ck_assert(ranges_hit(&s, 0, UINT64_MAX));
	ranges_cut(&s, UINT64_MAX - 1, UINT64_MAX);
	ck_assert(!ranges_hit(&s, 1, UINT64_MAX));
	ck_assert_int_eq(ranges_add(&s, 1, UINT64_MAX), 0);
	ck_assert_uint_eq(s.n, 1);
	ck_assert_uint_eq(s.r[0].start, 0);
	ck_assert_uint_eq(s.r[0].end, UINT64_MAX);
	ranges_clear(&s);
	ck_assert_uint_eq(s.n + s.cap, 0);
	ck_assert_ptr_null(s.r);
	ranges_clear(&s); /* twice is once */
}
END_TEST

/* N ranges, each one apart from the next. */
static struct ranges apart(size_t n)
{
	struct ranges s = {0};

	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(ranges_add(&s, 100 * i, 100 * i + 50), 0);
	ck_assert_uint_eq(s.n, n);
	return s;
}

/* What cannot be remembered is told; what was there stays. */
START_TEST(no_room_to_add)
{
	struct ranges s = {0};

	no_memory = true;
	ck_assert_int_eq(ranges_add(&s, 5, 6), -ENOMEM);
	ck_assert_uint_eq(s.n, 0);
	ck_assert(!ranges_hit(&s, 0, UINT64_MAX));
	ck_assert_int_eq(ranges_add(&s, 6, 6), 0); /* nothing to remember */
	no_memory = false;
	s = apart(4);
	ck_assert_uint_eq(s.cap, 4);
	no_memory = true;
	ck_assert_int_eq(ranges_add(&s, 1000, 1001), -ENOMEM);
	ck_assert_uint_eq(s.n, 4);
	ck_assert(ranges_hit(&s, 300, 301));
	ck_assert(!ranges_hit(&s, 1000, 1001));
	ranges_clear(&s);
}
END_TEST

/* A hole in the middle of a range needs room for one more: without it the range stays whole, an error too often. */
START_TEST(no_room_to_cut)
{
	struct ranges s = apart(4);

	no_memory = true;
	ranges_cut(&s, 110, 120);
	ck_assert_uint_eq(s.n, 4);
	ck_assert(ranges_hit(&s, 110, 120));
	unsigned before = n_allocations;
	ranges_cut(&s, 100, 120); /* these need none */
	ranges_cut(&s, 140, 250);
	ck_assert_uint_eq(n_allocations, before);
	ck_assert_uint_eq(s.n, 3);
	ck_assert(!ranges_hit(&s, 100, 120));
	ck_assert(ranges_hit(&s, 120, 121));
	ck_assert(!ranges_hit(&s, 140, 300));
	no_memory = false;
	ranges_cut(&s, 125, 130);
	ck_assert_uint_eq(s.n, 4);
	ck_assert(!ranges_hit(&s, 125, 130));
	ck_assert(ranges_hit(&s, 124, 125));
	ck_assert(ranges_hit(&s, 130, 131));
	ranges_clear(&s);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("ranges");
	TCase *c = tcase_create("ranges");

	tcase_add_test(c, every_step);
	tcase_add_test(c, the_ends);
	tcase_add_test(c, no_room_to_add);
	tcase_add_test(c, no_room_to_cut);
	suite_add_tcase(s, c);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
