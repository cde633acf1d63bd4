/* How the commands write: text, times, tables, JSON. */
#ifndef FSP_ADMIN_TEXT_H
#define FSP_ADMIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* With control bytes as \xNN and a backslash as \\; fresh memory or NULL. */
char *fsp_text_visible(const char *s);

/* "user:group", numbers where there is no name; fresh memory or NULL. */
char *fsp_text_owner(uid_t uid, gid_t gid);

/* "1.5 GiB", with a minus sign where saving went wrong; fresh memory. */
char *fsp_text_bytes(int64_t bytes);

/* part of whole in percent, "-" where there is no whole; fresh memory. */
char *fsp_text_percent(int64_t part, uint64_t whole);

/*
 * A table with a head line and columns as wide as they need to be. Out of
 * memory sticks and comes out of fsp_table_print().
 */
struct fsp_table {
	const char *const *heads;
	size_t cols;
	uint32_t right;                 /* bit n: column n is flush right */
	char **cells;
	size_t count, cap;
	bool failed;
};

void fsp_table_init(struct fsp_table *t, const char *const *heads, size_t cols,
                    uint32_t right);
/* The next cell; takes the memory over. NULL means out of memory. */
void fsp_table_cell(struct fsp_table *t, char *text);
/* The same with a copy. */
void fsp_table_text(struct fsp_table *t, const char *text);
/* 0 or -ENOMEM, with nothing printed then. Only whole rows count. */
int fsp_table_print(const struct fsp_table *t, FILE *out, const char *indent);
void fsp_table_free(struct fsp_table *t);

#define FSP_TABLE __attribute__((cleanup(fsp_table_free)))

/* A JSON document; key is NULL within a list. Errors as with the table. */
#define FSP_JSON_DEPTH 8
struct fsp_json {
	FILE *out;
	int depth;
	bool more[FSP_JSON_DEPTH];      /* a member was written at this depth */
	bool failed;
};

void fsp_json_start(struct fsp_json *j, FILE *out);     /* opens an object */
int fsp_json_finish(struct fsp_json *j);                /* closes it */
void fsp_json_object(struct fsp_json *j, const char *key);
void fsp_json_list(struct fsp_json *j, const char *key);
void fsp_json_end_object(struct fsp_json *j);
void fsp_json_end_list(struct fsp_json *j);
void fsp_json_str(struct fsp_json *j, const char *key, const char *s);
void fsp_json_int(struct fsp_json *j, const char *key, int64_t n);
void fsp_json_uint(struct fsp_json *j, const char *key, uint64_t n);
void fsp_json_bool(struct fsp_json *j, const char *key, bool b);
/* "2015-05-08T10:13:20.000000Z"; 0 is null. */
void fsp_json_time(struct fsp_json *j, const char *key, int64_t us);

#endif
