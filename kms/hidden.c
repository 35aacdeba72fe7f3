/* SPDX-License-Identifier: BSD-2-Clause */
/* Secrets of the environment: taken out of it before anything else, and handed over once. */
#include "kms/hidden.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "crypto/secret.h"

/* With the number of AWS's access key, which is no secret and goes with it. */
static const char *const names[] = {
	"AWS_ACCESS_KEY_ID=",
	"AWS_SECRET_ACCESS_KEY=",
	"AWS_SESSION_TOKEN=",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN=",
};

/* Who hides them and who takes them are different processes: a pipe is empty for all of them when one has read it. */
static int from = -1;
static struct long_secret taken[ARRAY_LEN(names)];

static size_t name_of(const char *variable)
{
	size_t i = 0;

	while (i < ARRAY_LEN(names) && strncmp(variable, names[i], strlen(names[i])) != 0)
		i++;
	return i;
}

void hidden_begin(char **list)
{
	int p[2] = {-1, -1};
	size_t room = HIDDEN_MAX;

	for (char **v = list; v && *v; v++) {
		size_t len = strlen(*v) + 1;

		if (name_of(*v) == ARRAY_LEN(names))
			continue;
		if (p[1] < 0 && pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
			p[1] = -1;
		if (p[1] >= 0 && len <= room && write(p[1], *v, len) == (ssize_t)len)
			room -= len;
		secret_wipe(*v, len - 1);
	}
	if (p[1] >= 0)
		close(p[1]);
	from = p[0];
}

int hidden_take(void)
{
	char all[HIDDEN_MAX + 1];
	int r = 0;

	if (from < 0)
		return 0;
	ssize_t n = read(from, all, HIDDEN_MAX);
	close(from);
	from = -1;
	all[n > 0 ? n : 0] = '\0';
	for (char *at = all; at < all + n; at += strlen(at) + 1) {
		size_t i = name_of(at), len = i < ARRAY_LEN(names) ? strlen(names[i]) : 0;

		if (len && !r && at[len])
			r = long_secret_set(&taken[i], at + len, strlen(at + len));
	}
	secret_wipe(all, sizeof(all));
	return r;
}

const struct long_secret *hidden_get(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (taken[i].len && strlen(name) + 1 == strlen(names[i]) && strncmp(name, names[i], strlen(name)) == 0)
			return &taken[i];
	return NULL;
}

void hidden_end(void)
{
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		long_secret_wipe(&taken[i]);
	if (from >= 0)
		close(from);
	from = -1;
}
