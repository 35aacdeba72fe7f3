/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has a byokfs mounted beside the place that it was mounted on: another path, another mount namespace. */
#ifndef FS_HOLDERS_H
#define FS_HOLDERS_H

#include <stddef.h>

#include "fs/watch/mountinfo.h"

#define HOLDERS_TEXT_MAX 512u

/*
 * Into TEXT where the connection MINE.minor is mounted beside the mount MINE.id, by PROC ("/proc"): paths of this mount namespace
 * first, then one process ("process 123 (sleep) ... at /mnt") of each other namespace that has it, until TEXT is full. Returns how
 * many places there are. Copies that an unmount of MINE takes away with it (propagation) are none; nor are those in namespaces
 * of processes that we may not look into. Once MINE is not in the table any more all copies count.
 */
size_t holders_find(const char *proc, const struct mountinfo *mine, char text[HOLDERS_TEXT_MAX]);

#endif
