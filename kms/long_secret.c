/* SPDX-License-Identifier: BSD-2-Clause */
/* Secrets that are longer than a slot of locked memory: session tokens. */
#include "kms/long_secret.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "crypto/secret.h"

#define PIECE ((size_t)SECRET_MAX)

static size_t piece_len(const struct long_secret *s, size_t i)
{
	size_t rest = s->len - i * PIECE;

	return rest < PIECE ? rest : PIECE;
}

int long_secret_set(struct long_secret *s, const char *text, size_t len)
{
	long_secret_wipe(s);
	if (len > LONG_SECRET_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i * PIECE < len; i++) {
		s->piece[i] = secret_alloc(PIECE);
		if (!s->piece[i]) {
			long_secret_wipe(s);
			return -ENOMEM;
		}
	}
	s->len = len;
	for (size_t i = 0; i * PIECE < len; i++)
		memcpy(s->piece[i], text + i * PIECE, piece_len(s, i));
	return 0;
}

void long_secret_copy(const struct long_secret *s, char *out)
{
	for (size_t i = 0; i * PIECE < s->len; i++)
		memcpy(out + i * PIECE, s->piece[i], piece_len(s, i));
	out[s->len] = '\0';
}

bool long_secret_equal(const struct long_secret *a, const struct long_secret *b)
{
	bool equal = a->len == b->len;

	for (size_t i = 0; equal && i * PIECE < a->len; i++)
		equal = sodium_memcmp(a->piece[i], b->piece[i], piece_len(a, i)) == 0;
	return equal;
}

void long_secret_wipe(struct long_secret *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->piece); i++)
		secret_free(s->piece[i]);
	*s = (struct long_secret){0};
}
