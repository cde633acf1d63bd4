#!/usr/bin/env bash
# A daemon that dies leaves nobody hanging, though something of it stays.
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need_root
need python3 python3
A=$WORK/a

# Keeps a copy of the daemon's descriptor of /dev/fuse, as a thread that cannot
# end does.
cat >"$WORK/keep.py" <<'PY'
import ctypes, os, signal, sys
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
pidfd = os.pidfd_open(pid)
for fd in os.listdir(f"/proc/{pid}/fd"):
    if os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/fuse":
        if libc.syscall(438, pidfd, int(fd), 0) < 0:    # pidfd_getfd
            sys.exit(os.strerror(ctypes.get_errno()))
        print("kept", flush=True)
        signal.pause()
sys.exit("no /dev/fuse")
PY

# A worker may be answering yet when the signal has been sent.
stopped() { ! grep -h '^State:' "/proc/$1"/task/*/status | grep -qv 'T (stopped)'; }

held() { # held SIGNAL: the daemon ends by it, while its descriptor is kept
	local keeper caller
	fs_start one "$WORK/store" "$A"
	mkdir -p "$A/x"
	python3 "$WORK/keep.py" "${FS_PID[one]}" >"$WORK/said" & keeper=$!
	wait_for 20 grep -q kept "$WORK/said" || fail "the descriptor cannot be kept"
	kill -STOP "${FS_PID[one]}"
	wait_for 20 stopped "${FS_PID[one]}" || fail "it does not stop"
	stat "$A/nobody-knows" >"$WORK/stat" 2>&1 & caller=$!
	sleep 0.2
	alive "$caller" || fail "answered by nobody: $(cat "$WORK/stat")"
	kill "-$1" "${FS_PID[one]}"
	kill -CONT "${FS_PID[one]}" 2>/dev/null || true
	wait_for 20 gone "$caller" || fail "a caller hangs after SIG$1"
	wait "$caller" || true
	kill "$keeper"
	wait "$keeper" || true
	wait "${FS_PID[one]}" || true
	unset "FS_PID[one]"
	umount -l "$A" 2>/dev/null || true
}

step "killed: whoever waits for an answer gets an error"
held KILL
grep -qE 'not connected|abort' "$WORK/stat" || fail "the caller: $(cat "$WORK/stat")"

step "a dead mount stays: nobody writes below it without noticing"
fs_start one "$WORK/store" "$A"
mkdir -p "$A/x"
kill -9 "${FS_PID[one]}"
wait "${FS_PID[one]}" || true
must_say "not connected" touch "$A/x/y"
unmount "$A"
unset "FS_PID[one]"

step "ended by SIGTERM"
held TERM

step "no guard stays behind"
fs_start one "$WORK/store" "$A"
guard=$(xargs <"/proc/${FS_PID[one]}/task/${FS_PID[one]}/children")
[ -n "$guard" ] || fail "there is none"
fs_stop one
gone "$guard" || fail "the guard is left"
