/* SPDX-License-Identifier: BSD-2-Clause */
/* What a KMS is to byokfs: one const table of functions per provider, chosen by the reference's scheme. */
#ifndef KMS_PROVIDER_H
#define KMS_PROVIDER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "crypto/keyring.h"

#define KMS_REF_MAX 1024u     /* = KEYRING_REF_MAX */
#define KMS_WRAPPED_MAX 8192u /* AWS allows 6,144 */
#define KMS_VERSION_MAX 255u
#define KMS_TEXT_MAX 256u
#define KMS_REQUEST_ID_MAX 63u

/* What a KMS's answer, or its silence, means. The tables: reference pages of each provider, PROVIDERS.md. */
enum kms_class {
	KMS_OK = 1,
	KMS_REVOKED,       /* an authenticated refusal: lock */
	KMS_TRANSIENT,     /* no statement about the key: silence, 5xx, throttled */
	KMS_MISCONFIGURED, /* reference, algorithm or request is wrong */
	KMS_AUTH,          /* our identity is rejected: refresh once, then bounded like silence */
	KMS_CORRUPT,       /* the key is fine, this wrapped blob is not */
};

/* An answer in words: for status, log and audit. Never a secret, never a response body. */
struct kms_verdict {
	enum kms_class class;
	char code[64];           /* the provider's own code: "disabled", "AccessDeniedException", "timeout" */
	char text[KMS_TEXT_MAX]; /* one sentence that names the key */
	char request_id[KMS_REQUEST_ID_MAX + 1]; /* the KMS's own number of this request, "" where it has none */
	unsigned took_ms; /* from the question to the answer; kms_wrap() and kms_unwrap() fill it in */
};

/*
 * What a provider's key versions are made of. A version is what the answer adds to the reference and nothing else: never a
 * host, a URL, an ARN, for it stands in the headers of files and goes into the next request.
 */
enum kms_version_kind {
	KMS_VERSION_NUMBER = 1, /* decimal, 1 to 4294967295, no zero in front: local, Vault, Google */
	KMS_VERSION_UUID,       /* 8-4-4-4-12 lower-case hex digits, or "mrk-" and 32 of them: AWS */
	KMS_VERSION_HEX32,      /* 32 lower-case hex digits: Azure */
	KMS_VERSION_HEX,        /* 2 to 128 lower-case hex digits, whole bytes: CKA_ID of PKCS#11 */
	KMS_VERSION_NONE,       /* nothing, the reference says it all: KMIP */
};

/* A wrapped key with all that is needed to unwrap it later. `version` is the resolved one that the KMS answered with. */
struct kms_wrapped {
	uint16_t algorithm;
	char version[KMS_VERSION_MAX + 1];
	uint8_t data[KMS_WRAPPED_MAX];
	size_t len;
};

/* What is wrapped: a slot secret of the keyring, or the key of one file. It limits how long the wrap may be. */
enum kms_use { KMS_USE_KEYRING = 1, KMS_USE_FILE };

/*
 * What a call is for. Store id and use are the associated data where the KMS has such a thing (FORMAT.md "What a KMS wraps"),
 * and appear in clear in the customer's log.
 */
struct kms_purpose {
	uint8_t store_id[ID_LEN];
	enum kms_use use; /* sent as kms_use_name() */
	/*
	 * Moment in ms of CLOCK_BOOTTIME by which all that belongs to this question must have ended: new token, unwrap, description. 0
	 * from a caller: kms_deadline() of the handle. A provider never sees 0.
	 */
	int64_t deadline;
};

/* State of a key as the KMS describes it; a description never stands in for an unwrap. */
struct kms_key_info {
	char version[KMS_VERSION_MAX + 1]; /* current one */
	char state[32];                    /* "enabled", "disabled", ... */
	int64_t not_after;                 /* unix seconds, 0 = none. We compare it ourselves (Azure, PKCS#11 do not) */
	int64_t not_before;
	int purge_protected; /* 1, 0, -1 unknown */
};

/* How to reach a KMS. Strings outlive the kms. */
struct kms_config {
	const char *ref;             /* normalised, "local:/dir/name", "aws-kms:arn:..." */
	const char *passphrase_file; /* local: or NULL */
	const char *memory_dir;      /* local: keystore_remember(), or NULL */
	bool may_prompt;             /* a terminal is there */
	bool may_respawn; /* a process that comes after this one will open it too: what can be had once only is refused */
	void (*log)(int priority, const char *text); /* what is told once and is no verdict; or NULL */
	unsigned timeout_ms;                         /* bound of one question, all that belongs to it included */
	/* kms/options.h, checked against the provider's table, or NULL. For the time of open(): what is needed later is copied. */
	const struct kms_options *options;
};

struct kms; /* each provider defines its own; first member is struct kms_base */
struct kms_option_def;

struct kms_provider {
	const char *scheme;
	const char *description;              /* one line for --help */
	const struct kms_option_def *options; /* those of --kms-option, up to one without a name; NULL = none */
	enum kms_version_kind version_kind;
	/*
	 * How often `info` is needed beside the unwraps to learn the key's dates, in ms. 0 = never: the unwrap itself enforces dates
	 * and state, and a second call would double the traffic for nothing.
	 */
	unsigned dates_ms;
	/* Does REF, which begins with no provider's scheme, mean a key of this one: "arn:aws:kms:..."? May be NULL. */
	bool (*claims)(const char *ref);
	/* Check REF and write its one canonical form; touches no network. WHY gets one sentence on -EINVAL. */
	int (*normalise)(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX]);
	/*
	 * The I-th option that REF itself names, as "NAME=VALUE" in OUT (LEN bytes); the canonical form has none. 1; 0 behind the last;
	 * -EINVAL with WHY. NULL: references name none.
	 */
	int (*ref_option)(const char *ref, size_t i, char *out, size_t len, char why[KMS_TEXT_MAX]);
	/* Directory on this machine that holds the keys of REF, or NULL where there is none: must not be inside a store. */
	int (*directory)(const char *ref, char out[KMS_REF_MAX + 1]);
	/* Make a handle. May read credentials and ask for a passphrase; the first contact may be left to the first call. */
	int (*open)(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v);
	/*
	 * Called by kms_wrap() and kms_unwrap() only, which check what comes back. Wrap PAYLOAD_LEN bytes into OUT, which is
	 * zeroed; unwrap into PAYLOAD_LEN zeroed bytes of secret memory. What unwraps to any other length is CORRUPT.
	 * Block until p->deadline at most; thread-safe; 0 and v->class KMS_OK, or a negative errno and the class that says what it
	 * means. In an unwrap "not found" is REVOKED, for the wrap proves that the key was there; in a wrap it is MISCONFIGURED.
	 */
	int (*wrap)(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		    struct kms_wrapped *out, struct kms_verdict *v);
	int (*unwrap)(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
		      uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v);
	/* Describe the key, in the version that wrapped or (VERSION "") the newest. May be refused where unwrap is not: says nothing. */
	int (*info)(struct kms *k, const struct kms_purpose *p, const char *version, struct kms_key_info *out,
		    struct kms_verdict *v);
	/* Drop connections and cached credentials: the next call starts fresh (confirmation of a refusal). May be NULL. */
	void (*refresh)(struct kms *k);
	/* Make calls in flight return -ECANCELED soon, from any thread; cleared by refresh. May be NULL. */
	void (*cancel)(struct kms *k);
	/* A pollable descriptor that is readable when the key may have changed, or -1. KMS_BASE owns it. May be NULL. */
	int (*watch_fd)(struct kms *k);
	/* Consume what made watch_fd readable. */
	void (*watch_clear)(struct kms *k);
	void (*close)(struct kms *k);
};

struct kms_base {
	const struct kms_provider *provider;
	char ref[KMS_REF_MAX + 1];
	atomic_uint calls;   /* kms_wrap() and kms_unwrap() under way; begins as 0 */
	unsigned timeout_ms; /* kms_open() sets it from the configuration */
	/* The dates heard last, for kms_check_dates(). */
	pthread_mutex_t dates_lock;
	int64_t dates_at; /* ms of CLOCK_BOOTTIME of the last question, 0 = none yet */
	int64_t not_before, not_after;
};

/* The provider of REF's scheme, or NULL. WHY (may be NULL) gets a sentence with the schemes that exist and a near miss. */
const struct kms_provider *kms_provider_find(const char *ref, char why[KMS_TEXT_MAX]);
/* Normalise by the reference's provider. -EINVAL with WHY. */
int kms_ref_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX]) MUST_CHECK;
/* 1 if the keys of REF lie in or under DIR (or are DIR), 0 if not, negative errno. */
int kms_ref_inside(const char *ref, const char *dir) MUST_CHECK;
/* Iterate the table: NULL at the end. */
const struct kms_provider *kms_provider_at(size_t i);

/*
 * Open the KEK that CFG names. Returns kms_class_errno() of V, which is complete; the caller gives *OUT to kms_close(). May
 * ask for a passphrase, and block as long as the provider's open.
 */
int kms_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v) MUST_CHECK;
/* When a question put now must have its answer: ms of CLOCK_BOOTTIME. */
int64_t kms_deadline(const struct kms *k);
/* No call may be under way. NULL is legal. */
void kms_close(struct kms *k);
/* The normalised reference, and the provider; both live as long as K. */
const char *kms_ref(const struct kms *k);
const struct kms_provider *kms_provider_of(const struct kms *k);

/* Drop connections and cached credentials, and end a kms_cancel(). Nothing to do for a provider that has none. */
void kms_refresh(struct kms *k);
/* End the calls under way soon, and those that begin until kms_refresh(): TRANSIENT. From any thread; does not wait. */
void kms_cancel(struct kms *k);

/*
 * The one door to a provider's wrap and unwrap. Both block up to the handle's timeout, are thread-safe and return
 * kms_class_errno() of V, which is always complete: an answer that contradicts itself, or that nothing can be done with,
 * becomes TRANSIENT "garbled", for it says nothing about the key.
 *
 * OUT: a known algorithm, a version of the provider's kind, PAYLOAD_LEN bytes of wrap at least and at most what the
 * keyring or a file's header can hold. Untouched on error, but for scratch bytes behind OUT->len == 0.
 */
int kms_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN], struct kms_wrapped *out,
	     struct kms_verdict *v) MUST_CHECK;
/*
 * IN that no provider could have made (algorithm, version, length) is CORRUPT, and the KMS is not asked. PLAIN, secret
 * memory, is wiped on error. What is in it is for the caller to check: only he knows what he wrapped.
 */
int kms_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in, uint8_t plain[PAYLOAD_LEN],
	       struct kms_verdict *v) MUST_CHECK;
/*
 * After a good unwrap of a wrap of VERSION: do the key's dates allow its use now? Asks `info` as seldom as the provider allows
 * and compares the dates it heard last each time; a description that is refused or silent says nothing. 0, or REVOKED in V.
 */
int kms_check_dates(struct kms *k, const struct kms_purpose *p, const char *version, struct kms_verdict *v) MUST_CHECK;
/* How many of the two are under way on K, each with a payload in memory. */
unsigned kms_calls(const struct kms *k);

/* W as it was stored. What does not fit leaves W->len at 0, which kms_unwrap() calls CORRUPT. */
void kms_wrapped_set(struct kms_wrapped *w, uint16_t algorithm, const char *version, const uint8_t *data, size_t len);
/* Is VERSION, with its NUL within KMS_VERSION_MAX + 1 bytes, of KIND? */
bool kms_version_good(enum kms_version_kind kind, const char *version) MUST_CHECK;
/* "keyring", "file": what the customer's log shows, and part of the associated data. "" for any other value. */
const char *kms_use_name(enum kms_use use);

#endif
