/* SERVERS mariadb */
/* TAKES 30 */
/* The suite of test_deleg.c on MariaDB. */
#define FX_MARIA
#include "test_deleg.c"
