/* This program as an owner of pending names. */
#include "session.h"

#include <limits.h>
#include <stdint.h>
#include <unistd.h>

#include "fsp_buf.h"
#include "fsp_clock.h"
#include "fsp_config.h"
#include "fsp_spool.h"
#include "fsp_store.h"

static int add(struct fsp_admin *a, const struct fsp_session *s)
{
	char host[HOST_NAME_MAX + 1] = "";
	struct fsp_mountinfo info = {
		.id = s->id, .host = host, .path = "(filespacectl)",
		.pid = getpid(), .started_us = fsp_now_us(),
		.spool = fsp_config_str(a->store->config, "spool", "path"),
	};

	/* An empty host name is worth no failure: it is only shown. */
	(void)gethostname(host, sizeof(host) - 1);
	return fsp_meta_mount_add(a->store->meta, &a->ctx, &info);
}

int fsp_session_begin(struct fsp_admin *a, struct fsp_session *s)
{
	uint8_t id[16];
	int err;

	fsp_random(id, sizeof(id));
	fsp_hex(s->id, id, sizeof(id));
	err = fsp_spool_open(fsp_config_str(a->store->config, "spool", "path"),
	                     s->id, &s->spool);
	if (err)
		return err;
	err = add(a, s);
	if (err)
		fsp_spool_close(s->spool);
	return err;
}

int fsp_session_end(struct fsp_admin *a, struct fsp_session *s)
{
	int err = fsp_meta_mount_remove(a->store->meta, &a->ctx, s->id);

	/* On error the directory stays: it tells the next mount to clean up. */
	if (!err)
		fsp_spool_close(s->spool);
	return err;
}
