#!/usr/bin/env bash
# The database's password from a file of its own and from an option file, as a
# mount's configuration names them: used, refused where others may read them, and
# never told.
# TIMEOUT 60
# SERVERS mariadb rgw
. "$(dirname "$0")/../lib/lib.sh"
need_fuse
export FSP_BACKEND=servers
S=$WORK/store
M=$WORK/mnt
store_init "$S"
password=$(conf_value "$S" mysql password)
without() { # without NAME KEY... -- LINE...: a configuration without those keys
	local dir=$WORK/$1 keys=()
	shift
	while [ "$1" != -- ]; do keys+=(-e "/^$1 =/d") && shift; done
	mkdir "$dir"
	(umask 077 && sed "${keys[@]}" -e "s|^\[mysql\]|&\n$(printf '%s\\n' "${@:2}")|" \
		"$S/filespacefs.conf" >"$dir/filespacefs.conf")
}
works() { # works NAME: as a mount
	fs_start "$1" "$WORK/$1" "$M"
	mkdir -p "$M/a/t/r"
	echo "$1" >"$M/a/t/r/$1"
	equal "$1" "$(cat "$M/a/t/r/$1")" "the file"
	fs_stop "$1"
	untold "$WORK/$1.log"
}
untold() { ! grep -qF "$password" "$1" || fail "the password is in $1"; }
refuses() { # refuses NAME TEXT: mount and tool alike, in a line or two
	must_say "$2" "$FILESPACEFS" "$WORK/$1" "$M"
	[ "$(wc -l <"$WORK/must_fail.log")" -le 2 ] || fail "more than a line: $(cat "$WORK/must_fail.log")"
	untold "$WORK/must_fail.log"
	must_say "$2" "$CTL" -s "$WORK/$1" stats
	untold "$WORK/must_fail.log"
}

step "a password file: its first line, before the one in the configuration"
without file -- "password_file = $WORK/pw"
sed -i 's/^password = .*/password = wrong/' "$WORK/file/filespacefs.conf"
printf '%s\r\nanother line\n' "$password" >"$WORK/pw"
chmod 600 "$WORK/pw"
works file

step "refused: open to others, missing, empty, wrong"
for mode in 640 604 660; do
	chmod "$mode" "$WORK/pw"
	refuses file "run: chmod 0600 $WORK/pw"
done
rm "$WORK/pw"
refuses file "$WORK/pw: No such file"
(umask 077 && echo wrong >"$WORK/pw")
refuses file "Access denied"
: >"$WORK/pw"
refuses file "$WORK/pw: its first line, the password, is empty"

step "an option file: its groups, the last one first"
(umask 077 && cat >"$WORK/cnf" <<CNF
[client]
user = nobody-we-know
password = wrong
[filespacefs]
user = $FSP_TEST_MYSQL_USER
password = "$password"
[theirs]
user = somebody-else
CNF
)
without options user password -- "option_file = $WORK/cnf"
works options
without theirs user password -- "option_file = $WORK/cnf" "option_group = theirs"
refuses theirs "somebody-else"
without said password -- "option_file = $WORK/cnf" "option_group = theirs"
# The user of the configuration, with the password of [client].
refuses said "Access denied for user '$FSP_TEST_MYSQL_USER'"

step "and refused likewise"
chmod 644 "$WORK/cnf"
refuses options "run: chmod 0600 $WORK/cnf"
rm "$WORK/cnf"
refuses options "$WORK/cnf: No such file"
