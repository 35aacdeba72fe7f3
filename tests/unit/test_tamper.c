/* SPDX-License-Identifier: BSD-2-Clause */
/* Every structure of the format, tampered with in every way: which byte gives which error, as FORMAT.md has it. */
#include "tests/unit/tamper_rig.h"

#include "crypto/audit.h"
#include "crypto/block.h"
#include "crypto/header.h"
#include "crypto/inflight.h"
#include "crypto/keyring.h"
#include "crypto/name.h"
#include "crypto/pin.h"
#include "crypto/session.h"
#include "crypto/special.h"
#include "crypto/xattr.h"

#define TAIL 40u

/* The eight bytes in front, where a newer format is told apart. */
/* The first eight bytes of every structure: family, version, kind. */
#define MAGIC_FAMILY 0, 6, -EUCLEAN, 0
#define MAGIC_VERSION 6, 7, TAMPER_VERSION, 0
#define MAGIC_KIND 7, 8, -EUCLEAN, 0

static const struct layout layout = {HEADER_LEN_STORE, 4096, SUITE_2};
static const uint8_t dir_id[ID_LEN] = {4, 5, 6};
static const uint8_t secret[KEY_LEN] = {7, 8, 9};
static struct store_keys *store;
static struct file_keys *file, *other_file;

static void setup(void)
{
	store = test_store(1);
	file = test_file(store, 3);
	other_file = test_file(store, 4);
}

static void teardown(void)
{
	file_keys_free(file);
	file_keys_free(other_file);
	store_keys_free(store);
	ck_assert_uint_eq(secret_in_use(), 0);
}

/* One slot, so that the place of each field is known. */
static uint8_t *keyring_bytes(uint64_t sequence, size_t *len)
{
	struct keyring *k = calloc(1, sizeof(*k));

	memcpy(k->store_id, store_keys_id(store), ID_LEN);
	k->sequence = sequence;
	k->layout = layout;
	k->wrap_type = WRAP_STORE;
	k->name_mode = NAMES_SIV;
	k->policy = POLICY_ALL;
	k->next_number = 2;
	k->n_slots = 1;
	k->slot = calloc(1, sizeof(*k->slot));
	k->slot[0].number = 1;
	k->slot[0].algorithm = 6;
	memcpy(k->slot[0].ref, "abc", 4);
	memcpy(k->slot[0].version, "de", 3);
	k->slot[0].wrapped_len = 5;
	ck_assert_int_eq(keyring_seal(k, secret, store), 0);
	uint8_t *bytes = k->bytes;
	*len = k->len;
	k->bytes = NULL;
	keyring_free(k);
	return bytes;
}

static int keyring_read(const uint8_t *bytes, size_t len)
{
	struct keyring *k;
	struct store_keys *keys = NULL;
	int r = keyring_parse(bytes, len, &k);

	if (r)
		return r;
	r = keyring_open(k, secret, &keys);
	store_keys_free(keys);
	keyring_free(k);
	return r;
}

static const struct tamper keyring_rows = {
	.name = "keyring",
	.read = keyring_read,
	.range =
		{
			{MAGIC_FAMILY},
			{MAGIC_VERSION},
			{MAGIC_KIND},
			{9, 10, -EUCLEAN, 1},        /* major version 0, below the minimum reader */
			{8, 10, -EBADMSG, 0},        /* a later one that this reader may read still */
			{10, 16, -EUCLEAN, 0},       /* minimum reader: 0, or above the major version; length */
			{16, 24, -ENOTSUP, 0},       /* incompatible features */
			{24, 64, -EBADMSG, 0},       /* other features, sequence, store id */
			{64, 72, -EUCLEAN, 0},       /* H, B */
			{73, 74, -EUCLEAN, 2},       /* suite 0 */
			{72, 74, -ENOTSUP, 0},       /* an unknown suite */
			{74, 80, -EUCLEAN, 0},       /* wrap type, name mode, policy */
			{83, 84, -EUCLEAN, 2},       /* next number 0, and there is a slot 1 */
			{80, 84, -EBADMSG, 0},       /* a higher one */
			{84, 132, -EUCLEAN, 0},      /* counts, lengths, reserved; a number 0 or not below the next */
			{132, 134, -EBADMSG, 0},     /* algorithm */
			{134, 144, -EUCLEAN, 0},     /* lengths, reserved */
			{144, SIZE_MAX, -EBADMSG, 0} /* texts, wrapped secret, box */
		},
	.cut = -EUCLEAN,
	.longer = -EUCLEAN,
};

START_TEST(keyring)
{
	size_t len, len_older;
	uint8_t *bytes = keyring_bytes(70, &len), *older = keyring_bytes(69, &len_older);

	tamper(&keyring_rows, bytes, len);
	ck_assert_uint_eq(len, len_older);
	tamper_graft(&keyring_rows, bytes, older, len);
	free(bytes);
	free(older);
}
END_TEST

static int pin_read(const uint8_t *bytes, size_t len)
{
	struct pin *p;
	int r = pin_parse(bytes, len, &p);

	if (!r)
		pin_free(p);
	return r;
}

static uint8_t *pin_bytes(uint64_t sequence, size_t *len)
{
	static char ref[2][KEYRING_REF_MAX + 1] = {"local:/a/b", "local:/c"};
	static uint8_t copy[50] = {1, 2, 3};
	const struct pin p = {.sequence = sequence, .n_refs = 2, .ref = ref, .keyring = copy, .keyring_len = 50};
	uint8_t *bytes;

	ck_assert_int_eq(pin_write(&p, &bytes, len), 0);
	return bytes;
}

START_TEST(pin)
{
	static const struct tamper rows = {
		.name = "pin",
		.read = pin_read,
		.range = {{MAGIC_FAMILY}, {MAGIC_VERSION}, {MAGIC_KIND}, {8, SIZE_MAX, -EUCLEAN, 0}},
		.cut = -EUCLEAN,
		.longer = -EUCLEAN};
	size_t len;
	uint8_t *bytes = pin_bytes(9, &len), *older = pin_bytes(8, &len);

	tamper(&rows, bytes, len);
	tamper_graft(&rows, bytes, older, len);
	free(bytes);
	free(older);
}
END_TEST

/* As a reader does: the newest slot's key, then the MAC that commits to it. */
static int header_read(const uint8_t *bytes, size_t len)
{
	static struct header h;
	struct file_keys *keys = NULL;
	int r = header_parse(bytes, len, &h);

	if (r)
		return r;
	int i = header_newest(&h, -1);
	r = dek_unwrap(store, h.wrap[i].number, h.file_id, h.wrap[i].wrapped, &keys);
	if (!r)
		r = header_check(bytes, len, i, store, keys);
	file_keys_free(keys);
	return r;
}

static void header_bytes(const struct file_keys *of, uint64_t sequence, uint8_t bytes[HEADER_LEN_STORE])
{
	static struct header_wrap w;

	w = (struct header_wrap){.sequence = sequence, .number = 1, .algorithm = 1, .wrapped_len = DEK_WRAP_LEN};
	ck_assert_int_eq(dek_wrap(store, of, w.wrapped), 0);
	ck_assert_int_eq(header_write(&w, store, of, bytes, HEADER_LEN_STORE), 0);
}

static const struct tamper header_rows = {
	.name = "header",
	.read = header_read,
	.range =
		{
			{MAGIC_FAMILY},
			{MAGIC_VERSION},
			{MAGIC_KIND},
			{8, 24, -EBADMSG, 0},    /* file id */
			{25, 26, -EUCLEAN, 2},   /* suite 0 */
			{24, 26, -ENOTSUP, 0},   /* an unknown suite */
			{26, 64, -EUCLEAN, 0},   /* reserved */
			{64, 72, -EBADMSG, 0},   /* sequence */
			{75, 76, -EUCLEAN, 1},   /* generation 0: the only slot is none */
			{72, 76, -ENOKEY, 0},    /* a store key that the keyring does not have */
			{76, 88, -EUCLEAN, 0},   /* algorithm, lengths, reserved */
			{88, 188, -EBADMSG, 0},  /* the wrapped DEK */
			{188, 192, -EUCLEAN, 0}, /* zeros */
			{192, 224, -EBADMSG, 0}, /* the MAC */
			{224, 512, 0, 0},        /* a second slot that is none, the binding area */
		},
	.cut = -EUCLEAN,
	.longer = -EUCLEAN,
};

START_TEST(header)
{
	uint8_t bytes[HEADER_LEN_STORE], older[HEADER_LEN_STORE], other[HEADER_LEN_STORE];

	header_bytes(file, 6, bytes);
	header_bytes(file, 5, older);
	header_bytes(other_file, 6, other);
	tamper(&header_rows, bytes, sizeof(bytes));
	tamper_graft(&header_rows, bytes, older, sizeof(bytes));
	tamper_graft(&header_rows, bytes, other, sizeof(bytes));
}
END_TEST

static int session_read(const uint8_t *bytes, size_t len)
{
	struct session s;

	return session_parse(store, bytes, len, &s);
}

static int session_look(const uint8_t *bytes, size_t len)
{
	struct session s;

	return session_peek(bytes, len, &s);
}

START_TEST(session)
{
	static const struct tamper rows = {.name = "session",
					   .read = session_read,
					   .range = {{0, SIZE_MAX, -EBADMSG, 0}},
					   .cut = -EBADMSG,
					   .longer = -EBADMSG};
	static const struct tamper look = {
		.name = "session, without key",
		.read = session_look,
		.range = {{MAGIC_FAMILY}, {MAGIC_VERSION}, {MAGIC_KIND}, {8, SESSION_LEN, 0, 0}},
		.cut = -EUCLEAN,
		.longer = -EUCLEAN};
	uint8_t bytes[SESSION_LEN], older[SESSION_LEN];

	ck_assert_int_eq(session_write(store, &(struct session){5, SESSION_OPEN, 2}, bytes), 0);
	ck_assert_int_eq(session_write(store, &(struct session){4, SESSION_CLEAN, 0}, older), 0);
	tamper(&rows, bytes, sizeof(bytes));
	tamper_graft(&rows, bytes, older, sizeof(bytes));
	tamper(&look, bytes, sizeof(bytes));
}
END_TEST

/* The head of a valid slot, in the memory of a whole one. */
static int inflight_read(const uint8_t *bytes, size_t len)
{
	static uint8_t slot[INFLIGHT_HEAD_LEN];
	struct inflight f;
	const char *path;

	memset(slot, 0, sizeof(slot));
	memcpy(slot, bytes, len);
	return inflight_parse(slot, inflight_slot_len(&layout), &layout, &f, &path);
}

/* Nothing here is authenticated: what may stand there is taken, and what would lead a reader astray is not. */
static const struct tamper inflight_rows = {
	.name = "in-flight slot",
	.read = inflight_read,
	.range =
		{
			{0, 12, -EUCLEAN, 0},                   /* magic, mark */
			{15, 16, 0, 2},                         /* no extents */
			{12, 16, -EUCLEAN, 0},                  /* one that is empty, or too many */
			{16, 48, 0, 0},                         /* file id, hints */
			{48, 49, 0, 0x80},                      /* the largest size there is */
			{48, 56, -EUCLEAN, 0},                  /* larger */
			{59, 60, 0, 1 | 2 | 4},                 /* a shorter path */
			{56, 64, -EUCLEAN, 0},                  /* a path with NUL in it, or too long; reserved */
			{64, 65, -EUCLEAN, 0x80},               /* offset: beyond the largest */
			{70, 71, -EUCLEAN, 2},                  /* below the end of the header */
			{80, 81, -EUCLEAN, 0x80},               /* as the first one's */
			{72, 73, -EUCLEAN, 0},                  /* length: more than a slot holds */
			{73, 74, -EUCLEAN, 0x20 | 0x40 | 0x80}, /* the same */
			{88, 89, -EUCLEAN, 0},                  /* as the first one's */
			{89, 90, -EUCLEAN, 0x20 | 0x40 | 0x80}, /* the same */
			{76, 80, -EUCLEAN, 0},                  /* reserved */
			{92, 96, -EUCLEAN, 0},                  /* reserved */
			{64, INFLIGHT_HEAD_LEN, 0, 0},          /* all else */
		},
};

START_TEST(inflight)
{
	static uint8_t slot[INFLIGHT_HEAD_LEN];
	struct inflight f = {
		.dev = 1, .ino = 2, .disk_size = INFLIGHT_KEEP_SIZE, .n_extents = 2, .path_len = 7, .file_id = {5}};

	f.extent[0] = (struct inflight_extent){512, 4124};
	f.extent[1] = (struct inflight_extent){512 + 4124, 60};
	inflight_fill(slot, &f, "a/b/c.d");
	inflight_mark(slot, 1);
	tamper_flip(&inflight_rows, slot, 256 + 7);
}
END_TEST

static int special_read(const uint8_t *bytes, size_t len)
{
	static struct special s;

	return special_open(store, OBJECT_SYMLINK, bytes, len, &s);
}

static int special_look(const uint8_t *bytes, size_t len)
{
	struct special_head head;

	return special_peek(bytes, len, &head);
}

START_TEST(special)
{
	static const struct tamper rows = {.name = "special object",
					   .read = special_read,
					   .range = {{0, SIZE_MAX, -EBADMSG, 0}},
					   .cut = -EBADMSG,
					   .longer = 0}; /* behind it lie zeros, which are no part of it */
	static const struct tamper look = {.name = "special object, without key",
					   .read = special_look,
					   .range = {{MAGIC_FAMILY}, {MAGIC_VERSION}, {MAGIC_KIND}, {8, 28, 0, 0}},
					   .cut = -EUCLEAN,
					   .longer = 0};
	static uint8_t bytes[SPECIAL_RECORD_MAX], other[SPECIAL_RECORD_MAX];
	static struct special s = {.type = OBJECT_SYMLINK, .target_len = 9, .target = "somewhere"};
	size_t len;

	ck_assert_int_eq(special_seal(store, &s, bytes, &len), 0);
	ck_assert_int_eq(special_seal(store, &s, other, &len), 0);
	tamper(&rows, bytes, len);
	tamper_graft(&rows, bytes, other, len);
	tamper(&look, bytes, 28);
}
END_TEST

static const char *xattr_name = "user.colour";

static int xattr_read(const uint8_t *bytes, size_t len)
{
	uint8_t plain[64];

	return xattr_open(store, dir_id, xattr_name, bytes, len, plain);
}

START_TEST(xattr)
{
	static const struct tamper rows = {.name = "attribute's value",
					   .read = xattr_read,
					   .range = {{0, SIZE_MAX, -EBADMSG, 0}},
					   .cut = -EBADMSG,
					   .longer = -EBADMSG};
	uint8_t bytes[5 + XATTR_OVERHEAD], older[5 + XATTR_OVERHEAD];

	ck_assert_int_eq(xattr_seal(store, dir_id, xattr_name, (const uint8_t *)"green", 5, bytes), 0);
	ck_assert_int_eq(xattr_seal(store, dir_id, xattr_name, (const uint8_t *)"brown", 5, older), 0);
	tamper(&rows, bytes, sizeof(bytes));
	tamper_graft(&rows, bytes, older, sizeof(bytes));
	/* The value of another name, and of another object. */
	ck_assert_int_eq(xattr_seal(store, dir_id, "user.color", (const uint8_t *)"green", 5, older), 0);
	ck_assert_int_eq(tamper_ask(&rows, older, sizeof(older)), -EBADMSG);
	ck_assert_int_eq(xattr_seal(store, secret, xattr_name, (const uint8_t *)"green", 5, older), 0);
	ck_assert_int_eq(tamper_ask(&rows, older, sizeof(older)), -EBADMSG);
}
END_TEST

static struct disk_name long_name;

static int sidecar_read(const uint8_t *bytes, size_t len)
{
	char plain[NAME_LEN_MAX + 1];

	return name_decode(store, NAMES_SIV, dir_id, long_name.name, bytes, len, plain);
}

START_TEST(sidecar)
{
	static const struct tamper rows = {.name = "sidecar",
					   .read = sidecar_read,
					   .range = {{0, SIZE_MAX, -EBADMSG, 0}},
					   .cut = -EBADMSG,
					   .longer = -EBADMSG};
	static struct disk_name other;
	char plain[200];

	memset(plain, 'a', sizeof(plain));
	ck_assert_int_eq(name_encode(store, NAMES_SIV, dir_id, plain, sizeof(plain), &long_name), 0);
	tamper(&rows, long_name.sidecar_data, long_name.sidecar_len);
	/* That of another name, and that of the same name in another directory. */
	ck_assert_int_eq(name_encode(store, NAMES_SIV, secret, plain, sizeof(plain), &other), 0);
	ck_assert_int_eq(tamper_ask(&rows, other.sidecar_data, other.sidecar_len), -EBADMSG);
	plain[199] = 'b';
	ck_assert_int_eq(name_encode(store, NAMES_SIV, dir_id, plain, sizeof(plain), &other), 0);
	ck_assert_uint_eq(other.sidecar_len, long_name.sidecar_len);
	ck_assert_int_eq(tamper_ask(&rows, other.sidecar_data, other.sidecar_len), -EBADMSG);
}
END_TEST

static int dirid_read(const uint8_t *bytes, size_t len)
{
	uint8_t id[ID_LEN];

	return dirid_parse(store, bytes, len, id);
}

static int dirid_look(const uint8_t *bytes, size_t len)
{
	uint8_t id[ID_LEN];

	return dirid_peek(bytes, len, id);
}

START_TEST(dirid)
{
	static const struct tamper rows = {.name = "directory id",
					   .read = dirid_read,
					   .range = {{0, SIZE_MAX, -EBADMSG, 0}},
					   .cut = -EBADMSG,
					   .longer = -EBADMSG};
	static const struct tamper look = {
		.name = "directory id, without key",
		.read = dirid_look,
		.range = {{MAGIC_FAMILY}, {MAGIC_VERSION}, {MAGIC_KIND}, {8, DIRID_LEN, 0, 0}},
		.cut = -EUCLEAN,
		.longer = -EUCLEAN};
	uint8_t bytes[DIRID_LEN], other[DIRID_LEN], id[ID_LEN];

	ck_assert_int_eq(dirid_new(store, id, bytes), 0);
	ck_assert_int_eq(dirid_new(store, id, other), 0);
	tamper(&rows, bytes, sizeof(bytes));
	tamper_graft(&rows, bytes, other, sizeof(bytes));
	tamper(&look, bytes, sizeof(bytes));
}
END_TEST

/* The chain at line 2 of session 3. */
static struct audit_chain *chain_new(void)
{
	struct audit_key *key;
	struct audit_chain *c;

	ck_assert_int_eq(audit_key_new(store, &key), 0);
	ck_assert_int_eq(audit_chain_new(key, 3, &c), 0);
	audit_key_free(key);
	ck_assert_int_eq(audit_chain_skip(c), 0);
	return c;
}

static int line_read(const uint8_t *bytes, size_t len)
{
	struct audit_line line;
	int r = audit_line_parse((const char *)bytes, len, &line);

	if (r)
		return r;
	struct audit_chain *c = chain_new();
	r = audit_chain_check(c, (const char *)bytes, &line);
	audit_chain_free(c);
	return r;
}

static size_t line_bytes(struct audit_chain *c, const char *reason, uint8_t prev[MAC_LEN], char line[AUDIT_LINE_MAX])
{
	static struct audit_text t;
	size_t len;

	audit_text_begin(&t, 1795533972123, "state");
	audit_text_str(&t, "reason", reason);
	ck_assert_int_eq(audit_chain_seal(c, &(struct audit_seal){.text = &t}, prev, line, &len), 0);
	return len - 1;
}

START_TEST(audit_lines)
{
	static const struct tamper rows = {.name = "audit line",
					   .read = line_read,
					   .range = {{5, 6, -ENOTSUP, 2 | 4 | 8}, /* "v":3, 5, 9 */
						     {0, SIZE_MAX, -EBADMSG, 0}},
					   .cut = -EBADMSG,
					   .longer = -EBADMSG};
	static char line[AUDIT_LINE_MAX], next[AUDIT_LINE_MAX], other[AUDIT_LINE_MAX];
	uint8_t prev[MAC_LEN] = {1}, before[MAC_LEN] = {1};
	struct audit_chain *c = chain_new();
	size_t len = line_bytes(c, "green", prev, line), len_next = line_bytes(c, "green", prev, next);

	audit_chain_free(c);
	tamper(&rows, (uint8_t *)line, len);
	/* The line behind it in its place; then another that a writer with the same key could have written there. */
	ck_assert_int_eq(tamper_ask(&rows, (const uint8_t *)next, len_next), -EBADMSG);
	c = chain_new();
	ck_assert_uint_eq(line_bytes(c, "brown", before, other), len);
	audit_chain_free(c);
	tamper_graft(&rows, (const uint8_t *)line, (const uint8_t *)other, len);
}
END_TEST

static int end_read(const uint8_t *bytes, size_t len)
{
	struct audit_end e;

	return audit_end_parse(bytes, len, &e);
}

START_TEST(audit_end)
{
	static const struct tamper rows = {
		.name = "audit end",
		.read = end_read,
		.range = {{MAGIC_FAMILY}, {MAGIC_VERSION}, {MAGIC_KIND}, {8, SIZE_MAX, -EUCLEAN, 0}},
		.cut = -EUCLEAN,
		.longer = -EUCLEAN};
	struct audit_end e = {.session = 3, .line = 9, .length = 2000, .lost = 1};
	uint8_t bytes[AUDIT_END_LEN], older[AUDIT_END_LEN];

	audit_end_write(&e, bytes);
	e.line--;
	audit_end_write(&e, older);
	tamper(&rows, bytes, sizeof(bytes));
	tamper_graft(&rows, bytes, older, sizeof(bytes));
}
END_TEST

/* The final record after NO blocks of FILE. */
static void final_bytes(const struct file_keys *of, uint64_t no, uint64_t generation,
			uint8_t bytes[FINAL_OVERHEAD + TAIL])
{
	static const uint8_t tail[TAIL] = {1, 2, 3};
	const struct final_head head = {.tail_len = TAIL, .generation = generation};
	struct block_cipher c;

	ck_assert_int_eq(block_cipher_begin(&c, store, of, &layout, true), 0);
	ck_assert_int_eq(final_seal(&c, no, &head, tail, bytes), 0);
	block_cipher_end(&c);
}

static int final_read(const uint8_t *bytes, size_t len)
{
	struct block_cipher c;
	struct final_head head;
	uint8_t tail[TAIL + 1];

	ck_assert_int_eq(block_cipher_begin(&c, store, file, &layout, false), 0);
	int r = final_open(&c, 3, bytes, len, &head, tail);
	block_cipher_end(&c);
	return r;
}

static int final_look(const uint8_t *bytes, size_t len)
{
	struct final_head head;

	return final_head_parse(&layout, bytes, len, &head);
}

START_TEST(final)
{
	static const struct tamper rows = {.name = "final record",
					   .read = final_read,
					   .range = {{0, SIZE_MAX, -EBADMSG, 0}},
					   .cut = -EBADMSG,
					   .longer = -EBADMSG};
	static const struct tamper look = {.name = "final record's head, without key",
					   .read = final_look,
					   .range = {{0, 2, -EBADMSG, 0}, /* a tail of B and more */
						     {2, 3, -EBADMSG, 0xf0},
						     {2, 4, 0, 0},
						     {7, 8, 0, FINAL_SPARSE},
						     {4, 8, -EBADMSG, 0}, /* unknown flags */
						     {8, 16, 0, 0},
						     {16, 32, -EBADMSG, 0}}, /* reserved */
					   .cut = -EBADMSG,
					   .longer = 0};
	uint8_t bytes[FINAL_OVERHEAD + TAIL], other[FINAL_OVERHEAD + TAIL];

	final_bytes(file, 3, 8, bytes);
	final_bytes(file, 3, 7, other);
	tamper(&rows, bytes, sizeof(bytes));
	tamper_graft(&rows, bytes, other, sizeof(bytes));
	tamper(&look, bytes, 32);
	/* Of another length of the file, and of another file. */
	final_bytes(file, 4, 8, other);
	ck_assert_int_eq(tamper_ask(&rows, other, sizeof(other)), -EBADMSG);
	final_bytes(other_file, 3, 8, other);
	ck_assert_int_eq(tamper_ask(&rows, other, sizeof(other)), -EBADMSG);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {keyring, pin,     header, session,     inflight,  special,
				      xattr,   sidecar, dirid,  audit_lines, audit_end, final};
	Suite *s = suite_create("tamper");
	TCase *t = tcase_create("tamper");

	if (secret_init() != 0)
		return EXIT_FAILURE;
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
