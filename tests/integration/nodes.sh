#!/usr/bin/env bash
# Many nodes looked up: no descriptor for them, and the memory comes back. NODES says
# how many; over servers fewer: the mount's own memory is the same, and the rows come
# from elsewhere.
# TIMEOUT 500
# TAKES 25 20
# BACKENDS embedded servers
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need_root
on_servers || need sqlite3 sqlite3
M=$WORK/m
N=${NODES:-$(on_servers && echo 50000 || echo 300000)}

step "$N files, as PHP would have written them"
store_init "$WORK/store"
if on_servers; then
	sql "$WORK/store" "
	INSERT INTO filespace_file (file_key, space_key, data_hash, created_at, deleted_at, size_original, size_storage)
	SELECT CONCAT('file', seq, '.jpg'), CONCAT('acct.t', seq DIV 10000, '.r', seq DIV 500 % 20),
		LPAD(LOWER(HEX(seq)), 40, '0'), 1400000000 + seq, 0, 1000 + seq, 1000 + seq
	FROM seq_0_to_$((N - 1))"
else
	sqlite3 "$WORK/store/meta.db" "
	PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
	WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $N)
	INSERT INTO filespace_file (file_key, space_key, data_hash, created_at, deleted_at, size_original, size_storage)
	SELECT 'file' || i || '.jpg', 'acct.t' || (i / 10000) || '.r' || (i / 500 % 20),
		printf('%040x', i), 1400000000 + i, 0, 1000 + i, 1000 + i FROM n;
	PRAGMA journal_mode = WAL;" >/dev/null
fi
fs_start one "$WORK/store" "$M" -o mount.entry_timeout=1h,mount.attr_timeout=1h
pid=${FS_PID[one]}
rss() { awk '/^VmRSS/ { print $2 }' "/proc/$pid/status"; }
fds() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }
before=$(rss)
fds_before=$(fds)

step "stat of each"
start=$SECONDS
equal "$N" "$(find "$M" -type f -size +500c -printf x | wc -c)" "files"
full=$(rss)
note "$((SECONDS - start)) s; $before kB, with all nodes $full kB, $(((full - before) * 1024 / N)) bytes a node"
fds_full=$(fds)
[ "$fds_full" -lt $((fds_before + 50)) ] || fail "$fds_full descriptors, $fds_before before"
[ $(((full - before) * 1024 / N)) -lt 1000 ] || fail "more than 1,000 bytes a node"
# Nor fewer than a node and its name need: all of them are there at once.
[ $(((full - before) * 1024 / N)) -gt 150 ] || fail "less than 150 bytes a node"

step "the kernel forgets"
small() {
	echo 2 >/proc/sys/vm/drop_caches
	[ "$(rss)" -lt $((before + (full - before) / 4)) ]
}
wait_for 60 small || fail "$(rss) kB after forget"
note "$(rss) kB after forget"
fs_stop one
