#!/usr/bin/env bash
# tests/run: who is skipped is named and counted, and fails where CI is set.
. "$(dirname "$0")/../lib/lib.sh"
R=$WORK/tree
mkdir -p "$R/tests/integration" "$WORK/no-build"
cp -r "$TOP/tests/run" "$TOP/tests/servers" "$TOP/tests/lib" "$R/tests"
one() { # one NAME COMMAND: a test that does it
	printf '#!/usr/bin/env bash\n. "$(dirname "$0")/../lib/lib.sh"\n%s\n' "$2" \
		>"$R/tests/integration/$1.sh"
	chmod +x "$R/tests/integration/$1.sh"
}
one good :
one bad 'fail "it is bad"'
one fuse 'skip "needs /dev/fuse, which this machine does not have"'
one user 'id() { echo 1000; }; need_root'

run() { # run STATUS SUMMARY VARIABLE=VALUE... [PATTERN]
	local rc=0
	env -u WORK -u TESTS BIN="$WORK/no-build" TMPDIR="$WORK" "${@:3:1}" \
		"$R/tests/run" "${@:4}" >"$WORK/out" 2>&1 || rc=$?
	equal "$1 $2" "$rc $(tail -n 1 "$WORK/out")" "of $3: $(cat "$WORK/out")"
}
says() { grep -qxF -- "$1" "$WORK/out" || fail "not said: $1; but: $(cat "$WORK/out")"; }

step "a developer's machine"
run 1 "1 passed, 1 failed, 2 skipped" CI=
says "# user SKIP needs root"
says "#   user: needs root"
says "#   fuse: needs /dev/fuse, which this machine does not have"
run 0 "1 passed, 0 failed, 2 skipped" CI=false good fuse user

step "CI"
run 1 "1 passed, 2 failed, 0 skipped" CI=true good fuse user
says "# user FAIL: it would be skipped: needs root"
run 1 "0 passed, 1 failed, 0 skipped" CI=1 fuse
run 0 "1 passed, 0 failed, 0 skipped" CI=true good
SKIP_OK=yes run 0 "1 passed, 0 failed, 2 skipped" CI=true good fuse user
