/* SPDX-License-Identifier: BSD-2-Clause */
/* What providers over a network have in common: files that options name. */
#include "kms/providers/common.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/auto.h"
#include "kms/keystore/trust.h"
#include "kms/net/heap.h"

int provider_path(const struct kms_options *o, const char *name, char out[PATH_MAX], const char **to,
		  struct kms_verdict *v)
{
	const char *value = kms_options_get(o, name);

	if (!value)
		return 0;
	*to = out;
	int r = kms_option_path(value, out);
	return r ? kms_verdict_set(v, KMS_AUTH, "credentials", "option %s, %.120s: %s", name, value,
				   r == -ENOENT ? "systemd gave no credentials" : strerror(-r))
		 : 0;
}

/* -EPERM: whoever else may write it chooses whom we are. */
static int whole_read(const char *path, char *text, size_t max, size_t *len)
{
	AUTO(auto_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && trust_file(&st, path))
		return -EPERM;
	for (*len = 0; *len < max;) {
		ssize_t n = read(fd, text + *len, max - *len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		*len += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

char *provider_file(const char *path, size_t max, struct kms_verdict *v)
{
	AUTO(heap_free_at) char *text = heap_calloc(1, max + 1);
	size_t len = 0;

	int r = text ? whole_read(path, text, max, &len) : -ENOMEM;
	if (r || len == 0 || len == max || strlen(text) != len) {
		kms_verdict_set(v, KMS_AUTH, "credentials", "%.180s: %s", path,
				r == -EPERM ? "others may write it"
				: r         ? strerror(-r)
					    : "is empty, too long, or no text");
		return NULL;
	}
	char *out = text;
	text = NULL;
	return out;
}
