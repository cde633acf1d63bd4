/* SERVERS mariadb */
/* The suite of test_deleg_same.c on MariaDB. */
#define FX_MARIA
#include "test_deleg_same.c"
