/* SPDX-License-Identifier: BSD-2-Clause */
/* The note about the end of a mount, which supervisor, worker or guard leave in the run-time directory. */
#ifndef FS_ENDED_H
#define FS_ENDED_H

#include <stdbool.h>
#include <stdint.h>

#include "crypto/attr.h"

struct ended_note {
	char mountpoint[4096], store[4096];
	char who[32]; /* "supervisor", "worker", "guard" */
	char why[320];
	int64_t when;  /* unix seconds */
	bool reported; /* already in the audit log */
};

/* The note on MOUNTPOINT (canonical): 0, or -ENOENT when there is none that can be read. */
int ended_read(const char *mountpoint, struct ended_note *out) MUST_CHECK;
/* Leave N, in the place of the one before. -EPERM: the directory is another's; -ENAMETOOLONG, -ENOMEM, -EIO. */
int ended_write(const struct ended_note *n) MUST_CHECK;
/* Pure: the lines of a note, taken apart in place. -EUCLEAN. */
int ended_parse(char *text, struct ended_note *n) MUST_CHECK;
/* Take the note away, if there is one. */
void ended_forget(const char *mountpoint);

#endif
