/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks and final records: vectors, every byte altered, records moved, holes, segments, limits. */
#include "tests/unit/vector.h"

#include <errno.h>

#include "crypto/block.h"

#define B 4096u
#define R (B + BLOCK_OVERHEAD)

static const struct layout layout = {HEADER_LEN_STORE, B, SUITE_2};
static struct store_keys *store;
static struct file_keys *file;

static void keys_make(void)
{
	store = test_store(1);
	file = test_file(store, 2);
}

static void keys_drop(void)
{
	file_keys_free(file);
	store_keys_free(store);
	ck_assert_uint_eq(secret_in_use(), 0);
}

static void begin(struct block_cipher *c, int sealing)
{
	ck_assert_int_eq(block_cipher_begin(c, store, file, &layout, sealing), 0);
}

static void block_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	AUTO(block_cipher_end) struct block_cipher c = {0};
	vector_load(&v, name);
	struct layout l = {HEADER_LEN_STORE, (uint32_t)vector_number(&v, "block_len"), vector_suite(&v)};
	store = vector_store(&v);
	file = vector_file(&v, store);
	uint8_t *plain = malloc(l.block_len);
	ck_assert_int_eq(block_cipher_begin(&c, store, file, &l, 0), 0);
	ck_assert_int_eq(block_open(&c, vector_number(&v, "no"), 1, 0, vector_bytes(&v, "cipher"), plain, NULL), 0);
	ck_assert_mem_eq(plain, vector_bytes(&v, "plain"), l.block_len);
	free(plain);
	file_keys_free(file);
	store_keys_free(store);
}

START_TEST(block_vectors)
{
	block_vector("block-first");
	block_vector("block-last-of-segment");
	block_vector("block-second-segment");
	block_vector("block-16k");
	block_vector("suite2-block-first");
	block_vector("suite2-block-far");
}
END_TEST

static void final_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	AUTO(block_cipher_end) struct block_cipher c = {0};
	struct final_head head;
	uint8_t tail[B];
	vector_load(&v, name);
	struct layout l = {HEADER_LEN_STORE, B, vector_suite(&v)};
	store = vector_store(&v);
	file = vector_file(&v, store);
	ck_assert_int_eq(block_cipher_begin(&c, store, file, &l, 0), 0);
	ck_assert_int_eq(final_open(&c, vector_number(&v, "no"), vector_bytes(&v, "cipher"), vector_len(&v, "cipher"),
				    &head, tail),
			 0);
	ck_assert_uint_eq(head.tail_len, vector_len(&v, "tail"));
	ck_assert_uint_eq(head.flags, vector_number(&v, "flags"));
	ck_assert_uint_eq(head.generation, vector_number(&v, "generation"));
	ck_assert_int_eq(memcmp(tail, vector_bytes(&v, "tail"), head.tail_len), 0);
	file_keys_free(file);
	store_keys_free(store);
}

START_TEST(final_vectors)
{
	final_vector("final-empty");
	final_vector("final-tail");
	final_vector("final-sparse");
	final_vector("suite2-final-empty");
	final_vector("suite2-final-tail");
}
END_TEST

/* N blocks across a segment's edge, opened at once and one by one. */
static void round_trip_in(enum suite suite)
{
	enum { N = 150 };
	const struct layout l = {HEADER_LEN_STORE, B, suite};
	const uint64_t edge = SEGMENT_LEN / B, no = edge - N / 2, r = layout_record_len(&l);
	uint8_t *plain = malloc((size_t)N * B), *cipher = malloc(N * r), *back = malloc((size_t)N * B);
	AUTO(block_cipher_end) struct block_cipher s = {0}, o = {0};
	store = test_store_of(1, suite);
	file = test_file(store, 2);
	random_bytes(plain, (size_t)N * B);
	ck_assert_int_eq(block_cipher_begin(&s, store, file, &l, true), 0);
	ck_assert_int_eq(block_cipher_begin(&o, store, file, &l, false), 0);
	ck_assert_int_eq(block_seal(&s, no, N, plain, cipher), 0);
	ck_assert_int_eq(block_open(&o, no, N, 0, cipher, back, NULL), 0);
	ck_assert_mem_eq(plain, back, (size_t)N * B);
	for (size_t i = N; i-- > 0;) {
		ck_assert_int_eq(block_open(&o, no + i, 1, 0, cipher + i * r, back, NULL), 0);
		ck_assert_mem_eq(plain + i * B, back, B);
	}
	/* No two nonces are the same, whatever the call they were drawn in. */
	for (size_t i = 0; i < N; i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_int_ne(memcmp(cipher + i * r, cipher + j * r, 16), 0);
	keys_drop();
	free(plain);
	free(cipher);
	free(back);
}

START_TEST(round_trip)
{
	round_trip_in(SUITE_1);
	round_trip_in(SUITE_2);
}
END_TEST

/* Suite 2: a cipher's records share a prefix, another cipher's have another, and one that lives long takes a new one. */
START_TEST(prefixes)
{
	enum { MOST = 65536 };
	static uint8_t tail[1], cipher[3][FINAL_OVERHEAD + 1];
	const struct final_head head = {.tail_len = 1};
	struct final_head found;
	AUTO(block_cipher_end) struct block_cipher s = {0}, other = {0}, o = {0};
	keys_make();
	begin(&s, 1);
	begin(&other, 1);
	begin(&o, 0);
	ck_assert_int_eq(final_seal(&s, 0, &head, tail, cipher[0]), 0);
	ck_assert_int_eq(final_seal(&other, 0, &head, tail, cipher[1]), 0);
	ck_assert_mem_ne(cipher[0] + FINAL_HEAD_LEN, cipher[1] + FINAL_HEAD_LEN, RECORD_PREFIX_LEN);
	for (int i = 1; i <= MOST; i++) {
		ck_assert_int_eq(final_seal(&s, 0, &head, tail, cipher[1 + i / MOST]), 0);
		bool same = memcmp(cipher[0] + FINAL_HEAD_LEN, cipher[1 + i / MOST] + FINAL_HEAD_LEN,
				   RECORD_PREFIX_LEN) == 0;
		ck_assert(same == (i < MOST));
	}
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(final_open(&o, 0, cipher[i % 3], sizeof(cipher[0]), &found, tail), 0);
	/* the prefix chooses the key, so an altered one opens nothing; nor does that of another record */
	memcpy(cipher[0] + FINAL_HEAD_LEN, cipher[2] + FINAL_HEAD_LEN, RECORD_PREFIX_LEN);
	ck_assert_int_eq(final_open(&o, 0, cipher[0], sizeof(cipher[0]), &found, tail), -EBADMSG);
	keys_drop();
}
END_TEST

static int all_zero_here(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return 0;
	return 1;
}

START_TEST(every_byte_altered)
{
	static uint8_t plain[3 * B], cipher[3 * R], back[3 * B];
	AUTO(block_cipher_end) struct block_cipher s = {0}, o = {0};
	keys_make();
	memset(plain, 'p', sizeof(plain));
	begin(&s, 1);
	begin(&o, 0);
	ck_assert_int_eq(block_seal(&s, 5, 3, plain, cipher), 0);
	for (size_t i = 0; i < sizeof(cipher); i++) {
		uint64_t bad = 0;
		cipher[i] ^= (uint8_t)(1u << (i % 8));
		memset(back, 'x', sizeof(back));
		ck_assert_int_eq(block_open(&o, 5, 3, FINAL_SPARSE, cipher, back, &bad), -EBADMSG);
		ck_assert_uint_eq(bad, 5 + i / R);
		ck_assert(all_zero_here(back, sizeof(back))); /* nothing of a refused request stays */
		cipher[i] ^= (uint8_t)(1u << (i % 8));
	}
	/* The cipher is whole again after all the refusals. */
	ck_assert_int_eq(block_open(&o, 5, 3, 0, cipher, back, NULL), 0);
	ck_assert_mem_eq(plain, back, sizeof(plain));
	keys_drop();
}
END_TEST

/* Another place, another segment, another file, another store, the other kind of record. */
START_TEST(moved)
{
	static uint8_t plain[B], cipher[R], back[B];
	AUTO(block_cipher_end) struct block_cipher s = {0}, o = {0}, f2 = {0}, s2 = {0};
	struct final_head head;
	keys_make();
	begin(&s, 1);
	begin(&o, 0);
	ck_assert_int_eq(block_seal(&s, 3, 1, plain, cipher), 0);
	ck_assert_int_eq(block_open(&o, 4, 1, 0, cipher, back, NULL), -EBADMSG);
	ck_assert_int_eq(block_open(&o, 3 + SEGMENT_LEN / B, 1, 0, cipher, back, NULL), -EBADMSG);
	ck_assert_int_eq(final_open(&o, 3, cipher, R, &head, back), -EBADMSG);
	struct file_keys *other = test_file(store, 3);
	ck_assert_int_eq(block_cipher_begin(&f2, store, other, &layout, 0), 0);
	ck_assert_int_eq(block_open(&f2, 3, 1, 0, cipher, back, NULL), -EBADMSG);
	/* The same DEK and file id in another store: another salt. */
	struct store_keys *stranger = test_store(9);
	struct file_keys *same = test_file(stranger, 2);
	ck_assert_int_eq(block_cipher_begin(&s2, stranger, same, &layout, 0), 0);
	ck_assert_int_eq(block_open(&s2, 3, 1, 0, cipher, back, NULL), -EBADMSG);
	ck_assert_int_eq(block_open(&o, 3, 1, 0, cipher, back, NULL), 0);
	file_keys_free(other);
	file_keys_free(same);
	store_keys_free(stranger);
	keys_drop();
}
END_TEST

START_TEST(holes)
{
	static uint8_t plain[3 * B], cipher[3 * R], back[3 * B];
	AUTO(block_cipher_end) struct block_cipher s = {0}, o = {0};
	uint64_t bad = 99;
	keys_make();
	memset(plain, 'q', sizeof(plain));
	begin(&s, 1);
	begin(&o, 0);
	ck_assert_int_eq(block_seal(&s, 0, 3, plain, cipher), 0);
	memset(cipher + R, 0, R);
	ck_assert_int_eq(block_open(&o, 0, 3, 0, cipher, back, &bad), -EBADMSG);
	ck_assert_uint_eq(bad, 1);
	ck_assert_int_eq(block_open(&o, 0, 3, FINAL_SPARSE, cipher, back, NULL), 0);
	ck_assert_mem_eq(back, plain, B);
	ck_assert(all_zero_here(back + B, B));
	ck_assert_mem_eq(back + 2 * B, plain, B);
	/* Zero but for one byte is no hole. */
	cipher[2 * R - 1] = 1;
	ck_assert_int_eq(block_open(&o, 0, 3, FINAL_SPARSE, cipher, back, &bad), -EBADMSG);
	keys_drop();
}
END_TEST

START_TEST(final_round_trip_and_altered)
{
	static uint8_t tail[B], cipher[FINAL_OVERHEAD + B], back[B];
	AUTO(block_cipher_end) struct block_cipher s = {0}, o = {0};
	keys_make();
	random_bytes(tail, sizeof(tail));
	begin(&s, 1);
	begin(&o, 0);
	const uint32_t lens[] = {0, 1, 100, B - 1};
	for (size_t t = 0; t < ARRAY_LEN(lens); t++) {
		struct final_head head = {lens[t], FINAL_SPARSE, 0x1122334455667788ull}, got;
		size_t len = FINAL_OVERHEAD + lens[t];
		ck_assert_int_eq(final_seal(&s, 7, &head, tail, cipher), 0);
		ck_assert_int_eq(final_open(&o, 7, cipher, len, &got, back), 0);
		ck_assert(got.tail_len == lens[t] && got.flags == head.flags && got.generation == head.generation);
		ck_assert_int_eq(memcmp(tail, back, lens[t]), 0);
		ck_assert_int_eq(final_open(&o, 8, cipher, len, &got, back), -EBADMSG);
		ck_assert_int_eq(final_open(&o, 7, cipher, len - 1, &got, back), -EBADMSG);
		ck_assert_int_eq(final_open(&o, 7, cipher, len + 1, &got, back), -EBADMSG);
		for (size_t i = 0; i < len; i++) {
			cipher[i] ^= (uint8_t)(1u << (i % 8));
			ck_assert_int_eq(final_open(&o, 7, cipher, len, &got, back), -EBADMSG);
			cipher[i] ^= (uint8_t)(1u << (i % 8));
		}
	}
	keys_drop();
}
END_TEST

START_TEST(heads)
{
	uint8_t cipher[FINAL_HEAD_LEN] = {0};
	struct final_head head;
	for (size_t len = 0; len < FINAL_HEAD_LEN; len++)
		ck_assert_int_eq(final_head_parse(&layout, cipher, len, &head), -EBADMSG);
	ck_assert_int_eq(final_head_parse(&layout, cipher, sizeof(cipher), &head), 0);
	be32_put(cipher, B - 1);
	ck_assert_int_eq(final_head_parse(&layout, cipher, sizeof(cipher), &head), 0);
	be32_put(cipher, B);
	ck_assert_int_eq(final_head_parse(&layout, cipher, sizeof(cipher), &head), -EBADMSG);
	be32_put(cipher, 0);
	for (uint32_t flags = 2; flags; flags <<= 1) {
		be32_put(cipher + 4, flags);
		ck_assert_int_eq(final_head_parse(&layout, cipher, sizeof(cipher), &head), -EBADMSG);
	}
	be32_put(cipher + 4, 0);
	for (size_t i = 16; i < FINAL_HEAD_LEN; i++) {
		cipher[i] = 1;
		ck_assert_int_eq(final_head_parse(&layout, cipher, sizeof(cipher), &head), -EBADMSG);
		cipher[i] = 0;
	}
}
END_TEST

START_TEST(limits)
{
	static uint8_t plain[2 * B], cipher[2 * R], back[2 * B];
	AUTO(block_cipher_end) struct block_cipher s = {0};
	keys_make();
	begin(&s, 1);
	uint64_t most = layout_size_max(&layout) / B;
	ck_assert_int_eq(block_seal(&s, most - 2, 2, plain, cipher), 0);
	ck_assert_int_eq(block_seal(&s, most - 1, 2, plain, cipher), -EFBIG);
	ck_assert_int_eq(block_seal(&s, UINT64_MAX, 1, plain, cipher), -EFBIG);
	ck_assert_int_eq(block_seal(&s, 1, SIZE_MAX, plain, cipher), -EFBIG);
	ck_assert_int_eq(block_open(&s, most, 1, 0, cipher, back, NULL), -EFBIG);
	ck_assert_int_eq(block_seal(&s, 0, 0, plain, cipher), 0);
	ck_assert_int_eq(final_seal(&s, most + 1, &(struct final_head){0}, plain, cipher), -EFBIG);
	ck_assert_int_eq(final_seal(&s, 0, &(struct final_head){.tail_len = B}, plain, cipher), -EINVAL);
	ck_assert_int_eq(final_seal(&s, 0, &(struct final_head){.flags = 2}, plain, cipher), -EINVAL);
	struct block_cipher none = {0};
	block_cipher_end(&none);
	keys_drop();
}
END_TEST

START_TEST(zeros)
{
	static uint8_t p[5000];
	for (size_t len = 0; len < 80; len++)
		ck_assert_int_eq(block_is_zero(p + 3, len), 1);
	ck_assert_int_eq(block_is_zero(p, sizeof(p)), 1);
	for (size_t len = 1; len < 80; len++)
		for (size_t i = 0; i < len; i++) {
			p[i] = 0x40;
			ck_assert_int_eq(block_is_zero(p, len), 0);
			p[i] = 0;
		}
	for (size_t i = 0; i < sizeof(p); i++) {
		p[i] = 1;
		ck_assert_int_eq(block_is_zero(p, sizeof(p)), 0);
		p[i] = 0;
	}
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"block vectors", block_vectors},
		{"final vectors", final_vectors},
		{"round trip", round_trip},
		{"prefixes", prefixes},
		{"every byte altered", every_byte_altered},
		{"moved", moved},
		{"holes", holes},
		{"final record, altered", final_round_trip_and_altered},
		{"heads", heads},
		{"limits", limits},
		{"zeros", zeros},
	};
	return test_main("block", list, ARRAY_LEN(list));
}
