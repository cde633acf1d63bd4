/* The suite of test_meta.c through the decorators: what has no fault to show and
 * no server that is down changes nothing. */
#define FX_DECORATED
#include "fsp_breaker.h"
#include "test_meta.c"
