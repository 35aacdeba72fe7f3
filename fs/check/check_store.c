/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking the store's own files: keyring copies, session record, in-flight slots. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/auto.h"
#include "fs/check/check_own.h"
#include "fs/store/borrow.h"
#include "fs/store/session_mark.h"
#include "fs/store/store_own.h"

struct own {
	const struct check_config *cfg;
	struct check_counts *counts;
};

static void say(struct own *o, enum check_code code, enum check_severity severity, const char *path, const char *text)
{
	struct check_problem p = {
		.path = path, .code = code, .severity = severity, .block = -1, .last = -1, .text = text};
	p.repaired = (code == CHECK_KEYRING || code == CHECK_LOST_RANGE) && o->cfg->repair;
	if (p.repaired)
		o->counts->repaired++;
	else if (severity == CHECK_NOTE)
		o->counts->notes++;
	else if (severity == CHECK_CRASH)
		o->counts->crash++;
	else
		o->counts->damage++;
	o->cfg->problem(o->cfg->arg, &p);
}

void check_keyring(const struct check_config *cfg, struct check_counts *out)
{
	static const char *const path[STORE_COPIES] = {STORE_OWN "/" STORE_KEYRING, STORE_OWN "/" STORE_KEYRING_COPY};
	const struct store_copies *cs = cfg->store->copies;
	struct own own = {.cfg = cfg, .counts = out}, *o = &own;
	for (size_t i = 0; i < STORE_COPIES; i++) {
		const struct store_copy *c = &cs->copy[i];
		if (c->error == -ENOENT)
			say(o, CHECK_KEYRING, CHECK_DAMAGE, path[i], "this copy of the keyring is missing");
		else if (c->error == -ENOTSUP)
			say(o, CHECK_KEYRING, CHECK_DAMAGE, path[i],
			    "this copy of the keyring is of a newer format, or damaged");
		else if (c->error)
			say(o, CHECK_KEYRING, CHECK_DAMAGE, path[i], "this copy of the keyring is damaged");
	}
	if (cs->same || !cs->copy[0].keyring || !cs->copy[1].keyring)
		return;
	/* The one whose box opened is in use; without a key, the first. */
	size_t other = cs->chosen == &cs->copy[0] ? 1 : 0;
	/* One is written when the other is durable: a step apart is what a crash leaves. */
	if (cs->copy[other].keyring->sequence + 1 == cs->copy[!other].keyring->sequence)
		say(o, CHECK_KEYRING, CHECK_NOTE, path[other],
		    "this copy of the keyring is one change behind the other");
	else
		say(o, CHECK_KEYRING, CHECK_DAMAGE, path[other],
		    "this copy of the keyring differs from the one in use");
}

/* -EBADMSG for a record that is not one; SESSION is what it says. Without a gate only its length is looked at. */
static int parse_session(struct gate *g, const uint8_t *record, size_t len, struct session *session)
{
	AUTO(borrow_end) struct borrow b = {0};
	if (!g)
		return len == SESSION_LEN ? 0 : -EBADMSG;
	int r = borrow_store(&b, g, GATE_USE_NEW);
	return r ? r : session_parse(b.store, record, len, session);
}

/* Is the record no news to this host? Without a key by what it says, unless a check with one follows. */
static bool session_stale(const struct check_config *cfg)
{
	struct session_verdict v;

	if (cfg->gate)
		return cfg->store->stale;
	return !cfg->begins && session_mark_look(cfg->store, &v) == 0 && v.stale;
}

int check_session(const struct check_config *cfg, const uint8_t *record, size_t len, struct check_counts *out)
{
	struct own o = {.cfg = cfg, .counts = out};
	struct session session;
	int r = parse_session(cfg->gate, record, len, &session);
	if (r == 0 && session_stale(cfg))
		say(&o, CHECK_SESSION, CHECK_DAMAGE, STORE_OWN "/" STORE_SESSION,
		    "older than this host has seen: it was put back, and claims a crash (--accept-older-session if you "
		    "restored the store from a copy)");
	if (r != -EBADMSG)
		return r;
	say(&o, CHECK_SESSION, CHECK_DAMAGE, STORE_OWN "/" STORE_SESSION,
	    len == SESSION_LEN ? "the session record does not authenticate" : "the session record has a wrong length");
	return 0;
}

void check_list(const struct check_config *cfg, struct check_counts *out)
{
	struct own o = {.cfg = cfg, .counts = out};
	if (cfg->store->leeway.lost)
		say(&o, CHECK_SESSION, CHECK_DAMAGE, STORE_OWN "/" STORE_WRITING,
		    "the list of files that were being written when a mount broke off was taken away or altered: no "
		    "unfinished end is tolerated (--accept-older-session if you restored the store from a copy)");
	struct lost_counts n;
	lost_count(cfg->store->lost, &n);
	if (n.altered)
		say(&o, CHECK_LOST_RANGE, CHECK_DAMAGE, STORE_OWN "/" STORE_LOST,
		    "the list of what mounts have lost was taken away, altered or put back: what it named may read as "
		    "if "
		    "nothing had happened");
	if (n.overflowed)
		say(&o, CHECK_LOST_RANGE, CHECK_DAMAGE, STORE_OWN "/" STORE_LOST,
		    "more was lost than the list of it has room for: some of it may read as if nothing had happened");
}

/* Without a key: is the list of what was lost there at all? */
static void check_lost_file(struct own *o)
{
	const struct store *s = o->cfg->store;
	struct stat st;
	int r = store_stat(s->own_fd, STORE_LOST, &st);

	if (r == -ENOENT && (s->keyring->ro_compat & FEATURE_RO_LOST))
		say(o, CHECK_LOST_RANGE, CHECK_DAMAGE, STORE_OWN "/" STORE_LOST,
		    "the list of what mounts have lost is missing");
	else if (!r && (!S_ISREG(st.st_mode) || st.st_size != LOST_LEN))
		say(o, CHECK_LOST_RANGE, CHECK_DAMAGE, STORE_OWN "/" STORE_LOST,
		    "the list of what mounts have lost has a wrong length");
}

int check_says_unclean(const struct store *s)
{
	struct session_verdict v;

	return session_mark_look(s, &v) == 0 && v.unclean;
}

static int check_session_file(struct own *o)
{
	uint8_t *record = NULL;
	size_t len = 0;
	int r = store_read_file(o->cfg->store->own_fd, STORE_SESSION, SESSION_LEN, &record, &len);
	if (r == -ENOENT) {
		say(o, CHECK_SESSION, CHECK_DAMAGE, STORE_OWN "/" STORE_SESSION, "the session record is missing");
		return 0;
	}
	if (r == -EFBIG || r == -EUCLEAN)
		r = 0; /* no record: of length 0 */
	if (!r)
		r = check_session(o->cfg, record, len, o->counts);
	free(record);
	return r;
}

/* Heads only: what a valid slot holds is written to its file by store_begin(). */
static int check_inflight(struct own *o)
{
	const struct store *s = o->cfg->store;
	struct store_owner owner;
	uint8_t head[INFLIGHT_HEAD_LEN];
	struct inflight f;
	const char *path;
	if (s->lock_fd < 0 && store_owner(s, &owner) == 0)
		return 0; /* mounted: slots come and go */
	AUTO(auto_close) int fd = store_open_file(s->own_fd, STORE_INFLIGHT, O_RDONLY);
	struct stat st;
	if (fd == -ENOENT ||
	    (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size != (uint64_t)INFLIGHT_SLOTS * s->slot_len)) {
		say(o, CHECK_INFLIGHT, CHECK_NOTE, STORE_OWN "/" STORE_INFLIGHT,
		    "missing or of a wrong length: the next mount makes it anew");
		return 0;
	}
	if (fd < 0)
		return fd == -EUCLEAN ? 0 : fd;
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		int r = store_pread_full(fd, head, sizeof(head), (uint64_t)i * s->slot_len);
		if (r)
			return r;
		r = inflight_parse(head, s->slot_len, &s->keyring->layout, &f, &path);
		if (r == -EUCLEAN)
			say(o, CHECK_INFLIGHT, CHECK_DAMAGE, STORE_OWN "/" STORE_INFLIGHT,
			    "a slot is malformed: what a crashed mount was writing is lost");
		else if (r == 0 && !o->cfg->begins)
			say(o, CHECK_INFLIGHT, CHECK_CRASH, STORE_OWN "/" STORE_INFLIGHT,
			    "a crashed mount was writing: the next mount or verify completes it");
	}
	return 0;
}

int check_own(const struct check_config *cfg, struct check_counts *out)
{
	struct own o = {.cfg = cfg, .counts = out};
	int r = check_session_file(&o);
	if (!r && !cfg->begins)
		check_lost_file(&o);
	return r ? r : check_inflight(&o);
}
