/* SPDX-License-Identifier: MIT */
/* engine_member.c - what parts that are still in the engine are told by the parts of member/: a
 * part whose self is the engine. It shrinks as they leave. */
#include "daemon/core/engine_int.h"

static int add_statics(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct pv_engine *e = part;
    for (size_t i = 0; i < cfg->n_static_peers; i++) {
        int r = pv_peers_add_static(e->node.peers, &cfg->static_peers[i], now);
        if (r != PV_OK) {
            pv_log(e->node.log, PV_LOG_ERROR, "peer=%s what=\"static peer not added\" why=\"%s\"",
                   cfg->static_peers[i].name, pv_strstatus(r));
            return r;
        }
    }
    return PV_OK;
}

static void set_signalling(struct pv_engine *e, pv_ns now)
{
    if (e->env.signalling == e->node.online)
        return;
    e->env.signalling = e->node.online;
    pv_engine_env_changed(e, false, now);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    (void)facts;
    set_signalling(part, now);
}

const struct pv_part pv_part_engine_member = {
    .name = "engine_member",
    .make = pv_engine_as_part,
    .free = pv_engine_not_freed,
    .restore = add_statics,
    .on_facts = on_facts,
};
