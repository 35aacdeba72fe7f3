/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies of a KMS: JSON read strictly, and base64. The one place that knows cJSON. */
#include "kms/net/json.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "kms/net/heap.h"
#include "kms/net/json_check.h"

#define NUMBER_MAX 9007199254740992.0 /* 2^53: up to here a double counts */

static void hooks_set(void)
{
	cJSON_Hooks hooks = {.malloc_fn = heap_alloc, .free_fn = heap_free};

	cJSON_InitHooks(&hooks);
}

/* cJSON would take the first of them, others the last: whoever can add one may choose what we read. */
static bool has_twice(const cJSON *in)
{
	for (const cJSON *a = in->child; a; a = a->next) {
		for (const cJSON *b = a->next; cJSON_IsObject(in) && b; b = b->next)
			if (strcmp(a->string, b->string) == 0)
				return true;
		if (has_twice(a))
			return true;
	}
	return false;
}

int reply_parse(const char *text, size_t len, struct reply **out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	AUTO(heap_free_at) char *copy = NULL;

	pthread_once(&once, hooks_set);
	if (len > REPLY_MAX)
		return -EBADMSG;
	copy = heap_alloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!json_is_object(copy, len))
		return -EBADMSG;
	cJSON *parsed = cJSON_ParseWithLength(copy, len);
	if (!parsed)
		return -EBADMSG;
	if (has_twice(parsed)) {
		cJSON_Delete(parsed);
		return -EBADMSG;
	}
	*out = (struct reply *)parsed;
	return 0;
}

void reply_free(struct reply *r)
{
	cJSON_Delete((cJSON *)r);
}

void reply_free_at(struct reply **r)
{
	reply_free(*r);
}

static const cJSON *find(const struct reply *r, const char *path)
{
	const cJSON *at = (const cJSON *)r;

	while (at && *path) {
		size_t len = strcspn(path, "/");
		const cJSON *child = cJSON_IsObject(at) ? at->child : NULL;

		while (child && (strncmp(child->string, path, len) != 0 || child->string[len]))
			child = child->next;
		at = child;
		path += len + (path[len] == '/');
	}
	return at;
}

const char *reply_str(const struct reply *r, const char *path)
{
	return cJSON_GetStringValue(find(r, path));
}

const char *reply_item(const struct reply *r, const char *path, size_t i)
{
	const cJSON *list = find(r, path), *at = cJSON_IsArray(list) ? list->child : NULL;

	for (; at && i > 0; i--)
		at = at->next;
	return cJSON_GetStringValue(at);
}

int reply_number(const struct reply *r, const char *path, uint64_t *out)
{
	const cJSON *n = find(r, path);

	if (!cJSON_IsNumber(n) || !(n->valuedouble >= 0 && n->valuedouble <= NUMBER_MAX))
		return -ENOENT;
	*out = (uint64_t)n->valuedouble;
	return (double)*out == n->valuedouble ? 0 : -ENOENT;
}

bool reply_true(const struct reply *r, const char *path)
{
	return cJSON_IsTrue(find(r, path));
}

bool reply_has(const struct reply *r, const char *path)
{
	return find(r, path) != NULL;
}

/* Base64 */

static int variant(enum base64_kind kind)
{
	return kind == BASE64 ? sodium_base64_VARIANT_ORIGINAL : sodium_base64_VARIANT_URLSAFE_NO_PADDING;
}

int base64_read(enum base64_kind kind, const char *text, uint8_t *out, size_t max, size_t *len)
{
	return sodium_base642bin(out, max, text, strlen(text), NULL, len, NULL, variant(kind)) ? -EBADMSG : 0;
}

size_t base64_size(size_t len)
{
	return sodium_base64_ENCODED_LEN(len, sodium_base64_VARIANT_ORIGINAL);
}

void base64_write(enum base64_kind kind, const uint8_t *data, size_t len, char *out)
{
	sodium_bin2base64(out, base64_size(len), data, len, variant(kind));
}
