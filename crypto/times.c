/* SPDX-License-Identifier: BSD-2-Clause */
/* A regular file's times as they were told: 24 bytes. */
#include "crypto/times.h"

#include <errno.h>

#define ONE_LEN 12u /* seconds, nanoseconds */
#define SECOND_NS 1000000000u

static void one_encode(const struct timespec *ts, uint8_t *out)
{
	be64_put(out, (uint64_t)ts->tv_sec);
	be32_put(out + 8, (uint32_t)ts->tv_nsec);
}

static int one_decode(const uint8_t *in, struct timespec *ts)
{
	uint32_t ns = be32_get(in + 8);

	*ts = (struct timespec){(time_t)be64_get(in), (long)ns};
	return ns < SECOND_NS ? 0 : -EBADMSG;
}

void times_encode(const struct times *t, uint8_t out[TIMES_LEN])
{
	one_encode(&t->mtime, out);
	one_encode(&t->ctime, out + ONE_LEN);
}

int times_decode(const uint8_t *data, size_t len, struct times *t)
{
	if (len != TIMES_LEN)
		return -EBADMSG;
	int r = one_decode(data, &t->mtime);
	return r ? r : one_decode(data + ONE_LEN, &t->ctime);
}
