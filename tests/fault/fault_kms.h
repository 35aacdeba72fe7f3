/* SPDX-License-Identifier: BSD-2-Clause */
/* A KMS that misbehaves on demand, for tests on a real mount: `fault:DIR`. */
#ifndef TESTS_FAULT_KMS_H
#define TESTS_FAULT_KMS_H

#include "kms/provider_private.h"

/*
 * DIR/key     32 bytes; made by the first wrap. Wraps are real: AES-256-GCM bound to store id and purpose.
 * DIR/mode    one word, read at each call:
 *   ok               answers well
 *   refuse           REVOKED "disabled"
 *   hang             no answer until timeout_ms (TRANSIENT), or until cancelled; does not notice another mode meanwhile
 *   slow MS          answers well after so long
 *   flap MS          ok and refuse in turn, each so long (0: each call)
 *   garbage          OK, with random bytes
 *   wrongkey         OK, with a payload in good form around another key
 *   corrupt          CORRUPT
 *   stranger         TRANSIENT "403-stranger": a 403 that nobody has authenticated
 *   auth             AUTH
 *   misconfigured    MISCONFIGURED
 *   throttled        TRANSIENT "429"
 *   down             TRANSIENT "refused-connection", at once
 *   expired          answers well, but `info` tells a date that is past
 *   die              abort(): a fault of the provider itself
 *   hang-file        as hang for the keys of files, ok for the keyring's
 *   refuse-file      as refuse for the keys of files, ok for the keyring's
 * DIR/calls   a line per call: "MS OP ANSWER", MS of the kernel's CLOCK_REALTIME, OP = wrap or unwrap ":" purpose, or info,
 *             refresh, cancel. A call that waits writes "waits" when it begins and its answer when it ends.
 * It has no watch_fd: what is measured is the poll.
 */
extern const struct kms_provider kms_fault;

#endif
