/* SPDX-License-Identifier: BSD-2-Clause */
/* A heap that wipes: what libcurl and cJSON give back has held tokens and payloads in base64. */
#include "kms/net/heap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/secret.h"

/* In front of each block; as long as the strictest alignment. */
struct block {
	size_t len;
	size_t pad;
};

static atomic_size_t in_use;

void *heap_alloc(size_t len)
{
	struct block *b = len <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + len) : NULL;

	if (!b)
		return NULL;
	b->len = len;
	atomic_fetch_add(&in_use, len);
	return b + 1;
}

void heap_free(void *p)
{
	if (!p)
		return;
	struct block *b = (struct block *)p - 1;
	atomic_fetch_sub(&in_use, b->len);
	secret_wipe(b, sizeof(*b) + b->len);
	free(b);
}

/* Never in place: what is left behind by a move would not be wiped. */
void *heap_realloc(void *p, size_t len)
{
	void *to = heap_alloc(len);

	if (!p || !to)
		return to;
	size_t before = ((struct block *)p - 1)->len;
	memcpy(to, p, before < len ? before : len);
	heap_free(p);
	return to;
}

char *heap_strdup(const char *text)
{
	size_t len = strlen(text) + 1;
	char *to = heap_alloc(len);

	if (to)
		memcpy(to, text, len);
	return to;
}

void *heap_calloc(size_t n, size_t len)
{
	if (len && n > SIZE_MAX / len)
		return NULL;
	void *p = heap_alloc(n * len);
	if (p)
		memset(p, 0, n * len);
	return p;
}

void heap_free_at(void *p)
{
	heap_free(*(void **)p);
}

size_t heap_in_use(void)
{
	return atomic_load(&in_use);
}
