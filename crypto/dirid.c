/* SPDX-License-Identifier: BSD-2-Clause */
/* The file of a directory's id (FORMAT.md "Directory id"). */
#include <errno.h>
#include <string.h>

#include "crypto/magic.h"
#include "crypto/name.h"

#define MAGIC "BYOKFS1I"
#define ORIGIN "BYOKFS1G"
#define ORIGIN_LEN (MAGIC_LEN + 8 + 8 + 4)
#define MACED_LEN (MAGIC_LEN + ID_LEN)

static int seal(const struct store_keys *keys, const uint8_t id[ID_LEN], uint8_t file[DIRID_LEN])
{
	memcpy(file, MAGIC, MAGIC_LEN);
	memcpy(file + MAGIC_LEN, id, ID_LEN);
	return store_mac(keys, MAC_DIRID, file, MACED_LEN, file + MACED_LEN);
}

int dirid_new(const struct store_keys *keys, uint8_t id[ID_LEN], uint8_t file[DIRID_LEN])
{
	random_bytes(id, ID_LEN);
	return seal(keys, id, file);
}

int dirid_from(const struct store_keys *keys, const struct dirid_origin *origin, uint8_t id[ID_LEN],
	       uint8_t file[DIRID_LEN])
{
	uint8_t from[ORIGIN_LEN], mac[MAC_LEN];

	memcpy(from, ORIGIN, MAGIC_LEN);
	be64_put(from + MAGIC_LEN, origin->ino);
	be64_put(from + MAGIC_LEN + 8, (uint64_t)origin->sec);
	be32_put(from + MAGIC_LEN + 16, origin->nsec);
	int r = store_mac(keys, MAC_DIRID, from, sizeof(from), mac);
	if (r)
		return r;
	memcpy(id, mac, ID_LEN);
	return seal(keys, id, file);
}

int dirid_parse(const struct store_keys *keys, const uint8_t *file, size_t len, uint8_t id[ID_LEN])
{
	if (len != DIRID_LEN || memcmp(file, MAGIC, MAGIC_LEN) != 0)
		return -EBADMSG;
	int r = store_mac_check(keys, MAC_DIRID, file, MACED_LEN, file + MACED_LEN);
	if (!r)
		memcpy(id, file + MAGIC_LEN, ID_LEN);
	return r;
}

int dirid_peek(const uint8_t *file, size_t len, uint8_t id[ID_LEN])
{
	int r = len == DIRID_LEN ? magic_check(file, len, MAGIC) : -EUCLEAN;
	if (!r)
		memcpy(id, file + MAGIC_LEN, ID_LEN);
	return r;
}
