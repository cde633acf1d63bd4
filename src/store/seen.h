/*
 * Objects that were there a moment ago: this process has written them, or
 * looked at them. Any thread.
 */
#ifndef FSP_STORE_SEEN_H
#define FSP_STORE_SEEN_H

#include <stdbool.h>
#include <stdint.h>

struct fsp_seen;

/* What was seen counts for that long; 0: not at all. NULL without memory. */
struct fsp_seen *seen_new(int64_t for_ns);
/* NULL is fine in all of these, and knows nothing. */
void seen_free(struct fsp_seen *s);
/* The object was there, of that size, when since_ns was now. */
void seen_note(struct fsp_seen *s, const char *key, uint64_t stored,
               int64_t since_ns);
bool seen_is(struct fsp_seen *s, const char *key, uint64_t stored);
/* It is missing or damaged. */
void seen_forget(struct fsp_seen *s, const char *key);

#endif
