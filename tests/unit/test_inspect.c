/* SPDX-License-Identifier: BSD-2-Clause */
/* `byokfs inspect`: what each kind of file of a store shows without a key; cut, altered and planted ones. */
#include "tests/unit/said.h"

#include "tests/unit/store_rig.h"
#include "tests/unit/vector.h"
#include "tools/inspect_show.h"

static const struct layout small = {HEADER_LEN_STORE, 4096, SUITE_2};
static struct inspected in;
static char *text;
static int file = -1;

/* The object under test: BYTES of a file of SIZE bytes, on disk too. */
static void look_at(const char *name, uint8_t *bytes, size_t len, uint64_t size)
{
	if (file >= 0)
		close(file);
	file = memfd_create("object", MFD_CLOEXEC);
	ck_assert_int_ge(file, 0);
	ck_assert_int_eq(pwrite(file, bytes, len, 0), (ssize_t)len);
	ck_assert_int_eq(ftruncate(file, (off_t)size), 0);
	in = (struct inspected){.name = name, .bytes = bytes, .len = len, .size = size, .fd = file, .layout = small};
}

/* Its members, as JSON or as lines. */
static int show_as(enum inspect_kind kind, bool json)
{
	size_t len;
	free(text);
	struct emit e = {.out = open_memstream(&text, &len), .json = json};
	ck_assert_ptr_nonnull(e.out);
	emit_open(&e, NULL);
	int r = inspect_show(&in, kind, &e);
	emit_close(&e);
	ck_assert_int_eq(fclose(e.out), 0);
	return r;
}

#define SHOWS(kind, want_r, want)                              \
	do {                                                   \
		ck_assert_int_eq(show_as(kind, true), want_r); \
		ck_assert_str_eq(text, want);                  \
	} while (0)

/* Kinds */

START_TEST(kinds)
{
	const struct {
		const char *bytes, *name;
		enum inspect_kind kind;
		const char *word;
	} row[] = {
		{"BYOKFS1R", "x", INSPECT_KEYRING, "keyring"},
		{"BYOKFS1P", "x", INSPECT_PIN, "pin"},
		{"BYOKFS1H", "x", INSPECT_FILE, "file"},
		{"BYOKFS1I", "x", INSPECT_DIRID, "directory id"},
		{"BYOKFS1S", "x", INSPECT_SPECIAL, "special object"},
		{"BYOKFS1M", "x", INSPECT_SESSION, "session"},
		{"BYOKFS1T", "x", INSPECT_INFLIGHT, "in-flight slots"},
		{"BYOKFS9H", "x", INSPECT_FILE, "file"}, /* a newer file is still of its kind */
		{"BYOKFS1Z", "lock", INSPECT_UNKNOWN, "unknown"},
		{"BYOKFS1", "x", INSPECT_UNKNOWN, "unknown"}, /* cut within the magic */
		{"byokfs1H", "x", INSPECT_UNKNOWN, "unknown"},
		{"anything", ".byokfs.name.abc", INSPECT_SIDECAR, "sidecar of a long name"},
		{"anything", "inflight", INSPECT_INFLIGHT, "in-flight slots"},
		{"anything", "lock", INSPECT_LOCK, "owner lock"},
		{"", "lock", INSPECT_LOCK, "owner lock"},
		{"", "x", INSPECT_STUMP, "empty"},
		{"anything", "x", INSPECT_UNKNOWN, "unknown"},
	};

	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		uint8_t bytes[16];
		size_t len = strlen(row[i].bytes);
		memcpy(bytes, row[i].bytes, len + 1);
		look_at(row[i].name, bytes, len, len);
		ck_assert_msg(inspect_kind_of(&in) == row[i].kind, "%s %s", row[i].bytes, row[i].name);
		ck_assert_str_eq(inspect_kind_name(row[i].kind), row[i].word);
	}
}
END_TEST

START_TEST(algorithms)
{
	ck_assert_str_eq(inspect_algorithm(1, true), "AES-256-GCM under a store key");
	ck_assert_str_eq(inspect_algorithm(2, true), "unknown");
	ck_assert_str_eq(inspect_algorithm(0, false), "unknown");
	ck_assert_str_eq(inspect_algorithm(1, false), "AES-256-GCM of a local keystore");
	ck_assert_str_eq(inspect_algorithm(2, false), "RSA-OAEP-SHA-256");
	ck_assert_str_eq(inspect_algorithm(3, false), "AES-256-KW");
	ck_assert_str_eq(inspect_algorithm(4, false), "the KMS's own");
	ck_assert_str_eq(inspect_algorithm(5, false), "AES-256-GCM of a token");
	ck_assert_str_eq(inspect_algorithm(6, false), "RSA-OAEP-SHA-1");
	ck_assert_str_eq(inspect_algorithm(7, false), "unknown");
	ck_assert_str_eq(inspect_algorithm(65535, false), "unknown");
}
END_TEST

/* Files */

static struct store_keys *store;
static struct file_keys *keys;

static void wrap_fill(struct header_wrap *w, uint64_t sequence)
{
	memset(w, 0, sizeof(*w));
	w->sequence = sequence;
	w->number = store_keys_generation(store);
	w->algorithm = 1;
	w->wrapped_len = DEK_WRAP_LEN;
	ck_assert_int_eq(dek_wrap(store, keys, w->wrapped), 0);
}

/* A file of one block and 10 bytes in `object`; its length. */
static uint8_t object[65536];

static size_t file_make(void)
{
	static struct header_wrap w;
	uint8_t plain[4096] = {0};
	struct block_cipher c;
	struct final_head head = {.tail_len = 10, .generation = 7, .flags = FINAL_SPARSE};

	memset(object, 0, sizeof(object));
	store = test_store(1);
	keys = test_file(store, 2);
	wrap_fill(&w, 1);
	ck_assert_int_eq(header_write(&w, store, keys, object, HEADER_LEN_STORE), 0);
	ck_assert_int_eq(block_cipher_begin(&c, store, keys, &small, 1), 0);
	ck_assert_int_eq(block_seal(&c, 0, 1, plain, object + layout_record_off(&small, 0)), 0);
	ck_assert_int_eq(final_seal(&c, 1, &head, plain, object + layout_record_off(&small, 1)), 0);
	block_cipher_end(&c);
	return (size_t)layout_disk_size(&small, 4096 + 10);
}

static void file_drop(void)
{
	file_keys_free(keys);
	store_keys_free(store);
}

#define FILE_ID "\"file_id\": \"02020202020202020202020202020202\", \"suite\": 2, \"header_size\": 512, "
#define WRAP(slot, sequence, newest)                                                                                \
	"{\"slot\": " slot ", \"sequence\": " sequence ", \"generation\": 1, \"version\": \"\", \"algorithm\": 1, " \
	"\"algorithm_name\": \"AES-256-GCM under a store key\", \"wrapped_length\": 100, \"newest\": " newest "}"

START_TEST(file_whole)
{
	size_t len = file_make();
	look_at("x", object, len, len);
	ck_assert_int_eq(inspect_kind_of(&in), INSPECT_FILE);
	SHOWS(INSPECT_FILE, 0,
	      "{" FILE_ID "\"wraps\": [" WRAP("0", "1", "true") "], \"binding\": \"unbound\", \"block_size\": 4096, "
								"\"plain_size\": 4106, \"blocks\": 1, \"final\": "
								"{\"tail_length\": 10, \"sparse\": true, \"flags\": 1, "
								"\"generation\": 7}}\n");
	/* a layout that nobody knows: the header tells what it can */
	in.layout.block_len = 0;
	SHOWS(INSPECT_FILE, 0,
	      "{" FILE_ID "\"wraps\": [" WRAP(
		      "0", "1", "true") "], \"binding\": \"unbound\", "
					"\"contents\": \"unknown without the store's block size (--block-size)\"}\n");
	object[HEADER_LEN_STORE - 1] = 1;
	ck_assert_int_eq(show_as(INSPECT_FILE, true), 0);
	ck_assert_ptr_nonnull(strstr(text, "\"binding\": \"set\""));
	file_drop();
}
END_TEST

START_TEST(file_lines)
{
	size_t len = file_make();
	look_at("x", object, len, len);
	ck_assert_int_eq(show_as(INSPECT_FILE, false), 0);
	ck_assert_str_eq(text, "file id                        02020202020202020202020202020202\n"
			       "suite                          2\n"
			       "header size                    512\n"
			       "wraps                          \n"
			       "    slot                       0\n"
			       "    sequence                   1\n"
			       "    generation                 1\n"
			       "    version                    \n"
			       "    algorithm                  1\n"
			       "    algorithm name             AES-256-GCM under a store key\n"
			       "    wrapped length             100\n"
			       "    newest                     yes\n"
			       "binding                        unbound\n"
			       "block size                     4096\n"
			       "plain size                     4106\n"
			       "blocks                         1\n"
			       "final                          \n"
			       "  tail length                  10\n"
			       "  sparse                       yes\n"
			       "  flags                        1\n"
			       "  generation                   7\n");
	file_drop();
}
END_TEST

START_TEST(file_rewrapped)
{
	static struct header_wrap w;
	size_t off, changed, len = file_make();

	wrap_fill(&w, 9);
	ck_assert_int_eq(header_rewrap(object, HEADER_LEN_STORE, &w, store, keys, &off, &changed), 0);
	look_at("x", object, len, len);
	ck_assert_int_eq(show_as(INSPECT_FILE, true), 0);
	ck_assert_ptr_nonnull(
		strstr(text, "\"wraps\": [" WRAP("0", "1", "false") ", " WRAP("1", "9", "true") "], \"binding\""));
	file_drop();
}
END_TEST

/* Whoever cuts a file in the middle, or a crash, leaves no final record where the size says. */
START_TEST(file_cut)
{
	size_t len = file_make();
	look_at("x", object, len, len - 1);
	ck_assert_int_eq(show_as(INSPECT_FILE, true), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(text, "\"state\": \"no final record where its size says: altered, or left "
					   "unfinished by a crash\"}"));
	look_at("x", object, len, HEADER_LEN_STORE + 10);
	ck_assert_int_eq(show_as(INSPECT_FILE, true), -EUCLEAN);
	ck_assert_ptr_nonnull(
		strstr(text, "\"state\": \"no file has such a size: cut, or left unfinished by a crash\"}"));
	/* the final record of another length, and bytes that are none */
	object[layout_record_off(&small, 1) + FINAL_HEAD_LEN - 1] ^= 0xff;
	object[layout_record_off(&small, 1)] ^= 0xff;
	look_at("x", object, len, len);
	ck_assert_int_eq(show_as(INSPECT_FILE, true), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(text, "\"plain_size\": 4106"));
	ck_assert_ptr_null(strstr(text, "\"final\""));
	/* the header: shorter than one, and no slot that is well-formed */
	look_at("x", object, HEADER_LEN_STORE - 1, HEADER_LEN_STORE - 1);
	SHOWS(INSPECT_FILE, -EUCLEAN, "{}\n");
	memset(object + 32, 0xff, HEADER_LEN_STORE - 32);
	look_at("x", object, len, len);
	SHOWS(INSPECT_FILE, -EUCLEAN, "{}\n");
	file_drop();
}
END_TEST

START_TEST(newer_formats)
{
	static const char letters[] = "HSMIR";
	static const enum inspect_kind kind[] = {INSPECT_FILE, INSPECT_SPECIAL, INSPECT_SESSION, INSPECT_DIRID,
						 INSPECT_KEYRING};
	uint8_t bytes[HEADER_LEN_STORE] = "BYOKFS2";

	for (size_t i = 0; i < ARRAY_LEN(kind); i++) {
		size_t len = kind[i] == INSPECT_SESSION ? SESSION_LEN
			     : kind[i] == INSPECT_DIRID ? DIRID_LEN
							: sizeof(bytes);
		bytes[7] = (uint8_t)letters[i];
		look_at("x", bytes, len, len);
		ck_assert_int_eq(inspect_kind_of(&in), kind[i]);
		SHOWS(kind[i], -ENOTSUP, "{}\n");
	}
}
END_TEST

/* Special objects */

static size_t special_make(enum object_type type, const char *target)
{
	static struct special s;
	size_t len;

	store = test_store(1);
	memset(object, 0, sizeof(object));
	memset(&s, 0, sizeof(s));
	s.type = type;
	s.target_len = (uint16_t)strlen(target);
	memcpy(s.target, target, strlen(target) + 1);
	ck_assert_int_eq(special_seal(store, &s, object, &len), 0);
	store_keys_free(store);
	return (size_t)layout_special_size(&small, type);
}

START_TEST(specials)
{
	static const char *const name[] = {"symlink", "fifo", "socket", "character device", "block device"};
	char want[256], id[2 * ID_LEN + 1];

	for (int i = 0; i < 5; i++) {
		size_t len = special_make(OBJECT_SYMLINK + i, i ? "" : "/the/target");
		look_at("x", object, SPECIAL_RECORD_MAX, len);
		for (size_t b = 0; b < ID_LEN; b++)
			snprintf(id + 2 * b, 3, "%02x", object[8 + b]);
		snprintf(want, sizeof(want), "{\"object_id\": \"%s\", \"type\": \"%s\"%s}\n", id, name[i],
			 i ? "" : ", \"target_length\": 11");
		SHOWS(INSPECT_SPECIAL, 0, want);
		in.layout.block_len = 0; /* the size tells the type, and the layout is not known */
		snprintf(want, sizeof(want), "{\"object_id\": \"%s\"}\n", id);
		SHOWS(INSPECT_SPECIAL, 0, want);
	}
}
END_TEST

START_TEST(specials_hostile)
{
	size_t len = special_make(OBJECT_SYMLINK, "t");
	/* of a size that is a file's: no special object */
	look_at("x", object, SPECIAL_RECORD_MAX, (uint64_t)layout_disk_size(&small, 4096));
	ck_assert_int_eq(show_as(INSPECT_SPECIAL, true), -EUCLEAN);
	ck_assert_ptr_null(strstr(text, "\"type\""));
	look_at("x", object, 10, 10);
	SHOWS(INSPECT_SPECIAL, -EUCLEAN, "{}\n");
	memset(object + 24, 0xff, 4); /* payload of 4 GiB */
	look_at("x", object, SPECIAL_RECORD_MAX, len);
	ck_assert_int_eq(show_as(INSPECT_SPECIAL, true), -EUCLEAN);
}
END_TEST

/* The small files */

START_TEST(stump_and_lock)
{
	uint8_t none[1];
	look_at("x", none, 0, 0);
	SHOWS(INSPECT_STUMP, 0, "{\"state\": \"0 bytes: a create that a crash cut off, or emptied\"}\n");
	look_at("lock", none, 0, 0);
	SHOWS(INSPECT_LOCK, 0, "{}\n");
	SHOWS(INSPECT_UNKNOWN, -EUCLEAN, "{}\n");
}
END_TEST

START_TEST(session_record)
{
	uint8_t buf[SESSION_LEN + 1] = {0};
	struct session s = {.number = 12, .state = SESSION_OPEN, .dirty_since = 3};
	store = test_store(1);
	ck_assert_int_eq(session_write(store, &s, buf), 0);
	look_at("session", buf, SESSION_LEN, SESSION_LEN);
	SHOWS(INSPECT_SESSION, 0, "{\"number\": 12, \"state\": \"open\", \"dirty_since\": 3}\n");
	s = (struct session){.number = 13, .state = SESSION_CLEAN};
	ck_assert_int_eq(session_write(store, &s, buf), 0);
	look_at("session", buf, SESSION_LEN, SESSION_LEN);
	SHOWS(INSPECT_SESSION, 0, "{\"number\": 13, \"state\": \"clean\", \"dirty_since\": 0}\n");
	look_at("session", buf, SESSION_LEN + 1, SESSION_LEN + 1);
	SHOWS(INSPECT_SESSION, -EUCLEAN, "{}\n");
	look_at("session", buf, SESSION_LEN - 1, SESSION_LEN - 1);
	SHOWS(INSPECT_SESSION, -EUCLEAN, "{}\n");
	/* a state that is none is shown as such, and is malformed */
	for (size_t i = 8; i < SESSION_LEN; i++) {
		uint8_t was = buf[i];
		buf[i] = 0x77;
		look_at("session", buf, SESSION_LEN, SESSION_LEN);
		int r = show_as(INSPECT_SESSION, true);
		ck_assert_int_eq(r == -EUCLEAN, strstr(text, "invalid") || strcmp(text, "{}\n") == 0);
		buf[i] = was;
	}
	store_keys_free(store);
}
END_TEST

START_TEST(directory_id)
{
	uint8_t id[ID_LEN], buf[DIRID_LEN + 1] = {0};
	char want[128] = "{\"directory_id\": \"";
	store = test_store(1);
	ck_assert_int_eq(dirid_new(store, id, buf), 0);
	for (size_t i = 0; i < ID_LEN; i++)
		snprintf(want + strlen(want), 3, "%02x", id[i]);
	strcat(want, "\"}\n");
	look_at(DIRID_NAME, buf, DIRID_LEN, DIRID_LEN);
	SHOWS(INSPECT_DIRID, 0, want);
	look_at(DIRID_NAME, buf, DIRID_LEN + 1, DIRID_LEN + 1);
	SHOWS(INSPECT_DIRID, -EUCLEAN, "{}\n");
	store_keys_free(store);
}
END_TEST

START_TEST(sidecar)
{
	look_at(".byokfs.name.abc", object, NAME_SIDECAR_MAX, NAME_SIDECAR_MAX);
	SHOWS(INSPECT_SIDECAR, 0, "{\"name_length\": 255, \"entry\": \".byokfs.long.abc\"}\n");
	look_at(".byokfs.name.abc", object, TAG_LEN, TAG_LEN);
	SHOWS(INSPECT_SIDECAR, -EUCLEAN, "{}\n");
	look_at(".byokfs.name.abc", object, NAME_SIDECAR_MAX + 1, NAME_SIDECAR_MAX + 1);
	SHOWS(INSPECT_SIDECAR, -EUCLEAN, "{}\n");
}
END_TEST

/* In-flight slots */

static void slot_put(unsigned no, const struct inflight *f, const char *path)
{
	size_t len = inflight_slot_len(&small);
	uint8_t *slot = aligned_alloc(4096, len);

	memset(slot, 0, len);
	inflight_fill(slot, f, path);
	inflight_mark(slot, 1);
	ck_assert_int_eq(pwrite(file, slot, INFLIGHT_HEAD_LEN, (off_t)(no * len)), INFLIGHT_HEAD_LEN);
	free(slot);
}

START_TEST(inflight_slots)
{
	struct inflight f = {.ino = 77, .disk_size = 99999, .n_extents = 2, .path_len = 5};
	uint64_t size = INFLIGHT_SLOTS * (uint64_t)inflight_slot_len(&small);
	char want[1024];

	memset(f.file_id, 0x0b, ID_LEN);
	f.extent[0] = (struct inflight_extent){512, 4124};
	f.extent[1] = (struct inflight_extent){4636, 60};
	look_at("inflight", object, 0, size);
	snprintf(want, sizeof(want), "{\"slot_length\": %zu, \"slots\": [], \"valid\": 0}\n",
		 inflight_slot_len(&small));
	SHOWS(INSPECT_INFLIGHT, 0, want);
	slot_put(2, &f, "a/\"b\"");
	f.disk_size = INFLIGHT_KEEP_SIZE;
	f.n_extents = 0;
	f.path_len = 0;
	slot_put(15, &f, NULL);
	snprintf(want, sizeof(want),
		 "{\"slot_length\": %zu, \"slots\": [{\"slot\": 2, \"state\": \"valid\", "
		 "\"file_id\": \"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\", \"inode\": 77, \"path\": \"a/\\\"b\\\"\", "
		 "\"disk_size\": 99999, \"extents\": [{\"offset\": 512, \"length\": 4124}, "
		 "{\"offset\": 4636, \"length\": 60}]}, {\"slot\": 15, \"state\": \"valid\", "
		 "\"file_id\": \"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\", \"inode\": 77, \"path\": \"\", \"extents\": []}], "
		 "\"valid\": 2}\n",
		 inflight_slot_len(&small));
	SHOWS(INSPECT_INFLIGHT, 0, want);
	/* one that is malformed does not hide the others */
	f.path_len = 3;
	slot_put(0, &f, "../");
	ck_assert_int_eq(show_as(INSPECT_INFLIGHT, true), -EUCLEAN);
	ck_assert_ptr_nonnull(strstr(
		text, "\"slots\": [{\"slot\": 0, \"state\": \"malformed\"}, {\"slot\": 2, \"state\": \"valid\""));
	ck_assert_ptr_nonnull(strstr(text, "\"valid\": 2}\n"));
	in.size -= 1;
	SHOWS(INSPECT_INFLIGHT, -EUCLEAN, "{}\n");
	in.layout.block_len = 0;
	SHOWS(INSPECT_INFLIGHT, 0, "{\"slots\": \"unknown without the store's block size (--block-size)\"}\n");
}
END_TEST

/* Keyring and pin */

static struct keyring *keyring_make(enum slot_policy policy, enum wrap_type wrap)
{
	uint8_t secrets[2 * KEY_LEN];
	struct keyring *k = calloc(1, sizeof(*k));

	memset(secrets, 3, sizeof(secrets));
	store = test_store(1);
	*k = (struct keyring){.sequence = 4,
			      .layout = {wrap == WRAP_FILE ? HEADER_LEN_FILE : HEADER_LEN_STORE, 65536, SUITE_2},
			      .wrap_type = wrap,
			      .name_mode = policy == POLICY_ANY ? NAMES_PLAIN : NAMES_SIV,
			      .policy = policy,
			      .next_number = 3,
			      .n_slots = wrap == WRAP_FILE ? 1 : 2};
	memcpy(k->store_id, store_keys_id(store), ID_LEN);
	k->slot = calloc(k->n_slots, sizeof(*k->slot));
	for (uint32_t i = 0; i < k->n_slots; i++) {
		k->slot[i].number = i + 1;
		k->slot[i].algorithm = (uint16_t)(i + 1);
		snprintf(k->slot[i].ref, sizeof(k->slot[i].ref), "local:/keys/%u", i);
		snprintf(k->slot[i].version, sizeof(k->slot[i].version), "%u", i + 10);
		k->slot[i].wrapped_len = 100 + i;
		memset(k->slot[i].wrapped, 0x5a, 100 + i);
	}
	ck_assert_int_eq(keyring_seal(k, secrets, store), 0);
	return k;
}

static void id_hex(const uint8_t id[ID_LEN], char out[2 * ID_LEN + 1])
{
	for (size_t i = 0; i < ID_LEN; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

#define FEATURES \
	"\"features_incompatible\": \"0\", \"features_read_only_compatible\": \"0\", \"features_compatible\": \"0\", "
#define SLOTS                                                                                                \
	"\"slots\": [{\"kek\": 1, \"reference\": \"local:/keys/0\", \"version\": \"10\", \"algorithm\": 1, " \
	"\"algorithm_name\": \"AES-256-GCM of a local keystore\", \"wrapped_length\": 100}, {\"kek\": 2, "   \
	"\"reference\": \"local:/keys/1\", \"version\": \"11\", \"algorithm\": 2, "                          \
	"\"algorithm_name\": \"RSA-OAEP-SHA-256\", \"wrapped_length\": 101}]"

START_TEST(keyring)
{
	char id[2 * ID_LEN + 1], want[2048];
	struct keyring *k = keyring_make(POLICY_ANY, WRAP_STORE);

	id_hex(k->store_id, id);
	look_at("keyring", k->bytes, k->len, k->len);
	snprintf(want, sizeof(want),
		 "{\"store_id\": \"%s\", \"sequence\": 4, \"block_size\": 65536, \"suite\": 2, \"header_size\": 512, "
		 "\"wrap_type\": \"store\", \"names\": \"plain\", \"policy\": \"any\", " FEATURES
		 "\"next_kek\": 3, " SLOTS "}\n",
		 id);
	SHOWS(INSPECT_KEYRING, 0, want);
	/* nothing of what is wrapped, and not the box */
	ck_assert_ptr_null(strstr(text, "5a5a"));
	for (size_t len = 0; len < k->len; len += len < 200 ? 1 : 97) {
		look_at("keyring", k->bytes, len, len);
		SHOWS(INSPECT_KEYRING, -EUCLEAN, "{}\n");
	}
	keyring_free(k);
	k = keyring_make(POLICY_ALL, WRAP_FILE);
	look_at("keyring", k->bytes, k->len, k->len);
	ck_assert_int_eq(show_as(INSPECT_KEYRING, true), 0);
	ck_assert_ptr_nonnull(strstr(text, "\"header_size\": 4096, \"wrap_type\": \"file\", \"names\": \"siv\", "
					   "\"policy\": \"all\""));
	keyring_free(k);
}
END_TEST

START_TEST(pin)
{
	char id[2 * ID_LEN + 1], want[4096], ref[2][KEYRING_REF_MAX + 1] = {"local:/keys/0", "fake:1"};
	struct keyring *k = keyring_make(POLICY_ALL, WRAP_STORE);
	struct pin p = {.sequence = 9, .n_refs = 2, .ref = ref};
	uint8_t *bytes;
	size_t len;

	memcpy(p.store_id, k->store_id, ID_LEN);
	id_hex(k->store_id, id);
	ck_assert_int_eq(pin_write(&p, &bytes, &len), 0);
	look_at("x.pin", bytes, len, len);
	ck_assert_int_eq(inspect_kind_of(&in), INSPECT_PIN);
	snprintf(want, sizeof(want),
		 "{\"store_id\": \"%s\", \"highest_sequence\": 9, \"references\": [{\"reference\": \"local:/keys/0\"}, "
		 "{\"reference\": \"fake:1\"}], \"keyring_length\": 0}\n",
		 id);
	SHOWS(INSPECT_PIN, 0, want);
	bytes[len - 1] ^= 1;
	SHOWS(INSPECT_PIN, -EUCLEAN, "{}\n");
	free(bytes);
	p.keyring = k->bytes;
	p.keyring_len = k->len;
	ck_assert_int_eq(pin_write(&p, &bytes, &len), 0);
	look_at("x.pin", bytes, len, len);
	ck_assert_int_eq(show_as(INSPECT_PIN, true), 0);
	snprintf(want, sizeof(want),
		 "\"keyring_length\": %zu, \"keyring\": {\"store_id\": \"%s\", \"sequence\": 4, \"block_size\": 65536, "
		 "\"suite\": 2, "
		 "\"header_size\": 512, \"wrap_type\": \"store\", \"names\": \"siv\", \"policy\": \"all\", " FEATURES
		 "\"next_kek\": 3, " SLOTS "}}\n",
		 k->len, id);
	ck_assert_ptr_nonnull(strstr(text, want));
	free(bytes);
	/* a whole pin with a keyring in it that is none */
	uint8_t *broken = malloc(k->len);
	memcpy(broken, k->bytes, k->len);
	memset(broken, 0, 16);
	p.keyring = broken;
	ck_assert_int_eq(pin_write(&p, &bytes, &len), 0);
	look_at("x.pin", bytes, len, len);
	ck_assert_int_eq(show_as(INSPECT_PIN, true), -EUCLEAN);
	ck_assert_ptr_null(strstr(text, "\"keyring\":"));
	free(broken);
	free(bytes);
	keyring_free(k);
}
END_TEST

/* The command, on a store */

static struct rig rig;

static void store_begin_at(void)
{
	rig_begin(&rig);
	rig_start(&rig);
	said_enter(rig.dir);
}

START_TEST(command_line)
{
	SAID(cmd_inspect, "inspect");
	SAID_USAGE("inspect", "FILE is missing");
	SAID(cmd_inspect, "inspect", "a", "b");
	SAID_USAGE("inspect", "one FILE only");
	SAID(cmd_inspect, "inspect", "a", "--block-size", "5k");
	SAID_USAGE("inspect", "--block-size is a power of two from 4k to 1M, not '5k'");
	SAID(cmd_inspect, "inspect", "a", "--header-size=1024");
	SAID_USAGE("inspect", "--header-size is 512 or 4096, not '1024'");
	SAID(cmd_inspect, "inspect", "a", "--header-size=x");
	SAID_USAGE("inspect", "--header-size is 512 or 4096, not 'x'");
	SAID(cmd_inspect, "inspect", "a", "--jsn");
	SAID_USAGE("inspect", "unknown option '--jsn': did you mean '--json'?");
	SAID(cmd_inspect, "inspect", "--help");
	ck_assert_int_eq(said.code, CMD_OK);
	SAID_BEGINS(said.out, "Usage: byokfs inspect FILE [OPTIONS]\n");
	SAID(cmd_inspect, "inspect", "no/such");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: cannot find no/such: No such file or directory\n");
	SAID(cmd_inspect, "inspect", "none");
	SAID_IS(CMD_NOT_FOUND, "", "byokfs: cannot read none: No such file or directory\n");
}
END_TEST

START_TEST(command_names_too_long)
{
	char name[NAME_LEN_MAX + 2], path[PATH_MAX + 1];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	SAID(cmd_inspect, "inspect", name);
	ck_assert_int_eq(said.code, CMD_FAILED);
	ck_assert_ptr_nonnull(strstr(said.err, ": File name too long\n"));
	memset(path, '/', sizeof(path));
	path[sizeof(path) - 1] = 0;
	SAID(cmd_inspect, "inspect", path);
	ck_assert_int_eq(said.code, CMD_FAILED);
	ck_assert_ptr_nonnull(strstr(said.err, ": File name too long\n"));
}
END_TEST

START_TEST(command_in_store)
{
	char want[512], id[2 * ID_LEN + 1];

	store_begin_at();
	id_hex(rig.root_id, id);
	SAID(cmd_inspect, "inspect", "--json", "store/data/.byokfs.dir");
	snprintf(want, sizeof(want),
		 "{\"path\": \"store/data/.byokfs.dir\", \"kind\": \"directory id\", \"store\": \"DIR/store\", "
		 "\"format\": \"1\", \"disk_size\": %u, \"directory_id\": \"%s\", \"well_formed\": true}\n",
		 DIRID_LEN, id);
	SAID_IS(CMD_OK, want, "");
	/* the layout comes from the keyring of the store around, or its copy */
	struct gate_key *key;
	close(rig_put_file(&rig, rig.store->data_fd, "a", 5000, &key));
	gate_key_close(key);
	ck_assert_int_eq(unlink("store/byokfs/keyring"), 0);
	SAID(cmd_inspect, "inspect", "store/data/a");
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_ptr_nonnull(strstr(said.out, "\nblock size                     4096\n"
					       "plain size                     5000\n"
					       "blocks                         1\n"));
	ck_assert_ptr_nonnull(strstr(said.out, "\nwell formed                    yes\n"));
	/* cut: what can be told is told, and then that it is malformed */
	ck_assert_int_eq(truncate("store/data/a", 5000), 0);
	SAID(cmd_inspect, "inspect", "store/data/a");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	ck_assert_str_eq(said.err, "byokfs: store/data/a is malformed: run byokfs verify\n");
	ck_assert_ptr_nonnull(strstr(said.out, "\nwell formed                    no\n"));
	said_put("store/data/b", "BYOKFS3H................................", 40);
	ck_assert_int_eq(truncate("store/data/b", 600), 0);
	SAID(cmd_inspect, "inspect", "store/data/b");
	ck_assert_str_eq(said.err, "byokfs: store/data/b is of a newer format than this version knows, or damaged\n");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	ck_assert_ptr_nonnull(strstr(said.out, "\nformat                         3\n"));
	ck_assert_int_eq(symlink("/etc/passwd", "store/data/l"), 0);
	SAID(cmd_inspect, "inspect", "store/data/l");
	SAID_IS(CMD_DAMAGED, "",
		"byokfs: store/data/l is a symbolic link: byokfs puts only directories and regular files into a "
		"store\n");
	ck_assert_int_eq(mkfifo("store/data/f", 0600), 0);
	SAID(cmd_inspect, "inspect", "store/data/f");
	SAID_IS(CMD_DAMAGED, "",
		"byokfs: store/data/f is a fifo: byokfs puts only directories and regular files into a store\n");
	rig_end(&rig);
}
END_TEST

START_TEST(command_outside)
{
	store_begin_at();
	struct gate_key *key;
	close(rig_put_file(&rig, rig.store->data_fd, "a", 5000, &key));
	gate_key_close(key);
	ck_assert_int_eq(rename("store/data/a", "a"), 0);
	SAID(cmd_inspect, "inspect", "a", "--json");
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_ptr_nonnull(strstr(said.out, "\"contents\": \"unknown without the store's block size"));
	ck_assert_ptr_null(strstr(said.out, "\"store\""));
	SAID(cmd_inspect, "inspect", "a", "--json", "--block-size=4k");
	ck_assert_int_eq(said.code, CMD_OK);
	ck_assert_ptr_nonnull(strstr(said.out, "\"plain_size\": 5000, \"blocks\": 1, "));
	SAID(cmd_inspect, "inspect", "a", "--json", "--block-size=8k");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	SAID(cmd_inspect, "inspect", "a", "--json", "--header-size=4k");
	ck_assert_int_eq(said.code, CMD_DAMAGED);
	said_put("text", "no file of a store", 18);
	SAID(cmd_inspect, "inspect", "text");
	SAID_IS(CMD_USAGE, "", "byokfs: text is not a file of a store\n");
	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	SAID(cmd_inspect, "inspect", "fifo");
	SAID_IS(CMD_USAGE, "", "byokfs: fifo is a fifo: not a file of a store\n");
	SAID(cmd_inspect, "inspect", "/dev/null");
	SAID_IS(CMD_USAGE, "", "byokfs: /dev/null is a device: not a file of a store\n");
	ck_assert_int_eq(symlink("a", "link"), 0);
	SAID(cmd_inspect, "inspect", "link");
	SAID_IS(CMD_USAGE, "", "byokfs: link is a symbolic link: not a file of a store\n");
	rig_end(&rig);
}
END_TEST

/* A folder tells which file of it is meant. */
START_TEST(command_folders)
{
	store_begin_at();
	SAID(cmd_inspect, "inspect", "store/data");
	SAID_IS(CMD_USAGE, "",
		"byokfs: store/data is a directory: inspect a file in it, store/data/.byokfs.dir for its id\n");
	rig_end(&rig);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		kinds,
		algorithms,
		file_whole,
		file_lines,
		file_rewrapped,
		file_cut,
		newer_formats,
		specials,
		specials_hostile,
		stump_and_lock,
		session_record,
		directory_id,
		sidecar,
		inflight_slots,
		keyring,
		pin,
		command_line,
		command_names_too_long,
		command_in_store,
		command_outside,
		command_folders,
	};

	if (secret_init() != 0)
		return EXIT_FAILURE;
	return said_main("inspect", NULL, tests, ARRAY_LEN(tests));
}
