/* SPDX-License-Identifier: BSD-2-Clause */
/* The gate's door, states and worker as a model for spin: who may use keys when, and when they are gone. */
/*
 * Modelled, with the C function at each step: kms/gate/gate_machine.c (what an answer, an order and time do: one inline here
 * for one function there, by the same name), gate_carry.c (its actions, carried out), gate_door.c (door, quiesce),
 * gate_wipe.c, gate_thread.c (turns), gate_worker.c, gate_files.c (loading after a return, wrap type `file`).
 *   - A borrower for ever at the door, with either use and either count (shard): none of the properties is about two.
 *   - The gate's thread, the worker; a KMS that says yes, another key, no, nothing, or hangs for ever; orders to lock and
 *     to unlock at any moment; a clock that runs on at any moment: the lease runs, is nearly over, is over, is long over.
 *   - Every access to what two threads share is a step of its own and sequentially consistent, as in the code (no
 *     memory_order_* is given). What one thread alone uses is set in the same step.
 * Not modelled: gate_open() (one thread), gate_detach(), poll intervals (a probe may be due at any moment), the 50 ms
 * between watched changes, key versions (one file has one key), cancelling (a silent answer at any moment covers it).
 * The drain hook is one step here: pages.pml has it. To keep the states few there are three runs: ORDERS
 * (orders to lock and unlock, the lease runs), WATCH (whoever watches stops and goes on at any moment, the lease runs), and
 * without (the KMS stops giving the key at some moment). WRAP_FILE: wrap type `file` instead of `store`.
 *
 * Properties (run.sh names them):
 *   P1 after LOCKED is announced nobody passes the door until a new unwrap           assert in Borrower
 *   P4 no key in memory when LOCKED is announced, or in use when it is wiped         asserts in gate_wipe(), Borrower
 *   P6 cause `revoked` while the lease runs: only after a refusal confirmed fresh    assert in answer_serving()
 *   P3 LOCKING always ends                                                          ltl p3
 *   P7 once the KMS gives no key any more, LOCKED always comes                       ltl p7
 *   P9 once nobody watches any more, LOCKED always comes, and nobody is let in       ltl p9, assert in let_in()
 * Mutations: each must make one of them fail.
 *   BUG_1 state looked at before counting      BUG_2 wipe before quiesce      BUG_3 loading does not look at the state
 *   BUG_4 an order to unlock lets in at once    BUG_5 a refused crowd keeps the counts busy
 *   BUG_6 one refusal locks                     BUG_7 an answer that came too late keeps its keys
 *   BUG_8 the end of the lease is left to the request path
 *   BUG_9 an answer lets in though nobody watches     BUG_10 who watches again lets in, without the KMS
 *   BUG_11 what loads when nobody watches any more goes on
 *   BUG_12 who serves when nobody watches any more goes on
 */
#define ACTIVE 1
#define GRACE 2
#define LOCKING 3
#define LOCKED 4
#define RETURNING 5

#define NONE 0
#define PROBE 1
#define LOAD 2

#define OK 1     /* the very same key */
#define NO 2     /* refused; another key than before counts as this while serving */
#define SILENT 3

#define RUNS 0 /* the lease */
#define NEARLY 1
#define OVER 2
#define LONG_OVER 3 /* by more than drain_ms + 1000 */

byte state = ACTIVE;
bit drain_open = 1;
byte time = RUNS; /* clock() against deadline */
byte inside[2];
bit store = 1; /* g->store */
bit fkey = 1;  /* gate_key.keys */
bit list_lock = 0;
bit kms_calls = 0;

bit gone = 0;      /* beacon.watcher stands still */
bit unwatched = 0; /* struct gate_machine */

bit want_lock = 0, want_unlock = 0;
bit ordered = 0, asking = 0, refusal_unconfirmed = 0, ask_fresh = 0; /* struct gate_machine */

byte job = NONE;
bit job_fresh = 0, job_done = 0;
byte ans = 0; /* g->answer */
bit ans_keys = 0;
bit job_void = 0; /* a lock came since it was asked for: no keys from it */

/* What only the properties look at. */
bit told = 0;   /* LOCKED was announced, and no unwrap since */
bit no_key = 0; /* the KMS gives no key any more */

/* gate_enter(); s, ok: the caller's */
inline gate_enter(sh, drain)
{
	atomic {
		if
#ifdef BUG_5
		:: state == LOCKED || state == RETURNING || (state == LOCKING && !drain) -> ok = 0
#else
		:: state == LOCKED || state == RETURNING || (state == LOCKING && (!drain || !drain_open)) -> ok = 0
#endif
		:: else -> ok = 1
		fi
	};
	if
	:: !ok
	:: else ->
		inside[sh]++;
#ifndef BUG_1
		s = state; /* gate_admits() */
		atomic {
			if
			:: s == LOCKING -> ok = drain && drain_open
			:: s == ACTIVE || s == GRACE -> ok = time < OVER || (drain && time < LONG_OVER)
			:: else -> ok = 0
			fi;
			s = 0
		};
		if
		:: !ok -> inside[sh]--
		:: else
		fi
#endif
	fi
}

/* ops of fs/: gate_enter(), gate_key_borrow(), cryptography, gate_leave() */
active proctype Borrower()
{
	byte s = 0;
	bit ok = 0, sh = 0, drain = 0;
end:
	do
	:: atomic {
		if
		:: sh = 0
		:: sh = 1
		fi;
		if
		:: drain = 0 /* GATE_USE_NEW */
		:: drain = 1
		fi
	   }
	   gate_enter(sh, drain);
	   if
	   :: atomic { ok -> assert(!told && store) } /* P1; P4: *keys = g->store */
#ifndef WRAP_FILE
		fkey = 1; /* gate_key_borrow(): store_unwrap(), gate_key_install() */
#endif
		atomic { assert(store); ok = 0; inside[sh]--; sh = 0; drain = 0 } /* P4: still there at the end; gate_leave() */
	   :: else -> atomic { sh = 0; drain = 0 }
	   fi
	od
}

/* gate_wipe() */
inline gate_wipe()
{
#ifndef BUG_2
	inside[0] == 0; /* gate_quiesce(): one count after the other */
	inside[1] == 0;
#endif
	if
	:: kms_calls == 0
	:: true /* gate_await_calls() has waited 300 ms: what such a call has in memory is wiped when it returns */
	fi;
	atomic { list_lock == 0 -> list_lock = 1; store = 0 };
	atomic { fkey = 0; list_lock = 0 }
#ifndef BUG_7
	; atomic { /* gate_worker_void(), under g->lock */
		job_void = (job == PROBE && !job_done);
		if
		:: ans_keys -> ans_keys = 0; ans = SILENT
		:: else
		fi
	}
#endif
}

/* wiped(): GATE_WIPED */
inline wiped()
{
	atomic {
		state = LOCKED;
		assert(!store && !fkey && !ans_keys); /* P4 */
		told = 1; refusal_unconfirmed = 0; ask_fresh = 1; time = RUNS
	}
}

/* shut() and carry_shut(); a door that let nobody in is LOCKED at once */
inline shut()
{
	if
	:: state == ACTIVE || state == GRACE -> state = LOCKING /* hooks.drain: pages.pml; it ends with gate_drain_end() */
	:: else
	fi;
	drain_open = 0;
	if
	:: state == RETURNING -> state = LOCKED
	:: else
	fi;
	gate_wipe();
	wiped()
}

/* let_in() and gate_show(): deadline, drain_open, state */
inline let_in()
{
	assert(!unwatched); /* P9 */
	time = RUNS;
	drain_open = 1;
	atomic { state = ACTIVE; ask_fresh = 0 }
}

inline answer_serving()
{
	if
	:: a == NO ->
		if
#ifdef BUG_6
		:: true -> assert(refusal_unconfirmed && a_fresh); shut()
#else
		:: refusal_unconfirmed && a_fresh -> shut() /* P6 */
#endif
		:: else -> atomic { refusal_unconfirmed = 1; ask_fresh = 1 }
		fi
	:: a == OK -> atomic { refusal_unconfirmed = 0; time = RUNS; state = ACTIVE }
	:: a == SILENT -> ask_fresh = 1 /* refreshed, or to confirm */
	:: a == SILENT && !refusal_unconfirmed
	fi
}

/* locked_good() and locked_bad(): custody_open() has opened the box, so it is the key. GATE_LOADED at once with `store` */
inline answer_locked()
{
	if
	:: a == OK ->
		atomic { told = 0; state = RETURNING };
		store = 1;
#ifdef WRAP_FILE
		atomic { job = LOAD; asking = 1 }
#else
		let_in()
#endif
	:: else -> ask_fresh = 1
	fi
}

inline answer_returning()
{
	if
	:: a_job == PROBE && a != OK -> shut()
	:: a_job == LOAD -> atomic { job_fresh = 0; job = PROBE; asking = 1 } /* loading took longer than the lease */
	:: a_job == LOAD || a == OK -> let_in()
	fi
}

/* gate_hear() and take_answer(); at the end of it store_keys_free(a.keys) */
inline take_answer()
{
	atomic { a_job = job; a = ans; a_fresh = job_fresh; job_fresh = 0; job = NONE; job_done = 0; ans = 0; ans_keys = 0; asking = 0 };
	if
	:: (state == ACTIVE || state == GRACE) && a_job == PROBE -> answer_serving()
#ifdef BUG_9
	:: state == LOCKED && !ordered && a_job == PROBE -> answer_locked()
#else
	:: state == LOCKED && !ordered && !unwatched && a_job == PROBE -> answer_locked()
#endif
	:: state == RETURNING -> answer_returning()
	:: else
	fi;
	atomic { a = 0; a_job = 0; a_fresh = 0 }
}

#define SERVING (state == ACTIVE || state == GRACE)

/* look_at_watcher(): unwatched(), watched(). Three seconds of silence are one step here */
inline look_at_watcher()
{
	if
	:: atomic { gone && !unwatched -> unwatched = 1 }
		if
#ifndef BUG_12
		:: SERVING -> shut()
#endif
#ifndef BUG_11
		:: state == RETURNING -> shut()
#endif
		:: else
		fi
	:: atomic { !gone && unwatched -> unwatched = 0 }
#ifdef BUG_10
		if
		:: state == LOCKED && !ordered -> let_in()
		:: else
		fi
#endif
	:: else
	fi
}

/* thread_main(): one turn, in this order, whenever thread_sleep() has something to wake up for */
active proctype Gate()
{
	byte a = 0, a_job = 0;
	bit a_fresh = 0;
end:
	do
	:: want_lock || want_unlock || job_done || (SERVING && time != RUNS) || (!asking && !ordered && !unwatched) || gone != unwatched ->
		/* take_orders(): order_lock(), order_unlock() */
		if
		:: atomic { want_lock -> ordered = 1 }
			if
			:: state == LOCKED
			:: else -> shut()
			fi;
			want_lock = 0
		:: atomic { want_unlock && !want_lock -> want_unlock = 0; ordered = 0 }
#ifdef BUG_4
			if
			:: state == LOCKED -> store = 1; let_in()
			:: else
			fi
#endif
		:: else
		fi;
#ifdef WATCH
		look_at_watcher();
#endif
		if
		:: job_done -> take_answer()
		:: else
		fi;
		/* take_time(); grace_ms > 0, or not */
		if
		:: atomic { state == ACTIVE && time == NEARLY && !refusal_unconfirmed -> time = RUNS }
			state = GRACE /* deadline first */
		:: state == ACTIVE && time == NEARLY
#ifndef BUG_8
		:: SERVING && time >= OVER -> shut()
#endif
		:: else
		fi;
		if
		:: atomic { !asking && !ordered && !unwatched && (state == LOCKED || SERVING) -> /* probe_if_due() */
			job_fresh = ask_fresh; job = PROBE; asking = 1; ask_fresh = 0 }
		:: else
		:: !asking && !ordered && !unwatched /* not due */
		fi
	od
}

/* worker_main(), gate_ask(), custody_open(), gate_keys_load() */
active proctype Worker()
{
	byte v = 0;
end:
	do
	:: atomic { job == PROBE && !job_done -> kms_calls = 1 }
		atomic {
			if
			:: !no_key -> v = OK
			:: v = NO
			:: v = SILENT
			fi;
#ifndef BUG_7
			if
			:: job_void -> v = SILENT; job_void = 0 /* its keys are wiped */
			:: else
			fi;
#endif
			ans = v; ans_keys = (v == OK); job_done = 1; v = 0 /* out before the call counts as over */
		}
		kms_calls = 0 /* under g->lock too: see worker_main() */
	:: atomic { job == LOAD && !job_done -> kms_calls = 1 } /* gate_keys_load(): key_ask() */
		kms_calls = 0;
		atomic { list_lock == 0 -> list_lock = 1 } /* load_install() */
		if
#ifdef BUG_3
		:: fkey = 1
#else
		:: state == RETURNING && store && !no_key -> fkey = 1
		:: else
#endif
		fi;
		atomic { list_lock = 0; job_done = 1 }
#if defined(P3) || defined(P7)
	:: job != NONE && !job_done -> false /* a provider that hangs for ever: to the rest it is a slow one */
#endif
	od
}

/* orders at any moment; the KMS that gives no key any more */
active proctype World()
{
end:
	do
#ifdef ORDERS
	:: !want_lock -> want_lock = 1
	:: !want_unlock -> want_unlock = 1
#elif defined(WATCH)
	:: !gone -> gone = 1
#ifndef P9
	:: gone -> gone = 0
#endif
#else
	:: !no_key -> no_key = 1
#endif
	od
}

#if !defined(ORDERS) && !defined(WATCH)
active proctype Clock()
{
end:
	do
	:: (SERVING || state == LOCKING) && time < LONG_OVER -> time++
	od
}
#endif

#ifdef P3
ltl p3 { [] (state == LOCKING -> <> (state == LOCKED)) }
#endif
#ifdef P7
ltl p7 { [] (no_key -> <> (state == LOCKED)) }
#endif
#ifdef P9
ltl p9 { [] (gone -> <> (state == LOCKED)) }
#endif
