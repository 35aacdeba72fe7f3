/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a store: its directories, and the keyring copy that the pin allows. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "crypto/auto.h"
#include "crypto/json.h"
#include "fs/store/pin_file.h"
#include "fs/store/journal.h"
#include "fs/store/live.h"
#include "fs/store/slots.h"
#include "fs/store/store.h"
#include "fs/store/store_own.h"
#include "fs/store/written.h"

void store_say(char why[STORE_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, STORE_WHY_MAX, format, ap);
	va_end(ap);
}

/* Reading the copies */

static int copy_read(struct store *s, struct store_copy *c, const char *name)
{
	AUTO(auto_free) uint8_t *buf = NULL;
	size_t len;

	c->name = name;
	int r = store_read_file(s->own_fd, name, KEYRING_LEN_MAX, &buf, &len);
	if (r == -EFBIG)
		r = -EUCLEAN;
	if (r == 0)
		r = keyring_parse(buf, len, &c->keyring);
	c->error = r;
	if (r < 0)
		c->keyring = NULL;
	/* A disk that does not answer, or no memory: nothing is known of the copy, so nothing may be concluded. */
	return r == -ENOENT || r == -EUCLEAN || r == -ENOTSUP ? 0 : r;
}

/* The pin's own copy, for --accept-older-keyring only: both copies in the store are gone. */
static void copy_from_pin(struct store *s)
{
	struct store_copies *cs = s->copies;
	struct store_copy *c = &cs->copy[STORE_COPIES];
	struct pin *p = NULL;

	if (pin_file_only(s->path, &p) < 0)
		return;
	c->name = "pin";
	c->error = keyring_parse(p->keyring, p->keyring_len, &c->keyring);
	if (c->error < 0)
		c->keyring = NULL;
	pin_free(p);
}

/* Is K's reference REF one that may be contacted? */
static int ref_allowed(const struct store_open *how, const struct pin *pin, const char *ref)
{
	if (pin && pin_has_ref(pin, ref))
		return 1;
	for (size_t i = 0; i < how->n_refs; i++)
		if (strcmp(how->refs[i], ref) == 0)
			return 1;
	return 0;
}

static int pin_refusal(int r, const struct store *s, char why[STORE_WHY_MAX])
{
	char dir[PATH_MAX];

	if (pin_file_dir(dir, sizeof(dir)) < 0)
		snprintf(dir, sizeof(dir), "the state directory");
	switch (r) {
	case -EMEDIUMTYPE:
		store_say(why,
			  "%.200s is not the store that this host knows at this path: its pins in %.100s name another "
			  "store id. If the store was replaced on purpose, remove them and name its KMS with --kms",
			  s->path, dir);
		return -EPERM;
	case -EUCLEAN:
		store_say(why, "the pin of %.200s in %.100s is damaged: remove it and name the KMS with --kms REF",
			  s->path, dir);
		return r;
	case -EPERM:
		store_say(
			why,
			"%.200s may be written by others than root and you, so pins in it prove nothing: chmod go-w it",
			dir);
		return r;
	default:
		store_say(why, "cannot read the pins in %.200s: %s", dir, strerror(-r));
		return r;
	}
}

static int refs_check(const struct store_open *how, const struct pin *pin, const struct store *s,
		      const struct keyring *k, char why[STORE_WHY_MAX])
{
	for (uint32_t i = 0; i < k->n_slots; i++) {
		if (ref_allowed(how, pin, k->slot[i].ref))
			continue;
		char ref[200];
		snprintf(ref, sizeof(ref), "%.199s", k->slot[i].ref);
		text_plain(ref);
		if (!pin)
			store_say(
				why,
				"this host does not know %.120s: name the KMS that holds its key with --kms REF (once; "
				"its keyring names \"%s\", which is not contacted unless you do)",
				s->path, ref);
		else
			store_say(why,
				  "the keyring of %.120s names the KMS \"%s\", which this host's pin does not: not "
				  "contacted. If the key was moved there on purpose, name it with --kms REF",
				  s->path, ref);
		return -EPERM;
	}
	return 0;
}

/*
 * A public key wraps for everybody: whoever has it can make a whole store of his own under the customer's KEK, and would read
 * all that is written to it. Only the store id, which comes from the root key, tells the two apart.
 */
static int id_check(const struct store_open *how, const struct pin *pin, const struct store *s, const struct keyring *k,
		    char why[STORE_WHY_MAX])
{
	char hex[2 * ID_LEN + 1];

	store_id_hex(k->store_id, hex);
	if (how->store_id && memcmp(how->store_id, k->store_id, ID_LEN) != 0) {
		store_say(why, "%.200s is another store than --store-id says: its id is %s. Nothing of it was used",
			  s->path, hex);
		return -EPERM;
	}
	if (pin || how->store_id || !keyring_wrapped_by_anybody(k))
		return 0;
	store_say(why,
		  "this host does not know %.160s, and its key is an RSA key, for which anybody who has the public "
		  "half can "
		  "make a store of his own. Say which one it must be: --store-id ID, as `byokfs init` printed it (or "
		  "`byokfs pin show` on a host that knows it), or import its pin: byokfs pin import",
		  s->path);
	return -EPERM;
}

/* 0 if the keyring copy K may be tried: its references are pinned, it is this store's and not older than known. */
static int copy_check(const struct store_open *how, struct store *s, const struct keyring *k, char why[STORE_WHY_MAX])
{
	struct pin *pin = NULL;
	int r = 0;

	if (k->ro_compat & ~FEATURES_RO_COMPAT_KNOWN && !s->read_only && !how->no_pin_check) {
		store_say(why, "%.300s has features that this version cannot write: mount it with -o ro", s->path);
		return -ENOTSUP;
	}
	if (how->no_pin_check)
		return 0;
	r = pin_file_find(s->path, k->store_id, &pin);
	if (r < 0 && r != -ENOENT)
		return pin_refusal(r, s, why);
	r = refs_check(how, pin, s, k, why);
	if (r == 0)
		r = id_check(how, pin, s, k, why);
	if (r == 0)
		s->first_contact = !pin && !how->store_id;
	if (r == 0 && pin && k->sequence < pin->sequence && !how->accept_older) {
		store_say(why,
			  "the keyring of %.200s is older than this host has seen (change %llu, known %llu): an old "
			  "copy was put back. If you did that, mount with --accept-older-keyring",
			  s->path, (unsigned long long)k->sequence, (unsigned long long)pin->sequence);
		r = -EPERM;
	}
	pin_free(pin);
	return r;
}

static int copies_load(const struct store_open *how, struct store *s, char why[STORE_WHY_MAX])
{
	static const char *const name[STORE_COPIES] = {STORE_KEYRING, STORE_KEYRING_COPY};
	struct store_copies *cs = s->copies;

	for (size_t i = 0; i < STORE_COPIES; i++) {
		int r = copy_read(s, &cs->copy[i], name[i]);
		if (r < 0) {
			store_say(why, "cannot read %.300s/" STORE_OWN "/%s: %s", s->path, name[i], strerror(-r));
			return r;
		}
	}
	const struct keyring *a = cs->copy[0].keyring, *b = cs->copy[1].keyring;
	cs->same = a && b && a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
	if (!a && !b && how->accept_older)
		copy_from_pin(s);
	return 0;
}

/* Why there is no keyring to try, when no copy was refused by the pin. */
static int copies_refusal(const struct store *s, char why[STORE_WHY_MAX])
{
	const struct store_copy *c = s->copies->copy;

	if (c[0].error == -ENOTSUP || c[1].error == -ENOTSUP) {
		store_say(why,
			  "%.300s was made by a newer version of byokfs, or its keyring is damaged: this version "
			  "cannot read it",
			  s->path);
		return -ENOTSUP;
	}
	store_say(why,
		  "both copies of the keyring of %.160s are %s (" STORE_OWN "/" STORE_KEYRING ", " STORE_OWN
		  "/" STORE_KEYRING_COPY "). Put one back from a backup of the store; on the host that used it last, "
		  "--accept-older-keyring takes the copy from the pin",
		  s->path,
		  c[0].error == -ENOENT && c[1].error == -ENOENT ? "missing"
								 : "damaged, or of no format that this version knows");
	return -EUCLEAN;
}

/* Choose the untried copy with the highest sequence that the pin allows. */
static int copies_choose(const struct store_open *how, struct store *s, char why[STORE_WHY_MAX])
{
	struct store_copies *cs = s->copies;
	int refused = 0;

	for (;;) {
		struct store_copy *best = NULL;
		for (size_t i = 0; i <= STORE_COPIES; i++) {
			struct store_copy *c = &cs->copy[i];
			if (!c->keyring || c->tried || (i == 1 && cs->same))
				continue;
			if (!best || c->keyring->sequence > best->keyring->sequence)
				best = c;
		}
		if (!best)
			return refused;
		best->tried = true;
		char text[STORE_WHY_MAX];
		int r = copy_check(how, s, best->keyring, text);
		if (r == 0) {
			cs->chosen = best;
			s->keyring = best->keyring;
			return 1;
		}
		/* The newest copy's refusal is the one to tell. */
		if (refused == 0) {
			refused = r;
			store_say(why, "%s", text);
		}
	}
}

/* Directories */

int store_case_check(int data_fd, const char *path, char why[STORE_WHY_MAX])
{
	struct stat st;

	if (store_stat(data_fd, ".BYOKFS.DIR", &st) < 0)
		return 0;
	store_say(why, "%.300s lies on a filesystem that does not tell upper from lower case: names would collide",
		  path);
	return -EOPNOTSUPP;
}

static int dirs_open(struct store *s, const char *path, char why[STORE_WHY_MAX])
{
	s->path = realpath(path, NULL);
	if (!s->path) {
		int r = -errno;
		store_say(why, "cannot open the store %.300s: %s", path, strerror(-r));
		return r;
	}
	s->dir_fd = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir_fd < 0) {
		int r = -errno;
		store_say(why, "cannot open the store %.300s: %s", s->path, strerror(-r));
		return r;
	}
	s->own_fd = store_open_part(s->dir_fd, STORE_OWN);
	s->data_fd = store_open_part(s->dir_fd, STORE_DATA);
	int r = s->own_fd < 0 ? s->own_fd : s->data_fd < 0 ? s->data_fd : 0;
	if (r == -ENOTDIR || r == -ELOOP)
		r = -ENOENT;
	if (r == -ENOENT)
		store_say(why,
			  "%.300s is not a byokfs store: it has no " STORE_OWN "/ and " STORE_DATA
			  "/. Make one with: byokfs init",
			  s->path);
	else if (r < 0)
		store_say(why, "cannot open the store %.300s: %s", s->path, strerror(-r));
	return r < 0 ? r : store_case_check(s->data_fd, s->path, why);
}

static struct store *store_alloc(void)
{
	struct store *s = calloc(1, sizeof(*s));
	struct store_copies *cs = calloc(1, sizeof(*cs));
	if (!s || !cs) {
		free(s);
		free(cs);
		return NULL;
	}
	s->dir_fd = s->own_fd = s->data_fd = s->lock_fd = s->host_fd = -1;
	s->copies = cs;
	return s;
}

static void store_close_at(struct store **s)
{
	store_close(*s);
}

/*
 * By what the disk itself says of the store, not by its path: a disk that was pulled out comes back elsewhere. Another copy of the store,
 * which may be in use beside it, has another folder.
 */
static int live_place(struct store *s, const char *run_dir)
{
	char id[2 * ID_LEN + 1];
	struct timespec born = {0};
	struct stat st;

	if (!run_dir)
		return 0;
	if (fstat(s->own_fd, &st) < 0)
		return -errno;
	(void)store_born(s->own_fd, &born);
	store_id_hex(s->keyring->store_id, id);
	if (asprintf(&s->live_path, "%s/%s-%llx-%llx.slots", run_dir, id, (unsigned long long)st.st_ino,
		     (unsigned long long)born.tv_sec * 1000000000 + (unsigned long long)born.tv_nsec) < 0)
		s->live_path = NULL;
	return s->live_path ? 0 : -ENOMEM;
}

int store_open(const struct store_open *how, struct store **out, char why[STORE_WHY_MAX])
{
	why[0] = 0;
	AUTO(store_close_at) struct store *s = store_alloc();
	if (!s) {
		store_say(why, "out of memory");
		return -ENOMEM;
	}
	s->read_only = how->read_only;
	s->accept_session = how->accept_session;
	s->copies->how = *how;
	int r = dirs_open(s, how->path, why);
	if (r == 0)
		r = copies_load(how, s, why);
	if (r < 0)
		return r;
	r = copies_choose(how, s, why);
	if (r <= 0)
		return r < 0 ? r : copies_refusal(s, why);
	s->slot_len = inflight_slot_len(&s->keyring->layout);
	r = live_place(s, how->run_dir);
	if (r < 0)
		return r;
	*out = s;
	s = NULL;
	return 0;
}

int store_next_keyring(struct store *s)
{
	char why[STORE_WHY_MAX];

	/* `refs` are the caller's and still alive: he is in the middle of mounting. */
	if (copies_choose(&s->copies->how, s, why) != 1)
		return -ENOENT;
	s->slot_len = inflight_slot_len(&s->keyring->layout);
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	slots_free(s->slots);
	written_free(s->written);
	live_free(s->live, false);
	free(s->live_path);
	writing_key_free(s->list_key);
	journal_close(s->journal);
	journal_key_free(s->journal_key);
	lost_free(s->lost);
	lost_key_free(s->lost_key);
	leeway_free(&s->leeway);
	auto_close(&s->host_fd);
	auto_close(&s->lock_fd); /* lets go of the owner lock, last: who gets it gets the other too */
	auto_close(&s->data_fd);
	auto_close(&s->own_fd);
	auto_close(&s->dir_fd);
	for (size_t i = 0; i <= STORE_COPIES; i++)
		keyring_free(s->copies->copy[i].keyring);
	free(s->copies);
	free(s->path);
	free(s);
}
