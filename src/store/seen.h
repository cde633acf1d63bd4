/*
 * Objects that were there a moment ago: this process has written them, or
 * looked at them. Any thread.
 */
#ifndef FSP_STORE_SEEN_H
#define FSP_STORE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct fsp_seen;
struct fsp_object;

/* What was seen counts for that long; 0: not at all. NULL without memory. */
struct fsp_seen *seen_new(int64_t for_ns);
/* NULL is fine in all of these, and knows nothing. */
void seen_free(struct fsp_seen *s);
/* The object was there, in its stored size, when since_ns was now. */
void seen_note(struct fsp_seen *s, const struct fsp_object *o,
               int64_t since_ns);
bool seen_is(struct fsp_seen *s, const struct fsp_object *o);
/* The rows have it now. */
void seen_recorded(struct fsp_seen *s, const struct fsp_object *o);
/* One with that content that was there and is recorded. */
bool seen_find(struct fsp_seen *s, const char *sha256, uint64_t size,
               struct fsp_object *out);
/* The object of that key is missing or damaged. */
void seen_forget(struct fsp_seen *s, const char *key);

#endif
