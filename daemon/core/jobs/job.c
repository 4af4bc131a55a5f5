/* SPDX-License-Identifier: MIT */
/* job.c - who owns what in jobs: freeing one frees all below it. */
#include "daemon/core/jobs/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"

struct pv_job *pv_job_free(struct pv_job *job)
{
    if (job == NULL)
        return NULL;
    switch (job->kind) {
    case PV_JOB_PUT_STATEMENTS:
        free(job->u.put_statements.items);
        break;
    case PV_JOB_PUT_ENTRIES:
        free(job->u.put_entries.entries);
        break;
    case PV_JOB_SET_META:
        free(job->u.set_meta.value);
        break;
    case PV_JOB_IFACE_UP:
        free(job->u.iface);
        break;
    case PV_JOB_NETPLAN:
        free(job->u.netplan);
        break;
    case PV_JOB_NAMES:
        free(job->u.names.bytes);
        break;
    case PV_JOB_NOTIFY:
        if (job->u.notify != NULL)
            free(job->u.notify->text);
        free(job->u.notify);
        break;
        /* These own nothing. They are listed, so that the compiler asks about each new kind. */
    case PV_JOB_SET_NETWORK:
    case PV_JOB_FORGET_NETWORK:
    case PV_JOB_PUT_ENDPOINTS:
    case PV_JOB_KEEP_ROOT:
    case PV_JOB_SAVE_KEYS:
    case PV_JOB_RESOLVE:
    case PV_JOB_IFACE_DOWN:
    case PV_JOB_PORTMAP:
    case PV_JOB_HOSTKEYS:
    case PV_JOB_KINDS:
        break;
    }
    /* Some jobs carry secrets: the seed of a network, for one. */
    pv_wipe(job, sizeof(*job));
    free(job);
    return NULL;
}

void pv_job_root_aside(const char *file, const uint8_t pk[static PV_SIGN_PK_LEN], char *ret_path,
                       size_t size)
{
    enum {
        MARK = 12, /* ours: characters; 72 bits of a key, so that no two keys meet in one file */
    };
    snprintf(ret_path, size, "%s.%.*s", file, MARK, PV_KEY_STR(pk));
}
