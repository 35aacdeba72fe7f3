/* SPDX-License-Identifier: BSD-2-Clause */
/* In-flight slots: made while serving, read as hostile bytes at the next mount. */
#include "crypto/inflight.h"

#include <errno.h>
#include <string.h>

#include "crypto/magic.h"
#include "crypto/path_below.h"

#define MAGIC "BYOKFS1T"
#define OFF_MARK INFLIGHT_MARK_OFF
#define OFF_EXTENTS 64u
#define EXTENT_LEN 16u
#define OFF_BOOT 128u
#define OFF_HOME 144u /* filesystem, inode, session, turn */
#define OFF_PATH (INFLIGHT_HEAD_LEN - INFLIGHT_PATH_MAX)

/* Bytes, so that the file reads the same on every machine. */
static const uint8_t magic_mark_valid[4] = {'V', 'A', 'L', 'D'};
static const uint8_t magic_mark_empty[4];

_Static_assert(OFF_EXTENTS + INFLIGHT_EXTENTS * EXTENT_LEN <= OFF_BOOT && OFF_BOOT + ID_LEN == OFF_HOME &&
		       OFF_HOME + 32 == INFLIGHT_PEEK_LEN,
	       "in order");

size_t inflight_slot_len(const struct layout *l)
{
	/* An unaligned request touches one block more, and may turn an old tail into a whole block elsewhere. */
	uint64_t blocks = INFLIGHT_REQUEST_MAX / l->block_len + 2;
	uint64_t len = INFLIGHT_HEAD_LEN + blocks * layout_record_len(l) + layout_final_room(l);
	return (size_t)((len + 4095) / 4096 * 4096);
}

void inflight_fill(uint8_t *slot, const struct inflight *f, const char *path)
{
	memcpy(slot, MAGIC, MAGIC_LEN);
	be32_put(slot + 12, f->n_extents);
	memcpy(slot + 16, f->file_id, ID_LEN);
	be64_put(slot + 32, f->dev);
	be64_put(slot + 40, f->ino);
	be64_put(slot + 48, f->disk_size);
	be32_put(slot + 56, f->path_len <= INFLIGHT_PATH_MAX ? f->path_len : 0);
	be32_put(slot + 60, 0);
	memcpy(slot + OFF_BOOT, f->boot_id, ID_LEN);
	be64_put(slot + OFF_HOME, f->home_fs);
	be64_put(slot + OFF_HOME + 8, f->home_ino);
	be64_put(slot + OFF_HOME + 16, f->session);
	be64_put(slot + OFF_HOME + 24, f->turn);
	for (uint32_t i = 0; i < f->n_extents && i < INFLIGHT_EXTENTS; i++) {
		uint8_t *e = slot + OFF_EXTENTS + i * EXTENT_LEN;
		be64_put(e, f->extent[i].disk_off);
		be32_put(e + 8, f->extent[i].len);
		be32_put(e + 12, 0);
	}
	if (f->path_len && f->path_len <= INFLIGHT_PATH_MAX)
		memcpy(slot + OFF_PATH, path, f->path_len);
}

void inflight_mark(uint8_t *slot, int valid)
{
	memcpy(slot + OFF_MARK, valid ? magic_mark_valid : magic_mark_empty, INFLIGHT_MARK_LEN);
}

bool inflight_peek(const uint8_t head[INFLIGHT_PEEK_LEN], uint64_t *session, uint64_t *turn, bool *valid)
{
	*session = be64_get(head + OFF_HOME + 16);
	*turn = be64_get(head + OFF_HOME + 24);
	*valid = memcmp(head + OFF_MARK, magic_mark_valid, sizeof(magic_mark_valid)) == 0;
	return memcmp(head, MAGIC, MAGIC_LEN) == 0 && *session && *turn;
}

static int extents_parse(const uint8_t *slot, size_t slot_len, const struct layout *l, struct inflight *out)
{
	uint64_t room = slot_len - INFLIGHT_HEAD_LEN;
	if (out->n_extents > INFLIGHT_EXTENTS)
		return -EUCLEAN;
	for (uint32_t i = 0; i < out->n_extents; i++) {
		const uint8_t *e = slot + OFF_EXTENTS + i * EXTENT_LEN;
		struct inflight_extent *x = &out->extent[i];
		x->disk_off = be64_get(e);
		x->len = be32_get(e + 8);
		if (x->len == 0 || x->len > room || be32_get(e + 12) != 0)
			return -EUCLEAN;
		if (x->disk_off < l->header_len || x->disk_off > (uint64_t)INT64_MAX - x->len)
			return -EUCLEAN;
		room -= x->len;
	}
	return 0;
}

int inflight_parse(const uint8_t *slot, size_t slot_len, const struct layout *l, struct inflight *out,
		   const char **path)
{
	memset(out, 0, sizeof(*out));
	if (slot_len < INFLIGHT_HEAD_LEN)
		return -EUCLEAN;
	if (memcmp(slot + OFF_MARK, magic_mark_empty, sizeof(magic_mark_empty)) == 0)
		return -ENOENT;
	if (memcmp(slot + OFF_MARK, magic_mark_valid, sizeof(magic_mark_valid)) != 0 ||
	    memcmp(slot, MAGIC, MAGIC_LEN) != 0)
		return -EUCLEAN;
	out->n_extents = be32_get(slot + 12);
	memcpy(out->file_id, slot + 16, ID_LEN);
	out->dev = be64_get(slot + 32);
	out->ino = be64_get(slot + 40);
	out->disk_size = be64_get(slot + 48);
	memcpy(out->boot_id, slot + OFF_BOOT, ID_LEN);
	out->home_fs = be64_get(slot + OFF_HOME);
	out->home_ino = be64_get(slot + OFF_HOME + 8);
	out->session = be64_get(slot + OFF_HOME + 16);
	out->turn = be64_get(slot + OFF_HOME + 24);
	out->path_len = be32_get(slot + 56);
	if (out->path_len > INFLIGHT_PATH_MAX || be32_get(slot + 60) != 0)
		return -EUCLEAN;
	if (out->disk_size != INFLIGHT_KEEP_SIZE &&
	    (out->disk_size < layout_disk_size(l, 0) || out->disk_size > INT64_MAX))
		return -EUCLEAN;
	*path = (const char *)slot + OFF_PATH;
	if (!path_below(*path, out->path_len))
		return -EUCLEAN;
	return extents_parse(slot, slot_len, l, out);
}
