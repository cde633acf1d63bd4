#!/usr/bin/env bash
# mount.commit = back: close() returns when the spool has it, and what it has
# promised is stored later, whatever happens in between.
# TIMEOUT 300
# TAKES 10 85
# BACKENDS embedded servers
# CHECKED
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need_root
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/a
N=$WORK/b
D=$M/acct/table/record
E=$N/acct/table/record
OP=$TOOLS/fsop
CP=$WORK/copies
mkdir "$CP"

# The object store takes nothing: its disk is full, or it is frozen.
if on_servers; then
	own_servers rgw "$WORK/rgw"
	hold() { kill -STOP "$(cat "$WORK/rgw/rgw.pid")"; }
	free() { kill -CONT "$(cat "$WORK/rgw/rgw.pid")"; }
	store_init "$S" -o s3.timeout=2s -o s3.connect_timeout=1s -o s3.retries=0
else
	small_disk 16m
	hold() { head -c 32M /dev/zero >"$SMALL/ballast" 2>/dev/null || true; }
	free() { rm -f "$SMALL/ballast"; }
	store_init "$S" -o "file.path=$SMALL/objects"
fi

back() { fs_start "$1" "$S" "$2" -o mount.commit=back; }
status() { "$CTL" -s "$S" status >"$WORK/status"; }
stored() { # stored FILE-KEY WANTED-CONTENT-FILE: of the live row
	local hash
	hash=$(hash_of "$S" "$1")
	[ -n "$hash" ] || fail "$1 has no live row"
	decode_object "$S" "$hash" >"$WORK/stored" || fail "the object of $1"
	cmp "$WORK/stored" "$2" || fail "$1 is not what was written"
}
has_row() { [ -n "$(hash_of "$S" "$1")" ]; }
log_says() { grep -qF -- "$1" "$WORK/$2.log"; }

step "what is closed is shown at once, and stored soon"
back a "$M"
mkdir -p "$D"
printf 'first' >"$D/f"
equal first "$(cat "$D/f")" "read back"
wait_for 20 has_row f || fail "f is not stored"
all_stored "$S"
printf 'first' >"$CP/f"
stored f "$CP/f"
printf 'newer' >"$D/g"
wait_for 20 has_row g

step "the object store takes nothing: close() returns, and says so"
hold
for i in 1 2 3; do
	"$OP" open "$D/small$i" wct write "small $i" close >"$WORK/out" ||
		fail "$(xargs <"$WORK/out")"
	printf 'small %s' "$i" >"$CP/small$i"
done
"$OP" open "$D/large" wct fill 300000 7 close >"$WORK/out" || fail "$(xargs <"$WORK/out")"
"$OP" open "$CP/large" wct fill 300000 7 close >/dev/null
printf ' and more' >>"$D/f"
printf 'first and more' >"$CP/f"
for f in small1 small2 small3 large f; do
	cmp "$D/$f" "$CP/$f" || fail "$f, before it is stored"
	equal "$(stat -c %s "$CP/$f")" "$(stat -c %s "$D/$f")" "size of $f"
done
equal 5 "$(queued "$S")" "queued"
status
grep -q 'Queued  *5 files' "$WORK/status" || fail "status: $(cat "$WORK/status")"
grep -q 'acct/table/record/large' "$WORK/status" || fail "status lists no large"
getfattr --only-values -n user.filespace.health "$M" >"$WORK/health"
grep -q '5 files wait to be stored' "$WORK/health" || fail "health: $(cat "$WORK/health")"
! has_row small1 || fail "PHP sees a row before its object"

step "fsync says that it is not stored; close() has promised it"
"$OP" open "$D/small1" w fsync close >"$WORK/out" && fail "fsync: $(xargs <"$WORK/out")"
grep -Eq '^fsync: (ENOSPC|EHOSTDOWN|ETIMEDOUT)' "$WORK/out" || fail "$(xargs <"$WORK/out")"
equal 5 "$(queued "$S")" "queued after fsync"

step "written on: nothing of what was promised changes; names move it along"
printf 'X' | dd of="$D/large" bs=1 seek=5000 conv=notrunc status=none
printf 'X' | dd of="$CP/large" bs=1 seek=5000 conv=notrunc status=none
for i in 1 2 3 4 5; do
	printf '%s\n' "line $i" >>"$D/log"
	printf '%s\n' "line $i" >>"$CP/log"
done
cmp "$D/large" "$CP/large"
cmp "$D/log" "$CP/log"
mv "$D/small2" "$D/renamed"
mv "$CP/small2" "$CP/renamed"
ln "$D/renamed" "$D/linked"
printf 'gone' >"$D/gone"
rm "$D/gone"
[ ! -e "$D/gone" ] || fail "gone is there"
truncate -s 3 "$D/small3"
truncate -s 3 "$CP/small3"
touch -d '2015-05-08 10:13:20.123456789' "$D/small3"
chmod 640 "$D/small3"
equal "$(stat -c %s "$CP/small3")" "$(stat -c %s "$D/small3")" "size of small3"
equal "640 1431080000" "$(stat -c '%a %Y' "$D/small3")" "mode and time of small3"

step "kill -9: all of it is there again, before and after it is stored"
fs_kill a
status
grep -q dead "$WORK/status" || fail "status does not say that its mount died"
on_servers && free
back a "$M"
for f in small1 renamed small3 large log f; do
	cmp "$D/$f" "$CP/$f" || fail "$f after the kill"
done
[ ! -e "$D/gone" ] || fail "gone is back"
free
all_stored "$S"
for f in small1 renamed linked small3 large log f; do
	[ "$f" = linked ] || stored "$f" "$CP/$f"
done
cmp "$D/linked" "$CP/renamed"
equal "640 1431080000" "$(stat -c '%a %Y' "$D/small3")" "mode and time of small3"
! has_row gone || fail "gone was stored"
for f in small1 renamed large log; do
	equal 1 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = '$f' AND (deleted_at IS NULL OR deleted_at = 0)")" "live rows of $f"
done
check_store "$S"

step "fsync waits for the store"
"$OP" open "$D/synced" wct write synced fsync >"$WORK/out" || fail "$(xargs <"$WORK/out")"
has_row synced || fail "fsync did not store it"

step "another mount's newer version stays: what is late goes into the history"
fs_start b "$S" "$N"
hold
printf 'late' >"$D/f"
cp "$E/g" "$E/f"
equal "$(hash_of "$S" g)" "$(hash_of "$S" f)" "what is live"
free
all_stored "$S"
equal newer "$(cat "$E/f")" "live on the other mount"
wait_for 20 log_says 'goes into the history only' a || fail "no line in the log"
equal newer "$(cat "$D/f")" "live on this mount"
found=
for f in "$E"/.versions/f/*; do
	[ "$(cat "$f")" != late ] || found=$f
done
[ -n "$found" ] || fail "what was late is not in the history: $(ls "$E/.versions/f")"

step "what was stored elsewhere before close() is merged, once"
printf 'begin\n' >"$D/both"
wait_for 20 has_row both
all_stored "$S"
python3 - "$D/both" "$E/both" <<'PY'
import sys
here = open(sys.argv[1], 'ab', 0)
here.write(b'here\n')
with open(sys.argv[2], 'ab', 0) as there:
    there.write(b'there\n')
here.close()
PY
all_stored "$S"
equal "begin there here" "$(xargs <"$E/both")" "on the other mount"
equal "begin there here" "$(xargs <"$D/both")" "on this mount"

step "what was closed behind one that is merged goes over what becomes of that"
python3 - "$D/both" "$E/both" "$WORK" <<'PY' &
import os, sys, time
here = open(sys.argv[1], 'ab', 0)
here.write(b'one\n')
with open(sys.argv[2], 'ab', 0) as there:
    there.write(b'two\n')
open(sys.argv[3] + '/written', 'w').close()
while not os.path.exists(sys.argv[3] + '/held'):
    time.sleep(0.01)
here.close()
PY
writer=$!
wait_for 20 test -e "$WORK/written"
hold
touch "$WORK/held"
wait "$writer" || fail "close"
"$OP" open "$D/both" w fsync close >"$WORK/out" && fail "fsync: $(xargs <"$WORK/out")"
echo three >>"$D/both"
equal 2 "$(queued "$S")" "queued, the second behind what was tried"
free
all_stored "$S"
equal "begin there here two one three" "$(xargs <"$E/both")" "on the other mount"
equal "begin there here two one three" "$(xargs <"$D/both")" "on this mount"

step "giving up a lock stores it"
exec 8>>"$D/locked"
flock 8
printf 'under a lock' >&8
flock -u 8
equal "under a lock" "$(cat "$E/locked")" "what the other mount sees"
flock 8
printf ', closed under one' >&8
exec 8>&-
equal "under a lock, closed under one" "$(cat "$E/locked")" "after close"

step "a queued file replaces another only when it is stored"
printf 'old' >"$D/target"
all_stored "$S"
printf 'new' >"$D/temp"
mv "$D/temp" "$D/target"
equal new "$(cat "$E/target")" "target, on the other mount"
hold
printf 'newest' >"$D/temp"
mv "$D/temp" "$D/target" 2>"$WORK/out" && fail "the old version is gone before the new one is stored"
equal new "$(cat "$E/target")" "target, while nothing can be stored"
free
all_stored "$S"

step "copies of a queued file"
printf 'copy me' >"$D/source"
cp "$D/source" "$D/copied"
equal "copy me" "$(cat "$D/copied")" "the copy"
all_stored "$S"
equal "copy me" "$(cat "$E/copied")" "the copy on the other mount"
fs_stop b

step "umount waits for what is queued, and says so"
hold
printf 'last words' >"$D/last"
unmount "$M"
wait_for 20 log_says 'are still to be stored' a || fail "the log says nothing"
alive "${FS_PID[a]}" || fail "ended with a queue"
free
wait_for 60 gone "${FS_PID[a]}" || fail "does not end"
rc=0
wait "${FS_PID[a]}" || rc=$?
equal 0 "$rc" "exit status"
unset "FS_PID[a]"
printf 'last words' >"$CP/last"
stored last "$CP/last"
left=$(find "$S/spool" -mindepth 1 -not -name kept -not -path '*/kept/*')
equal "" "$left" "left in the spool"

step "killed while it waits for its queue: the next mount goes on, also through"
back a "$M"
hold
printf 'killed' >"$D/killed"
unmount "$M"
wait_for 20 log_says 'are still to be stored' a
kill -9 "${FS_PID[a]}"
wait "${FS_PID[a]}" 2>/dev/null || true
unset "FS_PID[a]"
free
fs_start a "$S" "$M"
all_stored "$S"
equal killed "$(cat "$D/killed")" "after the kill"
fs_stop a

step "written on, removed, and synced: nothing waits for what was dropped"
fs_start a "$S" "$M" -o mount.commit=back
cat >"$WORK/gone.py" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b"x" * 1000, 0)
os.close(os.dup(fd))
os.pwrite(fd, b"y" * 1000, 500)
os.unlink(sys.argv[1])
os.fsync(fd)
os.pwrite(fd, b"z" * 10, 0)
os.close(os.dup(fd))
assert os.pread(fd, 2000, 0) == b"z" * 10 + b"x" * 490 + b"y" * 1000
PY
hold
timeout 60 python3 "$WORK/gone.py" "$D/gone" || fail "fsync of what is deleted"
free
all_stored "$S"
fs_stop a

step "above the watermark close() waits for room, then stores by itself"
fs_start a "$S" "$M" -o mount.commit=back -o spool.pending_max=1000 \
	-o mount.op_timeout=1s
hold
"$OP" open "$D/w1" wct fill 900 1 close >"$WORK/out" || fail "$(xargs <"$WORK/out")"
"$OP" open "$D/w2" wct fill 900 2 close >"$WORK/out" && fail "no room, and close() says ok"
grep -Eq '^close: (ENOSPC|EHOSTDOWN|ETIMEDOUT)' "$WORK/out" || fail "$(xargs <"$WORK/out")"
equal 1 "$(queued "$S")" "queued"
free
all_stored "$S"
"$OP" open "$D/w3" wct fill 5000 3 close >"$WORK/out" || fail "$(xargs <"$WORK/out")"
has_row w3 || fail "larger than the queue, and not stored at once"
fs_stop a
check_store "$S"
if on_servers; then srv_stop "$WORK/rgw"; fi
