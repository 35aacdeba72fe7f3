/* SPDX-License-Identifier: BSD-2-Clause */
/* In-flight slots: one request's sealed bytes, so that the daemon's death tears no block (FORMAT.md "In-flight"). */
#ifndef CRYPTO_INFLIGHT_H
#define CRYPTO_INFLIGHT_H

#include "crypto/keys.h"
#include "crypto/layout.h"

#define INFLIGHT_HEAD_LEN 8192u /* of each slot; data follow */
#define INFLIGHT_SLOTS 16u
#define INFLIGHT_EXTENTS 4u
#define INFLIGHT_PATH_MAX 7936u         /* bytes of the path below data/, 0 if it would be longer */
#define INFLIGHT_REQUEST_MAX (1u << 20) /* plain bytes of one request */
#define INFLIGHT_KEEP_SIZE UINT64_MAX

struct inflight_extent {
	uint64_t disk_off;
	uint32_t len;
};

/*
 * What is to be written again: the extents in order (their bytes lie one after another in the data part), then, unless
 * it is INFLIGHT_KEEP_SIZE, the file is cut or grown to disk_size.
 */
struct inflight {
	uint8_t file_id[ID_LEN];
	uint64_t dev, ino;       /* of the backing file */
	uint8_t boot_id[ID_LEN]; /* of the running system, 0 = unknown; a slot of another boot is not to be trusted */
	uint64_t home_fs, home_ino; /* filesystem and inode of the file that this slot lies in; 0 = unknown (0.1.0) */
	uint64_t session;           /* the mount that wrote it; 0 = unknown */
	uint64_t turn;              /* how often that mount has used the slot, from 1; 0 = unknown */
	uint64_t disk_size;
	uint32_t n_extents;
	struct inflight_extent extent[INFLIGHT_EXTENTS];
	uint32_t path_len; /* path of disk names below data/, no leading '/', not terminated */
};

/* Bytes of one slot for this layout, a multiple of 4096: head and the most data one request can have. */
size_t inflight_slot_len(const struct layout *l);

/*
 * Fill the head of SLOT: all but the valid mark. PATH may be NULL when path_len is 0. The caller has put the data at
 * SLOT + INFLIGHT_HEAD_LEN.
 */
void inflight_fill(uint8_t *slot, const struct inflight *f, const char *path);
/* Where the data of SLOT are. */
static inline uint8_t *inflight_data(uint8_t *slot)
{
	return slot + INFLIGHT_HEAD_LEN;
}
/* Mark valid, or empty. */
void inflight_mark(uint8_t *slot, int valid);
/* What an emptied slot tells too, of the first INFLIGHT_PEEK_LEN bytes: SESSION and TURN of its last use. False: nothing. */
#define INFLIGHT_PEEK_LEN 176u
bool inflight_peek(const uint8_t head[INFLIGHT_PEEK_LEN], uint64_t *session, uint64_t *turn, bool *valid);
/* Where in a slot the mark lies, and how long it is: emptying a slot on disk writes these bytes of it as zeros. */
#define INFLIGHT_MARK_OFF 8u
#define INFLIGHT_MARK_LEN 4u
/*
 * Read a slot found at mount: 0 and the parts (PATH points into SLOT), -ENOENT if it is marked empty, -EUCLEAN if
 * malformed (lengths, offsets below the header, overlap with SLOT_LEN).
 */
int inflight_parse(const uint8_t *slot, size_t slot_len, const struct layout *l, struct inflight *out,
		   const char **path) MUST_CHECK;

#endif
