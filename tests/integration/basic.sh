#!/usr/bin/env bash
# What an ordinary program does with files and directories, at every level.
# TIMEOUT 120
# TAKES 10 20
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
need getfattr attr
OP=$TOOLS/fsop
M=$WORK/mnt
S=$WORK/store
umask 022

step "a store is made on first use, mode 0600, with a key of its own"
fs_start fs "$S" "$M"
equal 600 "$(stat -c %a "$S/filespacefs.conf")" "mode of the configuration"
equal 64 "$(conf_value "$S" encryption key | tr -d '\n' | wc -c)" "digits of the key"
on_servers || { [ -d "$S/objects" ] && [ -f "$S/meta.db" ]; } || fail "the store lacks its parts"

step "files and directories at every level"
mkdir "$M/acme"
mkdir -p "$M/acme/contact/35/deep/er"
for d in . acme acme/contact acme/contact/35 acme/contact/35/deep/er; do
	echo "in $d" >"$M/$d/f.txt"
done
for d in . acme acme/contact acme/contact/35 acme/contact/35/deep/er; do
	equal "in $d" "$(cat "$M/$d/f.txt")" "content in $d"
done
equal "acme f.txt" "$(ls "$M" | xargs)" "listing of the root"
equal "|f.txt" "$(sql "$S" "SELECT space_key || '|' || file_key FROM filespace_file WHERE space_key = '' AND deleted_at = 0")" "row in the root"
equal "deep/er/f.txt" "$(sql "$S" "SELECT file_key FROM filespace_file WHERE space_key = 'acme.contact.35' AND file_key LIKE 'deep%' AND deleted_at = 0")" "row in a record"
equal 1 "$(sql "$S" "SELECT count(*) FROM filespace WHERE space_key = 'acme.contact.35'")" "filespace rows of the record"
R=$M/acme/contact/35

step "dots and percent signs in account and table"
mkdir -p "$M/a.b/c%d/e.f"
echo x >"$M/a.b/c%d/e.f/g"
equal 1 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE space_key = 'a%2Eb.c%25d.e.f' AND deleted_at = 0")" "encoded space key"
equal x "$(cat "$M/a.b/c%d/e.f/g")" "content below dots"

step "names are bytes"
for n in 'two words' 'Fall' 'fall' 'trailing ' $'latin1-\xe9' 'ünï' $'new\nline' "quote'\"" '-dash' '*' 'back\slash'; do
	printf '%s' "$n" >"$R/$n"
done
for n in 'two words' 'Fall' 'fall' 'trailing ' $'latin1-\xe9' 'ünï' $'new\nline' "quote'\"" '-dash' '*' 'back\slash'; do
	equal "$n" "$(cat "$R/$n")" "content of the name"
done
long=$(printf 'x%.0s' {1..255})
echo long >"$R/$long"
equal long "$(cat "$R/$long")" "a name of 255 bytes"
must_say "too long" touch "$R/${long}x"

step "errors are those of POSIX"
$OP open "$R/new" wcx close >/dev/null
equal "open: EEXIST" "$($OP open "$R/new" wcx || true)" "O_EXCL on a file"
equal "open: ENOENT" "$($OP open "$R/nothing" r || true)" "open of nothing"
equal "open: EISDIR" "$($OP open "$R" w || true)" "writing a directory"
equal "mkdir: EEXIST" "$($OP mkdir "$R/new" || true)" "mkdir over a file"
equal "rmdir: ENOTEMPTY" "$($OP rmdir "$R" || true)" "rmdir of a full directory"
equal "rmdir: ENOTDIR" "$($OP rmdir "$R/new" || true)" "rmdir of a file"
equal "unlink: EISDIR" "$($OP unlink "$R/deep" || true)" "unlink of a directory"
equal "unlink: ENOENT" "$($OP unlink "$R/nothing" || true)" "unlink of nothing"
equal "open: ENOTDIR" "$($OP open "$R/new/x" r || true)" "a file as a directory"
equal "rename: EINVAL" "$($OP rename "$R/deep" "$R/deep/er/in" || true)" "a directory into itself"
equal "rename: ENOTEMPTY" "$($OP rename "$M/a.b" "$R/deep" || true)" "over a full directory"

step "write at any offset, truncate up and down, append"
$OP open "$R/off" rwct pwrite 5 world pwrite 0 hello stat close >"$WORK/out"
equal helloworld "$(cat "$R/off")" "two writes backwards"
$OP open "$R/off" rw trunc 5 close >/dev/null
equal hello "$(cat "$R/off")" "truncated"
$OP open "$R/off" rw trunc 8 close >/dev/null
equal 68656c6c6f000000 "$(od -An -tx1 "$R/off" | tr -d ' \n')" "grown with zeros"
printf 'tail' >>"$R/off"
equal 12 "$(stat -c %s "$R/off")" "appended"
$OP open "$R/off" rw pwrite 1 E close >/dev/null
equal "hEllo" "$(head -c 5 "$R/off")" "a byte changed in the middle"
truncate -s 3 "$R/off"
equal hEl "$(cat "$R/off")" "truncate by name"
$OP open "$R/hole" wct pwrite 3000000 end close >/dev/null
equal 3000003 "$(stat -c %s "$R/hole")" "size with a hole"
equal 0 "$(head -c 3000000 "$R/hole" | tr -d '\0' | wc -c)" "the hole is zeros"

step "blocks are those of the size, not of what is stored"
for size in 0 1 511 512 513 70000 3000003; do
	truncate -s "$size" "$R/blocks"
	equal "$(((size + 511) / 512)) 512" "$(stat -c '%b %B' "$R/blocks")" "blocks of $size bytes"
	exec 3>>"$R/blocks"
	printf %600s x >&3
	equal "$(((size + 600 + 511) / 512))" "$(stat -c %b "$R/blocks")" "blocks, not stored yet"
	exec 3>&-
done
equal "$(((3000603 + 511) / 512))" "$(stat -c %b "$R/.versions/blocks/"* | tail -n 1)" "blocks of a version"
equal "$((((3000603 + 511) / 512 + 1) / 2))" "$(du "$R/blocks" | cut -f 1)" "du"
equal "$(stat -c %b "$R/hole")" "$(((3000003 + 511) / 512))" "blocks of a file with a hole"
rm "$R/blocks"

step "modes, owners, times with nanoseconds, UTIME_OMIT"
chmod 640 "$R/off"
equal 640 "$(stat -c %a "$R/off")" "chmod"
$OP utimens "$R/off" 100.000000001 1234567890.123456789 >/dev/null
equal 1234567890.123456789 "$(stat -c %.9Y "$R/off")" "mtime"
$OP utimens "$R/off" 200.5 omit >/dev/null
equal 1234567890.123456789 "$(stat -c %.9Y "$R/off")" "mtime omitted"
$OP utimens "$R/off" omit 77 >/dev/null
equal 200.000000005 "$(stat -c %.9X "$R/off")" "atime omitted"
touch -d 1969-12-31T23:00:00Z "$R/off"
equal -3600 "$(stat -c %Y "$R/off")" "a time before 1970"
if [ "$(id -u)" = 0 ]; then
	chown 12:34 "$R/off"
	equal 12:34 "$(stat -c %u:%g "$R/off")" "chown"
	mkdir "$R/setgid"
	chgrp 34 "$R/setgid"
	chmod 2775 "$R/setgid"
	touch "$R/setgid/f"
	mkdir "$R/setgid/d"
	equal 34 "$(stat -c %g "$R/setgid/f")" "group from the directory"
	equal 34:2755 "$(stat -c %g:%a "$R/setgid/d")" "setgid is inherited"
fi
(umask 077 && touch "$R/private")
equal 600 "$(stat -c %a "$R/private")" "umask"
# The row of an empty file comes when its last descriptor has gone, after close.
has_row() { [ "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = '$1'")" = 1 ]; }
wait_for 20 has_row private || fail "no row of an empty file"
before=$(rows "$S")
chmod 600 "$R/off"
touch "$R/off"
equal "$before" "$(rows "$S")" "rows after chmod and touch"

step "rename of files and directories, over existing targets"
echo one >"$R/one"
echo two >"$R/two"
ino=$(stat -c %i "$R/one")
mv "$R/one" "$R/two"
equal one "$(cat "$R/two")" "renamed over a file"
equal "$ino" "$(stat -c %i "$R/two")" "inode number after rename"
[ ! -e "$R/one" ] || fail "the old name is there"
before=$(object_count "$S")
mv "$M/acme/contact" "$M/acme/people"
equal "in acme/contact/35" "$(cat "$M/acme/people/35/f.txt")" "file below a renamed table"
mv "$M/acme" "$M/apex"
mv "$M/apex/people/35" "$M/apex/people/36"
R=$M/apex/people/36
equal one "$(cat "$R/two")" "file after three renames"
equal "$before" "$(object_count "$S")" "objects after renames"
mkdir "$R/empty"
$OP rename "$R/deep" "$R/empty" >/dev/null
equal "in acme/contact/35/deep/er" "$(cat "$R/empty/er/f.txt")" "directory over an empty one"
$OP rename2 "$R/two" "$R/f.txt" n >"$WORK/out" || true
grep -q 'rename2: EEXIST' "$WORK/out" || fail "RENAME_NOREPLACE: $(cat "$WORK/out")"

step "symbolic links"
ln -s ../35/none "$R/link"
ln -s f.txt "$R/good"
equal ../35/none "$(readlink "$R/link")" "readlink"
equal "in acme/contact/35" "$(cat "$R/good")" "through a link"
mv "$R/link" "$R/link2"
equal ../35/none "$(readlink "$R/link2")" "a renamed link"
rm "$R/link2"

step "an open file lives on without its name"
$OP open "$R/unl" rwct write before unlink "$R/unl" write -after stat pread 0 100 fsync close >"$WORK/out"
grep -q 'data: before-after' "$WORK/out" || fail "unlinked: $(cat "$WORK/out")"
grep -q 'nlink: 0' "$WORK/out" || fail "link count: $(cat "$WORK/out")"
[ ! -e "$R/unl" ] || fail "it came back"
$OP open "$R/off" r unlink "$R/off" pread 0 10 close >"$WORK/out"
grep -q 'data: hEl' "$WORK/out" || fail "read after unlink: $(cat "$WORK/out")"
$OP open "$R/mov" rwct write a rename "$R/mov" "$R/moved" write b close >"$WORK/out"
equal ab "$(cat "$R/moved")" "written across a rename"

step "unchanged, emptied and refilled: the versions are those of real changes"
echo text >"$R/v"
before=$(rows "$S")
$OP open "$R/v" rw close >/dev/null
$OP open "$R/v" rw pread 0 4 close >/dev/null
equal "$before" "$(rows "$S")" "opened for writing, not changed"
echo more >"$R/v"
equal $((before + 1)) "$(rows "$S")" "emptied and refilled is one version"
equal 1 "$(sql "$S" "SELECT count(*) FROM filespace_file WHERE file_key = 'v' AND deleted_at = 0")" "live rows"

step "copies inside the mount are rows, whole or in consecutive chunks"
# Equal content is one object anyway: what counts is what a mount asks of the
# store that has not seen the content yet.
objects() { getfattr --absolute-names --only-values -n user.filespace.traffic "$M" | grep -o 'objects [^;]*'; }
$OP open "$R/big" wct fill 3000000 7 close >/dev/null
fs_stop fs
fs_start fs "$S" "$M"
before=$(objects)
cp "$R/big" "$R/big2"
$OP @0 open "$R/big" r @1 open "$R/big3" wct copyrange 0 1 close >"$WORK/out"
grep -q 'copied: 3000000' "$WORK/out" || fail "copy_file_range: $(cat "$WORK/out")"
for chunk in 1000000 65536 99999; do
	$OP @0 open "$R/big" r @1 open "$R/chunks$chunk" wct copychunks 0 1 "$chunk" close >"$WORK/out"
	grep -q 'copied: 3000000' "$WORK/out" || fail "chunks of $chunk: $(cat "$WORK/out")"
done
equal "$before" "$(objects)" "requests to the object store for copies"
for copy in big2 big3 chunks1000000 chunks65536 chunks99999; do
	cmp "$R/big" "$R/$copy"
	equal "$(getfattr --absolute-names --only-values -n user.filespace.hash "$R/big")" \
		"$(getfattr --absolute-names --only-values -n user.filespace.hash "$R/$copy")" "the object of $copy"
done

step "statfs, xattrs"
df "$M" >/dev/null
[ "$(stat -f -c %b "$M")" -gt 0 ] || fail "no blocks"
ls -l "$R" >/dev/null
if command -v setfattr >/dev/null; then
	setfattr -n user.x -v value "$R/f.txt"
	setfattr -n user.dir -v value "$R/empty"
	equal value "$(getfattr --only-values -n user.x "$R/f.txt")" "an xattr"
	setfattr -n user.gone -v value "$R/f.txt"
	setfattr -x user.gone "$R/f.txt"
	must_say "No such attribute" getfattr -n user.gone "$R/f.txt"
fi

step "hard links are one file"
echo shared >"$R/h1"
ln "$R/h1" "$R/h2"
ln "$R/h1" "$M/h3"
equal 3 "$(stat -c %h "$R/h2")" "link count"
equal "$(stat -c %i "$R/h1")" "$(stat -c %i "$M/h3")" "inode numbers of two names"
echo changed >"$R/h2"
equal changed "$(cat "$M/h3")" "written by one name, read by another"
chmod 751 "$M/h3"
equal 751 "$(stat -c %a "$R/h1")" "mode by another name"
rm "$R/h1"
equal 2 "$(stat -c %h "$R/h2")" "link count after rm"
equal changed "$(cat "$R/h2")" "content after rm"
"$OP" rename "$M/h3" "$R/h2" >/dev/null
[ -e "$M/h3" ] || fail "rename of one name over another of the same file must do nothing"

step "FIFOs, sockets and devices"
mkfifo "$R/fifo"
(echo through >"$R/fifo") &
equal through "$(cat "$R/fifo")" "through a FIFO"
if [ "$(id -u)" = 0 ]; then
	mknod "$R/null" c 1 3
	equal "character special file 1 3" "$(stat -c '%F %t %T' "$R/null")" "a device node"
fi

step "locks within the mount"
(
	flock 9
	: >"$WORK/held"
	sleep 0.5
	echo first >>"$R/locked"
) 9>"$R/lock" &
wait_for 5 test -e "$WORK/held"
must_fail flock -n "$R/lock" true
flock "$R/lock" sh -c 'echo second >>"$1"' sh "$R/locked"
equal "first second" "$(xargs <"$R/locked")" "order under a lock"

step "a long listing is complete"
mkdir "$R/many"
for i in $(seq 1 700); do : >"$R/many/file-with-a-longer-name-$i"; done
equal 700 "$(ls "$R/many" | wc -l)" "entries"
equal 700 "$(ls -l "$R/many" | grep -c '^-')" "entries with their attributes"
rm -r "$R/many"
[ ! -e "$R/many" ] || fail "rm -r left it"

step "after unmount and mount everything is as it was"
(cd "$M" && find . -printf '%p %y %m %U %G %s %T@ %l %i\n' | sort) >"$WORK/before"
fs_stop fs
fs_start fs "$S" "$M"
(cd "$M" && find . -printf '%p %y %m %U %G %s %T@ %l %i\n' | sort) >"$WORK/after"
diff "$WORK/before" "$WORK/after" || fail "the tree differs after a remount"
cmp "$R/big" "$R/big2"
if command -v setfattr >/dev/null; then
	equal value "$(getfattr --only-values -n user.x "$R/f.txt")" "an xattr after a remount"
	equal value "$(getfattr --only-values -n user.dir "$R/empty")" "a directory's xattr"
fi
fs_stop fs
check_store "$S"

step "the daemon goes into the background by itself, and umount ends it"
"$FILESPACEFS" "$S" "$M"
mounted "$M" || fail "not usable when the command returns"
equal ab "$(cat "$R/moved")" "content through the daemon"
must_say "is mounted on $M already" "$FILESPACEFS" "$S" "$M"
equal 1 "$(grep -cF " $M " /proc/self/mountinfo)" "mounts, as after mount -a twice"
pid=$("$CTL" -s "$S" --json status | grep -o '"pid": *[0-9]*' | grep -o '[0-9]*' | head -n 1)
echo "$pid" >>"$WORK/pids"
unmount "$M"
wait_for 20 gone "$pid" || fail "the daemon lives on after umount"
"$CTL" -s "$S" status >"$WORK/status"
must_fail grep -F "$M" "$WORK/status"
