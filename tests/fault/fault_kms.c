/* SPDX-License-Identifier: BSD-2-Clause */
/* A KMS that misbehaves on demand (contract and modes: tests/fault/fault_kms.h). */
#include "tests/fault/fault_kms.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "crypto/secret.h"
#include "kms/path.h"
#include "kms/verdict.h"

#define SCHEME "fault:"
#define KEY_AT 8u /* in the payload, behind its label */
#define AAD_MAX (ID_LEN + 33)
#define LONG_PAST 1000000 /* unix seconds */

enum mode {
	MODE_OK = 0,
	MODE_REFUSE,
	MODE_HANG,
	MODE_SLOW,
	MODE_FLAP,
	MODE_GARBAGE,
	MODE_WRONGKEY,
	MODE_CORRUPT,
	MODE_STRANGER,
	MODE_AUTH,
	MODE_MISCONFIGURED,
	MODE_THROTTLED,
	MODE_DOWN,
	MODE_EXPIRED,
	MODE_DIE,
	MODE_HANG_FILE,
	MODE_REFUSE_FILE,
	MODE_UNREADABLE,
};

static const char *const mode_words[] = {
	[MODE_OK] = "ok",
	[MODE_REFUSE] = "refuse",
	[MODE_HANG] = "hang",
	[MODE_SLOW] = "slow",
	[MODE_FLAP] = "flap",
	[MODE_GARBAGE] = "garbage",
	[MODE_WRONGKEY] = "wrongkey",
	[MODE_CORRUPT] = "corrupt",
	[MODE_STRANGER] = "stranger",
	[MODE_AUTH] = "auth",
	[MODE_MISCONFIGURED] = "misconfigured",
	[MODE_THROTTLED] = "throttled",
	[MODE_DOWN] = "down",
	[MODE_EXPIRED] = "expired",
	[MODE_DIE] = "die",
	[MODE_HANG_FILE] = "hang-file",
	[MODE_REFUSE_FILE] = "refuse-file",
};

struct kms {
	struct kms_base base;
	char dir[KMS_REF_MAX + 1];
	unsigned timeout_ms;
	pthread_mutex_t lock;
	pthread_cond_t woken;
	int cancelled;    /* lock: until refresh */
	unsigned cancels; /* lock: a call that waits ends when this changes */
	unsigned calls;   /* lock */
};

/* One call: what it is and how it is to be answered. */
struct call {
	const char *op, *purpose;
	enum mode mode;
	unsigned ms;
};

/* The kernel's word, whatever clock the tests show to the daemon. */
static int64_t real_ms(void)
{
	struct timespec t = {0};

	syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void path_of(const struct kms *k, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", k->dir, name);
}

static void note(struct kms *k, const struct call *c, const char *answer)
{
	char path[PATH_MAX], line[160];
	int n = snprintf(line, sizeof(line), "%" PRId64 " %s%s%s %s\n", real_ms(), c->op, c->purpose[0] ? ":" : "",
			 c->purpose, answer);
	int fd;

	path_of(k, "calls", path);
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, line, (size_t)n) != n)
		fprintf(stderr, "fault: cannot write %s\n", path);
	close(fd);
}

static enum mode mode_find(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_words); i++)
		if (strcmp(mode_words[i], word) == 0)
			return (enum mode)i;
	return MODE_UNREADABLE;
}

static void mode_read(struct kms *k, struct call *c)
{
	char path[PATH_MAX], text[64] = "", word[32] = "";
	int fd;

	c->mode = MODE_UNREADABLE;
	c->ms = 0;
	path_of(k, "mode", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && sscanf(text, "%31s %u", word, &c->ms) >= 1)
		c->mode = mode_find(word);
	close(fd);
}

static int fault_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	char canonical[PATH_MAX];

	if (strncmp(ref, SCHEME, strlen(SCHEME)) != 0 ||
	    kms_path_canonical(ref + strlen(SCHEME), canonical, sizeof(canonical)) ||
	    snprintf(out, KMS_REF_MAX + 1, SCHEME "%s", canonical) > (int)KMS_REF_MAX) {
		snprintf(why, KMS_TEXT_MAX, "'%.120s' is not fault:DIR", ref);
		return -EINVAL;
	}
	return 0;
}

static int fault_directory(const char *ref, char out[KMS_REF_MAX + 1])
{
	snprintf(out, KMS_REF_MAX + 1, "%s", ref + strlen(SCHEME));
	return 0;
}

static void fault_close(struct kms *k)
{
	pthread_cond_destroy(&k->woken);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static int fault_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	struct kms *k = calloc(1, sizeof(*k));
	pthread_condattr_t attr;

	if (!k)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	k->base.provider = &kms_fault;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	snprintf(k->dir, sizeof(k->dir), "%s", cfg->ref + strlen(SCHEME));
	k->timeout_ms = cfg->timeout_ms;
	pthread_mutex_init(&k->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&k->woken, &attr);
	pthread_condattr_destroy(&attr);
	*out = k;
	return kms_verdict_ok(v);
}

/* 1: cancelled, before or meanwhile. */
static int wait_ms(struct kms *k, unsigned ms)
{
	struct timespec until;
	unsigned cancels;
	int cancelled, r = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += (long)(ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&k->lock);
	cancels = k->cancels;
	while (!k->cancelled && k->cancels == cancels && r == 0)
		r = pthread_cond_timedwait(&k->woken, &k->lock, &until);
	cancelled = k->cancelled || k->cancels != cancels;
	pthread_mutex_unlock(&k->lock);
	return cancelled;
}

static int say_cancelled(struct kms_verdict *v)
{
	kms_verdict_set(v, KMS_TRANSIENT, "cancelled", "the call was cancelled");
	return -ECANCELED;
}

static int say_hang(struct kms *k, const struct call *c, unsigned ms, struct kms_verdict *v)
{
	note(k, c, "waits");
	if (wait_ms(k, ms))
		return say_cancelled(v);
	return kms_verdict_set(v, KMS_TRANSIENT, "timeout", "key %.160s did not answer within %u ms", k->dir, ms);
}

static int say_slow(struct kms *k, const struct call *c, struct kms_verdict *v)
{
	if (c->ms >= k->timeout_ms)
		return say_hang(k, c, k->timeout_ms, v);
	note(k, c, "waits");
	return wait_ms(k, c->ms) ? say_cancelled(v) : kms_verdict_ok(v);
}

static int say_refused(struct kms *k, struct kms_verdict *v)
{
	return kms_verdict_set(v, KMS_REVOKED, "disabled", "key %.160s is disabled", k->dir);
}

static int flaps_now(struct kms *k, const struct call *c)
{
	unsigned n;

	pthread_mutex_lock(&k->lock);
	n = k->calls;
	pthread_mutex_unlock(&k->lock);
	return c->ms ? (real_ms() / c->ms) % 2 == 0 : n % 2 == 0;
}

/* What the mode says before the key is touched; 0 with OK: go on. */
static int answer(struct kms *k, const struct call *c, struct kms_verdict *v)
{
	int of_file = strcmp(c->purpose, "file") == 0;

	switch (c->mode) {
	case MODE_REFUSE:
		return say_refused(k, v);
	case MODE_REFUSE_FILE:
		return of_file ? say_refused(k, v) : kms_verdict_ok(v);
	case MODE_HANG:
		return say_hang(k, c, k->timeout_ms, v);
	case MODE_HANG_FILE:
		return of_file ? say_hang(k, c, k->timeout_ms, v) : kms_verdict_ok(v);
	case MODE_SLOW:
		return say_slow(k, c, v);
	case MODE_FLAP:
		return flaps_now(k, c) ? say_refused(k, v) : kms_verdict_ok(v);
	case MODE_CORRUPT:
		return kms_verdict_set(v, KMS_CORRUPT, "corrupt", "key %.160s did not wrap this", k->dir);
	case MODE_STRANGER:
		return kms_verdict_set(v, KMS_TRANSIENT, "403-stranger", "a 403 for %.160s that nobody signed", k->dir);
	case MODE_AUTH:
		return kms_verdict_set(v, KMS_AUTH, "401", "key %.160s: who are you?", k->dir);
	case MODE_MISCONFIGURED:
		return kms_verdict_set(v, KMS_MISCONFIGURED, "404", "key %.160s: no such key", k->dir);
	case MODE_THROTTLED:
		return kms_verdict_set(v, KMS_TRANSIENT, "429", "key %.160s: too many requests", k->dir);
	case MODE_DOWN:
		return kms_verdict_set(v, KMS_TRANSIENT, "refused-connection", "nobody listens for %.160s", k->dir);
	case MODE_DIE:
		abort();
	case MODE_UNREADABLE:
		return kms_verdict_set(v, KMS_TRANSIENT, "mode", "no mode in %.160s", k->dir);
	default:
		return kms_verdict_ok(v);
	}
}

/* Every call begins here. */
static int begin(struct kms *k, struct call *c, struct kms_verdict *v)
{
	int cancelled;

	mode_read(k, c);
	pthread_mutex_lock(&k->lock);
	k->calls++;
	cancelled = k->cancelled;
	pthread_mutex_unlock(&k->lock);
	return cancelled ? say_cancelled(v) : answer(k, c, v);
}

/* ... and ends here. */
static int end(struct kms *k, const struct call *c, int r, const struct kms_verdict *v)
{
	char text[100];

	snprintf(text, sizeof(text), "%s%s%s", kms_class_name(v->class), v->code[0] ? " " : "", v->code);
	note(k, c, text);
	return r;
}

static int key_read(struct kms *k, uint8_t key[KEY_LEN], int make)
{
	char path[PATH_MAX];
	ssize_t n;
	int fd;

	path_of(k, "key", path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && make) {
		random_bytes(key, KEY_LEN);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		n = fd < 0 ? -1 : write(fd, key, KEY_LEN);
	} else {
		n = fd < 0 ? -1 : read(fd, key, KEY_LEN);
	}
	if (fd >= 0)
		close(fd);
	return n == (ssize_t)KEY_LEN ? 0 : -EIO;
}

static struct aead aead_of(const struct kms_purpose *p, const uint8_t *key, uint8_t aad[AAD_MAX])
{
	memcpy(aad, p->store_id, ID_LEN);
	return (struct aead){
		.key = key,
		.aad = aad,
		.aad_len = ID_LEN +
			   (size_t)snprintf((char *)aad + ID_LEN, AAD_MAX - ID_LEN, "%.32s", kms_use_name(p->use)),
	};
}

static int say_failed(struct kms *k, int r, struct kms_verdict *v)
{
	if (r == -EBADMSG)
		return kms_verdict_set(v, KMS_CORRUPT, "corrupt", "key %.160s did not wrap this", k->dir);
	return kms_verdict_set(v, KMS_TRANSIENT, "failed", "key %.120s: %s", k->dir, strerror(-r));
}

static int fault_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		      struct kms_wrapped *out, struct kms_verdict *v)
{
	struct call c = {.op = "wrap", .purpose = kms_use_name(p->use)};
	uint8_t key[KEY_LEN], aad[AAD_MAX];
	struct aead a = aead_of(p, key, aad);
	int r = begin(k, &c, v);

	if (r)
		return end(k, &c, r, v);
	r = key_read(k, key, 1);
	if (!r)
		r = aead_seal(&a, plain, PAYLOAD_LEN, out->data);
	sodium_memzero(key, sizeof(key));
	if (r)
		return end(k, &c, say_failed(k, r, v), v);
	out->len = PAYLOAD_LEN + AEAD_OVERHEAD;
	out->algorithm = KMS_ALG_PROVIDER;
	snprintf(out->version, sizeof(out->version), "1");
	return end(k, &c, kms_verdict_ok(v), v);
}

static int fault_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
			uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	struct call c = {.op = "unwrap", .purpose = kms_use_name(p->use)};
	uint8_t key[KEY_LEN], aad[AAD_MAX];
	struct aead a = aead_of(p, key, aad);
	int r = begin(k, &c, v);

	if (r)
		return end(k, &c, r, v);
	r = in->len == PAYLOAD_LEN + AEAD_OVERHEAD ? key_read(k, key, 0) : -EBADMSG;
	if (!r)
		r = aead_open(&a, in->data, in->len, plain);
	sodium_memzero(key, sizeof(key));
	if (r)
		return end(k, &c, say_failed(k, r, v), v);
	if (c.mode == MODE_GARBAGE)
		random_bytes(plain, PAYLOAD_LEN);
	for (size_t i = 0; c.mode == MODE_WRONGKEY && i < KEY_LEN; i++)
		plain[KEY_AT + i] ^= 0xff;
	return end(k, &c, kms_verdict_ok(v), v);
}

static int fault_info(struct kms *k, struct kms_key_info *out, struct kms_verdict *v)
{
	struct call c = {.op = "info", .purpose = ""};

	mode_read(k, &c);
	memset(out, 0, sizeof(*out));
	snprintf(out->version, sizeof(out->version), "1");
	snprintf(out->state, sizeof(out->state), "enabled");
	out->purge_protected = -1;
	out->not_after = c.mode == MODE_EXPIRED ? LONG_PAST : 0;
	return kms_verdict_ok(v);
}

static void fault_refresh(struct kms *k)
{
	static const struct call c = {.op = "refresh", .purpose = ""};

	pthread_mutex_lock(&k->lock);
	k->cancelled = 0;
	pthread_mutex_unlock(&k->lock);
	note(k, &c, "-");
}

static void fault_cancel(struct kms *k)
{
	static const struct call c = {.op = "cancel", .purpose = ""};

	pthread_mutex_lock(&k->lock);
	k->cancelled = 1;
	k->cancels++;
	pthread_cond_broadcast(&k->woken);
	pthread_mutex_unlock(&k->lock);
	note(k, &c, "-");
}

const struct kms_provider kms_fault = {
	.scheme = "fault",
	.description = "misbehaves on demand, for tests",
	.normalise = fault_normalise,
	.directory = fault_directory,
	.open = fault_open,
	.wrap = fault_wrap,
	.unwrap = fault_unwrap,
	.info = fault_info,
	.refresh = fault_refresh,
	.cancel = fault_cancel,
	.close = fault_close,
};
