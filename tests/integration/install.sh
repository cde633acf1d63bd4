#!/usr/bin/env bash
# make install: the files are where they belong, and what was installed works.
# TIMEOUT 120
. "$(dirname "$0")/../lib/lib.sh"
need make make
D=$WORK/dest
variant=$(basename "$BIN")
[ -d "$TOP/build/$variant" ] || skip "the build under test is not one of make's"
need_fuse

step "install"
mkdir "$D"
install_vars=("B=build/$variant" "DESTDIR=$D" "PREFIX=/usr")
# What is built already must not be built again, nor bin/ be moved.
make -C "$TOP" -s -o all -o bin "${install_vars[@]}" install >"$WORK/install.log" 2>&1 ||
	fail "make install: $(tail -n 5 "$WORK/install.log")"
for f in bin/filespacefs bin/filespacectl sbin/mount.filespacefs \
	share/man/man1/filespacefs.1 share/man/man1/filespacectl.1 \
	share/man/man5/filespacefs.conf.5 share/man/man8/mount.filespacefs.8 \
	share/doc/filespacefs/README.md share/doc/filespacefs/filespacefs.conf; do
	[ -f "$D/usr/$f" ] || fail "not installed: $f"
done
for f in "$D"/usr/bin/* "$D"/usr/sbin/*; do
	equal 755 "$(stat -c %a "$f")" "mode of $f"
done

step "what was installed works, and the helper finds its program"
"$D/usr/bin/filespacefs" -V | grep -q '[0-9]\.[0-9]'
"$D/usr/bin/filespacectl" -s "$WORK/store" init >/dev/null
mkdir "$WORK/mnt"
"$D/usr/sbin/mount.filespacefs" "$WORK/store" "$WORK/mnt" -o rw
mounted "$WORK/mnt" || fail "no mount"
echo installed >"$WORK/mnt/f"
equal installed "$(cat "$WORK/mnt/f")" "content"
"$D/usr/bin/filespacectl" versions "$WORK/mnt/f" >"$WORK/versions"
grep -q '0000000001' "$WORK/versions" || fail "versions: $(cat "$WORK/versions")"
unmount "$WORK/mnt"

if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	step "mount -t filespacefs finds it in /sbin"
	# A mount namespace of our own, where it is installed.
	# shellcheck disable=SC2016 # expanded by that shell
	unshare -m sh -ec '
		for d in bin sbin; do
			mount -t overlay overlay -o "lowerdir=$2/usr/$d:/usr/$d" "/usr/$d" || exit 77
		done
		mount -t filespacefs "$1/store" "$1/mnt" -o rw,noatime || exit 1
		test "$(cat "$1/mnt/f")" = installed || exit 1
		umount "$1/mnt"
	' sh "$WORK" "$D" && note "mounted by mount(8)" || {
		rc=$?
		[ "$rc" = 77 ] || fail "mount -t filespacefs ($rc)"
		note "not tried: no overlay here"
	}
fi
