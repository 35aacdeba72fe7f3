/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths of key directories: canonical form, and "lies inside". */
#include "kms/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int path_absolute(const char *path, char out[PATH_MAX])
{
	char cwd[PATH_MAX] = "";

	if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return -errno;
	int n = snprintf(out, PATH_MAX, "%s%s%s", cwd, cwd[0] ? "/" : "", path);
	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* Append the components of TAIL to OUT, dropping empty ones and ".". */
static int path_append(char *out, size_t len, const char *tail)
{
	size_t at = strlen(out);

	while (*tail) {
		size_t n = strcspn(tail, "/");

		if (n == 2 && tail[0] == '.' && tail[1] == '.')
			return -EINVAL;
		if (n > 0 && !(n == 1 && tail[0] == '.')) {
			if (at == 1)
				at = 0; /* the root itself: no second slash */
			if (at + 1 + n >= len)
				return -ENAMETOOLONG;
			out[at++] = '/';
			memcpy(out + at, tail, n);
			at += n;
			out[at] = '\0';
		}
		tail += n + (tail[n] == '/');
	}
	return 0;
}

int kms_path_canonical(const char *path, char *out, size_t len)
{
	if (!*path)
		return -EINVAL;
	char whole[PATH_MAX];
	int r = path_absolute(path, whole);
	if (r)
		return r;
	char real[PATH_MAX];
	/* The longest front that exists is resolved by the kernel; the rest has no links to follow. */
	size_t cut = strlen(whole);
	for (; cut > 0; cut--) {
		if (whole[cut] != '/' && whole[cut] != '\0')
			continue;
		char head[PATH_MAX];
		memcpy(head, whole, cut);
		head[cut] = '\0';
		if (realpath(head, real))
			break;
		if (errno == ENAMETOOLONG)
			return -errno;
	}
	if (cut == 0)
		memcpy(real, "/", 2);
	if (strlen(real) >= len)
		return -ENAMETOOLONG;
	memcpy(out, real, strlen(real) + 1);
	return path_append(out, len, whole + cut);
}

int kms_path_inside(const char *path, const char *dir)
{
	char p[PATH_MAX], d[PATH_MAX];
	int r = kms_path_canonical(path, p, sizeof(p));

	if (!r)
		r = kms_path_canonical(dir, d, sizeof(d));
	if (r)
		return r;
	size_t n = strcmp(d, "/") == 0 ? 0 : strlen(d);
	if (strncmp(p, d, n) == 0 && (p[n] == '/' || p[n] == '\0'))
		return 1;
	/* The same directory may be mounted at a second place: compare each parent by identity too, the root as well. */
	struct stat sd;
	bool have_dir = stat(d, &sd) == 0;
	while (have_dir) {
		struct stat sp;
		if (stat(p[0] ? p : "/", &sp) == 0 && sp.st_dev == sd.st_dev && sp.st_ino == sd.st_ino)
			return 1;
		if (!p[0])
			break;
		*strrchr(p, '/') = '\0';
	}
	return 0;
}
