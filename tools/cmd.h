/* SPDX-License-Identifier: BSD-2-Clause */
/* What all subcommands share: exit codes, options with near misses, messages. */
#ifndef TOOLS_CMD_H
#define TOOLS_CMD_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#include "crypto/attr.h"

#define CMD_WHY_MAX 512u /* bytes of a sentence that names a path */

/* Exit codes: scripts rely on them, so a number never changes its meaning. The same table stands in byokfs(1). */
enum cmd_exit {
	CMD_OK = 0,
	CMD_FAILED = 1,       /* disk, memory, anything without a number of its own */
	CMD_USAGE = 2,        /* wrong command line */
	CMD_REFUSED = 3,      /* the KMS refuses the key: disabled, deleted, no permission */
	CMD_UNREACHABLE = 4,  /* the KMS does not answer */
	CMD_DAMAGED = 5,      /* store, keyring or file altered or damaged */
	CMD_BUSY = 6,         /* store or mount point in use, or not empty */
	CMD_PASSPHRASE = 7,   /* wrong passphrase, or none; no credentials for the KMS */
	CMD_NOT_FOUND = 8,    /* no such store, mount, keystore or key */
	CMD_NOT_TRUSTED = 9,  /* the pin refuses: another store, another KMS, an older keyring, an unknown host */
	CMD_NOT_ALLOWED = 10, /* permission of the operating system */
	CMD_STILL_HELD = 11, /* after the time to wait somebody else has the mount still, or its daemon has not ended */
};

/* One subcommand each; argv[0] is the subcommand's name. */
int cmd_init(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_umount(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_lock(int argc, char **argv);
int cmd_unlock(int argc, char **argv);
int cmd_keystore(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_pin(int argc, char **argv);

/*
 * getopt_long(3) that speaks for itself: SHORTS without a leading ':' or '+', LONGS ends with zeros. Returns the option's
 * value, -1 at the end (optind then counts), or '?' after an error was printed with the nearest option that exists.
 */
int cmd_option(int argc, char **argv, const char *shorts, const struct option *longs);

/* Print "byokfs NAME: TEXT" and where help is; returns CMD_USAGE. NAME is the subcommand, "keystore create" too. */
__attribute__((format(printf, 2, 3))) int cmd_usage(const char *name, const char *format, ...);
/* Print "byokfs: TEXT" on stderr; returns CODE. */
__attribute__((format(printf, 2, 3))) int cmd_fail(enum cmd_exit code, const char *format, ...);
/* "byokfs: warning: TEXT" on stderr. */
__attribute__((format(printf, 1, 2))) void cmd_warn(const char *format, ...);
/* A line on stdout, for people: TEXT without what a terminal obeys, for paths and names stand in it. */
__attribute__((format(printf, 1, 2))) void cmd_say(const char *format, ...);
/*
 * The value of --block-size for the subcommand NAME: a power of two, CMD_OK and *LEN, or CMD_USAGE and the error is printed.
 */
int cmd_block_size(const char *name, const char *text, uint32_t *len) MUST_CHECK;
/* Is the folder PATH empty? Negative errno. */
int cmd_folder_empty(const char *path, bool *empty) MUST_CHECK;
/* The exit code that says what a negative errno of store_*, kms_*, gate_open() or fs_*() means. 0 is CMD_OK. */
enum cmd_exit cmd_exit_of(int error);

/* The word of LIST (NULL at the end) that WORD was probably meant to be, or NULL. */
const char *cmd_near(const char *word, const char *const *list);

/* A number in LO..HI with an optional suffix of SUFFIXES ("smhd": seconds and more; "kM": 1024s; NULL: none). -EINVAL. */
int cmd_number(const char *text, const char *suffixes, uint64_t lo, uint64_t hi, uint64_t *out) MUST_CHECK;

#endif
