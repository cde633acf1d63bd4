#!/usr/bin/env bash
# A daemon that dies leaves nobody hanging, though something of it stays.
# TIMEOUT 120
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
A=$WORK/a

step "a dead mount stays: nobody writes below it without noticing"
fs_start one "$WORK/store" "$A"
mkdir -p "$A/x"
kill -9 "${FS_PID[one]}"
wait "${FS_PID[one]}" || true
must_say "not connected" touch "$A/x/y"
unmount "$A"
unset "FS_PID[one]"

step "ended by SIGTERM while a caller waits: he is answered, the mount goes"
# A worker may be answering yet when the signal has been sent.
stopped() { ! grep -h '^State:' "/proc/$1"/task/*/status | grep -qv 'T (stopped)'; }
fs_start one "$WORK/store" "$A"
daemon=${FS_PID[one]}
kill -STOP "$daemon"
wait_for 20 stopped "$daemon" || fail "it does not stop"
stat "$A/nobody-knows" >"$WORK/stat" 2>&1 & caller=$!
kill -TERM "$daemon"
kill -CONT "$daemon"
wait_for 20 gone "$caller" || fail "a caller hangs after SIGTERM"
wait "$caller" || true
wait_for 20 gone "$daemon" || fail "the daemon does not end"
wait "$daemon" || fail "it ended with $?"
unset "FS_PID[one]"
! grep -qF " $A " /proc/self/mountinfo || fail "the mount is left"

step "no guard stays behind"
fs_start one "$WORK/store" "$A"
guard=$(xargs <"/proc/${FS_PID[one]}/task/${FS_PID[one]}/children")
[ -n "$guard" ] || fail "there is none"
fs_stop one
gone "$guard" || fail "the guard is left"
