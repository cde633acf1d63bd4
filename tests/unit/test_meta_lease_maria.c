/* SERVERS mariadb */
/* The suite of test_meta_lease.c on MariaDB. */
#define FX_MARIA
#include "test_meta_lease.c"
