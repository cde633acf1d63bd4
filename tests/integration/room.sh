#!/usr/bin/env bash
# The marks of spool and cache: how much may wait, and what their disks are to
# have left. A disk that is full while commits wait loses none of them.
# TIMEOUT 240
# TAKES 12
# CHECKED
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need_root
need sqlite3 sqlite3
need python3 python3
S=$WORK/store
M=$WORK/mnt
D=$M/acct/table/record
OP=$TOOLS/fsop
HOLD=$WORK/hold
small_disk 10m
FS_ENV=(LD_PRELOAD="$(preloaded preload_iotrace)" IOTRACE_PREFIX="$WORK/"
	IOTRACE_HOLD="$HOLD")

hold() { # hold PART: each fsync of a path with that part waits from now on
	rm -f "$HOLD.held"
	echo "fsync $1 1000" >"$HOLD.new"
	mv "$HOLD.new" "$HOLD"
}
held() { wait_for 60 test -e "$HOLD.held" || fail "nobody came to the hold"; }
release() { rm "$HOLD"; }
free_bytes() { stat -f -c '%a %S' "$SMALL" | { read -r n s; echo $((n * s)); }; }
leave_free() { # leave_free BYTES
	rm -f "$SMALL/ballast"
	fallocate -l $(($(free_bytes) - $1)) "$SMALL/ballast"
}
row_of() { sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = '$1' AND size_original > 0"; }
n_queued() { [ "$(queued "$S")" -ge "$1" ]; }

step "no more waits than may, however many close at once"
store_init "$S"
fs_start fs "$S" "$M" -o mount.commit=back -o spool.pending_max=1000000 -o spool.free_min=0
mkdir -p "$D"
cat >"$WORK/closers.py" <<'PY'
import os, random, sys, threading
top = sys.argv[1]
data = [random.Random(i).randbytes(300000) for i in range(8)]
fds = [os.open("%s/c%d" % (top, i), os.O_RDWR | os.O_CREAT) for i in range(8)]
for fd, d in zip(fds, data):
    os.pwrite(fd, d, 0)
print("written", flush=True)
sys.stdin.readline()
threads = [threading.Thread(target=os.close, args=(fd,)) for fd in fds]
for t in threads:
    t.start()
for t in threads:
    t.join()
for i, d in enumerate(data):
    with open("%s/c%d" % (top, i), "rb") as f:
        if f.read() != d:
            sys.exit("c%d has another content" % i)
PY
mkfifo "$WORK/go"
python3 "$WORK/closers.py" "$D" <"$WORK/go" >"$WORK/said" & closers=$!
exec 3>"$WORK/go"
wait_for 60 grep -q written "$WORK/said" || fail "nothing was written"
hold /spool/
echo >&3
held
nap 1                                   # all of them have come, or they wait
hold /objects
wait_for 60 n_queued 3 || fail "$(queued "$S") files are queued"
nap 0.5
equal 3 "$(queued "$S")" "files of 300,000 bytes that wait, of at most 1,000,000"
release
wait "$closers" || fail "the contents"
exec 3>&-
all_stored "$S"
equal 8 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE size_original = 300000")" rows
fs_stop fs

step "below free_min close() stores by itself"
S=$WORK/store2
store_init "$S" -o "spool.path=$SMALL/spool"
fs_start fs "$S" "$M" -o mount.commit=back -o spool.free_min=5M
mkdir -p "$D"
hold /objects
timeout 30 "$OP" open "$D/a" wct write "there is room" close >/dev/null || fail "it is not queued"
equal 1 "$(queued "$S")" "files that wait"
release
all_stored "$S"
leave_free 4000000
hold /objects
"$OP" open "$D/b" wct write "there is none" close >"$WORK/out" & writer=$!
held
equal 0 "$(queued "$S")" "files that wait without room for them"
alive "$writer" || fail "close() returned: $(xargs <"$WORK/out")"
release
wait "$writer" || fail "close(): $(xargs <"$WORK/out")"
equal 1 "$(row_of b)" "rows of what was stored"
leave_free 6000000
hold /objects
timeout 30 "$OP" open "$D/c" wct write "and there it is" close >/dev/null || fail "it is not queued"
equal 1 "$(queued "$S")" "files that wait when there is room again"
release
all_stored "$S"

step "a spool without any room"
leave_free 0
"$OP" open "$D/a" wct fill 3000000 1 close >"$WORK/out" || true
grep -q ': ENOSPC$' "$WORK/out" || fail "wanted ENOSPC: $(xargs <"$WORK/out")"
rm -f "$SMALL/ballast" "$SMALL"/spool/kept/*
equal "there is room" "$(cat "$D/a")" "the old version"
printf ', again' >>"$D/a"
fs_stop fs
equal 3 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE deleted_at = 0")" "files"
"$CTL" -s "$S" check >/dev/null || fail "check"

step "what waits is not lost when the objects' disk is full"
rm -rf "${SMALL:?}"/*
S=$WORK/store3
store_init "$S" -o "file.path=$SMALL/objects"
fs_start fs "$S" "$M" -o mount.commit=back -o spool.free_min=0
mkdir -p "$D"
leave_free 1000000
"$OP" open "$D/f" wct fill 3000000 1 close >/dev/null || fail "close() of what can wait"
full() { getfattr --absolute-names --only-values -n user.filespace.health "$M" | grep -q 'No space left'; }
wait_for 60 full || fail "health does not say it"
equal 0 "$(row_of f)" "rows without an object"
rm "$SMALL/ballast"
all_stored "$S"
equal 1 "$(row_of f)" rows
"$OP" open "$WORK/wanted" wct fill 3000000 1 close >/dev/null
cmp "$WORK/wanted" "$D/f"
fs_stop fs
check_store "$S"

step "what the cache leaves free of its disk, and keeps of it"
rm -rf "${SMALL:?}"/*
S=$WORK/store4
store_init "$S" -o general.compression=none
fs_start fs "$S" "$M"
mkdir -p "$D"
for i in $(seq 14); do head -c 1000000 /dev/urandom >"$D/f$i"; done
fs_stop fs
# What is read last is held for a moment, and is more than there may be.
cached() { # cached MIN_FREE: reads all with the cache on the small disk
	rm -rf "${SMALL:?}"/*
	fs_start fs "$S" "$M" -o "cache.path=$SMALL/cache" -o "cache.min_free=$1"
	cat "$D"/* >/dev/null
	fs_stop fs
	kept=$(du -sb "$SMALL/cache" | cut -f 1)
	note "min_free $1: $(free_bytes) bytes are free, $kept are kept"
}
cached 800000
[ "$(free_bytes)" -ge 800000 ] || fail "$(free_bytes) bytes are free"
[ "$kept" -ge 7000000 ] || fail "only $kept bytes are kept"
# Half of the disk, of which it is a tenth.
cached 5M
[ "$(free_bytes)" -ge 1000000 ] || fail "$(free_bytes) bytes are free"
[ "$kept" -ge 7000000 ] || fail "only $kept bytes are kept"
