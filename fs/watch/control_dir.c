/* SPDX-License-Identifier: BSD-2-Clause */
/* The directory of the control sockets and of the notes about ended mounts, made where it is missing. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/watch/control.h"

int control_dir_make(char *out, size_t len)
{
	struct stat st;
	int r = control_dir(out, len);

	for (char *at = r ? NULL : strchr(out + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		(void)(mkdir(out, 0700) == 0); /* the last one tells */
		*at = '/';
	}
	if (r)
		return r;
	if (mkdir(out, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(out, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0 ? 0 : -EPERM;
}
