/* SPDX-License-Identifier: BSD-2-Clause */
/* Versions of the program and of the libraries that it runs with. */
#include "tools/version.h"

#include <gnu/libc-version.h>
#include <stdio.h>

/* Declared here: no header of these libraries is included outside the folder that uses the library. */
const char *sodium_version_string(void);
const char *OpenSSL_version(int type);
const char *fuse_pkgversion(void);

void version_print(void)
{
	printf("byokfs %s\n", BYOKFS_VERSION);
	printf("libfuse %s\n", fuse_pkgversion());
	printf("libsodium %s\n", sodium_version_string());
	printf("%s\n", OpenSSL_version(0));
	printf("glibc %s\n", gnu_get_libc_version());
}
