/* SPDX-License-Identifier: BSD-2-Clause */
/* Words of -o that are none of ours, as fstab and mount(8) have them. */
#include "tools/mount_words.h"

#include <string.h>

/* Words of fstab that are meant for others than the filesystem, or of no meaning here (mount(8), FILESYSTEM-INDEPENDENT). */
const char *const mount_words_ignored[MOUNT_WORDS_IGNORED + 1] = {"defaults", "default_permissions",
								  "_netdev",  "nofail",
								  "auto",     "noauto",
								  "user",     "nouser",
								  "users",    "nousers",
								  "owner",    "noowner",
								  "group",    "nogroup",
								  "iversion", "noiversion",
								  "silent",   "loud",
								  "mand",     "nomand",
								  NULL};

/* Beginnings of such words that have a value. */
static const char *const ignored_values[] = {"x-", "X-", "comment=", "fsname=", "subtype=", "user=", NULL};

/* And of those that SELinux reads, from what is given to mount(2). */
static const char *const security_values[] = {"context=", "fscontext=", "defcontext=", "rootcontext=", NULL};

static bool begins(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (strncmp(word, *list, strlen(*list)) == 0)
			return true;
	return false;
}

bool mount_word_ignored(const char *word)
{
	for (size_t i = 0; mount_words_ignored[i]; i++)
		if (strcmp(word, mount_words_ignored[i]) == 0)
			return true;
	return word[0] == 0 || begins(word, ignored_values);
}

bool mount_word_security(const char *word)
{
	return begins(word, security_values);
}

char *mount_word_next(char **rest)
{
	char *word = *rest, *p = word;

	for (bool quoted = false; p && *p && (quoted || *p != ','); p++)
		quoted ^= *p == '"';
	*rest = p && *p ? p + 1 : NULL;
	if (p)
		*p = 0;
	return word;
}
