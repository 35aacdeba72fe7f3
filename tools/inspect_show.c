/* SPDX-License-Identifier: BSD-2-Clause */
/* Files, special objects and the small files of a store: what stands in them in clear (FORMAT.md). */
#include "tools/inspect_show.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/block.h"
#include "crypto/header.h"
#include "crypto/inflight.h"
#include "crypto/name.h"
#include "crypto/session.h"
#include "crypto/special.h"
#include "fs/store/store.h"

static const char *const kind_name[] = {
	[INSPECT_UNKNOWN] = "unknown",
	[INSPECT_FILE] = "file",
	[INSPECT_SPECIAL] = "special object",
	[INSPECT_STUMP] = "empty",
	[INSPECT_DIRID] = "directory id",
	[INSPECT_SIDECAR] = "sidecar of a long name",
	[INSPECT_KEYRING] = "keyring",
	[INSPECT_SESSION] = "session",
	[INSPECT_INFLIGHT] = "in-flight slots",
	[INSPECT_LOCK] = "owner lock",
	[INSPECT_PIN] = "pin",
};

const char *inspect_kind_name(enum inspect_kind k)
{
	return kind_name[k];
}

static enum inspect_kind kind_by_letter(char letter)
{
	static const struct {
		char letter;
		enum inspect_kind kind;
	} table[] = {
		{'R', INSPECT_KEYRING}, {'P', INSPECT_PIN},     {'H', INSPECT_FILE},     {'I', INSPECT_DIRID},
		{'S', INSPECT_SPECIAL}, {'M', INSPECT_SESSION}, {'T', INSPECT_INFLIGHT},
	};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].letter == letter)
			return table[i].kind;
	return INSPECT_UNKNOWN;
}

enum inspect_kind inspect_kind_of(const struct inspected *in)
{
	/* The version digit is the parser's to judge: a newer file is still of its kind. */
	if (in->len >= 8 && memcmp(in->bytes, "BYOKFS", 6) == 0)
		return kind_by_letter((char)in->bytes[7]);
	if (strncmp(in->name, SIDECAR_PREFIX, strlen(SIDECAR_PREFIX)) == 0)
		return INSPECT_SIDECAR;
	if (strcmp(in->name, STORE_INFLIGHT) == 0)
		return INSPECT_INFLIGHT;
	if (strcmp(in->name, STORE_LOCK) == 0)
		return INSPECT_LOCK;
	return in->size == 0 ? INSPECT_STUMP : INSPECT_UNKNOWN;
}

static void show_wraps(const struct header *h, struct emit *e, bool store)
{
	emit_list(e, "wraps");
	for (int i = 0; i < 2; i++) {
		const struct header_wrap *w = &h->wrap[i];
		if (!(h->slots & (1 << i)))
			continue;
		emit_open(e, NULL);
		emit_u64(e, "slot", (uint64_t)i);
		emit_u64(e, "sequence", w->sequence);
		emit_u64(e, store ? "generation" : "kek", w->number);
		emit_str(e, "version", w->version);
		emit_u64(e, "algorithm", w->algorithm);
		emit_str(e, "algorithm_name", inspect_algorithm(w->algorithm, store));
		emit_u64(e, "wrapped_length", w->wrapped_len);
		emit_bool(e, "newest", header_newest(h, -1) == i);
		emit_close(e);
	}
	emit_close(e);
}

/* Size, blocks and final head; needs the layout. */
static int show_contents(const struct inspected *in, struct emit *e)
{
	const struct layout *l = &in->layout;
	uint8_t front[FINAL_HEAD_LEN];
	struct final_head head;
	uint64_t size;
	if (layout_classify(l, in->size, &size) != OBJECT_FILE) {
		emit_str(e, "state", "no file has such a size: cut, or left unfinished by a crash");
		return -EUCLEAN;
	}
	uint64_t blocks = size / l->block_len;
	emit_u64(e, "plain_size", size);
	emit_u64(e, "blocks", blocks);
	if (store_pread_full(in->fd, front, sizeof(front), layout_record_off(l, blocks)) ||
	    final_head_parse(l, front, sizeof(front), &head) || head.tail_len != size % l->block_len) {
		emit_str(e, "state", "no final record where its size says: altered, or left unfinished by a crash");
		return -EUCLEAN;
	}
	emit_open(e, "final");
	emit_u64(e, "tail_length", head.tail_len);
	emit_bool(e, "sparse", (head.flags & FINAL_SPARSE) != 0);
	emit_u64(e, "flags", head.flags);
	emit_u64(e, "generation", head.generation);
	emit_close(e);
	return 0;
}

static int show_file(const struct inspected *in, struct emit *e)
{
	struct header h;
	size_t len = in->layout.header_len;
	int r = in->len < len ? -EUCLEAN : header_parse(in->bytes, len, &h);
	if (r)
		return r;
	emit_hex(e, "file_id", h.file_id, ID_LEN);
	emit_u64(e, "suite", h.suite);
	emit_u64(e, "header_size", len);
	show_wraps(&h, e, len == HEADER_LEN_STORE);
	emit_str(e, "binding", header_bound(in->bytes, len) ? "set" : "unbound");
	if (!in->layout.block_len) {
		emit_str(e, "contents", "unknown without the store's block size (--block-size)");
		return 0;
	}
	emit_u64(e, "block_size", in->layout.block_len);
	return show_contents(in, e);
}

static int show_special(const struct inspected *in, struct emit *e)
{
	static const char *const name[] = {"symlink", "fifo", "socket", "character device", "block device"};
	struct special_head head;
	uint64_t size;
	int r = special_peek(in->bytes, in->len, &head);
	if (r)
		return r;
	emit_hex(e, "object_id", head.object_id, ID_LEN);
	if (in->layout.block_len) {
		enum object_type type = layout_classify(&in->layout, in->size, &size);
		if (type < OBJECT_SYMLINK)
			return -EUCLEAN;
		emit_str(e, "type", name[type - OBJECT_SYMLINK]);
		if (type == OBJECT_SYMLINK && head.target_len)
			emit_u64(e, "target_length", head.target_len);
	}
	return head.possible ? 0 : -EUCLEAN;
}

static int show_session(const struct inspected *in, struct emit *e)
{
	struct session s;
	int r = in->size == SESSION_LEN ? session_peek(in->bytes, in->len, &s) : -EUCLEAN;
	if (r)
		return r;
	emit_u64(e, "number", s.number);
	emit_str(e, "state", s.state == SESSION_CLEAN ? "clean" : s.state == SESSION_OPEN ? "open" : "invalid");
	emit_u64(e, "dirty_since", s.dirty_since);
	return s.state == SESSION_CLEAN || s.state == SESSION_OPEN ? 0 : -EUCLEAN;
}

static int show_dirid(const struct inspected *in, struct emit *e)
{
	uint8_t id[ID_LEN];
	int r = in->size == DIRID_LEN ? dirid_peek(in->bytes, in->len, id) : -EUCLEAN;
	if (!r)
		emit_hex(e, "directory_id", id, ID_LEN);
	return r;
}

static int show_sidecar(const struct inspected *in, struct emit *e)
{
	size_t len = name_sidecar_holds(in->size);
	if (!len)
		return -EUCLEAN;
	emit_u64(e, "name_length", len);
	emit_fmt(e, "entry", "%s%s", LONG_PREFIX, in->name + strlen(SIDECAR_PREFIX));
	return 0;
}

static void show_slot(const struct inflight *f, const char *path, struct emit *e)
{
	char name[INFLIGHT_PATH_MAX + 1];
	memcpy(name, path, f->path_len);
	name[f->path_len] = '\0';
	emit_hex(e, "file_id", f->file_id, ID_LEN);
	emit_u64(e, "inode", f->ino);
	emit_str(e, "path", name);
	if (f->disk_size != INFLIGHT_KEEP_SIZE)
		emit_u64(e, "disk_size", f->disk_size);
	emit_list(e, "extents");
	for (uint32_t i = 0; i < f->n_extents; i++) {
		emit_open(e, NULL);
		emit_u64(e, "offset", f->extent[i].disk_off);
		emit_u64(e, "length", f->extent[i].len);
		emit_close(e);
	}
	emit_close(e);
}

static int show_inflight(const struct inspected *in, struct emit *e)
{
	uint8_t *head;
	unsigned valid = 0;
	bool bad = false;
	if (!in->layout.block_len) {
		emit_str(e, "slots", "unknown without the store's block size (--block-size)");
		return 0;
	}
	size_t slot_len = inflight_slot_len(&in->layout);
	if (in->size != (uint64_t)INFLIGHT_SLOTS * slot_len)
		return -EUCLEAN;
	head = malloc(INFLIGHT_HEAD_LEN);
	if (!head)
		return -ENOMEM;
	emit_u64(e, "slot_length", slot_len);
	emit_list(e, "slots");
	for (unsigned i = 0; i < INFLIGHT_SLOTS; i++) {
		struct inflight f;
		const char *path;
		int r = store_pread_full(in->fd, head, INFLIGHT_HEAD_LEN, (uint64_t)i * slot_len);
		if (!r)
			r = inflight_parse(head, slot_len, &in->layout, &f, &path);
		if (r == -ENOENT)
			continue;
		emit_open(e, NULL);
		emit_u64(e, "slot", i);
		emit_str(e, "state", r ? "malformed" : "valid");
		if (!r)
			show_slot(&f, path, e);
		emit_close(e);
		bad = bad || r;
		valid += !r;
	}
	emit_close(e);
	emit_u64(e, "valid", valid);
	free(head);
	return bad ? -EUCLEAN : 0;
}

int inspect_show(const struct inspected *in, enum inspect_kind kind, struct emit *e)
{
	switch (kind) {
	case INSPECT_FILE:
		return show_file(in, e);
	case INSPECT_SPECIAL:
		return show_special(in, e);
	case INSPECT_DIRID:
		return show_dirid(in, e);
	case INSPECT_SIDECAR:
		return show_sidecar(in, e);
	case INSPECT_KEYRING:
		return inspect_show_keyring(in, e);
	case INSPECT_PIN:
		return inspect_show_pin(in, e);
	case INSPECT_SESSION:
		return show_session(in, e);
	case INSPECT_INFLIGHT:
		return show_inflight(in, e);
	case INSPECT_LOCK:
		return 0;
	case INSPECT_STUMP:
		emit_str(e, "state", "0 bytes: a create that a crash cut off, or emptied");
		return 0;
	default:
		return -EUCLEAN;
	}
}
