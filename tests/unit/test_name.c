/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and directory ids: vectors, all lengths, kinds of entries, strict decoding, every bit altered. */
#include "tests/unit/vector.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>

#include "crypto/name.h"

static const char *const vectors[] = {"name-1",   "name-16",  "name-17", "name-binary",
				      "name-175", "name-176", "name-255"};

static struct disk_name disk;

static void name_vector(const char *name)
{
	AUTO(vector_free) struct vector v;
	char plain[NAME_LEN_MAX + 1];
	vector_load(&v, name);
	struct store_keys *k = vector_store(&v);
	const uint8_t *dir = vector_bytes(&v, "dir_id");
	size_t len = vector_len(&v, "plain");
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, (const char *)vector_bytes(&v, "plain"), len, &disk), 0);
	ck_assert_str_eq(disk.name, (const char *)vector_bytes(&v, "disk"));
	if (len > 175) {
		ck_assert_str_eq(disk.sidecar, (const char *)vector_bytes(&v, "sidecar"));
		ck_assert_uint_eq(disk.sidecar_len, vector_len(&v, "sidecar_data"));
		ck_assert_mem_eq(disk.sidecar_data, vector_bytes(&v, "sidecar_data"), disk.sidecar_len);
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, disk.sidecar_data, disk.sidecar_len, plain),
				 0);
	} else {
		ck_assert(disk.sidecar[0] == '\0' && disk.sidecar_len == 0);
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, NULL, 0, plain), 0);
	}
	ck_assert_uint_eq(strlen(plain), len);
	ck_assert_mem_eq(plain, vector_bytes(&v, "plain"), len);
	store_keys_free(k);
}

START_TEST(name_vectors)
{
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		name_vector(vectors[i]);
}
END_TEST

/* Authentic, and still refused. */
START_TEST(refuse_vectors)
{
	const char *const list[] = {"name-refuse-dot", "name-refuse-dotdot", "name-refuse-slash", "name-refuse-nul"};
	char plain[NAME_LEN_MAX + 1];
	for (size_t i = 0; i < ARRAY_LEN(list); i++) {
		AUTO(vector_free) struct vector v;
		vector_load(&v, list[i]);
		struct store_keys *k = vector_store(&v);
		const char *name = (const char *)vector_bytes(&v, "disk");
		ck_assert_int_eq(name_decode(k, NAMES_SIV, vector_bytes(&v, "dir_id"), name, NULL, 0, plain), -EBADMSG);
		store_keys_free(k);
	}
	AUTO(vector_free) struct vector v;
	vector_load(&v, "name-refuse-long-form");
	struct store_keys *k = vector_store(&v);
	ck_assert_int_eq(name_decode(k, NAMES_SIV, vector_bytes(&v, "dir_id"), (const char *)vector_bytes(&v, "disk"),
				     vector_bytes(&v, "sidecar_data"), vector_len(&v, "sidecar_data"), plain),
			 -EBADMSG);
	store_keys_free(k);
}
END_TEST

START_TEST(all_lengths)
{
	struct store_keys *k = test_store(1);
	uint8_t dir[ID_LEN] = {1}, other[ID_LEN] = {2};
	char plain[NAME_LEN_MAX + 2], back[NAME_LEN_MAX + 1], sidecar[NAME_LEN_MAX + 1];
	for (size_t len = 1; len <= NAME_LEN_MAX; len++) {
		random_bytes(plain, len);
		for (size_t i = 0; i < len; i++)
			plain[i] |= '\x80'; /* no NUL, slash or dot */
		ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, plain, len, &disk), 0);
		ck_assert_uint_le(strlen(disk.name), NAME_LEN_MAX);
		ck_assert_int_eq(name_kind(NAMES_SIV, disk.name), len <= 175 ? ENTRY_NAME : ENTRY_LONG);
		name_sidecar(disk.name, sidecar);
		ck_assert_str_eq(sidecar, disk.sidecar);
		const uint8_t *data = disk.sidecar_len ? disk.sidecar_data : NULL;
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, data, disk.sidecar_len, back), 0);
		ck_assert_mem_eq(plain, back, len);
		ck_assert_uint_eq(strlen(back), len);
		ck_assert_int_eq(name_decode(k, NAMES_SIV, other, disk.name, data, disk.sidecar_len, back), -EBADMSG);
	}
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, plain, 0, &disk), -EINVAL);
	memset(plain, 'a', sizeof(plain));
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, plain, 256, &disk), -ENAMETOOLONG);
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, ".", 1, &disk), -EINVAL);
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, "..", 2, &disk), -EINVAL);
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, "...", 3, &disk), 0);
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, "a/b", 3, &disk), -EINVAL);
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, "a\0b", 3, &disk), -EINVAL);
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, ".byokfs.dir", 11, &disk), 0); /* any name is free here */
	store_keys_free(k);
	ck_assert_uint_eq(secret_in_use(), 0);
}
END_TEST

/* Every bit of every character; a changed character that decodes to the same bytes must not pass either. */
START_TEST(short_altered)
{
	struct store_keys *k = test_store(1);
	uint8_t dir[ID_LEN] = {1};
	char back[NAME_LEN_MAX + 1];
	for (size_t len = 1; len <= 4; len++) {
		ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, "abcd", len, &disk), 0);
		size_t chars = strlen(disk.name);
		for (size_t i = 0; i < chars; i++) {
			char was = disk.name[i];
			for (int c = 1; c < 256; c++) {
				if ((char)c == was)
					continue;
				disk.name[i] = (char)c;
				ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, NULL, 0, back), -EBADMSG);
			}
			disk.name[i] = was;
		}
		char longer[NAME_LEN_MAX + 8];
		snprintf(longer, sizeof(longer), "%sA", disk.name);
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, longer, NULL, 0, back), -EBADMSG);
		snprintf(longer, sizeof(longer), "%s=", disk.name);
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, longer, NULL, 0, back), -EBADMSG);
		snprintf(longer, sizeof(longer), "%s\n", disk.name);
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, longer, NULL, 0, back), -EBADMSG);
		disk.name[chars - 1] = '\0';
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, NULL, 0, back), -EBADMSG);
	}
	store_keys_free(k);
}
END_TEST

START_TEST(sidecar_altered)
{
	struct store_keys *k = test_store(1);
	uint8_t dir[ID_LEN] = {1};
	char plain[200], back[NAME_LEN_MAX + 1];
	memset(plain, 'l', sizeof(plain));
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, plain, sizeof(plain), &disk), 0);
	uint8_t *data = disk.sidecar_data;
	for (size_t i = 0; i < disk.sidecar_len; i++) {
		data[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, data, disk.sidecar_len, back), -EBADMSG);
		data[i] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t len = 0; len < disk.sidecar_len; len++)
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, data, len, back), -EBADMSG);
	ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, data, disk.sidecar_len + 1, back), -EBADMSG);
	ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, NULL, 0, back), -EBADMSG);
	static uint8_t huge[70000];
	ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, huge, sizeof(huge), back), -EBADMSG);
	/* Another name's sidecar is authentic, and does not hash to this entry. */
	static struct disk_name other;
	plain[0] = 'm';
	ck_assert_int_eq(name_encode(k, NAMES_SIV, dir, plain, sizeof(plain), &other), 0);
	ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, other.sidecar_data, other.sidecar_len, back),
			 -EBADMSG);
	for (size_t i = 0; i < strlen(disk.name); i++) {
		disk.name[i] ^= 1;
		ck_assert_int_eq(name_decode(k, NAMES_SIV, dir, disk.name, data, disk.sidecar_len, back), -EBADMSG);
		disk.name[i] ^= 1;
	}
	store_keys_free(k);
}
END_TEST

static struct store_keys *shared;

static void *encode_and_decode(void *arg)
{
	uint8_t dir[ID_LEN] = {(uint8_t)(uintptr_t)arg};
	struct disk_name d;
	char plain[NAME_LEN_MAX + 1], back[NAME_LEN_MAX + 1];
	for (int i = 0; i < 500; i++) {
		snprintf(plain, sizeof(plain), "%0*d", 1 + i % 254, i);
		size_t len = strlen(plain);
		ck_assert_int_eq(name_encode(shared, NAMES_SIV, dir, plain, len, &d), 0);
		const uint8_t *data = d.sidecar_len ? d.sidecar_data : NULL;
		ck_assert_int_eq(name_decode(shared, NAMES_SIV, dir, d.name, data, d.sidecar_len, back), 0);
		ck_assert_str_eq(plain, back);
	}
	return NULL;
}

/* All threads copy one keyed cipher. */
START_TEST(threads)
{
	pthread_t t[4];
	shared = test_store(1);
	for (uintptr_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_create(&t[i], NULL, encode_and_decode, (void *)i);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		pthread_join(t[i], NULL);
	store_keys_free(shared);
}
END_TEST

START_TEST(kinds)
{
	const struct {
		const char *name;
		enum entry_kind siv, plain;
	} row[] = {
		{DIRID_NAME, ENTRY_OWN, ENTRY_OWN},
		{".byokfs.long.x", ENTRY_LONG, ENTRY_OWN},
		{".byokfs.name.x", ENTRY_SIDECAR, ENTRY_OWN},
		{".byokfs.tmp.1", ENTRY_OWN, ENTRY_OWN},
		{".byokfs.", ENTRY_OWN, ENTRY_OWN},
		{".byokfs", ENTRY_ALIEN, ENTRY_NAME},
		{"readme", ENTRY_ALIEN, ENTRY_NAME},
		{"AAAAAAAAAAAAAAAAAAAAAAA", ENTRY_NAME, ENTRY_NAME},
		{"AAAAAAAAAAAAAAAAAAAAAA", ENTRY_ALIEN, ENTRY_NAME},
		{"AAAAAAAAAAAAAAAAAAAAAA.", ENTRY_ALIEN, ENTRY_NAME},
		{"", ENTRY_ALIEN, ENTRY_NAME},
	};
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		ck_assert_int_eq(name_kind(NAMES_SIV, row[i].name), row[i].siv);
		ck_assert_int_eq(name_kind(NAMES_PLAIN, row[i].name), row[i].plain);
	}
	char sidecar[NAME_LEN_MAX + 1];
	name_sidecar("readme", sidecar);
	ck_assert_str_eq(sidecar, "");
}
END_TEST

START_TEST(plain_mode)
{
	struct store_keys *k = test_store(1);
	uint8_t dir[ID_LEN] = {1};
	char back[NAME_LEN_MAX + 1], longest[NAME_LEN_MAX + 1];
	memset(longest, 'z', NAME_LEN_MAX);
	longest[NAME_LEN_MAX] = '\0';
	ck_assert_int_eq(name_encode(k, NAMES_PLAIN, dir, longest, NAME_LEN_MAX, &disk), 0);
	ck_assert_str_eq(disk.name, longest);
	ck_assert_str_eq(disk.sidecar, "");
	ck_assert_int_eq(name_decode(k, NAMES_PLAIN, dir, longest, NULL, 0, back), 0);
	ck_assert_str_eq(back, longest);
	ck_assert_int_eq(name_encode(k, NAMES_PLAIN, dir, ".byokfs.x", 9, &disk), -EINVAL);
	ck_assert_int_eq(name_encode(k, NAMES_PLAIN, dir, ".byokfs.", 8, &disk), -EINVAL);
	ck_assert_int_eq(name_encode(k, NAMES_PLAIN, dir, ".byokfs", 7, &disk), 0);
	/* Not terminated: only LEN bytes count. */
	ck_assert_int_eq(name_encode(k, NAMES_PLAIN, dir, ".byokfs.x", 5, &disk), 0);
	ck_assert_str_eq(disk.name, ".byok");
	ck_assert_int_eq(name_decode(k, NAMES_PLAIN, dir, ".byokfs.dir", NULL, 0, back), -EBADMSG);
	ck_assert_int_eq(name_decode(k, NAMES_PLAIN, dir, "..", NULL, 0, back), -EBADMSG);
	ck_assert_int_eq(name_decode(k, NAMES_PLAIN, dir, "", NULL, 0, back), -EBADMSG);
	store_keys_free(k);
}
END_TEST

START_TEST(sidecar_holds)
{
	ck_assert_uint_eq(name_sidecar_holds(0), 0);
	ck_assert_uint_eq(name_sidecar_holds(TAG_LEN), 0);
	ck_assert_uint_eq(name_sidecar_holds(TAG_LEN + 1), 1);
	ck_assert_uint_eq(name_sidecar_holds(NAME_SIDECAR_MAX), NAME_LEN_MAX);
	ck_assert_uint_eq(name_sidecar_holds(NAME_SIDECAR_MAX + 1), 0);
}
END_TEST

START_TEST(directory_id)
{
	AUTO(vector_free) struct vector v;
	uint8_t id[ID_LEN], file[DIRID_LEN + 1], made[ID_LEN];
	vector_load(&v, "dirid");
	struct store_keys *k = vector_store(&v), *stranger = test_store(1);
	ck_assert_int_eq(dirid_parse(k, vector_bytes(&v, "file"), vector_len(&v, "file"), id), 0);
	ck_assert_mem_eq(id, vector_bytes(&v, "dir_id"), ID_LEN);
	ck_assert_int_eq(dirid_parse(stranger, vector_bytes(&v, "file"), DIRID_LEN, id), -EBADMSG);
	ck_assert_int_eq(dirid_new(k, made, file), 0);
	ck_assert_int_eq(dirid_parse(k, file, DIRID_LEN, id), 0);
	ck_assert_mem_eq(id, made, ID_LEN);
	/* one that follows from the folder: all of what it is made of counts, and the store */
	struct dirid_origin origin = {.ino = 7, .sec = 8, .nsec = 9};
	uint8_t other[ID_LEN], bytes[DIRID_LEN];
	ck_assert_int_eq(dirid_from(k, &origin, made, file), 0);
	ck_assert_int_eq(dirid_parse(k, file, DIRID_LEN, id), 0);
	ck_assert_mem_eq(id, made, ID_LEN);
	ck_assert_int_eq(dirid_from(stranger, &origin, other, bytes), 0);
	ck_assert_mem_ne(other, made, ID_LEN);
	for (int i = 0; i < 3; i++) {
		origin = (struct dirid_origin){.ino = 7 + (i == 0), .sec = 8 + (i == 1), .nsec = 9 + (i == 2)};
		ck_assert_int_eq(dirid_from(k, &origin, other, bytes), 0);
		ck_assert_mem_ne(other, made, ID_LEN);
	}
	for (size_t i = 0; i < DIRID_LEN; i++) {
		file[i] ^= (uint8_t)(1u << (i % 8));
		ck_assert_int_eq(dirid_parse(k, file, DIRID_LEN, id), -EBADMSG);
		file[i] ^= (uint8_t)(1u << (i % 8));
	}
	for (size_t len = 0; len <= DIRID_LEN + 1; len++)
		ck_assert_int_eq(dirid_parse(k, file, len, id), len == DIRID_LEN ? 0 : -EBADMSG);
	/* Without keys: what the file says. */
	memset(id, 0, sizeof(id));
	for (size_t len = 0; len <= DIRID_LEN + 1; len++)
		ck_assert_int_eq(dirid_peek(file, len, id), len == DIRID_LEN ? 0 : -EUCLEAN);
	ck_assert_mem_eq(id, made, ID_LEN);
	file[6] = '2';
	ck_assert_int_eq(dirid_peek(file, DIRID_LEN, id), -ENOTSUP);
	store_keys_free(k);
	store_keys_free(stranger);
}
END_TEST

int main(void)
{
	const struct test_entry list[] = {
		{"vectors", name_vectors},
		{"refuse vectors", refuse_vectors},
		{"all lengths", all_lengths},
		{"short name altered", short_altered},
		{"sidecar altered", sidecar_altered},
		{"threads", threads},
		{"kinds", kinds},
		{"plain mode", plain_mode},
		{"directory id", directory_id},
		{"what a sidecar holds", sidecar_holds},
	};
	return test_main("name", list, ARRAY_LEN(list));
}
