/* The sizes of hash names, shared by modules that do not know each other. */
#ifndef FSP_HASH_H
#define FSP_HASH_H

#define FSP_SHA256_HEX 64
#define FSP_SHA1_HEX 40
#define FSP_HASH_MAX 64         /* longest data_hash */

#endif
