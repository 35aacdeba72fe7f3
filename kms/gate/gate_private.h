/* SPDX-License-Identifier: BSD-2-Clause */
/* The inside of the gate, shared by kms/gate/ and its tests. */
#ifndef KMS_GATE_PRIVATE_H
#define KMS_GATE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "crypto/header.h"
#include "kms/gate/gate_machine.h"

#define GATE_LIMBO 256u /* keys that the cap takes out at a time */
#define GATE_SHARDS 64u /* borrowers are counted in as many places, so that they do not share a cache line */
#define GATE_WHY_MAX 320u
#define GATE_OTHER_KEYS "the KMS gives other keys than before"
#define GATE_CALLS_MS 300        /* how long a lock waits for cancelled KMS calls */
#define GATE_ORDER_DRAIN_MS 700u /* an order is obeyed within a second, and forgetting takes its time too */

struct gate_shard {
	atomic_uint inside;
	char pad[64 - sizeof(atomic_uint)];
} __attribute__((aligned(64)));

/* The key of one open file. The list is guarded by gate.list_lock; `keys` by being inside the gate (see gate_key.c). */
struct gate_key {
	struct gate *gate;
	struct gate_key *prev, *next;
	_Atomic(struct file_keys *) keys;
	atomic_bool refused; /* wrap type `file`: the KMS refused this one's version */
	atomic_bool writable;
	atomic_bool droppable; /* wrap type `store`: `header` is complete, the key can be had from it again */
	atomic_bool used;      /* since the cap's hand came by */
	int busy;         /* list_lock: the worker has it in hand, close wipes the key and leaves the freeing to it */
	bool closed;      /* list_lock */
	char *version;    /* wrap type `file`: KMS key version of the newest wrap; list_lock */
	uint8_t header[]; /* H bytes, as read or written */
};

/* What the worker found. */
struct gate_answer {
	enum gate_job job;
	struct kms_verdict verdict;
	struct store_keys *keys; /* JOB_PROBE with KMS_OK */
	int64_t started;         /* gate clock, ms */
	bool fresh;              /* after a refresh: confirms */
	int request;             /* number of the newest request when it was asked for */
};

/* A line for the log. */
struct gate_line {
	int priority;
	char text[GATE_WHY_MAX + 192]; /* "" = nothing */
};

/* What the gate's thread has seen of whoever watches; zeroed but for `last`. */
struct gate_watcher {
	uint64_t beat;
	int64_t last, silent_ms;
};

struct gate {
	/* Set by gate_new(), then constant. */
	const struct keyring *keyring;
	struct kms *kek[KEYRING_SLOTS_MAX];
	unsigned drain_ms;
	void (*log)(int priority, const char *text);
	struct gate_beacon *beacon; /* or NULL */
	int64_t (*clock)(void);     /* ms that count a suspend; tests set their own before gate_open() */
	int wake_fd, timer_fd;

	/* The request path, as the machine's actions show it. `store` is written only while nobody is inside nor let in. */
	atomic_int state;
	atomic_llong deadline;   /* end of the lease, or of the grace */
	atomic_llong lease_from; /* start of the newest good answer; earlier than this it cannot be */
	atomic_bool drain_open;
	atomic_llong drain_until; /* end of the drain limit */
	struct store_keys *store;
	struct gate_shard shard[GATE_SHARDS];
	atomic_int probes; /* of the keyring, until their answer is where a lock finds its keys */

	pthread_mutex_t list_lock;
	struct gate_key *keys; /* list_lock */
	struct gate_key *hand; /* list_lock: where the cap goes on looking; NULL = at the first */
	size_t cap;            /* of in_memory; SIZE_MAX = none */
	atomic_size_t in_memory;
	atomic_ullong dropped;

	/* Orders from other threads and from signal handlers. */
	atomic_bool poked, signalled, stop;
	atomic_bool files_refused; /* the hook is owed */

	pthread_mutex_t lock;   /* guards all below; never held in a hook, a KMS call or a wait for borrowers */
	pthread_cond_t changed; /* state, answers */
	pthread_cond_t job_ready;
	struct gate_machine machine; /* its times are constant, and read without the lock */
	char reason[GATE_WHY_MAX];
	int64_t since, last_good, last_refusal; /* unix seconds */
	uint64_t polls;
	bool order_lock, order_unlock, order_detach;
	char order_who[64];
	int answered;               /* newest request with an answer: gate_unlock() waits for its own */
	struct kms_verdict last;    /* newest answer */
	enum gate_state told_state; /* what hooks.changed heard last */
	enum gate_cause told_cause;

	/* The worker (gate_worker.c): one job at a time. */
	enum gate_job job; /* wanted or running */
	int job_request;
	bool job_fresh, job_done;
	bool job_void; /* a lock came since it was asked for: its keys are wiped */
	struct gate_answer answer;
	bool files_wanted; /* the files' own probe */

	/* The gate's thread only. */
	struct gate_hooks hooks;
	struct gate_watcher watcher;
	bool started;
	pthread_t thread, worker, files; /* files: wrap type `file` only, see has_files */
	bool has_files;
	/* Keys that the cap took out, until whoever borrowed one before has left: SHARDS_BUSY has the shards not seen empty. */
	struct file_keys *limbo[GATE_LIMBO];
	size_t n_limbo;
	uint64_t shards_busy;
	bool cap_told;
	bool crowded; /* more keys than the cap, or some in limbo: look again soon */

	/* What the keys must be that come back (crypto/keys.h): made at the first good answer, kept over LOCKED. */
	bool committed;
	uint8_t commit_salt[KEY_LEN], commit[MAC_LEN];
};

/* gate_door.c: who may borrow keys now. */
/* ACTIVE or GRACE, whether the lease has ended or not. */
bool gate_serving(const struct gate *g);
/* Which use this thread entered with; 0 outside. */
enum gate_use gate_use_now(void);
/* Wait until everyone who is inside now has left. */
void gate_quiesce(struct gate *g);
/* Make the gate's thread look. Async-signal-safe. */
void gate_wake(struct gate *g);
int64_t gate_now(const struct gate *g);
int64_t gate_clock(void);

/* gate_show.c: state, beacon, changes, words. */
/* Let all see what A says, TEXT beside it; g->lock is held. LINE gets what is to be logged without it. */
void gate_show(struct gate *g, const struct gate_actions *a, const char *text, struct gate_line *line);
/* LOCKED and all of it done: the beacon may say so. */
void gate_show_locked(struct gate *g);
void gate_beat(struct gate *g);
/* Tell hooks.changed what it has not heard; g->lock is held. */
void gate_tell(struct gate *g);
void gate_say(struct gate *g, int priority, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* gate_carry.c: on the gate's thread, or on any when it does not run; without a lock. */
/*
 * EV through the machine, and what comes of it, hooks included. TEXT: why, for an answer, an order and the close, else NULL.
 * *KEYS are the answer's, else NULL; they are the gate's if they were taken, and NULL then.
 */
struct gate_actions gate_handle(struct gate *g, const struct gate_event *ev, const char *text,
				struct store_keys **keys);
/* The same for A as it came from the KMS. Its keys are taken or freed; its verdict says REVOKED if they are others than before. */
struct gate_actions gate_hear(struct gate *g, struct gate_answer *a);
/* GATE_ORDER_LOCK by WHO. */
void gate_order_lock(struct gate *g, const char *who);

/* gate_wipe.c: wait until nobody is inside (the state lets nobody in any more), then wipe every key. */
void gate_wipe(struct gate *g);

/* gate_worker.c: asks the KMS. */
int gate_worker_start(struct gate *g) MUST_CHECK;
/* Ask for a job; the gate's thread. */
void gate_worker_ask(struct gate *g, enum gate_job job, bool fresh);
/* Take the answer, if there is one. Its keys are the caller's. */
bool gate_worker_take(struct gate *g, struct gate_answer *out) MUST_CHECK;
/* Wipe the keys of an answer not yet taken, and of the one to the question under way: a lock has come since it was put. */
void gate_worker_void(struct gate *g);
void gate_worker_stop(struct gate *g);
/* Ask the KMS on this thread. FRESH: drop connections first. */
void gate_ask(struct gate *g, bool fresh, struct gate_answer *out);
void gate_cancel_calls(struct gate *g);

/* gate_watcher.c: BEAT is what it shows at NOW, in ms of CLOCK_MONOTONIC. True when it has been silent for too long. */
bool gate_watcher_look(struct gate_watcher *w, uint64_t beat, int64_t now);
#define GATE_UNWATCHED_WHY "the supervisor is stopped or hangs, and nobody else watches over this mount"

/* gate_thread.c */
int gate_thread_start(struct gate *g) MUST_CHECK;
void gate_thread_stop(struct gate *g);

/* The one algorithm of wrap type `store` (FORMAT.md "Header"). */
#define STORE_WRAP_AES256GCM 1u

/* gate_key.c */
/* In the list, without keys. HEADER may be NULL. */
struct gate_key *gate_key_new(struct gate *g, const uint8_t *header);
/* What a failed KMS call (ERROR, V) means for one file; the gate itself asks about the keyring at once. */
int gate_file_error(struct gate *g, int error, const struct kms_verdict *v);
int gate_key_note_version(struct gate_key *k, const char *version) MUST_CHECK;
/* Wipe every file's keys; list_lock is held and nobody is inside. */
void gate_keys_wipe(struct gate *g);
/*
 * Put KEYS (ownership moves) into K unless it has some already; inside the gate. Returns the keys K has then: they are valid
 * until gate_leave() even when the cap takes them out again.
 */
struct file_keys *gate_key_install(struct gate_key *k, struct file_keys *keys);
/* Wipe the keys that were refused, but those that accepted pages still need; waits until nobody is inside. */
void gate_keys_drop_refused(struct gate *g);
/* Take K's keys out and wipe them; nobody may be using them. */
void gate_key_wipe(struct gate_key *k);
void gate_key_free(struct gate_key *k);
/* Wrap type `file`: ask the KMS for the payload (PAYLOAD_LEN bytes of secret memory) of wrap I of K's header. */
int gate_key_ask(struct gate_key *k, const struct header *h, int i, uint8_t *payload, struct kms_verdict *v) MUST_CHECK;
/* Check a payload of wrap I and make the file's keys; inside the gate, or under list_lock in RETURNING. */
int gate_key_accept(struct gate_key *k, const struct header *h, int i, const uint8_t *payload,
		    struct file_keys **out) MUST_CHECK;

/* gate_cap.c: on the gate's thread. */
void gate_cap_set(struct gate *g);
/* Drop keys when there are too many; never waits. True if it is to be called again soon. */
bool gate_cap_keep(struct gate *g);
/* Wipe what is in limbo; nobody is inside. */
void gate_cap_wipe(struct gate *g);

/* gate_files.c: wrap type `file`, on the worker. */
/* RETURNING: load what is not in memory (one KMS unwrap each). */
void gate_keys_load(struct gate *g);
/* ACTIVE: unwrap one wrap per key version in memory; drop those refused, load those refused before. */
void gate_keys_probe(struct gate *g);

#endif
