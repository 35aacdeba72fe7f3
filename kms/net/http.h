/* SPDX-License-Identifier: BSD-2-Clause */
/* HTTPS to a KMS: one bounded request, one bounded reply. The one place that knows libcurl. */
#ifndef KMS_NET_HTTP_H
#define KMS_NET_HTTP_H

#include <stdbool.h>

#include "kms/verdict.h"

#define HTTP_BODY_MAX 65536u /* of a reply */
#define HTTP_URL_MAX 4096u
#define HTTP_WORD_MAX 255u

struct http;

/* How a host is reached. NULL: the default. http_new() copies all of it. */
struct http_config {
	const char *ca_file;     /* PEM; else the system's */
	const char *client_cert; /* PEM, and its key; read at each new connection */
	const char *client_key;
	const char *server_name; /* what the certificate must name, if not the URL's host */
	const char *proxy;       /* URL, "none", or NULL: as the environment says */
	const char *unix_path;   /* a socket of this machine in the host's place */
	const char *standby;     /* HOST[:PORT] to which a 307 may send us, with all that is in the request */
	bool plain;              /* http:// too; whether the host may be spoken to so is for the caller to know */
	unsigned connect_ms;     /* a connection that takes longer fails; 0: the request's deadline */
};

struct http_request {
	const char *method, *url;
	const char *const *header; /* "Name: value", NULL at the end; or NULL */
	const char *body;          /* or NULL */
	size_t body_len;
	const char *id_header; /* the reply's header with the KMS's own number of the request, or NULL */
	int64_t deadline;      /* ms of CLOCK_BOOTTIME */
};

/* For http_reply_free(), which wipes it. */
struct http_reply {
	unsigned status;
	char *body; /* with a NUL behind it; never NULL after success */
	size_t len;
	char request_id[KMS_REQUEST_ID_MAX + 1];
	unsigned retry_after; /* seconds, 0 = none */
	int64_t date;         /* unix seconds of the reply's Date, 0 = none */
};

/* -ENOMEM, -EIO (libcurl cannot start). Nothing is contacted. */
int http_new(const struct http_config *cfg, struct http **out) MUST_CHECK;
/* No request may be under way. NULL is legal. */
void http_free(struct http *h);
/*
 * Ask once. libcurl itself asks a second time at once when a kept connection was closed under us, and nobody else does: the gate is
 * the retry. 0 with the reply, whatever its status; else V says why there is none, TRANSIENT (DNS, connect, timeout, too large,
 * cancelled with -ECANCELED) or MISCONFIGURED "tls" (the peer is not who it must be, our certificate cannot be read), and that
 * is returned. From several threads at once; redirects are not followed, but for the standby's.
 */
int http_ask(struct http *h, const struct http_request *q, struct http_reply *r, struct kms_verdict *v) MUST_CHECK;
void http_reply_free(struct http_reply *r);

/*
 * Before a question is put once more after try number N (from 0) had the answer R (body NULL: none): wait for a time drawn from 0 to 0.2 s,
 * doubled with each try, or as long as R asks. 0; -ETIMEDOUT at once when DEADLINE would pass meanwhile; -ECANCELED.
 */
int http_pause(struct http *h, unsigned n, const struct http_reply *r, int64_t deadline) MUST_CHECK;

/* Drop kept connections, and end a cancel: the next request makes a new one. */
void http_refresh(struct http *h);
/* Requests under way, and those that begin until http_refresh(), end at once with -ECANCELED. From any thread; does not wait. */
void http_cancel(struct http *h);

#endif
