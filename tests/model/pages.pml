/* SPDX-License-Identifier: BSD-2-Clause */
/* A page, its writers and readers, the passes of a lock and the janitor as a model for spin: nothing readable, nothing lost. */
/*
 * Modelled: one page of one file with two handles, as Linux keeps it (write-back cache on), and the worker around it.
 *   Kernel: write(2) asks for the attributes once, then goes on inside the kernel whatever happens; a mapping stores into
 *   and loads from a page that is there; the flusher, fsync, close and an invalidation write back (WRITE); a failed WRITE
 *   leaves the page clean and there, sets the mapping's error: told to each open file's fsync once (errseq), and to one
 *   close in all (AS_EIO, test and clear; fsync clears it too). An invalidation waits for a READ in flight (page lock) and
 *   for a WRITE in flight, launders a dirty page, drops a clean one, and makes the attributes invalid.
 *   Worker: op_read() + file_read() (state looked at when admitted, at gate_enter(), before the reply), op_write() +
 *   write_now() + file_write(), remember_lost(), an operation whose reply needs no page (O_DIRECT, readdir, getattr),
 *   locking_drain(): limit_thread(), write_back() = passes 1 and 2, gate_drain_end(), in_flight, pass 3; gate_shut(): wipe,
 *   LOCKED; the janitor; a return to ACTIVE. The door itself (count and state) is gate.pml's: here a gate_enter() and what
 *   it lets do is one step.
 * Not modelled: several pages and inodes (each is locked by the same passes), ENOENT for ids whose reply is under way (with
 * in_flight 0 before pass 3 there is none of them left), hanging handlers and death (death.pml).
 *
 * Two runs: WRITERS=1 or 2, and without, but with Op.
 *
 * Properties:
 *   P1 after LOCKED is announced no READ or other operation completes, no attribute is given, and no cached page is loaded,
 *      but in the janitor's window: a write(2) that was inside the kernel when the door was shut is still there, or what it made dirty is
 *      being refused, or its invalidation is under way                                  asserts in Reader, Op; ltl p1 (it ends)
 *   P2 an fsync that says 0 covers sealed bytes only, and so does a close where one handle writes; a READ gives what was
 *      accepted last, or EIO. With two writing handles Linux tells one close, or one fsync, and no close after it.
 *   P3 LOCKING always ends                                                               ltl p3
 * Mutations:
 *   BUG_1 no third pass                  BUG_2 no janitor                 BUG_3 a refused WRITE is answered 0
 *   BUG_4 lost ranges are not kept       BUG_5 pass 3 does not wait for handlers in flight
 *   BUG_6 READ does not look at the state before it replies (and pass 3 does not wait)
 *   BUG_7 a request handler invalidates   BUG_8 write-back is refused as soon as the door is shut, its error not told
 *   BUG_9 the janitor forgets a request that came while it was at work
 *   BUG_10 two writers, each with a close only, no fsync (this is Linux as it is: see P2)
 */
#define ACTIVE 1
#define LOCKING 3
#define LOCKED 4

byte state = ACTIVE;
bit write_closed = 0, drain_open = 1; /* fs->write_closed, g->drain_open */
byte in_flight = 0;                   /* fs->in_flight */
byte writes = 0;                      /* fs->writes, of a pass: has one come since? */
bit janitor = 0, sweeping = 0;        /* an invalidation is queued; one is under way */
bit lost = 0;                         /* node->lost */
byte disk = 0;                        /* version that is sealed */

/* the kernel */
bit up = 1, dirty = 0, wb = 0, reading = 0; /* page: there, dirty, WRITE in flight, READ in flight (page lock) */
byte waiting = 0;                     /* invalidations under way */
bit attr = 1;                         /* attributes are valid */
#define VERSIONS 2
byte ver = 0, wver = 0;               /* version in the page (accepted last), and in the WRITE */
bit wr_sent = 0, rd_sent = 0;         /* requests that no server has taken */
bit err[2];                           /* errseq: not yet seen by this open file */
bit as_eio = 0;

/* properties */
bit told = 0;                         /* LOCKED announced, no unwrap since */
byte inside = 0;                      /* write(2) calls inside the kernel */
#define WINDOW (inside > 0 || dirty || wb || janitor || sweeping)

#define OPEN (state == ACTIVE)

/* the kernel sends a WRITE: the page becomes clean when it goes out */
inline send_write() { dirty = 0; wb = 1; wver = ver; wr_sent = 1 }

/* loop_invalidate() */
inline invalidate()
{
	atomic { attr = 0; waiting++ }
	do
	:: atomic { !reading && !wb && dirty -> send_write() }
	:: atomic { !reading && !wb && !dirty -> up = 0; waiting--; break }
	od
}

/* WRITE: op_write() */
active proctype WriteServer()
{
	bit r = 0;
end:
	do
	:: atomic { wr_sent -> wr_sent = 0; in_flight++; writes = 1 }
#ifdef BUG_8
		r = !OPEN;
#else
		r = !OPEN && write_closed; /* write_now() */
#endif
		atomic {
			if
			:: !r && (OPEN || (state == LOCKING && drain_open)) -> disk = wver; lost = 0 /* file_write(), found() */
			:: else -> r = 1
			fi
		}
		if
		:: atomic { r ->
#ifndef BUG_4
			lost = 1; /* remember_lost() */
#endif
#ifndef BUG_2
			janitor = 1
#endif
		   }
#ifdef BUG_7
			invalidate()
#endif
		:: else
		fi;
		atomic { /* fuse_reply_err(), fuse_reply_write() */
			wb = 0;
#if !defined(BUG_3) && !defined(BUG_8)
			if
			:: r -> err[0] = 1; err[1] = 1; as_eio = 1
			:: else
			fi;
#endif
			in_flight--; r = 0
		}
	od
}

/* READ: op_read(), file_read() */
active proctype ReadServer()
{
	bit r = 0;
end:
	do
	:: atomic { rd_sent -> rd_sent = 0; in_flight++ }
		r = !OPEN || lost; /* ops_refused(), is_lost() */
		r = r || !OPEN; /* gate_enter(GATE_USE_NEW) after the disk */
#ifndef BUG_6
		r = r || !OPEN; /* before the reply */
#endif
		atomic {
			if
			:: !r -> up = 1; assert(!told); assert(disk == ver) /* P1, P2 */
			:: else
			fi;
			reading = 0; in_flight--; r = 0
		}
	od
}

/* an operation without a page: admitted, then answered */
#ifndef WRITERS
active proctype Op()
{
end:
	do
	:: atomic { in_flight < 3 -> in_flight++ }
		if
		:: OPEN -> atomic { assert(!told); attr = 1; in_flight-- } /* the state is looked at, then the reply goes out */
		:: else -> in_flight--
		fi
	od
}
#endif

/* a writer with a handle of its own: write(2), or a store into a mapping, then fsync or close */
proctype Writer(bit h)
{
	byte mine = 0;
end:
	do
	:: atomic { !mine && ver < VERSIONS && (attr || OPEN) -> inside++ } /* GETATTR is refused unless OPEN */
		atomic { !reading && !wb -> up = 1; dirty = 1; ver++; mine = ver; inside-- }
	:: atomic { !mine && ver < VERSIONS && up && !reading && !wb -> dirty = 1; ver++; mine = ver }
	:: mine ->
		do
		:: atomic { dirty && !wb && !reading -> send_write() }
		:: atomic { !dirty && !wb ->
			if
			:: err[h] -> err[h] = 0; as_eio = 0 /* fsync fails */
			:: !err[h] -> assert(disk >= mine) /* P2: fsync says 0 */
#if WRITERS == 1 || defined(BUG_10)
			:: as_eio -> as_eio = 0 /* close fails */
			:: !as_eio -> assert(disk >= mine) /* P2: close says 0 */
#endif
			fi;
			mine = 0; break }
		od
	od
}

/* a load from a mapping, or read(2) with valid attributes */
active proctype Reader()
{
end:
	do
	:: atomic { up && !reading -> assert(!told || WINDOW) } /* P1 */
#ifdef P3 /* the page lock goes to who waits for it */
	:: atomic { !up && !reading && !waiting -> reading = 1; rd_sent = 1 }
#else
	:: atomic { !up && !reading -> reading = 1; rd_sent = 1 }
#endif
	od
}

active proctype Flusher()
{
end:
	do
	:: atomic { dirty && !wb && !reading -> send_write() }
	od
}

/* the janitor */
active proctype Janitor()
{
end:
	do
#ifdef BUG_9
	:: janitor -> invalidate(); janitor = 0
#else
	:: atomic { janitor -> janitor = 0; sweeping = 1 } invalidate(); sweeping = 0
#endif
	od
}

/* limit_thread(): the limit may be over at any moment of the drain */
bit limit = 0;
active proctype Limit()
{
end:
	do
	:: limit && !write_closed -> write_closed = 1
	od
}

/* the gate's thread: gate_shut() with locking_drain(), and the return */
active proctype Gate()
{
end:
	do
	:: OPEN -> state = LOCKING;
		write_closed = 0;
		limit = 1;
		invalidate(); /* pass 1 */
		do
		:: writes = 0;
			invalidate(); /* pass 2 */
			if
			:: !writes || write_closed -> break
			:: else
			fi
		od;
		limit = 0;
		write_closed = 1; /* limit_end() */
		drain_open = 0;
#ifdef P3
		if
		:: in_flight == 0
		:: true /* handlers_out() gives up: a crowd that is refused can keep the count above 0 (see death.pml, BUG_6) */
		fi;
#elif !defined(BUG_5) && !defined(BUG_6)
		in_flight == 0;
#endif
#ifndef BUG_1
		invalidate(); /* pass 3 */
#endif
		atomic { state = LOCKED; told = 1; writes = 0 }
#ifndef LTL
		/* on_active() */
		atomic { told = 0; drain_open = 1; write_closed = 0; state = ACTIVE }
#endif
	od
}

#ifdef WRITERS
init
{
	atomic {
		run Writer(0);
#if WRITERS == 2
		run Writer(1)
#endif
	}
}
#endif

#ifdef P1
ltl p1 { [] (told -> <> [] (!up || !told)) }
#endif
#ifdef P3
ltl p3 { [] (state == LOCKING -> <> (state == LOCKED)) }
#endif
