/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of -o in words, and which of them are meant for others than the filesystem. */
#ifndef TOOLS_MOUNT_WORDS_H
#define TOOLS_MOUNT_WORDS_H

#include <stdbool.h>

#define MOUNT_WORDS_IGNORED 20

/* Words without a value that are accepted and say nothing here; NULL behind the last one. */
extern const char *const mount_words_ignored[MOUNT_WORDS_IGNORED + 1];

/* Is WORD, which may have a value, one of those, or empty? */
bool mount_word_ignored(const char *word);
/* A context of SELinux, for mount(2). */
bool mount_word_security(const char *word);
/*
 * The next word of *REST, which is taken apart in place, up to a comma that is not in quotes, as in context="a:b:c:s0:c1,c2"; NULL
 * when there is none. *REST is what follows, NULL behind the last one.
 */
char *mount_word_next(char **rest);

#endif
