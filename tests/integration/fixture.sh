#!/usr/bin/env bash
# A store that the PHP library wrote, untouched, through a read-only mount:
# everything reads as its manifest says, old versions included.
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt

mkdir "$S"
"$TOP/tests/lib/dump2sqlite" "$FIXTURE/dump.sql" >"$WORK/dump.sql"
sqlite3 -bail "$S/meta.db" <"$WORK/dump.sql"
cp -r "$FIXTURE/objects" "$S/objects"
(umask 077 && cat >"$S/filespacefs.conf") <<CONF
[encryption]
key = $(sed -n 's/^- key `\(.*\)`$/\1/p' "$FIXTURE/README.md")
iv = $(sed -n 's/^- iv `\(.*\)`$/\1/p' "$FIXTURE/README.md")
CONF

checksums() {
	(cd "$S" && sha256sum meta.db && find objects -type f -exec sha256sum {} + | sort)
}

manifest() { # manifest STATE: "id path created size sha256", tabs between
	local id space key state created size sha256
	while IFS=$'\t' read -r id space key state created size _ sha256; do
		[[ $id != \#* ]] && [ "$state" = "$1" ] || continue
		printf '%s\t%s\t%s\t%s\t%s\n' "$id" \
			"${space%%.*}/$(cut -d . -f 2 <<<"$space")/$(cut -d . -f 3- <<<"$space")/$key" \
			"$created" "$size" "$sha256"
	done <"$FIXTURE/manifest.tsv"
}

look() { # everything that the manifest says
	local id path created size sha256 entry dir name n=0
	while IFS=$'\t' read -r id path created size sha256; do
		equal "$sha256" "$(sha256sum <"$M/$path" | cut -c 1-64)" "content of $path"
		equal "$created $size" "$(stat -c '%Y %s' "$M/$path")" "time and size of $path"
		n=$((n + 1))
	done < <(manifest live)
	equal 9 "$n" "live files"
	while IFS=$'\t' read -r id path created size sha256; do
		dir=${path%/*} name=${path##*/}
		printf -v entry '%s/%s/.versions/%s/%s-%010d.%s' "$M" "$dir" "$name" \
			"$(date -u -d "@$created" +%Y%m%dT%H%M%SZ)" "$id" "${name##*.}"
		equal "$sha256" "$(sha256sum <"$entry" | cut -c 1-64)" "content of $entry"
		equal "$created $size" "$(stat -c '%Y %s' "$entry")" "time and size of $entry"
	done < <(manifest old)
}

step "the manifest, through a read-only mount"
before=$(checksums)
fs_start fs "$S" "$M" -o ro
look
equal "acme empty globex" "$(ls "$M" | xargs)" "accounts"
equal "naïve résumé.txt" "$(ls "$M/acme/contact/35" | grep ^na)" "the name that went over latin1"
[ ! -e "$M/acme/contact/35/gone.txt" ] || fail "the deleted file is there"
equal 3 "$(ls "$M/acme/contact/35/.versions/contract.pdf" | wc -l)" "versions of the contract"
equal "q1" "$(ls "$M/globex/project" | cut -d . -f 2)" "a record with a dot"
equal 9 "$(find "$M" -type f | wc -l)" "files found"
[ -d "$M/empty/contact/1" ] || fail "the space without files is no directory"

step "nothing can be written"
must_say "Read-only" touch "$M/acme/new"
must_say "Read-only" rm "$M/acme/contact/35/empty.txt"
must_say "Read-only" chmod 600 "$M/acme/contact/35/empty.txt"
equal "open: EROFS" "$("$TOOLS/fsop" open "$M/acme/contact/35/empty.txt" w || true)" "open for writing"
inodes=$(cd "$M" && find . -printf '%p %i\n' | sort)
fs_stop fs
equal "$before" "$(checksums)" "the store after a read-only mount"

step "a mount that wants to write says how"
must_say "schema upgrade" "$FILESPACEFS" "$S" "$M"

step "the upgrade: a dry run, then in earnest, then nothing to do"
"$CTL" -s "$S" schema plan >"$WORK/plan"
grep -qi 'ALTER TABLE\|CREATE TABLE' "$WORK/plan" || fail "the plan prints no SQL"
equal "$before" "$(checksums)" "the store after the dry run"
"$CTL" -s "$S" schema upgrade >/dev/null
"$CTL" -s "$S" schema upgrade >/dev/null
"$CTL" -s "$S" schema check >/dev/null

step "the same after the upgrade, and now it can be written"
fs_start fs2 "$S" "$M"
look
equal "$inodes" "$(cd "$M" && find . -printf '%p %i\n' | sort)" "inode numbers after the upgrade"
printf 'new text' >"$M/acme/contact/35/contract.pdf"
equal 4 "$(ls "$M/acme/contact/35/.versions/contract.pdf" | wc -l)" "versions after a write"
objects=$(object_count "$S")
cp "$M/acme/product/sku-1001/big.csv" "$M/acme/contact/35/big.csv"
cp "$FIXTURE/README.md" "$M/acme/contact/35/"
equal $((objects + 1)) "$(object_count "$S")" "objects after a copy and a new file"
fs_stop fs2
"$CTL" -s "$S" check
