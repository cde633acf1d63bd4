#!/usr/bin/env bash
# Leases: a mount that is out of touch loses its locks, and what was written
# under them is not committed over what the next holder wrote.
# TIMEOUT 120
# TAKES 15 15
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
A=$WORK/a
B=$WORK/b
S=$WORK/store
fs_start frozen "$S" "$A" -o mount.lease=2s
fs_start other "$S" "$B" -o mount.lease=2s
D=x/y/z
mkdir -p "$A/$D"

# Holds a lock on a file of a mount; "go" makes it write a word and close.
cat >"$WORK/holder.py" <<'PY'
import errno, fcntl, os, sys
path, how = sys.argv[1:3]
fd = os.open(path, os.O_RDWR | os.O_CREAT | (os.O_APPEND if how == "append" else 0))
if how == "range":
    fcntl.lockf(fd, fcntl.LOCK_EX, 10)
else:
    fcntl.flock(fd, fcntl.LOCK_EX)
if how == "early":
    os.write(fd, b"EARLY")
print("locked", flush=True)
for line in sys.stdin:
    what = line.strip()
    try:
        if what == "write":
            os.write(fd, b"LATE")
        elif what == "fsync":
            os.fsync(fd)
        elif what == "truncate":
            os.ftruncate(fd, 0)
        elif what == "relock":
            fcntl.flock(fd, fcntl.LOCK_EX)
        elif what == "unlock":
            fcntl.flock(fd, fcntl.LOCK_UN)
        elif what == "close":
            os.close(fd)
        print("ok", flush=True)
    except OSError as e:
        print(errno.errorcode[e.errno], flush=True)
PY
declare -A IN=() OUT=()
holder() { # holder NAME PATH HOW: a process of its own, spoken to by tell
	coproc HOLDER { exec python3 "$WORK/holder.py" "$2" "$3"; }
	exec {fd_in}>&"${HOLDER[1]}" {fd_out}<&"${HOLDER[0]}"
	IN[$1]=$fd_in OUT[$1]=$fd_out
	read -r -t 30 -u "$fd_out" answer || fail "no answer of $1"
	equal locked "$answer" "$1"
}
tell() { # tell NAME WORD: its answer
	echo "$2" >&"${IN[$1]}"
	read -r -t 60 -u "${OUT[$1]}" answer || fail "$1 does not answer to $2"
	echo "$answer"
}
leases() { sql "$S" "SELECT count(*) FROM fsp_mount WHERE lease_us > 0"; }

step "a mount that lives keeps its locks for longer than the lease"
equal 0 "$(leases)" "leases before any lock"
holder keeps "$A/$D/kept" flock
equal 1 "$(leases)" "leases with a lock"
began=$SECONDS
must_fail flock -w 6 "$B/$D/kept" true
[ $((SECONDS - began)) -ge 5 ] || fail "the other gave up early"
equal ok "$(tell keeps write)" "a write under a lock that lives"
equal ok "$(tell keeps close)" "its close"
equal LATE "$(cat "$B/$D/kept")" "what was written under it"

step "a mount that is frozen loses them, whatever it has written"
for how in early late append range; do
	echo before >"$A/$D/$how"
done
holder early "$A/$D/early" early
holder late "$A/$D/late" flock
holder append "$A/$D/append" append
holder range "$A/$D/range" range
holder again "$A/$D/again" flock
# Takes the range for a moment; what is written is its content.
take_range() { # take_range FLAG TEXT
	python3 - "$B/$D/range" "$@" <<'PY'
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX | getattr(fcntl, sys.argv[2], 0), 10)
os.ftruncate(fd, 0)
os.write(fd, sys.argv[3].encode() + b"\n")
os.close(fd)
PY
}
must_say "temporarily unavailable" take_range LOCK_NB "too early"
kill -STOP "${FS_PID[frozen]}"
flock -w 30 "$B/$D/early" sh -c "echo after >$B/$D/early" ||
	fail "the lock of a frozen mount is not freed"
for name in late append again; do
	flock -w 30 "$B/$D/$name" sh -c "echo after >$B/$D/$name" || fail "$name is locked"
done
take_range "" after || fail "the range is locked"
kill -CONT "${FS_PID[frozen]}"

step "and cannot commit under them"
equal ENOLCK "$(tell early fsync)" "fsync of what was written under a lost lock"
# Until the mount has found out, it takes what the store then refuses.
written=$(tell late write)
[ "$written" = ENOLCK ] || equal ENOLCK "$(tell late close)" "close under a lost lock"
for name in append range; do
	wait_for 20 grep -q "locks of this mount are lost" "$WORK/frozen.log" ||
		fail "the mount does not know"
	equal ENOLCK "$(tell $name write)" "a write under a lost lock: $name"
	equal ENOLCK "$(tell $name truncate)" "a truncation under a lost lock: $name"
done
for name in early late append range again; do
	equal after "$(cat "$B/$D/$name")" "what the next holder wrote: $name"
done

step "whoever takes the lock anew goes on from what is there"
equal ok "$(tell again relock)" "the lock again"
equal ok "$(tell again write)" "a write under it"
equal ok "$(tell again close)" "its close"
equal LATEr "$(cat "$B/$D/again")" "over what the other wrote"
for name in early late append range; do tell $name close >>"$WORK/closed"; done
for name in early late append range; do
	equal after "$(cat "$A/$D/$name")" "what the mount itself shows: $name"
	equal after "$(cat "$B/$D/$name")" "after all were closed: $name"
done
"$CTL" -s "$S" status >"$WORK/status" || fail "status"
grep -q "$D/early" "$WORK/status" || fail "what could not be committed is not listed: $(cat "$WORK/status")"

step "the locks of a mount that is gone, and is never heard of again, end"
holder dead "$A/$D/dead" flock
sql "$S" "UPDATE fsp_mount SET host = 'elsewhere'"
fs_kill frozen
flock -w 30 "$B/$D/dead" true || fail "the lock of a dead host stays"
# The kernel tells of the end of flock's descriptor behind its back.
none_left() { [ "$(sql "$S" "SELECT count(*) FROM fsp_lock")" = 0 ]; }
wait_for 10 none_left || fail "locks are left"
fs_stop other
check_store "$S"
