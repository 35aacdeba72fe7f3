/* SPDX-License-Identifier: BSD-2-Clause */
/* The directory of the control sockets and of the notes about ended mounts, made where it is missing. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/store/store_own.h"
#include "fs/watch/control.h"

int control_dir_make(char *out, size_t len)
{
	struct stat st;
	int r = control_dir(out, len);

	if (!r)
		r = store_make_dirs(out);
	if (r)
		return r;
	if (lstat(out, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0 ? 0 : -EPERM;
}
