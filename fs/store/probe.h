/* SPDX-License-Identifier: BSD-2-Clause */
/* What the filesystem below a store can do, tried before anything depends on it. */
#ifndef FS_PROBE_H
#define FS_PROBE_H

#include "fs/store/store.h"

/*
 * Try in the folder DATA_FD all that a mount does to a filesystem, with files of our own that are gone afterwards. 0: it will do,
 * and LACKS names what cannot be kept there ("" if there is nothing). -EOPNOTSUPP: LACKS names what a mount cannot do without.
 * Another errno: it could not be tried (full, read-only, no permission); LACKS is "".
 */
int store_probe(int data_fd, char lacks[STORE_WHY_MAX]) MUST_CHECK;

#endif
