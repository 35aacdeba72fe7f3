/* SPDX-License-Identifier: BSD-2-Clause */
/* The file header: two slots of which one is always whole, each committed to its DEK by a MAC. */
#include "crypto/header.h"

#include <errno.h>
#include <sodium.h>
#include <stdbool.h>
#include <string.h>

#include "crypto/block.h"
#include "crypto/kdf.h"
#include "crypto/keys_private.h"
#include "crypto/magic.h"

#define MAGIC "BYOKFS1H"
#define IMMUTABLE_LEN 64u
#define IMMUTABLE_USED 26u
#define BINDING_LEN 128u
#define SLOT_FIXED_LEN 24u
#define ALGORITHM_STORE 1u

static size_t slot_len(size_t header_len)
{
	return (header_len - IMMUTABLE_LEN - BINDING_LEN) / 2;
}

static size_t slot_off(size_t header_len, int i)
{
	return IMMUTABLE_LEN + (size_t)i * slot_len(header_len);
}

static bool header_len_ok(size_t len)
{
	return len == HEADER_LEN_STORE || len == HEADER_LEN_FILE;
}

/* What a wrap may be: with wrap type `store`, known by H, there is one algorithm and one length. */
static bool wrap_ok(size_t len, uint16_t algorithm, size_t version_len, size_t wrapped_len)
{
	if (algorithm == 0 || wrapped_len == 0 || wrapped_len > HEADER_WRAPPED_MAX || version_len > HEADER_VERSION_MAX)
		return false;
	if (len == HEADER_LEN_STORE &&
	    (algorithm != ALGORITHM_STORE || wrapped_len != DEK_WRAP_LEN || version_len != 0))
		return false;
	return SLOT_FIXED_LEN + version_len + wrapped_len + MAC_LEN <= slot_len(len);
}

/* 1 and *W if the slot is well-formed and not empty. A torn slot is no error: the other one is whole. */
static bool slot_parse(const uint8_t *slot, size_t len, struct header_wrap *w)
{
	size_t version_len = be16_get(slot + 14), wrapped_len = be16_get(slot + 16);
	w->sequence = be64_get(slot);
	w->number = be32_get(slot + 8);
	w->algorithm = be16_get(slot + 12);
	if (w->sequence == 0 || w->number == 0 || !wrap_ok(len, w->algorithm, version_len, wrapped_len))
		return false;
	const uint8_t *version = slot + SLOT_FIXED_LEN, *wrapped = version + version_len;
	const uint8_t *pad = wrapped + wrapped_len, *mac = slot + slot_len(len) - MAC_LEN;
	if (!block_is_zero(slot + 18, 6) || !block_is_zero(pad, (size_t)(mac - pad)) || memchr(version, 0, version_len))
		return false;
	memcpy(w->version, version, version_len);
	w->version[version_len] = '\0';
	memcpy(w->wrapped, wrapped, wrapped_len);
	w->wrapped_len = wrapped_len;
	return true;
}

static int immutable_parse(const uint8_t *buf, struct header *out)
{
	int r = magic_check(buf, IMMUTABLE_LEN, MAGIC);
	if (r)
		return r;
	memcpy(out->file_id, buf + 8, ID_LEN);
	out->suite = be16_get(buf + 24);
	if (out->suite == 0 || out->suite > SUITE_2)
		return out->suite ? -ENOTSUP : -EUCLEAN;
	return block_is_zero(buf + IMMUTABLE_USED, IMMUTABLE_LEN - IMMUTABLE_USED) ? 0 : -EUCLEAN;
}

int header_parse(const uint8_t *buf, size_t len, struct header *out)
{
	if (!header_len_ok(len))
		return -EUCLEAN;
	memset(out, 0, sizeof(*out));
	int r = immutable_parse(buf, out);
	if (r)
		return r;
	for (int i = 0; i < 2; i++)
		if (slot_parse(buf + slot_off(len, i), len, &out->wrap[i]))
			out->slots |= (uint8_t)(1u << i);
	return out->slots ? 0 : -EUCLEAN;
}

int header_newest(const struct header *h, int skip)
{
	int best = -1;
	for (int i = 0; i < 2; i++) {
		if (i == skip || !(h->slots & (1u << i)))
			continue;
		if (best < 0 || h->wrap[i].sequence > h->wrap[best].sequence)
			best = i;
	}
	return best;
}

bool header_slot_blank(const uint8_t *buf, size_t len, int i)
{
	return block_is_zero(buf + slot_off(len, i), slot_len(len));
}

bool header_bound(const uint8_t *buf, size_t len)
{
	return !block_is_zero(buf + len - BINDING_LEN, BINDING_LEN);
}

static int slot_mac(const uint8_t *buf, size_t len, int i, const struct file_keys *file, uint8_t mac[MAC_LEN])
{
	const struct hmac_part part[] = {{buf, IMMUTABLE_LEN}, {buf + slot_off(len, i), slot_len(len) - MAC_LEN}};
	return hmac_sha256(file->header_mac, part, ARRAY_LEN(part), mac);
}

int header_check(const uint8_t *buf, size_t len, int i, const struct store_keys *store, const struct file_keys *file)
{
	if (!header_len_ok(len) || i < 0 || i > 1)
		return -EBADMSG;
	if (be16_get(buf + 24) != store->suite)
		return -EBADMSG;
	if (sodium_memcmp(buf + 8, file->id, ID_LEN) != 0 || sodium_memcmp(store->id, file->store_id, ID_LEN) != 0)
		return -EBADMSG;
	uint8_t mac[MAC_LEN];
	int r = slot_mac(buf, len, i, file, mac);
	if (r)
		return r;
	return sodium_memcmp(mac, buf + slot_off(len, i) + slot_len(len) - MAC_LEN, MAC_LEN) == 0 ? 0 : -EBADMSG;
}

static int slot_write(uint8_t *buf, size_t len, int i, const struct header_wrap *w, const struct file_keys *file)
{
	size_t version_len = strnlen(w->version, sizeof(w->version));
	if (w->sequence == 0 || w->number == 0 || !wrap_ok(len, w->algorithm, version_len, w->wrapped_len))
		return -EINVAL;
	uint8_t *slot = buf + slot_off(len, i);
	memset(slot, 0, slot_len(len));
	be64_put(slot, w->sequence);
	be32_put(slot + 8, w->number);
	be16_put(slot + 12, w->algorithm);
	be16_put(slot + 14, (uint16_t)version_len);
	be16_put(slot + 16, (uint16_t)w->wrapped_len);
	memcpy(slot + SLOT_FIXED_LEN, w->version, version_len);
	memcpy(slot + SLOT_FIXED_LEN + version_len, w->wrapped, w->wrapped_len);
	return slot_mac(buf, len, i, file, slot + slot_len(len) - MAC_LEN);
}

int header_write(const struct header_wrap *wrap, const struct store_keys *store, const struct file_keys *file,
		 uint8_t *buf, size_t len)
{
	if (!header_len_ok(len) || sodium_memcmp(store->id, file->store_id, ID_LEN) != 0)
		return -EINVAL;
	memset(buf, 0, len);
	memcpy(buf, MAGIC, MAGIC_LEN);
	memcpy(buf + 8, file->id, ID_LEN);
	be16_put(buf + 24, (uint16_t)store->suite);
	return slot_write(buf, len, 0, wrap, file);
}

int header_rewrap(uint8_t *buf, size_t len, const struct header_wrap *wrap, const struct store_keys *store,
		  const struct file_keys *file, size_t *off, size_t *changed_len)
{
	struct header h;
	int r = header_parse(buf, len, &h);
	if (r)
		return r;
	if (sodium_memcmp(h.file_id, file->id, ID_LEN) != 0 || sodium_memcmp(store->id, file->store_id, ID_LEN) != 0)
		return -EINVAL;
	/* The newest slot that its MAC proves stays: a torn or forged one may claim any sequence. */
	int keep = header_newest(&h, -1);
	if (header_check(buf, len, keep, store, file) != 0)
		keep = header_newest(&h, keep);
	if (keep < 0 || header_check(buf, len, keep, store, file) != 0)
		return -EBADMSG;
	if (wrap->sequence <= h.wrap[keep].sequence)
		return -EINVAL;
	r = slot_write(buf, len, !keep, wrap, file);
	*off = slot_off(len, !keep);
	*changed_len = slot_len(len);
	return r;
}

bool header_begins(const uint8_t front[HEADER_MAGIC_LEN])
{
	return magic_check(front, HEADER_MAGIC_LEN, MAGIC) == 0;
}
