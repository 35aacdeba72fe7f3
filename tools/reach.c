/* SPDX-License-Identifier: BSD-2-Clause */
/* How this host reaches the KMS of a store: --kms-option, and what is remembered of it beside the pin. */
#include "tools/reach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "fs/store/pin_file.h"
#include "kms/keystore/trust.h"

#define ENDING ".kms"

static const char heading[] =
	"# How this host reaches the KMS of a store (byokfs-mount(8), FILES). Never a secret itself.\n";

enum cmd_exit reach_take(const char *command, const char *ref, const char *text, struct kms_options **o)
{
	char why[KMS_TEXT_MAX] = "";

	if (!ref)
		return cmd_usage(command, "--kms-option '%s' belongs to the --kms before it, and there is none", text);
	const struct kms_provider *p = kms_provider_find(ref, why);
	if (!p)
		return cmd_usage(command, "--kms '%s': %s", ref, why);
	if (!*o)
		*o = calloc(1, sizeof(**o));
	if (!*o)
		return cmd_fail(CMD_FAILED, "out of memory");
	if (kms_options_add(*o, p, text, why))
		return cmd_usage(command, "--kms-option: %s", why);
	return CMD_OK;
}

enum cmd_exit reach_take_ref(const char *command, const char *ref, struct kms_options **o)
{
	char why[KMS_TEXT_MAX] = "";
	const struct kms_provider *p = kms_provider_find(ref, why);

	if (!p || !p->ref_option)
		return CMD_OK; /* what is no reference is told when it is normalised */
	if (!*o)
		*o = calloc(1, sizeof(**o));
	if (!*o)
		return cmd_fail(CMD_FAILED, "out of memory");
	if (kms_options_add_ref(*o, p, ref, why))
		return cmd_usage(command, "--kms '%s': %s", ref, why);
	if ((*o)->n == 0) { /* none given is not the same as none: see options_keep() */
		free(*o);
		*o = NULL;
	}
	return CMD_OK;
}

void reach_help(FILE *out)
{
	const struct kms_provider *p;

	fputs("\nKMS options, as --kms-option NAME=VALUE behind the --kms they belong to (a FILE may be "
	      "credential:NAME, which is\n"
	      "$CREDENTIALS_DIRECTORY/NAME of a systemd service):\n",
	      out);
	for (size_t i = 0; (p = kms_provider_at(i)); i++) {
		if (!p->options)
			continue;
		fprintf(out, "  %s: %s\n", p->scheme, p->description);
		for (const struct kms_option_def *d = p->options; d->name; d++)
			fprintf(out, "    %-18s %s%s\n", d->name,
				d->kind == KMS_OPTION_FILE || d->kind == KMS_OPTION_SECRET ? "FILE: "
				: d->kind == KMS_OPTION_FLAG                               ? "yes|no: "
											   : "",
				d->help);
	}
}

/* The whole file, NUL-terminated, in *OUT; empty when there is none. */
static int text_read(const char *path, const uint8_t store_id[ID_LEN], char **out, size_t *len)
{
	AUTO(auto_close) int fd = pin_file_beside(path, store_id, ENDING, O_RDONLY);
	AUTO(auto_free) char *text = calloc(1, KMS_OPTIONS_TEXT_MAX + 1);
	struct stat st;
	size_t n = 0;

	if (!text)
		return -ENOMEM;
	if (fd < 0 && fd != -ENOENT)
		return fd;
	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || trust_check(&st)))
		return -EPERM;
	while (fd >= 0 && n <= KMS_OPTIONS_TEXT_MAX) {
		ssize_t got = read(fd, text + n, KMS_OPTIONS_TEXT_MAX + 1 - n);

		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		n += (size_t)got;
	}
	if (n > KMS_OPTIONS_TEXT_MAX)
		return -EFBIG;
	*out = text;
	*len = n;
	text = NULL;
	return 0;
}

/* Where it lies, for messages. */
static void place(const char *path, char out[CMD_WHY_MAX])
{
	char dir[PATH_MAX];

	if (pin_file_dir(dir, sizeof(dir)))
		dir[0] = '\0';
	snprintf(out, CMD_WHY_MAX, "the file *" ENDING " of %.120s in %.120s", path, dir);
}

int reach_remembered(const char *path, const uint8_t store_id[ID_LEN], const char *ref, struct kms_options *o,
		     char why[CMD_WHY_MAX])
{
	AUTO(auto_free) char *text = NULL;
	char bad[KMS_TEXT_MAX] = "", where[CMD_WHY_MAX];
	size_t len = 0;

	memset(o, 0, sizeof(*o));
	int r = text_read(path, store_id, &text, &len);
	if (!r)
		r = kms_options_read(text, len, ref, o, bad);
	if (!r)
		return 0;
	place(path, where);
	snprintf(why, CMD_WHY_MAX, "what this host remembers of the KMS, %.200s: %.230s", where,
		 bad[0]        ? bad
		 : r == -EPERM ? "others than root and you may write it"
			       : strerror(-r));
	return r;
}

void reach_remember(const char *path, const struct keyring *k, const struct kms_options *o)
{
	AUTO(auto_free) char *text = malloc(KMS_OPTIONS_TEXT_MAX);
	AUTO(auto_free) char *before = NULL;
	size_t at = strlen(heading), len = 0;
	int r = text ? 0 : -ENOMEM;

	if (text)
		memcpy(text, heading, at);
	for (uint32_t i = 0; !r && i < k->n_slots; i++)
		r = kms_options_write(k->slot[i].ref, &o[i], text, &at);
	if (!r)
		r = text_read(path, k->store_id, &before, &len);
	bool same = !r && len == at && memcmp(before, text, len) == 0;
	bool nothing = !r && len == 0 && at == strlen(heading);
	if (!r && !same && !nothing)
		r = pin_file_put_beside(path, k->store_id, ENDING, text, at);
	if (r)
		cmd_warn("the options of the KMS are not remembered, the next mount needs them again: %s",
			 strerror(-r));
}
