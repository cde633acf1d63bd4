/*
 * The table of all settings. Parser, help, sample file and manual are made
 * from it, so a setting is described here and nowhere else.
 */
#include <ctype.h>
#include <string.h>

#include "config_impl.h"
#include "fsp_buf.h"

#define MS_SECOND 1000LL
#define MS_MINUTE (60 * MS_SECOND)
#define MS_HOUR (60 * MS_MINUTE)
#define MS_DAY (24 * MS_HOUR)

#define STRING(s, k, d, t) { s, k, FSP_PARAM_STRING, d, NULL, 0, 0, "", false, t }
#define SECRET(s, k, t) { s, k, FSP_PARAM_STRING, NULL, NULL, 0, 0, "", true, t }
#define NAME(s, k, d, t) { s, k, FSP_PARAM_NAME, d, NULL, 0, 0, "", false, t }
#define DIRPATH(s, k, d, t) { s, k, FSP_PARAM_PATH, d, NULL, 0, 0, "", false, t }
#define CHOICE(s, k, d, a, t) { s, k, FSP_PARAM_CHOICE, d, a, 0, 0, "", false, t }
#define BOOLEAN(s, k, d, t) { s, k, FSP_PARAM_BOOL, d, NULL, 0, 0, "", false, t }
#define INTEGER(s, k, d, lo, hi, u, t)                                         \
	{ s, k, FSP_PARAM_INT, d, NULL, lo, hi, u, false, t }
#define BYTES(s, k, d, lo, hi, t)                                              \
	{ s, k, FSP_PARAM_SIZE, d, NULL, lo, hi, "bytes", false, t }
#define DURATION(s, k, d, lo, hi, t)                                           \
	{ s, k, FSP_PARAM_DURATION, d, NULL, lo, hi, "seconds", false, t }
#define MODE(s, k, d, hi, t) { s, k, FSP_PARAM_MODE, d, NULL, 0, hi, "", false, t }
#define HEXKEY(s, k, n, t) { s, k, FSP_PARAM_HEX, NULL, NULL, n, n, "", true, t }

const struct fsp_param fsp_params[] = {
	CHOICE("general", "adapter", "file", "file|s3",
	       "Where the objects are, named as in the PHP library's "
	       "objectstorage.conf: as files in a directory, or in a bucket of "
	       "S3 or of a server that speaks its protocol."),
	CHOICE("general", "database", "sqlite", "sqlite|mysql",
	       "Where the names, rows and versions are: in a file of SQLite, or "
	       "on a MariaDB server, where PHP has its tables and any number "
	       "of hosts may mount the store."),
	CHOICE("general", "hash", "sha256", "sha256|sha1",
	       "The digest that names new content. Content that is stored "
	       "already keeps its name. A SHA-1 name can be forged, so that "
	       "one file would show another's content; choose it only for a "
	       "program that expects 40 digits."),

	CHOICE("general", "compression", "bzip2", "bzip2|zstd|auto|none",
	       "How new content is compressed. A mount reads all of them at "
	       "once; the PHP library reads bzip2 only. zstd is several times "
	       "faster. auto looks at samples of each content, and stores what "
	       "would hardly become smaller, such as photographs, videos and "
	       "archives, as it is, and all else with bzip2. none stores "
	       "everything as it is. Encryption does not depend on this."),
	INTEGER("general", "workers", "0", 0, 256, "threads",
	        "How many threads compress and decompress, for all files "
	        "together. Each takes some 10 MB while it is at work. 0 means "
	        "as many as there are processors."),
	INTEGER("general", "down_after", "3", 1, 1000, "calls",
	        "How many calls to a server in a row have to fail with no "
	        "connection or no answer in time until it counts as down, "
	        "where one that is made to find out has not said so before. "
	        "Calls fail at once then; it is asked every two seconds at "
	        "the most whether it is back."),

	DURATION("general", "seen_time", "60s", 0, MS_HOUR,
	         "Content that is stored already is not stored again, after a "
	         "look whether its object is there, in the right size. What a "
	         "mount has looked at or written itself counts as there for "
	         "so long. 0: it looks each time."),

	DIRPATH("file", "path", "objects",
	        "The directory of the objects, as the PHP library's file "
	        "adapter writes them."),

	DIRPATH("sqlite", "path", "meta.db",
	        "The database file. It must be on a local disk."),
	DURATION("sqlite", "busy_timeout", "10s", 10, 10 * MS_MINUTE,
	         "How long a statement waits for another process that is "
	         "writing to the database."),

	STRING("mysql", "host", NULL,
	       "The servers that can be written to, in order of preference: "
	       "names or addresses, separated by commas, each with :PORT where "
	       "it needs one; an absolute path is a unix socket. The first "
	       "that works is used. localhost without a port means the socket. "
	       "That is the default, too."),
	STRING("mysql", "read_hosts", NULL,
	       "Servers that replicate from those. What is in .versions and the "
	       "numbers of statfs are read there, once they have what this "
	       "mount has written; the last that others have written may be "
	       "missing. All else is read where it is written. They must follow "
	       "by GTID, and the others need a binary log; without, they are "
	       "not read. filespacectl never asks them."),
	INTEGER("mysql", "port", "0", 0, 65535, "",
	        "The port of hosts that are given without one. 0 means 3306."),
	DIRPATH("mysql", "socket", NULL,
	        "The unix socket of localhost. Not set, it is the client "
	        "library's."),
	STRING("mysql", "database", NULL,
	       "The name of the database."),
	SECRET("mysql", "user",
	       "The user. Not set, it comes from mysql.option_file, or is the "
	       "one who mounts."),
	SECRET("mysql", "password",
	       "The user's password. Better in mysql.password_file or "
	       "mysql.option_file, if the configuration is not as well kept."),
	DIRPATH("mysql", "password_file", NULL,
	        "A file whose first line is the password, and which nobody but "
	        "its owner may read."),
	DIRPATH("mysql", "option_file", NULL,
	        "An option file of MariaDB's clients, such as ~/.my.cnf. host, "
	        "port, socket, user, password, database, ssl-ca, ssl-cert and "
	        "ssl-key that are not set here are taken from its groups "
	        "client, client-server, client-mariadb and "
	        "mysql.option_group. A file with a password may be readable by "
	        "nobody but its owner."),
	STRING("mysql", "option_group", "filespacefs",
	       "The group of mysql.option_file that is this program's."),
	STRING("mysql", "charset", "utf8mb4",
	       "The character set of PHP's connections. It tells which bytes "
	       "PHP meant on tables that were not upgraded, and to `schema "
	       "upgrade`. Applications without a charset in their connection "
	       "string mostly have latin1."),
	CHOICE("mysql", "tls", "verify", "verify|require|off",
	       "Whether the connection is encrypted. verify: yes, and the "
	       "server's certificate must come from a known authority and name "
	       "the host as it is named here; a unix socket needs none, and "
	       "the addresses of this machine's loopback only where "
	       "mysql.tls_ca is set. require: yes, whoever the server may be; "
	       "somebody on the way can pretend to be it. off: anybody on the "
	       "way can read and change what is sent."),
	DIRPATH("mysql", "tls_ca", NULL,
	        "The certificates of the authorities that may vouch for the "
	        "server. Not set, they are the system's."),
	DIRPATH("mysql", "tls_cert", NULL,
	        "This machine's certificate, where the server asks for one."),
	DIRPATH("mysql", "tls_key", NULL,
	        "The private key of that certificate."),
	DURATION("mysql", "connect_timeout", "5s", 100, 10 * MS_MINUTE,
	         "How long a server may take to accept a connection. Then the "
	         "next one is tried."),
	DURATION("mysql", "timeout", "20s", 1000, MS_HOUR,
	         "How long a statement may go without progress. What this mount "
	         "holds on the server is given up as long after it has gone."),
	INTEGER("mysql", "connections", "16", 1, 1000, "",
	        "How many connections a mount has at the most."),

	STRING("s3", "bucketname", NULL,
	       "The bucket. It must exist. Reading needs the right to get its "
	       "objects, and to list it, since otherwise what is missing "
	       "cannot be told from what is forbidden; writing needs those to "
	       "put and to delete objects and to abort uploads."),
	STRING("s3", "prefix", NULL,
	       "What precedes the hash in an object's key."),
	STRING("s3", "endpoint", NULL,
	       "The URL of the server, https:// unless it says http://. Not "
	       "set, it is that of AWS in the region."),
	STRING("s3", "region", "us-east-1",
	       "The region of the bucket. Other servers than AWS mostly accept "
	       "any."),
	CHOICE("s3", "path_style", "auto", "auto|yes|no",
	       "Whether the bucket stands in the path of the URL and not in the "
	       "host's name. auto means yes where the endpoint is an address or "
	       "a name without a dot, or the bucket's name cannot be part of a "
	       "host's."),
	DIRPATH("s3", "ca_file", NULL,
	        "The certificates of the authorities that may vouch for the "
	        "server. Not set, they are the system's."),
	BOOLEAN("s3", "tls_verify", "yes",
	        "Whether the server's certificate is checked. Without that, "
	        "anybody on the way can read and change what is sent."),
	SECRET("s3", "access_key",
	       "The access key. Without it the keys come from the first of "
	       "these that is there: s3.credentials_file; the environment, "
	       "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
	       "AWS_SESSION_TOKEN; AWS_SHARED_CREDENTIALS_FILE or "
	       "~/.aws/credentials; the container's endpoint, "
	       "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or "
	       "AWS_CONTAINER_CREDENTIALS_FULL_URI; the role of the machine, "
	       "from its metadata service, unless AWS_EC2_METADATA_DISABLED "
	       "is true. Keys that expire are renewed five minutes before."),
	SECRET("s3", "secret_key", "The secret key."),
	SECRET("s3", "session_token",
	       "The token that belongs to temporary keys."),
	DIRPATH("s3", "credentials_file", NULL,
	        "A file with keys in the form of ~/.aws/credentials, which "
	        "nobody but its owner may read. It is read again when the "
	        "server refuses the keys because they have expired."),
	STRING("s3", "profile", NULL,
	       "The section of that file, or of ~/.aws/credentials. Not set, it "
	       "is AWS_PROFILE from the environment, or default."),
	STRING("s3", "imds_endpoint", NULL,
	       "The URL of the machine's metadata service. Not set, it is "
	       "AWS_EC2_METADATA_SERVICE_ENDPOINT from the environment, or the "
	       "well-known address."),
	STRING("s3", "storage_class", NULL,
	       "The storage class of new objects, such as STANDARD_IA. Not set, "
	       "it is the bucket's."),
	CHOICE("s3", "sse", "none", "none|AES256|aws:kms",
	       "Encryption by the server, besides our own."),
	STRING("s3", "sse_kms_key", NULL,
	       "The id of the key for s3.sse = aws:kms. Not set, it is the "
	       "account's own."),
	BYTES("s3", "part_size", "16M", 5 * 1024 * 1024LL,
	      1024 * 1024 * 1024LL,
	      "How large the parts are in which a large object is sent. An "
	      "object has at most 10,000 of them."),
	BYTES("s3", "multipart_threshold", "16M", 1, 1024 * 1024 * 1024LL,
	      "How large an object may be that is sent as a whole. What a "
	      "larger one leaves behind when the machine fails in the middle "
	      "should be removed by a rule of the bucket for incomplete "
	      "uploads."),
	INTEGER("s3", "parallel_parts", "4", 1, 64, "parts",
	        "How many parts are sent at once, of all files together. Memory "
	        "for writing is at most this number three times the larger of "
	        "part_size and multipart_threshold, and a megabyte for each "
	        "file."),
	INTEGER("s3", "connections", "16", 1, 1000, "connections",
	        "How many connections there are to the server at the most."),
	INTEGER("s3", "retries", "5", 0, 100, "",
	        "How often a request is repeated when the server is busy or "
	        "fails, or the connection does."),
	DURATION("s3", "timeout", "20s", MS_SECOND, MS_HOUR,
	         "How long a request may go on without any byte being sent or "
	         "received."),
	DURATION("s3", "connect_timeout", "5s", 100, MS_HOUR,
	         "How long connecting may take."),

	CHOICE("encryption", "method", "aes-256-cbc", "aes-256-cbc|none",
	       "How new objects are encrypted. With none they are only "
	       "compressed, if that; objects that were encrypted before are "
	       "still read with key and iv."),
	HEXKEY("encryption", "key", 32,
	       "The key of all objects, in hex. Whoever has it can read every "
	       "file; without it the content is lost for good. Keep a copy in "
	       "a safe place, and never change it in a store that is in use."),
	HEXKEY("encryption", "iv", 16,
	       "The initialisation vector that goes with the key, in hex. It is "
	       "needed to read what the PHP library wrote, also with "
	       "encryption.iv_mode = object. Never change it in a store that "
	       "is in use."),
	CHOICE("encryption", "iv_mode", "fixed", "fixed|object",
	       "The initialisation vector of new objects. fixed is the PHP "
	       "library's format. object gives each object one of its own, "
	       "which hides that two objects begin alike, and PHP cannot read "
	       "it; with another general.compression than bzip2 it costs "
	       "nothing and hides much. A mount reads both."),

	INTEGER("bzip2", "level", "9", 1, 9, "",
	        "How hard new content is compressed with bzip2: the block size "
	        "in units of 100,000 bytes."),

	INTEGER("zstd", "level", "1", 1, 19, "",
	        "How hard new content is compressed with general.compression = "
	        "zstd. Higher levels take more time for writing and none for "
	        "reading: of text, 3 makes a fourteenth less in nearly twice "
	        "the time."),

	CHOICE("mount", "commit", "through", "through|back",
	       "When close() returns. through: when the content is in the "
	       "object store and its row is committed. back: when it is safe "
	       "on this machine's disk, in the spool; storing goes on behind, "
	       "also when the mount was killed and is mounted again. Other "
	       "hosts see the content when it is stored; fsync and giving up "
	       "a lock wait for that. What was stored elsewhere since close() "
	       "is not replaced: the older content goes into the history."),
	INTEGER("mount", "commit_parallel", "8", 1, 256, "files",
	        "How many files are stored at once behind close() with "
	        "mount.commit = back."),
	BOOLEAN("mount", "read_only", "no",
	        "Nothing can be written through the mount. The same as "
	        "-o ro."),
	DURATION("mount", "entry_timeout", "1s", 0, MS_DAY,
	         "How long the kernel may answer from its cache that a name "
	         "exists. What others change shows after that time."),
	DURATION("mount", "attr_timeout", "1s", 0, MS_DAY,
	         "How long the kernel may answer from its cache what a file's "
	         "size, mode, owner and times are."),
	DURATION("mount", "negative_timeout", "0", 0, MS_DAY,
	         "How long the kernel may answer from its cache that a name "
	         "does not exist."),
	DURATION("mount", "cache_time", "60s", 0, MS_HOUR,
	         "How long the kernel may keep names, attributes and listings "
	         "while the journal of changes says that nobody else has "
	         "touched them, which is read once a second. What the journal "
	         "does not tell (SQL by hand that is committed late) shows "
	         "after twice that time. 0, or 0 in one of the time-outs above: "
	         "only those hold, and every listing is read anew."),
	BOOLEAN("mount", "delegate", "yes",
	     "Directories that this mount makes are its own until another "
	     "mount looks into them: what is made in them meanwhile becomes "
	     "rows together with the first content of a file, a tenth of a "
	     "second after the last change at the latest, and not one by one. "
	     "What is closed is in the rows in any case."),
	CHOICE("mount", "allow_other", "auto", "auto|yes|no",
	       "Whether other users may use the mount, as the files' modes "
	       "allow. auto means yes when root mounts. An ordinary user needs "
	       "user_allow_other in /etc/fuse.conf for yes."),
	INTEGER("mount", "force_uid", "-1", -1, 4294967294, "",
	        "Shows every file as this user's, for a server on which the "
	        "applications have another id; chown is refused. -1 shows the "
	        "owners that are stored. The same as -o uid=N."),
	INTEGER("mount", "force_gid", "-1", -1, 4294967294, "",
	        "Shows every file as this group's, likewise. The same as "
	        "-o gid=N."),
	MODE("mount", "umask", "0", 0777,
	     "Permissions that are shown to nobody, whatever is stored. The "
	     "same as -o umask=M."),
	CHOICE("mount", "squash", "none", "none|root|all",
	       "Whose new files are stored as owned by mount.anon_uid and "
	       "mount.anon_gid: nobody's, root's, or everybody's. Permissions "
	       "are checked by this machine's kernel with the ids of the "
	       "caller all the same. The same as -o squash=WORD."),
	INTEGER("mount", "anon_uid", "65534", 0, 4294967294, "",
	        "The owner with mount.squash. The same as -o anonuid=N."),
	INTEGER("mount", "anon_gid", "65534", 0, 4294967294, "",
	        "The group with mount.squash. The same as -o anongid=N."),
	DURATION("mount", "thin_interval", "60s", 0, MS_DAY,
	         "An empty version, and one that the same open file has written "
	         "before, are dropped when their successor is stored within "
	         "this time: an upload that is emptied, written and flushed "
	         "several times is one version. 0 keeps every version."),
	INTEGER("mount", "thin_versions", "10", 0, 1000000, "",
	        "When a name or a file has this many versions younger than "
	        "mount.thin_interval, the newest of them gives way to the next "
	        "one: what a loop makes by saving again and again, in place or "
	        "by renaming over. The last one before a pause of that length "
	        "is always kept. 0 keeps every one."),
	NAME("mount", "versions_dir", ".versions",
	     "The name of the directory in every directory that shows earlier "
	     "versions. It can be reached and is not listed."),
	MODE("mount", "file_mode", "0644", 0777,
	     "The mode of files that PHP wrote and nobody has changed since."),
	MODE("mount", "dir_mode", "0755", 07777,
	     "The mode of directories that exist only because PHP wrote "
	     "something in them."),
	INTEGER("mount", "uid", "-1", -1, 4294967294, "",
	        "The owner of what PHP wrote and nobody has changed since. -1 "
	        "is the user who mounts."),
	INTEGER("mount", "gid", "-1", -1, 4294967294, "",
	        "The group of what PHP wrote and nobody has changed since. -1 "
	        "is the group of the user who mounts."),
	BYTES("mount", "total_size", "0", 0, INT64_MAX,
	      "What df shows as the size of the filesystem. 0 means that of the "
	      "disk below, or a petabyte more than is used in a bucket. It "
	      "limits nothing."),
	INTEGER("mount", "threads", "64", 1, 1000, "threads",
	        "How many calls are served at once."),
	BYTES("mount", "read_ahead", "32M", 0, 1024 * 1024 * 1024LL,
	      "How far a large file that is read from one end to the other is "
	      "fetched ahead, for each reader, at the most. Who goes through "
	      "directories in order finds the next ones listed ahead, and "
	      "their small files fetched, too. 0 fetches what is read and no "
	      "more."),
	DURATION("mount", "op_timeout", "60s", MS_SECOND, MS_DAY,
	         "How long one call may take before it returns an error."),
	DURATION("mount", "lease", "30s", 2 * MS_SECOND, MS_HOUR,
	         "How long the locks of this mount stay its own when it has no "
	         "contact to the database. After that others may have them, "
	         "and what was written under one cannot be committed any more. "
	         "A dead host's locks are free after this time and a half. It "
	         "should be the same on all hosts."),
	DURATION("mount", "offline_time", "10m", 0, MS_DAY,
	         "How long files that were read before can be read on while the "
	         "database is down. They may be others' older versions. "
	         "Opening for writing fails meanwhile (EROFS)."),
	INTEGER("mount", "rename_max_rows", "100000", 1, 100000000, "rows",
	        "How many rows the rename of a directory may touch. A larger one "
	        "fails with EXDEV before anything is changed, and mv copies "
	        "instead."),

	DIRPATH("spool", "path", "spool",
	        "The directory of what is being written. It needs room for the "
	        "files that are open for writing at one time, and must be on a "
	        "local disk that keeps what was fsynced."),

	BYTES("spool", "pending_max", "10G", 1, INT64_MAX,
	      "How much may wait to be stored with mount.commit = back. Above "
	      "that close() waits for room, at most mount.op_timeout, and then "
	      "stores the file itself."),
	BYTES("spool", "free_min", "1G", 0, INT64_MAX,
	      "How much room the spool's disk is to have left: the same with "
	      "less than that."),

	DIRPATH("cache", "path", "cache",
	        "The directory of content that was read, decrypted. Mounts of "
	        "one user can share it, and it survives them. What is in it can "
	        "be removed at any time."),
	BYTES("cache", "size", "1G", 0, INT64_MAX,
	      "How much the cache may hold. What was not used for the longest "
	      "time goes first. 0 keeps content only while it is in use."),
	BYTES("cache", "min_free", "1G", 0, INT64_MAX,
	      "How much of the disk the cache leaves free, a tenth of the disk "
	      "at the most. Where there is less, content that is not in use "
	      "goes."),

	CHOICE("log", "level", "info", "error|warning|info|debug",
	       "The least important messages that are logged."),
	CHOICE("log", "target", "auto", "auto|stderr|syslog",
	       "Where the log goes. auto means stderr in the foreground and "
	       "syslog otherwise."),

	{ 0 }
};

const struct fsp_param *fsp_param_find(const char *section, const char *key)
{
	for (const struct fsp_param *p = fsp_params; p->section; p++)
		if (strcmp(p->section, section) == 0 &&
		    strcmp(p->key, key) == 0)
			return p;
	return NULL;
}

bool fsp_param_section_exists(const char *section)
{
	for (const struct fsp_param *p = fsp_params; p->section; p++)
		if (strcmp(p->section, section) == 0)
			return true;
	return false;
}

char *fsp_param_env(const struct fsp_param *p)
{
	char *name = fsp_strf("FILESPACEFS_%s_%s", p->section, p->key);

	for (char *c = name; c && *c; c++)
		*c = (char)toupper((unsigned char)*c);
	return name;
}
