/*
 * The log: to stderr in the foreground, to syslog (and so the journal) from
 * the daemon. One line a message, never a secret. Any thread.
 */
#ifndef FSP_LOG_H
#define FSP_LOG_H

#include <stdarg.h>

enum fsp_log_level { FSP_LOG_ERROR, FSP_LOG_WARNING, FSP_LOG_INFO, FSP_LOG_DEBUG };

enum fsp_log_target { FSP_LOG_STDERR, FSP_LOG_SYSLOG };

/* ident (static storage) precedes each line. Before this: stderr, INFO. */
void fsp_log_init(const char *ident, enum fsp_log_target target,
                  enum fsp_log_level level);

/* Control bytes in what is logged are written as \xNN. */
void fsp_log(enum fsp_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define fsp_error(...) fsp_log(FSP_LOG_ERROR, __VA_ARGS__)
#define fsp_warn(...) fsp_log(FSP_LOG_WARNING, __VA_ARGS__)
#define fsp_info(...) fsp_log(FSP_LOG_INFO, __VA_ARGS__)
#define fsp_debug(...) fsp_log(FSP_LOG_DEBUG, __VA_ARGS__)

#endif
