/* SPDX-License-Identifier: BSD-2-Clause */
/* The file header: file id, two wrap slots, binding area (FORMAT.md "Header"). No allocation. */
#ifndef CRYPTO_HEADER_H
#define CRYPTO_HEADER_H

#include <stdbool.h>

#include "crypto/keys.h"
#include "crypto/layout.h"

#define HEADER_VERSION_MAX 255u  /* bytes of a KMS key version as text */
#define HEADER_WRAPPED_MAX 1536u /* bytes of a wrapped DEK (wrap type `file`) */

/* How a DEK is wrapped. `number`: store-key generation, or the KEK's number in the keyring. */
struct header_wrap {
	uint64_t sequence; /* the valid slot with the higher one counts; 1 at create */
	uint32_t number;
	uint16_t algorithm; /* enum wrap_algorithm of provider (`file`), 1 = AES-256-GCM under a store key (`store`) */
	char version[HEADER_VERSION_MAX + 1]; /* resolved key version the KMS named; "" for `store` */
	uint8_t wrapped[HEADER_WRAPPED_MAX];
	size_t wrapped_len;
};

struct header {
	uint8_t file_id[ID_LEN];
	uint16_t suite;
	uint8_t slots; /* bit i set: slot i is well-formed and not empty */
	struct header_wrap wrap[2];
};

/* Structure only: magic, version, suite, lengths, reserved bytes. LEN is H. -EUCLEAN malformed, -ENOTSUP newer. */
int header_parse(const uint8_t *buf, size_t len, struct header *out) MUST_CHECK;
/* The file id in a header's bytes, of which the first HEADER_ID_END are enough, parsed or not. */
#define HEADER_ID_END (8u + ID_LEN)
static inline const uint8_t *header_file_id(const uint8_t *buf)
{
	return buf + HEADER_ID_END - ID_LEN;
}

/* Index of the slot to try first (highest sequence), or -1; with SKIP >= 0, the other one. */
int header_newest(const struct header *h, int skip);
/* Of LEN = H bytes: was slot I never written; is the binding area, which no version fills yet, anything but empty? */
bool header_slot_blank(const uint8_t *buf, size_t len, int i);
bool header_bound(const uint8_t *buf, size_t len);
/* Check slot I's MAC under FILE's keys: the key commitment. -EBADMSG. BUF/LEN are the bytes parsed. */
int header_check(const uint8_t *buf, size_t len, int i, const struct store_keys *store,
		 const struct file_keys *file) MUST_CHECK;
/* Write a whole new header with WRAP in slot 0 and an unbound binding area. BUF gets LEN = H bytes. */
int header_write(const struct header_wrap *wrap, const struct store_keys *store, const struct file_keys *file,
		 uint8_t *buf, size_t len) MUST_CHECK;
/*
 * Put WRAP into the slot that is not the newest, leaving the other alone; *OFF and *CHANGED_LEN say which bytes of BUF
 * changed (to be written alone). "Newest" counts only a slot whose MAC holds. -EINVAL unless WRAP's sequence is higher
 * than its; -EBADMSG if no slot's MAC holds.
 */
int header_rewrap(uint8_t *buf, size_t len, const struct header_wrap *wrap, const struct store_keys *store,
		  const struct file_keys *file, size_t *off, size_t *changed_len) MUST_CHECK;

/* Do these bytes begin a file, of this version? */
#define HEADER_MAGIC_LEN 8u
bool header_begins(const uint8_t front[HEADER_MAGIC_LEN]);

#endif
