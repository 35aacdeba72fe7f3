/* SPDX-License-Identifier: BSD-2-Clause */
/* The keyring and its KEKs together: slot secrets wrapped and unwrapped through the providers. */
#ifndef KMS_CUSTODY_H
#define KMS_CUSTODY_H

#include "crypto/keyring.h"
#include "kms/provider.h"

/*
 * A new store: draws root key, store key and slot secrets, wraps each under its KEK and seals the box. K has its
 * configuration and, per slot, `ref` and `number`; KEK holds n_slots handles in slot order. Nothing is kept unwrapped.
 * On failure V says which KEK and why.
 */
int custody_create(struct keyring *k, struct kms **kek, struct kms_verdict *v) MUST_CHECK;

/*
 * Open the box through the KEKs. POLICY_ALL: each must unwrap; POLICY_ANY: one is enough, but an authenticated refusal
 * by any of them wins (fail-over on outage only). The unwrapped payload must be this store's.
 */
int custody_open(const struct keyring *k, struct kms **kek, struct store_keys **out, struct kms_verdict *v) MUST_CHECK;

#endif
