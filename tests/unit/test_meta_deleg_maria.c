/* SERVERS mariadb */
/* The suite of test_meta_deleg.c on MariaDB. */
#define FX_MARIA
#include "test_meta_deleg.c"
