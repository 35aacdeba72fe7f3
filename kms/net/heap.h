/* SPDX-License-Identifier: BSD-2-Clause */
/* A heap that wipes: what libcurl and cJSON give back has held tokens and payloads in base64. */
#ifndef KMS_NET_HEAP_H
#define KMS_NET_HEAP_H

#include "crypto/attr.h"

/* As malloc(3), free(3), realloc(3), strdup(3), calloc(3); only heap_free() and heap_realloc() take what these give. Thread-safe. */
void *heap_alloc(size_t len);
void heap_free(void *p);
void *heap_realloc(void *p, size_t len);
char *heap_strdup(const char *text);
void *heap_calloc(size_t n, size_t len);
/* For AUTO(): frees *(void **)P. */
void heap_free_at(void *p);
/* Bytes that are in use now, for the tests. */
size_t heap_in_use(void);

#endif
