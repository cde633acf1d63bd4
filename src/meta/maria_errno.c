/* MariaDB's errors: which of ours they are, and which are logged. */
#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>

#include "fsp_clock.h"
#include "fsp_lock.h"
#include "fsp_log.h"
#include "maria_link.h"

#define SAY_AGAIN_NS (10 * FSP_NS_PER_SEC)
#define SAID 16

/* Newer than the header of the client library may be. */
#define CONNECTION_KILLED 1927
#define STATEMENT_TIMEOUT 1969
#define LOST_EXTENDED 2055

static const struct {
	unsigned error;
	int err;
	bool lost;              /* and the connection is of no more use */
} table[] = {
	{ ER_LOCK_DEADLOCK, -EDEADLK, false },
	{ ER_LOCK_WAIT_TIMEOUT, -EDEADLK, false },
	{ ER_CHECKREAD, -EDEADLK, false },      /* changed since last read */
	{ ER_DUP_ENTRY, -EEXIST, false },
	{ ER_DUP_KEY, -EEXIST, false },
	{ ER_DISK_FULL, -ENOSPC, false },
	{ ER_RECORD_FILE_FULL, -ENOSPC, false },
	{ ER_OUTOFMEMORY, -ENOMEM, false },
	{ ER_OUT_OF_RESOURCES, -ENOMEM, false },
	{ CR_OUT_OF_MEMORY, -ENOMEM, true },
	{ ER_TABLEACCESS_DENIED_ERROR, -EACCES, false },
	{ ER_COLUMNACCESS_DENIED_ERROR, -EACCES, false },
	{ ER_SPECIFIC_ACCESS_DENIED_ERROR, -EACCES, false },
	/* triggers, where the binary log is on */
	{ ER_BINLOG_CREATE_ROUTINE_NEED_SUPER, -EACCES, false },
	{ ER_DBACCESS_DENIED_ERROR, -EACCES, true },
	{ ER_ACCESS_DENIED_ERROR, -EACCES, true },
	{ ER_ACCESS_DENIED_NO_PASSWORD_ERROR, -EACCES, true },
	{ ER_BAD_DB_ERROR, -EACCES, true },
	{ ER_QUERY_INTERRUPTED, -EHOSTDOWN, true },     /* shutting down */
	{ STATEMENT_TIMEOUT, -ETIMEDOUT, false },
	{ CR_CONNECTION_ERROR, -EHOSTDOWN, true },
	{ CR_CONN_HOST_ERROR, -EHOSTDOWN, true },
	{ CR_UNKNOWN_HOST, -EHOSTDOWN, true },
	{ CR_SERVER_GONE_ERROR, -EHOSTDOWN, true },
	{ CR_SERVER_LOST, -EHOSTDOWN, true },
	{ LOST_EXTENDED, -EHOSTDOWN, true },
	{ CR_SSL_CONNECTION_ERROR, -EHOSTDOWN, true },
	{ CR_COMMANDS_OUT_OF_SYNC, -EHOSTDOWN, true },
	{ CR_MALFORMED_PACKET, -EHOSTDOWN, true },
	{ ER_CON_COUNT_ERROR, -EAGAIN, true },
	{ ER_TOO_MANY_USER_CONNECTIONS, -EAGAIN, true },
	{ ER_USER_LIMIT_REACHED, -EAGAIN, true },
	{ ER_HOST_IS_BLOCKED, -EHOSTDOWN, true },
	{ ER_UNKNOWN_COM_ERROR, -EHOSTDOWN, true },     /* no Galera primary */
	{ ER_SERVER_SHUTDOWN, -EHOSTDOWN, true },
	{ ER_NORMAL_SHUTDOWN, -EHOSTDOWN, true },
	{ ER_ABORTING_CONNECTION, -EHOSTDOWN, true },
	{ ER_NEW_ABORTING_CONNECTION, -EHOSTDOWN, true },
	{ ER_NET_READ_ERROR, -EHOSTDOWN, true },
	{ ER_NET_READ_INTERRUPTED, -EHOSTDOWN, true },
	{ ER_NET_ERROR_ON_WRITE, -EHOSTDOWN, true },
	{ ER_NET_WRITE_INTERRUPTED, -EHOSTDOWN, true },
	{ CONNECTION_KILLED, -EHOSTDOWN, true },
	{ ER_OPTION_PREVENTS_STATEMENT, -EHOSTDOWN, true },  /* read_only */
	{ ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, -EIO, false },
	{ ER_READ_ONLY_MODE, -EHOSTDOWN, true },
	{ ER_ERROR_DURING_COMMIT, -EHOSTDOWN, true },   /* Galera: no quorum */
};

int maria_errno(unsigned e)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].error == e)
			return table[i].err;
	return -EIO;
}

bool maria_is_lost(unsigned e)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].error == e)
			return table[i].lost;
	return false;
}

/* Is it that error's turn? *left_out: how often it was passed over. */
static bool may_say(unsigned e, unsigned *left_out)
{
	static struct fsp_mutex lock = { .m = PTHREAD_MUTEX_INITIALIZER };
	static struct {
		unsigned error, count;
		int64_t until_ns;
	} said[SAID];
	int64_t now = fsp_mono_ns();
	int at = 0;

	FSP_GUARD(&lock);
	for (int i = 0; i < SAID; i++) {
		if (said[i].error == e) {
			at = i;
			break;
		}
		if (said[i].until_ns < said[at].until_ns)
			at = i;
	}
	if (said[at].error == e && now < said[at].until_ns) {
		said[at].count++;
		return false;
	}
	*left_out = said[at].error == e ? said[at].count : 0;
	said[at].error = e;
	said[at].count = 0;
	said[at].until_ns = now + SAY_AGAIN_NS;
	return true;
}

void maria_log(const char *host, unsigned e, const char *text)
{
	unsigned left_out = 0;

	if (!may_say(e, &left_out))
		return;
	if (left_out)
		fsp_error("database %s: %s (%u; %u more of these)", host, text,
		          e, left_out);
	else
		fsp_error("database %s: %s (%u)", host, text, e);
}
