/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys and exact-size copies for the fuzz targets of crypto/. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding: the target itself says what must hold. */
#define MUST(condition)           \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

/* Always the same keys, so that a corpus keeps its meaning. */
static inline const struct store_keys *fuzz_store(void)
{
	static struct store_keys *keys;
	static const uint8_t root[KEY_LEN] = "byokfs fuzz targets' root key";
	if (!keys)
		MUST(secret_init() == 0 && store_keys_new(root, SUITE_2, &keys) == 0 &&
		     store_keys_add(keys, 1, root) == 0);
	return keys;
}

/* LEN bytes on the heap, exactly, so that a read past them is seen. */
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);
	MUST(p);
	memcpy(p, data, len);
	return p;
}

/* The same with a NUL behind. */
static inline char *fuzz_text(const uint8_t *data, size_t len)
{
	char *p = malloc(len + 1);
	MUST(p);
	memcpy(p, data, len);
	p[len] = '\0';
	return p;
}

#endif
