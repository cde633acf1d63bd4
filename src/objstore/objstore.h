/*
 * What the implementations of the object store share.
 */
#ifndef FSP_OBJSTORE_PRIVATE_H
#define FSP_OBJSTORE_PRIVATE_H

#include <stdbool.h>

#define FSP_OBJ_KEY_MAX 255

/* 1 to 255 bytes of [0-9A-Za-z._-], the first no dot. */
bool fsp_obj_key_valid(const char *key);

#endif
