/* SPDX-License-Identifier: BSD-2-Clause */
/* State and reason first, times in words, counters that are not zero. */
#include "tools/status_page.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/auto.h"
#include "tools/ask.h"

void status_words(uint64_t seconds, char out[STATUS_WORDS_MAX])
{
	static const struct {
		const char *name;
		uint64_t s;
	} unit[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
	size_t i = 0;

	while (i < 3 && seconds < unit[i].s)
		i++;
	uint64_t n = seconds / unit[i].s, rest = i < 2 ? seconds % unit[i].s / unit[i + 1].s : 0;
	if (rest)
		snprintf(out, STATUS_WORDS_MAX, "%" PRIu64 " %s %" PRIu64 " %s", n, unit[i].name, rest,
			 unit[i + 1].name);
	else
		snprintf(out, STATUS_WORDS_MAX, "%" PRIu64 " %s", n, unit[i].name);
}

/* A mount's answer, while it is put on the page. */
struct page {
	struct emit *e;
	const char *answer;
	int64_t now;
};

static uint64_t number(const struct page *p, const char *key)
{
	return ask_number(p->answer, key);
}

static bool is(const struct page *p, const char *key, const char *value)
{
	AUTO(auto_free) char *text = ask_value(p->answer, key, 0);

	return text && strcmp(text, value) == 0;
}

/* KEY of the answer as NAME, if it says anything. */
static void put_text(const struct page *p, const char *key, const char *name)
{
	AUTO(auto_free) char *text = ask_value(p->answer, key, 0);

	if (text && text[0])
		emit_str(p->e, name, text);
}

/* "locked (revoked) for 3 min, since 2026-11-29 05:40:01 +0000" */
static void put_state(const struct page *p)
{
	AUTO(auto_free) char *state = ask_value(p->answer, "state", 0);
	AUTO(auto_free) char *cause = ask_value(p->answer, "cause", 0);
	char words[STATUS_WORDS_MAX], date[64], times[128] = "";
	time_t since = (time_t)number(p, "since");
	struct tm tm;
	bool why = cause && cause[0];

	status_words(p->now > since ? (uint64_t)(p->now - since) : 0, words);
	if (since && localtime_r(&since, &tm) && strftime(date, sizeof(date), "%F %T %z", &tm) > 0)
		snprintf(times, sizeof(times), " for %s, since %s", words, date);
	emit_fmt(p->e, "state", "%s%s%s%s%s", state ? state : "unknown", why ? " (" : "", why ? cause : "",
		 why ? ")" : "", times);
}

/* The KMS has given the key since the lock, and still it is locked: --restore manual. */
static bool waits_for_order(const struct page *p)
{
	uint64_t good = number(p, "last_good");

	return good > number(p, "since") && good >= number(p, "last_refusal");
}

/* What brings the data back, or what comes next. */
static void put_advice(const struct page *p)
{
	AUTO(auto_free) char *mountpoint = ask_value(p->answer, "mountpoint", 0);

	if (is(p, "state", "grace"))
		emit_str(p->e, "to_do", "make the KMS answer before the grace ends: it is locked then");
	if (!is(p, "state", "locked"))
		return;
	if (is(p, "cause", "ordered") || (!is(p, "cause", "unwatched") && waits_for_order(p)))
		emit_fmt(p->e, "to_do", "byokfs unlock %s", mountpoint ? mountpoint : "MOUNTPOINT");
	else if (is(p, "cause", "unwatched"))
		emit_fmt(p->e, "to_do", "let process %" PRIu64 " run again (kill -CONT %" PRIu64 ")",
			 number(p, "supervisor_pid"), number(p, "supervisor_pid"));
	else if (is(p, "cause", "outage"))
		emit_str(p->e, "to_do", "make the KMS answer");
	else if (is(p, "cause", "revoked"))
		emit_str(p->e, "to_do", "have the key enabled again, by whoever has the KMS");
}

/* What keeps what it has read through the mount after a lock, and what becomes of it. */
static void put_built_on(const struct page *p)
{
	uint64_t all = number(p, "built_on_all");
	unsigned n = 0;

	for (char *what; (what = ask_value(p->answer, "built_on", n)); n++) {
		emit_str(p->e, "built_on_it", what);
		free(what);
	}
	if (all > n)
		emit_fmt(p->e, "built_on_it", "and %" PRIu64 " more", all - n);
	if (n)
		emit_fmt(p->e, "which_means", "%s: unmount it, and losetup -d a loop device",
			 is(p, "state", "locked") ? "what it has cached can still be read"
						  : "a lock will not end what it caches");
}

/* How long the newest answer took, and what the KMS calls it in its own log. */
static void answer_words(const struct page *p, char *out, size_t len)
{
	AUTO(auto_free) char *request = ask_value(p->answer, "kms_request", 0);
	AUTO(auto_free) char *took = ask_value(p->answer, "kms_took_ms", 0);
	bool has = request && request[0];

	if (!took) /* a daemon of an older version */
		return;
	snprintf(out, len, " (%.20s ms%s%.64s)", took, has ? ", request " : "", has ? request : "");
}

/* "granted 2 s ago (21 ms, request 8f3c), asked again in 3 s; the lease ends in 13 s" */
static void put_key(const struct page *p)
{
	uint64_t good = number(p, "last_good"), refusal = number(p, "last_refusal"),
		 newest = good > refusal ? good : refusal;
	uint64_t lease = number(p, "lease_left_s"), grace = number(p, "grace_left_s"), next = number(p, "next_probe_s");
	char ago[STATUS_WORDS_MAX], in[STATUS_WORDS_MAX], left[STATUS_WORDS_MAX];
	bool graced = is(p, "state", "grace"), serves = graced || is(p, "state", "active");
	char answer[128] = "";

	if (newest && !graced)
		answer_words(p, answer, sizeof(answer));
	if (!newest && !serves)
		return;
	status_words(p->now > (int64_t)newest ? (uint64_t)p->now - newest : 0, ago);
	status_words(next, in);
	status_words(graced ? grace : lease, left);
	emit_fmt(p->e, "key", "%s%s%s%s%s%s%s%s",
		 newest == 0       ? "never granted"
		 : good >= refusal ? "granted "
				   : "refused ",
		 newest ? ago : "", newest ? " ago" : "", answer, next ? ", asked again in " : "", next ? in : "",
		 !serves  ? ""
		 : graced ? "; the grace ends in "
			  : "; the lease ends in ",
		 serves ? left : "");
}

static void put_store(const struct page *p)
{
	put_text(p, "mountpoint", "mountpoint");
	put_text(p, "store", "store");
	put_text(p, "store_id", "store_id");
	for (unsigned i = 0;; i++) {
		AUTO(auto_free) char *ref = ask_value(p->answer, "kms", i);
		if (!ref)
			break;
		emit_str(p->e, "kms", ref);
	}
	AUTO(auto_free) char *second = ask_value(p->answer, "kms", 1);
	if (second)
		emit_str(p->e, "policy", is(p, "policy", "any") ? "any of them is enough" : "all of them are needed");
	if (number(p, "read_only"))
		emit_str(p->e, "read_only", "yes");
	if (is(p, "session", "unclean"))
		emit_str(p->e, "session", "unclean after a crash, until byokfs verify has passed");
	else if (!is(p, "session", "clean"))
		put_text(p, "session", "session");
}

/* What is counted, in words; only what is not zero. */
static void put_counters(const struct page *p)
{
	static const struct {
		const char *key, *what;
	} row[] = {
		{"corrupt", "times something damaged was met: EIO, and byokfs verify names it"},
		{"lost_ranges", "ranges of files that read as EIO until they are written again"},
		{"refused_writes", "writes that a lock refused: their fsync or close has told"},
		{"recovered", "ends of files mended since this mount began"},
		{"mended_files", "files in all whose ends were mended since a crash: byokfs verify names them"},
		{"mended_bytes_cut", "bytes in the store were cut off there"},
		{"put_back_files", "files were half written when the machine went down, and are as they were when they "
				   "were last synced: byokfs verify names them"},
		{"audit_lost", "lines of the audit log lost"},
		{"audit_waiting", "lines of the audit log wait for the disk"},
		{"denied", "requests refused while it was locked"},
		{"draining", "files are being sealed"},
		{"sealed_waiting_bytes", "bytes that the lock has sealed are on their way to the disk"},
		{"open_files", "files open"},
		{"keys_in_memory", "keys of files"},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		uint64_t n = number(p, row[i].key);

		if (n)
			emit_fmt(p->e, row[i].key, "%" PRIu64 " (%s)", n, row[i].what);
	}
	put_text(p, "audit_error", "audit_error");
	if (number(p, "lock_all_ms"))
		emit_fmt(p->e, "last_lock", "took %" PRIu64 " ms: %" PRIu64 " bytes sealed, %" PRIu64 " refused",
			 number(p, "lock_all_ms"), number(p, "lock_sealed_bytes"), number(p, "lock_refused_bytes"));
}

void status_page(struct emit *e, const char *answer, int64_t now)
{
	const struct page p = {e, answer, now};

	put_state(&p);
	put_text(&p, "reason", "reason");
	put_advice(&p);
	put_built_on(&p);
	put_key(&p);
	put_store(&p);
	put_counters(&p);
	if (number(&p, "worker_pid"))
		emit_fmt(e, "processes", "supervisor %" PRIu64 ", worker %" PRIu64, number(&p, "supervisor_pid"),
			 number(&p, "worker_pid"));
	put_text(&p, "version", "version");
}
