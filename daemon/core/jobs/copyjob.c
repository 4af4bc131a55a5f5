/* SPDX-License-Identifier: MIT */
/* copyjob.c - frees the sealed boxes that jobs and results about copies own. */
#include "daemon/core/jobs/copyjob.h"

#include <stdlib.h>

struct pv_copyjob *pv_copyjob_free(struct pv_copyjob *job)
{
    if (job != NULL)
        free(job->box);
    free(job);
    return NULL;
}

struct pv_copyjob_result *pv_copyjob_result_free(struct pv_copyjob_result *result)
{
    if (result != NULL)
        free(result->copy.box);
    free(result);
    return NULL;
}
