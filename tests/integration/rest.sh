#!/usr/bin/env bash
# What a mount asks of the database while nobody uses it: for the changes of
# others once a second, no more and no less; with locks held, their lease besides.
# TIMEOUT 120
# TAKES 25
# SERVERS rgw
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
# Its own, since the server counts what all ask.
own_servers mariadb "$WORK/mariadb"
export FSP_BACKEND=servers
S=$WORK/store
M=$WORK/mnt
fs_start fs "$S" "$M" -o mount.lease=30s
mkdir -p "$M/x/y/z"
echo text >"$M/x/y/z/f"
ls -l "$M/x/y/z" >/dev/null

# Both by the server, in one answer: "QUESTIONS MICROSECONDS".
asked() {
	mariadb_root "$WORK/mariadb" -e "SELECT variable_value,
		CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS INT) FROM
		information_schema.global_status WHERE variable_name = 'QUESTIONS'"
}
OURS=
count() { # count SECONDS: sets QUESTIONS of the mount and US, how long it was
	local q0 t0 q1 t1
	read -r q0 t0 < <(asked)
	nap "$1"
	read -r q1 t1 < <(asked)
	QUESTIONS=$((q1 - q0 - ${OURS:-0})) US=$((t1 - t0))
}
# What looking costs: with the mount stopped, nobody else asks.
kill -STOP "${FS_PID[fs]}"
count 0.1
OURS=$QUESTIONS
kill -CONT "${FS_PID[fs]}"
sleep 1

step "at rest"
count 8
note "$QUESTIONS questions in $((US / 1000)) ms"
[ "$QUESTIONS" -le $((US / 1000000 + 2)) ] || fail "more than one question a second"
# Else changes of others are heard of late.
[ "$QUESTIONS" -ge $((US / 2000000)) ] || fail "the journal is not read"

step "with locks held"
exec 8<>"$M/x/y/z/f"
flock 8
"$TOOLS/fsop" open "$M/x/y/z/f" r close >/dev/null
sleep 1
count 12
note "$QUESTIONS questions in $((US / 1000)) ms"
# A renewal is one transaction every ten seconds.
[ "$QUESTIONS" -le $((US / 1000000 + 2 + 10 * (US / 10000000 + 1))) ] || fail "locks cost too much"
exec 8>&-
fs_stop fs
