/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic between plain offsets and sizes and those on disk (FORMAT.md "Contents"). Pure. */
#ifndef CRYPTO_LAYOUT_H
#define CRYPTO_LAYOUT_H

#include "crypto/attr.h"

#define BLOCK_OVERHEAD 28u   /* nonce 12 and tag 16, or prefix 4, nonce 12 and tag 12: R = B + 28 */
#define RECORD_PREFIX_LEN 4u /* suite 2: chooses the key of a record, in front of its nonce */
#define FINAL_HEAD_LEN 32u   /* in clear at the front of the final record */
#define FINAL_OVERHEAD (FINAL_HEAD_LEN + BLOCK_OVERHEAD) /* F */
#define BLOCK_LEN_MIN 4096u
#define BLOCK_LEN_MAX (1u << 20)
#define HEADER_LEN_STORE 512u
#define HEADER_LEN_FILE 4096u
#define EMPTY_FILE_MAX (HEADER_LEN_FILE + FINAL_OVERHEAD) /* size on disk of an empty file, at most */
#define SEGMENT_LEN (1ull << 30)                          /* suite 1: plain bytes under one content key */

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

static inline uint64_t layout_record_len(const struct layout *l)
{
	return (uint64_t)l->block_len + BLOCK_OVERHEAD;
}

/* Where the record of block NO (or the final record, NO = number of whole blocks) begins on disk. */
static inline uint64_t layout_record_off(const struct layout *l, uint64_t no)
{
	return l->header_len + no * layout_record_len(l);
}

/* Length of the final record of a file of SIZE bytes, and the longest that one can be. */
static inline uint32_t layout_final_len(const struct layout *l, uint64_t size)
{
	return FINAL_OVERHEAD + (uint32_t)(size % l->block_len);
}

static inline size_t layout_final_room(const struct layout *l)
{
	return (size_t)FINAL_OVERHEAD + l->block_len;
}

/* Size on disk of a plain file of SIZE bytes. */
static inline uint64_t layout_disk_size(const struct layout *l, uint64_t size)
{
	return layout_record_off(l, size / l->block_len) + layout_final_len(l, size);
}

/* Size on disk of a special object. */
static inline uint64_t layout_special_size(const struct layout *l, enum object_type type)
{
	return (uint64_t)l->header_len + FINAL_OVERHEAD + l->block_len + (uint64_t)(type - OBJECT_SYMLINK + 1);
}

/* What lies on disk with DISK_SIZE bytes; for OBJECT_FILE, *SIZE is the plain size (else 0). */
enum object_type layout_classify(const struct layout *l, uint64_t disk_size, uint64_t *size);

/* Largest plain size whose disk size fits in int64_t. */
uint64_t layout_size_max(const struct layout *l);

/* 0, or -EINVAL if it is none that a store may have (B a power of two in range, H 512 or 4096, a known suite). */
int layout_check(const struct layout *l) MUST_CHECK;

#endif
