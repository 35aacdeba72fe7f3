/* SPDX-License-Identifier: BSD-2-Clause */
/* Names: decode any text in both modes, encode any bytes and get them back. */
#include "tests/fuzz/fuzz.h"

#include "crypto/name.h"

static const uint8_t dir[ID_LEN] = {7};

static void try_encode(enum name_mode mode, const uint8_t *data, size_t size)
{
	static struct disk_name disk;
	char back[NAME_LEN_MAX + 1];
	const struct store_keys *store = fuzz_store();
	char *plain = fuzz_text(data, size);
	if (name_encode(store, mode, dir, plain, size, &disk) == 0) {
		const uint8_t *sidecar = disk.sidecar[0] ? disk.sidecar_data : NULL;
		enum entry_kind kind = name_kind(mode, disk.name);
		MUST(kind == (sidecar ? ENTRY_LONG : ENTRY_NAME) && strlen(disk.name) <= NAME_LEN_MAX);
		MUST(name_decode(store, mode, dir, disk.name, sidecar, disk.sidecar_len, back) == 0);
		MUST(strlen(back) == size && memcmp(back, plain, size) == 0);
	}
	free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char plain[NAME_LEN_MAX + 1], sidecar[NAME_LEN_MAX + 1];
	static struct disk_name again;
	const struct store_keys *store = fuzz_store();
	char *disk = fuzz_text(data, size);
	for (int mode = NAMES_SIV; mode <= NAMES_PLAIN; mode++) {
		(void)name_kind((enum name_mode)mode, disk);
		if (name_decode(store, (enum name_mode)mode, dir, disk, NULL, 0, plain) == 0) {
			/* One plain name, one disk name. */
			MUST(name_encode(store, (enum name_mode)mode, dir, plain, strlen(plain), &again) == 0);
			MUST(strcmp(again.name, disk) == 0);
		}
		try_encode((enum name_mode)mode, data, size);
	}
	name_sidecar(disk, sidecar);
	MUST(strlen(sidecar) <= NAME_LEN_MAX);
	free(disk);
	return 0;
}
