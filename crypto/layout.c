/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes: what a disk size means, and the limits of the layout. */
#include "crypto/layout.h"

#include <errno.h>

enum object_type layout_classify(const struct layout *l, uint64_t disk_size, uint64_t *size)
{
	*size = 0;
	if (disk_size == 0)
		return OBJECT_STUMP;
	if (disk_size < layout_disk_size(l, 0) || disk_size > INT64_MAX)
		return OBJECT_BAD;
	uint64_t body = disk_size - layout_disk_size(l, 0);
	uint64_t n = body / layout_record_len(l), t = body % layout_record_len(l);
	if (t < l->block_len) {
		*size = n * l->block_len + t;
		return OBJECT_FILE;
	}
	uint64_t k = t - l->block_len;
	if (n == 0 && k >= 1 && k <= OBJECT_BLOCK - OBJECT_SYMLINK + 1)
		return (enum object_type)(OBJECT_SYMLINK + k - 1);
	return OBJECT_BAD;
}

uint64_t layout_size_max(const struct layout *l)
{
	uint64_t room = (uint64_t)INT64_MAX - layout_disk_size(l, 0);
	uint64_t n = room / layout_record_len(l), t = room % layout_record_len(l);
	return n * l->block_len + (t < l->block_len ? t : l->block_len - 1);
}

int layout_check(const struct layout *l)
{
	if (l->header_len != HEADER_LEN_STORE && l->header_len != HEADER_LEN_FILE)
		return -EINVAL;
	if (l->block_len < BLOCK_LEN_MIN || l->block_len > BLOCK_LEN_MAX || (l->block_len & (l->block_len - 1)) != 0)
		return -EINVAL;
	return l->suite == SUITE_1 || l->suite == SUITE_2 ? 0 : -EINVAL;
}
