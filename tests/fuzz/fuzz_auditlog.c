/* SPDX-License-Identifier: BSD-2-Clause */
/* An audit log as it lies in a store: how its end is found at a mount, reading, checking. True lines altered, or any bytes. */
#include "tests/fuzz/fuzz.h"

#include "fs/audit/audit_check.h"
#include "fs/audit/audit_file.h"
#include "tests/fuzz/fuzz_rig.h"

#define SESSIONS 3
#define LINES 4
#define LOG_MAX 65536u
#define FAR 2000u /* lines of a session: further ones are right and slow */

static struct rig *rig;
static char log_bytes[LOG_MAX], true_log[LOG_MAX];
static size_t log_len, true_len;
static struct audit_end true_end;

static void make_true(void)
{
	const struct store_keys *keys;
	struct audit_key *key;
	struct audit_chain *c;
	struct audit_text t = {0};
	uint8_t prev[MAC_LEN] = {0};
	size_t len;

	MUST(gate_enter(rig->gate, GATE_USE_NEW, &keys) == 0);
	MUST(audit_key_new(keys, &key) == 0);
	gate_leave(rig->gate);
	for (uint64_t session = 1; session <= SESSIONS; session++) {
		MUST(audit_chain_new(key, session, &c) == 0);
		for (int line = 0; line < LINES; line++) {
			audit_text_begin(&t, 1700000000000, "fuzz");
			audit_text_u64(&t, "n", session);
			const struct audit_seal what = {&t, session == 1 ? AUDIT_NEW : AUDIT_WHOLE, 0};
			MUST(audit_chain_seal(c, &what, prev, true_log + true_len, &len) == 0);
			true_len += len;
		}
		audit_chain_free(c);
	}
	audit_key_free(key);
	true_end = (struct audit_end){.session = SESSIONS, .line = LINES, .length = true_len};
	memcpy(true_end.store_id, rig->store->keyring->store_id, ID_LEN);
	memcpy(true_end.mac, prev, MAC_LEN);
}

/* Line NO of the true log. */
static size_t line_at(unsigned no, size_t *len)
{
	size_t at = 0;

	for (;; at += *len) {
		*len = (size_t)((char *)memchr(true_log + at, '\n', true_len - at) + 1 - (true_log + at));
		if (no-- == 0)
			return at;
	}
}

static void put(const char *bytes, size_t len)
{
	if (len > LOG_MAX - log_len)
		len = LOG_MAX - log_len;
	memcpy(log_bytes + log_len, bytes, len);
	log_len += len;
}

/* Each byte of the input puts a true line, in whatever order, or the two behind it change the last one. */
static void assemble(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size && i < 64; i++) {
		size_t len, at = line_at(data[i] % (SESSIONS * LINES), &len);

		if (data[i] < 192) {
			put(true_log + at, len);
		} else if (i + 2 < size && log_len > 0) {
			size_t back = data[i + 1] * 2u % log_len;
			if (data[i] & 1)
				log_bytes[log_len - 1 - back] = (char)data[i + 2];
			else
				log_len -= back;
			i += 2;
		}
	}
}

static void count(void *arg, const struct audit_problem *p)
{
	MUST(p->text[0] && audit_trouble_name(p->trouble)[0]);
	++*(uint64_t *)arg;
}

/* Pieces follow one another without a gap to the end of the file. True if no number in them is far away. */
static bool read_through(void)
{
	struct audit_reader *r = malloc(sizeof(*r));
	struct audit_piece p;
	struct audit_line l;
	uint64_t at = 0;
	bool near = true;
	int got;

	MUST(r && audit_reader_open(r, rig->store->own_fd) == 0);
	while ((got = audit_reader_next(r, &p)) == 1) {
		MUST(p.end == at + p.len + p.ended && p.end > at);
		at = p.end;
		if (!p.too_long && audit_line_parse(p.text, p.len, &l) == 0)
			near = near && l.line < FAR && l.torn <= LOG_MAX;
	}
	MUST(got == 0 && at == log_len);
	audit_reader_close(r);
	free(r);
	return near;
}

static void check(bool known)
{
	uint64_t told = 0;
	const struct audit_check_config cfg = {rig->store, rig->gate, false, count, &told};
	struct audit_checked out;

	MUST(audit_check(&cfg, &out) == 0 && out.damage + out.notes == told && out.end_known == known);
	/* Nothing but the true log passes for it. */
	if (known)
		MUST((told == 0) == (log_len == true_len && memcmp(log_bytes, true_log, true_len) == 0));
}

/* Let the host know the true log's end, or none. */
static void remember(bool known)
{
	static int last = -1;
	struct audit_end end = true_end;
	struct audit_file f;

	if (last == known)
		return;
	last = known;
	if (!known)
		end.session = end.line = 0;
	MUST(audit_file_open(&f, rig->store) == 0 && audit_file_remember(&f, &end) == 0);
	audit_file_close(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_file f;

	if (!rig) {
		rig = fuzz_rig();
		make_true();
	}
	if (size < 1)
		return 0;
	log_len = 0;
	if (data[0] & 1)
		put((const char *)data + 1, size - 1);
	else
		assemble(data + 1, size - 1);
	int fd = openat(rig->store->own_fd, STORE_AUDIT, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	MUST(fd >= 0 && store_pwrite_full(fd, log_bytes, log_len, 0) == 0);
	close(fd);
	const bool known = data[0] & 2;
	remember(known);
	MUST(audit_file_open(&f, rig->store) == 0);
	MUST(f.length == log_len && f.torn <= log_len && f.found >= AUDIT_NEW && f.found <= AUDIT_MISSING);
	audit_file_close(&f);
	if (read_through())
		check(known);
	return 0;
}
