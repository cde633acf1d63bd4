# shellcheck shell=bash
# What the integration tests share. A test is an executable bash script:
#
#   #!/usr/bin/env bash
#   # What it shows.
#   # TIMEOUT 120
#   # TAKES 60 90                   about so long, with each of BACKENDS
#   # BACKENDS embedded servers     stores of which it runs with (embedded)
#   # SERVERS mariadb rgw           servers of the run that it wants besides
#   # CHECKED                       the daemon has the assertions of DEBUG=1
#   . "$(dirname "$0")/../lib/lib.sh"
#
# It runs in a directory of its own ($WORK), ends with 0, or with 1 by fail,
# or with 77 by skip. Everything that it started is stopped at its end.

set -Eeuo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [ -z "${WORK:-}" ]; then
	# Run by hand: the runner sets up what a test needs.
	name=$(basename "$0" .sh)
	[ "${FSP_BACKEND:-embedded}" = embedded ] || name=$name@$FSP_BACKEND
	TESTS="^$name\$" KEEP_LOG=1 exec "$TOP/tests/run"
fi
FILESPACEFS=$BIN/filespacefs
! sed -n 1,20p "$0" | grep -qx '# CHECKED' || FILESPACEFS=$BIN/checked/filespacefs
CTL=$BIN/filespacectl
export FIXTURE=$TOP/tests/fixtures/php-filespace
export LC_ALL=C.UTF-8 TZ=UTC
cd "$WORK"

. "$TOP/tests/lib/servers.sh"
. "$TOP/tests/lib/store.sh"

declare -A FS_PID=() FS_MNT=()

step() { printf '== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }

# With KEEP_GOING set a test goes on, to see all that fails, and fails at its end.
fail() {
	local i=1
	# The line of the test, not of what it has from here.
	while [[ ${BASH_SOURCE[i]%/*} = */lib && ${BASH_SOURCE[i + 1]:-} ]]; do
		i=$((i + 1))
	done
	printf 'FAIL: %s (%s line %s)\n' "$*" "${BASH_SOURCE[i]##*/}" "${BASH_LINENO[i - 1]}"
	[ -n "${KEEP_GOING:-}" ] || exit 1
	echo failed >>"$WORK/failed"
}

skip() {
	printf '%s\n' "$*"
	exit 77
}

# A disk of that size, $SMALL; it goes with the test.
small_disk() { # small_disk SIZE
	SMALL=$WORK/small
	mkdir "$SMALL"
	mount -t tmpfs -o size="$1" filespacefs-test "$SMALL" 2>/dev/null ||
		skip "cannot mount a tmpfs here"
}

# need COMMAND PACKAGE: what is not there is skipped; in CI that is a failure.
need() {
	command -v "$1" >/dev/null || skip "needs $1 (apt-get install $2)"
}

need_fuse() {
	[ -c /dev/fuse ] || skip "needs /dev/fuse, which this machine does not have"
	[ -r /dev/fuse ] || [ -u "$(command -v fusermount3)" ] ||
		skip "needs access to /dev/fuse"
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

on_error() {
	printf 'FAIL: "%s" ended with %s (%s line %s)\n' "$3" "$1" \
		"${BASH_SOURCE[1]##*/}" "$2"
}
trap 'on_error $? $LINENO "$BASH_COMMAND"' ERR

equal() { # equal WANTED GOT WHAT
	[ "$1" = "$2" ] || fail "$3: wanted ${1@Q}, got $(head -c 300 <<<"${2@Q}")"
}

must_fail() {
	if "$@" >"$WORK/must_fail.log" 2>&1; then
		fail "should have failed: $*"
	fi
}

# must_say TEXT COMMAND...: fails, and the message holds the text.
must_say() {
	local text=$1
	shift
	must_fail "$@"
	grep -qiF -- "$text" "$WORK/must_fail.log" ||
		fail "the message of '$*' lacks '$text': $(cat "$WORK/must_fail.log")"
}

# Sleeps without a process (see tests/run).
nap() { read -r -t "$1" _ <>"$FSP_NAP" || :; }

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
	local left=$(($1 * 50))
	shift
	until "$@" 2>/dev/null; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		nap 0.02
	done
}

alive() { kill -0 "$1" 2>/dev/null; }
gone() { ! alive "$1"; }

# The daemon in the foreground as our child, so that its exit status and its
# whole log are ours. FS_ENV holds NAME=VALUE words for its environment.
declare -a FS_ENV=()
# For LD_PRELOAD: a library of ours; the sanitizer's own has to be the first one.
preloaded() { # preloaded TOOL
	local asan
	asan=$(ldd "$FILESPACEFS" | sed -n 's/.*lib[at]san.* => \([^ ]*\) .*/\1/p' | head -n 1)
	echo "${asan:+$asan:}$TOOLS/$1"
}

# Servers that no other test has, which may be stopped; their facts are ours.
own_servers() { # own_servers KIND DIR
	local out
	out=$(srv_needs_of "$1" 2>&1) || skip "${out#servers: }"
	FSP_OWNER=$$ srv_start "$1" "$2" || fail "$1 did not start"
	set -a
	# shellcheck disable=SC1091 # made by srv_start
	. "$2/env"
	set +a
}

append_locked() { # append_locked FILE NAME LINES
	local i
	for i in $(seq 1 "$3"); do
		(flock 9 && echo "$2 $i" >&9) 9>>"$1"
	done
}

# What was cached would be read in the place of the objects: mounts begin without,
# unless KEEP_CACHE is set.
cache_drop() { # cache_drop SOURCE
	[ ! -e "$1" ] || "$CTL" -s "$1" cache drop >/dev/null
}

fs_start() { # fs_start NAME SOURCE MOUNTPOINT [OPTION...]
	local name=$1 source=$2 mnt=$3
	shift 3
	! on_servers || [ -e "$source" ] || store_init "$source"
	mkdir -p "$mnt" 2>/dev/null || true     # a stale mount says no
	[ -n "${KEEP_CACHE:-}" ] || cache_drop "$source"
	env "${FS_ENV[@]}" "$FILESPACEFS" -f "$@" "$source" "$mnt" \
		>>"$WORK/$name.log" 2>&1 &
	FS_PID[$name]=$!
	FS_MNT[$name]=$mnt
	echo "$!" >>"$WORK/pids"
	wait_for 30 fs_ready "$!" "$mnt" || true
	mounted "$mnt" || fail "no mount at $mnt: $(tail -n 5 "$WORK/$name.log")"
}

# What the kernel has cached it answers for a dead daemon, too, a whole listing
# even; a name that is not there is asked for. In this order because a dead mount
# may be taken away in between.
answers_none() { [[ $(LC_ALL=C stat "$1/.none-$RANDOM" 2>&1) = *'No such file'* ]]; }
mounted() { answers_none "$1" && grep -qF " $1 " /proc/self/mountinfo; }
fs_ready() { mounted "$2" || gone "$1"; }

# Programs that look at all mounts of the machine (Galera's rsync transfer runs
# lsof) hold each for a moment, so busy is a fault only when it lasts.
unmount() { # unmount MOUNTPOINT
	local umount=(umount) left=100
	[ "$(id -u)" = 0 ] || umount=(fusermount3 -u)
	until "${umount[@]}" "$1" 2>"$WORK/umount.err"; do
		left=$((left - 1))
		if [ "$left" = 0 ] || ! grep -q busy "$WORK/umount.err"; then
			cat "$WORK/umount.err" >&2
			return 1
		fi
		sleep 0.1
	done
}

fs_stop() { # fs_stop NAME
	local name=$1 rc=0
	unmount "${FS_MNT[$name]}" || fail "cannot unmount ${FS_MNT[$name]}"
	wait_for 60 gone "${FS_PID[$name]}" || fail "$name does not end after umount"
	wait "${FS_PID[$name]}" || rc=$?
	unset "FS_PID[$name]"
	[ "$rc" = 0 ] || fail "$name ended with $rc: $(tail -n 20 "$WORK/$name.log")"
	scan_log "$WORK/$name.log"
}

# kill -9, and the dead mount is taken away or, with "stale", left behind.
fs_kill() { # fs_kill NAME [stale]
	local name=$1
	kill -9 "${FS_PID[$name]}"
	wait "${FS_PID[$name]}" 2>/dev/null || true
	unset "FS_PID[$name]"
	[ "${2:-}" = stale ] || umount -l "${FS_MNT[$name]}" 2>/dev/null ||
		fusermount3 -uz "${FS_MNT[$name]}"
}

# Words that no log of a healthy daemon has.
scan_log() {
	! grep -nE 'Sanitizer|runtime error:|[Aa]ssertion|stack smashing|SIGSEGV|double free|corrupted' \
		"$1" || fail "the log $1 shows a crash"
}

# Content, names, modes, owners, times, links, xattrs: nothing may differ.
same_tree() { # same_tree A B
	diff -r --no-dereference "$1" "$2" 2>&1 |
		grep -v ' is a fifo while file .* is a fifo$' >"$WORK/diff.out" || true
	[ ! -s "$WORK/diff.out" ] ||
		fail "diff -r $1 $2: $(head -n 20 "$WORK/diff.out")"
	same_by_rsync "$1" "$2"
}

# The same of all but the times of links and who is a hard link of whom.
same_by_rsync() { # same_by_rsync A B
	rsync -aX --checksum --dry-run --itemize-changes --delete "$1/" "$2/" \
		>"$WORK/rsync.out" 2>&1 || fail "rsync: $(head -n 5 "$WORK/rsync.out")"
	[ ! -s "$WORK/rsync.out" ] ||
		fail "rsync finds changes between $1 and $2: $(head -n 20 "$WORK/rsync.out")"
}

cleanup() {
	local rc=$? name pid
	trap - EXIT ERR
	[ ! -e "$WORK/failed" ] || rc=1
	set +e
	cd "$TOP" || exit 1
	# One that was stopped answers no umount.
	for name in "${!FS_PID[@]}"; do
		kill -CONT "${FS_PID[$name]}" 2>/dev/null
	done
	"$TOP/tests/lib/unmount-below" "$WORK"
	for name in "${!FS_PID[@]}"; do
		pid=${FS_PID[$name]}
		wait_for 10 gone "$pid" || kill -9 "$pid"
	done
	stores_drop
	if [ "$rc" != 0 ] && [ "$rc" != 77 ]; then
		for name in "$WORK"/*.log; do
			[ -s "$name" ] && printf -- '-- %s\n' "${name##*/}" &&
				tail -n 25 "$name"
		done
	fi
	exit "$rc"
}
trap cleanup EXIT
