/* SPDX-License-Identifier: BSD-2-Clause */
/* Sealing and opening of blocks and final records: one expanded key for all blocks of a request. */
#include "crypto/block.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/fetch.h"
#include "crypto/keys_private.h"

#define LABEL_BLOCK "BYOKFS1B"
#define LABEL_FINAL "BYOKFS1F"
#define AAD_BLOCK_LEN 52u
#define AAD_FINAL_LEN 80u
#define NONCES_AT_ONCE 64u
#define NO_SEGMENT UINT64_MAX

/* One message of GCM under the cipher's current key. */
struct message {
	const uint8_t *nonce;
	const uint8_t *aad;
	size_t aad_len;
	size_t len;
};

int block_cipher_begin(struct block_cipher *c, const struct store_keys *store, const struct file_keys *file,
		       const struct layout *l, bool sealing)
{
	memset(c, 0, sizeof(*c));
	if (!fetch_gcm())
		return -EIO;
	c->file = file;
	c->store = store;
	c->layout = *l;
	c->segment = NO_SEGMENT;
	c->sealing = sealing;
	return 0;
}

void block_cipher_end(struct block_cipher *c)
{
	EVP_CIPHER_CTX_free(c->evp);
	c->evp = NULL;
}

/* Load the key of the segment that block NO lies in; *LEFT is how many blocks from NO on share it. */
static int segment_use(struct block_cipher *c, uint64_t no, size_t *left)
{
	uint64_t per_segment = SEGMENT_LEN / c->layout.block_len;
	uint64_t segment = no / per_segment;
	*left = (size_t)(per_segment - no % per_segment);
	if (segment == c->segment)
		return 0;
	if (!c->evp) /* not before it is used: a request that reads needs one of its two ciphers */
		c->evp = EVP_CIPHER_CTX_new();
	if (!c->evp)
		return -ENOMEM;
	uint8_t key[KEY_LEN];
	c->segment = NO_SEGMENT;
	int r = file_content_key(c->file, segment, key);
	if (!r && !EVP_CipherInit_ex2(c->evp, fetch_gcm(), key, NULL, c->sealing, NULL))
		r = -EIO;
	secret_wipe(key, sizeof(key));
	if (!r)
		c->segment = segment;
	return r;
}

static int gcm_seal(struct block_cipher *c, const struct message *m, const uint8_t *plain, uint8_t *cipher)
{
	int n;
	uint8_t none;
	if (!EVP_EncryptInit_ex2(c->evp, NULL, NULL, m->nonce, NULL) ||
	    !EVP_EncryptUpdate(c->evp, NULL, &n, m->aad, (int)m->aad_len))
		return -EIO;
	if (m->len && !EVP_EncryptUpdate(c->evp, cipher, &n, plain, (int)m->len))
		return -EIO;
	if (!EVP_EncryptFinal_ex(c->evp, &none, &n) ||
	    !EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, cipher + m->len))
		return -EIO;
	return 0;
}

static int gcm_open(struct block_cipher *c, const struct message *m, const uint8_t *cipher, uint8_t *plain)
{
	int n;
	uint8_t none, tag[TAG_LEN];
	memcpy(tag, cipher + m->len, TAG_LEN);
	if (!EVP_DecryptInit_ex2(c->evp, NULL, NULL, m->nonce, NULL) ||
	    !EVP_DecryptUpdate(c->evp, NULL, &n, m->aad, (int)m->aad_len))
		return -EIO;
	if (m->len && !EVP_DecryptUpdate(c->evp, plain, &n, cipher, (int)m->len))
		return -EIO;
	if (!EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, tag))
		return -EIO;
	return EVP_DecryptFinal_ex(c->evp, &none, &n) > 0 ? 0 : -EBADMSG;
}

/* The part of the AAD that all blocks of a request share; the number follows at 40. */
static void aad_begin(const struct block_cipher *c, const char label[9], uint8_t *aad)
{
	memcpy(aad, label, 8);
	memcpy(aad + 8, store_keys_id(c->store), ID_LEN);
	memcpy(aad + 24, file_keys_id(c->file), ID_LEN);
}

/* Nonces of N blocks from one call into the kernel: getrandom() for each would cost a fifth of sealing it. */
static void nonces_draw(uint8_t (*nonce)[NONCE_LEN], size_t n)
{
	uint8_t seed[randombytes_SEEDBYTES];
	if (n * NONCE_LEN <= sizeof(seed)) {
		random_bytes(nonce, n * NONCE_LEN);
		return;
	}
	random_bytes(seed, sizeof(seed));
	randombytes_buf_deterministic(nonce, n * NONCE_LEN, seed);
	secret_wipe(seed, sizeof(seed));
}

static int range_check(const struct block_cipher *c, uint64_t no, size_t n)
{
	uint64_t most = layout_size_max(&c->layout) / c->layout.block_len;
	return no > most || n > most - no ? -EFBIG : 0;
}

int block_seal(struct block_cipher *c, uint64_t no, size_t n, const uint8_t *plain, uint8_t *cipher)
{
	uint8_t nonce[NONCES_AT_ONCE][NONCE_LEN], aad[AAD_BLOCK_LEN] = {0};
	struct message m = {NULL, aad, sizeof(aad), c->layout.block_len};
	int r = range_check(c, no, n);
	aad_begin(c, LABEL_BLOCK, aad);
	for (size_t i = 0, left = 0; i < n && !r; i++, left--) {
		if (i % NONCES_AT_ONCE == 0)
			nonces_draw(nonce, n - i < NONCES_AT_ONCE ? n - i : NONCES_AT_ONCE);
		if (left == 0)
			r = segment_use(c, no + i, &left);
		if (r)
			break;
		be64_put(aad + 40, no + i);
		m.nonce = nonce[i % NONCES_AT_ONCE];
		memcpy(cipher, m.nonce, NONCE_LEN);
		r = gcm_seal(c, &m, plain, cipher + NONCE_LEN);
		plain += m.len;
		cipher += m.len + BLOCK_OVERHEAD;
	}
	return r;
}

int block_open(struct block_cipher *c, uint64_t no, size_t n, uint32_t flags, const uint8_t *cipher, uint8_t *plain,
	       uint64_t *bad)
{
	uint8_t aad[AAD_BLOCK_LEN] = {0};
	struct message m = {NULL, aad, sizeof(aad), c->layout.block_len};
	uint8_t *first = plain;
	size_t i = 0;
	int r = range_check(c, no, n);
	if (r)
		return r;
	aad_begin(c, LABEL_BLOCK, aad);
	for (size_t left = 0; i < n && !r; left--) {
		if (left == 0)
			r = segment_use(c, no + i, &left);
		if (r)
			break;
		be64_put(aad + 40, no + i);
		m.nonce = cipher;
		if ((flags & FINAL_SPARSE) && block_is_zero(cipher, m.len + BLOCK_OVERHEAD))
			memset(plain, 0, m.len);
		else
			r = gcm_open(c, &m, cipher + NONCE_LEN, plain);
		plain += m.len;
		cipher += m.len + BLOCK_OVERHEAD;
		i += !r;
	}
	if (r)
		secret_wipe(first, n * m.len);
	if (r == -EBADMSG && bad)
		*bad = no + i;
	return r;
}

static void final_head_write(const struct final_head *head, uint8_t out[FINAL_HEAD_LEN])
{
	memset(out, 0, FINAL_HEAD_LEN);
	be32_put(out, head->tail_len);
	be32_put(out + 4, head->flags);
	be64_put(out + 8, head->generation);
}

int final_head_parse(const struct layout *l, const uint8_t *cipher, size_t len, struct final_head *head)
{
	if (len < FINAL_HEAD_LEN)
		return -EBADMSG;
	head->tail_len = be32_get(cipher);
	head->flags = be32_get(cipher + 4);
	head->generation = be64_get(cipher + 8);
	if (head->tail_len >= l->block_len || (head->flags & ~FINAL_SPARSE) != 0)
		return -EBADMSG;
	return block_is_zero(cipher + 16, FINAL_HEAD_LEN - 16) ? 0 : -EBADMSG;
}

static void final_aad(const struct block_cipher *c, uint64_t no, const uint8_t *head, uint8_t aad[AAD_FINAL_LEN])
{
	aad_begin(c, LABEL_FINAL, aad);
	be64_put(aad + 40, no);
	memcpy(aad + 48, head, FINAL_HEAD_LEN);
}

int final_seal(struct block_cipher *c, uint64_t no, const struct final_head *head, const uint8_t *tail, uint8_t *cipher)
{
	uint8_t aad[AAD_FINAL_LEN], *nonce = cipher + FINAL_HEAD_LEN;
	struct message m = {nonce, aad, sizeof(aad), head->tail_len};
	size_t left;
	if (head->tail_len >= c->layout.block_len || (head->flags & ~FINAL_SPARSE) != 0)
		return -EINVAL;
	int r = range_check(c, no, 0);
	if (!r)
		r = segment_use(c, no, &left);
	if (r)
		return r;
	final_head_write(head, cipher);
	final_aad(c, no, cipher, aad);
	random_bytes(nonce, NONCE_LEN);
	return gcm_seal(c, &m, tail, nonce + NONCE_LEN);
}

int final_open(struct block_cipher *c, uint64_t no, const uint8_t *cipher, size_t len, struct final_head *head,
	       uint8_t *tail)
{
	struct final_head found;
	int r = final_head_parse(&c->layout, cipher, len, &found);
	if (r || len != FINAL_OVERHEAD + (size_t)found.tail_len || range_check(c, no, 0) != 0)
		return -EBADMSG;
	uint8_t aad[AAD_FINAL_LEN];
	struct message m = {cipher + FINAL_HEAD_LEN, aad, sizeof(aad), found.tail_len};
	size_t left;
	r = segment_use(c, no, &left);
	if (r)
		return r;
	final_aad(c, no, cipher, aad);
	r = gcm_open(c, &m, m.nonce + NONCE_LEN, tail);
	if (!r)
		*head = found;
	else if (m.len)
		secret_wipe(tail, m.len);
	return r;
}

bool block_is_zero(const uint8_t *p, size_t len)
{
	/* The first bytes decide nearly always; then the rest against itself, which is memcmp at full speed. */
	static const uint8_t magic_zeros[16];
	if (len <= sizeof(magic_zeros))
		return len == 0 || memcmp(p, magic_zeros, len) == 0;
	return memcmp(p, magic_zeros, sizeof(magic_zeros)) == 0 &&
	       memcmp(p, p + sizeof(magic_zeros), len - sizeof(magic_zeros)) == 0;
}
