/* SPDX-License-Identifier: MIT */
#include "coordinator/relayout.h"

enum {
    LOOK_BACK = 8, /* messages that a datagram may still join: as many flows may be interleaved */
};

/* A message in the making. */
struct run {
    const struct pv_turns_out *first;
    size_t n, bytes;
    bool closed; /* its last datagram is shorter, or it may not be in a run */
};

struct plan {
    struct run runs[PV_TURNS_BATCH];
    size_t n;
    size_t run_of[PV_TURNS_BATCH]; /* of each output; n of outputs for streams */
};

static bool same_way(const struct pv_turns_out *a, const struct pv_turns_out *b)
{
    return a->sock == b->sock && a->df == b->df && pv_addr_equal(&a->dst, &b->dst) &&
           a->local.family == b->local.family && pv_addr_equal_ip(&a->local, &b->local);
}

/* The message that this datagram joins, or p->n: a new one. */
static size_t find_run(const struct plan *p, const struct pv_turns_out *out)
{
    for (size_t back = 1; back <= LOOK_BACK && back <= p->n; back++) {
        const struct run *r = &p->runs[p->n - back];
        if (!same_way(r->first, out))
            continue;
        /* The newest of its way: any other would overtake it. */
        bool fits = !r->closed && out->data.len > 0 && out->data.len <= r->first->data.len &&
                    r->bytes + out->data.len <= PV_RELAYOUT_RUN_MAX;
        return fits ? p->n - back : p->n;
    }
    return p->n;
}

static void plan_runs(struct plan *p, const struct pv_turns_out *out, size_t n)
{
    p->n = 0;
    for (size_t i = 0; i < n; i++) {
        p->run_of[i] = PV_TURNS_BATCH;
        if (out[i].stream != 0)
            continue;
        size_t k = find_run(p, &out[i]);
        struct run *r = &p->runs[k];
        p->run_of[i] = k;
        if (k == p->n) {
            p->n++;
            *r = (struct run){.first = &out[i],
                              .closed = out[i].data.len == 0 ||
                                        out[i].data.len > PV_RELAYOUT_SEGMENT_MAX};
        }
        r->closed = r->closed || out[i].data.len < r->first->data.len;
        r->bytes += out[i].data.len;
        r->n++;
    }
}

void pv_relayout_make(struct pv_relayout *ro, const struct pv_turns_out *out, size_t n)
{
    struct plan p;
    struct pv_view *next[PV_TURNS_BATCH]; /* where the next part of each run goes */
    size_t used = 0;
    if (n > PV_TURNS_BATCH)
        n = PV_TURNS_BATCH;
    plan_runs(&p, out, n);
    for (size_t k = 0; k < p.n; k++) {
        const struct run *r = &p.runs[k];
        ro->socks[k] = r->first->sock;
        ro->df[k] = r->first->df;
        ro->msgs[k] = (struct pv_udp_out){
            .dst = r->first->dst, .local = r->first->local, .data = r->first->data};
        next[k] = &ro->parts[used];
        if (r->n > 1) {
            ro->msgs[k].segment = (uint16_t)r->first->data.len;
            ro->msgs[k].parts = next[k];
            ro->msgs[k].n_parts = r->n;
        }
        used += r->n;
    }
    for (size_t i = 0; i < n; i++) {
        if (p.run_of[i] < p.n)
            *next[p.run_of[i]]++ = out[i].data;
    }
    ro->n = p.n;
}
