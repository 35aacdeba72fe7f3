/* SPDX-License-Identifier: BSD-2-Clause */
/* What AUTO() is given for plain memory and descriptors. */
#ifndef CRYPTO_AUTO_H
#define CRYPTO_AUTO_H

#include <stdlib.h>
#include <unistd.h>

#include "crypto/attr.h"

/* Frees the pointer that P points to. Secrets have functions of their own, which wipe. */
static inline void auto_free(void *p)
{
	free(*(void **)p);
}

/* Closes *FD unless it is negative. */
static inline void auto_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

#endif
