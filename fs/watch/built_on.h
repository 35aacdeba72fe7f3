/* SPDX-License-Identifier: BSD-2-Clause */
/* What is built on files of a mount and keeps a cache of its own, which no lock reaches: loop devices, overlays, stores in the store. */
#ifndef FS_BUILT_ON_H
#define FS_BUILT_ON_H

#include <stdbool.h>
#include <stddef.h>

#include "fs/watch/mountinfo.h"

#define BUILT_ON_MAX 8u        /* so many are told by name */
#define BUILT_ON_TEXT_MAX 400u /* of one; a longer path ends in "..." */

/* "loop device /dev/loop0 on /mnt/disk.img", "overlay at /srv/merged on /mnt/lower" */
struct built_on {
	size_t n; /* found */
	char what[BUILT_ON_MAX][BUILT_ON_TEXT_MAX];
};

struct built_on_where {
	const char *table;      /* as MOUNTINFO_SELF */
	const char *blocks;     /* as /sys/block */
	int mount_id;           /* the mount's number; 0: not known, then what is uppermost on */
	const char *mountpoint; /* canonical */
};

/*
 * Look for it, by paths: below any place of this mount namespace where the mount W is. No filesystem is asked, so it waits for nothing;
 * milliseconds, more where there are thousands of mounts. Too much rather than too little: a path below the mount point counts
 * even if something else is mounted over it, and an overlay below it whatever its folders are. Not seen: other namespaces' mounts,
 * relative paths, paths by symlinks from elsewhere.
 * OUT holds what was found in any case. -ENOENT: the mount is not there; -ENOMEM; or why table or devices cannot be read.
 */
int built_on_find(const struct built_on_where *w, struct built_on *out) MUST_CHECK;
/* The same by this process' own table and the system's devices. */
int built_on_here(int mount_id, const char *mountpoint, struct built_on *out) MUST_CHECK;
/* The same of a path alone, whatever is mounted there, or was: mounts that are gone from it may still be built upon. */
int built_on_below(const char *path, struct built_on *out) MUST_CHECK;
/* What was found as one line, "A; B; and 3 more", cut at the end of TEXT. */
void built_on_line(const struct built_on *b, char *text, size_t len);

/* The places of a mount: N canonical paths. */
struct built_on_places {
	char **path;
	size_t n;
};
/* Pure: does mount M lie on files below P? Adds it to OUT then. M's options are unescaped in place. */
void built_on_mount(const struct built_on_places *p, struct mountinfo *m, struct built_on *out);
/* Pure: the same of device NAME whose sysfs says TEXT, which may end with " (deleted)" and a newline, cut off in place. */
void built_on_loop(const struct built_on_places *p, const char *name, char *text, struct built_on *out);

#endif
