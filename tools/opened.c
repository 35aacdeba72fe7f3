/* SPDX-License-Identifier: BSD-2-Clause */
/* From a path to a begun store with an open gate, and back. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/watch/control.h"
#include "kms/clock.h"
#include "kms/hidden.h"
#include "kms/keystore/passphrase.h"
#include "kms/provider.h"
#include "tools/leaving.h"
#include "tools/opened.h"
#include "tools/reach.h"

#define KMS_TIMEOUT_MS 10000u
#define WAIT_PAUSE_S 2

/*
 * Two questions fit into a lease before grace begins: one that gets lost must not lock the mount, nor may a KMS that answers
 * just within the lease lock and open it by turns.
 */
static unsigned kms_timeout(const struct opened_config *cfg)
{
	unsigned ms = cfg->lease_ms / 5 * 2;

	return ms && ms < KMS_TIMEOUT_MS ? ms : KMS_TIMEOUT_MS;
}

/*
 * The gate's log. That closing it wipes the keys is what everyone expects of a command that ends: no warning, and nothing
 * at all where there was no mount. One store per process.
 */
static struct {
	void (*log)(int priority, const char *text);
	bool is_mount;
	_Atomic bool closing;
} words;

static void gate_log(int priority, const char *text)
{
	if (!words.log || (words.closing && !words.is_mount))
		return;
	words.log(words.closing && priority < LOG_INFO ? LOG_INFO : priority, text);
}

/* KMS handles until the gate takes them, and how each is reached. */
struct kek_list {
	struct kms *kek[KEYRING_SLOTS_MAX];
	struct kms_options *options; /* one set per slot */
	size_t n;
};

static void kek_list_close(struct kek_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		kms_close(l->kek[i]);
	free(l->options);
	l->n = 0;
}

/* A keystore in the store would travel with the ciphertext: whoever takes one takes the other. */
static enum cmd_exit ref_outside(const char *ref, const struct store *s)
{
	int r = kms_ref_inside(ref, s->path);

	if (r == 1)
		return cmd_fail(CMD_NOT_TRUSTED, "the keys of %s lie inside the store %s: move the keystore out of it",
				ref, s->path);
	if (r < 0 && r != -ENOENT)
		return cmd_fail(cmd_exit_of(r), "cannot tell whether the keys of %s lie inside %s: %s", ref, s->path,
				strerror(-r));
	return CMD_OK;
}

/* --wait */

/* What a silent KMS said last, and how long there is to wait for it. */
struct waiting {
	const struct opened_config *cfg;
	int64_t until; /* ms of CLOCK_BOOTTIME */
	bool told, interrupted;
};

/* Sleep until the next question; whoever started it may end it. False: a signal came. */
static bool wait_pause(void)
{
	const struct timespec pause = {.tv_sec = WAIT_PAUSE_S};
	sigset_t end, before;

	sigemptyset(&end);
	sigaddset(&end, SIGINT);
	sigaddset(&end, SIGTERM);
	sigaddset(&end, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &end, &before);
	int got = sigtimedwait(&end, NULL, &pause);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return got < 0;
}

/* The KMS is silent, WHY: true when it is to be asked again. */
static bool wait_more(struct waiting *w, const char *why)
{
	char text[KMS_TEXT_MAX + 128];

	if (w->cfg->wait_ms == 0 || (w->cfg->wait_ms != UINT_MAX && clock_ms(CLOCK_BOOTTIME) >= w->until))
		return false;
	if (!w->told) {
		snprintf(text, sizeof(text), "waiting for the KMS (Ctrl-C ends it): %.*s", (int)KMS_TEXT_MAX, why);
		w->cfg->log(LOG_WARNING, text);
		w->told = true;
	}
	w->interrupted = !wait_pause();
	return !w->interrupted;
}

/* A keystore that is not there is a medium that may be brought yet. */
static bool is_silence(const struct kms_verdict *v)
{
	return v->class == KMS_TRANSIENT || strcmp(v->code, "no-keystore") == 0;
}

/* The options of slot I: what this host remembers, and over it what was said on the command line. */
static enum cmd_exit options_find(const struct opened_config *cfg, const struct store *s, uint32_t slot,
				  struct kms_options *o)
{
	const char *ref = s->keyring->slot[slot].ref;
	char text[KMS_REF_MAX + 1], why[CMD_WHY_MAX] = "", not [KMS_TEXT_MAX];

	int r = reach_remembered(s->path, s->keyring->store_id, ref, o, why);
	if (r < 0)
		return cmd_fail(r == -EPERM ? CMD_NOT_TRUSTED : cmd_exit_of(r), "%s", why);
	for (size_t i = 0; i < cfg->n_refs; i++)
		if (cfg->options[i] && kms_ref_normalise(cfg->ref[i], text, not ) == 0 && strcmp(text, ref) == 0)
			kms_options_overlay(o, cfg->options[i]);
	const struct kms_provider *p = kms_provider_find(ref, NULL);
	if (p)
		opened_warn_secrets(p, o);
	return CMD_OK;
}

static enum cmd_exit keks_open(const struct opened_config *cfg, const struct store *s, struct waiting *w,
			       struct kek_list *l)
{
	l->options = calloc(s->keyring->n_slots, sizeof(*l->options));
	if (!l->options)
		return cmd_fail(CMD_FAILED, "out of memory");
	for (uint32_t i = 0; i < s->keyring->n_slots; i++) {
		const char *ref = s->keyring->slot[i].ref;
		struct kms_verdict v = {0};
		const struct kms_config kc = {
			.ref = ref,
			.passphrase_file = cfg->passphrase_file,
			.memory_dir = opened_memory_dir(),
			.may_prompt = cfg->may_prompt,
			.may_respawn = cfg->may_respawn,
			.log = cfg->log,
			.timeout_ms = kms_timeout(cfg),
			.options = &l->options[i],
		};
		enum cmd_exit code = ref_outside(ref, s);
		if (code == CMD_OK)
			code = options_find(cfg, s, i, &l->options[i]);
		if (code != CMD_OK)
			return code;
		int r;
		while ((r = kms_open(&kc, &l->kek[l->n], &v)) < 0 && is_silence(&v) && wait_more(w, v.text))
			;
		if (r < 0)
			return opened_kms_error(r, &v, ref);
		l->n++;
	}
	return CMD_OK;
}

/* The KMS has answered to what was said on the command line: said once is enough. */
static void options_keep(const struct opened_config *cfg, const struct store *s, const struct kms_options *o)
{
	bool given = false;

	for (size_t i = 0; i < cfg->n_refs; i++)
		given |= cfg->options[i] != NULL;
	if (given && cfg->mountpoint[0] != 0)
		reach_remember(s->path, s->keyring, o);
}

/* One try with the keyring copy in use: CMD_OK and the gate, else *ERROR says whether another copy is worth a try. */
static enum cmd_exit gate_try(struct waiting *w, struct opened_store *o, int *error, char why[320])
{
	AUTO(kek_list_close) struct kek_list l = {0};
	const struct opened_config *cfg = w->cfg;
	*error = 0;
	enum cmd_exit code = keks_open(cfg, o->store, w, &l);
	if (code != CMD_OK)
		return code;
	const struct gate_config gc = {
		.keyring = o->store->keyring,
		.kek = l.kek,
		.poll_ms = cfg->poll_ms,
		.lease_ms = cfg->lease_ms,
		.grace_ms = cfg->grace_ms,
		.drain_ms = cfg->drain_ms,
		.manual_return = cfg->manual_return,
		.beacon = cfg->beacon,
		.log = gate_log,
	};
	int r = gate_new(&gc, &o->gate);
	if (r < 0)
		return cmd_fail(r == -EINVAL ? CMD_USAGE : CMD_FAILED, "cannot make the gate: %s%s", strerror(-r),
				r == -EINVAL ? " (lease must be at least twice poll, grace at most 7 days)" : "");
	l.n = 0; /* the gate's now */
	while ((*error = gate_open(o->gate, why)) == -ETIMEDOUT && wait_more(w, why))
		;
	if (*error == 0) {
		options_keep(cfg, o->store, l.options);
		return CMD_OK;
	}
	words.closing = true;
	gate_close(o->gate);
	words.closing = false;
	o->gate = NULL;
	return *error == -EACCES ? CMD_REFUSED : cmd_exit_of(*error);
}

/* What may be done about it. A mount that begins has no grace: nothing was unwrapped yet that could be used on. */
static const char *silence_hint(const struct waiting *w, int error)
{
	if (error != -ETIMEDOUT || w->cfg->mountpoint[0] == 0)
		return "";
	if (w->interrupted)
		return " (interrupted)";
	return w->cfg->wait_ms != 0 ? " (--wait has run out)"
				    : ". A mount begins with a good answer, and grace is only for one that serves; "
				      "--wait keeps asking";
}

static enum cmd_exit gate_begin(const struct opened_config *cfg, struct opened_store *o)
{
	struct waiting w = {.cfg = cfg, .until = clock_ms(CLOCK_BOOTTIME) + cfg->wait_ms};

	for (;;) {
		char why[320] = "";
		int error;
		enum cmd_exit code = gate_try(&w, o, &error, why);
		if (code == CMD_OK || error == 0)
			return code;
		if (error == -EBADMSG && store_next_keyring(o->store) == 0)
			continue;
		return cmd_fail(code, "cannot open the store %s: %s%s", o->store->path,
				why[0] != 0 ? why : strerror(-error), silence_hint(&w, error));
	}
}

static enum cmd_exit open_error(int r, const char *why)
{
	/* -EPERM is the pin's word here, not the operating system's. */
	enum cmd_exit code = r == -EPERM ? CMD_NOT_TRUSTED : cmd_exit_of(r);

	return why[0] ? cmd_fail(code, "%s", why) : cmd_fail(code, "cannot open the store: %s", strerror(-r));
}

/* Whoever may wrap under the KEK can have made this store: nothing but its id says that it is the one that was meant. */
static void tell_first_contact(const struct opened_config *cfg, const struct store *s)
{
	char text[STORE_WHY_MAX], hex[2 * ID_LEN + 1];

	store_id_hex(s->keyring->store_id, hex);
	snprintf(text, sizeof(text),
		 "this host has no pin of %.200s and trusts it as it is, id %s: compare that with what `byokfs init` "
		 "printed, and name it with --store-id the next time",
		 s->path, hex);
	cfg->log(LOG_WARNING, text);
}

/* store_open() and store_lock(), once. */
static enum cmd_exit take_once(const struct opened_config *cfg, const struct store_open *how, struct store **s,
			       int *error, char why[STORE_WHY_MAX])
{
	*error = store_open(how, s, why);
	for (size_t i = 0; *error == 0 && i < how->n_refs; i++) {
		enum cmd_exit inside = ref_outside(how->refs[i], *s);
		if (inside != CMD_OK)
			return inside;
	}
	/* Before the KMS is asked: whoever mounts twice need not type his passphrase to hear that. */
	if (*error == 0 && !cfg->look_only)
		*error = store_lock(*s, cfg->mountpoint, why);
	return CMD_OK;
}

/* Who was unmounted or killed a moment ago is waited for; the store is read anew, for it is he who writes to it last. */
static enum cmd_exit take(const struct opened_config *cfg, const struct store_open *how, struct store **s)
{
	const int64_t begun = clock_ms(CLOCK_BOOTTIME);
	bool told = false, waited = false;
	char why[STORE_WHY_MAX] = "";

	for (;;) {
		int r, pid;
		enum cmd_exit code = take_once(cfg, how, s, &r, why);
		if (code != CMD_OK || r == 0)
			return code;
		int64_t ms = clock_ms(CLOCK_BOOTTIME) - begun;
		bool again = (r == -EBUSY && leaving_store(*s, &pid)) || (r == -EAGAIN && waited);
		if (!again || ms >= LEAVING_MAX_MS)
			return open_error(r, why);
		if (r == -EBUSY && ms > LEAVING_TOLD_MS && !told) {
			char text[128];
			snprintf(text, sizeof(text), "waiting for process %d, which is closing the store", pid);
			cfg->log(LOG_WARNING, text);
			told = true;
		}
		waited = true;
		store_close(*s);
		*s = NULL;
		clock_pause(LEAVING_LOOK_MS);
	}
}

static enum cmd_exit begin(const struct opened_config *cfg, const struct store_open *how, struct opened_store *o)
{
	char why[STORE_WHY_MAX] = "";
	enum cmd_exit code = take(cfg, how, &o->store);

	if (code == CMD_OK)
		code = gate_begin(cfg, o);
	if (code == CMD_OK && o->store->first_contact)
		tell_first_contact(cfg, o->store);
	if (code != CMD_OK || cfg->look_only)
		return code;
	int r = store_begin(o->store, o->gate, cfg->log, why);
	if (r < 0)
		return open_error(r, why);
	o->begun = true;
	return CMD_OK;
}

enum cmd_exit opened_begin(const struct opened_config *cfg, struct opened_store *out)
{
	char text[OPENED_REFS_MAX][KMS_REF_MAX + 1], why[KMS_TEXT_MAX] = "";
	const char *ref[OPENED_REFS_MAX];

	*out = (struct opened_store){0};
	opened_warn_passphrase(cfg->passphrase_file);
	if (hidden_take())
		return cmd_fail(CMD_FAILED, "no locked memory left for the secrets of the environment");
	words.log = cfg->log;
	words.is_mount = cfg->mountpoint[0] != 0;
	words.closing = false;
	for (size_t i = 0; i < cfg->n_refs; i++) {
		if (kms_ref_normalise(cfg->ref[i], text[i], why) < 0)
			return cmd_fail(CMD_USAGE, "KMS reference '%s': %s", cfg->ref[i], why);
		ref[i] = text[i];
	}
	char run_dir[256];
	const struct store_open how = {
		.path = cfg->path,
		.run_dir = control_dir_make(run_dir, sizeof(run_dir)) < 0 ? NULL : run_dir,
		.refs = ref,
		.n_refs = cfg->n_refs,
		.allow_copy = cfg->allow_copy,
		.store_id = cfg->has_store_id ? cfg->store_id : NULL,
		.accept_older = cfg->accept_older,
		.accept_session = cfg->accept_session,
		.read_only = cfg->read_only,
	};
	enum cmd_exit code = begin(cfg, &how, out);
	if (code != CMD_OK)
		opened_close(out, false);
	return code;
}

enum cmd_exit opened_close(struct opened_store *o, bool verified)
{
	enum cmd_exit code = CMD_OK;

	if (o->begun) {
		int r = store_end(o->store, verified);
		if (r < 0)
			code = cmd_fail(CMD_FAILED, "cannot close the session of %s: %s", o->store->path, strerror(-r));
	}
	words.closing = true;
	gate_close(o->gate);
	store_close(o->store);
	*o = (struct opened_store){0};
	return code;
}
