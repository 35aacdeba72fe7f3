/* SPDX-License-Identifier: BSD-2-Clause */
/* The provider `local:KEYDIR/NAME`: the embedded keystore in the part of the KMS (PROVIDERS.md "local"). */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "crypto/aead.h"
#include "crypto/secret.h"
#include "kms/keystore/keystore.h"
#include "kms/keystore/rsa.h"
#include "kms/options.h"
#include "kms/path.h"
#include "kms/provider_private.h"
#include "kms/verdict.h"

#define SCHEME "local:"
#define OPTION_PASSPHRASE "passphrase-file"
#define AES_WRAPPED_LEN (PAYLOAD_LEN + AEAD_OVERHEAD)
#define AAD_MAX (ID_LEN + 32 + 1 + KEYSTORE_NAME_MAX + 1 + 4)
/* What a writer's rename, a removed file or a changed mode look like; not our own reading. */
#define WATCH_EVENTS \
	(IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

struct kms {
	struct kms_base base;
	struct keystore *ks;
	char name[KEYSTORE_NAME_MAX + 1];
	int watch_fd;
	pthread_mutex_t watch_lock;
	bool watched; /* watch_lock */
};

static void key_free_at(struct keystore_key **key)
{
	if (*key)
		keystore_key_wipe(*key);
	free(*key);
}

/* "local:DIR/NAME" into its parts; DIR as it stands. */
static int ref_split(const char *ref, char dir[KMS_REF_MAX + 1], const char **name)
{
	const char *path = ref + strlen(SCHEME), *slash = strrchr(path, '/');

	if (strncmp(ref, SCHEME, strlen(SCHEME)) != 0 || !slash || slash == path || strlen(path) > KMS_REF_MAX)
		return -EINVAL;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*name = slash + 1;
	return keystore_name_check(*name);
}

static int local_normalise(const char *ref, char out[KMS_REF_MAX + 1], char why[KMS_TEXT_MAX])
{
	char dir[KMS_REF_MAX + 1];
	const char *name;

	if (ref_split(ref, dir, &name)) {
		snprintf(why, KMS_TEXT_MAX,
			 "'%.120s' is not local:KEYDIR/NAME (NAME: letters, digits, '.', '_', '-', at most 64)", ref);
		return -EINVAL;
	}
	char canonical[PATH_MAX];
	int r = kms_path_canonical(dir, canonical, sizeof(canonical));
	if (!r && strcmp(canonical, "/") == 0)
		r = -EINVAL;
	if (r) {
		snprintf(why, KMS_TEXT_MAX, "key directory %.120s: %s", dir, strerror(-r));
		return -EINVAL;
	}
	if (snprintf(out, KMS_REF_MAX + 1, SCHEME "%s/%s", canonical, name) > (int)KMS_REF_MAX) {
		snprintf(why, KMS_TEXT_MAX, "key reference is longer than %u bytes", KMS_REF_MAX);
		return -EINVAL;
	}
	return 0;
}

static int local_directory(const char *ref, char out[KMS_REF_MAX + 1])
{
	const char *name;

	return ref_split(ref, out, &name);
}

static void local_close(struct kms *k)
{
	if (k->watch_fd >= 0)
		close(k->watch_fd);
	keystore_close(k->ks);
	pthread_mutex_destroy(&k->watch_lock);
	free(k);
}

/* (Re-)arm the watch: the directory may have been replaced, or not have been there. */
static void watch_arm(struct kms *k)
{
	pthread_mutex_lock(&k->watch_lock);
	if (k->watch_fd >= 0 && !k->watched)
		k->watched = inotify_add_watch(k->watch_fd, keystore_path(k->ks), WATCH_EVENTS | IN_ONLYDIR) >= 0;
	pthread_mutex_unlock(&k->watch_lock);
}

static int open_verdict(int r, struct kms_verdict *v, const char *why)
{
	if (r == -EKEYREJECTED || r == -ENOKEY || r == -EINTR)
		return kms_verdict_set(v, KMS_AUTH, "passphrase", "%.255s", why);
	if (r == -EIO || r == -EACCES || r == -ENOMEM)
		return kms_verdict_set(v, KMS_TRANSIENT, "unreachable", "%.255s", why);
	return kms_verdict_set(v, KMS_MISCONFIGURED, r == -ENOENT ? "no-keystore" : "keystore", "%.255s", why);
}

/* The file with the passphrase: this keystore's own, else the one for all. */
static int passphrase_path(const struct kms_config *cfg, char own[PATH_MAX], const char **out,
			   char why[KEYSTORE_WHY_MAX])
{
	const char *value = kms_options_get(cfg->options, OPTION_PASSPHRASE);

	*out = cfg->passphrase_file;
	if (!value)
		return 0;
	*out = own;
	int r = kms_option_path(value, own);
	if (r)
		snprintf(why, KEYSTORE_WHY_MAX, OPTION_PASSPHRASE " %.200s: %s", value,
			 r == -ENOENT ? "systemd gave no credentials" : strerror(-r));
	return r == -ENOENT ? -ENOKEY : r;
}

static int local_open(const struct kms_config *cfg, struct kms **out, struct kms_verdict *v)
{
	struct kms *k = calloc(1, sizeof(*k));

	if (!k)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	k->watch_fd = -1;
	pthread_mutex_init(&k->watch_lock, NULL);
	char dir[KMS_REF_MAX + 1], path[PATH_MAX], why[KEYSTORE_WHY_MAX] = "";
	struct passphrase_source src = {.may_prompt = cfg->may_prompt, .what = dir};
	const char *name;
	int r = ref_split(cfg->ref, dir, &name);
	if (r)
		snprintf(why, sizeof(why), "'%.120s' is not local:KEYDIR/NAME", cfg->ref);
	if (!r)
		r = passphrase_path(cfg, path, &src.file, why);
	if (!r)
		r = keystore_open(dir, &src, &k->ks, why);
	if (!r && cfg->memory_dir && (r = keystore_remember(k->ks, cfg->memory_dir)))
		snprintf(why, sizeof(why), "%.200s: %s", cfg->memory_dir, strerror(-r));
	if (r) {
		local_close(k);
		return open_verdict(r, v, why);
	}
	k->base.provider = &kms_local;
	snprintf(k->base.ref, sizeof(k->base.ref), "%s", cfg->ref);
	snprintf(k->name, sizeof(k->name), "%.64s", name);
	k->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	watch_arm(k);
	*out = k;
	return kms_verdict_ok(v);
}

#define SAY(k, v, class, code, text, ...)                                                                        \
	kms_verdict_set(v, class, code, "key %.64s of keystore %.120s " text, (k)->name, keystore_path((k)->ks), \
			##__VA_ARGS__)

/* What keystore_load() says, as a class: the table of PROVIDERS.md. */
static int load_verdict(struct kms *k, int r, struct kms_verdict *v)
{
	switch (r) {
	case -ENOENT:
		return SAY(k, v, KMS_MISCONFIGURED, "no-such-key", "does not exist");
	case -EKEYEXPIRED:
		/* Disabled or purged since, for all that it says: the customer's last word is not taken back by a copy. */
		return SAY(k, v, KMS_REVOKED, "older-copy",
			   "is an older copy than this host has seen (put back on purpose? byokfs keystore accept)");
	case -EBADMSG:
	case -EUCLEAN:
	case -ENOTSUP:
		/* Not what the keystore wrote: neither a yes nor a no that anyone authorised. */
		return SAY(k, v, KMS_MISCONFIGURED, "damaged", "is damaged or was changed by hand");
	case -ESTALE:
		return SAY(k, v, KMS_MISCONFIGURED, "another-keystore", "cannot be asked: another keystore lies there");
	case -EPERM:
		return SAY(k, v, KMS_MISCONFIGURED, "mode",
			   "is not trusted: others may reach the directory (chmod 700), or own it or the key's file");
	case -ENODEV:
		return SAY(k, v, KMS_TRANSIENT, "unreachable", "cannot be asked: no keystore is there");
	default:
		return SAY(k, v, KMS_TRANSIENT, "unreachable", "cannot be read: %s", strerror(-r));
	}
}

static int state_verdict(struct kms *k, enum keystore_state state, struct kms_verdict *v)
{
	if (state == KEYSTORE_ENABLED)
		return 0;
	return SAY(k, v, KMS_REVOKED, keystore_state_name(state), "is %s", keystore_state_name(state));
}

/* Read the key as it is on disk now. Never cached: a disable counts from the moment it is written. */
static int key_now(struct kms *k, struct keystore_key **out, struct kms_verdict *v)
{
	struct keystore_key *key = calloc(1, sizeof(*key));

	if (!key)
		return kms_verdict_set(v, KMS_TRANSIENT, "memory", "out of memory");
	watch_arm(k);
	int r = keystore_load(k->ks, k->name, key);
	if (r) {
		free(key);
		return load_verdict(k, r, v);
	}
	*out = key;
	return 0;
}

/* AAD of an AES wrap: store id, purpose, key name, version; NUL between. */
static size_t wrap_aad(const struct kms *k, const struct kms_purpose *p, uint32_t version, uint8_t aad[AAD_MAX])
{
	size_t n = ID_LEN;

	memcpy(aad, p->store_id, ID_LEN);
	n += (size_t)snprintf((char *)aad + n, 33, "%s", kms_use_name(p->use)) + 1;
	n += (size_t)snprintf((char *)aad + n, KEYSTORE_NAME_MAX + 1, "%s", k->name) + 1;
	be32_put(aad + n, version);
	return n + 4;
}

static struct rsa_der version_rsa(const struct keystore_key *key, const struct keystore_version *ver)
{
	return (struct rsa_der){.bytes = key->material + ver->off, .len = ver->len, .bits = ver->bits};
}

static int local_wrap(struct kms *k, const struct kms_purpose *p, const uint8_t plain[PAYLOAD_LEN],
		      struct kms_wrapped *out, struct kms_verdict *v)
{
	AUTO(key_free_at) struct keystore_key *key = NULL;
	int r = key_now(k, &key, v);

	if (!r)
		r = state_verdict(k, key->state, v);
	if (r)
		return r;
	const struct keystore_version *newest = &key->version[key->n_versions - 1];
	snprintf(out->version, sizeof(out->version), "%u", newest->number);
	if (key->type == KEYSTORE_RSA) {
		struct rsa_der rsa = version_rsa(key, newest);
		out->algorithm = KMS_ALG_RSA_OAEP_SHA256;
		r = rsa_seal(&rsa, plain, PAYLOAD_LEN, out->data, &out->len);
	} else {
		uint8_t aad[AAD_MAX];
		struct aead a = {.key = key->material + newest->off, .aad = aad};
		a.aad_len = wrap_aad(k, p, newest->number, aad);
		out->algorithm = KMS_ALG_LOCAL_AES256GCM;
		out->len = AES_WRAPPED_LEN;
		r = aead_seal(&a, plain, PAYLOAD_LEN, out->data);
	}
	if (r)
		return SAY(k, v, KMS_TRANSIENT, "failed", "cannot wrap: %s", strerror(-r));
	return kms_verdict_ok(v);
}

/* A key and the version of it that is meant. */
struct chosen {
	const struct keystore_key *key;
	const struct keystore_version *version;
};

/* The version that wrapped IN; NULL with V set. */
static const struct keystore_version *version_find(struct kms *k, const struct keystore_key *key,
						   const struct kms_wrapped *in, struct kms_verdict *v)
{
	unsigned long number = strtoul(in->version, NULL, 10); /* KMS_VERSION_NUMBER */

	for (uint32_t i = 0; i < key->n_versions; i++)
		if (key->version[i].number == number)
			return &key->version[i];
	if (number < key->next_version)
		SAY(k, v, KMS_REVOKED, "version-gone", "no longer has version %lu", number);
	else
		SAY(k, v, KMS_REVOKED, "version-gone", "does not have version %lu: an older copy of the keystore?",
		    number);
	return NULL;
}

static int version_unwrap(const struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
			  const struct chosen *c, uint8_t plain[PAYLOAD_LEN])
{
	if (c->key->type == KEYSTORE_RSA) {
		if (in->algorithm != KMS_ALG_RSA_OAEP_SHA256 || in->len > RSA_CIPHER_MAX)
			return -EBADMSG;
		struct rsa_der rsa = version_rsa(c->key, c->version);
		return rsa_open(&rsa, in->data, in->len, plain, PAYLOAD_LEN);
	}
	if (in->algorithm != KMS_ALG_LOCAL_AES256GCM || in->len != AES_WRAPPED_LEN)
		return -EBADMSG;
	uint8_t aad[AAD_MAX];
	struct aead a = {.key = c->key->material + c->version->off, .aad = aad};
	a.aad_len = wrap_aad(k, p, c->version->number, aad);
	return aead_open(&a, in->data, in->len, plain);
}

static int local_unwrap(struct kms *k, const struct kms_purpose *p, const struct kms_wrapped *in,
			uint8_t plain[PAYLOAD_LEN], struct kms_verdict *v)
{
	AUTO(key_free_at) struct keystore_key *key = NULL;
	int r = key_now(k, &key, v);

	/* The wrap proves that the key was there: what is not found was taken away. */
	if (r && strcmp(v->code, "no-such-key") == 0)
		return SAY(k, v, KMS_REVOKED, "deleted", "is gone");
	if (!r)
		r = state_verdict(k, key->state, v);
	if (r)
		return r;
	struct chosen c = {.key = key, .version = version_find(k, key, in, v)};
	if (!c.version)
		return kms_class_errno(v->class);
	r = version_unwrap(k, p, in, &c, plain);
	if (r == -EBADMSG)
		return SAY(k, v, KMS_CORRUPT, "corrupt", "did not wrap this, or it was changed since");
	if (r)
		return SAY(k, v, KMS_TRANSIENT, "failed", "cannot unwrap: %s", strerror(-r));
	return kms_verdict_ok(v);
}

static int local_info(struct kms *k, const struct kms_purpose *p, const char *version, struct kms_key_info *out,
		      struct kms_verdict *v)
{
	(void)p;
	(void)version; /* a key's state is that of all its versions */
	AUTO(key_free_at) struct keystore_key *key = NULL;
	int r = key_now(k, &key, v);

	if (r)
		return r;
	memset(out, 0, sizeof(*out));
	if (key->n_versions)
		snprintf(out->version, sizeof(out->version), "%u", key->version[key->n_versions - 1].number);
	snprintf(out->state, sizeof(out->state), "%s", keystore_state_name(key->state));
	out->purge_protected = (key->flags & KEYSTORE_PURGE_PROTECTED) != 0;
	return kms_verdict_ok(v);
}

static int local_watch_fd(struct kms *k)
{
	return k->watch_fd;
}

static void local_watch_clear(struct kms *k)
{
	char events[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	while ((n = read(k->watch_fd, events, sizeof(events))) > 0) {
		const struct inotify_event *e;
		for (char *p = events; p < events + n; p += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(const void *)p;
			if (!(e->mask & (IN_IGNORED | IN_MOVE_SELF)))
				continue;
			/* The directory went away, or a new one takes its place: watch by path again. */
			pthread_mutex_lock(&k->watch_lock);
			k->watched = false;
			pthread_mutex_unlock(&k->watch_lock);
		}
	}
	watch_arm(k);
}

static const struct kms_option_def options[] = {
	{OPTION_PASSPHRASE, "file with this keystore's passphrase, instead of --passphrase-file", KMS_OPTION_SECRET},
	{0},
};

const struct kms_provider kms_local = {
	.scheme = "local",
	.description = "embedded keystore, local:KEYDIR/NAME (byokfs keystore --help)",
	.options = options,
	.version_kind = KMS_VERSION_NUMBER,
	.normalise = local_normalise,
	.directory = local_directory,
	.open = local_open,
	.wrap = local_wrap,
	.unwrap = local_unwrap,
	.info = local_info,
	.watch_fd = local_watch_fd,
	.watch_clear = local_watch_clear,
	.close = local_close,
};
