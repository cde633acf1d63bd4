#!/usr/bin/env bash
# The same calls on the local disk and in a mount, compared answer by answer;
# then calls that a seed chooses. SEED takes a seed again, CALLS says how many.
# Over servers, where a change is a transaction of 5 ms and all is done ten
# times as slowly: in one record and at one other level, and of the large tables
# the part that the seed chooses.
# TIMEOUT 400
# TAKES 160 60
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
POSIX=$TOOLS/posix
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
CALLS=${CALLS:-$(on_servers && echo 250 || true)}
S=$WORK/store
M=$WORK/mnt
D=$WORK/disk
mkdir "$D"
# What is compared with is ext4: here, or else in an image.
if [ "$(stat -f -c %T "$D")" != ext2/ext3 ]; then
	wants="needs ext4 to compare with: $TMPDIR is $(stat -f -c %T "$D")"
	[ "$(id -u)" = 0 ] || skip "$wants, and only root can mount an image"
	need mkfs.ext4 e2fsprogs
	truncate -s 1G "$WORK/disk.img"
	mkfs.ext4 -q -F "$WORK/disk.img"
	mount -o loop "$WORK/disk.img" "$D" 2>"$WORK/loop.err" || skip "$wants, and no loop device: $(cat "$WORK/loop.err")"
	rmdir "$D/lost+found"
fi
# Devices and setuid bits, where root mounts; others may not have them.
options=()
[ "$(id -u)" != 0 ] || options=(-o "dev,suid")
umask 022
KEEP_GOING=1

compare() { # compare OPTION... [-- CASE...]: on the disk and in the mount
	local options=()
	while [ "$#" -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	"$POSIX" -d "$TOP/tests/posix/differences.txt" "${options[@]}" \
		"$D" "$M" "${@:2}" ||
		fail "the mount answers otherwise than the disk: SEED=$SEED"
}
step "every call, on the disk and in the mount"
fs_start fs "$S" "$M" "${options[@]}"
if on_servers; then
	note "SEED=$SEED"
	compare -e "$((SEED % 32))/32" -l 4
	compare -e "$((SEED % 40))/40" -l "$((SEED % 4))" -- names_matrix \
		rename_matrix rename_exchange readdir_all open_matrix flock
	seeds=("$SEED")
else
	compare
	seeds=(20150508 "$SEED")
fi

for seed in "${seeds[@]}"; do
	step "random calls, seed $seed"
	"$POSIX" --random "$seed" "${CALLS:-4000}" "$D" "$M" ||
		fail "random calls differ: SEED=$seed"
done

step "what they leave is the same after a remount"
"$POSIX" --random "${seeds[-1]}" "${CALLS:-1200}" --keep "$D" "$M" ||
	fail "random calls differ: SEED=${seeds[-1]}"
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
[ "$(id -u)" = 0 ] || [ -e "$WORK/failed" ] ||
	skip "the rest agrees; the cases with other users, owners and devices need root"
