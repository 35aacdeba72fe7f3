/* SPDX-License-Identifier: BSD-2-Clause */
/* Supervisor and worker as a model for spin: either may die or hang at any step, and nothing stays readable. */
/*
 * Modelled (DESIGN.md "Two processes", fs/watch/supervise_run.c, fs/lock/drain.c): a page of one file in the kernel; a reader through a mapping
 * and through a descriptor; a write(2) that is inside the kernel; a handler of the worker that may hang for ever on a disk
 * (in D: not even SIGKILL ends it); the worker's gate thread with the steps of a lock; the supervisor: SIGKILL without a
 * wait, abort, invalidate twice and more, close; a worker that has lost its supervisor: lock, abort, end; the guard, which does it
 * when both are dead (fs/watch/guard.c).
 * An invalidation waits for a READ in flight, and for a WRITE; only a reply or the abort ends these.
 * Not modelled: keys and lease (gate.pml), what is sealed (pages.pml), several pages; the guard's own death; both stopped.
 *
 * Assumption A: a write(2) inside the kernel ends before the supervisor's last round of invalidations.
 *
 * Properties:
 *   P5 once the supervisor is through after the worker's death, nothing cached is readable        assert in Reader
 *      the same when the worker ended by itself because its supervisor died
 *      the same for the guard when both are dead
 *   P1 no handler replies with data after LOCKED was announced                                    assert in Handler
 *   P3 LOCKING always ends: in LOCKED, or in the worker's death, while the supervisor lives       ltl p3
 *   P8 a dead or hung worker is always dealt with, nobody waits for ever for a reply              ltl p8
 *   P9 when both are dead, somebody is through in the end                         ltl p9
 * Mutations:
 *   BUG_1 invalidate before the abort     BUG_2 wait for the worker's exit before the abort
 *   BUG_3 no abort                        BUG_4 the supervisor does not look at the age of LOCKING
 *   BUG_5 two rounds and close at once, whatever write(2) is under way
 *   BUG_6 the worker gives up on handlers in flight by itself and announces LOCKED
 *   BUG_7 a worker without supervisor ends without having locked
 *   BUG_8 no guard
 *   BUG_9 the guard invalidates before the abort
 */
#define SERVING 1
#define LOCKING 3
#define LOCKED 4
#define MAY_GO 0

byte state = SERVING;       /* shared page: gate.state */
bit w_dead = 0, s_dead = 0; /* no more user code runs */
bit w_hung = 0;             /* gate's thread stopped: no beat */
bit aborted = 0, closed = 0, through = 0;

bit up = 1, dirty = 0, wb = 0, reading = 0; /* the page */
bit attr = 1;               /* attributes in their time */
bit inside = 0;             /* a write(2) in the kernel */
bit stuck = 0;              /* the handler hangs on a disk for ever */
bit busy = 0;               /* the handler has a request (in_flight) */
bit told = 0;

#define GONE (closed || aborted) /* the connection answers by itself: ENOTCONN; the guard holds it open until then */

/* What anybody invalidates; after an abort the WRITE of a dirty page fails at once */
inline invalidate(me_dead)
{
	attr = 0;
	do
	:: me_dead -> break
	:: atomic { !me_dead && !reading && !wb && dirty -> dirty = 0; wb = !GONE }
	:: atomic { !me_dead && !reading && !wb && !dirty -> up = 0; break }
	od
}

/* the kernel ends what is in flight when the connection is gone */
active proctype Kernel()
{
end:
	do
	:: atomic { GONE && (reading || wb) -> reading = 0; wb = 0 }
	:: atomic { GONE && dirty && !wb -> dirty = 0 } /* a failed write back leaves the page there */
	od
}

/* through a mapping, and through a descriptor */
active proctype Reader()
{
end:
	do
	:: atomic { up && !reading -> assert(!through) } /* P5 */
	:: atomic { up && !reading && attr -> assert(!(w_dead && s_dead && closed)) }
	:: atomic { !up && !reading && !GONE && !w_dead -> reading = 1 }
	od
}

/* a write(2): begun while the attributes are valid, it dirties when it likes */
active proctype Writer()
{
end:
	do
	:: atomic { attr && state == SERVING && !inside && !GONE -> inside = 1 }
		atomic { !reading && !wb -> up = 1; dirty = 1 }
		inside = 0
	od
}

/* the kernel's flusher */
active proctype Flusher()
{
end:
	do
	:: atomic { dirty && !wb && !reading && !GONE && !w_dead -> dirty = 0; wb = 1 }
	od
}

/* a serving thread */
active proctype Handler()
{
	bit ok = 0, r = 0, op = 0;
end:
	do
	:: atomic { (reading || wb) && !busy && !w_dead && !GONE -> busy = 1; r = reading }
		goto work;
	:: atomic { state == SERVING && !busy && !w_dead && !GONE -> busy = 1; op = 1 } /* whose reply needs no page */
work:
		if
		:: true
		:: atomic { !stuck -> stuck = 1 } false /* on a disk */
		fi;
		if
		:: w_dead -> busy = 0; break
		:: else
		fi;
		ok = (state == SERVING);
		atomic {
			if
			:: w_dead || GONE
			:: else ->
				assert(!op || !ok || !told); /* P1 */
				if
				:: r && reading -> assert(!ok || !told); up = ok; reading = 0
				:: !r && wb -> wb = 0
				:: else
				fi
			fi;
			busy = 0; ok = 0; r = 0; op = 0
		}
	:: w_dead && !busy -> break
	od
}

/* the gate's thread of the worker: gate_shut(), locking_drain(); janitor */
active proctype Worker()
{
end:
	do
	:: atomic { w_dead || w_hung -> break }
#ifdef BUG_7
	:: atomic { s_dead && !w_dead && !w_hung -> w_dead = 1; closed = 1; through = 1 }
#endif
	:: atomic { !w_dead && !w_hung && (state == SERVING || s_dead) ->
		if
		:: state == SERVING -> state = LOCKING
		:: else
		fi }
		if
		:: state == LOCKING ->
			invalidate((w_dead || w_hung));
#ifdef BUG_6
			if
			:: !busy
			:: w_dead || w_hung
			:: true
			fi;
#else
			(!busy || w_dead || w_hung);
#endif
			invalidate((w_dead || w_hung));
			atomic {
				if
				:: !w_dead && !w_hung -> state = LOCKED; told = 1
				:: else
				fi
			}
		:: else
		fi;
		if
		:: s_dead && !w_dead && !w_hung -> aborted = 1; /* on the pidfd: locked, then abort, forget, end */
			invalidate((w_dead || w_hung));
			(!inside && !dirty || w_dead || w_hung); /* assumption A */
			invalidate((w_dead || w_hung));
			atomic {
				if
				:: !w_dead && !w_hung -> w_dead = 1; closed = 1; through = 1
				:: else
				fi
			}
		:: else
		fi
	:: atomic { !w_dead && !w_hung && state == LOCKED && !s_dead && up && !dirty && !wb && !reading -> up = 0 } /* janitor */
	od
}

/* the supervisor */
active proctype Supervisor()
{
end:
	do
	:: atomic { s_dead -> break }
#ifdef BUG_4
	:: w_dead || w_hung ->
#else
	:: w_dead || w_hung || state == LOCKING -> /* pidfd; beats missed; LOCKING older than its limit + 1 s */
#endif
		w_dead = 1; /* SIGKILL, and no wait */
#ifdef BUG_2
		(!stuck || s_dead);
#endif
#ifdef BUG_1
		invalidate(s_dead);
		aborted = 1;
#endif
#if !defined(BUG_1) && !defined(BUG_3)
		if
		:: !s_dead -> aborted = 1
		:: else -> break
		fi;
#endif
		invalidate(s_dead);
#ifndef BUG_5
		(!inside && !dirty || s_dead); /* assumption A */
#endif
		invalidate(s_dead);
		atomic {
			if
			:: !s_dead -> closed = 1; through = 1
			:: else
			fi
		}
		break
	od
}

/* the guard */
#ifndef BUG_8
active proctype Guard()
{
end:
	do
	:: atomic { through -> break }
	:: w_dead && s_dead && !through ->
#ifdef BUG_9
		invalidate(0);
#endif
		aborted = 1;
		invalidate(0);
		(!inside && !dirty); /* assumption A */
		invalidate(0);
		atomic { closed = 1; through = 1; break }
	od
}
#endif

/* death and stop at any moment */
active proctype Fate()
{
end:
	do
	:: !w_dead -> w_dead = 1
	:: !w_hung -> w_hung = 1
#ifndef NO_S_DEATH
	:: !s_dead -> s_dead = 1
#endif
	:: break
	od
}

#ifdef P3
ltl p3 { [] (state == LOCKING -> <> (state == LOCKED || w_dead)) }
#endif
#ifdef P8
ltl p8 { [] ((w_dead || w_hung) -> <> (through && !reading && !wb)) }
#endif
#ifdef P9
ltl p9 { [] ((w_dead && s_dead) -> <> (through && !reading && !wb)) }
#endif
