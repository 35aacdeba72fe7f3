/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests' KMS, whose answers are scripted (contract and modes: tests/kms/scripted.h). */
#include "tests/kms/scripted.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "kms/clock.h"
#include "kms/options.h"
#include "kms/path.h"
#include "kms/verdict.h"

#define FAULT "fault:"
#define FAKE_SLOW_MS 60u
#define WRAPPED_LEN (PAYLOAD_LEN + AEAD_OVERHEAD)
#define KEY_AT 8u         /* in the payload, behind its label */
#define LONG_PAST 1000000 /* unix seconds */

static const char *const mode_words[] = {
	[FAKE_OK] = "ok",
	[FAKE_REVOKED] = "refuse",
	[FAKE_TRANSIENT] = "down",
	[FAKE_MISCONFIGURED] = "misconfigured",
	[FAKE_AUTH] = "auth",
	[FAKE_CORRUPT] = "corrupt",
	[FAKE_THROTTLED] = "throttled",
	[FAKE_STRANGER] = "stranger",
	[FAKE_HANG] = "hang",
	[FAKE_DEAF] = "deaf",
	[FAKE_LATE] = "late",
	[FAKE_SLOW] = "slow",
	[FAKE_FLAP] = "flap",
	[FAKE_JUNK] = "garbage",
	[FAKE_OTHER] = "wrongkey",
	[FAKE_EXPIRED] = "expired",
	[FAKE_EMPTY] = "empty",
	[FAKE_LIAR] = "liar",
	[FAKE_LIAR2] = "liar2",
	[FAKE_NOCLASS] = "noclass",
	[FAKE_NOALGORITHM] = "noalgorithm",
	[FAKE_DIE] = "die",
	[FAKE_HANG_FILE] = "hang-file",
	[FAKE_REFUSE_FILE] = "refuse-file",
};

struct fake fakes[FAKES] = {
	{.version = 1, .bad_version = -1, .watch = -1},
	{.version = 1, .bad_version = -1, .watch = -1},
	{.version = 1, .bad_version = -1, .watch = -1},
	{.version = 1, .bad_version = -1, .watch = -1},
};

struct kms {
	struct kms_base base;
	struct fake *script;
	struct fake own;           /* of fault:DIR */
	char dir[KMS_REF_MAX + 1]; /* "" with fake:N */
	unsigned timeout_ms;
};

/* One call: what it is and how it is to be answered. */
struct call {
	const char *op;
	enum kms_use use; /* 0 = of neither */
	enum fake_mode mode;
	unsigned ms;
	int number; /* from 0 */
};

/* The kernel's word, whatever clock the tests show to the daemon. */
static int64_t real_ms(clockid_t clock)
{
	struct timespec t = {0};

	syscall(SYS_clock_gettime, clock, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void path_of(const struct kms *k, const char *name, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/%s", k->dir, name);
}

static void note(const struct kms *k, const struct call *c, const char *answer)
{
	char path[PATH_MAX], line[160];

	if (!k->dir[0])
		return;
	int n = snprintf(line, sizeof(line), "%" PRId64 " %s%s%s %s\n", real_ms(CLOCK_REALTIME), c->op,
			 c->use ? ":" : "", kms_use_name(c->use), answer);
	path_of(k, "calls", path);
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, line, (size_t)n) != n)
		fprintf(stderr, "fault: cannot write %s\n", path);
	close(fd);
}

static enum fake_mode mode_find(const char *word)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_words); i++)
		if (strcmp(mode_words[i], word) == 0)
			return (enum fake_mode)i;
	return FAKE_UNREADABLE;
}

static void mode_read(const struct kms *k, struct call *c)
{
	char path[PATH_MAX], text[64] = "", word[32] = "";

	c->mode = FAKE_UNREADABLE;
	c->ms = 0;
	path_of(k, "mode", path);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (read(fd, text, sizeof(text) - 1) > 0 && sscanf(text, "%31s %u", word, &c->ms) >= 1)
		c->mode = mode_find(word);
	close(fd);
}

/* What the script says now. */
static void script_read(const struct kms *k, struct call *c)
{
	if (k->dir[0]) {
		mode_read(k, c);
		return;
	}
	c->mode = atomic_load(&k->script->mode);
	c->ms = c->mode == FAKE_SLOW ? FAKE_SLOW_MS : 0;
}

static bool script_changed(const struct kms *k, const struct call *c)
{
	return !k->dir[0] && atomic_load(&k->script->mode) != c->mode;
}

static bool hears_cancel(const struct call *c)
{
	return c->mode != FAKE_DEAF && c->mode != FAKE_LATE;
}

/* True when it was cancelled, before or meanwhile. */
static bool wait_ms(const struct kms *k, const struct call *c, int64_t ms)
{
	int64_t until = real_ms(CLOCK_MONOTONIC) + ms;
	int cancels = atomic_load(&k->script->cancels);

	note(k, c, "waits");
	while (real_ms(CLOCK_MONOTONIC) < until && !script_changed(k, c)) {
		if (hears_cancel(c) &&
		    (atomic_load(&k->script->cancelled) || atomic_load(&k->script->cancels) != cancels))
			return true;
		clock_pause(1);
	}
	return false;
}

static int say_cancelled(struct kms_verdict *v)
{
	kms_verdict_set(v, KMS_TRANSIENT, "cancelled", "the call was cancelled");
	return -ECANCELED;
}

static int say_hang(const struct kms *k, const struct call *c, struct kms_verdict *v)
{
	if (wait_ms(k, c, k->dir[0] ? k->timeout_ms : INT_MAX))
		return say_cancelled(v);
	kms_verdict_set(v, KMS_TRANSIENT, "timeout", "key %.160s did not answer in time", kms_ref(k));
	return -ETIMEDOUT;
}

static int say_late(const struct kms *k, const struct call *c, struct kms_verdict *v)
{
	(void)wait_ms(k, c, k->dir[0] ? k->timeout_ms : INT_MAX);
	return kms_verdict_ok(v);
}

static int say_slow(const struct kms *k, const struct call *c, struct kms_verdict *v)
{
	if (c->ms >= k->timeout_ms)
		return say_hang(k, c, v);
	return wait_ms(k, c, c->ms) ? say_cancelled(v) : kms_verdict_ok(v);
}

static int say_refused(const struct kms *k, struct kms_verdict *v)
{
	return kms_verdict_set(v, KMS_REVOKED, "disabled", "key %.160s is disabled", kms_ref(k));
}

static bool flaps_now(const struct call *c)
{
	return c->ms ? (real_ms(CLOCK_REALTIME) / c->ms) % 2 == 0 : c->number % 2 == 0;
}

/* The modes that are one sentence. */
static const struct {
	enum kms_class class;
	const char *code, *text;
} sentences[] = {
	[FAKE_TRANSIENT] = {KMS_TRANSIENT, "refused-connection", "nobody listens"},
	[FAKE_MISCONFIGURED] = {KMS_MISCONFIGURED, "404", "no such key"},
	[FAKE_AUTH] = {KMS_AUTH, "401", "who are you?"},
	[FAKE_AUTH_UNTIL_REFRESH] = {KMS_AUTH, "401", "who are you?"},
	[FAKE_CORRUPT] = {KMS_CORRUPT, "corrupt", "did not wrap this"},
	[FAKE_THROTTLED] = {KMS_TRANSIENT, "429", "too many requests"},
	[FAKE_STRANGER] = {KMS_TRANSIENT, "403-stranger", "a 403 that nobody signed"},
	[FAKE_REVOKED_UNTIL_REFRESH] = {KMS_REVOKED, "disabled", "is disabled"},
	[FAKE_UNREADABLE] = {KMS_TRANSIENT, "mode", "has no mode"},
};

/* What the mode says before the key is touched; 0 with OK: go on. */
static int answer(const struct kms *k, const struct call *c, struct kms_verdict *v)
{
	if (c->mode < ARRAY_LEN(sentences) && sentences[c->mode].class)
		return kms_verdict_set(v, sentences[c->mode].class, sentences[c->mode].code, "key %.160s: %s",
				       kms_ref(k), sentences[c->mode].text);
	switch (c->mode) {
	case FAKE_REVOKED:
		return say_refused(k, v);
	case FAKE_REFUSE_FILE:
		return c->use == KMS_USE_FILE ? say_refused(k, v) : kms_verdict_ok(v);
	case FAKE_HANG:
	case FAKE_DEAF:
		return say_hang(k, c, v);
	case FAKE_HANG_FILE:
		return c->use == KMS_USE_FILE ? say_hang(k, c, v) : kms_verdict_ok(v);
	case FAKE_LATE:
		return say_late(k, c, v);
	case FAKE_SLOW:
		return say_slow(k, c, v);
	case FAKE_FLAP:
		return flaps_now(c) ? say_refused(k, v) : kms_verdict_ok(v);
	case FAKE_DIE:
		abort();
	default:
		return kms_verdict_ok(v);
	}
}

/* Every call begins here. */
static int begin(struct kms *k, struct call *c, struct kms_verdict *v)
{
	script_read(k, c);
	c->number = atomic_fetch_add(&k->script->calls, 1);
	if (atomic_load(&k->script->cancelled) && c->mode != FAKE_DEAF)
		return say_cancelled(v);
	return answer(k, c, v);
}

/* ... and ends here, some with a lie. */
static int end(const struct kms *k, const struct call *c, int r, struct kms_verdict *v)
{
	char text[100];

	if (!r && c->mode == FAKE_EMPTY)
		memset(v, 0, sizeof(*v));
	if (!r && c->mode == FAKE_LIAR)
		kms_verdict_set(v, KMS_REVOKED, "liar", "key %.160s lies", kms_ref(k));
	if (!r && c->mode == FAKE_NOCLASS)
		v->class = (enum kms_class)77;
	if (!r && c->mode == FAKE_LIAR2)
		r = -EIO;
	snprintf(text, sizeof(text), "%s%s%s", fake_class_name(v->class), v->code[0] ? " " : "", v->code);
	note(k, c, text);
	return r;
}

/* The same for all: keyrings are told apart by their payloads. */
static const struct aead wrapping = {.key = (const uint8_t *)"the one key of the tests' own KMS"};

static int scripted_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
			 struct kms_wrapped *out, struct kms_verdict *v)
{
	struct call c = {.op = "wrap", .use = p->use};
	int r = begin(k, &c, v);

	if (r)
		return end(k, &c, r, v);
	atomic_fetch_add(&k->script->wraps, 1);
	r = aead_seal(&wrapping, plain, PAYLOAD_LEN, out->data);
	if (r)
		return end(k, &c, kms_verdict_set(v, KMS_TRANSIENT, "failed", "%s", strerror(-r)), v);
	out->len = WRAPPED_LEN;
	out->algorithm = c.mode == FAKE_NOALGORITHM ? KMS_ALG_RSA_OAEP_SHA1 + 1 : KMS_ALG_PROVIDER;
	snprintf(out->version, sizeof(out->version), "%d", atomic_load(&k->script->version));
	return end(k, &c, kms_verdict_ok(v), v);
}

static int scripted_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
			   uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	struct call c = {.op = "unwrap", .use = p->use};

	atomic_store(&k->script->deadline, p->deadline);
	kms_verdict_request(v, k->dir[0] ? "fault-request" : "");
	int r = begin(k, &c, v);

	if (r)
		return end(k, &c, r, v);
	if (atoi(in->version) == atomic_load(&k->script->bad_version))
		return end(k, &c, kms_verdict_set(v, KMS_REVOKED, "version-disabled", "the version is disabled"), v);
	if (in->len != WRAPPED_LEN || aead_open(&wrapping, in->data, in->len, plain))
		return end(k, &c,
			   kms_verdict_set(v, KMS_CORRUPT, "corrupt", "key %.160s did not wrap this", kms_ref(k)), v);
	if (c.mode == FAKE_JUNK)
		random_bytes(plain, PAYLOAD_LEN);
	for (size_t i = 0; c.mode == FAKE_OTHER && i < KEY_LEN; i++)
		plain[KEY_AT + i] ^= 0xff;
	return end(k, &c, kms_verdict_ok(v), v);
}

static int scripted_info(struct kms *k, const struct kms_purpose *p, const char *version, struct kms_key_info *out,
			 struct kms_verdict *v)
{
	struct call c = {.op = "info"};

	(void)version;
	script_read(k, &c);
	atomic_fetch_add(&k->script->infos, 1);
	atomic_store(&k->script->deadline_info, p->deadline);
	if (c.mode == FAKE_INFO_REFUSED)
		return kms_verdict_set(v, KMS_AUTH, "403", "no right to describe it");
	memset(out, 0, sizeof(*out));
	snprintf(out->version, sizeof(out->version), "%d", atomic_load(&k->script->version));
	snprintf(out->state, sizeof(out->state), "enabled");
	out->purge_protected = -1;
	out->not_after = c.mode == FAKE_EXPIRED ? LONG_PAST : 0;
	return kms_verdict_ok(v);
}

static void scripted_refresh(struct kms *k)
{
	static const struct call c = {.op = "refresh"};
	enum fake_mode mode = atomic_load(&k->script->mode);

	atomic_fetch_add(&k->script->refreshes, 1);
	atomic_store(&k->script->cancelled, 0);
	if (mode == FAKE_REVOKED_UNTIL_REFRESH || mode == FAKE_AUTH_UNTIL_REFRESH)
		atomic_store(&k->script->mode, FAKE_OK);
	note(k, &c, "-");
}

static void scripted_cancel(struct kms *k)
{
	static const struct call c = {.op = "cancel"};

	atomic_fetch_add(&k->script->cancels, 1);
	atomic_store(&k->script->cancelled, 1);
	note(k, &c, "-");
}

static void scripted_close(struct kms *k)
{
	free(k);
}

static int fake_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	if (strlen(ref) != 6 || ref[5] < '0' || ref[5] >= '0' + FAKES) {
		snprintf(why, KMS_TEXT_MAX, "not fake:N");
		return -EINVAL;
	}
	snprintf(out, KMS_REF_MAX + 1, "%s", ref);
	return 0;
}

static struct kms *handle_new(const struct kms_provider *p, const struct kms_config *cfg)
{
	struct kms *k = calloc(1, sizeof(*k));

	if (!k)
		return NULL;
	k->base.provider = p;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	k->timeout_ms = cfg->timeout_ms;
	return k;
}

static int fake_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	struct kms *k = handle_new(&fake_provider, cfg);

	if (!k)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	k->script = &fakes[cfg->ref[5] - '0'];
	atomic_store(&k->script->cancelled, 0);
	*out = k;
	return kms_verdict_ok(v);
}

static int fake_watch_fd(struct kms *k)
{
	return k->script->watch;
}

static void fake_watch_clear(struct kms *k)
{
	uint64_t n;

	if (read(k->script->watch, &n, sizeof(n)) != sizeof(n))
		fprintf(stderr, "fake: nothing to clear\n");
}

/* One of each kind. */
static const struct kms_option_def scripted_options[] = {
	{"word", "any text", KMS_OPTION_TEXT},
	{"flag", "yes or no", KMS_OPTION_FLAG},
	{"some-file", "a path", KMS_OPTION_FILE},
	{"secret-file", "a path", KMS_OPTION_SECRET},
	{0},
};

const struct kms_provider fake_provider = {
	.scheme = "fake",
	.description = "scripted in memory, for tests",
	.options = scripted_options,
	.version_kind = KMS_VERSION_NUMBER,
	.dates_ms = 60000,
	.normalise = fake_normalise,
	.open = fake_open,
	.wrap = scripted_wrap,
	.unwrap = scripted_unwrap,
	.info = scripted_info,
	.refresh = scripted_refresh,
	.cancel = scripted_cancel,
	.watch_fd = fake_watch_fd,
	.watch_clear = fake_watch_clear,
	.close = scripted_close,
};

static int fault_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	char canonical[PATH_MAX];

	if (strncmp(ref, FAULT, strlen(FAULT)) != 0 ||
	    kms_path_canonical(ref + strlen(FAULT), canonical, sizeof(canonical)) ||
	    snprintf(out, KMS_REF_MAX + 1, FAULT "%s", canonical) > (int)KMS_REF_MAX) {
		snprintf(why, KMS_TEXT_MAX, "'%.120s' is not fault:DIR", ref);
		return -EINVAL;
	}
	return 0;
}

static int fault_directory(const char *ref, char out[KMS_REF_MAX + 1])
{
	snprintf(out, KMS_REF_MAX + 1, "%s", ref + strlen(FAULT));
	return 0;
}

static int fault_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	struct kms *k = handle_new(&fault_provider, cfg);

	if (!k)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	snprintf(k->dir, sizeof(k->dir), "%s", cfg->ref + strlen(FAULT));
	k->own = (struct fake){.version = 1, .bad_version = -1, .watch = -1};
	k->script = &k->own;
	*out = k;
	return kms_verdict_ok(v);
}

const struct kms_provider fault_provider = {
	.scheme = "fault",
	.description = "misbehaves on demand, for tests",
	.options = scripted_options,
	.version_kind = KMS_VERSION_NUMBER,
	.dates_ms = 500,
	.normalise = fault_normalise,
	.directory = fault_directory,
	.open = fault_open,
	.wrap = scripted_wrap,
	.unwrap = scripted_unwrap,
	.info = scripted_info,
	.refresh = scripted_refresh,
	.cancel = scripted_cancel,
	.close = scripted_close,
};
