#!/usr/bin/env bash
# Who goes through a tree in order finds what is next fetched already; and what
# was fetched is given out only while it is what is there.
# TIMEOUT 120
# TAKES 8 12
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need getfattr attr
S=$WORK/store
A=$WORK/a
B=$WORK/b
T=acct/table

fact() { getfattr --absolute-names --only-values -n "user.filespace.$1" "$A"; }
trips() { fact traffic | sed 's/.*, \([0-9]*\) round trips;.*/\1/'; }
gets() { fact traffic | sed 's/.* put, \([0-9]*\) get.*/\1/'; }
# Until what others did is known here; and until nothing is being fetched.
quiet() { fact current >/dev/null; }
settled() {
	local was=
	while [ "$was" != "$(gets) $(($(trips) / 3))" ]; do
		was="$(gets) $(($(trips) / 3))"
		sleep 0.3
	done
}
# asks_less TRIPS FIRST: who lists the records from there to the last one. The
# journal of changes is read now and then, too.
asks_less() {
	local before i
	before=$(trips)
	for i in $(seq "$2" 139); do
		equal "f g" "$(ls "$A/$T/$i" | xargs)" "record $i"
	done
	asked=$(($(trips) - before))
	[ "$asked" -lt "$1" ]
}
# What was listed ahead is good for 5 s; on a machine that is busy for longer
# the whole has another try.
in_time() { # in_time FUNCTION
	local try
	for try in 1 2 3 4 5 6; do
		! "$1" || return 0
		note "$1, try $try: $asked round trips"
	done
	fail "$1: $asked round trips"
}
cold() {
	fs_stop one
	"$CTL" -s "$S" cache drop >/dev/null
	fs_start one "$S" "$A" "$@"
	quiet
}

fs_start one "$S" "$A"
for i in $(seq 100 139); do
	mkdir -p "$A/$T/$i"
	echo "file f of $i" >"$A/$T/$i/f"
	echo "file g of $i" >"$A/$T/$i/g"
done

step "records that are listed in order: the next ones ask nobody"
cold
n=$(gets)
in_order() {
	for i in $(seq 100 130); do ls -l "$A/$T/$i" >/dev/null; done
	settled
	# Up to the last one: nothing else is fetched meanwhile.
	asks_less 3 134
}
in_time in_order
equal "$n" "$(gets)" "objects that listings have fetched"

step "so they do while another mount changes other directories"
fs_start two "$S" "$B"
mkdir -p "$B/$T/other"
quiet
beside_changes() {
	for i in $(seq 100 130); do ls -l "$A/$T/$i" >/dev/null; done
	for n in 1 2 3; do
		echo "$n" >"$B/$T/other/f$n"
		quiet
	done
	settled
	asks_less 7 130
}
in_time beside_changes
touch -d 2020-01-01 "$B/$T/135/f"
echo new >"$B/$T/136/new"
quiet
equal "2020" "$(ls -l --time-style=+%Y "$A/$T/135" | awk '/ f$/ { print $6 }')" "a time"
equal "f g new" "$(ls "$A/$T/136" | xargs)" "a name"
equal "$(stat -c %y "$B/$T/136")" "$(stat -c %y "$A/$T/136")" "a directory's time"
rm "$B/$T/136/new"
fs_stop two

step "a directory that changes its name, or its place with another, keeps what is in it"
cold
fs_start two "$S" "$B"
for i in $(seq 100 110); do ls -l "$A/$T/$i" >/dev/null; done
mv "$A/$T/115" "$A/$T/115.old"
mkdir "$A/$T/115"
echo other >"$A/$T/115/other"
for i in $(seq 111 114) 116 117; do ls -l "$A/$T/$i" >/dev/null; done
equal "other" "$(ls "$A/$T/115" | xargs)" "the new one"
equal "f g" "$(ls "$A/$T/115.old" | xargs)" "the old one"
equal "file f of 115" "$(cat "$A/$T/115.old/f")" "a file in it"
rm -r "$A/$T/115"
mv "$A/$T/115.old" "$A/$T/115"
mv "$B/$T/120" "$B/$T/120.moved"
mkdir "$B/$T/120"
echo x >"$B/$T/120/x"
ls -l "$A/$T/120" "$A/$T/120.moved" >/dev/null 2>&1 || true
quiet
equal "x" "$(ls "$A/$T/120" | xargs)" "the new one of another mount"
equal "f g" "$(ls "$A/$T/120.moved" | xargs)" "the old one of another mount"
rm -r "$B/$T/120"
mv "$B/$T/120.moved" "$B/$T/120"
quiet
equal "f g" "$(ls "$A/$T/120" | xargs)" "the old one by its old name"
echo "in 121" >"$B/$T/121/only"
"$TOOLS/fsop" rename2 "$B/$T/120" "$B/$T/121" x >/dev/null
ls -l "$A/$T/120" "$A/$T/121" >/dev/null
quiet
equal "f g only" "$(ls "$A/$T/120" | xargs)" "what changed places"
equal "f g" "$(ls "$A/$T/121" | xargs)" "and the other"
"$TOOLS/fsop" rename2 "$B/$T/120" "$B/$T/121" x >/dev/null
rm "$B/$T/121/only"
quiet
fs_stop two

step "what this mount changes in them is there at once"
echo new >"$A/$T/109/new"
rm "$A/$T/109/f"
mv "$A/$T/109/g" "$A/$T/110/h"
chmod 600 "$A/$T/110/f"
mkdir "$A/$T/111/d"
ln "$A/$T/112/f" "$A/$T/113/link"
equal "new" "$(ls "$A/$T/109" | xargs)" "record 109"
equal "f g h" "$(ls "$A/$T/110" | xargs)" "record 110"
equal "600" "$(stat -c %a "$A/$T/110/f")" "a mode"
equal "d f g" "$(ls "$A/$T/111" | xargs)" "record 111"
equal "2" "$(stat -c %h "$A/$T/112/f")" "links"
equal "2" "$(ls -l "$A/$T/112" | awk '$NF == "f" { print $2 }')" "links in a listing"

step "files that are read in order: the next ones are in the cache"
cold
for i in $(seq 114 130); do cat "$A/$T/$i/f" "$A/$T/$i/g" >/dev/null; done
settled
n=$(gets)
for i in 138 139; do
	equal "file f of $i" "$(cat "$A/$T/$i/f")" "a file of $i"
	equal "file g of $i" "$(cat "$A/$T/$i/g")" "another"
done
equal "$n" "$(gets)" "objects that were fetched when they were read"

step "what another mount has closed is read at once, where it was fetched, too"
cold
fs_start two "$S" "$B"
for i in $(seq 114 120); do cat "$A/$T/$i/f" "$A/$T/$i/g" >/dev/null; done
settled
echo "file f, later and longer" >"$B/$T/122/f"
equal "file f, later and longer" "$(cat "$A/$T/122/f")" "an overwritten file"
echo "renamed over" >"$B/$T/123/tmp"
mv "$B/$T/123/tmp" "$B/$T/123/f"
equal "renamed over" "$(cat "$A/$T/123/f")" "a file that was renamed over"
echo "nobody knew this" >"$B/$T/124/new"
equal "nobody knew this" "$(cat "$A/$T/124/new")" "a new file"
rm "$B/$T/125/f"
must_say "No such file" cat "$A/$T/125/f"
rm "$B/$T/126/f"
mkdir "$B/$T/126/sub"
quiet
equal "g sub" "$(ls "$A/$T/126" | xargs)" "a listing when it is known here"
equal "f g new" "$(ls "$A/$T/124" | xargs)" "another"
fs_stop two

step "in the order of readdir, and all of it"
cold
(cd "$A" && find . -type f -exec cat {} +) | sort >"$WORK/found"
cold -o mount.read_ahead=0
(cd "$A" && find . -type f -exec cat {} +) | sort >"$WORK/expected"
cmp "$WORK/found" "$WORK/expected" || fail "what was read differs"

step "with read_ahead=0 nothing is fetched but what is asked for"
cold -o mount.read_ahead=0
n=$(gets)
for i in $(seq 127 131); do cat "$A/$T/$i/f" "$A/$T/$i/g" >/dev/null; done
settled
equal 10 $(($(gets) - n)) "objects for ten files"
fs_stop one
check_store "$S"
