/* MariaDB: options kept for later connections, the password among them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fsp_buf.h"
#include "maria_pool.h"

/* Each of the strings, for copying and freeing. */
static const char **string_of(struct fsp_maria_options *o, int i)
{
	switch (i) {
	case 0: return &o->hosts;
	case 1: return &o->read_hosts;
	case 2: return &o->socket;
	case 3: return &o->user;
	case 4: return &o->password;
	case 5: return &o->database;
	case 6: return &o->charset;
	case 7: return &o->tls_ca;
	case 8: return &o->tls_cert;
	case 9: return &o->tls_key;
	default: return NULL;
	}
}

int fsp_maria_options_copy(const struct fsp_maria_options *from,
                       struct fsp_maria_options *to)
{
	const char **s;
	int err = 0;

	*to = *from;
	for (int i = 0; (s = string_of(to, i)); i++) {
		const char *was = *s;

		*s = was ? strdup(was) : NULL;
		if (was && !*s)
			err = -ENOMEM;
	}
	if (err)
		fsp_maria_options_free(to);
	return err;
}

void fsp_maria_options_free(struct fsp_maria_options *o)
{
	const char **s;

	for (int i = 0; (s = string_of(o, i)); i++) {
		char *mine = (char *)(uintptr_t)*s;

		if (mine)
			fsp_wipe(mine, strlen(mine));
		free(mine);
		*s = NULL;
	}
}
