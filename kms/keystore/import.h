/* SPDX-License-Identifier: BSD-2-Clause */
/* A customer's own key for the keystore, read from a file. Private to kms/ and tools/keystore.c. */
#ifndef KMS_IMPORT_H
#define KMS_IMPORT_H

#include "kms/keystore/keystore.h"
#include "kms/keystore/rsa.h"

/*
 * Read PATH ("-" = standard input): 32 raw bytes, or an RSA private key in PEM. *TYPE says which. The caller calls
 * rsa_der_free() in either case. -EINVAL neither of the two, -EKEYREJECTED an encrypted PEM, -ERANGE an RSA key of another
 * length, -EFBIG longer than any key, -ENOMEM, or what the disk said: then *TYPE says nothing. WHY gets one sentence.
 */
int import_read(const char *path, enum keystore_type *type, struct rsa_der *out, char why[KEYSTORE_WHY_MAX]) MUST_CHECK;

#endif
