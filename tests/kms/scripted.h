/* SPDX-License-Identifier: BSD-2-Clause */
/* The tests' KMS, whose answers are scripted: `fake:N` by a unit test in its own memory, `fault:DIR` by a scenario in files. */
#ifndef TESTS_KMS_SCRIPTED_H
#define TESTS_KMS_SCRIPTED_H

#include <stdatomic.h>

#include "crypto/keyring.h"
#include "kms/provider_private.h"

#define FAKES 4

/* What is answered. The word is that of DIR/mode; those without one need what only memory has. */
enum fake_mode {
	FAKE_OK = 0,                /* ok */
	FAKE_REVOKED,               /* refuse: REVOKED "disabled" */
	FAKE_TRANSIENT,             /* down: TRANSIENT, at once */
	FAKE_MISCONFIGURED,         /* misconfigured */
	FAKE_AUTH,                  /* auth */
	FAKE_CORRUPT,               /* corrupt */
	FAKE_THROTTLED,             /* throttled: TRANSIENT "429" */
	FAKE_STRANGER,              /* stranger: TRANSIENT, a 403 that nobody has authenticated */
	FAKE_HANG,                  /* hang: until cancelled; fake: until another mode, fault: until the timeout */
	FAKE_DEAF,                  /* deaf: the same, and hears no cancel */
	FAKE_LATE,                  /* late: deaf, and then says yes */
	FAKE_SLOW,                  /* slow MS: right, after so long; fake: 60 ms */
	FAKE_FLAP,                  /* flap MS: right and REVOKED in turn, each so long; 0 and fake: each call */
	FAKE_JUNK,                  /* garbage: OK with random bytes */
	FAKE_OTHER,                 /* wrongkey: OK with a payload in good form around another key */
	FAKE_EXPIRED,               /* expired: right, but `info` tells a date that is past */
	FAKE_EMPTY,                 /* empty: 0, but no verdict */
	FAKE_LIAR,                  /* liar: 0 with REVOKED */
	FAKE_LIAR2,                 /* liar2: an error with OK */
	FAKE_NOCLASS,               /* noclass: 0 with a class that does not exist */
	FAKE_NOALGORITHM,           /* noalgorithm: wraps by an algorithm that does not exist */
	FAKE_DIE,                   /* die: abort(), a fault of the provider itself */
	FAKE_HANG_FILE,             /* hang-file: hang for the keys of files, ok for the keyring's */
	FAKE_REFUSE_FILE,           /* refuse-file: refuse for the keys of files, ok for the keyring's */
	FAKE_REVOKED_UNTIL_REFRESH, /* a refusal that a new connection ends */
	FAKE_AUTH_UNTIL_REFRESH,
	FAKE_INFO_REFUSED, /* right, but `info` is refused */
	FAKE_UNREADABLE,   /* no word, or none that is known: TRANSIENT "mode" */
};

/* The script of one KMS, and what has been seen of its callers. */
struct fake {
	_Atomic enum fake_mode mode;
	atomic_int version;     /* that a wrap tells */
	atomic_int bad_version; /* this one is refused; -1 = none */
	atomic_int calls, wraps, infos, refreshes, cancels;
	atomic_llong deadline, deadline_info; /* of the newest unwrap, of the newest description */
	atomic_int cancelled;                 /* until a refresh */
	int watch;                            /* eventfd, or -1 */
};

/* Those of fake:0 to fake:3. */
extern struct fake fakes[FAKES];

/* Wraps are real (AES-256-GCM) and bound to nothing, as with RSA: binding is the payload's business. */
extern const struct kms_provider fake_provider;
/*
 * DIR/mode is read at each call. DIR/calls gets a line per call: "MS OP ANSWER", MS of the kernel's CLOCK_REALTIME, OP =
 * wrap or unwrap ":" purpose, or refresh, cancel. A call that waits writes "waits" when it begins and its answer when it
 * ends; it does not notice another mode meanwhile. There is no watch_fd: what is measured is the poll.
 */
extern const struct kms_provider fault_provider;

/* "ok", "revoked", "transient", "misconfigured", "auth", "corrupt"; "unknown". */
const char *fake_class_name(enum kms_class class);
/* Every fake as at the start, and with a watch_fd. */
void fake_reset(void);
/* What fake:I answers from now on. */
void fake_set(int i, enum fake_mode mode);
/* As a change of the key directory would show. */
void fake_notify(int i);
/* An open handle on fake:I, or NULL. */
struct kms *fake_kms_open(unsigned i);
/* A keyring of N KEKs fake:0.., made through custody; KEK gets the open handles. NULL when custody said no. */
struct keyring *fake_keyring(uint32_t n, enum slot_policy policy, enum wrap_type type, struct kms **kek);

#endif
