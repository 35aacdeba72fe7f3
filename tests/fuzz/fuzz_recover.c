/* SPDX-License-Identifier: BSD-2-Clause */
/* The end of a file that a crash left: a true file, altered as the input says, or with the input as its body. */
#include "tests/fuzz/fuzz.h"

#include <sys/mman.h>

#include "fs/store/recover.h"
#include "tests/fuzz/fuzz_rig.h"

#define BLOCKS_MAX 8u

static struct rig *rig;
static int fd;
static struct gate_key *key;

static const struct layout *layout(void)
{
	return &rig->store->keyring->layout;
}

static uint64_t disk_size(void)
{
	struct stat st;

	MUST(fstat(fd, &st) == 0);
	return (uint64_t)st.st_size;
}

/* One edit: what, where (in 16 bytes), how much. */
static void edit(const uint8_t op[4])
{
	static const uint8_t zeros[RIG_BLOCK];
	uint64_t size = disk_size(), at = layout()->header_len + 16ull * be16_get(op + 1);
	const struct final_head head = {.tail_len = op[3] * 16u, .flags = op[1] & 1, .generation = op[2]};
	uint8_t record[RIG_BLOCK + BLOCK_OVERHEAD];

	switch (op[0] % 7) {
	case 0:
		MUST(at > size || ftruncate(fd, (off_t)at) == 0);
		break;
	case 1:
		MUST(ftruncate(fd, (off_t)(size + op[3] * 64u)) == 0);
		break;
	case 2:
		MUST(pwrite(fd, zeros, op[3] * 16u, (off_t)at) >= 0);
		break;
	case 3:
		MUST(pwrite(fd, op, 4, (off_t)at) == 4);
		break;
	case 4: /* a true final record where it does not belong */
		rig_put_final(rig, fd, key, op[2] % (BLOCKS_MAX + 1), &head);
		break;
	case 5: /* a true block, wherever */
		rig_put_block(rig, fd, key, op[2] % (BLOCKS_MAX + 1));
		break;
	default: /* a block of another place */
		if (pread(fd, record, sizeof(record), (off_t)layout_record_off(layout(), op[1] % BLOCKS_MAX)) > 0)
			MUST(store_pwrite_full(fd, record, sizeof(record),
					       layout_record_off(layout(), op[2] % BLOCKS_MAX)) == 0);
	}
}

/* Where it ends is where a file may end, and then it is whole; what was not to be mended was not touched. */
static void found(const struct recover *r)
{
	struct recover_end e, again;
	uint64_t plain, size = disk_size();
	int err = recover_find(r, &e);

	MUST(err <= 0);
	if (err) {
		MUST(err == -EBADMSG || err == -EUCLEAN);
		MUST(recover_file(r) <= 0 && disk_size() == size);
		return;
	}
	MUST(layout_classify(layout(), e.disk_size, &plain) == OBJECT_FILE && plain / RIG_BLOCK == e.blocks);
	MUST(e.bad + e.empty <= e.blocks && (e.sealed || e.disk_size <= size + FINAL_OVERHEAD));
	MUST(recover_apply(r, &e) == 0 && disk_size() == e.disk_size);
	MUST(recover_final_at(r, e.blocks, NULL) == 1);
	MUST(recover_find(r, &again) == 0 && again.sealed && again.blocks <= e.blocks);
	MUST(recover_file(r) == 0 && disk_size() == e.disk_size);
}

static void make(uint64_t size)
{
	uint8_t header[HEADER_LEN_FILE];
	const struct final_head head = {.tail_len = (uint32_t)(size % RIG_BLOCK), .generation = 1};

	MUST(ftruncate(fd, 0) == 0 && gate_key_create(rig->gate, header, &key) == 0);
	MUST(store_pwrite_full(fd, header, layout()->header_len, 0) == 0);
	for (uint64_t no = 0; no < size / RIG_BLOCK; no++)
		rig_put_block(rig, fd, key, no);
	rig_put_final(rig, fd, key, size / RIG_BLOCK, &head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!rig) {
		rig = fuzz_rig();
		fd = memfd_create("recover", MFD_CLOEXEC);
		MUST(fd >= 0);
	}
	if (size < 3)
		return 0;
	make(data[0] % BLOCKS_MAX * RIG_BLOCK + data[1] * 16u);
	const struct recover r = {.fd = fd, .layout = layout(), .gate = rig->gate, .key = key};
	if (data[2] & 1) {
		MUST(ftruncate(fd, layout()->header_len) == 0);
		MUST(store_pwrite_full(fd, data + 3, size - 3, layout()->header_len) == 0);
	}
	for (size_t at = 3; !(data[2] & 1) && at + 4 <= size && at < 3 + 4 * 16; at += 4)
		edit(data + at);
	found(&r);
	gate_key_close(key);
	return 0;
}
