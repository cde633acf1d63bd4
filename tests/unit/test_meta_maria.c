/* SERVERS mariadb */
/* The suite of test_meta.c on MariaDB. */
#define FX_MARIA
#include "test_meta.c"
