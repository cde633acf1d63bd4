#!/usr/bin/env bash
# A caller that is killed is answered at once; its commit goes on. What the
# caller waits for is held in the store for as long as the test wants.
# TIMEOUT 600
# TAKES 45
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
A=$WORK/a
HOLD=$WORK/hold
ulimit -c 0
FS_ENV=(LD_PRELOAD="$(preloaded preload_iotrace)" IOTRACE_PREFIX="$WORK/store/"
	IOTRACE_HOLD="$HOLD")
fs_start one "$WORK/store" "$A"
mkdir -p "$A/x/y/z"

# hold OP SECONDS: each call of it on objects waits from now on, until released.
hold() {
	rm -f "$HOLD.held"
	echo "$1 /objects $2" >"$HOLD"
}
held() { wait_for 60 test -e "$HOLD.held" || fail "nobody came to the hold"; }
release() { rm "$HOLD"; }

# Writes, says so, and does as it is told.
cat >"$WORK/writer.py" <<'PY'
import os, signal, sys, time
how, path, copy = sys.argv[1:4]
if how == "caught":
    signal.signal(signal.SIGALRM, lambda *a: None)
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.05)
data = os.urandom(2 << 20)
with open(copy, "wb") as f:
    f.write(data)
fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
for at in range(0, len(data), 1 << 18):
    os.pwrite(fd, data[at:at + (1 << 18)], at)
print("written", flush=True)
if how == "exit":
    time.sleep(1000)
elif how in ("fsync", "caught"):
    os.fsync(fd)
elif how == "truncate":
    os.truncate(path, len(data))
else:
    os.close(fd)
print("not killed", flush=True)
PY

committed() { # committed NAME: its row is there, with content
	[ "$(sql "$WORK/store" "select count(*) from filespace_file
	     where file_key = '$1' and size_original > 0")" != 0 ]
}

# A process of which nothing is left but what its parent has not asked for.
ended() { ! [ -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }

# kill_in HOW SIGNAL: the caller goes, and only then the commit ends.
kill_in() {
	local how=$1 sig=$2 pid
	: >"$WORK/said"
	hold fsync 1000
	python3 "$WORK/writer.py" "$how" "$A/x/y/z/$how$sig" "$WORK/copy" \
		>"$WORK/said" 2>"$WORK/err" & pid=$!
	wait_for 60 grep -q written "$WORK/said" || fail "$how: it never wrote"
	# Who has not begun a commit begins it by ending.
	[ "$how" = exit ] || held
	kill "-$sig" "$pid"
	wait_for 60 ended "$pid" || fail "$how: it does not end"
	held
	! committed "$how$sig" || fail "$how, SIG$sig: nothing was held"
	release
	wait "$pid" 2>/dev/null || true
	! grep -q 'not killed' "$WORK/said" || fail "$how: it was answered as if it lived"
	# Who opens it has what was written; it is committed as by a close.
	cmp "$WORK/copy" "$A/x/y/z/$how$sig" || fail "$how: another content"
	wait_for 120 committed "$how$sig" || fail "$how: never committed"
}

step "killed in close, in fsync, in truncate, and with the file open"
kill_in close KILL
kill_in close TERM
kill_in fsync ABRT
kill_in exit KILL
kill_in truncate KILL

step "killed after a signal that it catches, which changes nothing"
kill_in caught KILL

step "a signal that is caught does not end a close"
cat >"$WORK/alarm.py" <<'PY'
import os, signal, sys
rang = []
signal.signal(signal.SIGALRM, lambda *a: rang.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.2, 0.05)
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for _ in range(8):
    os.write(fd, os.urandom(1 << 20))
n = len(rang)
os.fsync(fd)                            # raises where the call fails
os.close(fd)
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(rang) > n, "no signal came"
PY
python3 "$WORK/alarm.py" "$A/x/y/z/alarm" || fail "an alarm ended it"

step "a reader that is killed leaves at once, and the others get their bytes"
python3 -c "import os,sys; open(sys.argv[1], 'wb').write(os.urandom(8 << 20))" "$WORK/big"
cp "$WORK/big" "$A/x/y/z/big"
fs_stop one
fs_start one "$WORK/store" "$A"
# A read from a disk cannot be ended, only what is made of many: some ten here.
hold read 5
# O_DIRECT: it waits for our answer, not for a page.
dd if="$A/x/y/z/big" of=/dev/null bs=1M iflag=direct 2>/dev/null & reader=$!
held
cmp "$WORK/big" "$A/x/y/z/big" & other=$!
kill -KILL "$reader"
wait_for 20 ended "$reader" ||
	fail "the reader waited for what it does not want any more"
alive "$other" || fail "nothing was held"
release
wait "$reader" 2>/dev/null || true
wait "$other" || fail "the other reader"

step "a writer that waits for another's commit is killed"
cat >"$WORK/two.py" <<'PY'
import os, sys, threading
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(fd, os.urandom(2 << 20))
t = threading.Thread(target=os.fsync, args=(fd,))
t.start()
print("written", flush=True)
while True:
    os.pwrite(fd, b"x", 0)
PY
hold fsync 1000
python3 "$WORK/two.py" "$A/x/y/z/two" >"$WORK/said" & pid=$!
wait_for 60 grep -q written "$WORK/said" || fail "it never wrote"
held
kill -KILL "$pid"
wait_for 60 ended "$pid" || fail "it does not end"
! committed two || fail "nothing was held"
release
wait "$pid" 2>/dev/null || true
wait_for 120 committed two || fail "never committed"
fs_stop one
check_store "$WORK/store"
