#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What a KMS that misbehaves does to a mount: the table of causes and states, each row timed (the table: causes.py).
BYOKFS=$(dirname "${BYOKFS:?path of the program}")/../tests/byokfs-fault
. "$(dirname "$0")/lib.sh"

[ -x "$BYOKFS" ] || { fail "no $BYOKFS: configure with -Dtests=true"; exit 1; }
export BYOKFS
rows causes.py
