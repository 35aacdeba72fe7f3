/* SPDX-License-Identifier: BSD-2-Clause */
/* What this host remembers of a store's last session, kept beside the pin: an old session record is no news to it. */
#ifndef FS_SESSION_MARK_H
#define FS_SESSION_MARK_H

#include "fs/store/store.h"

/*
 * What this host remembers of the store at its path. -ENOENT nothing; -EUCLEAN damaged; -EPERM others than root and we may
 * write there; or as open(2).
 */
int session_mark_read(const struct store *s, struct session_mark *out) MUST_CHECK;
/* Remember MARK (but its store id) of S, durably. */
int session_mark_put(const struct store *s, const struct session_mark *mark) MUST_CHECK;
/*
 * Judge the record as it lies there, unauthenticated, against what is remembered: for a look without keys. -ENOENT when
 * there is no record of this format.
 */
int session_mark_look(const struct store *s, struct session_verdict *out) MUST_CHECK;

#endif
