/* SPDX-License-Identifier: BSD-2-Clause */
/* A whole undo journal at a mount: whatever its entries say, nothing but their own file changes, and it is empty afterwards. */
#include "tests/fuzz/fuzz.h"

#include "crypto/journal.h"
#include "fs/store/journal_own.h"
#include "fs/store/undo.h"
#include "tests/fuzz/fuzz_rig.h"

#define SESSION 7u
#define LEN_MAX 60000u

static struct rig *rig;
static struct journal_key *key;
static struct journal_entry own; /* what an entry for the one file says */
static int file_fd, other_fd, journal_fd;
static uint8_t *before, *ring; /* of the file when it is whole; the journal's */
static size_t before_len, other_len;
static uint8_t other[LEN_MAX];

static size_t length(int fd)
{
	struct stat st;

	MUST(fstat(fd, &st) == 0);
	return (size_t)st.st_size;
}

static void begin(void)
{
	const struct store_keys *keys;
	struct gate_key *k;
	struct stat st;

	rig = fuzz_rig();
	file_fd = rig_put_file(rig, rig->store->data_fd, "f", 3 * RIG_BLOCK + 5, &k);
	gate_key_close(k);
	other_fd = rig_put_file(rig, rig->store->data_fd, "g", RIG_BLOCK + 5, &k);
	gate_key_close(k);
	before_len = length(file_fd);
	other_len = length(other_fd);
	before = malloc(before_len);
	ring = malloc(JOURNAL_UNIT);
	MUST(before && ring && other_len <= sizeof(other));
	MUST(store_pread_full(file_fd, before, before_len, 0) == 0);
	MUST(store_pread_full(other_fd, other, other_len, 0) == 0);
	MUST(fstat(file_fd, &st) == 0);
	memcpy(own.file_id, header_file_id(before), ID_LEN);
	own.ino = st.st_ino;
	MUST(gate_enter(rig->gate, GATE_USE_NEW, &keys) == 0 && journal_key_new(keys, SESSION, &key) == 0);
	gate_leave(rig->gate);
	journal_fd = openat(rig->store->own_fd, STORE_JOURNAL, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(journal_fd >= 0);
	rig->store->left_session = SESSION;
}

/* Entries out of the input: 16 bytes each; every second one has another file's id, or a length of its own. */
static void fill(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"f", "g", "no/such", "../f"};
	size_t at = 0;

	memset(ring, 0, JOURNAL_UNIT);
	for (uint64_t seq = 1; size >= 16 && seq < 200; data += 16, size -= 16, seq++) {
		const char *path = paths[data[0] % 4];
		struct journal_entry e = own;

		e.seq = data[1] & 1 ? seq : seq + data[2];
		e.oldest = data[3] % e.seq + 1;
		e.place = at;
		e.disk_size = data[1] & 2 ? before_len : be16_get(data + 4);
		e.cut = data[1] & 4 ? JOURNAL_NO_CUT : be16_get(data + 6);
		e.path_len = (uint32_t)strlen(path);
		e.file_id[0] ^= data[1] & 8 && data[1] & 16;
		e.n_extents = 1 + (data[1] >> 5 & 1);
		for (unsigned i = 0; i < e.n_extents; i++)
			e.extent[i] = (struct journal_extent){be16_get(data + 8 + 4 * i),
							      be16_get(data + 10 + 4 * i) % 9000u,
							      (data[1] >> 6 & 1) ? JOURNAL_HOLE : JOURNAL_OLD};
		if (e.cut != JOURNAL_NO_CUT)
			e.extent[e.n_extents - 1].kind = JOURNAL_NEW;
		size_t len = journal_entry_len(&e);
		if (len == 0 || at + len > JOURNAL_UNIT)
			return;
		MUST(journal_entry_seal(key, &e, path, ring + at) == 0);
		at += len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t head[JOURNAL_HEAD_LEN], now[LEN_MAX];
	struct undo_done done;
	struct stat st;

	if (!rig)
		begin();
	if (size < 17)
		return 0;
	const struct undo u = {.store = rig->store, .gate = rig->gate};
	fill(data + 1, size - 1);
	MUST(fstat(journal_fd, &st) == 0);
	const struct journal_head h = {SESSION, journal_born(journal_fd), st.st_ino, JOURNAL_UNIT};
	MUST(journal_head_write(key, &h, head) == 0);
	MUST(store_pwrite_full(journal_fd, head, sizeof(head), 0) == 0);
	MUST(store_pwrite_full(journal_fd, ring, JOURNAL_UNIT, JOURNAL_HEAD_LEN) == 0);
	MUST(ftruncate(file_fd, 0) == 0 && store_pwrite_full(file_fd, before, before_len, 0) == 0);
	if (data[0] & 1) /* the end, so that it goes back */
		MUST(store_pwrite_full(file_fd, "torn", 4, before_len - 4) == 0);
	int r = undo_all(&u, &done);
	MUST(r == 0);
	MUST(done.files <= 1);
	undo_done_free(&done);
	/* nobody else's bytes, whatever a path says */
	MUST(length(other_fd) == other_len && store_pread_full(other_fd, now, other_len, 0) == 0);
	MUST(memcmp(now, other, other_len) == 0);
	MUST(store_pread_full(journal_fd, head, sizeof(head), 0) == 0);
	MUST(block_is_zero(head, sizeof(head)));
	return 0;
}
