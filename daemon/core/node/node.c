/* SPDX-License-Identifier: MIT */
/* node.c - questions that many parts ask of the node. */
#include "daemon/core/node/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

void *pv_node_part(const struct pv_node *n, const struct pv_part *part)
{
    PV_EACH_PART(n, slot)
    {
        if (slot->part == part)
            return slot->self;
    }
    return NULL;
}

const struct pv_member *pv_node_self(const struct pv_node *n)
{
    return n->roster == NULL ? NULL : pv_roster_by_node(n->roster, n->identity->sign_pk);
}

const struct pv_member *pv_node_former_member(const struct pv_node *n, const char *name)
{
    const struct pv_member *found = NULL;
    if (n->roster == NULL)
        return NULL;
    /* A name may have had several owners: the last whom the log knows is meant. */
    for (const struct pv_roster_entry *x = pv_roster_next_entry(n->roster, NULL); x != NULL;
         x = pv_roster_next_entry(n->roster, x)) {
        if (x->st.type != PV_ST_MEMBER)
            continue;
        const struct pv_member *m = pv_roster_known(n->roster, x->st.u.member.node);
        if (m != NULL && strcmp(m->name, name) == 0 &&
            (m->state == PV_MEMBER_LEFT || m->state == PV_MEMBER_REVOKED))
            found = m;
    }
    return found;
}

uint64_t pv_node_coord_us(const struct pv_node *n, pv_ns now)
{
    const struct pv_wall *c = &n->coord_clock;
    return c->us == 0 ? 0 : c->us + (now > c->at ? (now - c->at) / PV_US(1) : 0);
}

uint64_t pv_node_wall_us(const struct pv_node *n, pv_ns now)
{
    return n->wall.us + (now > n->wall.at ? (now - n->wall.at) / PV_US(1) : 0);
}

uint64_t pv_node_wall_ms(const struct pv_node *n, pv_ns now)
{
    return pv_node_wall_us(n, now) / 1000;
}

uint64_t pv_node_wall_s(const struct pv_node *n, pv_ns now)
{
    return pv_node_wall_us(n, now) / 1000000;
}

void pv_node_put_meta(struct pv_node *n, const char *name, struct pv_view value,
                      const struct pv_part *owner, uint64_t tag)
{
    struct pv_job *job = pv_job_new(PV_JOB_SET_META);
    if (job == NULL)
        return;
    /* One byte more, for malloc(0) may return NULL, which would look like a lack of memory. */
    job->u.set_meta.value = malloc(value.len + 1);
    if (job->u.set_meta.value == NULL) {
        pv_job_free(job);
        return;
    }
    memcpy(job->u.set_meta.name, name, strlen(name) + 1);
    if (value.len > 0)
        memcpy(job->u.set_meta.value, value.ptr, value.len);
    job->u.set_meta.len = value.len;
    (void)pv_jobqueue_submit(&n->jobs, job, owner, tag); /* a job that is lost was logged */
}

void pv_node_put_meta_u64(struct pv_node *n, const char *name, uint64_t value,
                          const struct pv_part *owner, uint64_t tag)
{
    uint8_t buf[8];
    pv_store_be64(buf, value);
    pv_node_put_meta(n, name, pv_view(buf, sizeof(buf)), owner, tag);
}

/* The first failure is remembered until something has been stored, so that `status` shows a full
 * disk for as long as it is full. */
void pv_node_stored(struct pv_node *n, const struct pv_job_result *result)
{
    if (result->status == PV_OK) {
        n->store_error[0] = '\0';
        return;
    }
    memcpy(n->store_error, result->error, sizeof(n->store_error));
    pv_log(n->log, PV_LOG_ERROR, "what=\"not stored\" why=\"%s\"", result->error);
    n->store_failed = true;
}

/* A ring: the newest reports are those somebody asks for. */
void pv_node_report(struct pv_node *n, const char *text, pv_ns now)
{
    struct pv_report *r = &n->reports[n->n_reports++ % PV_NODE_REPORTS];
    r->wall_s = pv_node_wall_s(n, now);
    snprintf(r->text, sizeof(r->text), "%s", text);
    pv_log(n->log, PV_LOG_WARN, "what=report text=\"%s\"", text);
}

bool pv_node_need_network(struct pv_node *n, const char *what, uint64_t handle)
{
    char text[PV_CTLAPI_ERROR_BUF];
    if (n->removed) {
        snprintf(text, sizeof(text),
                 "%s: this machine was removed from network %s: `p2pvpnctl leave --forget` makes a "
                 "new identity; then ask for a new token",
                 what, pv_roster_network(n->roster)->name);
        pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_REFUSED, text);
        return false;
    }
    if (n->roster != NULL)
        return true;
    snprintf(text, sizeof(text),
             "%s: this machine is in no network: `p2pvpnctl join TOKEN`, or `create URL`", what);
    pv_ctlsrv_fail(n->ctl, handle, PV_CTLAPI_NOT_JOINED, text);
    return false;
}
