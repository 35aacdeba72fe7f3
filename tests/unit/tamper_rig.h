/* SPDX-License-Identifier: BSD-2-Clause */
/* One structure tampered with in every way: each bit flipped, cut and made longer, grafted onto another of its kind. */
#ifndef TESTS_UNIT_TAMPER_RIG_H
#define TESTS_UNIT_TAMPER_RIG_H

#include <errno.h>

#include "tests/unit/vector.h"

/* An answer of a reader that depends on the byte: -ENOTSUP for a digit above '1', else -EUCLEAN. */
#define TAMPER_VERSION 1

/* What a reader answers when a bit of BITS (0: any) in one of the bytes from FROM to before TO is flipped. */
struct tamper_range {
	size_t from, to;
	int r;
	uint8_t bits;
};

/* The read end of a structure: 0, or the error that the whole of it gives. BYTES has exactly LEN bytes. */
typedef int tamper_read(const uint8_t *bytes, size_t len);

struct tamper {
	const char *name;
	tamper_read *read;
	struct tamper_range range[24]; /* the first that fits counts; they cover all bytes */
	int cut;                       /* of each length below its own */
	int longer;                    /* with a byte behind it */
};

/* A copy of its own, so that a sanitizer sees whoever reads behind its end. */
static inline int tamper_ask(const struct tamper *t, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	int r = t->read(copy, len);
	free(copy);
	return r;
}

static inline int tamper_expected(const struct tamper *t, size_t off, uint8_t bit, uint8_t byte)
{
	for (size_t i = 0; i < ARRAY_LEN(t->range); i++) {
		const struct tamper_range *range = &t->range[i];

		if (off < range->from || off >= range->to || (range->bits && !(range->bits & bit)))
			continue;
		if (range->r == TAMPER_VERSION)
			return byte > '1' && byte <= '9' ? -ENOTSUP : -EUCLEAN;
		return range->r;
	}
	ck_abort_msg("%s: nothing is expected of byte %zu", t->name, off);
	return 0;
}

/* Each bit of each byte, alone. BYTES itself is good, and is so again afterwards. */
static inline void tamper_flip(const struct tamper *t, uint8_t *bytes, size_t len)
{
	ck_assert_msg(tamper_ask(t, bytes, len) == 0, "%s: not good to begin with", t->name);
	for (size_t off = 0; off < len; off++) {
		for (unsigned i = 0; i < 8; i++) {
			uint8_t bit = (uint8_t)(1u << i);

			bytes[off] ^= bit;
			int r = tamper_ask(t, bytes, len), want = tamper_expected(t, off, bit, bytes[off]);
			ck_assert_msg(r == want, "%s: byte %zu bit %u: %d, not %d", t->name, off, i, r, want);
			bytes[off] ^= bit;
		}
	}
}

/* All of that, every shorter length, and one byte more. */
static inline void tamper(const struct tamper *t, uint8_t *bytes, size_t len)
{
	tamper_flip(t, bytes, len);
	for (size_t n = 0; n < len; n++)
		ck_assert_msg(tamper_ask(t, bytes, n) == t->cut, "%s: cut to %zu bytes", t->name, n);
	uint8_t *more = malloc(len + 1);
	memcpy(more, bytes, len);
	more[len] = 0;
	ck_assert_msg(tamper_ask(t, more, len + 1) == t->longer, "%s: one byte more", t->name);
	free(more);
}

/*
 * The first bytes of A and the rest of B, for each place where they can meet: none is taken but A and B themselves, which are both
 * good and of LEN bytes.
 */
static inline void tamper_graft(const struct tamper *t, const uint8_t *a, const uint8_t *b, size_t len)
{
	uint8_t *graft = malloc(len);

	ck_assert_int_eq(tamper_ask(t, a, len), 0);
	ck_assert_int_eq(tamper_ask(t, b, len), 0);
	for (size_t n = 0; n <= len; n++) {
		memcpy(graft, a, n);
		memcpy(graft + n, b + n, len - n);
		bool whole = memcmp(graft, a, len) == 0 || memcmp(graft, b, len) == 0;
		ck_assert_msg((tamper_ask(t, graft, len) == 0) == whole, "%s: grafted at %zu", t->name, n);
	}
	free(graft);
}

#endif
