/* SPDX-License-Identifier: BSD-2-Clause */
/* Daemons that are on their way out: unmounted or killed, but not yet done with their store. */
#ifndef TOOLS_LEAVING_H
#define TOOLS_LEAVING_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/store/store.h"

/*
 * Why a daemon still has its store for a while: it seals what was accepted, marks the session clean, and one that lost its supervisor
 * makes the kernel forget for some seconds more. Longer than all of it; who has not left by then is stuck.
 */
#define LEAVING_MAX_MS 30000
#define LEAVING_LOOK_MS 20
#define LEAVING_TOLD_MS 1000 /* whoever waits is told why after so long */

/* Is PID, which has said so on this host, alive? A number of another namespace counts as dead. */
bool leaving_is_alive(int pid);
/* The daemon of MOUNTPOINT (canonical) answers, but one of its two processes is dead or nothing is mounted any more: it ends. */
bool leaving_mount(const char *mountpoint);
/*
 * After a -EBUSY of store_lock(): true when whoever holds S (or another copy of it) is dead or ending, so that another try is worth
 * while. False for one that serves, for one of another host, and for one without a mount. *PID is who it is.
 */
bool leaving_store(const struct store *s, int *pid);

#endif
