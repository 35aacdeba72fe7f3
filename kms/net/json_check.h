/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON looked at before a library parses it. Private to kms/net/ and its tests. */
#ifndef KMS_NET_JSON_CHECK_H
#define KMS_NET_JSON_CHECK_H

#include <stdbool.h>

#include "crypto/attr.h"

/*
 * Is TEXT, LEN bytes with a NUL behind them, one JSON object and nothing else but white space: RFC 8259 to the letter, UTF-8,
 * no \u0000, surrogates in pairs, at most REPLY_DEPTH deep? Members that are there twice are not looked for.
 */
bool json_is_object(const char *text, size_t len) MUST_CHECK;

#endif
