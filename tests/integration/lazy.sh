#!/usr/bin/env bash
# Times of directories wait a moment, and are not lost: DESIGN.md in src/vfs,
# "Attributes that wait".
# TIMEOUT 120
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need getfattr attr
A=$WORK/a B=$WORK/b
S=$WORK/store
times() { stat -c '%X %Y' "$1"; }
transactions() {
	getfattr --absolute-names --only-values -n user.filespace.traffic "$A" |
		sed 's/.*, \([0-9]*\) writes,.*/\1/'
}

fs_start a "$S" "$A" -o mount.delegate=no
fs_start b "$S" "$B"
mkdir -p "$A/x/y/z/d"
D=x/y/z/d

step "what cp -a does to directories is one transaction each, and one later"
mkdir "$WORK/src" && chmod 750 "$WORK/src" && touch -d @1000000000 "$WORK/src"
seq -f "$WORK/src%g" 12 | xargs -n 1 cp -a "$WORK/src"
cp -a "$WORK"/src[0-9]* "$A/x/y"
before=$(transactions)
cp -a "$WORK"/src[0-9]* "$A/x/y/z"
n=$(($(transactions) - before))
# It may take longer than what waits does, on a machine that is busy.
[ "$n" -ge 12 ] && [ "$n" -lt 18 ] ||
	fail "mkdir, times, owner and mode of 12 took $n transactions"
equal "750 1000000000" "$(stat -c '%a %Y' "$A/x/y/z/src7")" "mode and time"
wait_for 2 eval '[ "$(stat -c "%a %Y" "$B"/x/y/z/src* | sort -u)" = "750 1000000000" ]' ||
	fail "the other mount shows $(stat -c '%n %a %Y' "$B"/x/y/z/src*)"

step "a right that is taken away, or another kind of bit, does not wait"
for mode in 700 1700 777 755; do
	before=$(transactions)
	chmod "$mode" "$A/x/y/z/src7"
	n=$(($(transactions) - before))
	[ "$n" -ge 1 ] || fail "no transaction for $mode"
	equal "$mode" "$(stat -c %a "$A/x/y/z/src7")" "mode"
done

step "shown here at once, on the other mount within a second"
before=$(transactions)
touch -d @1000000001 "$A/$D"
equal "1000000001 1000000001" "$(times "$A/$D")" "times here"
wait_for 2 eval '[ "$(times "$B/$D")" = "1000000001 1000000001" ]' ||
	fail "the other mount shows $(times "$B/$D")"
equal 1 $(($(transactions) - before)) "transactions for one touch"

step "the order of calls is kept"
for i in 1 2 3 4 5; do
	touch -d @1000000002 "$A/$D"
	touch "$A/$D/f$i"
	[ "$(stat -c %Y "$A/$D")" -gt 1000000002 ] || fail "a new file did not move the time"
	touch -d @1000000003 "$A/$D"
	rm "$A/$D/f$i"
	[ "$(stat -c %Y "$A/$D")" -gt 1000000003 ] || fail "a removal did not move the time"
	touch -d @1000000004 "$A/$D"
	chmod 71$i "$A/$D"
	equal "71$i 1000000004" "$(stat -c '%a %Y' "$A/$D")" "after chmod"
done
sleep 0.3                       # what waits would have come by now
equal "715 1000000004" "$(stat -c '%a %Y' "$A/$D")" "later"

step "a directory that another mount has removed"
mkdir "$A/x/y/z/gone"
touch -d @1000000005 "$A/x/y/z/gone"
rmdir "$B/x/y/z/gone"
wait_for 2 eval '[ ! -e "$A/x/y/z/gone" ]' || fail "it is still there"

step "rename while it waits"
mkdir "$A/x/y/z/old"
touch -d @1000000006 "$A/x/y/z/old"
mv "$A/x/y/z/old" "$A/x/y/z/new"
wait_for 2 eval '[ "$(stat -c %Y "$B/x/y/z/new")" = 1000000006 ]' || fail "its time did not come"

step "fsync, then kill -9"
touch -d @1000000007 "$A/$D"
python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(fd)' "$A/$D"
fs_kill a
equal 1000000007 "$(stat -c %Y "$B/$D")" "after kill -9"

step "the end of the mount sets what waits"
fs_start a "$S" "$A" -o mount.delegate=no
for i in $(seq 20); do mkdir "$A/x/y/z/e$i"; done
touch -d @1000000008 "$A"/x/y/z/e*
fs_stop a
equal 20 "$(stat -c %Y "$B"/x/y/z/e* | grep -c 1000000008)" "times after the end"
fs_stop b
out=$("$CTL" -s "$S" check) || fail "$out"
