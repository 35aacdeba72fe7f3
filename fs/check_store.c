/* SPDX-License-Identifier: BSD-2-Clause */
/* Checking the store's own files: keyring copies, session record, in-flight slots. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "fs/check_own.h"
#include "fs/store_own.h"

struct own {
	const struct check_config *cfg;
	struct check_counts *counts;
};

static void say(struct own *o, enum check_code code, enum check_severity severity, const char *path, const char *text)
{
	struct check_problem p = { .path = path, .code = code, .severity = severity, .block = -1, .last = -1, .text = text };
	/* store_begin() rewrites it, if it may write. */
	p.repaired = code == CHECK_KEYRING && o->cfg->repair;
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

static void check_keyring(struct own *o)
{
	static const char *const path[STORE_COPIES] = { STORE_OWN "/" STORE_KEYRING, STORE_OWN "/" STORE_KEYRING_COPY };
	const struct store_copies *cs = o->cfg->store->copies;
	for (size_t i = 0; i < STORE_COPIES; i++) {
		const struct store_copy *c = &cs->copy[i];
		if (c->error == -ENOENT)
			say(o, CHECK_KEYRING, CHECK_DAMAGE, path[i], "this copy of the keyring is missing");
		else if (c->error == -ENOTSUP)
			say(o, CHECK_KEYRING, CHECK_DAMAGE, path[i], "this copy of the keyring is of a newer format, or damaged");
		else if (c->error)
			say(o, CHECK_KEYRING, CHECK_DAMAGE, path[i], "this copy of the keyring is damaged");
	}
	if (cs->same || !cs->copy[0].keyring || !cs->copy[1].keyring)
		return;
	/* The one whose box opened is in use; without a key, the first. */
	size_t other = cs->chosen == &cs->copy[0] ? 1 : 0;
	/* One is written when the other is durable: a step apart is what a crash leaves. */
	if (cs->copy[other].keyring->sequence + 1 == cs->copy[!other].keyring->sequence)
		say(o, CHECK_KEYRING, CHECK_NOTE, path[other], "this copy of the keyring is one change behind the other");
	else
		say(o, CHECK_KEYRING, CHECK_DAMAGE, path[other], "this copy of the keyring differs from the one in use");
}

/* -EBADMSG for a record that is not one; SESSION is what it says. */
static int read_session(const struct check_config *cfg, struct session *session)
{
	uint8_t *record = NULL;
	size_t len;
	const struct store_keys *keys;
	int err = store_read_file(cfg->store->own_fd, STORE_SESSION, SESSION_LEN, &record, &len);
	if (err)
		return err == -EFBIG || err == -EUCLEAN ? -EBADMSG : err;
	if (!cfg->gate) {
		free(record);
		return len == SESSION_LEN ? 0 : -EBADMSG;
	}
	err = gate_enter(cfg->gate, GATE_USE_NEW, &keys);
	if (!err) {
		err = session_parse(keys, record, len, session);
		gate_leave(cfg->gate);
	}
	free(record);
	return err;
}

static int check_session(struct own *o)
{
	struct session session = { .state = SESSION_CLEAN };
	int err = read_session(o->cfg, &session);
	if (err == -ENOENT)
		say(o, CHECK_SESSION, CHECK_DAMAGE, STORE_OWN "/" STORE_SESSION, "the session record is missing");
	else if (err == -EBADMSG)
		say(o, CHECK_SESSION, CHECK_DAMAGE, STORE_OWN "/" STORE_SESSION,
		    o->cfg->gate ? "the session record does not authenticate" : "the session record has a wrong length");
	return err == -ENOENT || err == -EBADMSG ? 0 : err;
}

int check_unclean(const struct store *s, struct gate *g)
{
	struct session session = { .state = SESSION_OPEN };
	const struct check_config cfg = { .store = s, .gate = g };
	int err = read_session(&cfg, &session);
	if (err)
		return err == -ENOENT || err == -EBADMSG ? 1 : err;
	return session.state != SESSION_CLEAN;
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
	AUTO(store_fd_close) int fd = store_open_file(s->own_fd, STORE_INFLIGHT, O_RDONLY);
	struct stat st;
	if (fd == -ENOENT || (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size != (uint64_t)INFLIGHT_SLOTS * s->slot_len)) {
		say(o, CHECK_INFLIGHT, CHECK_NOTE, STORE_OWN "/" STORE_INFLIGHT, "missing or of a wrong length: the next mount makes it anew");
		return 0;
	}
	if (fd < 0)
		return fd == -EUCLEAN ? 0 : fd;
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		int err = store_pread_full(fd, head, sizeof(head), (uint64_t)i * s->slot_len);
		if (err)
			return err;
		err = inflight_parse(head, s->slot_len, &s->keyring->layout, &f, &path);
		if (err == -EUCLEAN)
			say(o, CHECK_INFLIGHT, CHECK_DAMAGE, STORE_OWN "/" STORE_INFLIGHT,
			    "a slot is malformed: what a crashed mount was writing is lost");
		else if (err == 0 && !o->cfg->gate)
			say(o, CHECK_INFLIGHT, CHECK_CRASH, STORE_OWN "/" STORE_INFLIGHT,
			    "a crashed mount was writing: the next mount or verify completes it");
	}
	return 0;
}

int check_own(const struct check_config *cfg, struct check_counts *out)
{
	struct own o = { .cfg = cfg, .counts = out };
	check_keyring(&o);
	int err = check_session(&o);
	return err ? err : check_inflight(&o);
}
