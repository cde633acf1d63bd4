/* SERVERS mariadb */
/* The suite of test_deleg_told.c on MariaDB. */
#define FX_MARIA
#include "test_deleg_told.c"
