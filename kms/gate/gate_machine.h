/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's one decision maker: what each event does in each state, as a pure function (tests/model/gate.pml beside it). */
#ifndef KMS_GATE_MACHINE_H
#define KMS_GATE_MACHINE_H

#include "kms/gate.h"
#include "kms/provider.h"

#define GATE_FAST_MS 300000  /* LOCKED: so long at the normal pace ... */
#define GATE_SLOW_MS 30000   /* ... then at this one */
#define GATE_CONFIRM_MS 1000 /* a refusal that could not be confirmed is asked about again so soon */
#define GATE_WATCH_GAP_MS 50 /* changes and pokes: one probe in so long at most */
#define GATE_NEVER INT64_MAX

/*
 * All that decides. Every moment is in ms of one clock that counts a suspend; gate_step() is told which one it is now. State
 * is LOCKING from the moment that keys must go until GATE_WIPED, from wherever it began.
 */
struct gate_machine {
	int64_t poll_ms, lease_ms, grace_ms;
	uint32_t
		dice; /* not 0: intervals between polls differ by up to 10 %, so that a thousand stores do not ask at once */
	bool manual_return; /* after a refusal or an outage a person decides */

	enum gate_state state;
	enum gate_cause cause;
	int64_t lease_end; /* of the newest good answer */
	int64_t deadline;  /* ACTIVE: end of the lease; GRACE: of the grace, fixed when it begins */
	int64_t locked_at; /* the pace of the questions counts from here */

	int64_t next_probe;
	int64_t asked_at; /* when the newest probe was asked for */
	int64_t watch_at; /* earliest probe for a change or a poke, 0 = none wanted */
	bool asking;      /* a probe, or the loading of files' keys, is under way */
	bool ask_again; /* the next probe follows the one under way at once: that one may have looked before a change */
	bool ask_fresh; /* the next probe drops connections and credentials first */

	bool opening;              /* in gate_open() */
	bool refusal_unconfirmed;  /* serving, and one refusal was heard */
	bool credential_refreshed; /* serving, and a bad credential was tried afresh already */
	bool good_unconfirmed;     /* locked by a refusal, and one good answer was heard */
	bool ordered;              /* a person locked: no probe until a person unlocks */
	bool unwatched;            /* nobody watches over this process: no probe until somebody does */
	bool held;                 /* manual_return: probes go on, and a person lets in */
	bool told_back;            /* held, and it was said that the key is back */
	int request;   /* number of the newest order to unlock; a probe carries the one it was asked under */
	int unlocking; /* the order to unlock that no answer has settled yet, 0 = none: a person has decided */
};

enum gate_event_kind {
	GATE_OPEN = 1,      /* gate_open(): the first question */
	GATE_ANSWER,        /* of a probe, with the members below */
	GATE_LOADED,        /* open files have their keys again, as far as the KMS gave them */
	GATE_TIME,          /* however much of it has passed; the only event that asks for probes */
	GATE_ORDER_LOCK,    /* byokfs lock, a signal */
	GATE_ORDER_UNLOCK,  /* byokfs unlock */
	GATE_POKED,         /* probe soon: the key may have changed */
	GATE_UNWATCHED,     /* whoever watches has stopped: `text` is why */
	GATE_WATCHED,       /* ... and runs again */
	GATE_FILES_REFUSED, /* wrap type `file`: keys of single versions were dropped */
	GATE_WIPED,         /* what `shut` asked for is done */
	GATE_CLOSING,       /* gate_close() */
};

struct gate_event {
	enum gate_event_kind kind;
	enum kms_class class; /* other keys than before count as REVOKED. 0: void, a lock came since; or no answer */
	bool fresh;           /* connections were dropped first: it confirms */
	int64_t started;      /* when it was asked: the lease counts from there */
	int request;          /* gate_machine.request at that time */
};

/* What is asked of the worker. */
enum gate_job {
	JOB_NONE = 0,
	JOB_PROBE,
	JOB_LOAD, /* the keys of open files */
};

/* What there is to say: reason and log line are in gate_show.c. TEXT is the verdict's sentence, or the order's. */
enum gate_word {
	GATE_SAY_NOTHING = 0,
	GATE_SAY_OPENED,
	GATE_SAY_REFUSED_ONCE,
	GATE_SAY_SILENT,
	GATE_SAY_GRACE_BEGINS,
	GATE_SAY_GRACE_ENDS,
	GATE_SAY_LOCKING,    /* TEXT is why */
	GATE_SAY_LEASE_OVER, /* so it is locking */
	GATE_SAY_GRACE_OVER,
	GATE_SAY_LOCKED,
	GATE_SAY_CLOSED,
	GATE_SAY_REASON, /* TEXT becomes the reason, without a line in the log */
	GATE_SAY_STILL_LOCKED,
	GATE_SAY_HELD,
	GATE_SAY_LOADING,
	GATE_SAY_SERVING_AGAIN,
};

/* What gate_step() wants done, in this order (gate_carry.c). */
struct gate_actions {
	bool take_keys;       /* the answer's keys become the gate's */
	enum gate_state show; /* what the door and everybody else sees from now on; 0: no change */
	bool tell;            /* ... and hooks.changed hears of it */
	enum gate_word say;
	bool shut;                          /* cancel KMS calls; drain; wipe; then GATE_WIPED */
	bool drain;                         /* requests were let in before: hooks.drain has work */
	bool wipe;                          /* LOCKED as before, but cancel and wipe what a probe may have brought */
	bool locked, active, files_refused; /* the hooks */
	bool load;                          /* load open files' keys if the wrap type is `file`; then GATE_LOADED */
	bool probe;
	bool fresh;      /* ... after dropping connections */
	int64_t wake_at; /* GATE_TIME is due then at the latest, GATE_NEVER if no time is set */
};

/* LOCKED without a cause; times in ms as struct gate_config has them, none of them 0 but GRACE_MS. The dice are not thrown. */
struct gate_machine gate_machine_new(int64_t poll_ms, int64_t lease_ms, int64_t grace_ms, bool manual_return);
/*
 * EV happens at NOW: change M, and return what is to be done before the next event. No clock, no lock, no KMS, no allocation.
 * The caller's lock guards M. Any event is legal in any state but LOCKING, which knows GATE_WIPED only.
 */
struct gate_actions gate_step(struct gate_machine *m, const struct gate_event *ev, int64_t now) MUST_CHECK;

#endif
