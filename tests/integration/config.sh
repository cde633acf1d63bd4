#!/usr/bin/env bash
# Settings: what is refused and how it says so, where values come from, and
# the exit codes that scripts rely on.
# TIMEOUT 90
. "$(dirname "$0")/../lib/lib.sh"
need sqlite3 sqlite3
S=$WORK/store
M=$WORK/mnt
mkdir "$M"
status_of() { # status_of COMMAND...
	local rc=0
	"$@" >"$WORK/out" 2>&1 || rc=$?
	echo "$rc"
}

step "exit codes: 0 done, 1 failed, 2 wrong usage"
equal 0 "$(status_of "$FILESPACEFS" -V)" "-V"
equal 0 "$(status_of "$FILESPACEFS" -h)" "-h"
equal 0 "$(status_of "$CTL" help)" "help"
equal 2 "$(status_of "$FILESPACEFS")" "no mountpoint"
equal 2 "$(status_of "$FILESPACEFS" a b c)" "three arguments"
equal 2 "$(status_of "$FILESPACEFS" --nonsense "$S" "$M")" "an unknown option"
equal 2 "$(status_of "$CTL" nonsense)" "an unknown command"
equal 2 "$(status_of "$CTL")" "no command"
equal 1 "$(status_of "$FILESPACEFS" -f -o ro "$WORK/nothing/here" "$M")" "a read-only mount of nothing"
equal 1 "$(status_of "$CTL" -s "$WORK/nothing" status)" "status of nothing"
[ ! -e "$WORK/nothing" ] || fail "something was made"

step "init, and init again"
store_init "$S"
equal 1 "$(status_of "$CTL" -s "$S" init)" "init twice"
equal 700 "$(stat -c %a "$S")" "mode of a new store"
equal 600 "$(stat -c %a "$S/filespacefs.conf")" "mode of its settings"
equal 64 "$(conf_value "$S" encryption key | tr -d '\n' | wc -c)" "digits of the key"
store_init "$WORK/store2"
[ "$(conf_value "$S" encryption key)" != "$(conf_value "$WORK/store2" encryption key)" ] ||
	fail "two stores with one key"
mkdir "$WORK/full"
touch "$WORK/full/something"
equal 1 "$(status_of "$FILESPACEFS" "$WORK/full" "$M")" "first use of a directory that is not empty"
equal something "$(ls "$WORK/full")" "that directory is left alone"
store_init "$WORK/store3" -o bzip2.level=3 -o general.hash=sha1
grep -q '^level = 3' "$WORK/store3/filespacefs.conf" || fail "init -o is not in the file"

step "config says each value and where it came from, and no secret"
"$CTL" -s "$S" config >"$WORK/out"
grep -qi "$(conf_value "$S" encryption key)" "$WORK/out" && fail "config shows the key"
grep -q 'encryption.key .*\*\*\*' "$WORK/out" || fail "the key is not in the list"
grep -q 'bzip2.level .*9 .*default' "$WORK/out" || fail "the level: $(grep level "$WORK/out")"
"$CTL" -s "$S" --json config >"$WORK/out"
grep -qi "$(conf_value "$S" encryption key)" "$WORK/out" && fail "config --json shows the key"
! command -v php >/dev/null || php -r 'exit(json_decode(file_get_contents($argv[1])) ? 0 : 1);' "$WORK/out" ||
	fail "config --json is no JSON"

step "bad settings name file, line, key and what is allowed"
bad() { # bad LINES TEXT...: the message has every text
	local text lines=$1
	shift
	cp "$WORK/store2/filespacefs.conf" "$WORK/bad.conf"
	chmod 600 "$WORK/bad.conf"
	printf '%b' "$lines" >>"$WORK/bad.conf"
	must_fail "$FILESPACEFS" -c "$WORK/bad.conf" "$M"
	for text in "bad.conf" "$@"; do
		grep -qF -- "$text" "$WORK/must_fail.log" ||
			fail "'$lines': the message lacks '$text': $(cat "$WORK/must_fail.log")"
	done
}
n=$(($(wc -l <"$WORK/store2/filespacefs.conf") + 2))
bad '[bzip2]\nlevel = 12\n' "$n" level 9
bad '[bzip2]\nlevel = many\n' "$n" level
bad '[bzip2]\nlevle = 3\n' "$n" levle
bad '[nonsense]\nx = 3\n' nonsense
bad '[general]\nhash = md5\n' "$n" hash sha256 sha1
bad '[mount]\nentry_timeout = soon\n' "$n" entry_timeout
bad '[cache]\nsize = 3X\n' "$n" size
bad 'no equals sign\n' "$((n - 1))"
sed 's/^key = .*/key = 12345/' "$WORK/store2/filespacefs.conf" >"$WORK/bad.conf"
must_say "key" "$FILESPACEFS" -c "$WORK/bad.conf" "$M"
grep -q 12345 "$WORK/must_fail.log" && fail "the message shows a secret"
must_say "bzip2.level" "$FILESPACEFS" -o bzip2.level=0 "$S" "$M"
must_say "nonsense" "$FILESPACEFS" -o nonsense.key=1 "$S" "$M"
must_say "secret" "$FILESPACEFS" -o "encryption.key=$(conf_value "$S" encryption key)" "$S" "$M"
grep -qi "$(conf_value "$S" encryption key)" "$WORK/must_fail.log" && fail "the message shows the key"

step "secrets need mode 0600"
chmod 644 "$S/filespacefs.conf"
must_say "0600" "$FILESPACEFS" "$S" "$M"
must_fail "$CTL" -s "$S" status
chmod 600 "$S/filespacefs.conf"

step "the sample is a valid configuration, and is the one in etc/"
"$CTL" config --sample >"$WORK/sample.conf"
cmp "$WORK/sample.conf" "$TOP/etc/filespacefs.conf"
"$CTL" config --man >/dev/null
"$CTL" config --help-text >/dev/null
sed 's/^#\([a-z_0-9]* = .*\)/\1/' "$WORK/sample.conf" >"$WORK/all.conf"
cat >>"$WORK/all.conf" <<CONF
[encryption]
key = $(conf_value "$S" encryption key)
iv = $(conf_value "$S" encryption iv)
CONF
chmod 600 "$WORK/all.conf"
"$CTL" -c "$WORK/all.conf" config >/dev/null || fail "the sample's defaults are refused"

step "an untouched objectstorage.conf of the PHP library is understood"
mkdir -p "$WORK/php/objects"
cat >"$WORK/php/objectstorage.conf" <<CONF
[general]
adapter = file
[file]
path = $WORK/php/objects/
[bzip2]
level = 9
[encryption]
key = 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F
iv = A0A1A2A3A4A5A6A7A8A9AAABACADAEAF
CONF
chmod 600 "$WORK/php/objectstorage.conf"
"$CTL" -c "$WORK/php/objectstorage.conf" config >/dev/null

step "secrets from the environment"
need_fuse
key=$(conf_value "$WORK/store2" encryption key)
iv=$(conf_value "$WORK/store2" encryption iv)
sed -i '/^key = /d; /^iv = /d' "$WORK/store2/filespacefs.conf"
must_say "key" "$FILESPACEFS" "$WORK/store2" "$M"
FS_ENV=(FILESPACEFS_ENCRYPTION_KEY="$key" FILESPACEFS_ENCRYPTION_IV="$iv")
fs_start env "$WORK/store2" "$M"
echo hello >"$M/f"
tr '\0' '\n' <"/proc/${FS_PID[env]}/cmdline" | grep -qi "$key" &&
	fail "the key is on the command line"

step "no core dump holds it, though a kernel may pipe cores to a program"
p=/proc/${FS_PID[env]}
equal 00000000 "$(cat "$p/coredump_filter")" "coredump_filter"
grep -q '^Max core file size  *0  *0 ' "$p/limits" || fail "$(grep core "$p/limits")"
marked=$(grep -c '^VmFlags:.* rd wr .* dd ' "$p/smaps") || true
[ "$marked" -ge 2 ] || fail "$marked mappings of secrets: of the settings, of the store"
fs_stop env
FS_ENV=()
grep -qi "$(conf_value "$S" encryption key)" "$WORK"/*.log && fail "the key is in a log"

step "settings on the command line"
fs_start opts "$S" "$M" -o mount.versions_dir=.old,bzip2.level=1,noatime
ls "$M/.old" >/dev/null
fs_stop opts
must_say "no/such/mountpoint" "$FILESPACEFS" "$S" "$WORK/no/such/mountpoint"

step "options that are none"
must_say "unknown option: -Z" "$FILESPACEFS" -Z "$S" "$M"
must_say "Try 'filespacefs --help'" "$FILESPACEFS" -fZ "$S" "$M"
must_say "unknown option: -Z" "$CTL" stats --json -Z
must_say "remount is not supported; unmount, then mount again" \
	"$FILESPACEFS" -o ro,remount "$S" "$M"
must_say "remount is not supported; unmount, then mount again" \
	"$BIN/mount.filespacefs" "$S" "$M" -o ro,remount

step "a new store goes again when it cannot be mounted"
for wrong in bzip2.level=99 file.path=/proc/none spool.path=/proc/none; do
	must_fail "$FILESPACEFS" -o $wrong "$WORK/new" "$M"
	[ ! -e "$WORK/new" ] || fail "$wrong left a store: $(ls -A "$WORK/new")"
	mkdir -m 751 "$WORK/new"
	must_fail "$FILESPACEFS" -o $wrong "$WORK/new" "$M"
	equal "751 " "$(stat -c %a "$WORK/new") $(ls -A "$WORK/new")" "an empty directory, $wrong"
	rmdir "$WORK/new"
	store_init "$WORK/new"
	must_fail "$FILESPACEFS" -o $wrong "$WORK/new" "$M"
	[ -s "$WORK/new/filespacefs.conf" ] || fail "$wrong took a store away"
	rm -r "$WORK/new"
done

step "the mount helper mounts what is there and never makes a store"
H=$BIN/mount.filespacefs
equal 32 "$(status_of "$H" "$WORK/fresh" "$M" -o rw)" "a missing store"
[ ! -e "$WORK/fresh" ] || fail "the helper made a store"
mkdir "$WORK/empty"
equal 32 "$(status_of "$H" "$WORK/empty" "$M" -o rw)" "an empty directory"
equal "" "$(ls "$WORK/empty")" "that directory stays empty"
"$H" "$S" "$M" -o rw,nodev,nosuid,noauto,x-systemd.automount,_netdev,bzip2.level=2
mounted "$M" || fail "the helper returned without a mount"
echo helper >"$M/g"
unmount "$M"
"$H" "$S" "$M" -o ro
equal helper "$(cat "$M/g")" "read-only by the helper"
must_say "Read-only" touch "$M/h"
unmount "$M"
