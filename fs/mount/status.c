/* SPDX-License-Identifier: BSD-2-Clause */
/* What `byokfs status` is told: one `key value` line for each fact. */
#include "fs/mount/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/audit/audit.h"
#include "fs/store/journal.h"
#include "fs/store/written.h"
#include "fs/watch/built_on.h"
#include "fs/watch/supervise.h"

static void put_escaped(FILE *out, const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		if (*p < 0x20 || *p == 0x7f || *p == '\\')
			fprintf(out, "\\%03o", *p);
		else
			fputc(*p, out);
	}
}

static void put_text(FILE *out, const char *key, const char *value)
{
	fprintf(out, "%s ", key);
	put_escaped(out, value);
	fputc('\n', out);
}

static void put_number(FILE *out, const char *key, uint64_t value)
{
	fprintf(out, "%s %" PRIu64 "\n", key, value);
}

static void put_gate(FILE *out, struct gate *g)
{
	struct gate_status st;

	gate_status(g, &st);
	put_text(out, "state", gate_state_name(st.state));
	put_text(out, "cause", gate_cause_name(st.cause));
	put_text(out, "reason", st.reason);
	put_number(out, "since", (uint64_t)st.since);
	put_number(out, "lease_left_s", (uint64_t)((st.lease_left_ms + 999) / 1000));
	put_number(out, "grace_left_s", (uint64_t)((st.grace_left_ms + 999) / 1000));
	put_number(out, "next_probe_s", (uint64_t)((st.next_probe_ms + 999) / 1000));
	put_number(out, "last_good", (uint64_t)st.last_good);
	put_number(out, "last_refusal", (uint64_t)st.last_refusal);
	put_number(out, "kms_took_ms", st.took_ms);
	put_text(out, "kms_request", st.request_id);
	put_number(out, "polls", st.polls);
	put_number(out, "keys_in_memory", st.keys_in_memory);
	put_number(out, "keys_cap", st.keys_cap);
	put_number(out, "keys_dropped", st.keys_dropped);
	put_number(out, "ordered", st.ordered != 0);
}

static void put_store(FILE *out, const struct store *s)
{
	const struct keyring *k = s->keyring;

	put_text(out, "store", s->path);
	fputs("store_id ", out);
	for (size_t i = 0; i < ID_LEN; i++)
		fprintf(out, "%02x", k->store_id[i]);
	fputc('\n', out);
	for (uint32_t i = 0; i < k->n_slots; i++)
		put_text(out, "kms", k->slot[i].ref);
	put_text(out, "policy", k->policy == POLICY_ANY ? "any" : "all");
	put_text(out, "wrap", k->wrap_type == WRAP_FILE ? "file" : "store");
	put_number(out, "block_size", k->layout.block_len);
	put_number(out, "keyring_sequence", k->sequence);
	put_text(out, "session", s->stale ? "put back" : s->unclean ? "unclean" : "clean");
	put_number(out, "read_only", s->read_only);
}

static void put_fs(FILE *out, struct fs *fs, const struct store *s)
{
	struct fs_stats st = {0};
	struct fs_lock_report report;
	struct written_mends mends;
	struct journal_stat j = {0};

	fs_stats(fs, &st);
	written_mends(s->written, &mends);
	if (s->journal)
		journal_stat(s->journal, &j);
	put_number(out, "cached_inodes", st.cached_inodes);
	put_number(out, "open_files", st.open_files);
	put_number(out, "lost_ranges", st.lost_ranges);
	put_number(out, "refused_writes", st.refused_writes);
	put_number(out, "corrupt", st.corrupt);
	put_number(out, "recovered", st.recovered);
	put_number(out, "mended_files", mends.files);
	put_number(out, "mended_bytes_cut", mends.bytes);
	put_number(out, "put_back_files", mends.back);
	put_number(out, "journal_bytes", j.ring_len);
	put_number(out, "journal_bytes_used", j.used);
	put_number(out, "journal_entries", j.in_force);
	put_number(out, "journal_entries_put", j.put);
	put_number(out, "draining", st.draining);
	put_number(out, "sealed_waiting_bytes", st.sealed_waiting_bytes);
	fs_last_lock(fs, &report);
	put_number(out, "lock_sealed_bytes", report.sealed_bytes);
	put_number(out, "lock_refused_bytes", report.refused_bytes);
	put_number(out, "lock_inodes", report.inodes);
	put_number(out, "lock_contents_ms", report.contents_ms);
	put_number(out, "lock_all_ms", report.all_ms);
}

static void put_audit(FILE *out, struct audit *a)
{
	struct audit_stats st;

	audit_stats(a, &st);
	put_number(out, "audit_lines", st.lines);
	put_number(out, "audit_waiting", st.waiting);
	put_number(out, "audit_lost", st.lost);
	put_text(out, "audit_error", st.error < 0 ? strerror(-st.error) : "");
	put_number(out, "denied", st.denied);
}

/* A look of now: the one of the lock may be hours old. */
static void put_built_on(FILE *out, const struct control_config *cfg)
{
	struct built_on found;

	(void)(built_on_here(cfg->worker->mount.id, cfg->mountpoint, &found) ==
	       0); /* what was found is there in any case */
	for (size_t i = 0; i < found.n && i < BUILT_ON_MAX; i++)
		put_text(out, "built_on", found.what[i]);
	put_number(out, "built_on_all", found.n);
}

/* `pid` is the process that signals go to. */
static void put_processes(FILE *out, const struct worker *w)
{
	put_number(out, "pid", (uint64_t)w->supervisor);
	put_number(out, "supervisor_pid", (uint64_t)w->supervisor);
	put_number(out, "worker_pid", (uint64_t)getpid());
	put_text(out, "abort", w->abort_how);
	put_number(out, "mount_id", (uint64_t)w->mount.id);
}

int status_text(const struct control_config *cfg, char **out)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	put_gate(f, cfg->gate);
	put_processes(f, cfg->worker);
	put_number(f, "connected", fs_connected(cfg->fs));
	put_text(f, "version", BYOKFS_VERSION);
	put_text(f, "mountpoint", cfg->mountpoint);
	put_store(f, cfg->store);
	put_fs(f, cfg->fs, cfg->store);
	put_built_on(f, cfg);
	put_audit(f, cfg->audit);
	if (fclose(f)) {
		free(text);
		return -ENOMEM;
	}
	*out = text;
	return 0;
}
