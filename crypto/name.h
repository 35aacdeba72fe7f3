/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and directory ids (FORMAT.md "Names", "Directory id"). */
#ifndef CRYPTO_NAME_H
#define CRYPTO_NAME_H

#include "crypto/keys.h"

#define NAME_LEN_MAX 255u
#define NAME_SIDECAR_MAX (NAME_LEN_MAX + TAG_LEN)
#define OWN_PREFIX ".byokfs." /* names of the store itself begin so */
#define DIRID_NAME ".byokfs.dir"
#define DIRID_LEN (8u + ID_LEN + MAC_LEN) /* magic, id, MAC */
#define LONG_PREFIX ".byokfs.long."    /* entry of a long name: prefix + base64url(SHA-256(SIV name)), 43 characters */
#define SIDECAR_PREFIX ".byokfs.name." /* its sidecar: prefix + the same 43 characters; content: the SIV name */

enum name_mode { NAMES_SIV = 1, NAMES_PLAIN = 2 };

/* A name as it lies on disk. */
struct disk_name {
	char name[NAME_LEN_MAX + 1];
	char sidecar[NAME_LEN_MAX + 1]; /* "" unless the name is long */
	uint8_t sidecar_data[NAME_SIDECAR_MAX];
	size_t sidecar_len;
};

/* What a directory entry on disk is, by its name alone. */
enum entry_kind { ENTRY_NAME = 1, ENTRY_LONG, ENTRY_SIDECAR, ENTRY_OWN, ENTRY_ALIEN };
enum entry_kind name_kind(enum name_mode mode, const char *disk);

/*
 * Encrypt the LEN bytes of PLAIN (1..255, no NUL, no '/', not "." or "..") in the directory with id DIR_ID.
 * -EINVAL for such a name (and, with NAMES_PLAIN, for the own prefix), -ENAMETOOLONG, -EIO.
 */
int name_encode(const struct store_keys *keys, enum name_mode mode, const uint8_t dir_id[ID_LEN], const char *plain,
		size_t len, struct disk_name *out) MUST_CHECK;
/*
 * Decrypt DISK; for ENTRY_LONG, SIDECAR/SIDECAR_LEN are its sidecar's bytes (else NULL, 0). PLAIN gets up to 255
 * bytes and a NUL. -EBADMSG if it does not authenticate, is not strict base64url, or decrypts to an impossible name.
 */
int name_decode(const struct store_keys *keys, enum name_mode mode, const uint8_t dir_id[ID_LEN], const char *disk,
		const uint8_t *sidecar, size_t sidecar_len, char plain[NAME_LEN_MAX + 1]) MUST_CHECK;
/* Length of the name in a sidecar of LEN bytes, 0 if it can hold none. */
static inline size_t name_sidecar_holds(size_t len)
{
	return len > TAG_LEN && len <= NAME_SIDECAR_MAX ? len - TAG_LEN : 0;
}

/* Name of the sidecar that belongs to the long entry DISK. */
void name_sidecar(const char *disk, char sidecar[NAME_LEN_MAX + 1]);

/* A new random directory id and the bytes of its file. */
int dirid_new(const struct store_keys *keys, uint8_t id[ID_LEN], uint8_t file[DIRID_LEN]) MUST_CHECK;
/*
 * The same for a folder whose inode has that number and was made at that time: a filesystem that keeps a folder keeps these, and so
 * the id is known when its file is lost. Both must be the kernel's word: who could choose them makes two folders of one id.
 */
struct dirid_origin {
	uint64_t ino;
	int64_t sec;
	uint32_t nsec;
};
int dirid_from(const struct store_keys *keys, const struct dirid_origin *origin, uint8_t id[ID_LEN],
	       uint8_t file[DIRID_LEN]) MUST_CHECK;
/* What the file says, unauthenticated, for a look without keys. -EUCLEAN, -ENOTSUP a newer format. */
int dirid_peek(const uint8_t *file, size_t len, uint8_t id[ID_LEN]) MUST_CHECK;
/* -EBADMSG. */
int dirid_parse(const struct store_keys *keys, const uint8_t *file, size_t len, uint8_t id[ID_LEN]) MUST_CHECK;

#endif
