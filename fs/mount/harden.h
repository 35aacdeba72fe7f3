/* SPDX-License-Identifier: BSD-2-Clause */
/* What a worker gives up before it serves. */
#ifndef FS_MOUNT_HARDEN_H
#define FS_MOUNT_HARDEN_H

/*
 * For a worker that runs as root, before it has a second thread (each has privileges of its own): capabilities that serving does
 * not need, gaining new ones by exec, system calls that a file server never makes. Irrevocable. What the kernel refuses is
 * told to LOG (may be NULL) in one line, and the mount goes on. A plain user's worker has none to give up, and unmounts
 * through fusermount3, which is setuid: it is left as it is.
 */
void harden_worker(void (*log)(int priority, const char *text));

#endif
