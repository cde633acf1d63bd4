/* SERVERS mariadb */
/* The suite of test_deleg.c on MariaDB. */
#define FX_MARIA
#include "test_deleg.c"
