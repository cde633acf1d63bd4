#!/usr/bin/env bash
# The same calls on the local disk and in a mount, compared answer by answer;
# then calls that a seed chooses. SEED takes a seed again, CALLS says how many.
# FSP_BACKEND=servers runs it over MariaDB and S3, which takes some ten minutes.
# TIMEOUT 400
# TAKES 160
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
POSIX=$TOOLS/posix
CALLS=${CALLS:-$(on_servers && echo 1000 || true)}
S=$WORK/store
M=$WORK/mnt
D=$WORK/disk
mkdir "$D"
[ "$(id -u)" = 0 ] || note "not root: the cases with other users are left out"
# Devices and setuid bits, where root mounts; others may not have them.
options=()
[ "$(id -u)" != 0 ] || options=(-o "dev,suid")
umask 022
KEEP_GOING=1

step "every call, on the disk and in the mount"
fs_start fs "$S" "$M" "${options[@]}"
"$POSIX" -d "$TOP/tests/posix/differences.txt" "$D" "$M" ||
	fail "the mount answers otherwise than the disk"

seeds=(20150508 "${SEED:-$((RANDOM * 32768 + RANDOM))}")
for seed in "${seeds[@]}"; do
	step "random calls, seed $seed"
	"$POSIX" --random "$seed" "${CALLS:-6000}" "$D" "$M" ||
		fail "random calls differ: SEED=$seed"
done

step "what they leave is the same after a remount"
"$POSIX" --random "${seeds[1]}" "${CALLS:-1200}" --keep "$D" "$M" ||
	fail "random calls differ: SEED=${seeds[1]}"
entries() { "$POSIX" --tree "$1" | sed 's/; /\n/g'; }
entries "$D" >"$WORK/disk.tree"
entries "$M" >"$WORK/before.tree"
fs_stop fs
fs_start fs "$S" "$M" "${options[@]}"
entries "$M" >"$WORK/after.tree"
diff "$WORK/disk.tree" "$WORK/before.tree" || fail "the trees differ"
diff "$WORK/before.tree" "$WORK/after.tree" || fail "the tree differs after a remount"
fs_stop fs
[ ! -d "$S/spool/kept" ] || equal 0 "$(find "$S/spool/kept" -type f | wc -l)" "kept files"
check_store "$S"
