/* SPDX-License-Identifier: BSD-2-Clause */
/* The filesystem as `byokfs mount` sees it: mount a store, serve it, say how it does. */
#ifndef FS_FS_H
#define FS_FS_H

#include <stdbool.h>

#include "fs/report.h"
#include "fs/store/store.h"
#include "kms/gate.h"

struct fs;
struct worker;
struct audit;

struct fs_config {
	struct worker *worker;  /* the link to the supervisor, which mounts; outlives the fs */
	struct store *store;    /* begun; outlives the fs */
	struct gate *gate;      /* ACTIVE; outlives the fs */
	struct audit *audit;    /* the log of the mount, or NULL; stopped after fs_free() */
	const char *mountpoint; /* canonical */
	bool unmount_on_revoke; /* when it locks by a refusal or an outage */
	bool read_only;
	unsigned long mount_flags;  /* MS_NOATIME, MS_NODIRATIME, MS_STRICTATIME count */
	bool root_only;             /* of those whom the kernel lets in beside the owner: see tree.root_only */
	unsigned attr_timeout_ms;   /* = the lease */
	struct gate_beacon *beacon; /* its `beat` is raised while a lock makes progress. NULL = none */
	_Atomic uint64_t *high;     /* the highest node id that the kernel may know, for whoever watches. NULL = none */
	void (*log)(int priority, const char *text);
};

/* Have the supervisor mount. After this the mount is there and waits; WHY says what went wrong, errors as mnt_mount(). */
int fs_mount(const struct fs_config *cfg, struct fs **out, char why[STORE_WHY_MAX]) MUST_CHECK;
/* Start threads and gate hooks (gate_start); the first request may be served from now on. After the last fork. */
int fs_start(struct fs *fs) MUST_CHECK;
/*
 * Wait until unmounted, or told to by the supervisor; without it the session locks and ends. 0, or a negative errno when the
 * connection broke.
 */
int fs_wait(struct fs *fs) MUST_CHECK;
/* Have it unmounted as by SIGTERM: what is in use is locked, and unmounted when it is not any more. Returns at once; any thread. */
void fs_leave(struct fs *fs);
/* Unmount if need be, stop threads, free. */
void fs_free(struct fs *fs);
/* False once the kernel has ended the connection: nothing is mounted any more, and the session is closing. Any thread. */
bool fs_connected(const struct fs *fs);
void fs_stats(struct fs *fs, struct fs_stats *out);
void fs_last_lock(struct fs *fs, struct fs_lock_report *out);

#endif
