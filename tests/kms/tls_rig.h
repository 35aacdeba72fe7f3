/* SPDX-License-Identifier: BSD-2-Clause */
/* A TLS server of the tests on loopback: it answers well or as badly as its path says, with certificates of its own CA. */
#ifndef TESTS_KMS_TLS_RIG_H
#define TESTS_KMS_TLS_RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What the server shows, or does instead of TLS. */
enum tls_rig_mode {
	RIG_GOOD = 0, /* localhost and 127.0.0.1 */
	RIG_EXPIRED,
	RIG_OTHER_NAME,
	RIG_OTHER_CA,
	RIG_OLD_TLS,      /* TLS 1.1 at most */
	RIG_WANTS_CLIENT, /* and whoever has no certificate is refused */
	RIG_MUTE,         /* accepts the connection and says nothing */
	RIG_NOBODY,       /* for the caller: nobody listens */
};

/*
 * Paths: /echo the request's body; /status/N that status with "{}"; /big 70,000 bytes; /endless chunks without end; /heads headers
 * without end; /drip a byte each 200 ms; /hang nothing; /cut a tenth of what it promised; /drop a good answer, then it closes without a
 * word; /secret bytes that nobody else has; /to307 a 307 to /echo of the address in `redirect`. Each answer has the header X-Number: n-7.
 */
struct tls_rig {
	char dir[64]; /* ca.pem, other.pem, client.pem, client.key */
	int port;
	_Atomic enum tls_rig_mode mode;
	atomic_int connections, requests;
	char redirect[64]; /* HOST:PORT */
	char last[8192];   /* head and body of the newest request, when it has been answered */
	atomic_bool stop;
	int listener;
	atomic_int talks;    /* connections that are served now */
	atomic_int fd[4096]; /* of connection number I; 0 when it has ended */
	void *ctx[RIG_MUTE + 1];
	unsigned long thread;
};

#define RIG_SECRET_LEN 96u
/* Byte I of what /secret answers: printable, and in no file or memory before it is made. */
static inline unsigned char rig_secret(size_t i)
{
	return (unsigned char)('A' + (i * 7 + i * i % 5 + 3) % 26);
}

/* Aborts when it cannot. */
void tls_rig_start(struct tls_rig *r);
void tls_rig_stop(struct tls_rig *r);

#endif
