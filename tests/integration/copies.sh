#!/usr/bin/env bash
# tar, rsync with its temporary names, and the ways in which editors save.
# TIMEOUT 300
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need rsync rsync
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
SRC=$WORK/src

mkdir -p "$SRC/a/b c"
cp -a /etc/init.d "$SRC/etc" 2>/dev/null || cp -a "$TOP/tests" "$SRC/etc"
cp -a "$TOP/tests/fixtures" "$SRC/fixtures"
printf x >"$SRC"/$'a/b c/\xe9'
ln -s 'b c' "$SRC/a/link"
: >"$SRC/a/empty"
touch -d 2001-09-09T01:46:40.25Z "$SRC/a/empty" "$SRC/a"

fs_start fs "$S" "$M"
D=$M/acct/table/record
mkdir -p "$D"

step "tar in, tar out"
mkdir "$D/tar"
tar -C "$SRC" -cf - . | tar -C "$D/tar" -xpf -
same_tree "$SRC" "$D/tar"
mkdir "$WORK/back"
tar -C "$D/tar" -cf - . | tar -C "$WORK/back" -xpf -
same_tree "$SRC" "$WORK/back"

step "rsync -a writes temporary names and renames them"
rsync -a "$SRC/" "$D/rsync/"
same_tree "$SRC" "$D/rsync"
objects=$(object_count "$S")
rsync -a --checksum "$SRC/" "$D/rsync/"
equal "$objects" "$(object_count "$S")" "objects after a second rsync"
mkdir "$SRC/many-empty"
for i in $(seq 1 60); do : >"$SRC/many-empty/$i"; done
touch -d 2001-01-01 "$SRC/many-empty"/*
rsync -a "$SRC/" "$D/rsync/"
sleep 1.1                               # what the kernel caches has gone
same_tree "$SRC" "$D/rsync"
# Several changes, and a file that is deleted.
printf 'changed' >"$SRC/a/empty"
cp -a "$SRC/fixtures/php-filespace/README.md" "$WORK/README.old"
printf 'more\n' >>"$SRC/fixtures/php-filespace/README.md"
rm "$SRC/fixtures/php-filespace/manifest.tsv"
rsync -a --delete "$SRC/" "$D/rsync/"
same_tree "$SRC" "$D/rsync"
V=$D/rsync/fixtures/php-filespace/.versions
equal 2 "$(ls "$V/README.md" | wc -l)" "versions after an rsync"
cmp "$WORK/README.old" "$V/README.md/$(ls "$V/README.md" | sed -n 1p)"
equal 1 "$(ls "$V/manifest.tsv" | wc -l)" "versions of the deleted file"
rsync -a --inplace "$TOP/Makefile" "$D/rsync/a/empty"
cmp "$TOP/Makefile" "$D/rsync/a/empty"

step "an editor writes a temporary file and renames it over"
printf 'first\n' >"$D/letter.txt"
printf 'second\n' >"$D/.letter.txt.swp"
mv "$D/.letter.txt.swp" "$D/letter.txt"
equal second "$(cat "$D/letter.txt")" "content after the save"
equal first "$(cat "$D/.versions/letter.txt/$(ls "$D/.versions/letter.txt" | sed -n 1p)")" \
	"the old text"

step "an editor renames the old file away and writes a new one"
printf 'alpha\n' >"$D/notes.txt"
mv "$D/notes.txt" "$D/notes.txt~"
printf 'beta\n' >"$D/notes.txt"
equal beta "$(cat "$D/notes.txt")" "content after the save"
equal alpha "$(cat "$D/notes.txt~")" "the backup"
V=$D/.versions/notes.txt
equal "alpha beta" "$(cd "$V" && ls | while read -r e; do cat "$e"; done | xargs)" \
	"both texts, old to new"
rm "$D/notes.txt~"
equal alpha "$(cat "$D/.versions/notes.txt~/"*)" "the deleted backup"

step "an editor truncates and writes in place"
printf 'gamma\n' >"$D/notes.txt"
equal gamma "$(cat "$V/$(ls "$V" | tail -n 1)")" "the newest version"

step "sed -i, patch and appending"
printf 'a\nb\n' >"$D/list"
sed -i s/b/c/ "$D/list"
printf 'd\n' >>"$D/list"
equal "a c d" "$(xargs <"$D/list")" "edited and appended"
equal 3 "$(ls "$D/.versions/list" | wc -l)" "versions of the list"
fs_stop fs
check_store "$S"
