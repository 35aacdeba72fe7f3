/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `pkcs11:`: its reference, what goes between worker and helper, what an answer means. Private to kms/providers/ and tests/. */
#ifndef KMS_PROVIDERS_PKCS11_H
#define KMS_PROVIDERS_PKCS11_H

#include <pthread.h>

#include "kms/options.h"

#define P11_TOKEN_MAX 32u /* PKCS#11 has them padded with blanks to these lengths */
#define P11_SERIAL_MAX 16u
#define P11_OBJECT_MAX 128u
#define P11_ID_MAX 64u /* a version has at most 128 hex digits */
#define P11_PIN_MAX 255u
#define P11_WRAP_MAX 2048u /* RSA of 16384 bits */
#define P11_AAD_MAX (ID_LEN + 16u)
#define P11_DATE_LEN 8u             /* YYYYMMDD, as in CK_DATE */
#define P11_COMMAND "pkcs11-helper" /* argv[1] of the helper: p11_helper_main() */

enum p11_type { P11_ANY = 0, P11_SECRET_KEY, P11_PRIVATE };

/* RFC 7512, what we keep of it. "" and 0: not in the reference. No text in it is longer than its limit, nor has control characters. */
struct p11_uri {
	char token[P11_TOKEN_MAX + 1];
	char serial[P11_SERIAL_MAX + 1];
	char object[P11_OBJECT_MAX + 1]; /* CKA_LABEL */
	uint8_t id[P11_ID_MAX];          /* CKA_ID */
	uint32_t id_len;
	uint32_t type; /* enum p11_type */
};

/* Take REF apart. -EINVAL with WHY, which names the attribute that is wrong. The query may be there and is checked. */
int p11_uri_parse(const char *ref, struct p11_uri *out, char why[KMS_TEXT_MAX]) MUST_CHECK;
/* The one canonical form, without a query: token, serial, object, id, type. -ENAMETOOLONG. */
int p11_uri_write(const struct p11_uri *u, char out[KMS_REF_MAX + 1]) MUST_CHECK;
/*
 * The I-th attribute of REF's query as an option: "NAME=VALUE" into OUT (LEN bytes). 1; 0 behind the last; -EINVAL with WHY.
 */
int p11_uri_option(const char *ref, size_t i, char *out, size_t len, char why[KMS_TEXT_MAX]) MUST_CHECK;

/* Worker and helper are the same program, so structs go over their socket as they are. What must not stay in memory goes apart. */
enum p11_op { P11_BEGIN = 1, P11_WRAP, P11_UNWRAP, P11_INFO };

/* What P11_BEGIN says. Texts end in NUL. */
struct p11_begin {
	char module[KMS_OPTION_VALUE_MAX + 1];
	char args[KMS_OPTION_VALUE_MAX + 1];        /* "" = none */
	char environment[KMS_OPTION_VALUE_MAX + 1]; /* "NAME=VALUE NAME=VALUE" */
	struct p11_uri uri;
};

/* What the others say. */
struct p11_use {
	uint32_t algorithm; /* P11_UNWRAP */
	uint32_t id_len;    /* of the key that wrapped; 0 = the newest that fits the reference */
	uint8_t id[P11_ID_MAX];
	uint32_t aad_len;
	uint8_t aad[P11_AAD_MAX];
	uint32_t len;
	uint8_t data[P11_WRAP_MAX];
};

struct p11_question {
	uint32_t op;
	union {
		struct p11_begin begin;
		struct p11_use use;
	};
};

/* A PIN or a payload, in secret_alloc() memory at both ends. */
struct p11_secret {
	uint32_t len;
	uint8_t bytes[P11_PIN_MAX + 1];
};

/* How far the helper came. */
enum p11_stage {
	P11_DONE = 1,
	P11_LOAD,      /* the module: `text` says what dlopen(3) did */
	P11_TOKEN,     /* no token of that name in any slot */
	P11_LOGIN,     /* rv of C_Login */
	P11_NO_PIN,    /* the token wants a PIN, and there is none */
	P11_KEY,       /* no such key on the token */
	P11_NO_ID,     /* the key has no CKA_ID, or one that is too long */
	P11_MECHANISM, /* the token has nothing that fits this kind of key; rv of the last that was tried */
	P11_CALL,      /* rv of any other call */
};

/* Does a fresh wrap of this key open, asked after an unwrap that failed? */
enum p11_canary { P11_NOT_ASKED = 0, P11_OPENS, P11_FAILS };

struct p11_reply {
	uint32_t stage;     /* enum p11_stage */
	uint32_t canary;    /* enum p11_canary */
	uint64_t rv;        /* CK_RV */
	uint32_t forbidden; /* the token did it, although CKA_DECRYPT is false */
	uint32_t algorithm; /* P11_WRAP: with what */
	uint32_t id_len;
	uint8_t id[P11_ID_MAX];
	uint32_t len;
	uint8_t data[P11_WRAP_MAX];
	char from[P11_DATE_LEN + 1], to[P11_DATE_LEN + 1]; /* CKA_START_DATE, CKA_END_DATE, "" = none */
	char text[128];
};

/* Is R, which came from a process with a vendor's code in it, something that a helper of ours says? It ends its texts with NUL. */
bool p11_reply_good(struct p11_reply *r) MUST_CHECK;
/*
 * What R means, by table (PROVIDERS.md "pkcs11"): after OP (P11_INFO: as a wrap), for KEY. Returns kms_class_errno() of V. No
 * class but OK leaves anything in R to be used.
 */
int p11_judge(enum p11_op op, const struct p11_reply *r, const char *key, struct kms_verdict *v);
/* A CK_DATE as unix seconds: of its first moment, UTC, and DAYS later. 0: none, or no date. */
int64_t p11_date(const char *text, unsigned days);

/*
 * The helper's end: what the module that BEGIN names does with the key. One thread, one token in a process's life. Q is one of ours;
 * SECRET has the PIN (P11_BEGIN) or the payload, and gets that of an unwrap. R is filled in.
 */
void p11_token_do(const struct p11_question *q, struct p11_secret *secret, struct p11_reply *r);

/*
 * `byokfs pkcs11-helper`: the keeper, which forks a helper for each byte on descriptor 0 and hands over its socket and pidfd; it ends
 * when the other end is closed, and its helpers with it. Never returns before. The exit code.
 */
int p11_helper_main(void);

/* The worker's end of it. Zeroed but for p11_link_new(). */
struct p11_link;

/*
 * Starts the keeper: afterwards a worker may no longer execute programs. BEGIN is copied. -errno of the start.
 */
int p11_link_new(const struct p11_begin *begin, struct p11_link **out) MUST_CHECK;
/* Ends helper and keeper. NULL is legal. */
void p11_link_free(struct p11_link *l);
/*
 * Put Q, in turn; PIN (by its function, secret memory) is asked for when a new helper begins. SECRET goes along, and comes back with what the
 * answer has of it. 0 with R, which is good; -EAGAIN with V: no helper could begin, died (TRANSIENT), or was ended because DEADLINE
 * had come; -ECANCELED.
 */
struct p11_ask {
	const struct p11_question *q;
	struct p11_secret *secret;
	int64_t deadline; /* ms of CLOCK_BOOTTIME */
	/* Fill in the PIN, len 0 = none. Not 0 with V: no helper is begun. REFUSED tells what became of it. */
	int (*pin)(void *arg, struct p11_secret *out, struct kms_verdict *v);
	void (*refused)(void *arg, const struct p11_secret *pin);
	void *arg;
	const char *key; /* for words */
};
int p11_link_ask(struct p11_link *l, const struct p11_ask *a, struct p11_reply *r, struct kms_verdict *v) MUST_CHECK;
/* The next question has a new helper; ends a cancel. */
void p11_link_refresh(struct p11_link *l);
/* Kill the helper: questions under way, and those that come before p11_link_refresh(), end. From any thread; does not wait. */
void p11_link_cancel(struct p11_link *l);

#endif
