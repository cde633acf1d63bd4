#!/usr/bin/env bash
# Stock tools read what the mount wrote: openssl and bunzip2, PHP's own
# functions, and the recovery script a whole store.
# TIMEOUT 400
# TAKES 30 45
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need sqlite3 sqlite3
need openssl openssl
need bunzip2 bzip2
need rsync rsync
need setfattr attr
need php php-cli
has_extension() { php -r 'exit(extension_loaded($argv[1]) ? 0 : 1);' "$1"; }
has_extension bz2 || skip "needs PHP's bz2 (apt-get install php-bz2)"
S=$WORK/store
M=$WORK/mnt

fill_store() { # fill_store DIR-IN-MOUNT
	local d=$1
	mkdir -p "$d/sub dir/empty" "$M/dotted.name/per%cent/r"
	printf '' >"$d/zero"
	printf x >"$d/one byte"
	head -n 90000 < <(yes 'nine hundred thousand') >"$d/over one bzip2 block"
	head -c 900000 /dev/zero >"$d/zeros"
	"$TOOLS/fsop" open "$d/noise" wct fill 1250000 11 close >/dev/null
	for i in 15 16 17 31 32 33 4095 4096 4097 65536; do
		head -c "$i" "$d/noise" >"$d/size $i"
	done
	printf 'dots' >"$M/dotted.name/per%cent/r/f.x"
	printf 'root' >"$M/in the root"
	printf 'account' >"$M/dotted.name/in the account"
	printf 'latin' >"$d/"$'caf\xe9'
	printf 'utf' >"$d/Grüße"
	printf 'newline' >"$d/"$'two\nlines\n'
	printf 'final newline name' >"$d/sub dir/"$'x\n'
	ln -s 'one byte' "$d/link"
	ln -s $'to\nnowhere\xff' "$d/odd link"
	mkfifo "$d/fifo" 2>/dev/null || true
	setfattr -n user.note -v $'two\nlines' "$d/one byte"
	setfattr -n user.note -v dir "$d/sub dir"
	chmod 1770 "$d/sub dir"
	chmod 4711 "$d/one byte"
	touch -d 1999-12-31T23:59:59.987654321Z "$d/zero" "$d/sub dir/empty"
	touch -h -d 1970-01-01T00:00:01Z "$d/link"
	sync "$d"                       # the times of directories wait a moment
	printf 'version 1' >"$d/versioned.txt"
	printf 'version 2' >"$d/versioned.txt"
	printf 'short life' >"$d/deleted.txt"
	rm "$d/deleted.txt"
}

every_object() { # every_object STORE
	local hash size sum n=0
	while read -r hash size; do
		decode_object "$1" "$hash" >"$WORK/plain" ||
			fail "openssl or bunzip2 refuses $hash"
		sum=$([ "${#hash}" = 40 ] && sha1sum "$WORK/plain" || sha256sum "$WORK/plain")
		equal "$hash" "${sum%% *}" "digest of the object of $hash"
		equal "$size" "$(stat -c %s "$WORK/plain")" "size of $hash"
		n=$((n + 1))
	done < <(sql "$1" "SELECT DISTINCT data_hash || ' ' || size_original FROM filespace_file")
	[ "$n" -gt 15 ] || fail "only $n objects were looked at"
	note "$n objects"
}

php_reads() { # php_reads STORE
	rm -rf "$WORK/all-objects"
	mkdir "$WORK/all-objects"
	object_keys "$1" | while read -r hash; do
		object_get "$1" "$hash" "$WORK/all-objects/$hash"
	done
	sql "$1" "SELECT DISTINCT data_hash || ' ' || size_original FROM filespace_file" |
		php "$TOP/tests/lib/read-objects.php" "$WORK/all-objects" \
			"$(conf_value "$1" encryption key)" "$(conf_value "$1" encryption iv)" ||
		fail "PHP cannot read every object"
}

recover_all() { # recover_all STORE: the store is mounted at $M
	! on_servers || return 0        # the script is for embedded stores
	rm -rf "$WORK/recovered"
	"$TOP/scripts/recover" "$1" "$WORK/recovered" >"$WORK/recover.out" 2>&1 ||
		fail "recover: $(cat "$WORK/recover.out")"
	same_tree "$M" "$WORK/recovered"
}

step "every object by its row, with openssl and bunzip2"
fs_start fs "$S" "$M"
fill_store "$M/acct/table/rec.ord"
every_object "$S"

step "every object with PHP's openssl_decrypt and bzdecompress"
php_reads "$S"

step "the recovery script, from the store in use"
recover_all "$S"

recovers_versions() {
	step "the recovery script with versions"
	"$TOP/scripts/recover" --versions "$S" "$WORK/with-versions" >/dev/null
	V=$WORK/with-versions/acct/table/rec.ord/.versions
	equal "version 1version 2" "$(cat "$V/versioned.txt/"*)" "recovered versions"
	equal "short life" "$(cat "$V/deleted.txt/"*)" "a recovered deleted file"
	diff <(ls "$M/acct/table/rec.ord/.versions/versioned.txt") <(ls "$V/versioned.txt") ||
		fail "recovered versions have other names than the mount's"
}

recovers_past_damage() {
	step "the recovery script goes on past damage"
	printf 'garbage' >"$WORK/garbage"
	object_put "$S" "$(hash_of "$S" 'size 4097')" "$WORK/garbage"
	object_remove "$S" "$(hash_of "$S" 'size 33')"
	rc=0
	"$TOP/scripts/recover" "$S" "$WORK/damaged" >"$WORK/recover.out" 2>&1 || rc=$?
	equal 1 "$rc" "status of recover with damage"
	grep -q 'size 4097' "$WORK/recover.out" || fail "the torn object is not named"
	grep -q 'size 33' "$WORK/recover.out" || fail "the missing object is not named"
	[ ! -e "$WORK/damaged/acct/table/rec.ord/size 33" ] || fail "a damaged file was made"
	cmp "$WORK/recovered/acct/table/rec.ord/noise" "$WORK/damaged/acct/table/rec.ord/noise"
}
on_servers || recovers_versions
fs_stop fs
on_servers || recovers_past_damage

step "an iv for each object, and no encryption"
for how in encryption.iv_mode=object encryption.method=none general.hash=sha1; do
	T=$WORK/store-${how##*=}
	store_init "$T" -o "$how"
	fs_start "fs-${how##*=}" "$T" "$M"
	fill_store "$M/acct/table/rec.ord"
	recover_all "$T"
	[ "$how" != general.hash=sha1 ] || { every_object "$T" && php_reads "$T"; }
	fs_stop "fs-${how##*=}"
	check_store "$T"
done
object_get "$WORK/store-none" "$(hash_of "$WORK/store-none" 'one byte')" "$WORK/object"
equal x "$(bunzip2 <"$WORK/object")" "an object that is only compressed"

step "an object that PHP wrote is read, and its content is not stored twice"
P=$WORK/php-store
store_init "$P"
php -r '
list(, $file, $key, $iv) = $argv;
$text = "written by PHP";
$object = openssl_encrypt(bzcompress($text, 9), "aes-256-cbc", hex2bin($key), OPENSSL_RAW_DATA, hex2bin($iv));
file_put_contents($file, $object);
' "$WORK/object" "$(conf_value "$P" encryption key)" "$(conf_value "$P" encryption iv)"
hash=$(printf 'written by PHP' | sha1sum | cut -c 1-40)
object_put "$P" "$hash" "$WORK/object"
sql "$P" "INSERT INTO filespace (space_key, created_at, name) VALUES ('php.app.1', 1431080000, 'x')"
sql "$P" "INSERT INTO filespace_file (file_key, space_key, data_hash, created_at, size_original, size_storage)
	VALUES ('upload.txt', 'php.app.1', '$hash', 1431080000, 14, 14)"
fs_start php "$P" "$M"
equal "written by PHP" "$(cat "$M/php/app/1/upload.txt")" "PHP's upload"
equal 1431080000 "$(stat -c %Y "$M/php/app/1/upload.txt")" "its mtime"
printf 'written by PHP' >"$M/php/app/1/again.txt"
equal 1 "$(object_count "$P")" "objects of one content"
equal "$hash" "$(hash_of "$P" again.txt)" \
	"the row names the object that is there"
ino=$(stat -c %i "$M/php/app/1/upload.txt")
chmod 600 "$M/php/app/1/upload.txt"
equal "$ino" "$(stat -c %i "$M/php/app/1/upload.txt")" "inode number after adoption"
printf 'now changed' >"$M/php/app/1/upload.txt"
equal "written by PHP" "$(cat "$M/php/app/1/.versions/upload.txt/$(ls "$M/php/app/1/.versions/upload.txt" | sed -n 1p)")" \
	"PHP's version"
fs_stop php
check_store "$P"
