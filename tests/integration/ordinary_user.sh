#!/usr/bin/env bash
# An ordinary user mounts with fusermount3, works and unmounts; another user
# sees nothing of it.
# TIMEOUT 60
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need fusermount3 fuse3
need sqlite3 sqlite3
[ -u "$(command -v fusermount3)" ] || skip "fusermount3 is not setuid here"

# Where root keeps /dev/fuse to itself, the user gets a device node of its own
# in a mount namespace that ends with this test.
if [ "$(id -u)" = 0 ] && [ -z "${OWN_NAMESPACE:-}" ] &&
	! setpriv --reuid nobody --regid nogroup --clear-groups sh -c ': <>/dev/fuse' 2>/dev/null; then
	trap - EXIT
	mknod -m 666 "$WORK/fuse" c 10 229 2>/dev/null || skip "cannot make a device node here"
	# shellcheck disable=SC2016 # expanded by that shell
	OWN_NAMESPACE=1 exec unshare -m sh -c 'mount --bind "$1/fuse" /dev/fuse && exec "$0"' "$0" "$WORK"
fi

if [ "$(id -u)" = 0 ]; then
	id nobody >/dev/null || skip "no user nobody"
	as_user() {
		setpriv --reuid nobody --regid nogroup --clear-groups \
			env HOME="$WORK/home" XDG_DATA_HOME= "$@"
	}
	chmod 755 "$WORK" "$WORK/.." "$WORK/../.."
	# The build may be where only root gets.
	mkdir -p "$WORK/bin"
	cp -L "$FILESPACEFS" "$CTL" "$TOOLS/fsop" "$WORK/bin/"
	chmod -R a+rX "$WORK/bin"
	owner=nobody
else
	as_user() { env HOME="$WORK/home" XDG_DATA_HOME= "$@"; }
	mkdir -p "$WORK/bin"
	cp -L "$FILESPACEFS" "$CTL" "$TOOLS/fsop" "$WORK/bin/"
	owner=$(id -un)
fi
mkdir "$WORK/home" "$WORK/mnt"
chown "$owner" "$WORK/home" "$WORK/mnt"
M=$WORK/mnt
as_user "$WORK/bin/filespacefs" -V >/dev/null || skip "$owner cannot run the program here"

step "without SOURCE: the store in the user's data directory"
as_user "$WORK/bin/filespacefs" "$M" 2>"$WORK/mount.log" || {
	grep -qi 'dev/fuse\|permission\|not permitted' "$WORK/mount.log" &&
		skip "$owner may not use /dev/fuse here: $(tail -n 1 "$WORK/mount.log")"
	fail "mount: $(cat "$WORK/mount.log")"
}
S=$WORK/home/.local/share/filespacefs
[ -f "$S/filespacefs.conf" ] || fail "no store in the data directory"
equal "$owner 600" "$(stat -c '%U %a' "$S/filespacefs.conf")" "owner and mode of the settings"
as_user "$WORK/bin/filespacectl" -s "$S" --json status >"$WORK/status"
pid=$(grep -o '"pid": *[0-9]*' "$WORK/status" | grep -o '[0-9]*' | head -n 1)
echo "$pid" >>"$WORK/pids"

step "work in it"
as_user mkdir -p "$M/acct/table/record"
# shellcheck disable=SC2016 # expanded by the user's shell
as_user sh -c 'umask 022; echo hello >"$1/f"; echo again >"$1/f"' sh "$M/acct/table/record"
equal again "$(as_user cat "$M/acct/table/record/f")" "content"
equal "$owner 644" "$(as_user stat -c '%U %a' "$M/acct/table/record/f")" "owner and mode"
# shellcheck disable=SC2016
as_user sh -c 'cp -p "$1"/.versions/f/*01.* "$1/f" 2>/dev/null || cp -p "$(ls -d "$1"/.versions/f/* | sed -n 1p)" "$1/f"' \
	sh "$M/acct/table/record"
equal hello "$(as_user cat "$M/acct/table/record/f")" "a restored version"

step "chown is EPERM, and nothing else"
must_say "not permitted" as_user chown root "$M/acct/table/record/f"
must_say "not permitted" as_user chgrp root "$M/acct/table/record/f"
as_user chmod 600 "$M/acct/table/record/f"
as_user chgrp "$(as_user id -g)" "$M/acct/table/record/f"

if [ "$(id -u)" = 0 ]; then
	step "others see nothing, root included"
	must_fail ls "$M"
fi

step "fusermount3 -u ends it"
as_user fusermount3 -u "$M"
wait_for 20 gone "$pid" || fail "the daemon lives on"
as_user "$WORK/bin/filespacectl" -s "$S" check
