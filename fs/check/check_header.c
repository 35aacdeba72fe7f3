/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking all of a file header, not only the slot that opens the file. */
#include "crypto/header.h"

#include <errno.h>

#include "fs/check/check_own.h"
#include "fs/store/borrow.h"

static void say(struct check_run *run, const struct check_at *at, const char *text)
{
	/* The file opens all the same: nothing is lost. */
	check_say(run, at, &(struct check_finding){.code = CHECK_HEADER, .severity = CHECK_NOTE}, "%s", text);
}

/* Does the MAC of slot I hold? */
static int slot_check(const struct recover *rec, const uint8_t *bytes, int i)
{
	AUTO(borrow_end) struct borrow b;
	int r = borrow_file(&b, rec->gate, GATE_USE_NEW, rec->key, rec->layout);
	return r ? r : header_check(bytes, rec->layout->header_len, i, b.store, b.file);
}

void check_header(struct check_run *run, const struct check_at *at, const struct recover *rec, const uint8_t *bytes,
		  const struct header *h)
{
	size_t len = rec->layout->header_len;
	for (int i = 0; i < 2; i++) {
		int known = h->slots & (1 << i);
		int r = known ? slot_check(rec, bytes, i) : header_slot_blank(bytes, len, i) ? 0 : -EBADMSG;
		if (r == -EBADMSG)
			say(run, at, "one of the two wraps in its header is not whole; the other one opens it");
		else if (check_locked(run, r))
			return;
	}
	if (header_bound(bytes, len))
		say(run, at, "the reserved end of its header is not empty");
}
