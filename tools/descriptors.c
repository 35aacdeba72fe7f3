/* SPDX-License-Identifier: BSD-2-Clause */
/* What the shell left open. */
#include "tools/descriptors.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define NOTED 256

static int noted[NOTED];
static unsigned n_noted;

static int standard_open(void)
{
	for (;;) {
		int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			return -errno;
		if (fd <= 2)
			continue; /* the lowest that was closed: it stays */
		close(fd);
		return 0;
	}
}

int descriptors_begin(void)
{
	int r = standard_open();
	DIR *dir = r ? NULL : opendir("/proc/self/fd");

	for (const struct dirent *e; dir && (e = readdir(dir));) {
		int fd = (int)strtol(e->d_name, NULL, 10);

		if (fd <= 2 || fd == dirfd(dir))
			continue;
		if (n_noted < NOTED)
			noted[n_noted++] = fd;
		else
			close(fd); /* no command line names so many */
	}
	if (dir)
		closedir(dir);
	return r;
}

void descriptors_leave(void)
{
	while (n_noted > 0)
		close(noted[--n_noted]);
}
