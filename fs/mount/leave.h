/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaving a mount point: nothing frees it while something in it is used, and whoever has the mount elsewhere is not served on. */
#ifndef FS_MOUNT_LEAVE_H
#define FS_MOUNT_LEAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/watch/link.h"
#include "fs/watch/worker.h"
#include "kms/gate.h"

/* One mount's; of the thread of fs_wait(). Made by leave_init(); all that it points to outlives it. */
struct leave {
	struct gate *gate;
	struct worker *worker;
	const char *mountpoint;
	void (*log)(int priority, const char *text);
	int table_fd;        /* the mount table, -1: our mount is not in it, or it cannot be read */
	int64_t table_ms;    /* it has changed, and is to be read at that time; 0 = it has not */
	bool wanted;         /* to be unmounted when nothing uses it any more */
	bool told;           /* ... which it does, and is locked */
	bool asked;          /* the supervisor looks who has it elsewhere */
	int64_t ask_ms;      /* when to ask it again */
	bool gone, by_us;    /* not in the mount table any more; unmounted by us, so that all is written back */
	bool settled;        /* gone, and locked for whoever has it still */
	int64_t gone_ms;     /* since when */
	int64_t quiet_ms;    /* since when nothing came after that */
	uint64_t last_write; /* count of WRITE requests at the last look */
};

/* What a look needs to know. */
struct leave_facts {
	bool connected;              /* the kernel has not ended the connection */
	bool busy;                   /* requests are in hand */
	uint64_t open_files, writes; /* WRITE requests so far */
};

/* Cannot fail: what cannot be seen is not waited for. */
void leave_init(struct leave *l);
void leave_free(struct leave *l);
/*
 * Unmount, as soon as that frees nothing that is in use: the bare mount point would take the rest of a backup in clear. Until then
 * the mount is locked (which writes back what was accepted), and its place taken. Legal twice.
 */
void leave_order(struct leave *l);
/* The supervisor's answer: LINK_LOOKED. */
void leave_looked(struct leave *l, const struct link_msg *m);
/* What to poll(2) for POLLPRI (-1: nothing), and for how long, in ms, -1 = without end. */
int leave_poll(const struct leave *l, int *timeout_ms);
/* After each poll; CHANGED: the descriptor was ready. */
void leave_look(struct leave *l, const struct leave_facts *f, bool changed);

#endif
