/* SPDX-License-Identifier: BSD-2-Clause */
/* AWS Signature Version 4: the headers by which a request says who sends it. No network, no clock in here. */
#ifndef KMS_NET_SIGV4_H
#define KMS_NET_SIGV4_H

#include "crypto/attr.h"

#define SIGV4_DATE_LEN 16u /* "20260102T030405Z" */
#define SIGV4_SECRET_MAX 128u
#define SIGV4_HEADERS_MAX 16u
#define SIGV4_AUTH_MAX 1024u /* of the value of Authorization, with its NUL */

struct sigv4_request {
	const char *method;
	const char *path, *query; /* canonical already: we ask for "/" and "" */
	const char *const
		*header; /* "Name: value", NULL at the end: all that are signed, Host among them, but not X-Amz-Date */
	const char *body;
	size_t body_len;
	const char *region, *service;
	const char *id, *secret; /* the access key */
	int64_t now;             /* unix seconds */
};

/*
 * The values of X-Amz-Date and Authorization for Q, as AWS's "Create a signed AWS API request" has them; nothing of the secret stays on the
 * stack. -EINVAL: more than SIGV4_HEADERS_MAX headers, one without a colon, or what is too long; -ENOSPC: AUTH does not hold it.
 */
int sigv4_sign(const struct sigv4_request *q, char date[SIGV4_DATE_LEN + 1], char auth[SIGV4_AUTH_MAX]) MUST_CHECK;

#endif
