/* SPDX-License-Identifier: MIT */
#include "daemon/core/jobs/holdjob.h"

#include <stdlib.h>

struct pv_holdjob *pv_holdjob_free(struct pv_holdjob *job)
{
    if (job != NULL)
        free(job->box);
    free(job);
    return NULL;
}

struct pv_holdjob_result *pv_holdjob_result_free(struct pv_holdjob_result *result)
{
    if (result != NULL)
        free(result->copy.box);
    free(result);
    return NULL;
}
