/* SPDX-License-Identifier: BSD-2-Clause */
/* A small store made by the library functions, under the scripted KMS. For test_check.c and test_recover.c. */
#ifndef TESTS_UNIT_STORE_RIG_H
#define TESTS_UNIT_STORE_RIG_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "crypto/block.h"
#include "crypto/header.h"
#include "crypto/secret.h"
#include "crypto/special.h"
#include "crypto/xattr.h"
#include "fs/store/store.h"
#include "kms/custody.h"
#include "kms/gate.h"
#include "tests/kms/scripted.h"

#define RIG_BLOCK 4096u

static inline struct kms *rig_kms_new(void)
{
	struct kms *k = fake_kms_open(0);

	ck_assert_ptr_nonnull(k);
	return k;
}

/* A store in a temporary directory, open, with an open gate. */
struct rig {
	char dir[64];
	char path[96];
	enum wrap_type wrap;
	enum name_mode names;
	struct store *store;
	struct gate *gate;
	uint8_t root_id[ID_LEN];
};

static inline void rig_make_store(struct rig *r)
{
	struct keyring k = {
		.wrap_type = r->wrap, .name_mode = r->names, .policy = POLICY_ALL, .n_slots = 1, .next_number = 2};
	struct keyring_slot *slot = calloc(1, sizeof(*slot));
	struct kms *kek = rig_kms_new();
	struct kms_verdict v = {0};
	struct store_keys *keys;
	char why[STORE_WHY_MAX];
	k.sequence = 1;
	k.layout = (struct layout){r->wrap == WRAP_FILE ? HEADER_LEN_FILE : HEADER_LEN_STORE, RIG_BLOCK, SUITE_2};
	k.slot = slot;
	slot->number = 1;
	snprintf(slot->ref, sizeof(slot->ref), "fake:0");
	ck_assert_int_eq(custody_create(&k, &kek, &v), 0);
	ck_assert_int_eq(custody_open(&k, &kek, &keys, &v), 0);
	ck_assert_msg(store_create(r->path, &k, keys, why) == 0, "%s", why);
	store_keys_free(keys);
	kms_close(kek);
	free(k.bytes);
	free(slot);
}

/* Open store and gate, as a mount does up to (not including) store_begin(). */
static inline int rig_open(struct rig *r)
{
	static const char *const refs[] = {"fake:0"};
	const struct store_open how = {.path = r->path, .refs = refs, .n_refs = 1};
	char why[STORE_WHY_MAX] = "", reason[320] = "";
	int err = store_open(&how, &r->store, why);
	if (err) {
		r->store = NULL;
		return err;
	}
	ck_assert_msg(store_lock(r->store, "", why) == 0, "%s", why);
	struct kms *kek = rig_kms_new();
	struct gate_config cfg = {.keyring = r->store->keyring, .kek = &kek, .lease_ms = 3600000};
	ck_assert_int_eq(gate_new(&cfg, &r->gate), 0);
	err = gate_open(r->gate, reason);
	if (err) {
		gate_close(r->gate);
		store_close(r->store);
		r->gate = NULL;
		r->store = NULL;
	}
	return err;
}

static inline void rig_shut(struct rig *r)
{
	gate_close(r->gate);
	store_close(r->store);
	r->gate = NULL;
	r->store = NULL;
}

static inline void rig_begin(struct rig *r)
{
	memset(r, 0, sizeof(*r));
	r->wrap = WRAP_STORE;
	r->names = NAMES_SIV;
}

/* Make it and open it. wrap and names may be set before. */
static inline void rig_start(struct rig *r)
{
	ck_assert_int_eq(secret_init(), 0);
	snprintf(r->dir, sizeof(r->dir), "/tmp/byokfs-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/store", r->dir);
	setenv("BYOKFS_STATE_DIR", r->dir, 1);
	rig_make_store(r);
	ck_assert_int_eq(rig_open(r), 0);
	ck_assert_int_eq(store_dirid_read(r->store->data_fd, r->gate, r->root_id), 0);
}

static inline void rig_end(struct rig *r)
{
	char command[sizeof(r->dir) + 16];

	rig_shut(r);
	snprintf(command, sizeof(command), "rm -rf %s", r->dir); /* nftw(3) ends where a path is too long */
	ck_assert_int_eq(system(command), 0);
}

/* What is sealed into a file: N bytes of a pattern. */
static inline void rig_pattern(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(i * 7 + i / 251 + 1);
}

/* Borrowed keys and a cipher for KEY; ended by rig_cipher_end(). */
static inline void rig_cipher(struct rig *r, struct gate_key *key, int sealing, struct block_cipher *c)
{
	const struct store_keys *store;
	const struct file_keys *file;
	ck_assert_int_eq(gate_enter(r->gate, GATE_USE_NEW, &store), 0);
	ck_assert_int_eq(gate_key_borrow(key, store, &file), 0);
	ck_assert_int_eq(block_cipher_begin(c, store, file, &r->store->keyring->layout, sealing), 0);
}

static inline void rig_cipher_end(struct rig *r, struct block_cipher *c)
{
	block_cipher_end(c);
	gate_leave(r->gate);
}

/* Seal a final record after NO blocks at its place; returns where it ends. */
static inline uint64_t rig_put_final(struct rig *r, int fd, struct gate_key *key, uint64_t no,
				     const struct final_head *head)
{
	const struct layout *l = &r->store->keyring->layout;
	uint8_t tail[RIG_BLOCK], record[RIG_BLOCK + FINAL_OVERHEAD];
	struct block_cipher c;
	rig_pattern(tail, sizeof(tail));
	rig_cipher(r, key, 1, &c);
	ck_assert_int_eq(final_seal(&c, no, head, tail, record), 0);
	rig_cipher_end(r, &c);
	ck_assert_int_eq(store_pwrite_full(fd, record, FINAL_OVERHEAD + head->tail_len, layout_record_off(l, no)), 0);
	return layout_record_off(l, no) + FINAL_OVERHEAD + head->tail_len;
}

/* Seal block NO at its place. */
static inline void rig_put_block(struct rig *r, int fd, struct gate_key *key, uint64_t no)
{
	uint8_t plain[RIG_BLOCK], record[RIG_BLOCK + BLOCK_OVERHEAD];
	struct block_cipher c;
	rig_pattern(plain, sizeof(plain));
	rig_cipher(r, key, 1, &c);
	ck_assert_int_eq(block_seal(&c, no, 1, plain, record), 0);
	rig_cipher_end(r, &c);
	ck_assert_int_eq(
		store_pwrite_full(fd, record, sizeof(record), layout_record_off(&r->store->keyring->layout, no)), 0);
}

/* A whole file of SIZE bytes under a disk name (any): open read-write, *KEY is its own. */
static inline int rig_put_file(struct rig *r, int dir_fd, const char *disk, uint64_t size, struct gate_key **key)
{
	uint8_t header[HEADER_LEN_FILE];
	int fd = openat(dir_fd, disk, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(gate_key_create(r->gate, header, key), 0);
	ck_assert_int_eq(store_pwrite_full(fd, header, r->store->keyring->layout.header_len, 0), 0);
	for (uint64_t no = 0; no < size / RIG_BLOCK; no++)
		rig_put_block(r, fd, *key, no);
	struct final_head head = {.tail_len = (uint32_t)(size % RIG_BLOCK), .generation = 1};
	rig_put_final(r, fd, *key, size / RIG_BLOCK, &head);
	return fd;
}

/* The disk name of PLAIN in the folder with DIR_ID, its sidecar written if it is long. */
static inline void rig_name(struct rig *r, int dir_fd, const uint8_t dir_id[ID_LEN], const char *plain,
			    char disk[NAME_LEN_MAX + 1])
{
	const struct store_keys *keys;
	struct disk_name dn;
	ck_assert_int_eq(gate_enter(r->gate, GATE_USE_NEW, &keys), 0);
	ck_assert_int_eq(name_encode(keys, r->names, dir_id, plain, strlen(plain), &dn), 0);
	gate_leave(r->gate);
	memcpy(disk, dn.name, sizeof(dn.name));
	if (!dn.sidecar[0])
		return;
	int fd = openat(dir_fd, dn.sidecar, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(store_pwrite_full(fd, dn.sidecar_data, dn.sidecar_len, 0), 0);
	close(fd);
}

#endif
