/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyring and its KEKs together: slot secrets wrapped and unwrapped through the providers. */
#ifndef KMS_CUSTODY_H
#define KMS_CUSTODY_H

#include "crypto/keyring.h"
#include "kms/provider.h"

/*
 * A new store: draws root key, store key and slot secrets, wraps each under its KEK and seals the box. K has its
 * configuration and, per slot, `ref` and `number`; KEK holds n_slots handles in slot order. Nothing is kept unwrapped.
 * Returns kms_class_errno() of V, which says on failure which KEK and why; K is half filled then.
 */
int custody_create(struct keyring *k, struct kms **kek, struct kms_verdict *v) MUST_CHECK;

/*
 * Open the box through the KEKs, all asked at once; a NULL among them, one that could not be opened, counts as an outage.
 * POLICY_ALL: each must unwrap; POLICY_ANY: one is enough while the others are silent (KMS_TRANSIENT) and nothing else: a
 * refusal, a rejected login, a wrong reference, a corrupt wrap of any of them wins. Those that unwrap must agree. The unwrapped
 * payload must be this store's, and the key's dates must allow its use now. Each KEK has one deadline for all that takes. Returns
 * kms_class_errno() of V, which on success is that of the first KEK that unwrapped; *OUT is for store_keys_free().
 */
int custody_open(const struct keyring *k, struct kms **kek, struct store_keys **out, struct kms_verdict *v) MUST_CHECK;

#endif
