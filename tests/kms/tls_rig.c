/* SPDX-License-Identifier: BSD-2-Clause */
/* A TLS server of the tests on loopback (contract and paths: tests/kms/tls_rig.h). */
#include "tests/kms/tls_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kms/clock.h"

#define MUST(x)                                                      \
	do {                                                         \
		if (!(x)) {                                          \
			fprintf(stderr, "tls_rig: %s failed\n", #x); \
			abort();                                     \
		}                                                    \
	} while (0)

/* Certificates */

struct identity {
	X509 *cert;
	EVP_PKEY *key;
};

static void extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	MUST(e && X509_add_ext(cert, e, -1));
	X509_EXTENSION_free(e);
}

/* ISSUER NULL: a CA. NAMES: its subjectAltName. */
static struct identity identity_make(const struct identity *issuer, const char *names, long days)
{
	static long serial = 1;
	struct identity id = {X509_new(), EVP_EC_gen("P-256")};
	X509_NAME *name = X509_get_subject_name(id.cert);

	MUST(id.cert && id.key && name);
	X509_set_version(id.cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), -20 * 86400);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), days * 86400);
	X509_set_pubkey(id.cert, id.key);
	MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)(issuer ? "leaf" : names), -1,
					-1, 0));
	X509_set_issuer_name(id.cert, X509_get_subject_name(issuer ? issuer->cert : id.cert));
	extension(id.cert, issuer ? issuer->cert : id.cert, NID_basic_constraints,
		  issuer ? "CA:FALSE" : "critical,CA:TRUE");
	if (issuer)
		extension(id.cert, issuer->cert, NID_subject_alt_name, names);
	MUST(X509_sign(id.cert, issuer ? issuer->key : id.key, EVP_sha256()));
	return id;
}

static void identity_write(const struct tls_rig *r, const struct identity *id, const char *cert, const char *key)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", r->dir, cert);
	FILE *f = fopen(path, "we");
	MUST(f && PEM_write_X509(f, id->cert) && fclose(f) == 0);
	snprintf(path, sizeof(path), "%s/%s", r->dir, key ? key : "");
	f = key ? fopen(path, "we") : NULL;
	MUST(!key || (f && PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL) && fclose(f) == 0));
}

static void identity_free(struct identity *id)
{
	X509_free(id->cert);
	EVP_PKEY_free(id->key);
}

static SSL_CTX *ctx_make(const struct identity *id)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	MUST(ctx && SSL_CTX_use_certificate(ctx, id->cert) == 1 && SSL_CTX_use_PrivateKey(ctx, id->key) == 1);
	return ctx;
}

static void contexts_make(struct tls_rig *r)
{
	struct identity ca = identity_make(NULL, "the CA of the tests", 30);
	struct identity other = identity_make(NULL, "another CA", 30);
	struct identity good = identity_make(&ca, "DNS:localhost,IP:127.0.0.1", 30);
	struct identity expired = identity_make(&ca, "DNS:localhost,IP:127.0.0.1", -1);
	struct identity elsewhere = identity_make(&ca, "DNS:kms.example", 30);
	struct identity stranger = identity_make(&other, "DNS:localhost,IP:127.0.0.1", 30);
	struct identity client = identity_make(&ca, "DNS:client", 30);

	identity_write(r, &ca, "ca.pem", NULL);
	identity_write(r, &other, "other.pem", NULL);
	identity_write(r, &client, "client.pem", "client.key");
	for (int i = 0; i <= RIG_MUTE; i++)
		r->ctx[i] = ctx_make(i == RIG_EXPIRED      ? &expired
				     : i == RIG_OTHER_NAME ? &elsewhere
				     : i == RIG_OTHER_CA   ? &stranger
							   : &good);
	SSL_CTX_set_security_level(r->ctx[RIG_OLD_TLS], 0);
	SSL_CTX_set_min_proto_version(r->ctx[RIG_OLD_TLS], TLS1_VERSION);
	SSL_CTX_set_max_proto_version(r->ctx[RIG_OLD_TLS], TLS1_1_VERSION);
	X509_STORE_add_cert(SSL_CTX_get_cert_store(r->ctx[RIG_WANTS_CLIENT]), ca.cert);
	SSL_CTX_set_verify(r->ctx[RIG_WANTS_CLIENT], SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	identity_free(&ca);
	identity_free(&other);
	identity_free(&good);
	identity_free(&expired);
	identity_free(&elsewhere);
	identity_free(&stranger);
	identity_free(&client);
}

/* Answers */

struct talk {
	struct tls_rig *rig;
	int fd, number;
	SSL *ssl;
	char request[8192], path[256];
	const char *body;
};

static bool say(const struct talk *t, const char *text, size_t len)
{
	return SSL_write(t->ssl, text, (int)len) > 0;
}

static bool say_text(const struct talk *t, const char *text)
{
	return say(t, text, strlen(text));
}

static bool say_head(const struct talk *t, int status, size_t len, const char *more)
{
	char head[512];

	snprintf(head, sizeof(head),
		 "HTTP/1.1 %d Said\r\nContent-Type: text/html\r\nX-Number:  n-7 "
		 "\r\n"
		 "Content-Length: %zu\r\n%s\r\n",
		 status, len, more);
	return say_text(t, head);
}

static bool say_always(const struct talk *t, const char *head, const char *again, unsigned pause_ms)
{
	bool good = say_text(t, head);

	while (good && !t->rig->stop) {
		good = say_text(t, again);
		clock_pause(pause_ms);
	}
	return false;
}

/* True when the connection goes on. */
static bool answer(const struct talk *t)
{
	static char many[70000];
	char to[128];

	if (strcmp(t->path, "/echo") == 0)
		return say_head(t, 200, strlen(t->body), "") && say_text(t, t->body);
	if (strncmp(t->path, "/status/", 8) == 0)
		return say_head(t, atoi(t->path + 8), 2, "Retry-After: 7\r\n") && say_text(t, "{}");
	if (strcmp(t->path, "/secret") == 0) {
		for (size_t i = 0; i < RIG_SECRET_LEN; i++)
			many[i] = (char)rig_secret(i);
		return say_head(t, 200, RIG_SECRET_LEN, "") && say(t, many, RIG_SECRET_LEN);
	}
	if (strcmp(t->path, "/big") == 0)
		return say_head(t, 200, sizeof(many), "") && say(t, many, sizeof(many));
	if (strcmp(t->path, "/endless") == 0)
		return say_always(t, "HTTP/1.1 200 Said\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nabcde\r\n", 0);
	if (strcmp(t->path, "/heads") == 0)
		return say_always(t, "HTTP/1.1 200 Said\r\n", "X-More: and more\r\n", 0);
	if (strcmp(t->path, "/drip") == 0)
		return say_always(t, "HTTP/1.1 200 Said\r\nContent-Length: 10000\r\n\r\n", "x", 200);
	if (strcmp(t->path, "/cut") == 0)
		return say_head(t, 200, 100, "") && say_text(t, "ten bytes.") && false;
	if (strcmp(t->path, "/drop") == 0)
		return say_head(t, 200, 2, "") && say_text(t, "{}") && false;
	if (strcmp(t->path, "/to307") == 0) {
		snprintf(to, sizeof(to), "Location: https://%s/echo\r\n", t->rig->redirect);
		return say_head(t, 307, 2, to) && say_text(t, "{}");
	}
	while (!t->rig->stop) /* /hang */
		clock_pause(10);
	return false;
}

static bool request_read(struct talk *t)
{
	size_t n = 0, want = 0;
	char *end = NULL;

	while (!end || n < want) {
		int got = SSL_read(t->ssl, t->request + n, (int)(sizeof(t->request) - 1 - n));

		if (got <= 0)
			return false;
		n += (size_t)got;
		t->request[n] = '\0';
		end = strstr(t->request, "\r\n\r\n");
		const char *len = end ? strcasestr(t->request, "\r\nContent-Length:") : NULL;
		want = end ? (size_t)(end + 4 - t->request) + (len && len < end ? (size_t)atol(len + 17) : 0) : 0;
	}
	t->body = end + 4;
	return sscanf(t->request, "%*s %255s", t->path) == 1;
}

static void *talk_main(void *arg)
{
	struct talk *t = arg;
	struct tls_rig *r = t->rig;
	enum tls_rig_mode mode = r->mode;

	while (mode == RIG_MUTE && !r->stop)
		clock_pause(10);
	t->ssl = SSL_new(r->ctx[mode]);
	SSL_set_fd(t->ssl, t->fd);
	if (mode != RIG_MUTE && SSL_accept(t->ssl) == 1) {
		while (!r->stop && request_read(t)) {
			r->requests++;
			memcpy(r->last, t->request, sizeof(r->last));
			if (!answer(t))
				break;
		}
	}
	SSL_free(t->ssl);
	r->fd[t->number] = 0;
	close(t->fd);
	free(t);
	r->talks--;
	return NULL;
}

static void *listen_main(void *arg)
{
	struct tls_rig *r = arg;

	while (!r->stop) {
		int fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
		struct timeval limit = {.tv_sec = 20};
		pthread_t thread;

		if (fd < 0)
			break;
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		struct talk *t = calloc(1, sizeof(*t));
		MUST(t);
		t->rig = r;
		t->fd = fd;
		t->number = r->connections++ % 4096;
		r->fd[t->number] = fd;
		r->talks++;
		MUST(pthread_create(&thread, NULL, talk_main, t) == 0);
		pthread_detach(thread);
	}
	return NULL;
}

void tls_rig_start(struct tls_rig *r)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	pthread_t thread;

	memset(r, 0, sizeof(*r));
	signal(SIGPIPE, SIG_IGN);
	snprintf(r->dir, sizeof(r->dir), "/tmp/byokfs-tls-XXXXXX");
	MUST(mkdtemp(r->dir));
	contexts_make(r);
	r->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(r->listener >= 0 && bind(r->listener, (struct sockaddr *)&at, sizeof(at)) == 0 &&
	     listen(r->listener, 32) == 0);
	MUST(getsockname(r->listener, (struct sockaddr *)&at, &len) == 0);
	r->port = ntohs(at.sin_port);
	MUST(pthread_create(&thread, NULL, listen_main, r) == 0);
	r->thread = thread;
}

void tls_rig_stop(struct tls_rig *r)
{
	static const char *const files[] = {"ca.pem", "other.pem", "client.pem", "client.key"};
	char path[128];

	r->stop = true;
	shutdown(r->listener, SHUT_RDWR);
	pthread_join(r->thread, NULL);
	close(r->listener);
	while (r->talks > 0) {
		for (int i = 0; i < 4096; i++)
			if (r->fd[i])
				shutdown(r->fd[i], SHUT_RDWR);
		clock_pause(5);
	}
	for (int i = 0; i <= RIG_MUTE; i++)
		SSL_CTX_free(r->ctx[i]);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", r->dir, files[i]);
		unlink(path);
	}
	rmdir(r->dir);
}
