/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate: unwrapped keys exist only behind it. fs/ borrows them for one request's cryptography (DESIGN.md "The gate"). */
#ifndef KMS_GATE_H
#define KMS_GATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "crypto/keyring.h"
#include "crypto/keys.h"
#include "kms/clock.h"

struct kms;
struct gate;
struct gate_key;

enum gate_state {
	GATE_ACTIVE = 1, /* keys under a lease */
	GATE_GRACE,      /* keys, deadline fixed at entry: the KMS is silent (entered only when grace_ms > lease_ms) */
	GATE_LOCKING,    /* dirty pages are sealed; nothing new */
	GATE_LOCKED,     /* no keys */
	GATE_RETURNING,  /* a good unwrap again; keys are being loaded, requests still refused */
};

enum gate_cause {
	GATE_CAUSE_NONE = 0,
	GATE_CAUSE_REVOKED,   /* the KMS refused */
	GATE_CAUSE_OUTAGE,    /* silence until lease and grace ended */
	GATE_CAUSE_ORDERED,   /* `byokfs lock`, a signal */
	GATE_CAUSE_CLOSED,    /* gate_close() */
	GATE_CAUSE_UNWATCHED, /* whoever watches over this process does not run */
};

/* What a borrower wants to do. */
enum gate_use {
	GATE_USE_NEW = 1, /* anything new: ACTIVE and GRACE with a running lease only */
	GATE_USE_DRAIN, /* sealing what was accepted before: LOCKING too, for the drain limit or until gate_drain_end() */
};

/* Longest grace: 7 days. */
#define GATE_GRACE_MAX_MS (7u * 86400000u)
/* Times between two beats of the gate's thread, at most. */
#define GATE_BEAT_MS 400u
/* So long without a beat of whoever watches, and the gate locks: in time that the gate's thread itself ran. */
#define GATE_WATCHER_MS 3000

/*
 * What the gate shows to a process that watches it, in memory that the two share (DESIGN.md "Two processes"). Written by
 * the gate, but for `beat`, which fs/ raises too for each batch of a locking pass, `stuck` and `watcher`.
 */
struct gate_beacon {
	/*
	 * enum gate_state; LOCKED only when hooks.locked has returned. Read it first: the deadline and the start of LOCKING are
	 * stored before the state that they belong to. ACTIVE or GRACE past the deadline admits nobody: the thread is late.
	 */
	_Atomic int state;
	_Atomic int64_t deadline;      /* ms of CLOCK_BOOTTIME: end of the lease, or of the grace */
	_Atomic int64_t locking_since; /* ms of CLOCK_BOOTTIME; 0 unless LOCKING */
	_Atomic uint64_t beat;         /* the gate's thread lives, or a pass makes progress */
	_Atomic bool
		stuck; /* by fs/, LOCKING: a request hangs in the store's disk, and the lock will not end by itself */
	/*
	 * Raised by whoever watches, each 100 ms: while it does not run, nothing would end what this process leaves behind, so the
	 * gate locks, until it goes on. 0: nobody watches, and nothing comes of it.
	 */
	_Atomic uint64_t watcher;
};

/* A change of state, for the audit log and whoever is to be told. TEXT members live until the hook returns. */
struct gate_change {
	enum gate_state from, to;
	enum gate_cause cause;
	const char *reason;      /* one sentence, "" when ACTIVE */
	const char *key_version; /* of the KEK, as the KMS answered with it last; "" unknown */
	const char *request_id;  /* the KMS's own number of its newest answer; "" when it gives none */
	unsigned took_ms;        /* how long that answer took */
};

/*
 * What fs/ does at a change, called on the gate's thread with no gate lock held, in this order. Each may block; none may
 * call back into the gate except gate_enter()/gate_leave(), gate_drain_end() and gate_status().
 */
struct gate_hooks {
	/* State is LOCKING. Return when everything accepted is sealed or the limit has passed, and the kernel has forgotten. */
	void (*drain)(void *arg, unsigned drain_ms);
	/* Every key is wiped and the state is LOCKED: wipe plaintext buffers too. */
	void (*locked)(void *arg, enum gate_cause cause, const char *reason);
	/* State is ACTIVE again. */
	void (*active)(void *arg);
	/*
	 * Any change of state, and LOCKED again for another cause (from == to): the first ACTIVE in gate_start(), the last
	 * LOCKED in gate_close() unless gate_detach() came first. Before the hooks above are called for it, but when it is in
	 * force already; on whatever thread makes it, possibly under the gate's lock: it must not block nor call the gate.
	 */
	void (*changed)(void *arg, const struct gate_change *c);
	/* Wrap type `file`: single key versions were refused and their DEKs dropped. The kernel must forget those files. */
	void (*files_refused)(void *arg);
	void *arg;
};

struct gate_config {
	const struct keyring *keyring; /* outlives the gate */
	struct kms **kek;   /* n_slots handles in slot order; the gate owns them (not the array) from gate_new() on */
	unsigned poll_ms;   /* 0 = 5000; each interval is drawn from 10 % around it */
	unsigned lease_ms;  /* 0 = 15000; at least 2 x poll */
	unsigned grace_ms;  /* from the last good answer on; none if not above lease_ms; at most GATE_GRACE_MAX_MS */
	unsigned drain_ms;  /* 0 = 2000; an order has 700 at most */
	bool manual_return; /* after a refusal or an outage stay LOCKED until gate_unlock() */
	struct gate_beacon *beacon;                  /* shared with the supervisor; outlives the gate. NULL = none */
	void (*log)(int priority, const char *text); /* syslog priorities; NULL = silent */
};

/* For status, the log, `user.byokfs.state`. */
struct gate_status {
	enum gate_state state;
	enum gate_cause cause;
	char reason[320];      /* one sentence, "" when ACTIVE */
	int64_t since;         /* unix seconds of entering the state */
	int64_t lease_left_ms; /* ACTIVE, else 0 */
	int64_t grace_left_ms; /* GRACE, else 0 */
	int64_t next_probe_ms; /* until the KMS is asked again; 0 = now, or never (ordered) */
	int64_t last_good;     /* unix seconds, 0 = never */
	int64_t last_refusal;
	char request_id[64]; /* the KMS's own number of its newest answer; "" when it gives none */
	unsigned took_ms;    /* how long that answer took */
	uint64_t polls;
	size_t keys_in_memory; /* DEKs */
	size_t keys_cap; /* that fit the limit of locked memory, 0 = no limit; beyond it those least used are dropped */
	uint64_t keys_dropped; /* so far: unwrapped again when they are wanted */
	bool ordered;          /* stays locked until gate_unlock() */
};

const char *gate_state_name(enum gate_state s); /* "active", "grace", "locking", "locked", "returning" */
const char *gate_cause_name(enum gate_cause c); /* "", "revoked", "outage", "ordered", "closed", "unwatched" */

/* Make a gate; no KMS call yet, state LOCKED. -EINVAL for bad times. */
int gate_new(const struct gate_config *cfg, struct gate **out) MUST_CHECK;
/*
 * First unwrap, on the calling thread: LOCKED -> ACTIVE. -EKEYREVOKED (refused), -ETIMEDOUT (silence), -EACCES (our
 * identity), -EINVAL (misconfigured), -EBADMSG (the keyring's box does not open, or the wrap is corrupt). WHY: one sentence.
 */
int gate_open(struct gate *g, char why[320]) MUST_CHECK;
/*
 * Start the gate's thread: polls, watches, orders. HOOKS is copied; NULL, or NULL members: nothing to do there. After a
 * fork, never before one.
 */
int gate_start(struct gate *g, const struct gate_hooks *hooks) MUST_CHECK;
/*
 * Forget the hooks: when this returns none runs any more, and none will. The gate goes on polling and locking. For the time
 * between the end of the fs and gate_close(). Not from a hook. Legal before gate_start() and twice.
 */
void gate_detach(struct gate *g);
/* Lock for good (of the hooks only `changed` is called), stop the thread, wipe, free, close the KMS handles. NULL is legal. */
void gate_close(struct gate *g);

/* Order a lock and wait until LOCKED; WHO goes into the reason. Not from a hook (-EDEADLK). 0 also when it was locked. */
int gate_lock(struct gate *g, const char *who);
/* The same from a signal handler: async-signal-safe, does not wait. */
void gate_lock_signal(struct gate *g);
/* End an ordered lock: probes at once; 0 when ACTIVE, else as gate_open(). */
int gate_unlock(struct gate *g, char why[320]) MUST_CHECK;
/* Make the thread probe now. */
void gate_poke(struct gate *g);

enum gate_state gate_state(const struct gate *g); /* one atomic load; a lease that has ended reads as LOCKING */
void gate_status(struct gate *g, struct gate_status *out);

/*
 * Borrow the keys for one request's cryptography: never across disk I/O that may block long, never across a KMS call,
 * never nested. -EACCES unless the state allows USE (the lease is checked here, on CLOCK_BOOTTIME). On 0 the keys stay
 * until gate_leave() on the same thread.
 */
int gate_enter(struct gate *g, enum gate_use use, const struct store_keys **keys) MUST_CHECK;
void gate_leave(struct gate *g);

/*
 * The key of one file while it is open. Outside enter/leave: these enter by themselves, and with wrap type `file` they
 * call the KMS (up to its timeout), so never on a thread that serves requests there. HEADER is the store's H bytes.
 * create: draws file id and DEK and writes HEADER. open: -EBADMSG for a header that is not the store's (CORRUPT),
 * -EUCLEAN malformed, -ENOTSUP a newer format, -EACCES when locked or refused, -ENOKEY unknown KEK number or generation,
 * -ETIMEDOUT the KMS is silent. May be closed on any thread, but outside enter/leave.
 */
int gate_key_create(struct gate *g, uint8_t *header, struct gate_key **out) MUST_CHECK;
int gate_key_open(struct gate *g, const uint8_t *header, struct gate_key **out) MUST_CHECK;
void gate_key_close(struct gate_key *k); /* wipes; NULL is legal */
/* Told by fs/ when the number of writable handles goes 0 -> 1 or 1 -> 0: such a DEK stays through the drain. */
void gate_key_writable(struct gate_key *k, bool writable);
/*
 * Between enter and leave: the file's keys, valid until leave. After a return from LOCKED, or when the cap dropped them, they
 * are unwrapped again here (`store`), or were loaded before ACTIVE (`file`, which knows no cap: that would cost a KMS call). -EACCES if this one key was refused, -EBADMSG.
 */
int gate_key_borrow(struct gate_key *k, const struct store_keys *store, const struct file_keys **keys) MUST_CHECK;

/* fs/ says that no more WRITE is admitted: GATE_USE_DRAIN ends. Called from the drain hook. */
void gate_drain_end(struct gate *g);

#endif
