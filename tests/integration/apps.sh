#!/usr/bin/env bash
# Applications that ran on the share: git, sqlite3, rsync, tar, zip, vim, fio,
# dbench, stress-ng.
# TIMEOUT 500
# TAKES 40 90
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
for c in git sqlite3 rsync zip unzip fio dbench stress-ng; do need "$c" "$c"; done
need vim.tiny vim-tiny
M=$WORK/m
R=$M/acct/table/rec
fs_start one "$WORK/store" "$M" -o bzip2.level=1
mkdir -p "$R"
cd "$R"

# Over servers each call takes longer, and less of each shows the same.
SRC=$TOP/src
if on_servers; then
	SRC=$WORK/src
	mkdir "$SRC"
	cp -r "$TOP"/src/main_* "$TOP/src/base" "$TOP/src/vfs" "$SRC/"
fi
commits=$(on_servers && echo 6 || echo 30)
writes=$(on_servers && echo 3 || echo 10)
step "git: clone, $commits commits, gc, fsck, worktree"
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q -b main "$WORK/origin"
git -C "$WORK/origin" config user.email a@example.org
git -C "$WORK/origin" config user.name A
cp -r "$SRC" "$WORK/origin/"
git -C "$WORK/origin" add -A
git -C "$WORK/origin" commit -qm first
git clone -q "$WORK/origin" repo
git -C repo config user.email a@example.org
git -C repo config user.name A
for i in $(seq 1 "$commits"); do
	echo "line $i" >>repo/notes.txt
	git -C repo add -A
	git -C repo commit -qm "commit $i"
done
git -C repo gc -q
git -C repo fsck --strict --no-progress
git -C repo worktree add -q ../tree HEAD~5
equal $((commits - 5)) "$(wc -l <tree/notes.txt)" "the worktree"
equal "" "$(git -C repo status --porcelain)" "git status"
git -C repo push -q "$WORK/origin" HEAD:pushed

step "sqlite3: every journal mode with 3 writers"
modes=$(on_servers && echo "delete wal" || echo delete truncate persist memory wal off)
for mode in $modes; do
	rm -f t.db* "$WORK"/mode.*
	# Only WAL stays with the file; all others each connection has to ask for.
	journal="pragma journal_mode=$mode"
	equal "$mode" "$(sqlite3 t.db "$journal; create table t(a)")" "the first one's mode"
	pids=()
	for w in 1 2 3; do
		for i in $(seq 1 "$writes"); do
			sqlite3 -cmd ".timeout 60000" -cmd "$journal" t.db \
				"insert into t values('$w $i')"
		done >"$WORK/mode.$w" &
		pids+=($!)
	done
	for p in "${pids[@]}"; do wait "$p" || fail "$mode: a writer failed"; done
	equal "$((3 * writes)) $mode" "$(sort "$WORK"/mode.* | uniq -c | xargs)" "the writers' modes"
	equal "$((3 * writes)) ok" "$(sqlite3 -separator ' ' t.db 'select count(*) from t; pragma integrity_check' | xargs)" "$mode"
done

step "rsync: --inplace, --link-dest, --delete"
rsync -a "$SRC/" mirror/
echo changed >>mirror/main_wire.c
rm mirror/main_ctl.c
echo extra >mirror/extra
before=$(stat -c %i mirror/main_wire.c)
rsync -a --inplace --delete "$SRC/" mirror/
equal "$before" "$(stat -c %i mirror/main_wire.c)" "the file that --inplace writes"
diff -r "$SRC" mirror
rsync -a --link-dest="$R/mirror" "$SRC/" backup/
equal "$(stat -c %i mirror/main_wire.c)" "$(stat -c %i backup/main_wire.c)" "--link-dest links"
equal 2 "$(stat -c %h backup/main_wire.c)" "links"

step "tar with sparse files, zip"
# Here holes have no end of their own, so tar makes it of a file of the disk;
# what it extracts it leaves out by seeking and sets the size in the end.
truncate -s 5M "$WORK/sparse"
printf data | dd of="$WORK/sparse" bs=1 seek=3000000 conv=notrunc status=none
tar -C "$WORK" -cSf s.tar sparse
[ "$(stat -c %s s.tar)" -lt 1000000 ] || fail "no holes on the disk below $WORK"
mkdir out && tar -xf s.tar -C out
cmp "$WORK/sparse" out/sparse
rm "$WORK/sparse"
tar -C out -cSf - sparse | tar -C "$WORK" -xSf -
cmp out/sparse "$WORK/sparse"
(cd mirror && zip -qr ../m.zip .)
mkdir unzipped && (cd unzipped && unzip -q ../m.zip)
diff -r mirror unzipped

step "vim saves: the old text is in .versions"
printf 'one\n' >text
vim.tiny -es -u NONE -c '%s/one/two/' -c wq text </dev/null
equal two "$(cat text)" "vim's save"
grep -qx one .versions/text/* || fail "the old text is not in .versions"

step "fio verifies what it wrote: sync, mmap, libaio and io_uring direct and deep"
fio_all() { # fio_all HOW...: the same files each time
	local deep=(--direct=1 --iodepth=16)
	fio --bs=4k --size=4m --verify=crc32c --verify_fatal=1 "$@" --output="$WORK/fio" \
		--name=vsync --ioengine=sync --name=vmmap --ioengine=mmap \
		--name=vlibaio --ioengine=libaio "${deep[@]}" \
		--name=vuring --ioengine=io_uring "${deep[@]}" ||
		fail "fio: $(tail -n 5 "$WORK/fio")"
}
fio_all --rw=randwrite --do_verify=1 --end_fsync=1
equal 4 "$(grep -c 'write: .*(4096KiB/' "$WORK/fio")" "engines that have written all"
equal 4 "$(grep -c 'read: .*(4096KiB/' "$WORK/fio")" "engines that have verified all"

step "dbench"
dbench -D . -t 3 3 -c /usr/share/dbench/client.txt >"$WORK/dbench" 2>&1 || fail "$(tail "$WORK/dbench")"

# Six at a time, or the slow ones do nothing but wait. All of the class but
#   bind-mount binderfs procfs   which work in other filesystems,
#   dup eventfd                  whose descriptors are of no file,
#   io                           which syncs all disks of the machine,
#   fiemap verity                ioctls that no FUSE filesystem gets to see,
#   fanotify                     which watches every mount of the machine: those of
#                                tests beside it cannot be unmounted meanwhile.
step "stress-ng: its class filesystem"
left_out=" bind-mount binderfs procfs dup eventfd io fiemap verity fanotify "
read -ra stressors < <(stress-ng --class 'filesystem?' | sed 's/.*stressors: //')
todo=()
for s in "${stressors[@]}"; do
	[[ $left_out = *" $s "* ]] || todo+=("--$s" 1)
done
[ "${#todo[@]}" -ge 60 ] || fail "few stressors: ${todo[*]}"
mkdir stress
while [ "${#todo[@]}" -gt 0 ]; do
	stress-ng --temp-path stress --verify --hdd-bytes 4m --fallocate-bytes 4m \
		--iomix-bytes 4m --sync-file-bytes 4m --copy-file-bytes 128m -t 1 \
		"${todo[@]:0:12}" >"$WORK/stress" 2>&1 || fail "$(tail "$WORK/stress")"
	[ "$(id -u)" != 0 ] || ! grep -i skip "$WORK/stress" || fail "a stressor has left itself out"
	todo=("${todo[@]:12}")
done

step "after a remount all is as it was written"
cd "$WORK"
fs_stop one
fs_start two "$WORK/store" "$M"
cd "$R"
fio_all --rw=read
equal 4 "$(grep -c 'read: .*(4096KiB/' "$WORK/fio")" "files that fio has verified"
git -C repo fsck --strict --no-progress
equal ok "$(sqlite3 t.db 'pragma integrity_check')" "sqlite3"
cd "$WORK"
fs_stop two
out=$("$CTL" -s "$WORK/store" check) || fail "$out"
