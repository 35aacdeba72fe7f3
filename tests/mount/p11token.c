// SPDX-License-Identifier: BSD-2-Clause
// The customer's side of a PKCS#11 token: p11token MODULE ARGS LABEL PIN COMMAND [...]. ARGS "" = none, PIN "-" = no login.
//
//   init SOPIN           a token LABEL on the first slot without one, PIN for its user
//   aes OBJECT ID [public]   an AES key of 256 bits; ID two hex digits; public: seen without a login
//   rsa OBJECT ID        an RSA pair of 2048 bits
//   set ID NAME yes|no   CKA_DECRYPT or CKA_ENCRYPT of the secret or private key
//   date ID from|to YYYYMMDD   CKA_START_DATE, CKA_END_DATE
//   destroy ID
//   pin NEW
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST *fn;

#define DO(call)                                                              \
	do {                                                                  \
		CK_RV rv_ = (call);                                           \
		if (rv_ != CKR_OK) {                                          \
			fprintf(stderr, "p11token: %s: 0x%lx\n", #call, rv_); \
			exit(1);                                              \
		}                                                             \
	} while (0)

static int label_is(const CK_TOKEN_INFO *info, const char *label)
{
	size_t len = sizeof(info->label);

	while (len && info->label[len - 1] == ' ')
		len--;
	return strlen(label) == len && memcmp(info->label, label, len) == 0;
}

// LABEL's slot, or with FRESH the first one whose token is none yet
static CK_SLOT_ID slot_find(const char *label, int fresh)
{
	CK_SLOT_ID slot[64];
	CK_ULONG n = 64;
	CK_TOKEN_INFO info;

	DO(fn->C_GetSlotList(CK_TRUE, slot, &n));
	for (CK_ULONG i = 0; i < n; i++) {
		if (fn->C_GetTokenInfo(slot[i], &info) != CKR_OK)
			continue;
		if (fresh ? !(info.flags & CKF_TOKEN_INITIALIZED) : label_is(&info, label))
			return slot[i];
	}
	fprintf(stderr, "p11token: no token %s\n", label);
	exit(2);
}

static CK_SESSION_HANDLE session_open(CK_SLOT_ID slot, CK_USER_TYPE who, const char *pin)
{
	CK_SESSION_HANDLE s;

	DO(fn->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	if (strcmp(pin, "-") != 0)
		DO(fn->C_Login(s, who, (unsigned char *)pin, strlen(pin)));
	return s;
}

static void token_init(const char *label, const char *pin, const char *so)
{
	unsigned char padded[32];
	CK_SLOT_ID slot = slot_find(label, 1);

	memset(padded, ' ', sizeof(padded));
	memcpy(padded, label, strlen(label));
	DO(fn->C_InitToken(slot, (unsigned char *)so, strlen(so), padded));
	CK_SESSION_HANDLE s = session_open(slot_find(label, 0), CKU_SO, so);
	DO(fn->C_InitPIN(s, (unsigned char *)pin, strlen(pin)));
}

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static void aes_make(CK_SESSION_HANDLE s, char *object, unsigned char id, CK_BBOOL hidden)
{
	CK_ULONG len = 32;
	CK_MECHANISM how = {CKM_AES_KEY_GEN, NULL, 0};
	CK_OBJECT_HANDLE key;
	CK_ATTRIBUTE a[] = {{CKA_TOKEN, &yes, 1},      {CKA_PRIVATE, &hidden, 1},
			    {CKA_SENSITIVE, &yes, 1},  {CKA_EXTRACTABLE, &no, 1},
			    {CKA_ENCRYPT, &yes, 1},    {CKA_DECRYPT, &yes, 1},
			    {CKA_MODIFIABLE, &yes, 1}, {CKA_VALUE_LEN, &len, sizeof(len)},
			    {CKA_ID, &id, 1},          {CKA_LABEL, object, strlen(object)}};

	DO(fn->C_GenerateKey(s, &how, a, sizeof(a) / sizeof(a[0]), &key));
}

static void rsa_make(CK_SESSION_HANDLE s, char *object, unsigned char id)
{
	CK_ULONG bits = 2048;
	unsigned char e[] = {1, 0, 1};
	CK_MECHANISM how = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE pub, priv;
	CK_ATTRIBUTE a[] = {{CKA_TOKEN, &yes, 1},
			    {CKA_ENCRYPT, &yes, 1},
			    {CKA_MODULUS_BITS, &bits, sizeof(bits)},
			    {CKA_PUBLIC_EXPONENT, e, sizeof(e)},
			    {CKA_ID, &id, 1},
			    {CKA_LABEL, object, strlen(object)}};
	CK_ATTRIBUTE b[] = {{CKA_TOKEN, &yes, 1},   {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1},
			    {CKA_DECRYPT, &yes, 1}, {CKA_ID, &id, 1},       {CKA_LABEL, object, strlen(object)}};

	DO(fn->C_GenerateKeyPair(s, &how, a, 6, b, 6, &pub, &priv));
}

// the secret key, else the private one
static CK_OBJECT_HANDLE key_find(CK_SESSION_HANDLE s, unsigned char id)
{
	CK_OBJECT_CLASS class[] = {CKO_SECRET_KEY, CKO_PRIVATE_KEY};
	CK_OBJECT_HANDLE found = 0;
	CK_ULONG n = 0;

	for (int i = 0; i < 2 && !n; i++) {
		CK_ATTRIBUTE a[] = {{CKA_CLASS, &class[i], sizeof(class[i])}, {CKA_ID, &id, 1}};

		DO(fn->C_FindObjectsInit(s, a, 2));
		DO(fn->C_FindObjects(s, &found, 1, &n));
		DO(fn->C_FindObjectsFinal(s));
	}
	if (!n) {
		fprintf(stderr, "p11token: no key %02x\n", id);
		exit(3);
	}
	return found;
}

static void key_change(CK_SESSION_HANDLE s, char **argv)
{
	CK_OBJECT_HANDLE key = key_find(s, (unsigned char)strtoul(argv[6], NULL, 16));
	CK_ATTRIBUTE a;

	if (strcmp(argv[5], "destroy") == 0) {
		DO(fn->C_DestroyObject(s, key));
		return;
	}
	if (strcmp(argv[5], "set") == 0)
		a = (CK_ATTRIBUTE){strcmp(argv[7], "CKA_DECRYPT") == 0 ? CKA_DECRYPT : CKA_ENCRYPT,
				   strcmp(argv[8], "yes") == 0 ? &yes : &no, 1};
	else
		a = (CK_ATTRIBUTE){strcmp(argv[7], "to") == 0 ? CKA_END_DATE : CKA_START_DATE, argv[8], 8};
	DO(fn->C_SetAttributeValue(s, key, &a, 1));
}

int main(int argc, char **argv)
{
	struct {
		CK_C_INITIALIZE_ARGS args;
		void *reserved; // NSS has its parameters before it
	} all = {.args = {.flags = CKF_OS_LOCKING_OK}};

	if (argc < 7)
		return 64;
	all.args.pReserved = argv[2][0] ? argv[2] : NULL;
	void *module = dlopen(argv[1], RTLD_NOW);
	if (!module) {
		fprintf(stderr, "p11token: %s\n", dlerror());
		return 1;
	}
	CK_RV (*list)(CK_FUNCTION_LIST **) = (CK_RV(*)(CK_FUNCTION_LIST **))dlsym(module, "C_GetFunctionList");
	DO(list(&fn));
	DO(fn->C_Initialize(&all));
	const char *command = argv[5];
	if (strcmp(command, "init") == 0) {
		token_init(argv[3], argv[4], argv[6]);
	} else {
		CK_SESSION_HANDLE s = session_open(slot_find(argv[3], 0), CKU_USER, argv[4]);

		if (strcmp(command, "pin") == 0)
			DO(fn->C_SetPIN(s, (unsigned char *)argv[4], strlen(argv[4]), (unsigned char *)argv[6],
					strlen(argv[6])));
		else if (strcmp(command, "aes") == 0)
			aes_make(s, argv[6], (unsigned char)strtoul(argv[7], NULL, 16), argc < 9);
		else if (strcmp(command, "rsa") == 0)
			rsa_make(s, argv[6], (unsigned char)strtoul(argv[7], NULL, 16));
		else
			key_change(s, argv);
	}
	DO(fn->C_Finalize(NULL));
	return 0;
}
