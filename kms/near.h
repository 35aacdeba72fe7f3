/* SPDX-License-Identifier: BSD-2-Clause */
/* Near misses: the word that somebody probably meant. */
#ifndef KMS_NEAR_H
#define KMS_NEAR_H

#include "crypto/attr.h"

/* The word of LIST (NULL at the end) that the LEN bytes at WORD are at most two typing errors away from, or NULL. */
const char *near_word(const char *word, size_t len, const char *const *list);

#endif
