/* SPDX-License-Identifier: BSD-2-Clause */
/* Sorted sets of ranges: bytes that were lost, blocks that were skipped. */
#ifndef FS_STORE_RANGES_H
#define FS_STORE_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/attr.h"

/* [start, end), of plain bytes or of block numbers. */
struct range {
	uint64_t start, end;
};

/* Sorted, disjoint ranges; grows by realloc. Zeroed = empty. Whoever owns it frees it by ranges_clear(). */
struct ranges {
	struct range *r;
	size_t n, cap;
};

/* Those that overlap or touch become one. -ENOMEM: nothing has changed. */
int ranges_add(struct ranges *s, uint64_t start, uint64_t end) MUST_CHECK;
/* When a range must be split and memory is short, all of it stays. */
void ranges_cut(struct ranges *s, uint64_t start, uint64_t end);
/* Is one byte of [start, end) in the set? */
bool ranges_hit(const struct ranges *s, uint64_t start, uint64_t end);
/* Is all of it, as one range? */
bool ranges_hold(const struct ranges *s, uint64_t start, uint64_t end);
/* The first range that ends after POS, or NULL. Lives until the set changes. */
const struct range *ranges_next(const struct ranges *s, uint64_t pos);
/* TO, which is empty, becomes a copy of FROM. -ENOMEM. */
int ranges_copy(struct ranges *to, const struct ranges *from) MUST_CHECK;
void ranges_clear(struct ranges *s);

#endif
