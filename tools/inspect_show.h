/* SPDX-License-Identifier: BSD-2-Clause */
/* What each kind of file of a store shows without a key. Nothing here is checked against a key, and says so. */
#ifndef TOOLS_INSPECT_SHOW_H
#define TOOLS_INSPECT_SHOW_H

#include "crypto/layout.h"
#include "tools/emit.h"

/* One file, as far as it was read. */
struct inspected {
	const char *name; /* its last part */
	uint8_t *bytes;   /* the first LEN bytes of it */
	size_t len;
	uint64_t size; /* of the whole file */
	int fd;
	struct layout layout; /* block_len 0: unknown */
};

enum inspect_kind {
	INSPECT_UNKNOWN = 0,
	INSPECT_FILE,
	INSPECT_SPECIAL,
	INSPECT_STUMP,
	INSPECT_DIRID,
	INSPECT_SIDECAR,
	INSPECT_KEYRING,
	INSPECT_SESSION,
	INSPECT_INFLIGHT,
	INSPECT_LOCK,
	INSPECT_PIN,
};

/* By magic, else by name and size. */
enum inspect_kind inspect_kind_of(const struct inspected *in);
const char *inspect_kind_name(enum inspect_kind k);
/* Members of an object that is open: 0, -EUCLEAN malformed, -ENOTSUP newer; what could be told has been told. */
int inspect_show(const struct inspected *in, enum inspect_kind kind, struct emit *e) MUST_CHECK;

/* inspect_keys.c: keyring, pin. */
int inspect_show_keyring(const struct inspected *in, struct emit *e) MUST_CHECK;
int inspect_show_pin(const struct inspected *in, struct emit *e) MUST_CHECK;
/* Name of a wrap's algorithm; STORE: the one of wrap type `store`. */
const char *inspect_algorithm(unsigned algorithm, bool store);

#endif
