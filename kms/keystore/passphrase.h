/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the keystore's passphrase comes from: a file, systemd's credentials directory, or a prompt. Private to kms/, tools/. */
#ifndef KMS_PASSPHRASE_H
#define KMS_PASSPHRASE_H

#include "crypto/attr.h"

#define PASSPHRASE_MAX 500u

struct passphrase_source {
	const char *file; /* --passphrase-file, or NULL */
	bool may_prompt;  /* on /dev/tty */
	bool new_one;     /* prompt twice, for a new keystore */
	const char *what; /* the keystore's path, for the prompt */
};

/*
 * The first of these that is there: the file, $CREDENTIALS_DIRECTORY/byokfs.passphrase, a prompt. *OUT is NUL-terminated
 * secret memory for secret_free(); one line end (LF, CR LF, CR) at the end is dropped. WHY (LEN bytes) gets a sentence:
 * -ENOKEY no source, -EINVAL empty, a NUL in it, too long, or two prompts that differ, -EINTR stopped at the prompt, -ENOMEM, or
 * why file or terminal cannot be read. -EPERM: a file that is neither ours nor root's, or that others may
 * write.
 */
int passphrase_read(const struct passphrase_source *src, char **out, char *why, size_t len) MUST_CHECK;
/* Is FILE one that its group or everybody may read? Worth a warning. */
bool passphrase_readable_by_others(const char *file);

#endif
