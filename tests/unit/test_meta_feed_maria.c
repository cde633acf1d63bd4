/* SERVERS mariadb */
/* The suite of test_meta_feed.c on MariaDB. */
#define FX_MARIA
#include "test_meta_feed.c"
