#!/usr/bin/env bash
# An ordinary user mounts with fusermount3, works and unmounts; another user
# sees nothing of it.
# TIMEOUT 60
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need fusermount3 fuse3
need sqlite3 sqlite3
[ -u "$(command -v fusermount3)" ] || skip "fusermount3 is not setuid here"

# In a mount namespace that ends with this test root may put another fuse.conf in
# its place and, where root keeps /dev/fuse to itself, a device node.
if [ "$(id -u)" = 0 ] && [ -z "${OWN_NAMESPACE:-}" ]; then
	trap - EXIT
	setpriv --reuid nobody --regid nogroup --clear-groups sh -c ': <>/dev/fuse' 2>/dev/null ||
		mknod -m 666 "$WORK/fuse" c 10 229 2>/dev/null || skip "cannot make a device node here"
	: >"$WORK/fuse.conf"
	chmod 644 "$WORK/fuse.conf"
	# shellcheck disable=SC2016 # expanded by that shell
	OWN_NAMESPACE=1 exec unshare -m sh -c '{ [ ! -e "$1/fuse" ] || mount --bind "$1/fuse" /dev/fuse; } &&
		mount --bind "$1/fuse.conf" /etc/fuse.conf && exec "$0"' "$0" "$WORK"
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

[ "$(id -u)" = 0 ] || skip "not root: allow_other with user_allow_other was not tried"
step "allow_other: refused, then allowed by fuse.conf"
must_say "user_allow_other" as_user "$WORK/bin/filespacefs" -o allow_other "$M"
mounted "$M" && fail "it is mounted all the same"
echo user_allow_other >"$WORK/fuse.conf"
as_user "$WORK/bin/filespacefs" -o allow_other "$M"
as_user "$WORK/bin/filespacectl" -s "$S" --json status >"$WORK/status"
pid=$(grep -o '"pid": *[0-9]*' "$WORK/status" | grep -o '[0-9]*' | head -n 1)
echo "$pid" >>"$WORK/pids"

step "others may what modes let them"
R=$M/acct/table/record
as_user sh -c 'umask 022; echo shown >"$1/shown"; mkdir -m 777 "$1/shared"' sh "$R"
as_other() { setpriv --reuid daemon --regid daemon --clear-groups "$@"; }
equal hello "$(cat "$R/f")" "root reads"
equal shown "$(as_other cat "$R/shown")" "another user reads"
must_say "denied" as_other cat "$R/f"
must_say "denied" as_other sh -c 'echo no >>"$1"' sh "$R/shown"
must_say "denied" as_other touch "$R/new"
must_say "not permitted" as_other chmod 666 "$R/shown"
as_other sh -c 'echo theirs >"$1/theirs"' sh "$R/shared"
equal "daemon 644" "$(as_user stat -c '%U %a' "$R/shared/theirs")" "another user's own file"
must_say "denied" as_user sh -c 'echo no >>"$1"' sh "$R/shared/theirs"
as_user fusermount3 -u "$M"
wait_for 20 gone "$pid" || fail "the daemon lives on"
as_user "$WORK/bin/filespacectl" -s "$S" check
