/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's bytes: a head, and entries of old records, each with a MAC under a key of the session. */
#include "crypto/journal.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "crypto/kdf.h"
#include "crypto/keys_private.h"
#include "crypto/magic.h"
#include "crypto/path_below.h"
#include "crypto/secret.h"

#define MAGIC "BYOKFS1J"
#define HEAD_MACED 96u
#define HEAD_USED 40u
#define EXTENT_AT 72u
#define EXTENT_LEN 16u
#define OLDEST_AT (EXTENT_AT + JOURNAL_EXTENTS * EXTENT_LEN)
#define RESERVED_AT (OLDEST_AT + 8u)

static const uint8_t entry_magic[4] = {'U', 'N', 'D', 'O'};
const uint8_t journal_magic_ended[JOURNAL_MARK_LEN] = {'D', 'O', 'N', 'E'};

struct journal_key {
	uint8_t key[KEY_LEN];
};

int journal_key_new(const struct store_keys *keys, uint64_t session, struct journal_key **out)
{
	const struct kdf_info info = {
		.purpose = "journal", .store_id = keys->id, .number = session, .has_number = true};
	AUTO(secret_free_at) void *prk = secret_alloc(KEY_LEN);
	struct journal_key *k = secret_alloc(sizeof(*k));
	int r = prk && k ? kdf_extract(NULL, keys->root, KEY_LEN, prk) : -ENOMEM;

	if (!r)
		r = kdf_expand(prk, &info, k->key, KEY_LEN);
	if (r) {
		secret_free(k);
		return r;
	}
	*out = k;
	return 0;
}

void journal_key_free(struct journal_key *k)
{
	secret_free(k);
}

static bool head_ok(const struct journal_head *h)
{
	return h->session && h->ring_len && h->ring_len % JOURNAL_UNIT == 0 && h->ring_len <= INT64_MAX;
}

static int head_mac(const struct journal_key *k, const uint8_t *buf, uint8_t mac[MAC_LEN])
{
	return hmac_sha256(k->key, &(struct hmac_part){buf, HEAD_MACED}, 1, mac);
}

int journal_head_write(const struct journal_key *k, const struct journal_head *h, uint8_t buf[JOURNAL_HEAD_LEN])
{
	if (!head_ok(h))
		return -EINVAL;
	memset(buf, 0, JOURNAL_HEAD_LEN);
	memcpy(buf, MAGIC, MAGIC_LEN);
	be64_put(buf + 8, h->session);
	be64_put(buf + 16, h->home_born);
	be64_put(buf + 24, h->home_ino);
	be64_put(buf + 32, h->ring_len);
	return head_mac(k, buf, buf + HEAD_MACED);
}

int journal_head_peek(const uint8_t *buf, size_t len, uint64_t *session)
{
	int r = len == JOURNAL_HEAD_LEN ? magic_check(buf, len, MAGIC) : -EUCLEAN;

	if (r)
		return r;
	*session = be64_get(buf + 8);
	return *session ? 0 : -EUCLEAN;
}

int journal_head_parse(const struct journal_key *k, const uint8_t *buf, size_t len, struct journal_head *out)
{
	uint8_t good[MAC_LEN];

	if (len != JOURNAL_HEAD_LEN || memcmp(buf, MAGIC, MAGIC_LEN) != 0)
		return -EBADMSG;
	int r = head_mac(k, buf, good);
	if (r)
		return r;
	if (sodium_memcmp(good, buf + HEAD_MACED, MAC_LEN) != 0)
		return -EBADMSG;
	*out = (struct journal_head){.session = be64_get(buf + 8),
				     .home_born = be64_get(buf + 16),
				     .home_ino = be64_get(buf + 24),
				     .ring_len = be64_get(buf + 32)};
	return head_ok(out) && sodium_is_zero(buf + HEAD_USED, HEAD_MACED - HEAD_USED) ? 0 : -EBADMSG;
}

static bool extent_ok(const struct journal_extent *x)
{
	return x->len && x->off && x->off <= (uint64_t)INT64_MAX - x->len &&
	       (x->kind == JOURNAL_OLD || x->kind == JOURNAL_HOLE || x->kind == JOURNAL_NEW);
}

static bool numbers_ok(const struct journal_entry *e)
{
	return e->seq && e->oldest && e->oldest <= e->seq && e->place % JOURNAL_ALIGN == 0 && e->n_extents > 0 &&
	       e->n_extents <= JOURNAL_EXTENTS && e->path_len <= JOURNAL_PATH_MAX && e->disk_size <= INT64_MAX &&
	       (e->cut == JOURNAL_NO_CUT || e->cut <= INT64_MAX);
}

/* Bytes of the extents; SIZE_MAX if E is none that may be written. */
static size_t bytes_len(const struct journal_entry *e)
{
	bool ok = numbers_ok(e), has_new = false;
	size_t sum = 0;

	for (uint32_t i = 0; ok && i < e->n_extents; i++) {
		ok = extent_ok(&e->extent[i]);
		has_new = has_new || e->extent[i].kind == JOURNAL_NEW;
		sum += e->extent[i].kind == JOURNAL_HOLE ? 0 : e->extent[i].len;
	}
	return ok && has_new == (e->cut != JOURNAL_NO_CUT) ? sum : SIZE_MAX;
}

size_t journal_bytes_at(const struct journal_entry *e)
{
	return JOURNAL_ENTRY_HEAD + e->path_len;
}

static size_t round_up(size_t n)
{
	return (n + JOURNAL_ALIGN - 1) / JOURNAL_ALIGN * JOURNAL_ALIGN;
}

size_t journal_entry_len(const struct journal_entry *e)
{
	size_t bytes = bytes_len(e);

	return bytes == SIZE_MAX ? 0 : round_up(journal_bytes_at(e) + bytes + MAC_LEN);
}

/* Of the LEN bytes before it, the mark as zeros. */
static int entry_mac(const struct journal_key *k, const uint8_t *buf, size_t len, uint8_t mac[MAC_LEN])
{
	static const uint8_t unmarked[JOURNAL_MARK_LEN];
	const size_t behind = JOURNAL_MARK_OFF + JOURNAL_MARK_LEN;
	const struct hmac_part part[] = {
		{buf, JOURNAL_MARK_OFF}, {unmarked, sizeof(unmarked)}, {buf + behind, len - behind}};

	return hmac_sha256(k->key, part, ARRAY_LEN(part), mac);
}

int journal_entry_seal(const struct journal_key *k, const struct journal_entry *e, const char *path, uint8_t *buf)
{
	size_t bytes = bytes_len(e);

	if (bytes == SIZE_MAX)
		return -EINVAL;
	memset(buf, 0, JOURNAL_ENTRY_HEAD);
	memcpy(buf, entry_magic, sizeof(entry_magic));
	be64_put(buf + 8, e->seq);
	be64_put(buf + 16, e->place);
	memcpy(buf + 24, e->file_id, ID_LEN);
	be64_put(buf + 40, e->ino);
	be64_put(buf + 48, e->disk_size);
	be64_put(buf + 56, e->cut);
	be32_put(buf + 64, e->n_extents);
	be32_put(buf + 68, e->path_len);
	for (uint32_t i = 0; i < e->n_extents; i++) {
		uint8_t *at = buf + EXTENT_AT + i * EXTENT_LEN;
		be64_put(at, e->extent[i].off);
		be32_put(at + 8, e->extent[i].len);
		be32_put(at + 12, (uint32_t)e->extent[i].kind);
	}
	be64_put(buf + OLDEST_AT, e->oldest);
	if (e->path_len)
		memcpy(buf + JOURNAL_ENTRY_HEAD, path, e->path_len);
	size_t maced = journal_bytes_at(e) + bytes;
	memset(buf + maced + MAC_LEN, 0, round_up(maced + MAC_LEN) - maced - MAC_LEN);
	return entry_mac(k, buf, maced, buf + maced);
}

/* The head's fields, of which nothing is known yet. -EBADMSG for what was never written like this. */
static int entry_read(const uint8_t *buf, struct journal_entry *e)
{
	*e = (struct journal_entry){.seq = be64_get(buf + 8),
				    .place = be64_get(buf + 16),
				    .ino = be64_get(buf + 40),
				    .disk_size = be64_get(buf + 48),
				    .cut = be64_get(buf + 56),
				    .n_extents = be32_get(buf + 64),
				    .path_len = be32_get(buf + 68),
				    .oldest = be64_get(buf + OLDEST_AT)};
	memcpy(e->file_id, buf + 24, ID_LEN);
	e->ended = memcmp(buf + JOURNAL_MARK_OFF, journal_magic_ended, JOURNAL_MARK_LEN) == 0;
	if (e->n_extents > JOURNAL_EXTENTS)
		return -EBADMSG;
	for (uint32_t i = 0; i < e->n_extents; i++) {
		const uint8_t *at = buf + EXTENT_AT + i * EXTENT_LEN;
		e->extent[i] = (struct journal_extent){be64_get(at), be32_get(at + 8), be32_get(at + 12)};
	}
	size_t used = EXTENT_AT + e->n_extents * EXTENT_LEN;
	return sodium_is_zero(buf + used, OLDEST_AT - used) &&
			       sodium_is_zero(buf + RESERVED_AT, JOURNAL_ENTRY_HEAD - RESERVED_AT)
		       ? 0
		       : -EBADMSG;
}

int journal_entry_parse(const struct journal_key *k, const uint8_t *buf, size_t len, uint64_t place,
			struct journal_left *out)
{
	uint8_t good[MAC_LEN];
	struct journal_entry e;

	if (len < JOURNAL_ENTRY_HEAD || memcmp(buf, entry_magic, sizeof(entry_magic)) != 0)
		return -ENOENT;
	if (entry_read(buf, &e) || e.place != place)
		return -EBADMSG;
	size_t room = bytes_len(&e);
	if (room == SIZE_MAX || room > len || journal_entry_len(&e) > len)
		return -EBADMSG;
	size_t maced = journal_bytes_at(&e) + room;
	int r = entry_mac(k, buf, maced, good);
	if (r)
		return r;
	if (sodium_memcmp(good, buf + maced, MAC_LEN) != 0 ||
	    !path_below((const char *)buf + JOURNAL_ENTRY_HEAD, e.path_len))
		return -EBADMSG;
	*out = (struct journal_left){e, (const char *)buf + JOURNAL_ENTRY_HEAD, buf + journal_bytes_at(&e)};
	return 0;
}
