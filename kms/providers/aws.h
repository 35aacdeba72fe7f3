/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the provider `aws-kms:` that need no network, and who asks. Private to kms/providers/ and tests/. */
#ifndef KMS_PROVIDERS_AWS_H
#define KMS_PROVIDERS_AWS_H

#include <pthread.h>

#include "kms/long_secret.h"
#include "kms/net/http.h"
#include "kms/net/sigv4.h"
#include "kms/options.h"

#define AWS_KEY_ID_MAX 36u /* a UUID; "mrk-" and 32 digits is as long */
#define AWS_NAME_MAX 250u  /* of an alias, without "alias/" */
#define AWS_ARN_MAX 400u
#define AWS_HOST_MAX 253u
#define AWS_ACCESS_MAX 128u /* number of an access key, and its secret */
#define AWS_WORD_MAX 1024u  /* of a value in a file */

/* A reference taken apart: "aws-kms:arn:PARTITION:kms:REGION:ACCOUNT:key/ID" or ":alias/NAME". */
struct aws_ref {
	const char *partition, *suffix; /* of the table: "aws", "amazonaws.com" */
	char region[32];
	char account[13];
	bool is_alias;
	char name[AWS_NAME_MAX + 1]; /* ID or NAME */
};

/* With our scheme, as an ARN alone, or as Tink writes it (aws-kms://ARN). -EINVAL with WHY, which names the field that is wrong. */
int aws_ref_parse(const char *ref, struct aws_ref *out, char why[KMS_TEXT_MAX]) MUST_CHECK;
/* Does REF, which has no scheme of ours, mean a key of AWS: an ARN, or what a person would type for one? */
bool aws_ref_claims(const char *ref);
/* The ARN of the reference. */
void aws_ref_arn(const struct aws_ref *a, char out[AWS_ARN_MAX]);
/* The ARN of the key ID beside it. */
void aws_key_arn(const struct aws_ref *a, const char *id, char out[AWS_ARN_MAX]);
/* The key's id in ARN, an answer's KeyId, if that can be the reference's: the same ARN, or for an alias a key of its account and region. Else NULL. */
const char *aws_key_id_of(const struct aws_ref *a, const char *arn);

/* Where to connect to. */
struct aws_place {
	char url[AWS_HOST_MAX + 32];  /* "https://HOST:PORT/" */
	char host[AWS_HOST_MAX + 16]; /* as the header Host has it, which is signed */
	const char *socket;           /* of "unix:PATH", in the options; or NULL */
	bool plain;
};

/* HOST over https, or what OPTION of O says in its place: https://HOST:PORT, http:// to this machine itself, unix:PATH. MISCONFIGURED in V. */
int aws_place_find(const struct kms_options *o, const char *option, const char *host, struct aws_place *out,
		   struct kms_verdict *v) MUST_CHECK;

/* What was asked, for what an answer means. */
enum aws_call { AWS_WRAP = 1, AWS_UNWRAP };

/*
 * What an answer of the KMS means, by table: STATUS and BODY. KEY is named in the sentence. A success is KMS_OK without a look into
 * it. Returns kms_class_errno() of V; its code is AWS's own, but "clock" when the signature's time is what is wrong.
 */
int aws_judge(enum aws_call call, const struct http_reply *r, const char *key, struct kms_verdict *v);
/* Do CODE and the WORDS of its message, of KMS or STS, say that the time of our signature is wrong? */
bool aws_is_clock(const char *code, const char *words);
/* Does V say that this kind of key takes no SYMMETRIC_DEFAULT? */
bool aws_is_other_type(const struct kms_verdict *v);

/* A question about a wrap. ARN: the key that is named to AWS. */
struct aws_question {
	const struct kms_purpose *p;
	const char *arn;
	bool rsa; /* RSAES_OAEP_SHA_256, without an encryption context */
};

/* The bodies of Encrypt and Decrypt: NUL-terminated, for heap_free(). NULL: no memory. */
char *aws_wrap_body(const struct aws_question *q, const uint8_t plain[PAYLOAD_LEN]);
char *aws_unwrap_body(const struct aws_question *q, const struct kms_wrapped *in);
/* The answer to Encrypt into OUT, its algorithm and version too. -EBADMSG: it makes no sense, or is another key's. */
int aws_wrap_read(const struct http_reply *r, const struct aws_ref *a, const struct aws_question *q,
		  struct kms_wrapped *out, struct kms_verdict *v) MUST_CHECK;
/* The plaintext of Decrypt: PAYLOAD_LEN bytes. -EBADMSG: it makes no sense, or is not of the key that was asked. -EMSGSIZE: another length. */
int aws_unwrap_read(const struct http_reply *r, const struct aws_question *q, uint8_t plain[PAYLOAD_LEN],
		    struct kms_verdict *v) MUST_CHECK;

/* The files of ~/.aws (aws_ini.c) */

/*
 * The value of KEY in section NAME (or "profile NAME") of an INI of LEN bytes, without white space around it. -ENOENT: no such section, no such
 * key; -EINVAL: a line that is no comment, section or NAME=VALUE, the section or the key twice, a value longer than AWS_WORD_MAX.
 */
int aws_ini_get(const char *text, const char *name, const char *key, char out[AWS_WORD_MAX + 1]) MUST_CHECK;
/* Is there such a section? 0, -ENOENT, -EINVAL. */
int aws_ini_has(const char *text, const char *name) MUST_CHECK;

/* Access keys (aws_sts.c, aws_keys.c) */

/* An access key. Zeroed, it is none. */
struct aws_key {
	char id[AWS_ACCESS_MAX + 1];
	char *secret; /* secret_alloc() */
	struct long_secret token;
	int64_t expires; /* unix seconds, 0 = not known to end */
	bool lasting;    /* it lies in a file or the environment: asking anew gives the same */
};

/* Also for AUTO(). */
void aws_key_wipe(struct aws_key *k);
/* TOKEN may be NULL or "". -EINVAL: not what an access key is made of; -ENOMEM. */
int aws_key_set(struct aws_key *k, const char *id, const char *secret, const char *token) MUST_CHECK;
bool aws_key_equal(const struct aws_key *a, const struct aws_key *b) MUST_CHECK;

/* "2026-01-02T03:04:05Z", also with a fraction, as unix seconds. -EINVAL. */
int aws_time_read(const char *text, int64_t *out) MUST_CHECK;
/*
 * An access key of STS's answer, XML of which five elements count. What it means, by table, in V: OK, AUTH (refused), TRANSIENT,
 * MISCONFIGURED; returns kms_class_errno().
 */
int aws_sts_read(const struct http_reply *r, struct aws_key *out, struct kms_verdict *v);
/* The same of a JSON object as instance metadata and containers give it. */
int aws_meta_read(const struct http_reply *r, struct aws_key *out, struct kms_verdict *v);

/* What AssumeRole is told. */
struct aws_role {
	const char *arn, *session, *external_id; /* external_id may be NULL */
	const char *jwt;                         /* AssumeRoleWithWebIdentity; else NULL */
	bool chained;                            /* by a key of another role: an hour at most */
};

/* The form of it; for heap_free(). NULL: no memory, or too long. */
char *aws_sts_body(const struct aws_role *role);

/* Where the first access key comes from. */
enum aws_identity { AWS_ENVIRONMENT = 1, AWS_FILES, AWS_WEB_IDENTITY, AWS_CONTAINER, AWS_INSTANCE };

/* Zeroed but for what aws_login_begin() fills in, and the first four. */
struct aws_login {
	const struct kms_options *options; /* constant, as are the next */
	struct http *http;                 /* to STS */
	const char *region;                /* of STS */
	struct aws_place sts;
	void (*log)(int priority, const char *text); /* or NULL */
	struct http *meta;                           /* instance metadata, containers */
	enum aws_identity identity;
	bool guessed;         /* no identity is configured: the machine's own is tried */
	atomic_bool anew;     /* make a key at the next question, whatever the old one's age */
	atomic_llong off;     /* seconds that this host's clock is behind AWS's */
	pthread_mutex_t lock; /* guards all below */
	struct aws_key now;
	int64_t renew_at, ends_at; /* of `now`; ms of CLOCK_BOOTTIME */
	unsigned generation;       /* of `now` */
	bool refused;              /* `now` is not to be used */
};

/* Which identity is configured, and is all there that it needs? OK, AUTH "credentials", MISCONFIGURED. Nothing is contacted. */
int aws_login_begin(struct aws_login *l, bool may_respawn, struct kms_verdict *v) MUST_CHECK;
/* Wipe it. */
void aws_login_end(struct aws_login *l);

/* A request that is to be signed, and what that makes of it. */
struct aws_signed {
	const char *host, *body, *region, *service;
	const char *const *header; /* ours, without Host; NULL at the end, at most 4 */
	char *made[3];             /* heap: X-Amz-Date, Authorization, X-Amz-Security-Token or NULL */
	const char *all[8];        /* what is to be sent, NULL at the end */
	unsigned generation;       /* of the key */
};

/* Sign S, making or renewing the key if need be, until DEADLINE. Returns kms_class_errno() of V: AUTH (refused), or why nobody answered. */
int aws_login_sign(struct aws_login *l, struct aws_signed *s, int64_t deadline, struct kms_verdict *v) MUST_CHECK;
/* For AUTO(). */
void aws_signed_free(struct aws_signed *s);
/* The key of GENERATION was refused: make another, unless there is a newer one. */
void aws_login_refused(struct aws_login *l, unsigned generation);
/*
 * The time of a signature was refused by R, the reply of a peer that is who it must be: true if its Date says that our clock is wrong, and
 * from now on that is allowed for.
 */
bool aws_clock_correct(struct aws_login *l, const struct http_reply *r);
/* Unix seconds, by AWS's clock as far as it is known. */
int64_t aws_now(const struct aws_login *l);

/* aws_keys.c: an access key from where L's identity says. kms_class_errno() of V. */
int aws_key_make(struct aws_login *l, struct aws_key *out, int64_t deadline, struct kms_verdict *v) MUST_CHECK;
/* aws_sign.c: sign S with KEY. -ENOMEM, -EINVAL. */
int aws_sign(struct aws_login *l, const struct aws_key *key, struct aws_signed *s) MUST_CHECK;

#endif
