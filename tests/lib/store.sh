# shellcheck shell=bash
# Stores for the integration tests: embedded ones, or MariaDB and S3 where the
# test runs with FSP_BACKEND=servers. Either is a directory with a
# filespacefs.conf, so that programs are called alike. What a test does to rows
# and objects beside the programs goes through the functions here. Sourced by
# lib.sh.

FSP_BACKEND=${FSP_BACKEND:-embedded}

on_servers() { [ "$FSP_BACKEND" = servers ]; }

# New stores get one SECTION.KEY=VALUE with each -o.
store_init() { # store_init DIR [-o ...]
	local dir=$1
	shift
	if on_servers; then
		store_init_servers "$dir" "$@"
	else
		"$CTL" -s "$dir" init "$@" >/dev/null
	fi
}

# A database and a bucket of its own on the servers of the run; they go with
# the test.
store_init_servers() { # store_init_servers DIR [-o ...]
	local dir=$1 name n
	: "${FSP_TEST_MYSQL_SOCKET:?}" "${FSP_TEST_S3_ENDPOINT:?}"
	shift
	n=$(wc -l 2>/dev/null <"$WORK/server-stores" || echo 0)
	name=${TEST_NAME//[^a-zA-Z0-9]/-}-$$-$n
	name=${name,,}
	echo "t_${name//-/_} $name" >>"$WORK/server-stores"
	mkdir -p "$dir"
	(umask 077 && store_config "t_${name//-/_}" "$name" "$@" >"$dir/filespacefs.conf")
	fsp_mariadb -e "CREATE DATABASE t_${name//-/_}"
	s3_make_bucket "$name"
	"$CTL" -s "$dir" schema upgrade >"$WORK/schema.out" 2>&1 ||
		fail "schema upgrade: $(cat "$WORK/schema.out")"
}

store_config() { # store_config DATABASE BUCKET [-o SECTION.KEY=VALUE]...
	local pair
	cat <<CONF
[general]
database = mysql
adapter = s3

[mysql]
socket = $FSP_TEST_MYSQL_SOCKET
user = $FSP_TEST_MYSQL_USER
password = $FSP_TEST_MYSQL_PASSWORD
database = $1

[s3]
endpoint = $FSP_TEST_S3_ENDPOINT
region = $FSP_TEST_S3_REGION
path_style = yes
bucketname = $2
access_key = $FSP_TEST_S3_ACCESS_KEY
secret_key = $FSP_TEST_S3_SECRET_KEY

[encryption]
key = $(openssl rand -hex 32)
iv = $(openssl rand -hex 16)
CONF
	shift 2
	while [ "$#" -gt 1 ]; do
		pair=${2#*.}
		printf '\n[%s]\n%s = %s\n' "${2%%.*}" "${pair%%=*}" "${pair#*=}"
		shift 2
	done
}

stores_drop() { # at the end of a test: memory is what the gateway keeps them in
	local db bucket
	[ -s "$WORK/server-stores" ] || return 0
	while read -r db bucket; do
		fsp_mariadb -e "DROP DATABASE IF EXISTS $db" </dev/null
		rgw_admin "$FSP_TEST_S3_DIR" bucket rm --bucket="$bucket" \
			--purge-objects --bypass-gc </dev/null
	done <"$WORK/server-stores" >>"$WORK/drop.out" 2>&1
}

fsp_mariadb() {
	mariadb --no-defaults --socket="$FSP_TEST_MYSQL_SOCKET" \
		--user="$FSP_TEST_MYSQL_USER" --password="$FSP_TEST_MYSQL_PASSWORD" \
		--batch --raw --skip-column-names --default-character-set=utf8mb4 \
		--init-command="SET sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')" \
		"$@"
}

conf_value() { # conf_value STORE SECTION KEY [DEFAULT]
	local value
	value=$(sed -n "/^\[$2\]/,/^\[/{s/^$3[[:space:]]*=[[:space:]]*//p}" \
		"$1/filespacefs.conf" | head -n 1)
	printf '%s\n' "${value:-${4:-}}"
}

conf_path() { # conf_path STORE SECTION DEFAULT: of a setting named path
	local path
	path=$(conf_value "$1" "$2" path "$3")
	[[ $path = /* ]] || path=$1/$path
	printf '%s\n' "$path"
}

has_mysql() { [ "$(conf_value "$1" general database)" = mysql ]; }
has_s3() { [ "$(conf_value "$1" general adapter)" = s3 ]; }

# Rows, tabs between the columns. || joins strings in both databases.
sql() { # sql STORE STATEMENT
	if has_mysql "$1"; then
		fsp_mariadb "$(conf_value "$1" mysql database)" -e "$2"
	else
		sqlite3 -batch -bail -separator $'\t' "$(conf_path "$1" sqlite meta.db)" \
			".timeout 10000" "$2"
	fi
}

sql_bytes() { # sql_bytes STORE HEX: a literal of text that may hold any byte
	if has_mysql "$1"; then
		printf "X'%s'" "$2"
	else
		printf "CAST(X'%s' AS TEXT)" "$2"
	fi
}

rows() { sql "$1" 'SELECT count(*) FROM filespace_file'; }
hash_of() { # hash_of STORE FILE-KEY: of the live row
	sql "$1" "SELECT data_hash FROM filespace_file WHERE file_key = '$2' AND deleted_at = 0"
}

# With mount.commit = back: how many files wait.
queued() { # queued STORE
	"$CTL" -s "$1" status --json |
		python3 -c 'import json,sys; print(len(json.load(sys.stdin)["queued"]))'
}
none_queued() { [ "$(queued "$1")" = 0 ]; }
all_stored() { # all_stored STORE
	wait_for 60 none_queued "$1" || fail "$(queued "$1") files are still queued"
}

# What precedes the hash in a key or a path.
object_base() { # object_base STORE
	if has_s3 "$1"; then
		printf '%s/%s' "$(conf_value "$1" s3 bucketname)" \
			"$(conf_value "$1" s3 prefix)"
	else
		printf '%s/' "$(conf_path "$1" file objects)"
	fi
}

# The hashes that have an object, "HASH SIZE" a line.
object_list() { # object_list STORE
	local prefix
	if has_s3 "$1"; then
		prefix=$(conf_value "$1" s3 prefix)
		s3_list "$(conf_value "$1" s3 bucketname)" "$prefix" |
			sed "s|^$prefix||"
	else
		find "$(object_base "$1")" -maxdepth 1 -type f -printf '%f %s\n'
	fi
}
object_keys() { object_list "$1" | cut -d ' ' -f 1; }
object_count() { object_list "$1" | wc -l; }
object_size() { # object_size STORE HASH
	object_list "$1" | awk -v hash="$2" '$1 == hash { print $2 }'
}

object_get() { # object_get STORE HASH FILE
	if has_s3 "$1"; then
		s3 GET "$(object_base "$1")$2" -o "$3"
	else
		cp "$(object_base "$1")$2" "$3"
	fi
}

object_put() { # object_put STORE HASH FILE: whatever was there
	if has_s3 "$1"; then
		s3 PUT "$(object_base "$1")$2" -T "$3" >/dev/null
	else
		cp "$3" "$(object_base "$1")$2"
	fi
}

object_remove() { # object_remove STORE HASH
	if has_s3 "$1"; then
		s3 DELETE "$(object_base "$1")$2"
	else
		rm "$(object_base "$1")$2"
	fi
}

# Changes an object by a command, which finds it in the file that it is given.
object_edit() { # object_edit STORE HASH COMMAND...
	local store=$1 hash=$2
	shift 2
	object_get "$store" "$hash" "$WORK/object-edit"
	"$@" "$WORK/object-edit"
	object_put "$store" "$hash" "$WORK/object-edit"
	rm "$WORK/object-edit"
}

flip_byte() { # flip_byte FILE: the one in the middle
	local at byte
	at=$(($(stat -c %s "$1") / 2))
	byte=$(od -An -tu1 -j "$at" -N 1 "$1")
	printf '%b' "\\x$(printf %x $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}
object_damage() { object_edit "$1" "$2" flip_byte; }

# Decodes the object of a hash with stock tools, as DESIGN.md says.
decode_object() { # decode_object STORE HASH
	object_get "$1" "$2" "$WORK/object-raw"
	openssl enc -d -aes-256-cbc -K "$(conf_value "$1" encryption key)" \
		-iv "$(conf_value "$1" encryption iv)" -in "$WORK/object-raw" | bunzip2
}

# The database's invariants, and an object for each row that is not empty,
# unless that is its content.
check_store() { # check_store STORE
	"$CTL" -s "$1" check >"$WORK/check.out" 2>&1 ||
		fail "check of $1: $(head -n 20 "$WORK/check.out")"
	sql "$1" 'SELECT DISTINCT data_hash FROM filespace_file' | sort >"$WORK/check.rows"
	object_list "$1" | awk '$2 > 0 || $1 ~ /^(e3b0c44298fc1c14|da39a3ee5e6b4b0d)/ {
		print $1 }' | sort >"$WORK/check.objects"
	comm -23 "$WORK/check.rows" "$WORK/check.objects" >"$WORK/check.missing"
	[ ! -s "$WORK/check.missing" ] ||
		fail "rows without an object: $(head -n 5 "$WORK/check.missing" | xargs)"
}
