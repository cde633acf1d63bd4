#!/usr/bin/env bash
# 8 processes do everything at once in one directory, under the sanitizers, and
# what they recorded agrees with the tree: under one of the sanitizers, as the seed
# has it. SANITIZERS="address,undefined thread" for both, SECONDS_EACH for longer.
# TIMEOUT 900
# TAKES 120 22
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
M=$WORK/m
seed=${SEED:-$RANDOM}
note "SEED=$seed"
each=${SECONDS_EACH:-$(on_servers && echo 15 || echo 40)}
# Over servers the program as it is, for a while.
both=("address,undefined" thread)
sanitizers=${SANITIZERS:-$(on_servers && echo none || echo "${both[seed % 2]}")}
for san in $sanitizers; do
	step "hammering under $san"
	[ "$san" = none ] || make -s -C "$TOP" SAN="$san" "build/gcc-${san//,/-}/filespacefs" >"$WORK/make.log" 2>&1 ||
		fail "$(tail "$WORK/make.log")"
	[ "$san" = none ] || FILESPACEFS=$TOP/build/gcc-${san//,/-}/filespacefs
	# The counter's kernel-side waits are no leak; a leak of ours is a report.
	FS_ENV=(ASAN_OPTIONS=halt_on_error=0 TSAN_OPTIONS=halt_on_error=0)
	fs_start one "$WORK/store-$san" "$M" -o bzip2.level=1
	mkdir -p "$M/a/t/r"
	"$TOP/tests/tools/hammer.py" "$M/a/t/r" "$seed" "$each" 8 "$WORK/model" ||
		fail "a process saw something wrong: SEED=$seed"
	"$TOP/tests/tools/hammer.py" --check "$M/a/t/r" "$WORK/model" || fail "the tree is another: SEED=$seed"
	fs_stop one
	if grep -qE 'Sanitizer|runtime error' "$WORK/one.log"; then
		grep -E -A25 'Sanitizer|runtime error' "$WORK/one.log" | head -60
		fail "a report of the sanitizer"
	fi
	fs_start one "$WORK/store-$san" "$M"
	"$TOP/tests/tools/hammer.py" --check "$M/a/t/r" "$WORK/model" || fail "another tree after a remount"
	fs_stop one
	out=$("$CTL" -s "$WORK/store-$san" check) || fail "$out"
done
