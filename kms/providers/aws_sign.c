/* SPDX-License-Identifier: BSD-2-Clause */
/* Signatures of an access key of AWS, by AWS's time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "kms/net/heap.h"
#include "kms/providers/aws.h"

#define CLOCK_LEAST_S 60 /* a smaller difference is not why a signature is refused */

int64_t aws_now(const struct aws_login *l)
{
	return time(NULL) + atomic_load(&l->off);
}

bool aws_clock_correct(struct aws_login *l, const struct http_reply *r)
{
	char text[160];
	int64_t off = r->date ? r->date - time(NULL) : 0;

	if (!r->date || llabs(off - atomic_load(&l->off)) < CLOCK_LEAST_S)
		return false;
	atomic_store(&l->off, off);
	snprintf(text, sizeof(text),
		 "this host's clock is %lld s %s AWS's, which refuses its signatures: the difference is allowed for; "
		 "set the clock",
		 llabs(off), off > 0 ? "behind" : "ahead of");
	if (l->log)
		l->log(LOG_WARNING, text);
	return true;
}

void aws_signed_free(struct aws_signed *s)
{
	for (size_t i = 0; i < ARRAY_LEN(s->made); i++) {
		heap_free(s->made[i]);
		s->made[i] = NULL;
	}
}

/* "NAME: VALUE" on the heap. */
static char *header_make(const char *name, const char *value)
{
	size_t size = strlen(name) + strlen(value) + 3;
	char *out = heap_alloc(size);

	if (out)
		snprintf(out, size, "%s: %s", name, value);
	return out;
}

static char *token_header(const struct long_secret *token)
{
	static const char name[] = "X-Amz-Security-Token: ";
	char *out = heap_alloc(sizeof(name) + token->len);

	if (out) {
		memcpy(out, name, sizeof(name));
		long_secret_copy(token, out + sizeof(name) - 1);
	}
	return out;
}

int aws_sign(struct aws_login *l, const struct aws_key *key, struct aws_signed *s)
{
	char host[AWS_HOST_MAX + 16], date[SIGV4_DATE_LEN + 1], auth[SIGV4_AUTH_MAX];
	const char *header[7];
	size_t n = 0;

	aws_signed_free(s);
	s->made[2] = key->token.len ? token_header(&key->token) : NULL;
	if (key->token.len && !s->made[2])
		return -ENOMEM;
	for (; s->header[n] && n < 4; n++)
		s->all[n] = header[n] = s->header[n];
	size_t sent = n;
	if (s->made[2])
		s->all[sent++] = header[n++] = s->made[2];
	snprintf(host, sizeof(host), "Host: %s", s->host);
	header[n++] = host; /* libcurl sends it by itself */
	header[n] = NULL;
	const struct sigv4_request q = {.method = "POST",
					.path = "/",
					.query = "",
					.header = header,
					.body = s->body,
					.body_len = strlen(s->body),
					.region = s->region,
					.service = s->service,
					.id = key->id,
					.secret = key->secret,
					.now = aws_now(l)};
	int r = sigv4_sign(&q, date, auth);
	if (r)
		return r;
	s->made[0] = header_make("X-Amz-Date", date);
	s->made[1] = header_make("Authorization", auth);
	s->all[sent++] = s->made[0];
	s->all[sent++] = s->made[1];
	s->all[sent] = NULL;
	return s->made[0] && s->made[1] ? 0 : -ENOMEM;
}
