/* SPDX-License-Identifier: BSD-2-Clause */
/* Exchanges names for others, so many times: exchange COUNT PAUSE_US < lines of NAME ASIDE TARGET. Prints what it did. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAIRS_MAX 256

/*
 * What NAME is exchanged with lies at ASIDE; where one is gone, a symbolic link to TARGET is put there. By the folder as it is at the
 * start: the way to it may lead through a link that was put in meanwhile.
 */
struct pair {
	char name[4096], aside[4096], target[4096];
	int folder;
	const char *base;
};

static int pair_open(struct pair *p)
{
	char *slash = strrchr(p->name, '/');

	if (!slash)
		return -1;
	*slash = 0;
	p->base = slash + 1;
	p->folder = open(p->name, O_PATH | O_DIRECTORY);
	return p->folder;
}

static int put(const struct pair *p)
{
	if (faccessat(AT_FDCWD, p->aside, F_OK, AT_SYMLINK_NOFOLLOW))
		return symlink(p->target, p->aside);
	return symlinkat(p->target, p->folder, p->base);
}

int main(int argc, char **argv)
{
	static struct pair pair[PAIRS_MAX];
	unsigned long done = 0, planted = 0, want = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	useconds_t pause = argc > 2 ? (useconds_t)atoi(argv[2]) : 0;
	unsigned n = 0;

	while (n < PAIRS_MAX && scanf("%4095s %4095s %4095s", pair[n].name, pair[n].aside, pair[n].target) == 3)
		if (pair_open(&pair[n++]) < 0)
			return 2;
	if (n == 0)
		return 2;
	for (unsigned long i = 0; done < want; i++) {
		const struct pair *p = &pair[random() % n];

		if (renameat2(p->folder, p->base, AT_FDCWD, p->aside, RENAME_EXCHANGE) == 0) {
			done++;
		} else if (errno != ENOENT) {
			perror(p->base);
			return 1;
		} else if (put(p) == 0) {
			planted++;
		}
		if (i % 8 == 0)
			usleep(pause);
	}
	printf("%lu exchanges, %lu links put where something was gone\n", done, planted);
	return 0;
}
