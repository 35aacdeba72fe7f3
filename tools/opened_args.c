/* SPDX-License-Identifier: BSD-2-Clause */
/* What commands that open a store with its keys have in common on their command line, and what is said of a KMS. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/store/pin_file.h"
#include "fs/store/store.h"
#include "kms/keystore/passphrase.h"
#include "kms/provider.h"
#include "tools/opened.h"
#include "tools/reach.h"

enum cmd_exit opened_add_ref(struct opened_config *cfg, const char *command, const char *ref)
{
	if (cfg->n_refs == OPENED_REFS_MAX)
		return cmd_usage(command, "more than %u KMS references", OPENED_REFS_MAX);
	cfg->ref[cfg->n_refs++] = ref;
	return reach_take_ref(command, ref, &cfg->options[cfg->n_refs - 1]);
}

enum cmd_exit opened_add_option(struct opened_config *cfg, const char *command, const char *text)
{
	size_t last = cfg->n_refs ? cfg->n_refs - 1 : 0;

	return reach_take(command, cfg->n_refs ? cfg->ref[last] : NULL, text, &cfg->options[last]);
}

void opened_config_wipe(struct opened_config *cfg)
{
	for (size_t i = 0; i < cfg->n_refs; i++)
		free(cfg->options[i]);
}

void opened_warn_secrets(const struct kms_provider *p, const struct kms_options *o)
{
	char path[PATH_MAX];

	for (const struct kms_option_def *d = p->options; d && d->name; d++) {
		const char *value = d->kind == KMS_OPTION_SECRET ? kms_options_get(o, d->name) : NULL;

		if (value && kms_option_path(value, path) == 0 && passphrase_readable_by_others(path))
			cmd_warn("%s of %s: can be read by others: chmod 600 %s", d->name, p->scheme, path);
	}
}

const char *opened_memory_dir(void)
{
	static char dir[PATH_MAX];

	return pin_file_dir_make(dir, sizeof(dir)) == 0 ? dir : NULL;
}

void opened_warn_passphrase(const char *file)
{
	if (file && passphrase_readable_by_others(file))
		cmd_warn("passphrase file %s can be read by others: chmod 600 it", file);
}

enum cmd_exit opened_take_id(struct opened_config *cfg, const char *command, const char *text)
{
	if (store_id_read(text, cfg->store_id) < 0)
		return cmd_usage(command, "a store id is %u hex digits, as `byokfs init` printed it, not '%s'",
				 2 * ID_LEN, text);
	cfg->has_store_id = true;
	return CMD_OK;
}

enum cmd_exit opened_kms_error(int error, const struct kms_verdict *v, const char *ref)
{
	enum cmd_exit code = cmd_exit_of(error);

	if (v->class == KMS_REVOKED || v->class == KMS_AUTH)
		code = CMD_REFUSED;
	else if (v->class == KMS_TRANSIENT)
		code = CMD_UNREACHABLE;
	if (strcmp(v->code, "passphrase") == 0 || strcmp(v->code, "credentials") == 0)
		code = CMD_PASSPHRASE;
	else if (strcmp(v->code, "option") == 0)
		code = CMD_USAGE;
	else if (strcmp(v->code, "no-keystore") == 0 || strcmp(v->code, "no-such-key") == 0)
		code = CMD_NOT_FOUND;
	return cmd_fail(code, "KMS %s: %s", ref, v->text[0] != 0 ? v->text : strerror(-error));
}
