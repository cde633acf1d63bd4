#!/usr/bin/env bash
# What reading a part of a large file asks the object store for: the blocks it
# needs, once for all mounts of the machine, and what comes next where a file is
# read in order.
# TIMEOUT 240
# TAKES 60 80
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need getfattr attr
need openssl openssl
need python3 python3
S=$WORK/store
M=$WORK/mnt
N=$WORK/mnt2
R=acct/table/rec
SIZE=$((16 * 1000 * 1000))             # 18 blocks of bzip2, of 450 KB

# Some of it compresses, and no block is like another.
openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null |
	head -c $((SIZE / 2)) | python3 -c 'import sys
print(sys.stdin.buffer.read().hex(), end="")' >"$WORK/plain" || true
equal "$SIZE" "$(stat -c %s "$WORK/plain")" "bytes of the sample"
fs_start fs "$S" "$M"
mkdir -p "$M/$R"
cp "$WORK/plain" "$M/$R/big"
fs_stop fs
export KEEP_CACHE=1

traffic() { getfattr --absolute-names --only-values -n user.filespace.traffic "$1"; }
down() { traffic "$1" | sed 's/.* \([0-9]*\) bytes down.*/\1/'; }
gets() { traffic "$1" | sed 's/.* \([0-9]*\) get,.*/\1/'; }
cold() { # a mount that has nothing
	fs_stop fs
	cache_drop "$S"
	fs_start fs "$S" "$M"
	before=$(down "$M")
	asked=$(gets "$M")
}
piece() { # piece MOUNT OFF LEN: compares a piece with what it must be
	cmp <(dd if="$1/$R/big" bs=64k iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none) \
		<(dd if="$WORK/plain" bs=64k iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none) ||
		fail "bytes $2 to $(($2 + $3)) differ"
}
fetched() { # fetched AT_MOST WHAT
	local n=$(($(down "$M") - before))
	note "$2: $n bytes, $(($(gets "$M") - asked)) requests"
	[ "$n" -le "$1" ] || fail "$2: $n bytes were fetched, at most $1 expected"
}

step "an isolated read of a large object"
fs_start fs "$S" "$M"
cold
piece "$M" 9456789 4096
fetched 2000000 "4 KB in the middle"
[ "$(down "$M")" -gt "$before" ] || fail "nothing was counted: $(traffic "$M")"
stored=$(object_size "$S" "$(hash_of "$S" big)")
note "$stored bytes are stored"
[ "$stored" -gt 7000000 ] || fail "the sample is too small: $stored bytes"

step "head and tail"
cold
equal "$(head -c 1000 "$WORK/plain" | sha256sum)" "$(head -c 1000 "$M/$R/big" | sha256sum)" head
equal "$(tail -c 1000 "$WORK/plain" | sha256sum)" "$(tail -c 1000 "$M/$R/big" | sha256sum)" tail
fetched 4000000 "head and tail"

step "random reads fetch nothing ahead"
cold
for i in $(seq 5); do piece "$M" $((i * 4700000 % SIZE)) 4096; done
fetched $((5 * 1000000)) "5 random reads"

step "in order: all of it once, ahead of the reader"
cold
cmp "$WORK/plain" "$M/$R/big"
fetched $((stored + stored / 20)) "all of it"
[ $(($(gets "$M") - asked)) -gt 3 ] || fail "it came in $(($(gets "$M") - asked)) requests"
cold
dd if="$M/$R/big" of=/dev/null bs=128k count=24 status=none
ahead() { [ $(($(down "$M") - before)) -gt 1900000 ]; }
wait_for 20 ahead || fail "nothing was fetched ahead: $(traffic "$M")"
piece "$M" 0 5000000

step "what one mount has fetched the others have"
cold
piece "$M" 10000000 400000
fs_start two "$S" "$N"
n=$(down "$N")
piece "$N" 10000000 400000
equal "$n" "$(down "$N")" "bytes that the second mount fetched"
before=$(down "$M")
piece "$N" 3000000 400000
piece "$M" 3000000 400000
equal "$before" "$(down "$M")" "bytes that the first mount fetched"
fs_stop two

step "and so has the next one, after kill -9 while it was filled"
cat "$M/$R/big" >/dev/null &
reader=$!
fs_kill fs
wait "$reader" || true
fs_start fs "$S" "$M"
before=$(down "$M")
piece "$M" 10000000 400000
equal "$before" "$(down "$M")" "bytes fetched after kill -9"
cmp "$WORK/plain" "$M/$R/big" || fail "the content after kill -9"

step "a flipped bit in the cache is not given out"
fs_stop fs
file=$(ls "$S/cache/$(hash_of "$S" big)-$SIZE")
equal 600 "$(stat -c %a "$file")" "mode of a cached content"
equal 700 "$(stat -c %a "$S/cache")" "mode of the cache"
for at in 5 6000000 15999999; do
	printf '\x00' | dd of="$file" bs=1 seek="$at" conv=notrunc status=none
done
fs_start fs "$S" "$M"
before=$(down "$M")
cmp "$WORK/plain" "$M/$R/big" || fail "what was damaged in the cache was given out"
[ "$(down "$M")" -gt "$before" ] || fail "nothing was fetched again"
fetched 3500000 "three damaged blocks"

step "what PHP wrote has an index once it was read"
sql "$S" "DELETE FROM fsp_blocks"
sql "$S" "DELETE FROM fsp_object"
cold
piece "$M" 8000000 4096
[ $(($(down "$M") - before)) -ge "$stored" ] || fail "it was not read whole: $(traffic "$M")"
equal 1 "$(sql "$S" "SELECT count(*) FROM fsp_blocks")" "indexes"
cold
piece "$M" 8000000 4096
fetched 2000000 "4 KB of it when it has one"

step "an index of another encoding does no harm, and is mended"
sql "$S" "UPDATE fsp_object SET format = 'bzip2'"
cold
piece "$M" 8000000 4096
grep -q 'or its index of blocks is' "$WORK/fs.log" || fail "the log does not say it"
cold
piece "$M" 8000000 4096
fetched 2000000 "4 KB by the new index"

step "copying out of a part that is not there yet"
cold
cp "$M/$R/big" "$M/$R/copy"
equal "$before" "$(down "$M")" "bytes fetched for a copy inside"
printf 'X' | dd of="$M/$R/copy" bs=1 seek=15500000 conv=notrunc status=none
fetched $((stored * 2)) "a byte changed in the copy"
printf 'X' | dd of="$WORK/plain" bs=1 seek=15500000 conv=notrunc status=none
cmp "$WORK/plain" "$M/$R/copy"

step "show, warm and drop"
cold
"$CTL" cache warm "$M/$R/copy" >"$WORK/out"
grep -q '^1 files, ' "$WORK/out" || fail "warm: $(cat "$WORK/out")"
"$CTL" -s "$S" cache show --json >"$WORK/out"
grep -q '"by_block": 1' "$WORK/out" || fail "show: $(cat "$WORK/out")"
"$CTL" -s "$S" cache show | grep -q '^Contents   1 of ' || fail "show: $("$CTL" -s "$S" cache show)"
cmp "$WORK/plain" "$M/$R/copy"
fetched 0 "what was warmed"
"$CTL" cache warm "$M" >"$WORK/out"
grep -q '^2 files, ' "$WORK/out" || fail "warm: $(cat "$WORK/out")"
fs_stop fs
"$CTL" -s "$S" cache drop | grep -q '^2 contents removed' || fail "drop"
must_fail "$CTL" -s "$S" cache
must_fail "$CTL" -s "$S" cache other
must_fail "$CTL" -s "$S" cache warm nothing/there
check_store "$S"
