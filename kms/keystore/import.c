/* SPDX-License-Identifier: BSD-2-Clause */
/* A customer's own key for the keystore, read from a file. */
#include "kms/keystore/import.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kms/keystore/keystore_private.h"
#include "kms/keystore/trust.h"

#define IMPORT_MAX 32768u

/* All of FD into BUF; the length, or negative errno (-EFBIG). */
static ssize_t read_all(int fd, uint8_t *buf)
{
	size_t n = 0;

	for (;;) {
		ssize_t got = read(fd, buf + n, IMPORT_MAX - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return (ssize_t)n;
		n += (size_t)got;
		if (n == IMPORT_MAX)
			return -EFBIG;
	}
}

static int import_pem(const uint8_t *buf, size_t len, const char *path, struct rsa_der *out, char why[KEYSTORE_WHY_MAX])
{
	int r = rsa_from_pem(buf, len, out);

	if (r == -EKEYREJECTED)
		return keystore_say(why, r, "%s is encrypted: decrypt it first (openssl pkey -in F -out -)", path);
	if (r == -ERANGE)
		return keystore_say(why, r, "the RSA key in %s does not have %u to %u bits", path, RSA_BITS_MIN,
				    RSA_BITS_MAX);
	return r ? keystore_say(why, r, "%s holds no RSA private key that can be read", path) : 0;
}

static int import_aes(const uint8_t *buf, struct rsa_der *out, char why[KEYSTORE_WHY_MAX])
{
	out->bytes = sodium_malloc(KEY_LEN);
	if (!out->bytes)
		return keystore_say(why, -ENOMEM, "out of memory");
	memcpy(out->bytes, buf, KEY_LEN);
	out->len = KEY_LEN;
	out->bits = 256;
	return 0;
}

static int import_neither(size_t len, const char *path, char why[KEYSTORE_WHY_MAX])
{
	return keystore_say(
		why, -EINVAL, "%s has %zu bytes: a key is 32 raw bytes%s, or an RSA private key in PEM", path, len,
		len >= 43 && len <= 66 ? " (this looks like text: decode it with base64 -d or xxd -r -p)" : "");
}

/* Whoever may write the file has chosen the key, or knows it. */
static int import_open(const char *path, char why[KEYSTORE_WHY_MAX])
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return keystore_say(why, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && (!S_ISREG(st.st_mode) || trust_file(&st, path) == 0))
		return fd;
	close(fd);
	return keystore_say(why, -EPERM, "%s is not yours, or others may write it or a folder above it: chmod 600 it",
			    path);
}

int import_read(const char *path, enum keystore_type *type, struct rsa_der *out, char why[KEYSTORE_WHY_MAX])
{
	const bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : import_open(path, why);
	const char *name = standard ? "standard input" : path;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return fd;
	uint8_t *buf = sodium_malloc(IMPORT_MAX);
	ssize_t n = buf ? read_all(fd, buf) : -ENOMEM;
	if (!standard)
		close(fd);
	int r;
	if (n < 0)
		r = keystore_say(why, (int)n, "cannot read %s: %s", name, strerror((int)-n));
	else if (n == KEY_LEN)
		r = import_aes(buf, out, why);
	else if (memmem(buf, (size_t)n, "-----BEGIN ", 11))
		r = import_pem(buf, (size_t)n, name, out, why);
	else
		r = import_neither((size_t)n, name, why);
	*type = n == KEY_LEN ? KEYSTORE_AES256 : KEYSTORE_RSA;
	sodium_free(buf);
	return r;
}
