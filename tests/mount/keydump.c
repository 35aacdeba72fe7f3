/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens a store's keyring through its keystore and prints every key that hangs on it, for tests/mount/scan. Tests only. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/header.h"
#include "crypto/keys_private.h"
#include "kms/custody.h"

static struct store_keys *keys;
static struct keyring *ring;
static struct kms *kek[KEYRING_SLOTS_MAX];
static struct kms_verdict verdict;

static void print(const char *label, const uint8_t *p, size_t n)
{
	printf("%s ", label);
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
	putchar('\n');
}

static uint8_t *slurp(const char *path, size_t max, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint8_t *buf = malloc(max);
	ssize_t n = fd < 0 || !buf ? -1 : read(fd, buf, max);
	if (fd >= 0)
		close(fd);
	if (n < 0) {
		free(buf);
		return NULL;
	}
	*len = (size_t)n;
	return buf;
}

static int kms_payload(enum kms_use use, const struct kms_wrapped *w, uint8_t *payload)
{
	struct kms_purpose p = {.use = use};
	memcpy(p.store_id, ring->store_id, ID_LEN);
	return kms_unwrap(kek[0], &p, w, payload, &verdict);
}

static void print_slot_secret(void)
{
	static struct kms_wrapped w;
	uint8_t *payload = secret_alloc(PAYLOAD_LEN), secret[KEY_LEN];
	const struct keyring_slot *s = &ring->slot[0];
	kms_wrapped_set(&w, s->algorithm, s->version, s->wrapped, s->wrapped_len);
	if (kms_payload(KMS_USE_KEYRING, &w, payload) == 0 &&
	    slot_payload_parse(payload, PAYLOAD_LEN, ring->store_id, secret) == 0)
		print("slot-secret", secret, KEY_LEN);
	secret_free(payload);
}

/* The key of the file's first record: a block's prefix lies behind the header, a final record's behind its head as well. */
static void print_content(const struct file_keys *f, const uint8_t *record)
{
	uint8_t key[KEY_LEN];
	if (keys->suite == SUITE_1)
		print("content-key", f->content0, KEY_LEN);
	else if (file_record_key(f, record, key) == 0)
		print("content-key", key, KEY_LEN);
	if (keys->suite != SUITE_1 && file_record_key(f, record + FINAL_HEAD_LEN, key) == 0)
		print("content-key", key, KEY_LEN);
}

static void print_file(const struct file_keys *f)
{
	print("dek", f->dek, KEY_LEN);
	print("dek-prk", f->prk, KEY_LEN);
	print("header-mac-key", f->header_mac, KEY_LEN);
}

static void one_file(const char *path)
{
	struct header h;
	struct file_keys *f = NULL;
	size_t len;
	uint8_t *buf = slurp(path, ring->layout.header_len + FINAL_OVERHEAD, &len);
	if (!buf || len < ring->layout.header_len + FINAL_OVERHEAD || header_parse(buf, ring->layout.header_len, &h) ||
	    header_newest(&h, -1) < 0) {
		free(buf);
		return;
	}
	const struct header_wrap *w = &h.wrap[header_newest(&h, -1)];
	int r = -EIO;
	if (ring->wrap_type == WRAP_STORE) {
		r = dek_unwrap(keys, w->number, h.file_id, w->wrapped, &f);
	} else {
		static struct kms_wrapped kw;
		uint8_t *payload = secret_alloc(PAYLOAD_LEN);
		kms_wrapped_set(&kw, w->algorithm, w->version, w->wrapped, w->wrapped_len);
		r = kms_payload(KMS_USE_FILE, &kw, payload);
		if (r == 0)
			r = dek_payload_parse(keys, h.file_id, payload, PAYLOAD_LEN, &f);
		secret_free(payload);
	}
	if (r == 0) {
		print_file(f);
		print_content(f, buf + ring->layout.header_len);
	}
	file_keys_free(f);
	free(buf);
}

static void walk(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		char path[8192];
		if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.'))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (e->d_type == DT_DIR)
			walk(path);
		else if (e->d_type == DT_REG)
			one_file(path);
	}
	if (d)
		closedir(d);
}

static void print_store_keys(void)
{
	print("root-key", keys->root, KEY_LEN);
	print("dek-salt", keys->dek_salt, KEY_LEN);
	for (unsigned i = 0; i < MAC_PURPOSES; i++)
		print("mac-key", keys->mac[i], KEY_LEN);
	print("xattr-key", keys->xattr_values, KEY_LEN);
	print("special-key", keys->special, KEY_LEN);
	for (uint32_t g = 1; g <= keys->newest; g++)
		if (store_key_find(keys, g))
			print("store-key", store_key_find(keys, g), KEY_LEN);
}

int main(int argc, char **argv)
{
	char path[4096];
	size_t len;
	if (argc != 2 || secret_init())
		return 2;
	snprintf(path, sizeof(path), "%s/byokfs/keyring", argv[1]);
	uint8_t *buf = slurp(path, KEYRING_LEN_MAX, &len);
	if (!buf || keyring_parse(buf, len, &ring)) {
		fprintf(stderr, "keydump: no keyring\n");
		return 1;
	}
	for (uint32_t i = 0; i < ring->n_slots; i++) {
		struct kms_config c = {.ref = ring->slot[i].ref, .timeout_ms = 5000};
		if (kms_open(&c, &kek[i], &verdict)) {
			fprintf(stderr, "keydump: %s\n", verdict.text);
			return 1;
		}
	}
	if (custody_open(ring, kek, &keys, &verdict)) {
		fprintf(stderr, "keydump: %s\n", verdict.text);
		return 1;
	}
	print_slot_secret();
	print_store_keys();
	snprintf(path, sizeof(path), "%s/data", argv[1]);
	walk(path);
	return 0;
}
