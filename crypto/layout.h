/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic between plain offsets and sizes and those on disk (FORMAT.md "Contents"). Pure. */
#ifndef CRYPTO_LAYOUT_H
#define CRYPTO_LAYOUT_H

#include "crypto/attr.h"

#define RECORD_PREFIX_LEN 12u   /* suite 2: the part of a record's nonce that chooses its key */
#define RECORD_OVERHEAD_MAX 40u /* nonce 12 or 24, tag 16 */
#define FINAL_HEAD_LEN 32u      /* in clear at the front of the final record */
#define FINAL_OVERHEAD_MAX (FINAL_HEAD_LEN + RECORD_OVERHEAD_MAX)
#define BLOCK_LEN_MIN 4096u
#define BLOCK_LEN_MAX (1u << 20)
#define HEADER_LEN_STORE 512u
#define HEADER_LEN_FILE 4096u
#define EMPTY_FILE_MAX (HEADER_LEN_FILE + FINAL_OVERHEAD_MAX) /* size on disk of an empty file, at most */
#define SEGMENT_LEN (1ull << 30)                              /* suite 1: plain bytes under one content key */

/* What is sealed under which key (FORMAT.md "Messages under a key"). */
enum suite { SUITE_1 = 1, SUITE_2 = 2 };

/* H, B and the suite of the store. */
struct layout {
	uint32_t header_len;
	uint32_t block_len;
	enum suite suite;
};

/* What the size of a store file says of it. */
enum object_type {
	OBJECT_STUMP = 0, /* 0 bytes: a create that a crash cut off */
	OBJECT_FILE,
	OBJECT_BAD,     /* no object has such a size */
	OBJECT_SYMLINK, /* the special objects; k = type - OBJECT_SYMLINK + 1 */
	OBJECT_FIFO,
	OBJECT_SOCKET,
	OBJECT_CHAR,
	OBJECT_BLOCK,
};

/* What a record is longer than its plain bytes, in front of which are N bytes of nonce: N + 16. */
static inline uint32_t layout_overhead(const struct layout *l)
{
	return l->suite == SUITE_1 ? RECORD_OVERHEAD_MAX - RECORD_PREFIX_LEN : RECORD_OVERHEAD_MAX;
}

/* F: the final record of no bytes. */
static inline uint32_t layout_final_overhead(const struct layout *l)
{
	return FINAL_HEAD_LEN + layout_overhead(l);
}

/* R */
static inline uint64_t layout_record_len(const struct layout *l)
{
	return (uint64_t)l->block_len + layout_overhead(l);
}

/* Where the record of block NO (or the final record, NO = number of whole blocks) begins on disk. */
static inline uint64_t layout_record_off(const struct layout *l, uint64_t no)
{
	return l->header_len + no * layout_record_len(l);
}

/* Length of the final record of a file of SIZE bytes, and the longest that one can be. */
static inline uint32_t layout_final_len(const struct layout *l, uint64_t size)
{
	return layout_final_overhead(l) + (uint32_t)(size % l->block_len);
}

static inline size_t layout_final_room(const struct layout *l)
{
	return (size_t)layout_final_overhead(l) + l->block_len;
}

/* Size on disk of a plain file of SIZE bytes. */
static inline uint64_t layout_disk_size(const struct layout *l, uint64_t size)
{
	return layout_record_off(l, size / l->block_len) + layout_final_len(l, size);
}

/* Size on disk of a special object. */
static inline uint64_t layout_special_size(const struct layout *l, enum object_type type)
{
	return (uint64_t)l->header_len + layout_final_overhead(l) + l->block_len +
	       (uint64_t)(type - OBJECT_SYMLINK + 1);
}

/* What lies on disk with DISK_SIZE bytes; for OBJECT_FILE, *SIZE is the plain size (else 0). */
enum object_type layout_classify(const struct layout *l, uint64_t disk_size, uint64_t *size);

/* Largest plain size whose disk size fits in int64_t. */
uint64_t layout_size_max(const struct layout *l);

/* 0, or -EINVAL if it is none that a store may have (B a power of two in range, H 512 or 4096, a known suite). */
int layout_check(const struct layout *l) MUST_CHECK;

#endif
