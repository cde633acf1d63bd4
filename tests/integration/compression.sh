#!/usr/bin/env bash
# The ways of compression: what each stores, stock tools reading it, and one
# mount that reads them all.
# TIMEOUT 300
# TAKES 25
# BACKENDS embedded
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
need openssl openssl
need bunzip2 bzip2
need zstd zstd
M=$WORK/mnt
S=$WORK/store
D=$M/acct/table/rec

format_of() { # format_of STORE NAME
	sql "$1" "SELECT format FROM fsp_object WHERE object_key =
		'$(hash_of "$1" "$2")'"
}

fill_store() { # fill_store DIR
	mkdir -p "$1"
	printf '' >"$1/$how.zero"
	printf 'x%s' "$how" >"$1/$how.byte"
	seq -f "$how and one thing again and again %.0f" 60000 >"$1/$how.text"
	{ printf '%s' "$how" && head -c 700000 /dev/urandom; } >"$1/$how.noise"
	{ cat "$1/$how.noise" && seq -f 'text among noise %.0f' 40000; } >"$1/$how.mixed"
}

# The bytes of an object, and what stock tools make of it.
unpack() { # unpack STORE FORMAT FILE
	case $2 in
	*+aes-256-cbc)
		openssl enc -d -aes-256-cbc -K "$(conf_value "$1" encryption key)" \
			-iv "$(conf_value "$1" encryption iv)" -in "$3"
		;;
	*) cat "$3" ;;
	esac | case $2 in
	bzip2*) bunzip2 ;;
	zstd*) zstd -dcq ;;
	stored*) cat ;;
	*) fail "unknown format $2" ;;
	esac
}

by_stock_tools() { # by_stock_tools STORE NAME
	object_get "$1" "$(hash_of "$1" "$2")" "$WORK/object"
	unpack "$1" "$(format_of "$1" "$2")" "$WORK/object" >"$WORK/plain" ||
		fail "stock tools refuse $2"
	cmp "$D/$2" "$WORK/plain" || fail "stock tools read $2 differently"
}

check_formats() { # check_formats STORE SUFFIX TEXT NOISE MIXED
	local s=$1 suffix=$2 name
	equal "$3$suffix" "$(format_of "$s" "$how.text")" "format of text, $how"
	equal "$4$suffix" "$(format_of "$s" "$how.noise")" "format of noise, $how"
	equal "$5$suffix" "$(format_of "$s" "$how.mixed")" "format of both, $how"
	for name in zero byte text noise mixed; do
		by_stock_tools "$s" "$how.$name"
	done
}

recovers() { # recovers STORE
	! on_servers || return 0        # the script is for embedded stores
	rm -rf "$WORK/recovered"
	"$TOP/scripts/recover" "$1" "$WORK/recovered" >"$WORK/recover.out" 2>&1 ||
		fail "recover: $(cat "$WORK/recover.out")"
	diff -r "$M" "$WORK/recovered" || fail "recovered otherwise"
}

step "each setting on one store"
store_init "$S"
for how in bzip2 zstd auto none; do
	fs_start "fs-$how" "$S" "$M" -o "general.compression=$how"
	fill_store "$D"
	case $how in
	bzip2) check_formats "$S" +aes-256-cbc bzip2 bzip2 bzip2 ;;
	zstd) check_formats "$S" +aes-256-cbc zstd zstd zstd ;;
	auto) check_formats "$S" +aes-256-cbc bzip2 stored bzip2 ;;
	none) check_formats "$S" +aes-256-cbc stored stored stored ;;
	esac
	(cd "$D" && sha256sum "$how".*) >>"$WORK/sums"
	fs_stop "fs-$how"
done

step "a mount with any of them reads them all"
for how in bzip2 none; do
	fs_start "all-$how" "$S" "$M" -o "general.compression=$how" -o general.workers=1
	(cd "$D" && sha256sum --quiet -c "$WORK/sums") || fail "read otherwise"
	equal 1 "$(object_list "$S" | grep -c "$(printf '' | sha256sum | cut -c 1-64)")" \
		"objects of the empty content"
	recovers "$S"
	fs_stop "all-$how"
done
check_store "$S"

step "the record is older than the object"
how=zstd
hash=$(hash_of "$S" zstd.text)
fs_start swap "$S" "$M"
bzip2 <"$D/zstd.text" | openssl enc -aes-256-cbc -K "$(conf_value "$S" encryption key)" \
	-iv "$(conf_value "$S" encryption iv)" >"$WORK/object"
fs_stop swap
object_put "$S" "$hash" "$WORK/object"
fs_start swapped "$S" "$M"
(cd "$D" && grep zstd.text "$WORK/sums" | sha256sum --quiet -c) ||
	fail "an object in another format is not read"
equal bzip2+aes-256-cbc "$(format_of "$S" zstd.text)" "the record afterwards"
fs_stop swapped
check_store "$S"

step "with an iv for each object, and without encryption"
for how in zstd none; do
	for crypt in encryption.iv_mode=object encryption.method=none; do
		T=$WORK/store-$how-${crypt##*=}
		store_init "$T" -o "$crypt" -o "general.compression=$how"
		fs_start "$how-${crypt##*=}" "$T" "$M"
		fill_store "$D"
		name=${how/none/stored}
		case $crypt in
		*none) check_formats "$T" '' "$name" "$name" "$name" ;;
		*) equal "iv+$name+aes-256-cbc" "$(format_of "$T" "$how.text")" "format" ;;
		esac
		(cd "$D" && sha256sum -- *) >"$WORK/own-sums"
		recovers "$T"
		fs_stop "$how-${crypt##*=}"
		fs_start "$how-${crypt##*=}-again" "$T" "$M"
		(cd "$D" && sha256sum --quiet -c "$WORK/own-sums") || fail "read otherwise"
		fs_stop "$how-${crypt##*=}-again"
		check_store "$T"
	done
done
