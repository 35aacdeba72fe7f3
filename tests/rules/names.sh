#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# One name, one thing: a struct, union, enum or typedef stands once in the tree, and so does the name of a public function.
. "$(dirname "$0")/lib.sh"

need ctags universal-ctags
cd "$tree" || exit 2
mapfile -t files < <(sources crypto kms fs tools)

while IFS= read -r line; do
	finding "$line"
done < <(ctags -x --kinds-C=fsugt --fields=+f --_xformat='%N %K %F:%n %{file}' -o - "${files[@]}" | awk '
	{ kind = $2 == "function" ? "function" : "type"; key = kind " " $1 }
	# `typedef struct x x`, and the anonymous, are no second thing; a handle is what each provider makes of it (kms/provider.h)
	$3 ~ /^kms\/providers\// && $1 == "kms" { next }
	kind == "type" && $1 ~ /^__anon/ { next }
	{ where[key] = where[key] " " $3; count[key]++; if (kind == "type" || $4 == "-") public[key] = 1 }
	END { for (k in count) if (count[k] > 1 && public[k]) print k ":" where[k] }' | sort)

if [ -z "${RULE_NO_SELF_TEST:-}" ]; then
	plant fs/store/planted1.c 'struct planted_a {\n\tint x;\n};\n'
	self_test 'struct twice' kms/gate/planted2.c 'struct planted_a {\n\tint y;\n};\n'
	plant fs/store/planted3.c 'typedef int (*planted_b)(void);\n'
	self_test 'typedef twice' tools/planted4.c 'typedef int (*planted_b)(int);\n'
	plant fs/store/planted5.c 'int planted_c(void)\n{\n\treturn 0;\n}\n'
	self_test 'public function and a static one' tools/planted6.c 'static int planted_c(void)\n{\n\treturn 0;\n}\n'
fi
finish
