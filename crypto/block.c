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
#define RECORDS_PER_PREFIX 65536u /* far above a request's: a writer that keeps its cipher for longer gets a new key */

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
	c->sealing = sealing;
	c->tag_len = l->suite == SUITE_1 ? TAG_LEN : TAG_LEN - RECORD_PREFIX_LEN;
	return 0;
}

void block_cipher_end(struct block_cipher *c)
{
	EVP_CIPHER_CTX_free(c->evp);
	c->evp = NULL;
}

/* A key that this cipher had no use for yet. */
static int key_load(struct block_cipher *c, const uint8_t key[KEY_LEN])
{
	if (!c->evp) /* not before it is used: a request that reads needs one of its two ciphers */
		c->evp = EVP_CIPHER_CTX_new();
	if (!c->evp)
		return -ENOMEM;
	c->loaded = EVP_CipherInit_ex2(c->evp, fetch_gcm(), key, NULL, c->sealing, NULL);
	return c->loaded ? 0 : -EIO;
}

static int segment_use(struct block_cipher *c, uint64_t no)
{
	uint64_t segment = no / (SEGMENT_LEN / c->layout.block_len);
	if (c->loaded && segment == c->segment)
		return 0;
	uint8_t key[KEY_LEN];
	c->loaded = false;
	int r = file_content_key(c->file, segment, key);
	if (!r)
		r = key_load(c, key);
	secret_wipe(key, sizeof(key));
	c->segment = segment;
	return r;
}

static int prefix_use(struct block_cipher *c, const uint8_t prefix[RECORD_PREFIX_LEN])
{
	if (c->loaded && memcmp(prefix, c->prefix, RECORD_PREFIX_LEN) == 0)
		return 0;
	uint8_t key[KEY_LEN];
	c->loaded = false;
	int r = file_record_key(c->file, prefix, key);
	if (!r)
		r = key_load(c, key);
	secret_wipe(key, sizeof(key));
	memmove(c->prefix, prefix, RECORD_PREFIX_LEN);
	return r;
}

/* The prefix of the next record, put in front of it at *CIPHER, which moves on to the nonce of AES-GCM; the key is loaded. */
static int seal_key(struct block_cipher *c, uint64_t no, uint8_t **cipher)
{
	if (c->layout.suite == SUITE_1)
		return segment_use(c, no);
	uint8_t prefix[RECORD_PREFIX_LEN];
	memcpy(prefix, c->prefix, sizeof(prefix));
	if (!c->loaded || c->sealed == RECORDS_PER_PREFIX) {
		random_bytes(prefix, sizeof(prefix));
		c->sealed = 0;
	}
	int r = prefix_use(c, prefix);
	c->sealed++;
	memcpy(*cipher, prefix, sizeof(prefix));
	*cipher += sizeof(prefix);
	return r;
}

/* The same for a record that is there. */
static int open_key(struct block_cipher *c, uint64_t no, const uint8_t **cipher)
{
	if (c->layout.suite == SUITE_1)
		return segment_use(c, no);
	const uint8_t *prefix = *cipher;
	*cipher += RECORD_PREFIX_LEN;
	return prefix_use(c, prefix);
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
	    !EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_GET_TAG, c->tag_len, cipher + m->len))
		return -EIO;
	return 0;
}

static int gcm_open(struct block_cipher *c, const struct message *m, const uint8_t *cipher, uint8_t *plain)
{
	int n;
	uint8_t none, tag[TAG_LEN];
	memcpy(tag, cipher + m->len, c->tag_len);
	if (!EVP_DecryptInit_ex2(c->evp, NULL, NULL, m->nonce, NULL) ||
	    !EVP_DecryptUpdate(c->evp, NULL, &n, m->aad, (int)m->aad_len))
		return -EIO;
	if (m->len && !EVP_DecryptUpdate(c->evp, plain, &n, cipher, (int)m->len))
		return -EIO;
	if (!EVP_CIPHER_CTX_ctrl(c->evp, EVP_CTRL_AEAD_SET_TAG, c->tag_len, tag))
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
	for (size_t i = 0; i < n && !r; i++) {
		if (i % NONCES_AT_ONCE == 0)
			nonces_draw(nonce, n - i < NONCES_AT_ONCE ? n - i : NONCES_AT_ONCE);
		r = seal_key(c, no + i, &cipher);
		if (r)
			break;
		be64_put(aad + 40, no + i);
		m.nonce = nonce[i % NONCES_AT_ONCE];
		memcpy(cipher, m.nonce, NONCE_LEN);
		r = gcm_seal(c, &m, plain, cipher + NONCE_LEN);
		plain += m.len;
		cipher += NONCE_LEN + m.len + (size_t)c->tag_len;
	}
	return r;
}

static int record_open(struct block_cipher *c, struct message *m, uint64_t no, const uint8_t *cipher, uint8_t *plain)
{
	int r = open_key(c, no, &cipher);
	m->nonce = cipher;
	return r ? r : gcm_open(c, m, cipher + NONCE_LEN, plain);
}

int block_open(struct block_cipher *c, uint64_t no, size_t n, uint32_t flags, const uint8_t *cipher, uint8_t *plain,
	       uint64_t *bad)
{
	uint8_t aad[AAD_BLOCK_LEN] = {0}, *first = plain;
	struct message m = {NULL, aad, sizeof(aad), c->layout.block_len};
	size_t i = 0, record_len = layout_record_len(&c->layout);
	int r = range_check(c, no, n);
	if (r)
		return r;
	aad_begin(c, LABEL_BLOCK, aad);
	while (i < n && !r) {
		be64_put(aad + 40, no + i);
		if ((flags & FINAL_SPARSE) && block_is_zero(cipher, record_len))
			memset(plain, 0, m.len);
		else
			r = record_open(c, &m, no + i, cipher, plain);
		plain += m.len;
		cipher += record_len;
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
	if (head->tail_len >= c->layout.block_len || (head->flags & ~FINAL_SPARSE) != 0)
		return -EINVAL;
	int r = range_check(c, no, 0);
	if (!r)
		r = seal_key(c, no, &nonce);
	if (r)
		return r;
	final_head_write(head, cipher);
	final_aad(c, no, cipher, aad);
	random_bytes(nonce, NONCE_LEN);
	struct message m = {nonce, aad, sizeof(aad), head->tail_len};
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
	const uint8_t *nonce = cipher + FINAL_HEAD_LEN;
	r = open_key(c, no, &nonce);
	if (r)
		return r;
	final_aad(c, no, cipher, aad);
	struct message m = {nonce, aad, sizeof(aad), found.tail_len};
	r = gcm_open(c, &m, nonce + NONCE_LEN, tail);
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
