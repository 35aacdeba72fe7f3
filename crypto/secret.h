/* SPDX-License-Identifier: BSD-2-Clause */
/* Guarded memory for keys: locked, not dumped, wiped when freed. */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include "crypto/attr.h"

#define SECRET_MAX 512 /* longest secret, bytes */

/*
 * Start libsodium, OpenSSL (without a configuration, which only the first use of it decides) and the slab that secret_alloc()
 * serves from. First call of every main(); calling it again is harmless. -EIO if one cannot start.
 */
int secret_init(void) MUST_CHECK;

/*
 * LEN (1..SECRET_MAX) zeroed bytes of locked memory that core dumps leave out, or NULL (out of memory). Past the lock
 * limit the memory is not locked: secret_all_locked() tells. Thread-safe. The caller gives it back to secret_free().
 */
void *secret_alloc(size_t len);

/* Wipe the whole slot, then free it. NULL is legal. Thread-safe. */
void secret_free(void *p);

/* For AUTO(): frees *(void **)P. */
void secret_free_at(void *p);

/* Wipe bytes that are not a secret_alloc() slot (stack, heap); never optimised away. */
void secret_wipe(void *p, size_t len);

/* Wipe the part of this thread's stack that calls which have returned, and signal frames, have used. */
void secret_wipe_stack(void);

/* How many slots in all fit this process's limit of locked memory; SIZE_MAX = it has none. */
size_t secret_capacity(void);

/* How many slots are in use, and whether every one of them could be locked. */
size_t secret_in_use(void);
bool secret_all_locked(void);

#endif
