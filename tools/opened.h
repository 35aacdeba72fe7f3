/* SPDX-License-Identifier: BSD-2-Clause */
/* A store opened with its keys: what `mount` and `verify` have in common. */
#ifndef TOOLS_OPENED_H
#define TOOLS_OPENED_H

#include <stdbool.h>

#include "fs/store/store.h"
#include "kms/gate.h"
#include "kms/options.h"
#include "tools/cmd.h"

#define OPENED_REFS_MAX KEYRING_SLOTS_MAX

struct opened_config {
	const char *path;                             /* STORE */
	const char *ref[OPENED_REFS_MAX];             /* --kms, as given */
	struct kms_options *options[OPENED_REFS_MAX]; /* --kms-option of each, or NULL */
	size_t n_refs;
	bool accept_older;   /* --accept-older-keyring */
	bool accept_session; /* --accept-older-session */
	bool allow_copy;     /* --allow-copy */
	bool has_store_id;   /* --store-id */
	uint8_t store_id[ID_LEN];
	bool read_only;
	bool look_only;              /* keys only: no owner lock, no session; beside a mount too */
	const char *passphrase_file; /* NULL: credentials directory, then prompt */
	bool may_prompt;
	bool may_respawn;                               /* --respawn */
	const char *mountpoint;                         /* canonical; "" for verify */
	unsigned poll_ms, lease_ms, grace_ms, drain_ms; /* 0 = the gate's defaults */
	bool manual_return;                             /* --restore=manual */
	unsigned wait_ms;           /* --wait: how long to ask a silent KMS before giving up; UINT_MAX = for ever */
	struct gate_beacon *beacon; /* for the gate; NULL = none */
	void (*log)(int priority, const char *text);
};

/* Zeroed, it holds nothing. */
struct opened_store {
	struct store *store;
	struct gate *gate;
	bool begun; /* by store_begin() */
};

/*
 * store_open, owner lock, KMS handles, gate (and the other keyring copy where the first does not open), store_begin. Errors
 * are printed; the exit code is returned and nothing stays open.
 */
enum cmd_exit opened_begin(const struct opened_config *cfg, struct opened_store *out);
/* store_end, gate_close, store_close. VERIFIED says that a whole check has passed. */
enum cmd_exit opened_close(struct opened_store *o, bool verified);

/* Take one more --kms REF: CMD_OK, or the error was printed. COMMAND names the subcommand. */
enum cmd_exit opened_add_ref(struct opened_config *cfg, const char *command, const char *ref);
/* Take --kms-option TEXT for the reference taken last: the same. */
enum cmd_exit opened_add_option(struct opened_config *cfg, const char *command, const char *text);
/* Free the options. */
void opened_config_wipe(struct opened_config *cfg);
/* Warn of files with secrets that O names and others may read. */
void opened_warn_secrets(const struct kms_provider *p, const struct kms_options *o);
/* The folder where this host remembers keys and stores, made if need be; NULL where there can be none. Static storage. */
const char *opened_memory_dir(void);
/* Warn of a passphrase file that others may read. FILE may be NULL. */
void opened_warn_passphrase(const char *file);
/* Take --store-id TEXT: CMD_OK, or the error was printed. */
enum cmd_exit opened_take_id(struct opened_config *cfg, const char *command, const char *text);
/* printf for the verdict of a KMS: which key, which words, what to do. Returns the exit code. */
struct kms_verdict;
enum cmd_exit opened_kms_error(int error, const struct kms_verdict *v, const char *ref);

#endif
