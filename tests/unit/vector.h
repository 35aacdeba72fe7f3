/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads a test vector (tests/vectors: `name = hex` or `name = decimal` lines) and makes the keys it names. */
#ifndef TESTS_UNIT_VECTOR_H
#define TESTS_UNIT_VECTOR_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/keys.h"
#include "crypto/keys_private.h"
#include "crypto/secret.h"

#define VECTOR_FIELDS 16

struct vector_field {
	char name[32];
	char *text;
	uint8_t *bytes; /* the text as hex, with a NUL behind; NULL if it is not hex */
	size_t len;
};

struct vector {
	struct vector_field field[VECTOR_FIELDS];
	size_t n;
};

static inline void vector_field_hex(struct vector_field *f)
{
	size_t n = strlen(f->text);
	f->bytes = calloc(1, n / 2 + 1);
	f->len = n / 2;
	for (size_t i = 0; i < f->len; i++) {
		unsigned v = 0;
		sscanf(f->text + 2 * i, "%2x", &v);
		f->bytes[i] = (uint8_t)v;
	}
}

static inline void vector_load(struct vector *v, const char *name)
{
	char path[512], *line = NULL;
	size_t size = 0;
	snprintf(path, sizeof(path), "%s/vectors/%s.txt", TEST_DATA, name);
	FILE *in = fopen(path, "re");
	ck_assert_msg(in != NULL, "%s is missing", path);
	memset(v, 0, sizeof(*v));
	while (getline(&line, &size, in) > 0) {
		char *eq = strstr(line, " = ");
		ck_assert(eq && v->n < VECTOR_FIELDS);
		line[strcspn(line, "\n")] = '\0';
		*eq = '\0';
		snprintf(v->field[v->n].name, sizeof(v->field[0].name), "%s", line);
		v->field[v->n].text = strdup(eq + 3);
		vector_field_hex(&v->field[v->n++]);
	}
	free(line);
	fclose(in);
}

static inline void vector_free(struct vector *v)
{
	for (size_t i = 0; i < v->n; i++) {
		free(v->field[i].text);
		free(v->field[i].bytes);
	}
}

static inline const struct vector_field *vector_field(const struct vector *v, const char *name)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->field[i].name, name) == 0)
			return &v->field[i];
	ck_abort_msg("no field %s", name);
	return NULL;
}

static inline const uint8_t *vector_bytes(const struct vector *v, const char *name)
{
	return vector_field(v, name)->bytes;
}

static inline size_t vector_len(const struct vector *v, const char *name)
{
	return vector_field(v, name)->len;
}

static inline uint64_t vector_number(const struct vector *v, const char *name)
{
	return strtoull(vector_field(v, name)->text, NULL, 10);
}

static inline int vector_result(const struct vector *v, const char *name)
{
	return (int)strtol(vector_field(v, name)->text, NULL, 10);
}

/* Of a vector that names none: 1. */
static inline enum suite vector_suite(const struct vector *v)
{
	for (size_t i = 0; i < v->n; i++)
		if (strcmp(v->field[i].name, "suite") == 0)
			return (enum suite)strtoul(v->field[i].text, NULL, 10);
	return SUITE_1;
}

/* Keys of the vector's `root`, and of its `file_id` and `dek`. */
static inline struct store_keys *vector_store(const struct vector *v)
{
	struct store_keys *keys = NULL;
	ck_assert_int_eq(store_keys_new(vector_bytes(v, "root"), vector_suite(v), &keys), 0);
	return keys;
}

static inline struct file_keys *vector_file(const struct vector *v, const struct store_keys *store)
{
	struct file_keys *keys = NULL;
	ck_assert_int_eq(file_keys_from(store, vector_bytes(v, "file_id"), vector_bytes(v, "dek"), &keys), 0);
	return keys;
}

/* Keys for tests that need no vector: the same in every run. */
static inline struct store_keys *test_store_of(uint8_t seed, enum suite suite)
{
	uint8_t root[KEY_LEN];
	struct store_keys *keys = NULL;
	memset(root, seed, sizeof(root));
	ck_assert_int_eq(store_keys_new(root, suite, &keys), 0);
	ck_assert_int_eq(store_keys_add(keys, 1, root), 0);
	return keys;
}

static inline struct store_keys *test_store(uint8_t seed)
{
	return test_store_of(seed, SUITE_2);
}

static inline struct file_keys *test_file(const struct store_keys *store, uint8_t seed)
{
	uint8_t id[ID_LEN], dek[KEY_LEN];
	struct file_keys *keys = NULL;
	memset(id, seed, sizeof(id));
	memset(dek, seed ^ 0x55, sizeof(dek));
	ck_assert_int_eq(file_keys_from(store, id, dek, &keys), 0);
	return keys;
}

/* main() of a test program: each pair is a name and a test. */
struct test_entry {
	const char *name;
	const TTest *test;
};

static inline int test_main(const char *name, const struct test_entry *entry, size_t n)
{
	Suite *suite = suite_create(name);
	if (secret_init() != 0)
		return EXIT_FAILURE;
	for (size_t i = 0; i < n; i++) {
		TCase *tcase = tcase_create(entry[i].name);
		tcase_set_timeout(tcase, 60);
		tcase_add_test(tcase, entry[i].test);
		suite_add_tcase(suite, tcase);
	}
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
