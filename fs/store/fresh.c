/* SPDX-License-Identifier: BSD-2-Clause */
/* A set of block numbers that costs half a kilobyte for each 4096 of them that lie near one another. */
#include "fs/store/fresh.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BITS 4096u
#define PAGES_MAX (1u << 24) /* 128 MiB of pointers: a file of 2^48 bytes */

static uint64_t *page_of(struct fresh *f, uint64_t no)
{
	uint64_t at = no / PAGE_BITS;

	if (at >= PAGES_MAX)
		return NULL;
	if (at >= f->n_pages) {
		size_t n = at + 1 > 2 * f->n_pages ? at + 1 : 2 * f->n_pages;
		uint64_t **page = realloc(f->page, n * sizeof(*page));
		if (!page)
			return NULL;
		memset(page + f->n_pages, 0, (n - f->n_pages) * sizeof(*page));
		f->page = page;
		f->n_pages = n;
	}
	if (!f->page[at])
		f->page[at] = calloc(PAGE_BITS / 64, sizeof(uint64_t));
	return f->page[at];
}

bool fresh_put(struct fresh *f, uint64_t first, uint64_t end)
{
	for (uint64_t no = first; no < end; no++) {
		uint64_t *page = page_of(f, no);
		if (!page)
			return false;
		page[no % PAGE_BITS / 64] |= UINT64_C(1) << no % 64;
		f->members++;
	}
	return true;
}

bool fresh_has(const struct fresh *f, uint64_t no)
{
	uint64_t at = no / PAGE_BITS;

	return at < f->n_pages && f->page[at] && (f->page[at][no % PAGE_BITS / 64] >> no % 64 & 1);
}

void fresh_clear(struct fresh *f)
{
	for (size_t i = 0; i < f->n_pages; i++)
		free(f->page[i]);
	free(f->page);
	*f = (struct fresh){0};
}
