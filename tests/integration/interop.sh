#!/usr/bin/env bash
# The PHP library and mounts on one MariaDB database and one bucket at the same
# time: an untouched store, its upgrade under uploads, both ways, PHP's races.
# TIMEOUT 300
# TAKES 80
# SERVERS mariadb rgw
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need php php-cli
need curl curl
need rsync rsync
need python3 python3
has_extension() { php -r 'exit(extension_loaded($argv[1]) ? 0 : 1);' "$1"; }
has_extension bz2 || skip "needs PHP's bz2 (apt-get install php-bz2)"
has_extension pdo_mysql || skip "needs PHP's PDO (apt-get install php-mysql)"
SPACE=acme.contact.35
M=$WORK/mnt
D=$M/acme/contact/35
V=$D/.versions
L=$WORK/local
mkdir "$L"

# A store as PHP's installer leaves it, with nothing of ours.
php_store() { # php_store STORE DEFAULT-OF-DELETED_AT CHARSET
	local name=interop-${2,,}-$3-$$
	echo "t_${name//-/_} $name" >>"$WORK/server-stores"
	mkdir "$1"
	(umask 077 && store_config "t_${name//-/_}" "$name" -o s3.prefix=files/ \
		-o mysql.charset="$3" >"$1/filespacefs.conf")
	fsp_mariadb -e "CREATE DATABASE t_${name//-/_}"
	s3_make_bucket "$name"
	sql "$1" "CREATE TABLE filespace (id int AUTO_INCREMENT PRIMARY KEY,
		space_key varchar(256) NOT NULL, created_at int NOT NULL, updated_at int NULL,
		deleted_at int NULL, name varchar(256) NOT NULL, KEY space_key (space_key))
		ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
		CREATE TABLE filespace_file (id int AUTO_INCREMENT PRIMARY KEY,
		file_key varchar(256) NOT NULL, space_key varchar(256) NOT NULL,
		data_hash varchar(64) NOT NULL, created_at int NOT NULL,
		deleted_at int NULL DEFAULT $2, size_original int NOT NULL,
		size_storage int NOT NULL, KEY space_key (space_key))
		ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"
}

lib() { # lib COMMAND ARGUMENT...: as PHP does it, on the store $S
	php "$TOP/tests/tools/interop.php" "$(conf_value "$S" mysql database)" \
		"$(conf_value "$S" s3 bucketname)" files/ \
		"$(conf_value "$S" encryption key)" "$(conf_value "$S" encryption iv)" \
		"$(conf_value "$S" mysql charset)" "$@"
}

local_file() { # local_file NAME TEXT DATE
	printf '%s' "$2" >"$L/$1"
	touch -d "$3" "$L/$1"
}

live_rows() { # live_rows NAME
	sql "$S" "SELECT count(*) FROM filespace_file WHERE space_key = '$SPACE'
		AND file_key = '$1' AND (deleted_at IS NULL OR deleted_at = 0)"
}

# The content of NAME is TEXT, to the mount and to PHP, and only one row is live.
both_read() { # both_read NAME TEXT WHAT
	equal "$2" "$(cat "$D/$1")" "$3: by the mount"
	equal "$2" "$(lib download "$SPACE" "$1")" "$3: by PHP"
	equal 1 "$(live_rows "$1")" "$3: live rows"
}

versions_hold() { # versions_hold NAME TEXT...
	local name=$1 text
	shift
	for text; do
		grep -rqxF -- "$text" "$V/$name/" || fail "no version of $name is '$text'"
	done
}

fill() { # fill BYTES ROWS-OF-ANOTHER-SPACE
	lib space "$SPACE"
	lib space "$SPACE"
	local_file a 'the first' 2015-05-08T10:13:20Z
	local_file b 'the second' 2016-01-01T00:00:00Z
	head -c "$1" /dev/urandom | base64 >"$L/big"
	touch -d 2001-09-09T01:46:40Z "$L/big"
	lib upload "$SPACE" plain.txt "$L/a"
	lib upload "$SPACE" plain.txt "$L/b"
	lib upload "$SPACE" 'Grüße.pdf' "$L/b"
	lib upload "$SPACE" 'sub/big' "$L/big"
	lib upload "$SPACE" read.txt "$L/a"
	sql "$S" "INSERT INTO filespace_file (file_key, space_key, data_hash, created_at,
		size_original, size_storage) SELECT concat('f', seq), 'bulk.x.1',
		'$(sha1sum <"$L/a" | cut -c 1-40)', 1431080000, 9, 9 FROM seq_1_to_$2"
}

columns() {
	sql "$S" "SELECT table_name, column_name, column_type FROM
		information_schema.columns WHERE table_schema = database() ORDER BY 1, 2"
	sql "$S" "CHECKSUM TABLE filespace, filespace_file"
}

# The store of somebody who may SELECT from the two tables and GET objects, and
# nothing more.
reader_store() { # sets READER
	local db bucket user=reader_$$
	db=$(conf_value "$S" mysql database)
	bucket=$(conf_value "$S" s3 bucketname)
	READER=$S-reader
	mkdir "$READER"
	mariadb_root "$FSP_TEST_MYSQL_DIR" -e "CREATE OR REPLACE USER $user@localhost
		IDENTIFIED BY 'reader'; GRANT SELECT ON $db.filespace TO $user@localhost;
		GRANT SELECT ON $db.filespace_file TO $user@localhost"
	s3 PUT "$bucket?policy=" -d '{"Version": "2012-10-17", "Statement": [{
		"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/other"]},
		"Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::'"$bucket"'/*"]}]}'
	(umask 077 && sed "s|^user = .*|user = $user|; s|^password = .*|password = reader|
		s|^access_key = .*|access_key = $FSP_TEST_S3_OTHER_ACCESS_KEY|
		s|^secret_key = .*|secret_key = $FSP_TEST_S3_OTHER_SECRET_KEY|" \
		"$S/filespacefs.conf" >"$READER/filespacefs.conf")
	equal "403 403" "$(as_reader s3_status GET "$bucket?list-type=2") $(
		as_reader s3_status PUT "$bucket/files/x" -d x)" "list and put of a reader"
}
as_reader() {
	FSP_TEST_S3_ACCESS_KEY=$FSP_TEST_S3_OTHER_ACCESS_KEY \
		FSP_TEST_S3_SECRET_KEY=$FSP_TEST_S3_OTHER_SECRET_KEY "$@"
}

# An object that is missing is to S3 one that may not be read, where the key
# may not list the bucket.
missing_object() {
	local log=$WORK/ro-${S##*/}.log
	sql "$S" "INSERT INTO filespace_file (file_key, space_key, data_hash, created_at,
		size_original, size_storage) VALUES ('gone', 'lost.x.1',
		'0123456789012345678901234567890123456789', 1431080000, 9, 9)"
	must_say 'Input/output error' timeout 20 cat "$M/lost/x/1/gone"
	grep -q 'AccessDenied.*or it is missing and they may not list' "$log" ||
		fail "the log of what is missing: $(tail -n 3 "$log")"
	getfattr --absolute-names --only-values -n user.filespace.health "$M" >"$WORK/health"
	grep -q '^database ok.*objects ok' "$WORK/health" || fail "health: $(cat "$WORK/health")"
	sql "$S" "DELETE FROM filespace_file WHERE space_key = 'lost.x.1'"
}

# What a reader sees of what fill has made.
all_read() {
	equal $'Grüße.pdf\nplain.txt\nread.txt\nsub' "$(ls "$D" | LC_ALL=C sort)" "the names"
	cmp "$L/b" "$D/plain.txt"
	cmp "$L/b" "$D/Grüße.pdf"
	cmp "$L/big" "$D/sub/big"
	equal 1000000000 "$(stat -c %Y "$D/sub/big")" "mtime"
	versions_hold plain.txt 'the first'
	must_say 'Read-only file system' touch "$D/plain.txt"
	df "$M" >/dev/null
}

untouched() { # untouched BYTES ROWS
	step "an untouched store, by a user who may SELECT and GET"
	local before name=ro-${S##*/}
	fill "$@"
	[ "$(conf_value "$S" mysql charset)" != latin1 ] ||
		equal 4772C383C2BCC383C5B8652E706466 "$(sql "$S" "SELECT DISTINCT hex(file_key)
			FROM filespace_file WHERE file_key LIKE '%.pdf'")" "what latin1 makes of a name"
	before=$(columns)
	reader_store
	fs_start "$name" "$READER" "$M" -o ro
	all_read
	! grep -E 'denied|error' "$WORK/$name.log" || fail "the log of a reader"
	equal "$before" "$(columns)" "columns and rows"
}

read_beside() {
	step "a reader while PHP uploads"
	"$CTL" -s "$READER" -o mount.read_only=yes store test >"$WORK/test.out" 2>&1 ||
		fail "store test: $(cat "$WORK/test.out")"
	missing_object
	php_begins
	beside read
	beside_ends
}

counted() { [ "$(cat "$L/loop/.count")" -ge "$1" ]; }
uploads() { # uploads N: waits for N more
	wait_for 60 counted $(($(cat "$L/loop/.count") + $1)) ||
		fail "no more uploads: $(grep -m 1 -E "Exception|SQLSTATE" "$WORK/loop.out"; tail -n 5 "$WORK/loop.out")"
}
php_begins() {
	mkdir "$L/loop"
	echo 0 >"$L/loop/.count"
	lib loop "$SPACE" "$L/loop" >"$WORK/loop.out" 2>&1 &
	PHP_LOOP=$!
	echo "$PHP_LOOP" >>"$WORK/pids"
	uploads 10
}
php_ends() { # the last upload is the one before .count
	touch "$L/loop/.stop"
	wait "$PHP_LOOP" || fail "uploads: $(tail -n 5 "$WORK/loop.out")"
}

# Who reads or writes the names of PHP's loop in the mount meanwhile.
declare -A BESIDE=()
beside() { # beside COMMAND [ARGUMENT...]
	rm -f "$WORK/enough" "$WORK/enough.seen"
	python3 "$TOP/tests/tools/beside.py" "$1" "$D" "$WORK/enough" "${@:2}" \
		>"$WORK/$1.out" 2>&1 &
	BESIDE[$1]=$!
	echo "$!" >>"$WORK/pids"
}
beside_ends() {
	local what
	uploads 28
	wait_for 60 test -e "$WORK/enough.seen" || fail "nothing changes: $(cat "$WORK/read.out")"
	touch "$WORK/enough"
	for what in "${!BESIDE[@]}"; do
		wait "${BESIDE[$what]}" || fail "$what: $(cat "$WORK/$what.out")"
		[ ! -s "$WORK/$what.out" ] || note "$(cat "$WORK/$what.out")"
	done
	BESIDE=()
}

upgrade() {
	step "the upgrade"
	local before
	before=$(cat "$L/loop/.count" 2>/dev/null || echo 0)
	"$CTL" -s "$S" schema upgrade >"$WORK/upgrade.out" 2>&1 ||
		fail "upgrade: $(cat "$WORK/upgrade.out")"
	note "$(($(cat "$L/loop/.count" 2>/dev/null || echo 0) - before)) uploads meanwhile"
	"$CTL" -s "$S" schema upgrade >"$WORK/upgrade.out" 2>&1 ||
		fail "again: $(cat "$WORK/upgrade.out")"
	sed -i "s/^\[general\]\$/&\nhash = $HASH/" "$S/filespacefs.conf"
	fs_start "rw-${S##*/}" "$S" "$M" -o mount.thin_versions=0,mount.thin_interval=0
	cmp "$L/b" "$D/Grüße.pdf"
	equal yes "$(lib has "$SPACE" 'Grüße.pdf')" "what PHP has"
}

write_beside() {
	step "the mount writes and reads what PHP uploads"
	local i
	beside read --writer
	beside write "$WORK/written"
	beside_ends
	php_ends
	equal 7 "$(lib list "$SPACE" | grep '^upload ' | sort -u | wc -l)" "PHP's list"
	note "$(python3 "$TOP/tests/tools/beside.py" verify "$D" \
		"$(cat "$L/loop/.count")" "$WORK/written")"
	for i in 0 3 6; do
		printf 'settled' >"$D/upload $i"
		both_read "upload $i" settled "what both wrote"
	done
}

php_sees() {
	step "PHP sees the mount's files at once"
	printf 'by the mount' >"$D/Übung"
	equal yes "$(lib has "$SPACE" 'Übung')" "hasFile"
	both_read 'Übung' 'by the mount' "a new file"
	equal "$(printf 'by the mount' | "${HASH}sum" | cut -d ' ' -f 1) 12" \
		"$(lib get "$SPACE" 'Übung')" "getFile"
	lib list "$SPACE" | grep -qxF 'Übung' || fail "getFiles lacks it"
	cp "$L/big" "$D/sub/copy"
	lib download "$SPACE" sub/copy | cmp - "$L/big"
	printf 'changed' >"$D/Grüße.pdf"
	both_read 'Grüße.pdf' changed "PHP's file, changed"
	mv "$D/Übung" "$D/übung"
	equal "no yes" "$(lib has "$SPACE" 'Übung') $(lib has "$SPACE" 'übung')" "after mv"
	rm "$D/übung"
	equal no "$(lib has "$SPACE" 'übung')" "after rm"
	printf 'lower' >"$D/case"
	printf 'upper' >"$D/CASE"
	both_read case lower "one case"
	both_read CASE upper "the other case"
}

absent() { [ ! -e "$1" ]; }

mount_sees() {
	step "the mount sees what PHP does"
	local ino
	lib upload "$SPACE" "seen" "$L/a"
	equal 'the first' "$(cat "$D/seen")" "an upload, by open"
	chmod 640 "$D/seen"
	ino=$(stat -c %i "$D/seen")
	lib upload "$SPACE" "seen" "$L/b"
	both_read seen 'the second' "an overwrite"
	equal "640 $ino" "$(stat -c '%a %i' "$D/seen")" "mode and inode number"
	lib upload "$SPACE" "seen" "$L/a"
	both_read seen 'the first' "an overwrite with what is older"
	versions_hold seen 'the first' 'the second'
	lib delete "$SPACE" seen
	must_say 'No such file' cat "$D/seen"
	wait_for 2 absent "$D/seen" || fail "the deleted file is there"
	absent "$D/later" || fail "a name that nobody made"
	lib upload "$SPACE" later "$L/b"
	wait_for 2 test -e "$D/later" || fail "the upload does not show"
	lib upload new.space.1 one "$L/b"
	wait_for 2 cmp "$L/b" "$M/new/space/1/one" || fail "no file in a new space"
}

not_twice() {
	step "content that PHP uploaded is not stored twice"
	local before
	local_file once 'uploaded once' 2014-01-01T00:00:00Z
	lib upload "$SPACE" once "$L/once"
	equal 'uploaded once' "$(cat "$D/once")" "PHP's file"
	before=$(object_count "$S")
	cat "$L/once" >"$D/twice"
	equal "$before" "$(object_count "$S")" "objects"
	equal "$(sha1sum <"$L/once" | cut -c 1-40) 13" "$(lib get "$SPACE" twice)" "the row"
	both_read twice 'uploaded once' "the second name"
}

race() { # race NAME: the one that was inserted first is the younger
	local_file young 'raced, young' 2020-02-02T00:00:00Z
	local_file old 'raced, old' 2010-02-02T00:00:00Z
	lib race "$SPACE" "$1" "$L/young" "$L/old"
	equal 2 "$(live_rows "$1")" "rows of the race"
	equal 'raced, young' "$(cat "$D/$1")" "the file of two rows"
	equal 'raced, young' "$(lib download "$SPACE" "$1")" "PHP's file of two rows"
}

races() {
	step "two live rows of one key"
	race write
	printf 'written' >"$D/write"
	both_read write written "a write over both"
	versions_hold write 'raced, young' 'raced, old' written
	local_file same 'the same second' 2020-02-02T00:00:00Z
	lib race "$SPACE" tie "$L/young" "$L/same"
	equal 'the same second' "$(cat "$D/tie")" "of one second it is the last row"
	race touched
	touch -d 2005-01-01T00:00:00Z "$D/touched"
	both_read touched 'raced, young' "touch to an old time"
	versions_hold touched 'raced, old'
	local_file ancient 'ancient' 2000-01-01T00:00:00Z
	race copied
	cp -p "$L/ancient" "$D/copied"
	both_read copied ancient "cp -p of what is old"
	equal 946684800 "$(stat -c %Y "$D/copied")" "its mtime"
	versions_hold copied 'raced, young' 'raced, old'
	race synced
	rsync -t "$L/ancient" "$D/synced"
	both_read synced ancient "rsync -t of what is old"
	versions_hold synced 'raced, young' 'raced, old'
	race removed
	rm "$D/removed"
	equal "no 0" "$(lib has "$SPACE" removed) $(live_rows removed)" "after rm"
	versions_hold removed 'raced, young' 'raced, old'
}

store_of() { # store_of DEFAULT CHARSET HASH
	step "deleted_at DEFAULT $1, $2, $3"
	S=$WORK/store-$1-$2 HASH=$3
	rm -rf "${L:?}"/*
	php_store "$S" "$1" "$2"
}
run_with() { # run_with DEFAULT CHARSET HASH
	store_of "$@"
	untouched 1000000 20000
	read_beside
	fs_stop "ro-${S##*/}"
	upgrade
	write_beside
	php_sees
	mount_sees
	not_twice
	races
	fs_stop "rw-${S##*/}"
	check_store "$S"
}
# What the settings bear on, without what takes long.
look_with() { # look_with DEFAULT CHARSET HASH
	store_of "$@"
	untouched 1000 10
	fs_stop "ro-${S##*/}"
	upgrade
	php_sees
	mount_sees
	fs_stop "rw-${S##*/}"
	check_store "$S"
}
run_with 0 latin1 sha256
run_with NULL utf8mb4 sha1
look_with 0 utf8mb4 sha1
look_with NULL latin1 sha256
