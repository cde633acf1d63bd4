/* The log. Settings are made before threads start and only read after. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "fsp_file.h"
#include "fsp_log.h"

#define MAX_MESSAGE 2048        /* longer ones end in "..." */

static const char *log_ident = "filespacefs";
static enum fsp_log_target log_target = FSP_LOG_STDERR;
static enum fsp_log_level log_level = FSP_LOG_INFO;

static const struct {
	const char *word;
	int priority;
} levels[] = {
	[FSP_LOG_ERROR] = { "error", LOG_ERR },
	[FSP_LOG_WARNING] = { "warning", LOG_WARNING },
	[FSP_LOG_INFO] = { "info", LOG_INFO },
	[FSP_LOG_DEBUG] = { "debug", LOG_DEBUG },
};

void fsp_log_init(const char *ident, enum fsp_log_target target,
                  enum fsp_log_level level)
{
	log_ident = ident;
	log_target = target;
	log_level = level;
	if (target == FSP_LOG_SYSLOG)
		openlog(ident, LOG_PID, LOG_DAEMON);
}

/* Names and server messages come from outside: they must not forge lines. */
static void escape(char *out, const char *in)
{
	static const char digits[] = "0123456789abcdef";

	for (; *in; in++) {
		unsigned char c = (unsigned char)*in;

		if (c >= 0x20 && c != 0x7f) {
			*out++ = *in;
			continue;
		}
		*out++ = '\\';
		*out++ = 'x';
		*out++ = digits[c >> 4];
		*out++ = digits[c & 15];
	}
	*out = '\0';
}

static void emit(enum fsp_log_level level, const char *text)
{
	char line[4 * MAX_MESSAGE + 128];
	int n;

	if (log_target == FSP_LOG_SYSLOG) {
		syslog(levels[level].priority, "%s", text);
		return;
	}
	n = snprintf(line, sizeof(line), "%s: %s: %s\n", log_ident,
	             levels[level].word, text);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof(line))
		n = (int)sizeof(line) - 1;
	/* A log that cannot be written has nowhere to report that. */
	(void)fsp_write_all(STDERR_FILENO, line, (size_t)n);
}

void fsp_log(enum fsp_log_level level, const char *fmt, ...)
{
	char message[MAX_MESSAGE], text[4 * MAX_MESSAGE];
	int saved = errno;
	va_list ap;
	int n;

	if (level > log_level)
		return;
	va_start(ap, fmt);
	errno = saved;          /* for %m */
	n = vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (n < 0)
		(void)strcpy(message, "(a message that cannot be formatted)");
	else if ((size_t)n >= sizeof(message))
		memcpy(message + sizeof(message) - 4, "...", 4);
	escape(text, message);
	emit(level, text);
	errno = saved;
}
