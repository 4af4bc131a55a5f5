/* SPDX-License-Identifier: MIT */
/* The allocator's own size is asked, so that texts of json_dumps() may still go to free(). */
#include "proto/local/ctlapi_wipe.h"

#include <malloc.h>
#include <stdlib.h>

#include <jansson.h>

#include "crypto/ct.h"

static void wipe_and_free(void *p)
{
    if (p != NULL)
        pv_wipe(p, malloc_usable_size(p));
    free(p);
}

void pv_ctlapi_wipe_freed(void)
{
    json_set_alloc_funcs(malloc, wipe_and_free);
}
