#!/usr/bin/env bash
# .versions: what it lists, what it hides, and how a version comes back.
# TIMEOUT 120
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need rsync rsync
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
fs_start fs "$S" "$M"
D=$M/acme/contact/35
mkdir -p "$D"

step "each version is an entry, old to new"
for i in 1 2 3; do
	printf 'text %s\n' $i >"$D/report.pdf"
	touch -d "2015-05-0${i}T10:13:20.5Z" "$D/report.pdf"
done
V=$D/.versions/report.pdf
equal 3 "$(ls "$V" | wc -l)" "entries"
equal "text 1 text 2 text 3" "$(cd "$V" && ls | while read -r e; do cat "$e"; done | xargs)" "contents in order"
today=$(date -u +%Y%m%d)
ls "$V" | while read -r e; do
	[[ $e =~ ^${today}T[0-9]{6}Z-[0-9]{10}\.pdf$ ]] || fail "odd name $e"
done
first=$(ls "$V" | sed -n 1p)
second=$(ls "$V" | sed -n 2p)
equal 2015-05-01T10:13:20.500000000 \
	"$(date -u -r "$V/$first" +%Y-%m-%dT%H:%M:%S.%N)" "mtime of the version"
equal 7 "$(stat -c %s "$V/$first")" "size of the version"

step "it is found and never listed"
equal "report.pdf" "$(ls -A "$D")" "listing"
equal 0 "$(find "$M" -name .versions | wc -l)" "find"
[ -d "$M/.versions" ] && [ -d "$M/acme/.versions" ] || fail "no .versions above"
equal report.pdf "$(ls "$D/.versions")" "names with a history"
must_say "File exists" mkdir "$D/.versions"
cp -a "$M/acme" "$WORK/copy"
[ ! -e "$WORK/copy/contact/35/.versions" ] || fail "cp -a took .versions along"

step "nothing can be changed in there"
equal "open: EROFS" "$("$TOOLS/fsop" open "$V/$first" w || true)" "writing a version"
equal "unlink: EROFS" "$("$TOOLS/fsop" unlink "$V/$first" || true)" "removing a version"
equal "rename: EROFS" "$("$TOOLS/fsop" rename "$V/$first" "$D/x" || true)" "renaming a version"
equal "mkdir: EROFS" "$("$TOOLS/fsop" mkdir "$D/.versions/x" || true)" "mkdir"
equal "open: EROFS" "$("$TOOLS/fsop" open "$V/new" wc || true)" "creating"
equal "rename: EROFS" "$("$TOOLS/fsop" rename "$D/.versions" "$D/x" || true)" "renaming .versions"
must_say "Read-only" chmod 777 "$V/$first"
must_say "No such file" cat "$V/nothing"
must_say "No such file" ls "$D/.versions/nothing"

step "a version comes back with cp, without a transfer"
objects=$(object_count "$S")
cp -p "$V/$first" "$D/report.pdf"
equal "text 1" "$(cat "$D/report.pdf")" "restored content"
equal "$objects" "$(object_count "$S")" "objects after the restore"
equal 1430475200.500000000 "$(stat -c %.9Y "$D/report.pdf")" "mtime after cp -p"
equal 4 "$(ls "$V" | wc -l)" "entries after the restore"

step "and with filespacectl"
"$CTL" versions "$D/report.pdf" >"$WORK/versions.out"
grep -q "$second" "$WORK/versions.out" || note "versions prints: $(cat "$WORK/versions.out")"
"$CTL" restore "$D/report.pdf@${second}"
equal "text 2" "$(cat "$D/report.pdf")" "content after filespacectl restore"
"$CTL" restore "$D/report.pdf@${first}" --to "$D/old.pdf"
equal "text 1" "$(cat "$D/old.pdf")" "restored under another name"
equal "$objects" "$(object_count "$S")" "objects after the restores"

must_say "what follows @ is no row id" "$CTL" restore "$D/report.pdf@2026-13-01"
"$CTL" restore "$D/report.pdf@$(TZ=XYZ-2 date -d "+1 hour" +%Y-%m-%dT%H:%M:%S+02:00)" >/dev/null

step "a deleted file is there"
printf 'soon gone' >"$D/gone.txt"
rm "$D/gone.txt"
[ ! -e "$D/gone.txt" ] || fail "rm"
equal "soon gone" "$(cat "$D/.versions/gone.txt/"*.txt)" "a deleted file"
cp "$D/.versions/gone.txt/"*.txt "$D/gone.txt"
equal "soon gone" "$(cat "$D/gone.txt")" "brought back"

step "a renamed file keeps its past"
printf 'draft' >"$D/draft.txt"
printf 'final' >"$D/draft.txt"
mv "$D/draft.txt" "$D/final.txt"
equal "draft final" "$(cd "$D/.versions/final.txt" && ls | while read -r e; do cat "$e"; echo; done | xargs)" \
	"versions under the new name"
equal "final" "$(cat "$D/final.txt")" "content after rename"

step "a deleted directory shows as it was"
mkdir -p "$D/folder/sub"
printf a >"$D/folder/a"
printf b >"$D/folder/sub/b"
ln -s a "$D/folder/l"
rm -r "$D/folder"
P=$D/.versions/folder
equal "a l sub" "$(ls "$P" | xargs)" "the deleted directory"
equal a "$(cat "$P/a")" "a file in it"
equal b "$(cat "$P/sub/b")" "a file deeper in it"
equal a "$(readlink "$P/l")" "a link in it"
cp -a "$P" "$D/folder"
equal b "$(cat "$D/folder/sub/b")" "the directory copied back"
# Longer than the kernel believes a name, with one that lives by now.
rm -r "$D/folder"
(cd "$P" && exec sleep 60) &
inside=$!
wait_for 5 eval 'case $(readlink /proc/$inside/cwd) in */.versions/folder) ;; *) false ;; esac' ||
	fail "nobody is in the deleted directory"
mkdir "$D/folder"
printf c >"$D/folder/c"
sleep 1.2
equal "a l sub" "$(ls "$P" | xargs)" "the deleted directory, for who is in it"
equal b "$(cat "$P/sub/b")" "a file deeper in it, then"
kill "$inside"

step "a renamed directory keeps what it had lost before"
mkdir -p "$D/then/sub"
printf lost >"$D/then/lost.txt"
printf deep >"$D/then/sub/deep.txt"
rm -r "$D/then/sub" "$D/then/lost.txt"
mv "$D/then" "$D/now"
equal "lost.txt sub" "$(ls "$D/now/.versions" | xargs)" "names with a history"
equal lost "$(cat "$D/now/.versions/lost.txt/"*.txt)" "a file in it"
equal deep "$(cat "$D/now/.versions/sub/deep.txt")" "in a directory in it"
"$CTL" versions "$D/now/lost.txt" | grep -q "(as acme/contact/35/then/lost.txt)" ||
	fail "filespacectl versions of a file lost before the rename"
"$CTL" restore "$D/now/lost.txt@$(date -u +%Y-%m-%dT%H:%M:%SZ -d '-1 day')" 2>/dev/null &&
	fail "a version of yesterday"
"$CTL" restore "$D/now/lost.txt@$(ls "$D/now/.versions/lost.txt")" >/dev/null
equal lost "$(cat "$D/now/lost.txt")" "brought back under the new name"

step "a directory as it was at a time"
mkdir -p "$D/past/sub"
echo one >"$D/past/a"
echo sub >"$D/past/sub/s"
sleep 1.1
then=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sleep 1.1
echo two >"$D/past/a"
echo new >"$D/past/b"
rm -r "$D/past/sub"
mv "$D/past/b" "$D/past/c"
A=$D/past/.versions/@$then
equal "a sub" "$(ls "$A" | xargs)" "names at that time"
equal one "$(cat "$A/a")" "content at that time"
equal sub "$(cat "$A/sub/s")" "deeper, in what is gone"
equal one "$(cat "$M/.versions/@$then/acme/contact/35/past/a")" "from the root"
samba=@GMT-$(date -u -d "$then" +%Y.%m.%d-%H.%M.%S)
equal one "$(cat "$D/past/.versions/$samba/a")" "in Samba's words"
must_say "Read-only" touch "$A/x"

step "what changes places keeps its past, and each place its own"
texts() { sort "$1"/* | xargs; }        # of all versions
X=$D/exchange
mkdir -p "$X/one/in" "$X/two"
for i in 1 2; do
	for f in left right one/x two/y; do echo "${f#*/}$i" >"$X/$f"; done
done
then=$(date +%s.%6N)
nap 0.01
"$TOOLS/fsop" rename2 "$X/left" "$X/right" x rename2 "$X/one" "$X/two" x >/dev/null
nap 0.01
after=$(date +%s.%6N)
nap 0.01
echo left3 >"$X/left"
echo y3 >"$X/one/y"
equal "left1 left2 right1 right2" "$(texts "$X/.versions/right")" "the one"
equal "left1 left2 left3 right1 right2" "$(texts "$X/.versions/left")" "the other"
equal "y1 y2 y3" "$(texts "$X/one/.versions/y")" "in a directory"
equal "x1 x2" "$(texts "$X/two/.versions/x")" "in the other directory"
for t in "$X/.versions/@$then" "$D/.versions/@$then/exchange"; do
	equal "left2 right2 x2 y2" "$(cat "$t"/{left,right,one/x,two/y} | xargs)" "before it"
	equal "in x" "$(ls "$t/one" | xargs)" "names before it"
done
for t in "$X/.versions/@$after" "$D/.versions/@$after/exchange"; do
	equal "right2 left2 y2 x2" "$(cat "$t"/{left,right,one/y,two/x} | xargs)" "after it"
	equal "in x" "$(ls "$t/two" | xargs)" "names after it"
done
equal y2 "$(cat "$X/one/.versions/@$then/y")" "by the directory's new name"

step "links, and names several renames away, keep the whole past"
L=$D/links
mkdir -p "$L/deep"
for i in 1 2; do echo $i >"$L/a"; done
mv "$L/a" "$L/b"
echo 3 >"$L/b"
mv "$L/b" "$L/deep/c"
mv "$L/deep" "$L/deeper"
echo 4 >"$L/deeper/c"
mv "$L/deeper/c" "$L/d"
equal "1 2 3 4" "$(texts "$L/.versions/d")" "after three renames, one of the directory"
equal "1 2" "$(texts "$L/.versions/a")" "under the first name"
ln "$L/d" "$L/l"
ln "$L/l" "$L/deeper/m"
echo 5 >"$L/deeper/m"
for f in .versions/d .versions/l deeper/.versions/m; do
	equal "1 2 3 4 5" "$(texts "$L/$f")" "links: $f"
done
then=$(date +%s.%6N)
nap 0.01
rm "$L/d"
mv "$L/l" "$L/n"
echo 6 >"$L/n"
equal "1 2 3 4 5 6" "$(texts "$L/.versions/n")" "a renamed link"
equal "1 2 3 4 5 6" "$(texts "$L/deeper/.versions/m")" "a link of it"
equal "1 2 3 4 5" "$(texts "$L/.versions/d")" "a removed link"
equal "5 5 5" "$(cat "$L/.versions/@$then"/{d,l,deeper/m} | xargs)" "links at a time"
# As editors save: another file takes the name, and the past stays with it.
echo 7 >"$L/.save"
mv "$L/.save" "$L/n"
mv "$L/n" "$L/o"
ln "$L/o" "$L/p"
rm "$L/o"
equal "1 2 3 4 5 6 7" "$(texts "$L/.versions/o")" "saved by renaming over, then renamed"
equal "1 2 3 4 5 6 7" "$(texts "$L/.versions/p")" "and a link of that"
equal "1 2 3 4 5 6" "$(texts "$L/deeper/.versions/m")" "the file that was replaced"

step "a whole directory comes back as of a time"
T=$D/whole
mkdir -p "$T/sub/empty"
echo one >"$T/a"
echo same >"$T/same"
echo sub >"$T/sub/s"
ln -s a "$T/link"
mkfifo "$T/fifo"
chmod 640 "$T/a"
touch -d 2015-05-08T10:13:20Z "$T/a" "$T/sub/s" "$T/sub"
stat_all() {
	(cd "$1" && find . ! -name . \( -type d -printf '%p %y %m %U %G\n' -o \
		-printf '%p %y %m %U %G %s %T@ %l\n' \) | sort)
}
stat_all "$T" >"$WORK/whole.then"
sleep 1.1
then=$(date -u +%Y-%m-%dT%H:%M:%SZ)
sleep 1.1
echo two >"$T/a"
rm -r "$T/sub" "$T/link" "$T/fifo"
ln -s elsewhere "$T/link"
echo later >"$T/later"
must_say "is no time" "$CTL" restore "$T" --at yesterday
must_say "or give --at TIME, also for a directory" "$CTL" restore "$T"
must_say "give it or --at" "$CTL" restore "$T@$then" --at "$then"
before=$(object_count "$S")
"$CTL" restore "$T" --at "$then" >"$WORK/whole.out"
grep -q '2 files and 4 other entries restored, 1 were as they are; what came later stays' \
	"$WORK/whole.out" || fail "it says $(cat "$WORK/whole.out")"
equal later "$(cat "$T/later")" "what came later"
rm "$T/later"
stat_all "$T" | diff "$WORK/whole.then" - || fail "the directory differs from what it was"
"$CTL" restore "$T" --at "$then" >"$WORK/whole.out"
grep -q '0 files and 0 other' "$WORK/whole.out" || fail "again: $(cat "$WORK/whole.out")"
"$CTL" restore "$D@$then" --to "$M/acme" >/dev/null
stat_all "$M/acme/35/whole" | diff "$WORK/whole.then" - || fail "beside differs"
for copy in "cp -a" "rsync -a"; do
	$copy "$D/.versions/@$then/whole/" "$D/copy"
	stat_all "$D/copy" | diff "$WORK/whole.then" - || fail "by $copy differs"
	diff -r --no-dereference "$D/.versions/@$then/whole" "$D/copy" >"$WORK/diff.out" ||
		! grep -v 'is a fifo while' "$WORK/diff.out" || fail "content by $copy"
	rm -r "$D/copy"
done
mv "$T" "$D/moved"
rm -r "$D/moved"
cp -a "$D/.versions/moved" "$D/copy"
stat_all "$D/copy" | diff "$WORK/whole.then" - || fail "a deleted directory by cp -a differs"
"$CTL" restore "$D/.versions/@$then/whole" --to "$D/again" >/dev/null
stat_all "$D/again" | diff "$WORK/whole.then" - || fail "by .versions/@TIME differs"
"$CTL" restore "$T" --at "$then" >/dev/null
stat_all "$T" | diff "$WORK/whole.then" - || fail "a directory that is gone differs"
equal "$before" "$(object_count "$S")" "objects after restoring"
rm -r "$T/sub" "$T/same"
echo file >"$T/sub"
must_say "whole/sub: it exists already" "$CTL" restore "$T" --at "$then"
equal "file same" "$(cat "$T/sub" "$T/same" | xargs)" "the rest came back all the same"

step "a deleted record and account"
mkdir -p "$M/old/t/r"
printf z >"$M/old/t/r/z"
rm -r "$M/old"
equal z "$(cat "$M/.versions/old/t/r/z")" "through the root's .versions"

step "who may read a version"
if [ "$(id -u)" = 0 ] && id nobody >/dev/null 2>&1; then
	as_nobody() { setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
	chmod 755 "$WORK"
	if as_nobody true 2>/dev/null && as_nobody test -r "$D/final.txt"; then
		as_nobody cat "$D/.versions/final.txt/"* >/dev/null
		chmod 600 "$D/final.txt"
		must_say "denied" as_nobody sh -c "cat '$D/.versions/final.txt/'*"
	else
		note "not tried: nobody does not reach the mount"
	fi
fi

step "it is all there after a remount"
(cd "$D/.versions" && find . -type f -printf '%p %s %T@\n' | sort) >"$WORK/before"
fs_stop fs
fs_start fs "$S" "$M"
(cd "$D/.versions" && find . -type f -printf '%p %s %T@\n' | sort) >"$WORK/after"
diff "$WORK/before" "$WORK/after" || fail ".versions differs after a remount"
fs_stop fs

step "under another name"
fs_start fs "$S" "$M" -o mount.versions_dir=@history
ls "$D/@history/report.pdf" >/dev/null
[ ! -e "$D/.versions" ] || fail ".versions is still there"
fs_stop fs
check_store "$S"
