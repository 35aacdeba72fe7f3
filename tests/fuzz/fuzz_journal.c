/* SPDX-License-Identifier: BSD-2-Clause */
/* The undo journal's head and entries: as they are, and what they say if they were authentic. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "crypto/journal.h"

/* As it is on disk when somebody with the key wrote it: the same entry comes out. */
static void written_again(const struct journal_key *key, const struct journal_left *l)
{
	size_t len = journal_entry_len(&l->e), at = journal_bytes_at(&l->e);
	struct journal_left got;

	MUST(len > at && len % JOURNAL_ALIGN == 0);
	uint8_t *buf = calloc(1, len);
	MUST(buf);
	memcpy(buf + at, l->bytes, len - at);
	MUST(journal_entry_seal(key, &l->e, l->path, buf) == 0);
	MUST(journal_entry_parse(key, buf, len, l->e.place, &got) == 0);
	MUST(got.e.seq == l->e.seq && got.e.cut == l->e.cut && got.e.n_extents == l->e.n_extents && !got.e.ended);
	free(buf);
}

/* A MAC of ours over what the input says, as far as that may be written at all. */
static void sealed(const struct journal_key *key, const uint8_t *data, size_t size)
{
	struct journal_entry e = {.seq = data[0],
				  .oldest = data[1],
				  .place = data[2] * JOURNAL_ALIGN,
				  .disk_size = be64_get(data + 3),
				  .cut = be64_get(data + 11),
				  .n_extents = data[19],
				  .path_len = data[20]};
	const char *path = (const char *)data + 21;

	if (e.path_len > size - 21)
		return;
	for (size_t i = 0, at = 21 + e.path_len; i < e.n_extents && i < JOURNAL_EXTENTS && at + 13 <= size;
	     i++, at += 13)
		e.extent[i] = (struct journal_extent){be64_get(data + at), be32_get(data + at + 8) % 5000,
						      data[at + 12]};
	size_t len = journal_entry_len(&e);
	uint8_t *buf = calloc(1, len ? len : 1);
	struct journal_left got;
	MUST(buf);
	int r = journal_entry_seal(key, &e, path, buf);
	MUST(r == (len ? 0 : -EINVAL));
	if (r == 0 && journal_entry_parse(key, buf, len, e.place, &got) == 0)
		written_again(key, &got);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct journal_key *key;
	struct journal_head h;
	struct journal_left l;
	uint64_t session;
	uint8_t *buf = fuzz_copy(data, size);

	if (!key)
		MUST(journal_key_new(fuzz_store(), 1, &key) == 0);
	(void)!journal_head_peek(buf, size, &session);
	(void)!journal_head_parse(key, buf, size, &h);
	for (uint64_t place = 0; place <= 1280; place += 1280)
		if (journal_entry_parse(key, buf, size, place, &l) == 0)
			written_again(key, &l);
	if (size >= 21)
		sealed(key, buf, size);
	free(buf);
	return 0;
}
