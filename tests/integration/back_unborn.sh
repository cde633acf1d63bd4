#!/usr/bin/env bash
# kill -9 with mount.commit = back while names are in memory only: the journal
# makes them again, beside what another host has made meanwhile, and not in the
# place of it.
# TIMEOUT 120
# TAKES 15
# CHECKED
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need_root
need python3 python3
need sqlite3 sqlite3
S=$WORK/store
A=$WORK/a
B=$WORK/b
small_disk 16m
# Nothing of the queue is stored: the objects' disk is full.
hold() { head -c 32M /dev/zero >"$SMALL/ballast" 2>/dev/null || true; }
free() { rm -f "$SMALL/ballast"; }
store_init "$S" -o "file.path=$SMALL/objects"
kept() { find "$S/spool" -path '*/kept/*.data' | wc -l; }
kept_paths() { cat "$S"/spool/kept/*.info | sed -n 's/^path=//p' | sort | xargs; }
has_name() { [ "$(sql "$S" "SELECT count(*) FROM fsp_name WHERE name = '$1' AND live IS NOT NULL")" = 1 ]; }
# Without listing directories ahead, which brings their names to the rows.
back() {
	fs_start a "$S" "$A" -o mount.commit=back -o mount.op_timeout=5s \
		-o mount.read_ahead=0
}

# Copies a tree into a new directory while the database takes nothing, so that no
# name in there becomes a row, and kills the daemon. Prints the directory.
cat >"$WORK/copy.py" <<'PY'
import os, signal, sqlite3, sys, time
db, mnt, src, pid = sys.argv[1:4] + [int(sys.argv[4])]
c = sqlite3.connect(db, isolation_level=None, timeout=10)

def copy(top):
    for d, dirs, files in os.walk(src):
        to = os.path.normpath(os.path.join(top, os.path.relpath(d, src)))
        if d != src:
            st = os.stat(d)
            os.mkdir(to)
            os.chown(to, st.st_uid, st.st_gid)
            os.chmod(to, st.st_mode & 0o7777)
        for f in files:
            st = os.stat(os.path.join(d, f))
            with open(os.path.join(d, f), 'rb') as i:
                data = i.read()
            fd = os.open(os.path.join(to, f), os.O_WRONLY | os.O_CREAT, 0o600)
            os.write(fd, data)
            os.fchown(fd, st.st_uid, st.st_gid)
            os.fchmod(fd, st.st_mode & 0o7777)
            os.utime(fd, ns=(st.st_atime_ns, st.st_mtime_ns))
            os.close(fd)

def alive():
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False

# It has a tenth of a second until the mount gives the directory up.
for i in range(20):
    top = os.path.join(mnt, 'acct/table/top%d' % i)
    if os.path.exists(top):
        continue
    os.mkdir(top)
    c.execute('BEGIN IMMEDIATE')
    try:
        copy(top)
        inos = [os.stat(os.path.join(top, os.path.relpath(os.path.join(d, f), src))).st_ino
                for d, _, files in os.walk(src) for f in files]
    except OSError as e:
        print(top, e, file=sys.stderr)
        c.execute('ROLLBACK')
        continue
    rows = sum(c.execute('SELECT count(*) FROM fsp_node WHERE ino = ?', (n,)).fetchone()[0]
               for n in inos)
    if rows == 0 and inos:
        os.kill(pid, signal.SIGKILL)
        while alive():
            time.sleep(0.005)
        c.execute('ROLLBACK')
        print('acct/table/top%d' % i)
        sys.exit(0)
    c.execute('ROLLBACK')
sys.exit('the names always were rows')
PY
copy_and_kill() { # copy_and_kill TREE: NEW is where
	NEW=$(python3 "$WORK/copy.py" "$S/meta.db" "$A" "$1" "${FS_PID[a]}") ||
		fail "nothing was killed in time"
	wait "${FS_PID[a]}" 2>/dev/null || true
	unset "FS_PID[a]"
	umount -l "$A"
}
# Names, kinds, modes, owners; of files the times, too.
facts() { # facts DIR
	(cd "$1" && find . -mindepth 1 -type d -printf '%p %m %U %G\n' -o \
		-type f -printf '%p %m %U %G %s %T@\n' | sort)
}
same() { # same WANTED GOT WHEN
	equal "$(facts "$1")" "$(facts "$2")" "$3"
	diff -r "$1" "$2" >"$WORK/diff.out" || fail "$3: $(head "$WORK/diff.out")"
}

SRC=$WORK/src
mkdir -p "$SRC/one/two/three" "$SRC/other"
for f in one/a one/two/b one/two/three/c one/two/three/d other/e f; do
	printf 'the text of %s' "$f" >"$SRC/$f"
	touch -d "2015-05-08 10:13:2$((RANDOM % 10)).123456789" "$SRC/$f"
done
head -c 300000 /dev/urandom >"$SRC/other/large"
chmod 750 "$SRC/one" && chmod 2770 "$SRC/one/two" && chmod 1777 "$SRC/other"
chmod 640 "$SRC/f" && chmod 4711 "$SRC/one/two/b"
chown 12:34 "$SRC/one/two" "$SRC/one/a" && chown 56:78 "$SRC/other/large"

step "killed before any name is in the database: all that was closed is there"
back
mkdir -p "$A/acct/table"
hold
copy_and_kill "$SRC"
equal 7 "$(queued "$S")" "queued"
"$CTL" -s "$S" status >"$WORK/status"
grep -q "$NEW/one/two/three/c" "$WORK/status" || fail "status: $(cat "$WORK/status")"
back
same "$SRC" "$A/$NEW" "before it is stored"
fs_kill a
back
same "$SRC" "$A/$NEW" "after one more kill"
free
all_stored "$S"
same "$SRC" "$A/$NEW" "after it is stored"
equal 0 "$(kept)" "kept contents"

# The shell would close an empty file first, which makes the name a row.
write() { # write NAME...
	local f
	for f; do
		"$TOOLS/fsop" open "$A/acct/table/seen/$f" wct write "$f" close \
			>"$WORK/out" || fail "$(xargs <"$WORK/out")"
	done
}
step "a name has come with its content, and that was not written down"
mkdir "$A/acct/table/seen"
hold
write stored
cat "$S"/spool/*/journal >"$WORK/before"
free
all_stored "$S"

step "a name has come without its content, and another host removes it"
mkdir "$A/acct/table/seen/new"
hold
write new/gone new/stays
wait_for 20 has_name gone || fail "an idle mount keeps its names"
wait_for 20 has_name stays

step "killed, and another host makes names in the same places"
rm -rf "$SRC"
mkdir -p "$SRC/shared/below" "$SRC/deep/er/still" "$SRC/kind" "$SRC/clash"
for f in shared/ours shared/below/ours deep/er/still/ours kind/ours clash/f; do
	printf 'ours, in %s' "$f" >"$SRC/$f"
done
copy_and_kill "$SRC"
for f in "$S"/spool/*/journal; do
	cat "$WORK/before" "$f" >"$WORK/all"
	cp "$WORK/all" "$f"
done
free
fs_start b "$S" "$B" -o "spool.path=$WORK/spool-b"
equal "" "$(ls "$B/$NEW")" "what the other host sees of what is in our memory"
mkdir "$B/$NEW/shared" "$B/$NEW/deep" "$B/$NEW/clash"
chmod 711 "$B/$NEW/shared"
for f in shared/theirs kind clash/f; do
	printf 'theirs, in %s' "$f" >"$B/$NEW/$f"
done
rm "$B/acct/table/seen/new/gone" "$B/acct/table/seen/stored"
back
all_stored "$S"
for m in "$A" "$B"; do
	for f in shared/ours shared/below/ours deep/er/still/ours; do
		equal "ours, in $f" "$(cat "$m/$NEW/$f")" "$m: $f"
	done
	for f in shared/theirs kind clash/f; do
		equal "theirs, in $f" "$(cat "$m/$NEW/$f")" "$m: $f"
	done
	equal new/stays "$(cat "$m/acct/table/seen/new/stays")" "$m: what was seen"
	[ ! -e "$m/acct/table/seen/new/gone" ] || fail "$m: what was removed is back"
	[ ! -e "$m/acct/table/seen/stored" ] || fail "$m: what was stored and removed is back"
done
equal 711 "$(stat -c %a "$A/$NEW/shared")" "mode of the other's directory"
equal 2 "$(kept)" "kept contents"
equal "$NEW/clash/f $NEW/kind/ours" "$(kept_paths)" "what is kept"
grep -qF 'ours, in clash/f' "$S"/spool/kept/*.data || fail "the kept content of clash/f"
grep -q "/$NEW/clash/f: .*(File exists) and are kept" "$WORK/a.log" || fail "no line for clash/f"
grep -q "/$NEW/kind/ours: .*(Not a directory) and are kept" "$WORK/a.log" || fail "no line for kind/ours"
fs_stop b

step "a mount beside the dead one meets its lock, and makes the names"
rm -rf "$S/spool/kept"
fs_start b "$S" "$B"
exec 8>>"$A/acct/table/locked"
flock 8
hold
copy_and_kill "$SRC"
exec 8>&-
flock -w 30 "$B/acct/table/locked" true || fail "a dead mount's lock stays"
equal 0 "$(stat -c %s "$B/$NEW/deep/er/still/ours")" "size before it is taken over"
printf 'theirs, in clash/f' >"$WORK/theirs"
free
cp "$WORK/theirs" "$B/$NEW/clash/f"
back
all_stored "$S"
for f in shared/ours shared/below/ours deep/er/still/ours kind/ours; do
	equal "ours, in $f" "$(cat "$A/$NEW/$f")" "$f, taken over"
done
equal "theirs, in clash/f" "$(cat "$A/$NEW/clash/f")" "what is newer"
equal 0 "$(kept)" "kept contents"
fs_stop b
fs_stop a
check_store "$S"
