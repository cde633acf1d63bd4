#!/usr/bin/env bash
# Two mounts, one of which makes names that it keeps in memory for a while: the
# other finds all of them, whatever it does, and nothing that was closed is lost.
# TIMEOUT 300
# TAKES 22 35
# BACKENDS embedded servers
# CHECKED
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need python3 python3
S=$WORK/store
A=$WORK/a
B=$WORK/b
R=acct/table/record
SRC=$WORK/src

# Listings and times that a kernel has cached are those of a moment ago.
is_same() {
	diff -r --no-dereference "$1" "$2" >/dev/null 2>&1 && (same_by_rsync "$1" "$2") >/dev/null
}
same_soon() { # same_soon A B: as same_tree, before long
	wait_for 20 is_same "$1" "$2" || true
	same_tree "$1" "$2"
}

fs_start one "$S" "$A"
fs_start two "$S" "$B"
mkdir -p "$A/$R"

# Small files in many directories, some of them empty.
for d in $(seq 1 25); do
	mkdir -p "$SRC/d$d/sub/deep" "$SRC/d$d/empty"
	for f in $(seq 1 6); do echo "$d $f" >"$SRC/d$d/f$f"; done
	echo "deep $d" >"$SRC/d$d/sub/deep/f"
	: >"$SRC/d$d/sub/nothing"
	ln -s ../f1 "$SRC/d$d/sub/link"
	chmod 700 "$SRC/d$d/sub"
done

step "what one has just made, the other has"
cat >"$WORK/now.py" <<'PY'
import errno, os, sys
a, b = sys.argv[1:3]
def fails(err, what, *args):
    try:
        what(*args)
    except OSError as e:
        assert e.errno == err, (what, args, e)
        return
    raise AssertionError((what, args))
for i in range(40):
    d = "/n%d" % i
    os.makedirs(a + d + "/x/y/z")
    fd = os.open(a + d + "/x/y/z/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    how = i % 8
    if how == 0:
        assert os.listdir(b + d) == ["x"] and os.listdir(b + d + "/x/y") == ["z"]
        assert os.listdir(b + d + "/x/y/z") == ["f"]
    elif how == 1:
        assert os.stat(b + d + "/x/y/z/f").st_ino == os.fstat(fd).st_ino
    elif how == 2:
        fails(errno.EEXIST, os.mkdir, b + d)
        fails(errno.EEXIST, os.mkdir, b + d + "/x")
        os.mkdir(b + d + "/x/b")
        fails(errno.EEXIST, os.mkdir, a + d + "/x/b")
    elif how == 3:
        fails(errno.EEXIST, os.open, b + d + "/x/y/z/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.close(os.open(b + d + "/x/y/z/g", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        fails(errno.EEXIST, os.open, a + d + "/x/y/z/g", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    elif how == 4:
        fails(errno.ENOTEMPTY, os.rmdir, b + d)
        fails(errno.ENOTEMPTY, os.rmdir, b + d + "/x/y/z")
    elif how == 5:
        os.rename(b + d + "/x", b + d + "/moved")
        assert os.stat(b + d + "/moved/y/z/f").st_ino == os.fstat(fd).st_ino
        fails(errno.EEXIST, os.mkdir, a + d + "/moved")
    elif how == 6:
        os.unlink(b + d + "/x/y/z/f")
        os.rmdir(b + d + "/x/y/z")
        fails(errno.EEXIST, os.mkdir, a + d + "/x/y")
    else:
        fails(errno.ENOENT, os.stat, b + d + "/x/y/other")
        os.chmod(b + d + "/x", 0o711)
        assert os.stat(b + d + "/x").st_mode & 0o7777 == 0o711
    os.write(fd, b"text")
    if how == 6:                # of a file that another host has removed
        fails(errno.ESTALE, os.close, fd)
        continue
    os.close(fd)
    where = "/moved" if how == 5 else "/x"
    assert open(b + d + where + "/y/z/f").read() == "text"
PY
python3 "$WORK/now.py" "$A/$R" "$B/$R" || fail "what one has made the other has not"

step "a copy on one, while both look into it all the time"
looks() { # looks DIR: until there is "done"
	local n=0
	until [ -e "$WORK/done" ]; do
		find "$1" >/dev/null 2>&1 || true
		ls -laR "$1" >/dev/null 2>&1 || true
		n=$((n + 1))
	done
	echo "$n" >>"$WORK/looks"
}
for i in 1 2; do
	rm -f "$WORK/done"
	looks "$B/$R" & pb=$!
	if [ "$i" = 2 ]; then looks "$A/$R" & pa=$!; fi
	cp -a "$SRC" "$A/$R/copy$i"
	same_tree "$SRC" "$A/$R/copy$i"
	touch "$WORK/done"
	wait "$pb"
	[ "$i" = 1 ] || wait "$pa"
	same_soon "$SRC" "$B/$R/copy$i"
	same_tree "$SRC" "$A/$R/copy$i"
done
note "rounds of looking: $(xargs <"$WORK/looks")"

step "many make the same directories on both, and files of their own"
rm -f "$WORK/go"
pids=()
for p in $(seq 1 8); do
	side=$A
	[ $((p % 2)) = 0 ] || side=$B
	(
		until [ -e "$WORK/go" ]; do nap 0.01; done
		for i in $(seq 1 12); do
			dir=$side/$R/shared/s$((i % 4))/t$((i % 3))/u$i
			mkdir -p "$dir" && echo "$p $i" >"$dir/p$p" || exit 1
		done
	) & pids+=($!)
done
touch "$WORK/go"
for p in "${pids[@]}"; do wait "$p" || fail "a maker"; done
for side in "$A" "$B"; do
	for p in $(seq 1 8); do
		for i in $(seq 1 12); do
			equal "$p $i" "$(cat "$side/$R/shared/s$((i % 4))/t$((i % 3))/u$i/p$p")" \
				"the file of $p, $i"
		done
	done
done

step "mkdir as a lock"
cat >"$WORK/lock.py" <<'PY'
import os, sys, time
base, rounds = sys.argv[1], int(sys.argv[2])
for i in range(rounds):
    while True:
        try:
            os.mkdir(base + "/lock")
            break
        except FileExistsError:
            time.sleep(0.002)
    with open(base + "/counter") as f:
        n = int(f.read())
    with open(base + "/counter", "w") as f:
        f.write(str(n + 1))
    os.rmdir(base + "/lock")
PY
mkdir "$A/$R/mutex"
echo 0 >"$A/$R/mutex/counter"
pids=()
for p in 1 2 3 4; do
	python3 "$WORK/lock.py" "$A/$R/mutex" 6 & pids+=($!)
	python3 "$WORK/lock.py" "$B/$R/mutex" 6 & pids+=($!)
done
for p in "${pids[@]}"; do wait "$p" || fail "who locks by mkdir"; done
equal 48 "$(cat "$B/$R/mutex/counter")" "the counter"

step "a holder that stands still does not keep others out, and loses nothing"
cat >"$WORK/holder.py" <<'PY'
import os, sys
base = sys.argv[1]
os.makedirs(base + "/held/x")
with open(base + "/held/x/closed", "w") as f:
    f.write("closed")
fd = os.open(base + "/held/x/open", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
os.write(fd, b"late")
print("made", flush=True)
sys.stdin.readline()
os.close(fd)
print("ok", flush=True)
PY
coproc HOLDER { exec python3 "$WORK/holder.py" "$A/$R"; }
exec {to_holder}>&"${HOLDER[1]}" {of_holder}<&"${HOLDER[0]}"
read -r -t 30 -u "$of_holder" answer
equal made "$answer" "the holder"
kill -STOP "${FS_PID[one]}"
equal closed "$(cat "$B/$R/held/x/closed")" "what was closed"
echo other >"$B/$R/held/x/other"
kill -CONT "${FS_PID[one]}"
echo >&"$to_holder"
read -r -t 60 -u "$of_holder" answer || fail "the holder does not answer"
equal ok "$answer" "close() of what was made before"
for side in "$A" "$B"; do
	for pair in closed:closed open:late other:other; do
		equal "${pair#*:}" "$(cat "$side/$R/held/x/${pair%:*}")" "${pair%:*}, by $side"
	done
done
exec {to_holder}>&- {of_holder}<&-

step "killed in the middle of a copy: what was closed is there"
cat >"$WORK/copier.py" <<'PY'
import os, sys
src, dst, log = sys.argv[1:4]
out = open(log, "w")
try:
    for top, dirs, files in os.walk(src):
        where = dst + top[len(src):]
        os.mkdir(where)
        for f in files:
            if os.path.islink(top + "/" + f):
                continue
            with open(where + "/" + f, "wb") as to:
                to.write(open(top + "/" + f, "rb").read())
            out.write((top + "/" + f)[len(src):] + "\n")
            out.flush()
except OSError as e:
    print("ended:", e)
PY
for at in 3 60; do
	: >"$WORK/closed"
	python3 "$WORK/copier.py" "$SRC" "$A/$R/killed$at" "$WORK/closed" & pid=$!
	reached() { [ "$(wc -l <"$WORK/closed")" -ge "$at" ]; }
	wait_for 30 reached || fail "the copy stands still"
	fs_kill one
	wait "$pid" || fail "the copier"
	[ -s "$WORK/closed" ]
	fs_start one "$S" "$A"          # whoever is gone is not waited for
	while read -r f; do
		cmp "$SRC$f" "$B/$R/killed$at$f" || fail "lost: $f"
	done <"$WORK/closed"
	# And a copy over what is there goes on as if nothing had been.
	cp -a "$SRC/." "$A/$R/killed$at"
	same_soon "$SRC" "$B/$R/killed$at"
done
fs_stop one

step "another mount gives what is above a new directory another place"
fs_start one "$S" "$A" -o mount.entry_timeout=0,mount.attr_timeout=0
mkdir "$A/moves"
cat >"$WORK/moves.py" <<'PY'
import os, sys

one, two = sys.argv[1:]
for n in range(20):
    here, there = "x%d" % n, "y%d" % n
    os.mkdir(f"{one}/{here}")
    os.lstat(f"{two}/{here}")
    os.makedirs(f"{one}/{here}/new/in/it")
    os.rename(f"{two}/{here}", f"{two}/{there}")
    os.makedirs(f"{two}/{here}/new/other")
    for top, m in (("one", one), ("two", two)):
        for path, is_there in ((f"{there}/new/in/it", True), (f"{here}/new/other", True),
                               (f"{here}/new/in", False), (f"{there}/new/other", False)):
            if os.path.lexists(f"{m}/{path}") != is_there:
                sys.exit(f"round {n}: {path} on {top}: should be there: {is_there}")
    with open(f"{one}/{here}/new/other/f", "x") as f:
        f.write("x")
    os.lstat(f"{one}/{here}/new/other/f")
PY
python3 "$WORK/moves.py" "$A/moves" "$B/moves" || fail "what was moved"
fs_stop one
fs_stop two
check_store "$S"
