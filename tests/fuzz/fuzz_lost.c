/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of what was lost: head and entry as they are, and a whole list that holds them, read, asked and planned anew. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "fs/store/lost_own.h"

static struct lost_key *key(void)
{
	struct lost_key *k = NULL;

	MUST(lost_key_new(fuzz_store(), &k) == 0);
	return k;
}

/* Whatever it says, it is asked, cut, and brought after. */
static void use(struct lost *l, const uint8_t id[ID_LEN])
{
	const struct lost_of of = {id, 5};
	struct range r = {0};
	uint64_t pos = 0;
	size_t n = 0, placed = 0;

	while (lost_next(l, id, pos, &r) && n++ < LOST_SLOTS) {
		MUST(r.start < r.end && r.end > pos && lost_hit(l, id, r.start, r.end) && lost_any(l, &of));
		pos = r.end;
	}
	MUST(lost_end(l, id) == pos);
	MUST(n == 0 || lost_maybe(l, 5));
	lost_cut(l, &of, pos / 2, pos / 2 + 1);
	MUST(lost_add(l, &of, 10, 20) == 0 && lost_hit(l, id, 19, 20));
	for (size_t i = 0; i < l->n_files; i++) {
		struct lost_change c = {0};
		struct lost_file *most = NULL;

		MUST(lost_plan(l, l->file[i], &c, &most) == 0);
		for (size_t k = 0; k < c.n_drops; k++)
			lost_slot_give(l, c.drop[k]);
		lost_change_end(&c);
		placed += l->file[i]->n_placed;
	}
	MUST(placed == l->n_used);
	MUST(lost_replace_all(l) == 0 && l->n_used <= placed);
}

/* A list with the input behind a good head (AT), or over it. */
static void read_list(const uint8_t *data, size_t size, size_t at)
{
	static uint8_t list[LOST_LEN];
	const struct lost_head h = {.session = 1, .ino = 5};
	struct lost *l = NULL;
	bool as_is = false;

	MUST(lost_new(&l) == 0);
	l->key = key();
	memset(list, 0, sizeof(list));
	MUST(lost_head_write(l->key, &h, list) == 0);
	memcpy(list + at, data, size);
	memcpy(list + LOST_LEN - LOST_ENTRY_LEN, list + LOST_HEAD_LEN, LOST_ENTRY_LEN); /* and once more */
	int r = lost_take(l, list, 5, &as_is);
	MUST(r == 0 || r == -ENOTSUP);
	MUST(!as_is || !l->head.altered);
	if (r == 0)
		use(l, list + LOST_HEAD_LEN);
	lost_key_free(l->key);
	l->key = NULL; /* there is no file */
	lost_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct lost_key *k;
	struct lost_head h;
	struct lost_entry e;
	uint8_t *buf = fuzz_copy(data, size);

	if (!k)
		k = key();
	(void)!lost_head_parse(k, buf, size, &h);
	if (size >= LOST_ENTRY_LEN && lost_entry_parse(k, buf, &e) == 0) {
		uint8_t again[LOST_ENTRY_LEN];
		MUST(lost_entry_write(k, &e, again) == 0 && memcmp(again, buf, sizeof(again)) == 0);
	}
	/* What it says if it were authentic. */
	if (size == LOST_ENTRY_LEN) {
		e = (struct lost_entry){
			.ino = be64_get(buf + 16), .start = be64_get(buf + 24), .end = be64_get(buf + 32)};
		memcpy(e.file_id, buf, ID_LEN);
		if (lost_entry_write(k, &e, buf) == 0)
			read_list(buf, size, LOST_HEAD_LEN);
	}
	if (size > 0 && size <= 4096)
		read_list(buf, size, 0);
	free(buf);
	return 0;
}
