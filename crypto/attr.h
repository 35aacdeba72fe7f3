/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiler attributes and big-endian access that every folder uses. */
#ifndef CRYPTO_ATTR_H
#define CRYPTO_ATTR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The caller must look at the result: 0 or a negative errno. */
#define MUST_CHECK __attribute__((warn_unused_result))
/* The variable is cleaned up by FN(&var) when its scope ends. */
#define AUTO(fn) __attribute__((cleanup(fn)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline void be16_put(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void be32_put(uint8_t *p, uint32_t v)
{
	be16_put(p, (uint16_t)(v >> 16));
	be16_put(p + 2, (uint16_t)v);
}

static inline void be64_put(uint8_t *p, uint64_t v)
{
	be32_put(p, (uint32_t)(v >> 32));
	be32_put(p + 4, (uint32_t)v);
}

static inline uint16_t be16_get(const uint8_t *p)
{
	return (uint16_t)((p[0] << 8) | p[1]);
}

static inline uint32_t be32_get(const uint8_t *p)
{
	return ((uint32_t)be16_get(p) << 16) | be16_get(p + 2);
}

static inline uint64_t be64_get(const uint8_t *p)
{
	return ((uint64_t)be32_get(p) << 32) | be32_get(p + 4);
}

#endif
