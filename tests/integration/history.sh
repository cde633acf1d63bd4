#!/usr/bin/env bash
# Random programs on two and four mounts; every history must be one that a
# single filesystem could have had. SEED=n runs one program again.
# TIMEOUT 600
# TAKES 40 100
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
S=$WORK/store
ROUNDS=${ROUNDS:-$(on_servers && echo 3 || echo 5)}
FIRST=${SEED:-$((RANDOM * 1000))}
[ -z "${SEED:-}" ] || ROUNDS=1
store_init "$S"

step "the check finds what may not be"
python3 "$TOP/tests/tools/history.py" selftest

# A mount as on a host of its own: its own name (where we may), spool and cache.
host() { # host NAME OPTION...
	local name=$1
	shift
	[ "$(id -u)" != 0 ] || FS_ENV=(unshare --uts sh -c
		'hostname "$0" && exec "$@"' "$name")
	mkdir -p "$WORK/$name.spool" "$WORK/$name.cache"
	fs_start "$name" "$S" "$WORK/$name" "$@" \
		-o "spool.path=$WORK/$name.spool,cache.path=$WORK/$name.cache"
	FS_ENV=()
}

run() { # run BELIEVED MOUNTS [OPTION...]
	local believe=$1 mounts=$2 i seed dirs
	shift 2
	step "$mounts mounts, names are believed for $believe s"
	for ((i = 0; i < mounts; i++)); do
		host "m$i" "$@"
	done
	for ((seed = FIRST; seed < FIRST + ROUNDS; seed++)); do
		dirs=()
		for ((i = 0; i < mounts; i++)); do
			dirs+=("$WORK/m$i/a/t/r-$mounts-$believe-$seed")
		done
		mkdir -p "${dirs[0]}/sub"
		python3 "$TOP/tests/tools/history.py" run --believe "$believe" \
			"$seed" 200 "${dirs[@]}" >"$WORK/out" ||
			fail "$(cat "$WORK/out")"
	done
	note "seeds $FIRST to $((seed - 1))"
	for ((i = 0; i < mounts; i++)); do
		fs_stop "m$i"
	done
}

step "opens by a name that has gone elsewhere"
host m0
host m1 -o mount.cache_time=0
host m2 -o mount.cache_time=0
mkdir -p "$WORK/m0/a/t/moved"
ls "$WORK/m1/a/t" "$WORK/m2/a/t" >/dev/null
python3 "$TOP/tests/tools/moved.py" 100 "$WORK/m0/a/t/moved" \
	"$WORK/m1/a/t/moved" "$WORK/m2/a/t/moved" >"$WORK/out" ||
	fail "$(cat "$WORK/out")"
fs_stop m0
fs_stop m1
fs_stop m2

run 0 2 -o mount.entry_timeout=0,mount.attr_timeout=0
run 1.5 2 -o mount.cache_time=0
run 3 2
run 0 4 -o mount.entry_timeout=0,mount.attr_timeout=0
run 1.5 4 -o mount.cache_time=0
run 3 4
