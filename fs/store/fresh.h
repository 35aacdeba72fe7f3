/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of block numbers: a bit each, a page of bits where there are any. */
#ifndef FS_FRESH_H
#define FS_FRESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/attr.h"

/* Zeroed = empty. */
struct fresh {
	uint64_t **page;
	size_t n_pages;
	uint64_t members; /* with those put twice counted twice: 0 = empty */
};

/* [FIRST, END) are members from now on. False when memory is short: some may not be. */
bool fresh_put(struct fresh *f, uint64_t first, uint64_t end);
bool fresh_has(const struct fresh *f, uint64_t no);
void fresh_clear(struct fresh *f);

#endif
