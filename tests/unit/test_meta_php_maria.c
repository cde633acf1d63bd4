/* TIMEOUT 300 */
/* TAKES 31 */
/* SERVERS mariadb */
/* The suite of test_meta_php.c on MariaDB. */
#define FX_MARIA
#include "test_meta_php.c"
