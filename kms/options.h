/* SPDX-License-Identifier: BSD-2-Clause */
/* How this host reaches a KMS: the options of one reference, checked against its provider's table, and the text they are kept in. */
#ifndef KMS_OPTIONS_H
#define KMS_OPTIONS_H

#include <limits.h>
#include <stdbool.h>

#include "kms/provider.h"

#define KMS_OPTIONS_MAX 24u
#define KMS_OPTION_NAME_MAX 31u
#define KMS_OPTION_VALUE_MAX 1024u
#define KMS_OPTIONS_TEXT_MAX 65536u /* of all references of a store */

enum kms_option_kind {
	KMS_OPTION_TEXT = 1,
	KMS_OPTION_FLAG,   /* "yes", "no" */
	KMS_OPTION_FILE,   /* a path; made absolute on the command line; "credential:NAME" too */
	KMS_OPTION_SECRET, /* the same, of a file with a secret in it: never the secret itself */
};

struct kms_option_def {
	const char *name, *help; /* help: one line */
	enum kms_option_kind kind;
};

struct kms_option {
	char name[KMS_OPTION_NAME_MAX + 1];
	char value[KMS_OPTION_VALUE_MAX + 1];
};

/* Zeroed, there are none. No name is there twice. */
struct kms_options {
	size_t n;
	struct kms_option option[KMS_OPTIONS_MAX];
};

/*
 * Add TEXT, "NAME=VALUE" of the command line, for provider P: the name is looked up in its table, a path becomes absolute. -EINVAL
 * with WHY: no such option (and the one that was meant), none of this provider, no value, given twice, control characters, too long,
 * a value that does not fit its kind.
 */
int kms_options_add(struct kms_options *o, const struct kms_provider *p, const char *text,
		    char why[KMS_TEXT_MAX]) MUST_CHECK;
/* The same for each option that REF itself names, as a pkcs11: URI may. -EINVAL with WHY. */
int kms_options_add_ref(struct kms_options *o, const struct kms_provider *p, const char *ref,
			char why[KMS_TEXT_MAX]) MUST_CHECK;
/* What O (may be NULL) says for NAME, or NULL. */
const char *kms_options_get(const struct kms_options *o, const char *name);
/* The same for a flag: "yes". */
bool kms_options_flag(const struct kms_options *o, const char *name);
/* Each option of OVER takes the place of TO's of that name, or is added. */
void kms_options_overlay(struct kms_options *to, const struct kms_options *over);
bool kms_options_equal(const struct kms_options *a, const struct kms_options *b);
/*
 * The path that VALUE of a file or secret names now: "credential:NAME" is $CREDENTIALS_DIRECTORY/NAME, to be looked up at each
 * read. -ENOENT: systemd gave no credentials; -ENAMETOOLONG.
 */
int kms_option_path(const char *value, char out[PATH_MAX]) MUST_CHECK;

/*
 * What this host remembers of the references of one store, as text (byokfs-mount(8) "FILES"):
 *
 *     # comment
 *     [REFERENCE]
 *     NAME=VALUE
 *
 * Read the section of REF out of TEXT into O, which is overwritten; none there: none. Values stand as they are, paths are absolute
 * already. -EINVAL with WHY (and the line): malformed, twice the same section or name, an option that P does not have.
 */
int kms_options_read(const char *text, size_t len, const char *ref, struct kms_options *o,
		     char why[KMS_TEXT_MAX]) MUST_CHECK;
/* Append the section of REF at *AT of OUT (KMS_OPTIONS_TEXT_MAX bytes) unless O is empty. -ENOSPC; *AT moves on. */
int kms_options_write(const char *ref, const struct kms_options *o, char *out, size_t *at) MUST_CHECK;

#endif
