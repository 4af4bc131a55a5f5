/* SPDX-License-Identifier: MIT */
/* hostcount.c - reads the counters of our table and compares them. */
#include "sys/helper/hostcount.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sys/net/ipcmd.h"

enum {
    LEAST = 3, /* ours: so many packets are lost and none passes before that is said */
};

#define NAME(name) #name,
static const char *const names[PV_HOSTCOUNT_N] = {PV_HOSTCOUNT_KINDS(NAME)};

struct reading {
    uint64_t first[PV_HOSTCOUNT_N], last[PV_HOSTCOUNT_N];
    uint64_t *now; /* the counter that is being listed; NULL: another one */
};

void pv_hostcount_reset(struct pv_hostcount *c, bool anew)
{
    *c = (struct pv_hostcount){.begun = anew};
}

/* Of `nft list counters`. */
static void take_line(void *ctx, const char *line)
{
    struct reading *r = ctx;
    char name[64];
    uint64_t packets;
    if (sscanf(line, " counter %63s {", name) == 1) {
        r->now = NULL;
        for (size_t i = 0; i < PV_HOSTCOUNT_N; i++) {
            const size_t len = strlen(names[i]);
            if (strncmp(name, names[i], len) == 0)
                r->now = strcmp(name + len, "_first") == 0  ? &r->first[i]
                         : strcmp(name + len, "_last") == 0 ? &r->last[i]
                                                            : NULL;
        }
    } else if (r->now != NULL && sscanf(line, " packets %" SCNu64, &packets) == 1) {
        *r->now = packets;
    }
}

bool pv_hostcount_look(struct pv_hostcount *c, const char *table)
{
    const char *const words[] = {"counters", "table", "inet", table};
    struct reading r = {.now = NULL};
    bool changed = false;
    if (pv_nftcmd_list(words, PV_ARRAY_LEN(words), take_line, &r) != PV_OK)
        return false;
    for (size_t i = 0; i < PV_HOSTCOUNT_N && c->begun; i++) {
        const bool passed = r.last[i] > c->last[i];
        const bool lost = passed ? false : c->lost[i] || r.first[i] >= c->first[i] + LEAST;
        changed = changed || lost != c->lost[i];
        c->lost[i] = lost;
    }
    /* What has not come to LEAST yet goes on counting. */
    for (size_t i = 0; i < PV_HOSTCOUNT_N; i++)
        if (!c->begun || r.last[i] > c->last[i]) {
            c->first[i] = r.first[i];
            c->last[i] = r.last[i];
        }
    c->begun = true;
    return changed;
}

bool pv_hostcount_loses_members(const struct pv_hostcount *c)
{
    return c->lost[PV_HOSTCOUNT_in4] || c->lost[PV_HOSTCOUNT_in6] || c->lost[PV_HOSTCOUNT_out4] ||
           c->lost[PV_HOSTCOUNT_out6];
}

bool pv_hostcount_loses_own(const struct pv_hostcount *c)
{
    return c->lost[PV_HOSTCOUNT_own4] || c->lost[PV_HOSTCOUNT_own6];
}
