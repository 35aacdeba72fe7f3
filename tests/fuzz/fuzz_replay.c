/* SPDX-License-Identifier: BSD-2-Clause */
/* In-flight slots at a mount: whatever they say, nothing outside the store's data changes, and all are empty afterwards. */
#include "tests/fuzz/fuzz.h"

#include "crypto/inflight.h"
#include "fs/store/replay.h"
#include "fs/store/slots.h"
#include "tests/fuzz/fuzz_rig.h"

static struct rig *rig;
static int inflight_fd, data_fd;
static struct inflight good; /* what a slot for the one file says */
static uint64_t outside_size;

static int put_text(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	MUST(fd >= 0 && store_pwrite_full(fd, "nobody writes here", 18, 0) == 0);
	return fd;
}

/* One file in a folder, one beside the store that a link in data/ leads to, and an in-flight file. */
static void begin(void)
{
	uint8_t buf[HEADER_LEN_STORE];
	struct header *h = malloc(sizeof(*h));
	struct gate_key *key;
	struct stat st;

	rig = fuzz_rig();
	MUST(h && mkdirat(rig->store->data_fd, "d", 0700) == 0);
	int dir = openat(rig->store->data_fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	data_fd = rig_put_file(rig, dir, "f", 3 * RIG_BLOCK + 5, &key);
	gate_key_close(key);
	MUST(symlinkat("../../outside", rig->store->data_fd, "l") == 0);
	MUST(symlinkat("../..", rig->store->data_fd, "up") == 0);
	int top = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	MUST(top >= 0);
	int outside = put_text(top, "outside");
	MUST(fstat(outside, &st) == 0);
	outside_size = (uint64_t)st.st_size;
	MUST(store_pread_full(data_fd, buf, sizeof(buf), 0) == 0 && header_parse(buf, sizeof(buf), h) == 0);
	MUST(fstat(data_fd, &st) == 0);
	memcpy(good.file_id, h->file_id, ID_LEN);
	good.dev = st.st_dev;
	good.ino = st.st_ino;
	store_boot_id(good.boot_id);
	inflight_fd = openat(rig->store->own_fd, "inflight", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(inflight_fd >= 0 && fstat(inflight_fd, &st) == 0);
	good.home_fs = slots_fs(inflight_fd, &st);
	good.home_ino = st.st_ino;
	close(outside);
	close(top);
	close(dir);
	free(h);
}

/* A slot's head from the input: true in what ties it to its file if the first byte says so. */
static void slot_make(const uint8_t *data, size_t size, uint8_t head[INFLIGHT_HEAD_LEN])
{
	static const char *const paths[] = {"d/f",    "l",    "up/outside", "d",
					    "d/../l", "d/f/", "./d/f",      "up/store/data/d/f"};
	struct inflight in = good;
	const char *path = paths[data[1] % 8];

	memset(head, 0, INFLIGHT_HEAD_LEN);
	if (!(data[0] & 1)) {
		memcpy(head, data + 2, size - 2 < INFLIGHT_HEAD_LEN ? size - 2 : INFLIGHT_HEAD_LEN);
		return;
	}
	in.path_len = (uint32_t)strlen(path);
	in.disk_size = data[0] & 2 ? INFLIGHT_KEEP_SIZE : size * 100;
	for (size_t at = 2; at + 4 <= size && in.n_extents < INFLIGHT_EXTENTS; at += 4) {
		in.extent[in.n_extents].disk_off = be16_get(data + at) * 8u;
		in.extent[in.n_extents++].len = be16_get(data + at + 2);
	}
	inflight_fill(head, &in, path);
	inflight_mark(head, 1);
	if (data[0] & 4 && size > 6) /* one byte of it is another */
		head[be16_get(data + size - 3) % INFLIGHT_HEAD_LEN] = data[size - 1];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t head[INFLIGHT_HEAD_LEN];
	unsigned replayed = 0;
	struct stat st;
	char path[sizeof(rig->dir) + 16], text[32] = "";

	if (!rig)
		begin();
	if (size < 3)
		return 0;
	slot_make(data, size, head);
	MUST(ftruncate(inflight_fd, (off_t)(INFLIGHT_SLOTS * inflight_slot_len(&rig->store->keyring->layout))) == 0);
	MUST(store_pwrite_full(inflight_fd, head, sizeof(head), 0) == 0);
	int r = replay_all(rig->store, NULL, &replayed);
	MUST(r <= 0 && replayed <= 1 && (r < 0 || replay_pending(rig->store) == 0));
	/* what was not to be written stays for the next mount; what was is tried no more */
	snprintf(path, sizeof(path), "%s/outside", rig->dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size == outside_size);
	MUST(store_pread_full(fd, text, outside_size, 0) == 0 && strcmp(text, "nobody writes here") == 0);
	close(fd);
	MUST(fstat(data_fd, &st) == 0 && st.st_nlink == 1);
	MUST(replayed || (uint64_t)st.st_size >= HEADER_LEN_STORE);
	return 0;
}
