/* SPDX-License-Identifier: BSD-2-Clause */
/* RSA keys of the keystore, and keys that a customer brings: each container, each kind, whole and damaged. */
#include "kms/keystore/rsa.h"

#include <check.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/secret.h"
#include "kms/keystore/import.h"

/* Made once, before the tests fork: it is what takes the time. */
static EVP_PKEY *rsa, *second, *small_one, *ec, *ed25519, *pss;

static void keys_make(void)
{
	ck_assert_int_eq(secret_init(), 0);
	rsa = EVP_RSA_gen(2048);
	second = EVP_RSA_gen(2048);
	small_one = EVP_RSA_gen(1024);
	ec = EVP_EC_gen("P-256");
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
	ck_assert(ctx && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) == 1 &&
		  EVP_PKEY_generate(ctx, &pss) == 1);
	EVP_PKEY_CTX_free(ctx);
	ck_assert(rsa && second && small_one && ec && ed25519 && pss);
}

static void keys_free(void)
{
	EVP_PKEY *all[] = {rsa, second, small_one, ec, ed25519, pss};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		EVP_PKEY_free(all[i]);
}

static char base[64], why[KEYSTORE_WHY_MAX];

static void setup(void)
{
	snprintf(base, sizeof(base), "/tmp/byokfs-rsa-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(base));
	ck_assert_int_eq(chdir(base), 0);
}

static void teardown(void)
{
	char command[sizeof(base) + 16];

	ck_assert_uint_eq(ERR_peek_error(), 0); /* none is left for the next who looks */
	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -rf %s", base);
	ck_assert_int_eq(system(command), 0);
}

/* PEM */

enum pem { PKCS8, PKCS1, SEC1, ENCRYPTED_PKCS8, ENCRYPTED_PKCS1, PUBLIC };

static void pem_write(BIO *bio, EVP_PKEY *key, enum pem as)
{
	int r;

	if (as == PUBLIC)
		r = PEM_write_bio_PUBKEY(bio, key);
	else if (as == PKCS8)
		r = PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	else if (as == ENCRYPTED_PKCS8)
		r = PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_256_cbc(), "abcd", 4, NULL, NULL);
	else
		r = PEM_write_bio_PrivateKey_traditional(bio, key, as == ENCRYPTED_PKCS1 ? EVP_aes_128_cbc() : NULL,
							 as == ENCRYPTED_PKCS1 ? (unsigned char *)"abcd" : NULL, 4,
							 NULL, NULL);
	ck_assert_int_eq(r, 1);
}

/* KEY as PEM, malloc'ed. */
static char *pem_make(EVP_PKEY *key, enum pem as)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *bytes;

	pem_write(bio, key, as);
	long len = BIO_get_mem_data(bio, &bytes);
	char *text = strndup(bytes, (size_t)len);
	BIO_free(bio);
	ck_assert_ptr_nonnull(text);
	return text;
}

static size_t der_make(EVP_PKEY *key, uint8_t **out)
{
	*out = NULL;
	int len = i2d_PrivateKey(key, out);
	ck_assert_int_gt(len, 0);
	return (size_t)len;
}

static void is_rsa(const struct rsa_der *d)
{
	uint8_t *der;
	size_t len = der_make(rsa, &der);

	ck_assert_uint_eq(d->bits, 2048);
	ck_assert_uint_eq(d->len, len);
	ck_assert_mem_eq(d->bytes, der, len);
	OPENSSL_free(der);
}

static void is_empty(const struct rsa_der *d)
{
	ck_assert_ptr_null(d->bytes);
	ck_assert_uint_eq(d->len, 0);
}

START_TEST(containers)
{
	struct {
		const char *name;
		EVP_PKEY *key;
		enum pem as;
		int r;
	} rows[] = {
		{"PKCS#8", rsa, PKCS8, 0},
		{"PKCS#1", rsa, PKCS1, 0},
		{"encrypted PKCS#8", rsa, ENCRYPTED_PKCS8, -EKEYREJECTED},
		{"encrypted PKCS#1", rsa, ENCRYPTED_PKCS1, -EKEYREJECTED},
		{"encrypted EC", ec, ENCRYPTED_PKCS8, -EKEYREJECTED},
		{"public", rsa, PUBLIC, -EINVAL},
		{"1024 bits", small_one, PKCS8, -ERANGE},
		{"1024 bits PKCS#1", small_one, PKCS1, -ERANGE},
		{"EC PKCS#8", ec, PKCS8, -EINVAL},
		{"EC", ec, SEC1, -EINVAL},
		{"Ed25519", ed25519, PKCS8, -EINVAL},
		{"RSA-PSS", pss, PKCS8, -EINVAL}, /* may not encrypt */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *pem = pem_make(rows[i].key, rows[i].as);
		struct rsa_der d;
		int r = rsa_from_pem((const uint8_t *)pem, strlen(pem), &d);
		ck_assert_msg(r == rows[i].r, "%s: %d", rows[i].name, r);
		if (r == 0)
			is_rsa(&d);
		else
			is_empty(&d);
		rsa_der_free(&d);
		free(pem);
	}
}
END_TEST

/* Cut anywhere before its last line it is no key. */
START_TEST(pem_cut)
{
	char *pem = pem_make(rsa, PKCS8), *end = strstr(pem, "-----END");
	struct rsa_der d;

	ck_assert_ptr_nonnull(end);
	size_t whole = (size_t)(end - pem) + strlen("-----END PRIVATE KEY-----");
	for (size_t len = 0; len < whole; len += len + 30 < whole ? 29 : 1) {
		ck_assert_msg(rsa_from_pem((const uint8_t *)pem, len, &d) == -EINVAL, "%zu of %zu", len, whole);
		is_empty(&d);
	}
	ck_assert_int_eq(rsa_from_pem((const uint8_t *)pem, strlen(pem), &d), 0);
	rsa_der_free(&d);
	free(pem);
}
END_TEST

/* What stands around a PEM is not the key: words before it, another key after it. */
START_TEST(pem_surroundings)
{
	char *pem = pem_make(rsa, PKCS8), *other = pem_make(second, PKCS8);
	static char text[16384];
	struct rsa_der d;

	snprintf(text, sizeof(text), "Bag Attributes\n  friendlyName: x\n%s%s", pem, other);
	ck_assert_int_eq(rsa_from_pem((const uint8_t *)text, strlen(text), &d), 0);
	is_rsa(&d); /* the first */
	rsa_der_free(&d);
	free(pem);
	free(other);
}
END_TEST

/* DER */

START_TEST(der)
{
	struct rsa_der d;
	uint8_t *bytes;
	size_t len = der_make(rsa, &bytes);

	ck_assert_int_eq(rsa_from_der(bytes, len, &d), 0);
	is_rsa(&d);
	rsa_der_free(&d);
	is_empty(&d);
	rsa_der_free(&d); /* once more is legal */
	for (size_t cut = 0; cut < len; cut += cut < 20 || cut + 20 > len ? 1 : 97) {
		ck_assert_msg(rsa_from_der(bytes, cut, &d) == -EINVAL, "%zu of %zu", cut, len);
		is_empty(&d);
	}
	/* What follows is not kept. */
	uint8_t *longer = calloc(1, len + 5);
	ck_assert_ptr_nonnull(longer);
	memcpy(longer, bytes, len);
	ck_assert_int_eq(rsa_from_der(longer, len + 5, &d), 0);
	is_rsa(&d);
	rsa_der_free(&d);
	free(longer);
	OPENSSL_free(bytes);
}
END_TEST

/* Numbers that do not belong together: it would wrap, and never unwrap. */
START_TEST(der_inconsistent)
{
	struct rsa_der d;
	uint8_t *bytes;
	size_t len = der_make(rsa, &bytes);

	for (size_t i = 30; i < len - 4; i += 61) {
		bytes[i] ^= 4;
		int r = rsa_from_der(bytes, len, &d);
		ck_assert_msg(r == -EINVAL, "byte %zu: %d", i, r);
		is_empty(&d);
		bytes[i] ^= 4;
	}
	ck_assert_int_eq(rsa_from_der(bytes, len, &d), 0);
	rsa_der_free(&d);
	OPENSSL_free(bytes);
}
END_TEST

START_TEST(der_kinds)
{
	struct {
		EVP_PKEY *key;
		int r;
	} rows[] = {{small_one, -ERANGE}, {ec, -EINVAL}, {ed25519, -EINVAL}, {pss, -EINVAL}};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct rsa_der d;
		uint8_t *bytes;
		size_t len = der_make(rows[i].key, &bytes);
		ck_assert_int_eq(rsa_from_der(bytes, len, &d), rows[i].r);
		is_empty(&d);
		OPENSSL_free(bytes);
	}
}
END_TEST

START_TEST(generated)
{
	static const unsigned bad[] = {0, 1, 256, 1024, 2047, 4097, 8192, UINT_MAX};
	struct rsa_der d;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		ck_assert_int_eq(rsa_generate(bad[i], &d), -ERANGE);
		is_empty(&d);
	}
	ck_assert_int_eq(rsa_generate(2048, &d), 0);
	ck_assert_uint_eq(d.bits, 2048);
	struct rsa_der again;
	ck_assert_int_eq(rsa_from_der(d.bytes, d.len, &again), 0);
	rsa_der_free(&again);
	rsa_der_free(&d);
}
END_TEST

/* OAEP */

static struct rsa_der der_of(EVP_PKEY *key)
{
	struct rsa_der d;
	uint8_t *bytes;
	size_t len = der_make(key, &bytes);

	ck_assert_int_eq(rsa_from_der(bytes, len, &d), 0);
	OPENSSL_free(bytes);
	return d;
}

START_TEST(seal_and_open)
{
	struct rsa_der key = der_of(rsa), other = der_of(second);
	uint8_t plain[72], cipher[RSA_CIPHER_MAX], twice[RSA_CIPHER_MAX], out[80];
	size_t len, n;

	memset(plain, 7, sizeof(plain));
	ck_assert_int_eq(rsa_seal(&key, plain, sizeof(plain), cipher, &len), 0);
	ck_assert_uint_eq(len, 256);
	ck_assert_int_eq(rsa_open(&key, cipher, len, out, sizeof(plain)), 0);
	ck_assert_mem_eq(out, plain, sizeof(plain));
	ck_assert_int_eq(rsa_seal(&key, plain, sizeof(plain), twice, &n), 0);
	ck_assert_mem_ne(twice, cipher, len); /* another seed */
	/* Whatever is wrong, nothing comes out. */
	memset(out, 0xee, sizeof(out));
	ck_assert_int_eq(rsa_open(&other, cipher, len, out, sizeof(plain)), -EBADMSG);
	ck_assert_int_eq(rsa_open(&key, cipher, len, out, sizeof(plain) - 1), -EBADMSG);
	ck_assert_int_eq(rsa_open(&key, cipher, len, out, sizeof(plain) + 1), -EBADMSG);
	ck_assert_int_eq(rsa_open(&key, cipher, len - 1, out, sizeof(plain)), -EBADMSG);
	ck_assert_int_eq(rsa_open(&key, cipher, 0, out, sizeof(plain)), -EBADMSG);
	for (size_t i = 0; i < len; i += 15) {
		cipher[i] ^= 1;
		ck_assert_int_eq(rsa_open(&key, cipher, len, out, sizeof(plain)), -EBADMSG);
		cipher[i] ^= 1;
	}
	for (size_t i = 0; i < sizeof(out); i++)
		ck_assert_uint_eq(out[i], 0xee);
	/* The longest that fits: 256 - 2 * 32 - 2. */
	uint8_t large[191] = {0};
	ck_assert_int_eq(rsa_seal(&key, large, 190, cipher, &len), 0);
	ck_assert_int_eq(rsa_seal(&key, large, 191, cipher, &len), -EIO);
	rsa_der_free(&key);
	rsa_der_free(&other);
}
END_TEST

/* Sealed by others with PADDING and MD for both hashes: only what PROVIDERS.md names opens. */
START_TEST(other_paddings)
{
	const struct {
		int padding;
		const EVP_MD *md, *mgf1;
		int r;
	} rows[] = {{RSA_PKCS1_OAEP_PADDING, EVP_sha256(), EVP_sha256(), 0},
		    {RSA_PKCS1_OAEP_PADDING, EVP_sha1(), EVP_sha1(), -EBADMSG},
		    {RSA_PKCS1_OAEP_PADDING, EVP_sha256(), EVP_sha1(), -EBADMSG},
		    {RSA_PKCS1_OAEP_PADDING, EVP_sha1(), EVP_sha256(), -EBADMSG},
		    {RSA_PKCS1_PADDING, NULL, NULL, -EBADMSG}};
	struct rsa_der key = der_of(rsa);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t plain[72] = {3}, cipher[RSA_CIPHER_MAX], out[72];
		size_t len = sizeof(cipher);
		EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, rsa, NULL);
		ck_assert(EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, rows[i].padding) == 1);
		if (rows[i].md)
			ck_assert(EVP_PKEY_CTX_set_rsa_oaep_md(ctx, rows[i].md) == 1 &&
				  EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, rows[i].mgf1) == 1);
		ck_assert_int_eq(EVP_PKEY_encrypt(ctx, cipher, &len, plain, sizeof(plain)), 1);
		EVP_PKEY_CTX_free(ctx);
		ck_assert_msg(rsa_open(&key, cipher, len, out, sizeof(out)) == rows[i].r, "row %zu", i);
		if (rows[i].r == 0)
			ck_assert_mem_eq(out, plain, sizeof(plain));
	}
	rsa_der_free(&key);
}
END_TEST

/* Files that a customer brings */

static int import_bytes(const void *bytes, size_t len, enum keystore_type *type, struct rsa_der *d)
{
	FILE *f = fopen("brought", "we");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	ck_assert_int_eq(fclose(f), 0);
	why[0] = '\0';
	return import_read("brought", type, d, why);
}

START_TEST(import_says)
{
	struct {
		EVP_PKEY *key;
		enum pem as;
		int r;
		const char *says;
	} rows[] = {
		{rsa, PKCS8, 0, ""},
		{rsa, PKCS1, 0, ""},
		{rsa, ENCRYPTED_PKCS8, -EKEYREJECTED, "brought is encrypted: decrypt it first"},
		{rsa, PUBLIC, -EINVAL, "brought holds no RSA private key"},
		{ec, PKCS8, -EINVAL, "brought holds no RSA private key"},
		{small_one, PKCS1, -ERANGE, "does not have 2048 to 4096 bits"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *pem = pem_make(rows[i].key, rows[i].as);
		enum keystore_type type = 0;
		struct rsa_der d;
		ck_assert_int_eq(import_bytes(pem, strlen(pem), &type, &d), rows[i].r);
		ck_assert_msg(strstr(why, rows[i].says) != NULL, "%s", why);
		ck_assert_int_eq(type, KEYSTORE_RSA);
		rsa_der_free(&d);
		free(pem);
	}
	/* DER is not taken for a file's contents: the way there is told. */
	struct rsa_der d;
	enum keystore_type type;
	uint8_t *bytes;
	size_t len = der_make(rsa, &bytes);
	ck_assert_int_eq(import_bytes(bytes, len, &type, &d), -EINVAL);
	ck_assert_ptr_nonnull(strstr(why, "32 raw bytes, or an RSA private key in PEM"));
	is_empty(&d);
	OPENSSL_free(bytes);
}
END_TEST

/* 32 bytes and no other number; text of a key is told to be text. */
START_TEST(import_raw)
{
	static uint8_t bytes[40000];
	static const size_t lengths[] = {0, 1, 16, 31, 33, 42, 43, 64, 66, 67, 256, 32767};
	enum keystore_type type;
	struct rsa_der d;

	memset(bytes, '7', sizeof(bytes));
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		ck_assert_int_eq(import_bytes(bytes, lengths[i], &type, &d), -EINVAL);
		ck_assert_int_eq(strstr(why, "looks like text") != NULL, lengths[i] >= 43 && lengths[i] <= 66);
		is_empty(&d);
	}
	ck_assert_int_eq(import_bytes(bytes, 32, &type, &d), 0);
	ck_assert_int_eq(type, KEYSTORE_AES256);
	ck_assert_uint_eq(d.len, 32);
	ck_assert_uint_eq(d.bits, 256);
	ck_assert_mem_eq(d.bytes, bytes, 32);
	rsa_der_free(&d);
	/* Not read without end. */
	ck_assert_int_eq(import_bytes(bytes, sizeof(bytes), &type, &d), -EFBIG);
	ck_assert_int_eq(import_read("/dev/zero", &type, &d, why), -EFBIG);
	ck_assert_ptr_nonnull(strstr(why, "cannot read /dev/zero: "));
	ck_assert_int_eq(import_read(".", &type, &d, why), -EISDIR);
	ck_assert_int_eq(import_read("absent", &type, &d, why), -ENOENT);
	ck_assert_ptr_nonnull(strstr(why, "cannot open absent: "));
}
END_TEST

/* "-" is standard input, which comes in pieces and stays open. */
START_TEST(import_standard_input)
{
	enum keystore_type type;
	struct rsa_der d;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	close(ends[0]);
	ck_assert_int_eq(write(ends[1], "0123456789abcdef0123456789abcdef", 32), 32);
	close(ends[1]);
	ck_assert_msg(import_read("-", &type, &d, why) == 0, "%s", why);
	ck_assert_mem_eq(d.bytes, "0123456789abcdef0123456789abcdef", 32);
	rsa_der_free(&d);
	ck_assert_int_eq(import_read("-", &type, &d, why), -EINVAL); /* empty now, and not closed */
	ck_assert_ptr_nonnull(strstr(why, "standard input has 0 bytes"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rsa");
	TCase *t = tcase_create("rsa");

	tcase_add_unchecked_fixture(t, keys_make, keys_free);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, containers);
	tcase_add_test(t, pem_cut);
	tcase_add_test(t, pem_surroundings);
	tcase_add_test(t, der);
	tcase_add_test(t, der_inconsistent);
	tcase_add_test(t, der_kinds);
	tcase_add_test(t, generated);
	tcase_add_test(t, seal_and_open);
	tcase_add_test(t, other_paddings);
	tcase_add_test(t, import_says);
	tcase_add_test(t, import_raw);
	tcase_add_test(t, import_standard_input);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	int failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
