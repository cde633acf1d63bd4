/* SERVERS mariadb */
/* The suite of test_meta_race.c on MariaDB. */
#define FX_MARIA
#include "test_meta_race.c"
