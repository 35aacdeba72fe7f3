/* SPDX-License-Identifier: BSD-2-Clause */
/* Asking a running mount by its control socket: status, lock, unlock, unmount. */
#ifndef FS_CONTROL_H
#define FS_CONTROL_H

#include <stddef.h>

#include "crypto/attr.h"

#define CONTROL_MESSAGE_MAX 65536u

/*
 * One request: a line "byokfs 1 COMMAND\n" (status, lock, unlock, unmount, unmounting: the asker is about to unmount by
 * himself, for the audit log); one answer: "ok\n" or "error ERRNO TEXT\n",
 * then for status `key value` lines. Sockets lie in the run-time directory, one per mount, named by the hash of the
 * canonical mount point. Only root and the daemon's user are answered (SO_PEERCRED).
 */
enum control_command { CONTROL_STATUS = 1, CONTROL_LOCK, CONTROL_UNLOCK, CONTROL_UNMOUNT, CONTROL_UNMOUNTING };

/* Pure: parse one request line / an answer. -EPROTO. */
int control_request_parse(const char *buf, size_t len, enum control_command *out) MUST_CHECK;
int control_answer_parse(const char *buf, size_t len, int *error, const char **body, size_t *body_len) MUST_CHECK;

/*
 * Client: ask the mount at MOUNTPOINT (canonical). ANSWER is malloc'ed text after the first line. -ENOENT nobody listens,
 * -EPERM, -ETIMEDOUT, or the daemon's error with its text in ANSWER.
 * Status values have control characters and backslashes as \ooo: mountinfo_unescape().
 */
int control_call(const char *mountpoint, enum control_command cmd, unsigned timeout_ms, char **answer) MUST_CHECK;
/*
 * Directory of the sockets (root: /run/byokfs; user: $XDG_RUNTIME_DIR/byokfs, else `run` beside his pins: never a place where
 * somebody else can be first).
 */
int control_dir(char *out, size_t len) MUST_CHECK;
/* The same, made if it is not there. -EPERM unless it is ours alone: who may write it could put his own socket in our place. */
int control_dir_make(char *out, size_t len) MUST_CHECK;

#endif
