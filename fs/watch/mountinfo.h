/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's mount table, /proc/self/mountinfo: the one reader of it. No mount is touched. */
#ifndef FS_MOUNTINFO_H
#define FS_MOUNTINFO_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "crypto/attr.h"

#define MOUNTINFO_TYPE "fuse.byokfs" /* type and subtype of our mounts */
#define MOUNTINFO_SELF "/proc/self/mountinfo"

struct mountinfo {
	int id, parent;     /* numbers: the mount's, > 0, and that of the one that it lies on */
	unsigned minor;     /* of its device: for FUSE, the number of the connection */
	const char *root;   /* what of its filesystem is mounted */
	const char *path;   /* the mount point; in all texts no escapes any more, but in the options */
	const char *type;   /* "ext4", "fuse.byokfs" */
	const char *source; /* "/dev/sda1", "none": what it was mounted from */
	char *options;      /* of the filesystem: "rw,lowerdir=/a:/b", as the table has them */
	/* Peer groups: the one that it is in, the one that it gets mounts and unmounts from; 0 = none. */
	unsigned shared, master;
	bool has_owner;
	uid_t owner; /* who has mounted it: user_id= of a FUSE mount */
};

/* A mount that is remembered. */
struct mount_num {
	int id;          /* in the table; the next mount gets it as soon as this one is gone. 0: unknown */
	uint64_t unique; /* no other mount ever gets it (Linux 6.8); 0: unknown */
};

/* Pure: one line, taken apart in place; the texts of OUT lead into it. A line end is no part of it. -EUCLEAN. */
int mountinfo_parse(char *line, struct mountinfo *out) MUST_CHECK;

/* All mounts of ours, in the table's order: of several on one mount point, the last one is on top. */
struct mountinfo_reader {
	FILE *file;
	char *line;
	size_t size;
};
/* TABLE is MOUNTINFO_SELF, or a file like it (for tests). Negative errno. End it with mountinfo_close() in either case. */
int mountinfo_open(struct mountinfo_reader *r, const char *table) MUST_CHECK;
/* False at the end. Broken lines are passed over. The texts of OUT live until the next call. */
bool mountinfo_next(struct mountinfo_reader *r, struct mountinfo *out);
/* The same of all mounts, whosever they are. */
bool mountinfo_next_any(struct mountinfo_reader *r, struct mountinfo *out);
void mountinfo_close(struct mountinfo_reader *r);

/* The uppermost mount of ours on MOUNTPOINT (canonical): -ENOENT, or why the table cannot be read. OUT has no texts. */
int mountinfo_find(const char *table, const char *mountpoint, struct mountinfo *out) MUST_CHECK;

/*
 * Where the mount ID of ours lies now, by the table alone: a folder above may have been renamed, and another mount may have got its id, which
 * mount_holds() tells. -ENOENT, -ENAMETOOLONG, or as mountinfo_find().
 */
int mountinfo_path(const char *table, int id, char *out, size_t len) MUST_CHECK;

/* The mount that FD lies in, O_PATH or not. The server is not asked. False: it cannot be told. */
bool mount_num_of(int fd, struct mount_num *out);
/* Does FD lie in mount N? */
bool mount_holds(int fd, const struct mount_num *n);
/* Is mount N what lies on MOUNTPOINT now? What is mounted over it, or instead of it, is somebody else's. */
bool mount_in_place(const char *mountpoint, const struct mount_num *n);

/* Put back, in place, the bytes that TEXT has as \ooo: paths of the table, values of a mount's status. */
void mountinfo_unescape(char *text);

#endif
