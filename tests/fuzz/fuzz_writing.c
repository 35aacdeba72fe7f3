/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of files being written: head and entry as they are, and a whole list that holds them. */
#include "tests/fuzz/fuzz.h"

#include <sys/stat.h>

#include "crypto/writing.h"
#include "fs/store/leeway.h"

/* A list with the input behind a good head or over it: whatever it says, it is judged and asked. */
static void judge(const uint8_t *data, size_t size, const struct writing_key *key, size_t at)
{
	static uint8_t list[WRITING_LEN];
	const struct writing_head h = {.session = 1, .ino = 5, .begun = 100};
	const struct leeway_file file = {.bytes = list, .ino = 5};
	const struct leeway_how how = {.session = 1, .listed = true};
	const struct stat st = {.st_ino = 5, .st_ctime = 50};
	struct leeway l;

	memset(list, 0, sizeof(list));
	MUST(writing_head_write(key, &h, list) == 0);
	memcpy(list + at, data, size);
	MUST(leeway_judge(fuzz_store(), &file, &how, &l) == 0);
	MUST(!l.all || !l.lost);
	(void)(leeway_maybe(&l, &st) && leeway_file(&l, data, &st) && leeway_stump(&l, &st, 1));
	(void)leeway_mended(&l, data);
	leeway_free(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct writing_key *key;
	struct writing_head h;
	struct writing_entry e;
	uint64_t session;
	uint8_t *buf = fuzz_copy(data, size);

	if (!key)
		MUST(writing_key_new(fuzz_store(), 1, &key) == 0);
	(void)!writing_head_peek(buf, size, &session);
	(void)!writing_head_parse(key, buf, size, &h);
	if (size >= WRITING_ENTRY_LEN && writing_entry_parse(key, buf, &e) == 0) {
		uint8_t again[WRITING_ENTRY_LEN];
		MUST(writing_entry_write(key, &e, again) == 0 && memcmp(again, buf, sizeof(again)) == 0);
	}
	/* What it says if it were authentic. */
	if (size == WRITING_ENTRY_LEN) {
		e = (struct writing_entry){.kind = buf[3],
					   .ino = be64_get(buf + 24),
					   .time = be64_get(buf + 32),
					   .value = be64_get(buf + 40)};
		if (writing_entry_write(key, &e, buf) == 0)
			judge(buf, size, key, WRITING_HEAD_LEN);
	}
	if (size >= ID_LEN && size <= 4096)
		judge(buf, size, key, 0);
	free(buf);
	return 0;
}
