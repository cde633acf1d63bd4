/*
 * What the database costs by itself, for the limits of `make bench`.
 *
 *   sqltime DATABASE N           N times each; as FSP_TEST_MYSQL_* says
 *
 * One line of JSON with microseconds of each: a prepared SELECT of one row by
 * its key, one that gives 10 rows, a durable INSERT, and a transaction of the
 * shape that a commit of a file has: close the live row, insert its successor,
 * insert the object's row.
 */
#include <err.h>
#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void run(MYSQL *db, const char *sql)
{
	if (mysql_query(db, sql))
		errx(1, "%s: %s", sql, mysql_error(db));
}

static MYSQL_STMT *prepare(MYSQL *db, const char *sql, int *id)
{
	MYSQL_STMT *s = mysql_stmt_init(db);
	MYSQL_BIND b;

	memset(&b, 0, sizeof(b));
	b.buffer_type = MYSQL_TYPE_LONG;
	b.buffer = id;
	if (!s || mysql_stmt_prepare(s, sql, strlen(sql)) ||
	    mysql_stmt_bind_param(s, &b))
		errx(1, "%s: %s", sql, mysql_error(db));
	return s;
}

static void execute(MYSQL_STMT *s)
{
	if (mysql_stmt_execute(s) || mysql_stmt_store_result(s))
		errx(1, "%s", mysql_stmt_error(s));
	while (mysql_stmt_fetch(s) == 0)
		;
	mysql_stmt_free_result(s);
}

static double each(MYSQL_STMT *s, int *id, int n)
{
	long long start = now_us();
	int i;

	for (i = 0; i < n; i++) {
		(*id)++;
		execute(s);
	}
	return (double)(now_us() - start) / n;
}

static double commits(MYSQL *db, int *id, int n)
{
	MYSQL_STMT *end = prepare(db, "UPDATE lim SET ended = 1 WHERE id = ?", id);
	MYSQL_STMT *row = prepare(db, "INSERT INTO lim (id, grp, ended, name) "
	                          "VALUES (?, 0, 0, 'a name of some length')", id);
	MYSQL_STMT *obj = prepare(db, "INSERT INTO lim_obj (id, name) "
	                          "VALUES (?, 'sixty-four digits of a digest')",
	                          id);
	long long start = now_us();
	int i;

	for (i = 0; i < n; i++) {
		(*id)++;
		run(db, "BEGIN");
		execute(end);
		execute(row);
		execute(obj);
		run(db, "COMMIT");
	}
	return (double)(now_us() - start) / n;
}

static MYSQL *open_database(const char *name)
{
	MYSQL *db = mysql_init(NULL);

	if (!db || !mysql_real_connect(db, NULL, getenv("FSP_TEST_MYSQL_USER"),
	                               getenv("FSP_TEST_MYSQL_PASSWORD"), name,
	                               0, getenv("FSP_TEST_MYSQL_SOCKET"), 0))
		errx(1, "connecting: %s", db ? mysql_error(db) : "no memory");
	return db;
}

int main(int argc, char **argv)
{
	int n = argc == 3 ? atoi(argv[2]) : 0, id = 0;
	double one, ten, insert;
	MYSQL *db;

	if (n < 1)
		errx(2, "usage: sqltime DATABASE N");
	db = open_database(argv[1]);
	run(db, "CREATE TABLE lim (id INT PRIMARY KEY, grp INT, ended INT, "
	        "name VARCHAR(200), KEY (grp)) ENGINE=InnoDB");
	run(db, "CREATE TABLE lim_obj (id INT PRIMARY KEY, name VARCHAR(200)) "
	        "ENGINE=InnoDB");
	run(db, "INSERT INTO lim SELECT seq, seq DIV 10, 0, 'name' "
	        "FROM seq_1_to_10000");
	one = each(prepare(db, "SELECT * FROM lim WHERE id = ?", &id), &id, n);
	id = 0;
	ten = each(prepare(db, "SELECT * FROM lim WHERE grp = ?", &id), &id, n);
	id = 20000;
	insert = each(prepare(db, "INSERT INTO lim (id) VALUES (?)", &id), &id, n);
	printf("{\"select_us\": %.1f, \"select10_us\": %.1f, "
	       "\"insert_us\": %.1f, \"commit_us\": %.1f}\n",
	       one, ten, insert, commits(db, &id, n));
	mysql_close(db);
	return 0;
}
