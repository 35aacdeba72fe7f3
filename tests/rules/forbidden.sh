#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Calls and habits that have no place here: unbounded copies, shells, memcmp in crypto/, descriptors that leak into children.
. "$(dirname "$0")/lib.sh"

# rule WHERE PATTERN WHY: no line of the folders' code (comments and strings blanked) may match
rule() {
	local where=$1 pattern=$2 why=$3 but=${4:-} hit
	while IFS= read -r hit; do
		finding "$hit: $why"
	done < <(cd "$blank" && for d in $where; do [ ! -d "$d" ] || grep -rnE "$pattern" "$d"; done | if [ -n "$but" ]; then grep -v "^$but:"; else cat; fi)
}

all='crypto kms fs tools'
blank=$(mktemp -d) || exit 2
trap 'rm -rf "$blank"' EXIT
blank_all "$blank" $(sources $all)

rule "$all" '\b(strcpy|strcat|sprintf|vsprintf|gets|stpcpy|strncpy|strncat)[[:space:]]*\(' 'unbounded or truncating string call'
rule "$all" '\b(system|popen|tmpnam|tempnam|mktemp|alloca|setjmp|longjmp|rand|srand|random|atoi|atol|strtok|wordexp)[[:space:]]*\(' 'forbidden call'
rule 'crypto kms' '\bexecl?[vpe]*[[:space:]]*\(' 'no child processes here'
rule "$all" '\bgoto\b' 'goto'
rule 'crypto' '\b(open|openat|fopen|read|write|pread|pwrite|time|clock_gettime|getenv|secure_getenv|printf|fprintf|syslog)[[:space:]]*\(' 'crypto/ has no I/O, clock or environment'
# calls whose arguments decide: close-on-exec for every descriptor; memcmp in crypto/ only against public constants
while IFS= read -r hit; do
	finding "$hit"
done < <(cd "$blank" && find . -name '*.[ch]' | sort | python3 -c '
import re, sys
for path in sys.stdin.read().split():
    text = open(path).read()
    for m in re.finditer(r"\b(open|openat|eventfd|signalfd|timerfd_create|memfd_create|accept|pipe|dup|epoll_create|inotify_init|fopen|inotify_init1|epoll_create1|pipe2|accept4|socket|memcmp|bcmp|fcntl)\s*\(", text):
        depth, i = 1, m.end()
        while depth and i < len(text):
            depth += {"(": 1, ")": -1}.get(text[i], 0)
            i += 1
        name, args = m.group(1), text[m.end():i - 1]
        where = "%s:%d: " % (path[2:], text.count("\n", 0, m.start()) + 1)
        if name in ("memcmp", "bcmp"):
            if path.startswith("./crypto/") and not re.search(r"MAGIC|LABEL|PREFIX|magic|label|prefix", args):
                print(where + "memcmp on what may be secret: sodium_memcmp, or name the constant *magic* or *label*")
        elif name in ("accept", "pipe", "dup", "epoll_create", "inotify_init"):
            print(where + name + " leaks its descriptor into children")
        elif name == "fcntl":
            if re.search(r"\bF_DUPFD\b", args):
                print(where + "F_DUPFD leaks its descriptor into children")
        elif name in ("open", "openat"):
            if re.search(r"\bO_(RDONLY|RDWR|WRONLY|PATH)\b", args) and "O_CLOEXEC" not in args:
                print(where + name + " without O_CLOEXEC")
        elif name != "fopen" and "CLOEXEC" not in args:
            print(where + name + " without close-on-exec")
')

rule 'fs' '\b(fuse_lowlevel_notify_inval_entry|fuse_lowlevel_notify_delete)[[:space:]]*\(' 'takes the parent lock: can deadlock while locking'
# by descriptor only: at a name there may be a link by then, and root follows it out of the store
rule 'crypto kms fs tools' '\b(chmod|fchmodat|chown|lchown|truncate|utime|utimes|lutimes)[[:space:]]*\(' 'by name: what lies there may have become a link' fs/store/lifted.c
# what is mounted below a store may never answer: by store_stat() and store_openat(), which do not go there
rule 'fs/store fs/inode fs/tree fs/check fs/fuse' '\b(fstatat[[:space:]]*\(|statx[[:space:]]*\([^,]*,[[:space:]]*[^"[:space:]])' 'asks what may be mounted there: store_stat()'
rule 'crypto kms fs tools' '\b(printf|fprintf|dprintf|syslog|log)[[:space:]]*\([^;]*,[[:space:]]*(dek|root_key|store_key|secret|passphrase|plain)(\[|,|\))' 'a secret in a message'

# paths of one machine: where this checkout lies, and homes
while IFS= read -r hit; do
	finding "$hit"
done < <(cd "$tree" && { grep -rnIF -e "$tree/" $all tests .ci ./*.md meson.build; grep -rnIE '[" =:]/home/[a-z]+/' $all tests .ci ./*.md meson.build; } 2>/dev/null | grep -v '^tests/rules/forbidden.sh:')

# first line SPDX, second line says what the file is for
for f in $(sources $all tests); do
	head -n 1 "$tree/$f" | grep -q 'SPDX-License-Identifier: BSD-2-Clause' || finding "$f:1: no SPDX line"
	sed -n 2p "$tree/$f" | grep -qE '^(/\*|//)' || finding "$f:2: no sentence on what the file is for"
done

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	spdx='/* SPDX-License-Identifier: BSD-2-Clause */\n/* x */\n'
	n=0
	bad() { # bad FOLDER CODE: a function with that line in it
		n=$((n + 1))
		self_test "$2" "$1/planted$n.c" "${spdx}void f(char *a)\n{\n\t$2\n}\n"
	}
	bad fs/store 'strcpy(a, a);'
	bad tools 'system (a);'
	bad kms/gate 'goto out;'
	bad crypto 'execve(a, 0, 0);'
	bad crypto 'return time(0);'
	bad crypto 'return memcmp(a, a, 4);'
	bad fs/inode 'open(a, O_RDONLY);'
	bad fs/inode 'socket(AF_UNIX, SOCK_STREAM, 0);'
	bad fs/watch 'accept(0, 0, 0);'
	bad fs/watch 'fcntl(0, F_DUPFD, 3);'
	bad fs/lock 'fuse_lowlevel_notify_inval_entry(a);'
	bad kms 'printf(a, dek);'
	bad fs/store 'fchmodat(3, a, 0600, 0);'
	bad kms/keystore 'chmod(a, 0700);'
	bad fs/tree 'fstatat(3, a, &st, 0);'
	bad tools 'a = \"/home/alice/x\";'
	self_test 'no licence line' tools/planted.c 'int x;\n'
	self_test 'no sentence' tools/planted.h '/* SPDX-License-Identifier: BSD-2-Clause */\nint x;\n'
fi
finish
