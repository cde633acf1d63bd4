/* MariaDB: connecting, and what a session is set to. */
#include <arpa/inet.h>
#include <errmsg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_ca.h"
#include "fsp_cleanup.h"
#include "fsp_clock.h"
#include "fsp_ctx.h"
#include "fsp_log.h"
#include "fsp_meta.h"
#include "maria_link.h"

#define STACK_SIZE (256UL << 10)        /* of the library's coroutine */
#define PACKET_MAX (16UL << 20)         /* no honest value is longer */
#define OLDEST 100300                   /* 10.3: idle_transaction_timeout */
#define OLDEST_TEXT "MariaDB 10.3"
#define LOCK_WAIT_S 10                  /* and less than for any answer: who
                                           holds a row is no dead server */

/* As SQLite reads the same texts: || and no escapes; and nothing is cut off. */
#define SQL_MODE "PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES," \
	"NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO"

/* Who was not verified gets no password that it could read. */
#define HASHED_ONLY "mysql_native_password,client_ed25519,auth_socket," \
	"unix_socket"

static bool is_loopback(const struct maria_host *h)
{
	struct in6_addr a6;
	struct in_addr a4;

	if (!h->host)
		return true;
	if (strcmp(h->host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, h->host, &a4) == 1)
		return ntohl(a4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, h->host, &a6) == 1 &&
		IN6_IS_ADDR_LOOPBACK(&a6);
}

static enum fsp_tls tls_for(const struct fsp_maria_options *o,
                            const struct maria_host *h)
{
	if (!h->host)
		return FSP_TLS_OFF;
	if (o->tls == FSP_TLS_VERIFY && is_loopback(h) && !o->tls_ca)
		return FSP_TLS_OFF;
	return o->tls;
}

/* The library checks the name only where it was told of authorities. */
static int set_authorities(MYSQL *my, const char *ca)
{
	const char *file = fsp_ca_file();
	int bad = 0;

	if (ca)
		return mysql_options(my, MYSQL_OPT_SSL_CA, ca);
	if (access(file, R_OK) == 0)
		bad = mysql_options(my, MYSQL_OPT_SSL_CA, file);
	return bad ? bad : mysql_options(my, MYSQL_OPT_SSL_CAPATH,
	                                 fsp_ca_dir());
}

static int set_tls(MYSQL *my, const struct fsp_maria_options *o,
                   enum fsp_tls tls)
{
	const my_bool yes = 1, no = 0;
	bool verify = tls == FSP_TLS_VERIFY;
	int bad;

	bad = mysql_options(my, MYSQL_OPT_SSL_VERIFY_SERVER_CERT,
	                    verify ? &yes : &no);
	if (!bad && !verify)
		bad = mysql_optionsv(my, MARIADB_OPT_RESTRICTED_AUTH,
		                     HASHED_ONLY);
	if (bad || tls == FSP_TLS_OFF)
		return bad;
	bad = mysql_options(my, MYSQL_OPT_SSL_ENFORCE, &yes);
	if (!bad && verify)
		bad = set_authorities(my, o->tls_ca);
	if (!bad && o->tls_cert)
		bad = mysql_options(my, MYSQL_OPT_SSL_CERT, o->tls_cert);
	if (!bad && o->tls_key)
		bad = mysql_options(my, MYSQL_OPT_SSL_KEY, o->tls_key);
	return bad;
}

static int set_options(MYSQL *my, const struct fsp_maria_options *o,
                       const struct maria_host *h, const char *charset)
{
	const unsigned off = 0;
	const unsigned protocol = h->host ? MYSQL_PROTOCOL_TCP :
		MYSQL_PROTOCOL_SOCKET;
	const size_t stack = STACK_SIZE;
	const size_t packet = PACKET_MAX;
	const my_bool reconnect = 0;
	int bad = mysql_options(my, MYSQL_OPT_NONBLOCK, &stack);

	if (!bad)
		bad = mysql_options(my, MYSQL_OPT_LOCAL_INFILE, &off);
	if (!bad)
		bad = mysql_options(my, MYSQL_OPT_RECONNECT, &reconnect);
	if (!bad)
		bad = mysql_options(my, MYSQL_OPT_PROTOCOL, &protocol);
	if (!bad)
		bad = mysql_options(my, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
	if (!bad)
		bad = mysql_options(my, MYSQL_SET_CHARSET_NAME,
		                    charset ? charset : "binary");
	if (!bad)
		bad = mysql_options4(my, MYSQL_OPT_CONNECT_ATTR_ADD,
		                     "program_name", "filespacefs");
	return bad ? bad : set_tls(my, o, tls_for(o, h));
}

static int fail(struct maria_link *l, char **error)
{
	unsigned e = mysql_errno(l->my);
	int err = maria_failed(l, e);

	if (err == -ETIMEDOUT)
		*error = fsp_strf("%s: no answer in time", l->name);
	else if (err != -EINTR)
		*error = fsp_strf("%s: %s (%u)", l->name, mysql_error(l->my),
		                  e);
	return err;
}

static int dial(struct maria_link *l, const struct fsp_maria_options *o,
                const struct maria_host *h, char **error)
{
	MYSQL *done = NULL;
	int status = mysql_real_connect_start(
		&done, l->my, h->host, o->user, o->password, o->database,
		h->host ? h->port : 0, h->socket,
		CLIENT_REMEMBER_OPTIONS | CLIENT_MULTI_STATEMENTS);

	while (status)
		status = mysql_real_connect_cont(&done, l->my,
		                                 maria_wait(l, status));
	if (!done)
		return fail(l, error);
	if (tls_for(o, h) != FSP_TLS_OFF && !mysql_get_ssl_cipher(l->my)) {
		*error = fsp_strf("%s: the connection is not encrypted",
		                  l->name);
		return -EACCES;
	}
	if (mariadb_connection(l->my) &&
	    mysql_get_server_version(l->my) >= OLDEST)
		return 0;
	*error = fsp_strf("%s: the server is %s; " OLDEST_TEXT " or later is "
	                  "needed", l->name, mysql_get_server_info(l->my));
	return -EPROTO;
}

static const char *isolation_name(const struct maria_link *l)
{
	return mysql_get_server_version(l->my) >= 110100 ?
		"transaction_isolation" : "tx_isolation";
}

#define TRACK_GTID ", session_track_system_variables='last_gtid'"

static int lock_wait_s(int64_t timeout_s)
{
	if (!timeout_s || timeout_s > LOCK_WAIT_S)
		return LOCK_WAIT_S;
	return timeout_s > 1 ? (int)timeout_s - 1 : 1;
}

/* Idle transactions end by themselves: a host that died holds claims. */
static int set_session(struct maria_link *l, const struct fsp_ctx *ctx,
                       const struct fsp_maria_options *o,
                       enum maria_role role)
{
	bool writer = role == MARIA_WRITER;
	int64_t s = (o->timeout_ns + FSP_NS_PER_SEC - 1) / FSP_NS_PER_SEC;
	FSP_FREE char *sql = fsp_strf(
		"SET SESSION sql_mode='" SQL_MODE "', time_zone='+00:00',"
		" %s='%s', autocommit=%d, innodb_lock_wait_timeout=%d,"
		" idle_transaction_timeout=%lld, max_statement_time=%lld%s",
		isolation_name(l),
		writer ? "READ-COMMITTED" : "REPEATABLE-READ", !writer,
		lock_wait_s(s), (long long)s, (long long)(s ? s + 1 : 0),
		writer && maria_hosts_lag(o) ? TRACK_GTID : "");
	int err = sql ? maria_run(l, ctx, sql) : -ENOMEM;

	/* Reads and updates see what other nodes have committed. */
	if (!err && l->galera)
		err = maria_run(l, ctx, "SET SESSION wsrep_sync_wait=7");
	return err;
}

int maria_link_share(struct maria_link *l, const struct fsp_ctx *ctx,
                     const struct fsp_maria_options *o)
{
	FSP_FREE char *sql = fsp_strf("SET SESSION autocommit=1,"
	                              " %s='READ-COMMITTED'%s",
	                              isolation_name(l),
	                              maria_hosts_lag(o) ? TRACK_GTID : "");

	return sql ? maria_run(l, ctx, sql) : -ENOMEM;
}

static int read_state(void *arg, char **f, const unsigned long *lengths)
{
	struct maria_link *l = arg;

	(void)lengths;
	l->read_only = !f[0] || strcmp(f[0], "0") != 0;
	l->galera = f[1] && strcasecmp(f[1], "ON") == 0;
	if (l->galera && (!f[2] || strcasecmp(f[2], "ON") != 0))
		return -EHOSTDOWN;
	return f[3] && strcasecmp(f[3], "NO") != 0 ? 0 : -EPROTO;
}

/* What the server is, and whether the role can be played there. */
static int look_round(struct maria_link *l, const struct fsp_ctx *ctx,
                      enum maria_role role, char **error)
{
	static const char sql[] =
		"SELECT @@global.read_only,"
		" (SELECT variable_value FROM information_schema"
		".global_variables WHERE variable_name = 'WSREP_ON'),"
		" (SELECT variable_value FROM information_schema"
		".global_status WHERE variable_name = 'WSREP_READY'),"
		" (SELECT support FROM information_schema.engines"
		" WHERE engine = 'InnoDB')";
	int err = maria_rows(l, ctx, sql, read_state, l);

	if (!err)
		err = maria_read_clock(l, ctx);
	if (err == -EPROTO)
		*error = fsp_strf("%s: the server has no InnoDB", l->name);
	else if (err == -EHOSTDOWN && !l->failed)
		*error = fsp_strf("%s: the Galera node is not ready", l->name);
	if (err || role != MARIA_WRITER || !l->read_only)
		return err;
	*error = fsp_strf("%s: the server is read-only", l->name);
	return -EROFS;
}

int maria_link_open(const struct fsp_maria_options *o,
                    const struct maria_host *h, enum maria_role role,
                    const char *charset, const struct fsp_ctx *ctx,
                    struct maria_link **out, char **error)
{
	struct maria_link *l = calloc(1, sizeof(*l));
	int err = -ENOMEM;

	if (!l)
		return err;
	l->ctx = ctx;
	l->until_ns = fsp_mono_ns() + o->connect_timeout_ns;
	l->name = strdup(h->name);
	l->my = mysql_init(NULL);
	if (l->name && l->my && !set_options(l->my, o, h, charset))
		err = dial(l, o, h, error);
	if (!err)
		err = look_round(l, ctx, role, error);
	if (!err)
		err = set_session(l, ctx, o, role);
	if (err) {
		if (!*error)
			*error = maria_message(l);
		maria_close(l);
		return err;
	}
	l->until_ns = 0;
	l->timeout_ns = o->timeout_ns;
	*out = l;
	return 0;
}

/* Tries them in order; the first error is the one that counts. */
static int try_hosts(const struct fsp_maria_options *o,
                     const struct maria_hosts *h, const struct fsp_ctx *ctx,
                     enum maria_role role, const char *charset,
                     bool read_only_too, struct maria_link **out,
                     char **error)
{
	int first = 0;

	for (size_t i = 0; i < h->n; i++) {
		FSP_FREE char *why = NULL;
		struct maria_link *l = NULL;
		int err = maria_link_open(o, &h->v[i], role, charset, ctx, &l,
		                          &why);

		if (!err && l->read_only && !read_only_too) {
			maria_close(l);
			continue;
		}
		if (!err) {
			*out = l;
			return 0;
		}
		if (!first) {
			first = err;
			if (error) {
				free(*error);
				*error = why;
				why = NULL;
			}
		}
		if (err == -EINTR || fsp_ctx_check(ctx))
			break;
	}
	return first ? first : -EROFS;
}

int maria_connect(const struct fsp_maria_options *o, const struct fsp_ctx *ctx,
                  enum maria_role role, const char *charset,
                  struct maria_link **out, char **error)
{
	struct maria_hosts hosts;
	FSP_FREE char *why = NULL;
	int err = maria_hosts_parse(o, role, &hosts, &why);

	if (!err) {
		err = try_hosts(o, &hosts, ctx, role, charset,
		                role == MARIA_REPLICA, out, &why);
		if (err == -EROFS && role == MARIA_READER)
			err = try_hosts(o, &hosts, ctx, role, charset, true,
			                out, &why);
		maria_hosts_free(&hosts);
	}
	if (err && error) {
		*error = why;
		why = NULL;
	}
	return err;
}
