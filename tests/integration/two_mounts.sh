#!/usr/bin/env bash
# Two mounts and filespacectl on one embedded store at once.
# TIMEOUT 300
# TAKES 21 36
# BACKENDS embedded servers
# CHECKED
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
S=$WORK/store
A=$WORK/a
B=$WORK/b
OP=$TOOLS/fsop
R=acct/table/record

fs_start one "$S" "$A"
fs_start two "$S" "$B"
mkdir -p "$A/$R"

step "what one closes, the other opens"
for i in $(seq 1 150); do
	printf 'from a, round %s' "$i" >"$A/$R/f"
	equal "from a, round $i" "$(cat "$B/$R/f")" "B reads what A closed"
	printf 'from b, in round %s, longer or shorter %*s' "$i" $((i % 7)) '' >"$B/$R/f"
	equal "from b, in round $i, longer or shorter $(printf '%*s' $((i % 7)) '')" \
		"$(cat "$A/$R/f")" "A reads what B closed"
done
# Large enough that the kernel reads ahead and keeps pages.
for i in 1 2 3 4 5; do
	"$OP" open "$A/$R/large" wct fill 1000000 "$i" close >/dev/null
	cmp "$A/$R/large" "$B/$R/large" || fail "stale pages in B"
	"$OP" open "$B/$R/large" wct fill "$((1000000 + i))" "$((i + 100))" close >/dev/null
	cmp "$A/$R/large" "$B/$R/large" || fail "stale pages in A"
done

step "names: made, renamed and removed on one, seen on the other"
mkdir "$A/$R/dir"
printf x >"$A/$R/dir/x"
equal x "$(cat "$B/$R/dir/x")" "a file in a new directory"
mv "$B/$R/dir/x" "$B/$R/dir/y"
equal x "$(cat "$A/$R/dir/y")" "renamed by the other"
sleep 1.1                               # entry_timeout, 1 s
equal y "$(ls "$A/$R/dir")" "listing after the other's rename"
rm "$A/$R/dir/y"
rmdir "$A/$R/dir"
sleep 1.1
[ ! -e "$B/$R/dir" ] || fail "B still shows a removed directory"
equal "open: ENOENT" "$($OP open "$B/$R/dir/y" r || true)" "a removed file"

step "a close that fails leaves another's file of that name alone"
cat >"$WORK/stub.py" <<'PY'
import os, sys
a, b = sys.argv[1], sys.argv[2]
fd = os.open(a + "/stub", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
os.write(fd, b"from a")
os.unlink(b + "/stub")
with open(b + "/stub", "w") as f:
    f.write("from b")
try:
    os.close(fd)
except OSError:
    pass
PY
python3 "$WORK/stub.py" "$A/$R" "$B/$R"
equal "from b" "$(cat "$B/$R/stub")" "the file of B"

step "exclusive creates and mkdir have one winner"
for i in $(seq 1 40); do
	rm -f "$WORK/go"
	$OP await "$WORK/go" open "$A/$R/x$i" wcx write a close >"$WORK/out.a" &
	pa=$!
	$OP await "$WORK/go" open "$B/$R/x$i" wcx write b close >"$WORK/out.b" &
	pb=$!
	touch "$WORK/go"
	won=0
	wait $pa && won=$((won + 1))
	wait $pb && won=$((won + 1))
	equal 1 "$won" "winners of O_EXCL: $(cat "$WORK/out.a" "$WORK/out.b")"
	grep -q 'open: EEXIST' "$WORK/out.a" "$WORK/out.b" || fail "the loser: $(cat "$WORK/out.a" "$WORK/out.b")"
	rm -f "$WORK/go"
	$OP await "$WORK/go" mkdir "$A/$R/d$i" >"$WORK/out.a" & pa=$!
	$OP await "$WORK/go" mkdir "$B/$R/d$i" >"$WORK/out.b" & pb=$!
	touch "$WORK/go"
	won=0
	wait $pa && won=$((won + 1))
	wait $pb && won=$((won + 1))
	equal 1 "$won" "winners of mkdir"
done

step "concurrent commits of one file: one live row, both versions"
for i in $(seq 1 40); do
	rm -f "$WORK/go"
	$OP open "$A/$R/both$i" wct write "text of A $i" await "$WORK/go" close >"$WORK/out.a" & pa=$!
	$OP open "$B/$R/both$i" wct write "text of B $i" await "$WORK/go" close >"$WORK/out.b" & pb=$!
	touch "$WORK/go"
	wait $pa || fail "A: $(cat "$WORK/out.a")"
	wait $pb || fail "B: $(cat "$WORK/out.b")"
	equal 1 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = 'both$i' AND deleted_at = 0")" "live rows"
	equal 2 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = 'both$i'")" "rows"
	texts=$(cat "$A/$R/.versions/both$i/"* | sed 's/text/\ntext/g' | sort | xargs)
	equal "text of A $i text of B $i" "$texts" "both versions"
	equal "$(cat "$A/$R/both$i")" "$(cat "$B/$R/both$i")" "both mounts see one"
done

step "what another mount wrote meanwhile stays behind what is written, also after a rename"
for to in over over2; do
	"$OP" open "$A/$R/over" wcx @1 open "$B/$R/over" wct fill 20000 7 close \
		rename "$A/$R/over" "$A/$R/$to" @0 write "from A" close >"$WORK/out" || fail "$(cat "$WORK/out")"
	"$OP" open "$WORK/expect" wct fill 20000 7 close open "$WORK/expect" w write "from A" close >"$WORK/out"
	cmp "$WORK/expect" "$A/$R/$to" || fail "A reads something else at $to"
	cmp "$WORK/expect" "$B/$R/$to" || fail "B reads something else at $to"
	rm "$A/$R/$to"
done

step "a copy through each mount, and a tool that counts and restores meanwhile"
mkdir -p "$A/$R/copy-a" "$B/$R/copy-b"
(for i in $(seq 1 150); do echo "a $i" >"$A/$R/copy-a/$i"; done) & pa=$!
(for i in $(seq 1 150); do echo "b $i" >"$B/$R/copy-b/$i"; done) & pb=$!
n=0
while alive $pa || alive $pb; do
	"$CTL" -s "$S" stats >/dev/null
	"$CTL" -s "$S" check >/dev/null
	"$CTL" restore "$A/$R/f@$(ls "$A/$R/.versions/f" | sed -n "$((n % 5 + 1))p")" >/dev/null
	n=$((n + 1))
done
wait $pa
wait $pb
note "$n rounds of filespacectl"
[ "$n" -gt 0 ] || fail "filespacectl never ran"
equal 150 "$(ls "$B/$R/copy-a" | wc -l)" "A's files seen by B"
equal 150 "$(ls "$A/$R/copy-b" | wc -l)" "B's files seen by A"
"$CTL" -s "$S" restore "/$R/f@$(ls "$A/$R/.versions/f" | sed -n 1p)"
equal "from a, round 1" "$(cat "$A/$R/f")" "restored by path in the store, seen by A"
equal "from a, round 1" "$(cat "$B/$R/f")" "and by B"

step "appending under a lock through both mounts loses no line"
: >"$A/$R/log"
append_locked "$A/$R/log" a 60 & pa=$!
append_locked "$B/$R/log" b 60 & pb=$!
wait $pa
wait $pb
equal 120 "$(sort -u "$A/$R/log" | wc -l)" "lines of both"
equal 120 "$(wc -l <"$B/$R/log")" "lines seen by B"

step "status knows both mounts"
"$CTL" -s "$S" status >"$WORK/status"
grep -q "$A" "$WORK/status" && grep -q "$B" "$WORK/status" || fail "status: $(cat "$WORK/status")"

step "one of them is killed, the other goes on"
printf 'half' >"$A/$R/survivor"
fs_kill one
printf 'whole' >"$B/$R/survivor"
fs_start one "$S" "$A"
equal whole "$(cat "$A/$R/survivor")" "content after the restart"
fs_stop one
fs_stop two
check_store "$S"
