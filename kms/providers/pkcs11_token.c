/* SPDX-License-Identifier: BSD-2-Clause */
/* A vendor's module, in the helper: the one file that speaks Cryptoki (PKCS#11 2.40). One thread, one token, one login. */
#include <dlfcn.h>
#include <errno.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/auto.h"
#include "crypto/keyring.h"
#include "crypto/keys.h"
#include "crypto/secret.h"
#include "kms/providers/pkcs11.h"

#define SLOTS_MAX 256u
#define KEYS_MAX 64u /* of one label */
#define IV_LEN 12u
#define TAG_LEN 16u

/* C_Initialize's arguments, with the field that NSS has behind them: what stands in its place with others is NULL. */
struct p11_init_args {
	CK_C_INITIALIZE_ARGS args;
	void *reserved;
};

static struct {
	CK_FUNCTION_LIST *fn;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE idle; /* keeps the login: it ends with the last session */
	struct p11_uri uri;
} token;

static void stop_at(struct p11_reply *r, enum p11_stage stage, CK_RV rv)
{
	r->stage = stage;
	r->rv = rv;
}

/* The start */

/* "NAME=VALUE NAME=VALUE": where modules look for their configuration, and a daemon has no environment. */
static void environment_set(char *text)
{
	char *rest = NULL;

	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
		char *equals = strchr(word, '=');

		if (!equals || equals == word)
			continue;
		*equals = '\0';
		setenv(word, equals + 1, 1);
	}
}

static int module_load(const char *path, struct p11_reply *r)
{
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *error = module ? "no PKCS#11 in it (C_GetFunctionList)" : dlerror();
	void *found = module ? dlsym(module, "C_GetFunctionList") : NULL;
	CK_RV (*list)(CK_FUNCTION_LIST **) = NULL;

	memcpy(&list, &found, sizeof(list)); /* ISO C has no cast from the one to the other */
	if (list && list(&token.fn) == CKR_OK && token.fn)
		return 0;
	snprintf(r->text, sizeof(r->text), "%s", error ? error : "cannot be loaded");
	stop_at(r, P11_LOAD, 0);
	return -EINVAL;
}

static CK_RV initialize(char *args)
{
	/* The custom of NSS: its parameters stand where others have a reserved NULL. */
	struct p11_init_args all = {.args = {.flags = CKF_OS_LOCKING_OK, .pReserved = args[0] ? args : NULL}};

	return token.fn->C_Initialize(&all);
}

/* TEXT, LEN bytes padded with blanks, is WANTED? "" wants nothing. */
static bool padded_is(const unsigned char *text, size_t len, const char *wanted)
{
	while (len && (text[len - 1] == ' ' || text[len - 1] == '\0'))
		len--;
	return !wanted[0] || (strlen(wanted) == len && memcmp(text, wanted, len) == 0);
}

static int token_find(CK_TOKEN_INFO *info, struct p11_reply *r)
{
	CK_SLOT_ID slot[SLOTS_MAX];
	CK_ULONG n = SLOTS_MAX;
	CK_RV rv = token.fn->C_GetSlotList(CK_TRUE, slot, &n);

	if (rv) {
		stop_at(r, P11_CALL, rv);
		return -EIO;
	}
	for (CK_ULONG i = 0; i < n; i++) {
		if (token.fn->C_GetTokenInfo(slot[i], info) == CKR_OK &&
		    padded_is(info->label, sizeof(info->label), token.uri.token) &&
		    padded_is(info->serialNumber, sizeof(info->serialNumber), token.uri.serial)) {
			token.slot = slot[i];
			return 0;
		}
	}
	stop_at(r, P11_TOKEN, 0);
	return -ENOENT;
}

static void begin(struct p11_begin *b, struct p11_secret *pin, struct p11_reply *r)
{
	CK_TOKEN_INFO info;

	token.uri = b->uri;
	environment_set(b->environment);
	if (module_load(b->module, r))
		return;
	CK_RV rv = initialize(b->args);
	if (rv && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		stop_at(r, P11_CALL, rv);
		return;
	}
	if (token_find(&info, r))
		return;
	rv = token.fn->C_OpenSession(token.slot, CKF_SERIAL_SESSION, NULL, NULL, &token.idle);
	if (rv) {
		stop_at(r, P11_CALL, rv);
		return;
	}
	if (pin->len == 0 && info.flags & CKF_LOGIN_REQUIRED) {
		stop_at(r, P11_NO_PIN, 0);
		return;
	}
	rv = pin->len ? token.fn->C_Login(token.idle, CKU_USER, pin->bytes, pin->len) : CKR_OK;
	stop_at(r, rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? P11_DONE : P11_LOGIN, rv);
}

/* Keys */

/* A key in a session of its own. */
struct p11_key {
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE handle, other; /* other: of an RSA pair the half that wraps, 0 = not there */
	CK_KEY_TYPE type;
	uint32_t id_len;
	uint8_t id[P11_ID_MAX];
};

/* All objects of CLASS with the reference's label, and ID if LEN: at most KEYS_MAX into OUT. */
static CK_RV objects_find(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const struct p11_key *like,
			  CK_OBJECT_HANDLE *out, CK_ULONG *n)
{
	CK_ATTRIBUTE want[3] = {{CKA_CLASS, &class, sizeof(class)}};
	CK_ULONG wants = 1;
	char label[P11_OBJECT_MAX + 1];
	uint8_t id[P11_ID_MAX];

	memcpy(label, token.uri.object, sizeof(label));
	memcpy(id, like->id, sizeof(id));
	if (label[0])
		want[wants++] = (CK_ATTRIBUTE){CKA_LABEL, label, strlen(label)};
	if (like->id_len)
		want[wants++] = (CK_ATTRIBUTE){CKA_ID, id, like->id_len};
	*n = 0;
	CK_RV rv = token.fn->C_FindObjectsInit(session, want, wants);
	if (rv)
		return rv;
	rv = token.fn->C_FindObjects(session, out, KEYS_MAX, n);
	CK_RV end = token.fn->C_FindObjectsFinal(session);
	return rv ? rv : end;
}

/* LEN bytes at most of an attribute; 0 bytes where there is none. */
static size_t attribute(const struct p11_key *k, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *out, size_t len)
{
	CK_ATTRIBUTE a = {type, out, len};

	if (token.fn->C_GetAttributeValue(k->session, object, &a, 1) != CKR_OK ||
	    a.ulValueLen == CK_UNAVAILABLE_INFORMATION || a.ulValueLen > len)
		return 0;
	return a.ulValueLen;
}

/* An attribute that is there and false. */
static bool is_false(const struct p11_key *k, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
	CK_BBOOL value = CK_TRUE;

	return attribute(k, object, type, &value, sizeof(value)) == sizeof(value) && !value;
}

/* Of several keys under one label the newest counts: the highest CKA_ID among those that may encrypt. */
static bool is_newer(const uint8_t *id, size_t len, const struct p11_key *than)
{
	return len != than->id_len ? len > than->id_len : memcmp(id, than->id, len) > 0;
}

static CK_RV class_find(struct p11_key *k, CK_OBJECT_CLASS class, const struct p11_key *like, bool newest)
{
	CK_OBJECT_HANDLE found[KEYS_MAX];
	uint8_t id[P11_ID_MAX];
	CK_ULONG n;
	CK_RV rv = objects_find(k->session, class, like, found, &n);

	for (CK_ULONG i = 0; !rv && i < n; i++) {
		size_t len = attribute(k, found[i], CKA_ID, id, sizeof(id));
		/* of an RSA pair the public half encrypts */
		bool may = class != CKO_SECRET_KEY || !is_false(k, found[i], CKA_ENCRYPT);

		if (k->handle && (!newest || !may || !is_newer(id, len, k)))
			continue;
		if (newest && !may && n > 1)
			continue;
		k->handle = found[i];
		k->id_len = (uint32_t)len;
		memcpy(k->id, id, len);
	}
	return rv;
}

/* The public half of the same CKA_ID. */
static CK_RV public_find(struct p11_key *k)
{
	CK_OBJECT_HANDLE found[KEYS_MAX];
	CK_ULONG n = 0;
	CK_RV rv = objects_find(k->session, CKO_PUBLIC_KEY, k, found, &n);

	k->other = n ? found[0] : 0;
	return rv;
}

/* The key that Q is about, searched for on a fresh session: what another process did to it is seen. */
static int key_open(const struct p11_use *u, struct p11_key *k, struct p11_reply *r)
{
	static const CK_OBJECT_CLASS classes[] = {CKO_SECRET_KEY, CKO_PRIVATE_KEY};
	static const uint32_t types[] = {P11_SECRET_KEY, P11_PRIVATE};
	struct p11_key like = {.id_len = u->id_len ? u->id_len : token.uri.id_len};
	CK_RV rv = token.fn->C_OpenSession(token.slot, CKF_SERIAL_SESSION, NULL, NULL, &k->session);

	memcpy(like.id, u->id_len ? u->id : token.uri.id, P11_ID_MAX);
	for (size_t i = 0; !rv && !k->handle && i < ARRAY_LEN(classes); i++)
		if (!token.uri.type || token.uri.type == types[i])
			rv = class_find(k, classes[i], &like, u->id_len == 0);
	if (!rv && k->handle && attribute(k, k->handle, CKA_KEY_TYPE, &k->type, sizeof(k->type)) != sizeof(k->type))
		rv = CKR_KEY_HANDLE_INVALID;
	if (!rv && k->handle && k->id_len && k->type == CKK_RSA)
		rv = public_find(k);
	if (rv)
		stop_at(r, P11_CALL, rv);
	else if (!k->handle)
		stop_at(r, P11_KEY, 0);
	else if (!k->id_len)
		stop_at(r, P11_NO_ID, 0);
	else
		return 0;
	return -ENOENT;
}

static void key_close(struct p11_key *k)
{
	if (k->session)
		(void)token.fn->C_CloseSession(k->session);
}

/* Wrapping */

/* What a mechanism needs besides its number, for as long as a call lasts. */
struct p11_way {
	CK_MECHANISM mechanism;
	union {
		CK_GCM_PARAMS gcm;
		CK_RSA_PKCS_OAEP_PARAMS oaep;
	} more;
	uint8_t iv[IV_LEN], aad[P11_AAD_MAX];
};

static void way_gcm(struct p11_way *w, const struct p11_use *u, const uint8_t iv[IV_LEN])
{
	memcpy(w->iv, iv, IV_LEN);
	memcpy(w->aad, u->aad, u->aad_len);
	w->more.gcm = (CK_GCM_PARAMS){w->iv, IV_LEN, IV_LEN * 8, w->aad, u->aad_len, TAG_LEN * 8};
	w->mechanism = (CK_MECHANISM){CKM_AES_GCM, &w->more.gcm, sizeof(w->more.gcm)};
}

static void way_oaep(struct p11_way *w, uint32_t algorithm)
{
	bool sha1 = algorithm == KMS_ALG_RSA_OAEP_SHA1;

	w->more.oaep = (CK_RSA_PKCS_OAEP_PARAMS){sha1 ? CKM_SHA_1 : CKM_SHA256, sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256,
						 CKZ_DATA_SPECIFIED, NULL, 0};
	w->mechanism = (CK_MECHANISM){CKM_RSA_PKCS_OAEP, &w->more.oaep, sizeof(w->more.oaep)};
}

static void way_set(struct p11_way *w, uint32_t algorithm, const struct p11_use *u, const uint8_t iv[IV_LEN])
{
	if (algorithm == KMS_ALG_TOKEN_AES256GCM)
		way_gcm(w, u, iv);
	else if (algorithm == KMS_ALG_AES256KW)
		w->mechanism = (CK_MECHANISM){CKM_AES_KEY_WRAP, NULL, 0};
	else
		way_oaep(w, algorithm);
}

/* The payload under K by ALGORITHM into OUT, as FORMAT.md has it. */
static CK_RV wrap_by(const struct p11_key *k, const struct p11_use *u, uint32_t algorithm, struct p11_secret *plain,
		     struct p11_reply *out)
{
	struct p11_way w;
	uint8_t iv[IV_LEN];
	size_t head = algorithm == KMS_ALG_TOKEN_AES256GCM ? IV_LEN : 0;
	CK_ULONG len = P11_WRAP_MAX - IV_LEN;
	CK_OBJECT_HANDLE key = k->type == CKK_RSA ? k->other : k->handle;

	random_bytes(iv, sizeof(iv));
	way_set(&w, algorithm, u, iv);
	memcpy(out->data, iv, head);
	CK_RV rv = token.fn->C_EncryptInit(k->session, &w.mechanism, key);
	if (!rv)
		rv = token.fn->C_Encrypt(k->session, plain->bytes, plain->len, out->data + head, &len);
	/* What a mechanism makes is known but for RSA: anything else is not that mechanism. */
	if (!rv && head && len != PAYLOAD_LEN + TAG_LEN)
		rv = CKR_MECHANISM_INVALID;
	if (!rv && algorithm == KMS_ALG_AES256KW && len != PAYLOAD_LEN + 8)
		rv = CKR_MECHANISM_INVALID;
	out->len = rv ? 0 : (uint32_t)(head + len);
	out->algorithm = algorithm;
	return rv;
}

/* Tokens say in many ways that they do not have a mechanism. */
static bool try_another(CK_RV rv)
{
	static const CK_RV none[] = {CKR_MECHANISM_INVALID,      CKR_MECHANISM_PARAM_INVALID, CKR_ARGUMENTS_BAD,
				     CKR_FUNCTION_NOT_SUPPORTED, CKR_KEY_TYPE_INCONSISTENT,   CKR_KEY_SIZE_RANGE,
				     CKR_DATA_LEN_RANGE};

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (rv == none[i])
			return true;
	return false;
}

/* The first of the order that works. CBC with padding is none of them: it opens what was altered. */
static void wrap(const struct p11_use *u, const struct p11_key *k, struct p11_secret *plain, struct p11_reply *r)
{
	static const uint32_t aes[] = {KMS_ALG_TOKEN_AES256GCM, KMS_ALG_AES256KW},
			      rsa[] = {KMS_ALG_RSA_OAEP_SHA256, KMS_ALG_RSA_OAEP_SHA1};
	const uint32_t *order = k->type == CKK_RSA ? rsa : aes;
	CK_RV rv = CKR_KEY_TYPE_INCONSISTENT;

	if (k->type == CKK_RSA && !k->other) {
		stop_at(r, P11_KEY, 0);
		return;
	}
	for (size_t i = 0; try_another(rv) && i < 2 && (k->type == CKK_RSA || k->type == CKK_AES); i++)
		rv = wrap_by(k, u, order[i], plain, r);
	r->id_len = k->id_len;
	memcpy(r->id, k->id, k->id_len);
	stop_at(r, !rv ? P11_DONE : try_another(rv) ? P11_MECHANISM : P11_CALL, rv);
}

/* Unwrapping */

/* DATA, a wrap by ALGORITHM, into PLAIN. */
static CK_RV unwrap_by(const struct p11_key *k, const struct p11_use *u, struct p11_secret *plain)
{
	AUTO(secret_free_at) uint8_t *out = secret_alloc(SECRET_MAX);
	size_t head = u->algorithm == KMS_ALG_TOKEN_AES256GCM ? IV_LEN : 0;
	uint8_t wrapped[P11_WRAP_MAX];
	CK_ULONG len = SECRET_MAX;
	struct p11_way w;

	if (!out || u->len <= head)
		return CKR_ENCRYPTED_DATA_LEN_RANGE;
	memcpy(wrapped, u->data + head, u->len - head);
	way_set(&w, u->algorithm, u, u->data);
	CK_RV rv = token.fn->C_DecryptInit(k->session, &w.mechanism, k->handle);
	if (!rv)
		rv = token.fn->C_Decrypt(k->session, wrapped, u->len - head, out, &len);
	if (!rv && len != PAYLOAD_LEN)
		rv = CKR_ENCRYPTED_DATA_INVALID;
	if (!rv) {
		memcpy(plain->bytes, out, PAYLOAD_LEN);
		plain->len = PAYLOAD_LEN;
	}
	return rv;
}

/* 72 random bytes wrapped the same way, and back: does the key do what it should? */
static enum p11_canary canary(const struct p11_key *k, const struct p11_use *u)
{
	AUTO(secret_free_at) struct p11_secret *secret = secret_alloc(sizeof(*secret));
	AUTO(auto_free) struct p11_reply *made = calloc(1, sizeof(*made));
	AUTO(auto_free) struct p11_use *again = calloc(1, sizeof(*again));
	uint8_t before[PAYLOAD_LEN];

	if (!secret || !made || !again)
		return P11_FAILS;
	random_bytes(before, sizeof(before));
	memcpy(secret->bytes, before, sizeof(before));
	secret->len = sizeof(before);
	if ((k->type == CKK_RSA && !k->other) || wrap_by(k, u, u->algorithm, secret, made))
		return P11_FAILS;
	*again = *u;
	again->len = made->len;
	memcpy(again->data, made->data, made->len);
	memset(secret->bytes, 0, sizeof(before));
	return unwrap_by(k, again, secret) == CKR_OK && memcmp(secret->bytes, before, sizeof(before)) == 0 ? P11_OPENS
													   : P11_FAILS;
}

static void unwrap(const struct p11_use *u, const struct p11_key *k, struct p11_secret *plain, struct p11_reply *r)
{
	CK_RV rv = unwrap_by(k, u, plain);

	r->canary = rv ? canary(k, u) : P11_NOT_ASKED;
	r->forbidden = !rv && is_false(k, k->handle, CKA_DECRYPT);
	stop_at(r, rv ? P11_CALL : P11_DONE, rv);
}

/* Describing */

static void date(const struct p11_key *k, CK_ATTRIBUTE_TYPE type, char out[P11_DATE_LEN + 1])
{
	CK_DATE d;

	out[0] = '\0';
	if (attribute(k, k->handle, type, &d, sizeof(d)) != sizeof(d))
		return;
	memcpy(out, &d, P11_DATE_LEN);
	out[P11_DATE_LEN] = '\0';
	if (strspn(out, "0123456789") != P11_DATE_LEN || strcmp(out, "00000000") == 0)
		out[0] = '\0';
}

static void info(const struct p11_key *k, struct p11_reply *r)
{
	date(k, CKA_START_DATE, r->from);
	date(k, CKA_END_DATE, r->to);
	r->forbidden = is_false(k, k->handle, CKA_DECRYPT);
	r->id_len = k->id_len;
	memcpy(r->id, k->id, k->id_len);
	stop_at(r, P11_DONE, 0);
}

void p11_token_do(const struct p11_question *q, struct p11_secret *secret, struct p11_reply *r)
{
	struct p11_key k = {0};
	struct p11_begin b;

	memset(r, 0, sizeof(*r));
	if (q->op == P11_BEGIN) {
		b = q->begin; /* its texts are taken apart */
		begin(&b, secret, r);
		return;
	}
	if (key_open(&q->use, &k, r) == 0) {
		if (q->op == P11_WRAP)
			wrap(&q->use, &k, secret, r);
		else if (q->op == P11_UNWRAP)
			unwrap(&q->use, &k, secret, r);
		else
			info(&k, r);
	}
	key_close(&k);
}
