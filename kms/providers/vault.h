/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the provider `vault:` that need no network, and its login. Private to kms/providers/ and tests/. */
#ifndef KMS_PROVIDERS_VAULT_H
#define KMS_PROVIDERS_VAULT_H

#include <pthread.h>

#include "kms/net/http.h"
#include "kms/options.h"

#define VAULT_HOST_MAX 253u
#define VAULT_PATH_MAX 255u
#define VAULT_NAME_MAX 128u
#define VAULT_TOKEN_MAX 511u

/* A reference taken apart. "vault:https://HOST:PORT/MOUNT/NAME[?namespace=NS]" */
struct vault_ref {
	bool plain; /* http */
	char host[VAULT_HOST_MAX + 1];
	unsigned port;
	char mount[VAULT_PATH_MAX + 1]; /* without slashes around it; may have some in it */
	char name[VAULT_NAME_MAX + 1];
	char space[VAULT_PATH_MAX + 1]; /* namespace, "" = the root's */
};

/*
 * Take REF apart. Without an address in it, ADDRESS (an URL) is meant; SPACE is the namespace where REF names none; both may be NULL.
 * -EINVAL with WHY, which names the part that is wrong.
 */
int vault_ref_parse(const char *ref, const char *address, const char *space, struct vault_ref *out,
		    char why[KMS_TEXT_MAX]) MUST_CHECK;
/* The one canonical form. -ENAMETOOLONG. */
int vault_ref_write(const struct vault_ref *v, char out[KMS_REF_MAX + 1]) MUST_CHECK;
/* Is HOST this machine itself: 127.*, [::1], localhost? */
bool vault_host_is_loopback(const char *host);
/* "https://HOST:PORT" or "http://...", -EINVAL: the address of the option `endpoint` in place of the reference's. */
int vault_address_parse(const char *address, struct vault_ref *out, char why[KMS_TEXT_MAX]) MUST_CHECK;

/* What was asked, for what an answer means. */
enum vault_call {
	VAULT_WRAP = 1,
	VAULT_UNWRAP, /* of a wrap that may be damaged */
	VAULT_PROBE,  /* of the very wrap that this handle has unwrapped before */
	VAULT_LOGIN,
};

/*
 * What an answer means, by table: STATUS and BODY (LEN bytes and a NUL). KEY is named in the sentence. A success is KMS_OK without a look
 * into it. Returns kms_class_errno() of V. *UNSURE: a 403 whose words fit neither the token nor the right; V says AUTH, and
 * lookup-self tells: when the token is good, it is REVOKED.
 */
int vault_judge(enum vault_call call, const struct http_reply *r, const char *key, struct kms_verdict *v, bool *unsure);
/* Does the refusal R say that this kind of key takes no associated data? */
bool vault_no_aad(const struct http_reply *r);
/* The ciphertext of encrypt's success into OUT. -EBADMSG: it makes no sense. */
int vault_wrap_read(const struct http_reply *r, struct kms_wrapped *out, struct kms_verdict *v) MUST_CHECK;
/* The plaintext of decrypt's success: PAYLOAD_LEN bytes. -EBADMSG: it makes no sense. -EMSGSIZE: another length. */
int vault_unwrap_read(const struct http_reply *r, uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v) MUST_CHECK;
/*
 * The bodies of encrypt and decrypt: NUL-terminated, for heap_free(). NULL: no memory. With associated data (FORMAT.md "Wrapped
 * payloads") if AAD.
 */
char *vault_wrap_body(const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN], bool aad);
char *vault_unwrap_body(const struct kms_purpose *p, const struct kms_wrapped *in, bool aad);

/* Who we are there. */
enum vault_auth { VAULT_TOKEN = 1, VAULT_APPROLE, VAULT_CERT, VAULT_JWT, VAULT_KUBERNETES };

/* A token in secret memory. */
struct vault_token {
	char *text;       /* secret_alloc(), or NULL */
	bool ours;        /* from a login: to be given back */
	int64_t renew_at; /* ms of CLOCK_BOOTTIME: log in again, or read the file again */
	int64_t ends_at;  /* INT64_MAX: not known to end */
};

/* Zeroed but for what vault_auth_begin() fills in. */
struct vault_login {
	pthread_mutex_t lock; /* guards all below but what is constant */
	enum vault_auth auth; /* constant, as are the next */
	const struct kms_options *options;
	char base[VAULT_HOST_MAX + 32]; /* "https://HOST:PORT" */
	char space[VAULT_PATH_MAX + 1]; /* namespace of the login */
	struct http *http;
	atomic_bool anew;               /* log in at the next question, whatever the token's age */
	struct vault_token now, before; /* before: calls under way may still use it; given back at the next renewal */
	unsigned generation;            /* of `now` */
};

/* Which way is configured, and is all there that it needs? OK, AUTH "credentials", MISCONFIGURED. Nothing is contacted. */
int vault_login_begin(struct vault_login *l, const struct kms_options *o, struct kms_verdict *v) MUST_CHECK;
/*
 * A header "X-Vault-Token: ..." for heap_free(), by a login if need be; *GENERATION names the token. NULL with V: AUTH (refused), or why
 * nobody answered.
 */
char *vault_login_header(struct vault_login *l, int64_t deadline, unsigned *generation, struct kms_verdict *v);
/* The token of GENERATION was refused: forget it, unless there is a newer one. */
void vault_login_refused(struct vault_login *l, unsigned generation);
/* Forget every token, and give back those that we made, until DEADLINE. */
void vault_login_end(struct vault_login *l, int64_t deadline);

#endif
