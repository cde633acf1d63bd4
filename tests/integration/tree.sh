#!/usr/bin/env bash
# A real tree of thousands of files (FILES says how many) goes in with cp -a and
# comes back identical; a second copy adds rows and no object. Over servers a small
# one, with the same odd names, modes and sizes in it.
# TIMEOUT 1200
# TAKES 100 25
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need rsync rsync
on_servers || need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
SRC=$WORK/src
WANTED=${FILES:-$(on_servers && echo 150 || echo 4000)}
LARGE=$(on_servers && echo 20 || echo 1)        # large files are so much smaller

# cp_tree FROM TO LIMIT: at most LIMIT files of a directory, as they are.
take() {
	mkdir -p "$2"
	(cd "$1" && find . -mindepth 1 -print0 | sort -z | { head -z -n "$3" && cat >/dev/null; }) |
		tar -C "$1" --null --no-recursion -T - -cf - | tar -C "$2" -xpf -
}

odd_entries() { # odd_entries DIR
	mkdir -p "$1/empty dir" "$1/deep/er/and/deeper/still" "$1/.hidden"
	: >"$1/empty file"
	printf 'utf-8' >"$1/Grüße – 文件.txt"
	printf 'latin-1' >"$1"/$'caf\xe9 \xfcber.txt'
	mkdir "$1"/$'dossier-\xe9t\xe9'
	printf 'in it' >"$1"/$'dossier-\xe9t\xe9/na\xefve'
	printf 'x' >"$1/ leading and trailing "
	printf 'x' >"$1/"$'line\nbreak'
	printf 'x' >"$1/100% \"quoted\" 'name' \\ * ? [a] \$HOME"
	printf 'x' >"$1/$(printf 'n%.0s' {1..255})"
	ln -s "Grüße – 文件.txt" "$1/link to utf-8"
	ln -s ../nowhere/at/all "$1/dangling"
	ln -s "$(printf 'l%.0s' {1..1500})" "$1/long link"
	ln -s . "$1/deep/er/loop"
	printf old >"$1/old"
	touch -d 1985-03-02T01:02:03.123456789Z "$1/old"
	printf older >"$1/before the epoch"
	touch -d 1960-01-01T00:00:00Z "$1/before the epoch"
	printf secret >"$1/private"
	chmod 600 "$1/private"
	printf '#!/bin/sh\n' >"$1/script"
	chmod 4755 "$1/script"
	mkdir "$1/sticky"
	chmod 1777 "$1/sticky"
	printf ro >"$1/read only"
	chmod 444 "$1/read only"
}

large_entries() { # large_entries DIR
	# 110 MB: text on either side of what compresses to next to nothing.
	{ seq 1 $((1500000 / LARGE)) && head -c $((88 / LARGE))M /dev/zero &&
		seq 1 $((1200000 / LARGE)); } >"$1/numbers"
	"$TOOLS/fsop" open "$1/noise" wct fill $((9000000 / LARGE)) 3 close >/dev/null
	truncate -s $((120 / LARGE))M "$1/sparse"
	printf middle | dd of="$1/sparse" bs=1 seek=$((60000000 / LARGE + 1)) \
		conv=notrunc status=none
	touch -d 2015-05-08T10:13:20Z "$1/numbers"
}

step "building the tree"
mkdir -p "$SRC"
take /usr/share/doc "$SRC/doc" $((WANTED * 6 / 10))
[ ! -d /usr/share/icons ] || take /usr/share/icons "$SRC/icons" $((WANTED * 7 / 10))
mkdir -p "$SRC/made"
odd_entries "$SRC/made"
large_entries "$SRC/made"
have=$(find "$SRC" -type f -printf x | wc -c)
for i in $(seq "$((have + 1))" "$((WANTED + 100))"); do
	d=$SRC/made/many/$((i % 40))
	[ -d "$d" ] || mkdir -p "$d"
	printf '%s\n' "file $i" "$((i * i))" >"$d/file $i.txt"
done
touch -d 2009-01-01T00:00:00.5Z "$SRC/made/empty dir" "$SRC/doc"
have=$(find "$SRC" -type f -printf x | wc -c)
note "$have files, $(find "$SRC" -type l | wc -l) links," \
	"$(find "$SRC" -type d | wc -l) directories, $(du -sh --apparent-size "$SRC" | cut -f 1)"
[ "$have" -ge "$WANTED" ] || fail "only $have files"
# What has more than one name comes back as files of their own until hard
# links are kept; their content is what counts here.
[ "$(find "$SRC" -type f -links +1 | wc -l)" = 0 ] || note "has hard links"

step "cp -a in"
fs_start fs "$S" "$M"
mkdir -p "$M/acct/table/record"
D=$M/acct/table/record
start=$SECONDS
cp -a "$SRC" "$D/tree"
note "$((SECONDS - start)) s"
start=$SECONDS
same_tree "$SRC" "$D/tree"
note "compared in $((SECONDS - start)) s"

step "a second copy adds rows and no objects"
objects=$(object_count "$S")
rows=$(rows "$S")
start=$SECONDS
cp -a "$SRC" "$D/again"
note "$((SECONDS - start)) s"
equal "$objects" "$(object_count "$S")" "objects after the second copy"
equal $((rows + have)) "$(rows "$S")" "rows after the second copy"
cp -a "$D/tree/made" "$D/inside"
equal "$objects" "$(object_count "$S")" "objects after a copy inside the mount"

step "after unmount and mount it is still equal"
fs_stop fs
fs_start fs "$S" "$M"
same_tree "$SRC" "$D/tree"
same_by_rsync "$SRC" "$D/again"
same_by_rsync "$SRC/made" "$D/inside"
fs_stop fs
check_store "$S"
