/* SPDX-License-Identifier: BSD-2-Clause */
/* Final record and blocks: the head in clear, and opening whatever lengths and numbers come. */
#include "tests/fuzz/fuzz.h"

#include "crypto/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct layout layout = {HEADER_LEN_STORE, BLOCK_LEN_MIN, SUITE_2};
	static const uint8_t id[ID_LEN] = {1};
	static struct file_keys *file;
	struct block_cipher c;
	struct final_head head;
	uint64_t plain_size, bad = 0, no;
	if (size < 9)
		return 0;
	const struct store_keys *store = fuzz_store();
	if (!file)
		MUST(file_keys_new(store, id, &file) == 0);
	no = be64_get(data);
	uint32_t flags = data[8];
	data += 9;
	size -= 9;
	uint8_t *cipher = fuzz_copy(data, size), *plain = malloc(size + 1);
	MUST(plain && block_cipher_begin(&c, store, file, &layout, 0) == 0);
	if (final_head_parse(&layout, cipher, size, &head) == 0)
		MUST(head.tail_len < layout.block_len && !(head.flags & ~FINAL_SPARSE));
	MUST(final_open(&c, no, cipher, size, &head, plain) != 0);
	size_t n = size / layout_record_len(&layout);
	int rc = block_open(&c, no, n, flags, cipher, plain, &bad);
	if (n && rc == 0)
		MUST((flags & FINAL_SPARSE) && block_is_zero(cipher, n * layout_record_len(&layout)));
	if (rc)
		MUST(block_is_zero(plain, n * layout.block_len) || bad == 0);
	if (layout_classify(&layout, no, &plain_size) == OBJECT_FILE)
		MUST(layout_disk_size(&layout, plain_size) == no);
	block_cipher_end(&c);
	free(cipher);
	free(plain);
	return 0;
}
