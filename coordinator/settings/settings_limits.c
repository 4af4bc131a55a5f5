/* SPDX-License-Identifier: MIT */
/* Ids of networks, and what a network leaves to [limits]: the sections may stand in any order, so
 * its values are completed at the end of the file. */
#include "coordinator/settings/settings_limits.h"

#include <string.h>

/* --- ids of networks ------------------------------------------------------------------------ */

/* Operators type them, so capitals are read, too. */
static const char hex_digits[] = "0123456789abcdef";

const char *pv_netid_format(const uint8_t id[static PV_NETWORK_ID_LEN],
                            char buf[static PV_NETID_BUF])
{
    for (size_t i = 0; i < PV_NETWORK_ID_LEN; i++) {
        buf[2 * i] = hex_digits[id[i] >> 4];
        buf[2 * i + 1] = hex_digits[id[i] & 15];
    }
    buf[2 * PV_NETWORK_ID_LEN] = '\0';
    return buf;
}

int pv_netid_parse(const char *text, uint8_t ret_id[static PV_NETWORK_ID_LEN])
{
    /* In memory of its own: ret_id is written when all digits are good, or not at all. */
    uint8_t id[PV_NETWORK_ID_LEN] = {0};
    if (strlen(text) != 2 * PV_NETWORK_ID_LEN)
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < 2 * PV_NETWORK_ID_LEN; i++) {
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *at = strchr(hex_digits, c);
        if (at == NULL)
            return PV_ERR_MALFORMED;
        id[i / 2] = (uint8_t)(id[i / 2] << 4 | (at - hex_digits));
    }
    memcpy(ret_id, id, sizeof(id));
    return PV_OK;
}

/* --- limits --------------------------------------------------------------------------------- */

static bool has(const struct pv_coordset_limits *l, size_t i, enum pv_coordset_limit key)
{
    return (l->seen_of[i] & 1u << key) != 0;
}

/* 0 is a value, "no limit": `seen` tells what a network was given from what it lacks. */
void pv_coordset_limits_end(struct pv_coordset_limits *l, uint32_t bandwidth)
{
    l->general.source_burst = 2 * l->general.source_rate;
    for (size_t i = 0; i < l->n; i++) {
        struct pv_netlimits *own = &l->nets[i].limits;
        if (!has(l, i, PV_COORDSET_MEMBERS))
            own->members = l->all.members;
        if (!has(l, i, PV_COORDSET_STATEMENTS))
            own->statements = l->all.statements;
        if (!has(l, i, PV_COORDSET_STORED))
            own->stored = l->all.stored;
        if (!has(l, i, PV_COORDSET_BANDWIDTH))
            l->relay[i].bandwidth = bandwidth;
    }
}

/* A limit that a network leaves to [limits] and [relay] is theirs, not its own. */
bool pv_coordset_limits_same(const struct pv_coordset_limits *a, size_t i,
                             const struct pv_coordset_limits *b, size_t k)
{
    const struct pv_netlimits *x = &a->nets[i].limits, *y = &b->nets[k].limits;
    return a->seen_of[i] == b->seen_of[k] &&
           (!has(a, i, PV_COORDSET_MEMBERS) || x->members == y->members) &&
           (!has(a, i, PV_COORDSET_STATEMENTS) || x->statements == y->statements) &&
           (!has(a, i, PV_COORDSET_STORED) || x->stored == y->stored) &&
           (!has(a, i, PV_COORDSET_BANDWIDTH) || a->relay[i].bandwidth == b->relay[k].bandwidth);
}
