#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# Makes the test vectors of crypto/FORMAT.md beside this script, by an implementation that shares no line with the C code.
#
# Needs Python's `cryptography` with OpenSSL 3 (Debian: python3-cryptography). Everything is a function of the case's name,
# so a second run changes nothing. `make.py --check` only compares; `make.py --corpus DIR` writes seeds for tests/fuzz,
# DIR/TARGET/CASE each.
import base64
import hashlib
import hmac
import os
import struct
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = {}


def rnd(name, n):
    """N bytes that depend on NAME only."""
    return hashlib.shake_256(b'byokfs vectors ' + name.encode()).digest(n)


def case(name, **fields):
    CASES[name + '.txt'] = ''.join(
        '%s = %s\n' % (k, v.hex() if isinstance(v, bytes) else v) for k, v in fields.items())


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def expand(prk, info, n):
    out = t = b''
    i = 1
    while len(out) < n:
        t = mac(prk, t + info + bytes([i]))
        out += t
        i += 1
    return out[:n]


def info(purpose, *ids):
    return b'byokfs v1 ' + purpose.encode() + b'\0' + b''.join(ids)


def gcm(name, key, plain, aad):
    nonce = rnd('nonce ' + name, 12)
    return nonce + AESGCM(key).encrypt(nonce, plain, aad)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


# --- keys -------------------------------------------------------------------------------------------------------------
ROOT = rnd('root key', 32)
PRK = mac(bytes(32), ROOT)
STORE = expand(PRK, info('store id'), 16)


def store_key(purpose, n=32):
    return expand(PRK, info(purpose, STORE), n)


class File:
    def __init__(self, name):
        self.id = rnd('file id ' + name, 16)
        self.dek = rnd('dek ' + name, 32)
        self.prk = mac(store_key('dek salt'), self.dek)
        self.header_mac = expand(self.prk, info('header mac', STORE, self.id), 32)

    def content(self, segment):
        return expand(self.prk, info('content', STORE, self.id, struct.pack('>Q', segment)), 32)

    def payload(self):
        return b'BYOKFS1D' + self.dek + STORE + self.id

    def wrap(self, name, generation, key):
        return gcm(name, key, self.payload(), b'BYOKFS1W' + STORE + self.id + struct.pack('>I', generation))


GENERATIONS = {1: rnd('store key 1', 32), 7: rnd('store key 7', 32), 4294967295: rnd('store key max', 32)}
FILE = File('one')

case('keys-root', root=ROOT, store_id=STORE, dek_salt=store_key('dek salt'), names=store_key('names', 64),
     xattr_names=store_key('xattr names', 64), xattr_values=store_key('xattr values'),
     special=store_key('special objects'), directory_id=store_key('directory id'), session=store_key('session'),
     binding=store_key('binding'))
case('keys-file', root=ROOT, file_id=FILE.id, dek=FILE.dek, prk=FILE.prk, header_mac=FILE.header_mac,
     content_0=FILE.content(0), content_1=FILE.content(1), content_max=FILE.content(2 ** 33 - 1))
case('keys-wrap', root=ROOT, generation=7, store_key=GENERATIONS[7], file_id=FILE.id, dek=FILE.dek,
     payload=FILE.payload(), wrapped=FILE.wrap('keys-wrap', 7, GENERATIONS[7]))
case('keys-slot', secret=rnd('slot secret', 32), store_id=STORE,
     payload=b'BYOKFS1K' + rnd('slot secret', 32) + STORE + bytes(16))


# --- blocks -----------------------------------------------------------------------------------------------------------
def block(name, block_len, no, plain):
    key = FILE.content(no * block_len // 2 ** 30)
    aad = b'BYOKFS1B' + STORE + FILE.id + struct.pack('>QI', no, 0)
    return gcm(name, key, plain, aad)


def final(name, block_len, no, tail, flags, generation):
    head = struct.pack('>IIQ', len(tail), flags, generation) + bytes(16)
    key = FILE.content(no * block_len // 2 ** 30)
    return head + gcm(name, key, tail, b'BYOKFS1F' + STORE + FILE.id + struct.pack('>Q', no) + head)


for name, block_len, no in (('block-first', 4096, 0), ('block-last-of-segment', 4096, 2 ** 18 - 1),
                            ('block-second-segment', 4096, 2 ** 18), ('block-16k', 16384, 70000)):
    plain = rnd('plain ' + name, block_len)
    case(name, root=ROOT, file_id=FILE.id, dek=FILE.dek, block_len=block_len, no=no, plain=plain,
         cipher=block(name, block_len, no, plain))
for name, no, n, flags, generation in (('final-empty', 0, 0, 0, 1), ('final-tail', 3, 4095, 0, 99),
                                       ('final-sparse', 2 ** 18, 1, 1, 2 ** 64 - 1)):
    tail = rnd('tail ' + name, n)
    case(name, root=ROOT, file_id=FILE.id, dek=FILE.dek, block_len=4096, no=no, flags=flags, generation=generation,
         tail=tail, cipher=final(name, 4096, no, tail, flags, generation))


# --- suite 2: what is sealed under keys of its own ------------------------------------------------------------------------
def record2(name, plain, aad):
    prefix = rnd('prefix ' + name, 4)
    return prefix + gcm(name, expand(FILE.prk, info('record', STORE, FILE.id, prefix), 32), plain, aad)[:-4]  # a tag of 96 bits


def file_case(name, **fields):
    case(name, suite=2, root=ROOT, file_id=FILE.id, dek=FILE.dek, **fields)


for name, block_len, no in (('suite2-block-first', 4096, 0), ('suite2-block-far', 16384, 2 ** 40)):
    plain = rnd('plain ' + name, block_len)
    aad = b'BYOKFS1B' + STORE + FILE.id + struct.pack('>QI', no, 0)
    file_case(name, block_len=block_len, no=no, plain=plain, cipher=record2(name, plain, aad))
for name, no, n, flags, generation in (('suite2-final-empty', 0, 0, 0, 1), ('suite2-final-tail', 2 ** 40, 4095, 1, 2 ** 64 - 1)):
    tail = rnd('tail ' + name, n)
    head = struct.pack('>IIQ', n, flags, generation) + bytes(16)
    aad = b'BYOKFS1F' + STORE + FILE.id + struct.pack('>Q', no) + head
    file_case(name, block_len=4096, no=no, flags=flags, generation=generation, tail=tail, cipher=head + record2(name, tail, aad))
WRAP2 = gcm('suite2-keys-wrap', expand(GENERATIONS[7], info('dek wrap', STORE, FILE.id), 32), FILE.payload(),
            b'BYOKFS1W' + STORE + FILE.id + struct.pack('>I', 7))
file_case('suite2-keys-wrap', generation=7, store_key=GENERATIONS[7], payload=FILE.payload(), wrapped=WRAP2)


# --- header -----------------------------------------------------------------------------------------------------------
def header_slot(total, immutable, sequence, number, algorithm, version, wrapped):
    size = (total - 192) // 2
    body = struct.pack('>QIHHH6x', sequence, number, algorithm, len(version), len(wrapped)) + version + wrapped
    body = body.ljust(size - 32, b'\0')
    return body + mac(FILE.header_mac, immutable + body)


IMMUTABLE = b'BYOKFS1H' + FILE.id + struct.pack('>H', 1) + bytes(38)
IMMUTABLE2 = b'BYOKFS1H' + FILE.id + struct.pack('>H', 2) + bytes(38)
case('suite2-header-store', suite=2, root=ROOT, store_key_7=GENERATIONS[7], file_id=FILE.id, dek=FILE.dek, wrapped=WRAP2,
     header=IMMUTABLE2 + header_slot(512, IMMUTABLE2, 1, 7, 1, b'', WRAP2) + bytes(160) + bytes(128))
W1 = FILE.wrap('header 1', 1, GENERATIONS[1])
W7 = FILE.wrap('header 7', 7, GENERATIONS[7])
case('header-store', root=ROOT, store_key_1=GENERATIONS[1], file_id=FILE.id, dek=FILE.dek, wrapped=W1,
     header=IMMUTABLE + header_slot(512, IMMUTABLE, 1, 1, 1, b'', W1) + bytes(160) + bytes(128))
case('header-store-rewrapped', root=ROOT, store_key_7=GENERATIONS[7], file_id=FILE.id, dek=FILE.dek, wrapped=W7,
     header=IMMUTABLE + header_slot(512, IMMUTABLE, 1, 1, 1, b'', W1) + header_slot(512, IMMUTABLE, 2, 7, 1, b'', W7)
     + bytes(128))
WF = rnd('header-file wrapped', 1536)
case('header-file', root=ROOT, file_id=FILE.id, dek=FILE.dek, version=b'v' * 255, wrapped=WF,
     header=IMMUTABLE + header_slot(4096, IMMUTABLE, 2 ** 64 - 1, 9, 3, b'v' * 255, WF) + bytes(1952) + bytes(128))

# --- keyring, pin, session, in-flight -----------------------------------------------------------------------------------
SECRETS = rnd('slot secret 1', 32) + rnd('slot secret 2', 32) + rnd('slot secret 3', 32)
SLOTS = [(1, 1, b'local:/keys/a', b'1', rnd('w1', 100)), (4, 2, b'aws-kms:arn:x', b'', rnd('w2', 256)),
         (5, 4, b'vault:' + b'r' * 1018, b'v' * 255, rnd('w3', 8192))]


def keyring(name, wrap_type, names, policy, features=(0, 0, 0), version=(1, 1), generations=GENERATIONS, slots=SLOTS,
            store=STORE, order=sorted, reserved=bytes(32), behind_slots=b'', suite=1):
    body = b''.join(struct.pack('>IHHHHI', n, a, len(r), len(v), len(w), 0) + r + v + w for n, a, r, v, w in slots)
    body += behind_slots
    plain = ROOT + struct.pack('>I', len(generations))
    plain += b''.join(struct.pack('>I', g) + generations[g] for g in order(generations))
    box_len = len(plain) + 28
    fixed = b'BYOKFS1R' + struct.pack('>HHI', version[0], version[1], 128 + len(body) + box_len)
    fixed += struct.pack('>QQQQ', *features, 3) + store
    fixed += struct.pack('>IIHHHHIIII', 512 if wrap_type == 1 else 4096, 16384, suite, wrap_type, names, policy, 6,
                         len(slots), len(body), box_len) + reserved
    ikm = SECRETS[:32 * len(slots)] if policy == 1 else SECRETS[:32]
    key = expand(mac(bytes(32), ikm), info('box', store), 32)
    return fixed + body + gcm(name, key, plain, fixed + body)


for name, args in (('keyring-all', (1, 1, 1)), ('keyring-any', (2, 2, 2))):
    case(name, root=ROOT, secrets=SECRETS, wrap_type=args[0], name_mode=args[1], policy=args[2], store_id=STORE,
         **{'store_key_%d' % g: k for g, k in GENERATIONS.items()}, file=keyring(name, *args))
case('suite2-keyring', suite=2, root=ROOT, secrets=SECRETS, wrap_type=1, name_mode=1, policy=2, store_id=STORE,
     **{'store_key_%d' % g: k for g, k in GENERATIONS.items()}, file=keyring('suite 2', 1, 1, 2, suite=2))
case('keyring-unknown-suite', secrets=SECRETS, result=-95, file=keyring('suite 3', 1, 1, 2, suite=3))
MANY = {g: rnd('store key %d' % g, 32) for g in range(1, 1025)}
case('keyring-1024-generations', root=ROOT, secrets=SECRETS, store_key_1024=MANY[1024],
     file=keyring('many', 1, 1, 2, generations=MANY, slots=SLOTS[:1]))
case('keyring-newer-readable', secrets=SECRETS, result=0, opens=0, file=keyring('newer-ok', 1, 1, 2, version=(2, 1)))
case('keyring-newer', secrets=SECRETS, result=-95, file=keyring('newer', 1, 1, 2, version=(2, 2)))
case('keyring-unknown-incompat', secrets=SECRETS, result=-95, file=keyring('incompat', 1, 1, 2, (1 << 63, 0, 0)))
case('keyring-unknown-compat', secrets=SECRETS, result=0, opens=0, file=keyring('compat', 1, 1, 2, (0, 1 << 62, 1 << 40)))
case('keyring-journal', secrets=SECRETS, result=0, opens=0, file=keyring('journal', 1, 1, 2, (0, 1, 0)))
case('keyring-number-twice', secrets=SECRETS, result=-117, file=keyring('twice', 1, 1, 2, slots=[SLOTS[0], SLOTS[0]]))
case('keyring-bytes-behind-slots', secrets=SECRETS, result=-117, file=keyring('behind', 1, 1, 2, behind_slots=b'x'))
case('keyring-reserved', secrets=SECRETS, result=-117, file=keyring('reserved', 1, 1, 2, reserved=bytes(31) + b'x'))
# They parse, and their boxes open: what is inside must be refused.
case('keyring-other-store-id', secrets=SECRETS, result=0, opens=-74,
     file=keyring('other', 1, 1, 2, store=rnd('another store', 16)))
case('keyring-generations-falling', secrets=SECRETS, result=0, opens=-74,
     file=keyring('falling', 1, 1, 2, order=lambda g: sorted(g, reverse=True)))
case('keyring-no-store-key', secrets=SECRETS, result=-117, file=keyring('none', 1, 1, 2, generations={}))

KEYRING = keyring('pinned', 1, 1, 2)
REFS = [b'local:/keys/a', b'x', b'r' * 1024]
PIN = b''.join(struct.pack('>H', len(r)) + r for r in REFS) + KEYRING
PIN = b'BYOKFS1P' + struct.pack('>II', 48 + len(PIN) + 32, 3) + STORE + struct.pack('>QII', 12, len(KEYRING), 0) + PIN
case('pin', store_id=STORE, sequence=12, ref_0=REFS[0], ref_1=REFS[1], ref_2=REFS[2], keyring=KEYRING,
     file=PIN + hashlib.sha256(PIN).digest())

for name, number, state, dirty in (('session-open', 9, 1, 7), ('session-clean', 2 ** 64 - 1, 2, 0)):
    record = b'BYOKFS1M' + struct.pack('>QIIQ', number, state, 0, dirty)
    case(name, root=ROOT, number=number, state=state, dirty_since=dirty, file=record + mac(store_key('session'), record))
MARK = b'BYOKFS1N' + STORE + struct.pack('>QII', 9, 3, 0)
case('session-mark', store_id=STORE, number=9, state=3, listed=0, file=MARK + hashlib.sha256(MARK).digest())
MARK = b'BYOKFS1N' + STORE + struct.pack('>QII', 10, 1, 1)
case('session-mark-list', store_id=STORE, number=10, state=1, listed=1, file=MARK + hashlib.sha256(MARK).digest())

LIST = expand(PRK, info('writing', STORE, struct.pack('>Q', 9)), 32)
head = b'BYOKFS1O' + struct.pack('>Q', 9) + rnd('boot', 16) + struct.pack('>QQQQII', 88, 1795533972, 1795533000, 1795533960, 2, 32766)
head = head.ljust(96, b'\0')
case('writing-head', root=ROOT, session=9, boot_id=rnd('boot', 16), ino=88, begun=1795533972, span_from=1795533000,
     span_to=1795533960, all=0, lost=1, head=head + mac(LIST, head))
PLACE = struct.unpack('>Q', hashlib.sha256(struct.pack('>Q', 66) + b'A' * 255).digest()[:8])[0]
for name, kind, ino, value in (('writing-entry', 1, 77, PLACE), ('writing-mended', 2, 2 ** 64 - 1, 4096), ('writing-back', 3, 77, 0)):
    entry = struct.pack('>II', kind, 0) + FILE.id + struct.pack('>QQQ', ino, 1795533999, value)
    case(name, root=ROOT, session=9, kind=kind, file_id=FILE.id, ino=ino, time=1795533999, value=value,
         entry=entry + mac(LIST, entry)[:16])

UNDO = expand(PRK, info('journal', STORE, struct.pack('>Q', 9)), 32)
head = (b'BYOKFS1J' + struct.pack('>QQQQ', 9, 1795533972123456789, 88, 16 << 20)).ljust(96, b'\0')
case('journal-head', root=ROOT, session=9, home_born=1795533972123456789, home_ino=88, ring_len=16 << 20, head=(head + mac(UNDO, head)).ljust(4096, b'\0'))
for name, cut, oldest, mark, extents in (
        ('journal-append', 2 ** 64 - 1, 5, bytes(4), ((4636, 132, 0),)),
        ('journal-cut', 612, 6, bytes(4), ((512, 4124, 0), (8760, 60, 0), (512, 100, 2))),
        ('journal-hole', 2 ** 64 - 1, 6, bytes(4), ((512, 8248, 1),)),
        ('journal-ended', 2 ** 64 - 1, 1, b'DONE', ((512, 4124, 0), (4636, 32, 0)))):
    path, old = b'A/b', b''.join(rnd('old%d' % i, n) for i, (_, n, kind) in enumerate(extents) if kind != 1)
    entry = struct.pack('>QQ', 6, 1280) + FILE.id + struct.pack('>QQQII', 77, 8820, cut, len(extents), len(path))
    entry += b''.join(struct.pack('>QII', *x) for x in extents).ljust(64, b'\0') + struct.pack('>Q', oldest) + bytes(16) + path + old
    entry, maced = b'UNDO' + mark + entry, b'UNDO' + bytes(4) + entry
    entry += mac(UNDO, maced)
    case(name, root=ROOT, session=9, place=1280, seq=6, oldest=oldest, file_id=FILE.id, ino=77, disk_size=8820, cut=cut, path=path,
         extents=len(extents), ended=int(mark != bytes(4)), old=old, entry=entry.ljust(-(-len(entry) // 64) * 64, b'\0'))
head = (b'BYOKFS1L' + struct.pack('>QQII', 9, 88, 1, 32766)).ljust(96, b'\0')
case('lost-head', root=ROOT, session=9, ino=88, altered=1, overflowed=0, head=head + mac(store_key('lost'), head))
for name, ino, start, end in (('lost-entry', 77, 4096, 1052672), ('lost-whole', 0, 0, 2 ** 64 - 1)):
    entry = FILE.id + struct.pack('>QQQQ', ino, start, end, 0)
    case(name, root=ROOT, file_id=FILE.id, ino=ino, start=start, end=end, entry=entry + mac(store_key('lost'), entry)[:16])

PATH = b'A' * 255 + b'/b/c'
head = b'BYOKFS1T' + b'VALD' + struct.pack('>I', 2) + FILE.id + struct.pack('>QQQII', 66, 77, 99999, len(PATH), 0)
head += struct.pack('>QIIQII', 512, 4124, 0, 9000, 60, 0) + bytes(32) + rnd('boot', 16)
case('inflight', file_id=FILE.id, dev=66, ino=77, disk_size=99999, path=PATH, boot_id=rnd('boot', 16),
     head=(head.ljust(256, b'\0') + PATH).ljust(8192, b'\0'))
head += struct.pack('>QQQ', 0xfeed, 88, 5)
case('inflight-home', file_id=FILE.id, dev=66, ino=77, disk_size=99999, path=PATH, boot_id=rnd('boot', 16), home_fs=0xfeed,
     home_ino=88, session=5, head=(head.ljust(256, b'\0') + PATH).ljust(8192, b'\0'))



# --- audit log ----------------------------------------------------------------------------------------------------------
def audit_key(session, line):
    key = expand(store_key('audit'), info('audit session', STORE, struct.pack('>Q', session)), 32)
    for _ in range(line - 1):
        key = expand(key, info('audit next', STORE), 32)
    return key


def audit_line(session, line, prev, event, members='', found=''):
    body = '{"v":1,"session":%d,"line":%d,"prev":"%s",' % (session, line, prev.hex())
    body += '"time":"%s","event":"%s"' % event + found + members
    m = mac(audit_key(session, line), body.encode())
    return (body + ',"mac":"%s"}\n' % m.hex()).encode(), m


NONE = bytes(32)
MOUNT = ('2026-11-24T15:26:12.123Z', 'mount')
A1, M1 = audit_line(7, 1, NONE, MOUNT, ',"uid":0', ',"found":"new"')
A2, M2 = audit_line(7, 2, M1, ('2028-02-29T23:59:59.999Z', 'state'),
                    ',"reason":"a \\"quoted\\" \\u0007 caf\u00e9 \\udcff","n":18446744073709551615,"s":-5')
A3, M3 = audit_line(2 ** 64 - 1, 1, M2, ('1970-01-01T00:00:00.000Z', 'mount'), '', ',"found":"torn","torn":77')
case('audit-first', root=ROOT, session=7, line_no=1, prev=NONE, unix_ms=1795533972123, line=A1, mac=M1)
case('audit-second', root=ROOT, session=7, line_no=2, prev=M1, unix_ms=1835481599999, line=A2, mac=M2)
case('audit-torn', root=ROOT, session=2 ** 64 - 1, line_no=1, prev=M2, unix_ms=0, line=A3, mac=M3)
END = b'BYOKFS1A' + STORE + struct.pack('>QQQQ', 7, 2, len(A1) + len(A2), 3) + M2
case('audit-end', session=7, line_no=2, length=len(A1) + len(A2), lost=3, mac=M2, store_id=STORE,
     file=END + hashlib.sha256(END).digest())
for name, result, line in (
        ('newer', -95, A1.replace(b'"v":1', b'"v":2')), ('leading-zero', -74, A1.replace(b'"session":7', b'"session":07')),
        ('overflow', -74, A3.replace(b'18446744073709551615', b'18446744073709551616')),
        ('line-zero', -74, A1.replace(b'"line":1', b'"line":0')), ('space', -74, A1.replace(b',"event"', b', "event"')),
        ('upper-case-mac', -74, A1[:-67] + A1[-67:-3].upper() + A1[-3:]), ('control', -74, A1.replace(b'"uid":0', b'"uid":\t0')),
        ('no-found', -74, A1.replace(b',"found":"new"', b'')), ('found-other', -74, A1.replace(b'"new"', b'"old"')),
        ('torn-without-bytes', -74, A3.replace(b',"torn":77', b'')), ('no-mac', -74, A1[:-76] + b'}\n')):
    case('audit-refuse-' + name, result=result, line=line)

# --- names, attributes, special objects ---------------------------------------------------------------------------------
DIR = rnd('directory id', 16)


def siv(purpose, ad, plain):
    return AESSIV(store_key(purpose, 64)).encrypt(plain, [ad])


for name, plain in (('name-1', b'a'), ('name-16', b'sixteen bytes ok'), ('name-17', b'seventeen bytes k'),
                    ('name-binary', b'\xff\n\x01 \\\xc3\xa9'), ('name-175', b'n' * 175), ('name-176', b'n' * 176),
                    ('name-255', bytes(range(48, 48 + 200)) + b'x' * 55)):
    cipher = siv('names', DIR, plain)
    if len(plain) <= 175:
        case(name, root=ROOT, dir_id=DIR, plain=plain, disk=b64(cipher).encode())
    else:
        h = b64(hashlib.sha256(cipher).digest())
        case(name, root=ROOT, dir_id=DIR, plain=plain, disk=('.byokfs.long.' + h).encode(),
             sidecar=('.byokfs.name.' + h).encode(), sidecar_data=cipher)
# Authentic, but no name that a directory may have; and a short one in the long form.
for name, plain in (('name-refuse-dot', b'.'), ('name-refuse-dotdot', b'..'), ('name-refuse-slash', b'a/b'),
                    ('name-refuse-nul', b'a\0b')):
    case(name, root=ROOT, dir_id=DIR, disk=b64(siv('names', DIR, plain)).encode())
SHORT = siv('names', DIR, b'short')
case('name-refuse-long-form', root=ROOT, dir_id=DIR, sidecar_data=SHORT,
     disk=('.byokfs.long.' + b64(hashlib.sha256(SHORT).digest())).encode())

record = b'BYOKFS1I' + DIR
case('dirid', root=ROOT, dir_id=DIR, file=record + mac(store_key('directory id'), record))

for name, plain, value in (('xattr', b'user.comment', b'a value'), ('xattr-empty', b'security.capability', b''),
                           ('xattr-longest', b'user.' + b'x' * 166, rnd('xattr value', 4000))):
    aad = b'BYOKFS1X' + STORE + FILE.id + plain
    case(name, root=ROOT, object_id=FILE.id, plain_name=plain, disk_name=b'user.' + b64(siv('xattr names', FILE.id, plain)).encode(),
         value=value, cipher=gcm(name, store_key('xattr values'), value, aad))

for name, plain, value in (('suite2-xattr', b'user.comment', b'a value'), ('suite2-xattr-empty', b'security.capability', b''),
                           ('suite2-xattr-longest', b'user.' + b'x' * 166, rnd('xattr value', 4000))):
    aad = b'BYOKFS1X' + STORE + FILE.id + plain
    cipher = AESSIV(store_key('xattr values siv', 64)).encrypt(rnd('nonce ' + name, 12) + value, [aad])
    case(name, suite=2, root=ROOT, object_id=FILE.id, plain_name=plain,
         disk_name=b'user.' + b64(siv('xattr names', FILE.id, plain)).encode(), value=value, cipher=cipher)
case('suite2-xattr-refuse-short', suite=2, root=ROOT, object_id=FILE.id, plain_name=b'user.comment',
     cipher=AESSIV(store_key('xattr values siv', 64)).encrypt(bytes(11), [b'BYOKFS1X' + STORE + FILE.id + b'user.comment']))
case('xattr-refuse-nul', root=ROOT, object_id=FILE.id,
     disk_name=b'user.' + b64(siv('xattr names', FILE.id, b'user.a\0b')).encode())

for name, kind, major, minor, target, result in (
        ('special-symlink', 1, 0, 0, b'../some/target', 0), ('special-symlink-4095', 1, 0, 0, b't' * 4095, 0),
        ('special-fifo', 2, 0, 0, b'', 0), ('special-socket', 3, 0, 0, b'', 0),
        ('special-char', 4, 4095, 1048575, b'', 0), ('special-block', 5, 8, 1, b'', 0),
        ('special-refuse-type', 6, 0, 0, b'', -74), ('special-refuse-empty-target', 1, 0, 0, b'', -74),
        ('special-refuse-nul', 1, 0, 0, b'a\0b', -74), ('special-refuse-fifo-with-number', 2, 1, 0, b'', -74)):
    plain = struct.pack('>BIIH', kind, major, minor, len(target)) + target
    head = b'BYOKFS1S' + rnd('object ' + name, 16) + struct.pack('>I', len(plain))
    case(name, root=ROOT, object_id=rnd('object ' + name, 16), kind=kind, major=major, minor=minor, target=target,
         result=result, record=head + gcm(name, store_key('special objects'), plain, head + STORE))

    if name in ('special-symlink', 'special-char'):
        key = expand(store_key('special objects'), info('special object', STORE, rnd('object ' + name, 16)), 32)
        case('suite2-' + name, suite=2, root=ROOT, object_id=rnd('object ' + name, 16), kind=kind, major=major, minor=minor,
             target=target, result=result, record=head + gcm('suite2-' + name, key, plain, head + STORE))


# Which field of which cases is a seed for which fuzz target (tests/fuzz/fuzz_TARGET.c).
SEEDS = {'header': ('header', 'header'), 'keyring': ('keyring', 'file'), 'pin': ('pin', 'file'),
         'session': ('session', 'file'), 'writing': ('writing', 'entry'),
         'lost': ('lost', 'entry'), 'inflight': ('inflight', 'head'), 'journal': ('journal', 'entry'), 'special': ('special', 'record'),
         'name': ('name', 'disk'), 'sidecar': ('name', 'sidecar_data'), 'dirid': ('dirid', 'file'),
         'xattr': ('xattr', 'disk_name'), 'audit': ('audit', 'line'), 'final': ('final', 'cipher')}


def corpus(directory):
    for target, (prefix, field) in SEEDS.items():
        os.makedirs(os.path.join(directory, target), exist_ok=True)
        for name, text in CASES.items():
            fields = dict(line.split(' = ') for line in text.splitlines())
            if name.removeprefix('suite2-').startswith(prefix) and field in fields:
                seed = bytes.fromhex(fields[field])
                if target == 'final':  # the target takes a block number and flags first
                    seed = bytes(9) + seed
                with open(os.path.join(directory, target, name[:-4]), 'wb') as f:
                    f.write(seed)
    return 0


def main():
    if sys.argv[1:2] == ['--corpus']:
        return corpus(sys.argv[2])
    bad = 0
    for name, text in CASES.items():
        path = os.path.join(HERE, name)
        if sys.argv[1:] == ['--check']:
            if not os.path.exists(path) or open(path).read() != text:
                print(name + ': differs')
                bad = 1
        else:
            with open(path, 'w') as f:
                f.write(text)
    stray = {n for n in os.listdir(HERE) if n.endswith('.txt')} - set(CASES)
    for name in sorted(stray):
        print(name + ': of no case')
        bad = 1
    print('%d cases' % len(CASES))
    return bad


sys.exit(main())
