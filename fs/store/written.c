/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of files being written: slots in memory and on disk, the thread that keeps them. */
#include "fs/store/written.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "fs/store/store.h"
#include "fs/store/written_own.h"

#define PRESSURE (WRITING_SLOTS / 4 * 3) /* so many in use: closed ones go before their time */
#define RELIEF (WRITING_SLOTS / 4)
#define CALM_S 30
#define ELSEWHERE_S 120 /* two systems write back within 30 s each: this one, and one that serves a filesystem to it */
#define PAUSE_S 60      /* between two syncs of the store for those whose time has come */
#define PAUSE_PRESSED_S 5 /* and under pressure, after one that was in vain */

static int64_t monotonic(void)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t.tv_sec;
}

/* By the clock of the store's filesystem, as ctimes are. */
static uint64_t now_there(const struct written *w)
{
	struct timespec t = {0};

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	return t.tv_sec + w->skew > 0 ? (uint64_t)(t.tv_sec + w->skew) : 0;
}

/* ---- slots, under the lock ---- */

static void queue_put(struct written *w, uint32_t no)
{
	struct written_slot *s = &w->slot[no];

	s->prev = w->newest;
	s->next = 0;
	if (w->newest)
		w->slot[w->newest].next = no;
	else
		w->oldest = no;
	w->newest = no;
}

static void queue_take(struct written *w, uint32_t no)
{
	struct written_slot *s = &w->slot[no];

	*(s->prev ? &w->slot[s->prev].next : &w->oldest) = s->next;
	*(s->next ? &w->slot[s->next].prev : &w->newest) = s->prev;
	s->next = s->prev = 0;
}

/* A free slot, or 0. */
static uint32_t slot_take(struct written *w)
{
	uint32_t no = w->free;

	if (no)
		w->free = w->slot[no].next;
	else if (w->fresh <= WRITING_SLOTS)
		no = w->fresh++;
	if (no) {
		w->slot[no] = (struct written_slot){0};
		w->used++;
	}
	return no;
}

static void slot_give(struct written *w, uint32_t no)
{
	w->slot[no] = (struct written_slot){.next = w->free};
	w->free = no;
	w->used--;
}

/* Room for E, in STATE; 0 when there is none. */
static uint32_t slot_fill(struct written *w, const struct writing_entry *e, enum slot_state state)
{
	uint32_t no = slot_take(w);

	if (no) {
		w->slot[no].entry = *e;
		w->slot[no].state = state;
		w->slot[no].users = state == SLOT_OPEN;
	}
	if (w->used == PRESSURE) /* that it was reached, not each one above */
		pthread_cond_signal(&w->wake);
	return no;
}

/* ---- what the mount says ---- */

/* No room: from now on every end is tolerated, should this session break off. */
static int overflow(struct written *w)
{
	int r = 0;

	pthread_mutex_lock(&w->lock);
	bool told = w->head.all;
	w->overflowed = monotonic();
	if (!told) {
		w->head.all = true;
		r = written_put_head(w, w->fd);
		w->head.all = r == 0;
		w->unsynced = true;
	}
	pthread_mutex_unlock(&w->lock);
	if (!told && r == 0 && w->cfg.log)
		w->cfg.log(LOG_WARNING,
			   "more files are being written at a time than the list of them takes: after a crash of "
			   "this mount unfinished ends are tolerated everywhere");
	return r;
}

/* E, which is in slot NO, on disk; the slot is given back when that fails. */
static int put(struct written *w, uint32_t no, const struct writing_entry *e)
{
	int r = written_put_entry(w, w->fd, no, e);

	pthread_mutex_lock(&w->lock);
	if (r)
		slot_give(w, no);
	w->unsynced = true;
	pthread_mutex_unlock(&w->lock);
	return r;
}

/* Is the file in NO listed already? Then it is open again. */
static bool revive(struct written *w, uint32_t no, const uint8_t *file_id)
{
	struct written_slot *s = &w->slot[no];

	if (!no || s->state == SLOT_FREE || memcmp(s->entry.file_id, file_id, ID_LEN) != 0)
		return false;
	if (s->state == SLOT_CLOSED) {
		queue_take(w, no);
		s->state = SLOT_OPEN;
	}
	s->users++;
	return true;
}

int written_add(struct written *w, const struct written_file *f, uint32_t *slot)
{
	struct writing_entry e = {.kind = WRITING_WRITTEN, .ino = f->ino, .time = now_there(w), .value = f->place};

	memcpy(e.file_id, f->file_id, ID_LEN);
	pthread_mutex_lock(&w->lock);
	bool listed = revive(w, *slot, f->file_id);
	if (!listed)
		*slot = slot_fill(w, &e, SLOT_OPEN);
	pthread_mutex_unlock(&w->lock);
	if (listed)
		return 0;
	if (!*slot)
		return overflow(w);
	int r = put(w, *slot, &e);
	if (r)
		*slot = 0;
	return r;
}

/* SLOT's entry has changed. Without room for that it stays as it is on disk, which costs a look at more files after a crash. */
static void changed(struct written *w, uint32_t slot)
{
	if (w->n_dirty < WRITING_SLOTS)
		w->dirty[w->n_dirty++] = slot;
}

void written_found(struct written *w, uint32_t slot, uint64_t ino)
{
	if (!slot)
		return;
	pthread_mutex_lock(&w->lock);
	w->slot[slot].entry.ino = ino;
	changed(w, slot);
	pthread_mutex_unlock(&w->lock);
}

void written_durable(struct written *w, uint32_t slot, const uint8_t file_id[ID_LEN])
{
	if (!slot)
		return;
	pthread_mutex_lock(&w->lock);
	struct writing_entry *e = &w->slot[slot].entry;
	if (w->slot[slot].state != SLOT_FREE && e->kind == WRITING_WRITTEN && e->value &&
	    memcmp(e->file_id, file_id, ID_LEN) == 0) {
		e->value = 0;
		changed(w, slot);
	}
	pthread_mutex_unlock(&w->lock);
}

void written_closed(struct written *w, uint32_t slot, bool keep)
{
	if (!slot)
		return;
	pthread_mutex_lock(&w->lock);
	struct written_slot *s = &w->slot[slot];
	s->users -= s->users > 0;
	if (keep) {
		s->state = SLOT_KEPT;
	} else if (s->state == SLOT_OPEN && s->users == 0) {
		s->state = SLOT_CLOSED;
		s->closed = monotonic();
		queue_put(w, slot);
	}
	pthread_mutex_unlock(&w->lock);
}

static void count(struct written *w, const struct writing_entry *e)
{
	w->mends.files += e->kind == WRITING_MENDED;
	w->mends.bytes += e->kind == WRITING_MENDED ? e->value : 0;
	w->mends.back += e->kind == WRITING_BACK;
}

/* An entry that stays until the store is whole. */
static int note(struct written *w, enum writing_kind kind, const struct written_file *f, uint64_t value)
{
	struct writing_entry e = {.kind = kind, .ino = f->ino, .time = now_there(w), .value = value};

	memcpy(e.file_id, f->file_id, ID_LEN);
	pthread_mutex_lock(&w->lock);
	uint32_t no = slot_fill(w, &e, SLOT_KEPT);
	count(w, &e);
	pthread_mutex_unlock(&w->lock);
	return no ? put(w, no, &e) : overflow(w);
}

int written_mended(struct written *w, const uint8_t file_id[ID_LEN], uint64_t ino, uint64_t cut)
{
	return note(w, WRITING_MENDED, &(struct written_file){.file_id = file_id, .ino = ino}, cut);
}

int written_back(struct written *w, const uint8_t file_id[ID_LEN], uint64_t ino)
{
	return note(w, WRITING_BACK, &(struct written_file){.file_id = file_id, .ino = ino}, 0);
}

void written_mends(struct written *w, struct written_mends *out)
{
	*out = (struct written_mends){0};
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	*out = w->mends;
	pthread_mutex_unlock(&w->lock);
}

/* ---- the thread ---- */

/* Entries whose inode number has been found since. One that fails is tried again with the next that is found in it. */
static void put_dirty(struct written *w)
{
	for (;;) {
		pthread_mutex_lock(&w->lock);
		uint32_t no = w->n_dirty ? w->dirty[--w->n_dirty] : 0;
		int r = 0;
		if (no && w->slot[no].state != SLOT_FREE) {
			r = written_put_entry(w, w->fd, no, &w->slot[no].entry);
			w->unsynced = true;
		}
		pthread_mutex_unlock(&w->lock);
		if (!no || r)
			return;
	}
}

/* Long enough after the last file that could not be listed: its write is done, and a sync from now on has it. */
static bool may_calm(const struct written *w, int64_t now)
{
	return w->head.all && !w->all_carried && now >= w->overflowed + CALM_S;
}

static bool due(const struct written *w, int64_t now)
{
	bool pressed = w->used >= PRESSURE || may_calm(w, now);
	int64_t pause = !pressed ? PAUSE_S : w->in_vain ? PAUSE_PRESSED_S : 0;

	if (w->tried && now < w->tried + pause)
		return false;
	return pressed || (w->oldest && w->slot[w->oldest].closed + WRITTEN_LINGER_S <= now);
}

/*
 * Everything written up to here is durable, and there is room: what could not be listed needs no leeway any more. Whoever goes on
 * writing is listed then.
 */
static void calm_down(struct written *w, int64_t now)
{
	if (!may_calm(w, now) || w->used >= PRESSURE)
		return;
	w->head.all = false;
	w->head.all = written_put_head(w, w->fd) != 0;
	w->unsynced = true;
}

/* Those that were closed before NOW go, their changes being durable: the older ones first, under pressure no more than needed. */
static void let_go(struct written *w, int64_t now)
{
	bool pressed = w->used >= PRESSURE;

	for (uint32_t no; (no = w->oldest) && w->slot[no].closed < now;) {
		if (w->slot[no].closed + WRITTEN_LINGER_S > now && !(pressed && w->used > RELIEF))
			return;
		queue_take(w, no);
		if (written_clear_entry(w, w->fd, no)) { /* it stays listed, which harms nobody */
			queue_put(w, no);
			return;
		}
		slot_give(w, no);
	}
}

void written_tick(struct written *w, int64_t now)
{
	put_dirty(w);
	pthread_mutex_lock(&w->lock);
	bool unsynced = w->unsynced, listed = w->used > 0, go = due(w, now);
	w->unsynced = false;
	pthread_mutex_unlock(&w->lock);
	if (listed || unsynced)
		written_look(w);
	if (unsynced)
		written_sync(w);
	if (!go)
		return;
	int r = syncfs(w->cfg.data_fd);
	/* where that may reach nothing, time has to do */
	int64_t durable = store_is_local(w->cfg.data_fd) ? now : now - ELSEWHERE_S;
	pthread_mutex_lock(&w->lock);
	uint32_t used = w->used;
	if (r == 0)
		let_go(w, durable);
	w->tried = now;
	w->in_vain = w->used == used;
	if (r == 0)
		calm_down(w, durable);
	pthread_mutex_unlock(&w->lock);
}

static void *keep(void *arg)
{
	struct written *w = arg;

	pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		(void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
		if (w->stop)
			break;
		pthread_mutex_unlock(&w->lock);
		written_tick(w, monotonic());
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

int written_start(struct written *w)
{
	int r = -pthread_create(&w->thread, NULL, keep, w);

	w->running = r == 0;
	return r;
}

static void carry(struct written *w, const struct leeway *l)
{
	if (!l)
		return;
	w->head.all = w->all_carried = l->all || l->n > PRESSURE;
	w->head.lost = l->lost;
	w->head.from = l->from;
	w->head.to = l->to;
	for (size_t i = 0; i < l->n; i++) {
		struct writing_entry e = l->entry[i];

		if (l->moved && e.kind == WRITING_WRITTEN) /* numbers of other inodes */
			e.ino = e.value = 0;
		if (e.kind != WRITING_WRITTEN) {
			count(w, &e);
		} else if (l->n > PRESSURE) {
			continue;
		}
		(void)slot_fill(w, &e, SLOT_KEPT); /* there is room, or `all` says the rest */
	}
}

int written_open(const struct written_config *cfg, struct writing_key *key, struct written **out)
{
	struct written *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return -ENOMEM;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_condattr_destroy(&attr);
	w->cfg = *cfg;
	w->key = key;
	w->fd = -1;
	w->fresh = 1;
	w->head = (struct writing_head){.session = cfg->session, .begun = now_there(w)};
	store_boot_id(w->head.boot_id);
	carry(w, cfg->carry);
	int r = written_make(w, cfg->carry == NULL);
	if (r) {
		w->key = NULL;
		written_free(w);
		return r;
	}
	*out = w;
	return 0;
}

void written_free(struct written *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	if (w->running)
		pthread_join(w->thread, NULL);
	auto_close(&w->fd);
	writing_key_free(w->key);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}
