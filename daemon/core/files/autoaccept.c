/* SPDX-License-Identifier: MIT */
/* autoaccept.c - rules and their pins. There are few rules (256 in a configuration), so a walk over
 * them is all that is needed. */
#include "daemon/core/files/autoaccept.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "crypto/sign.h"
#include "proto/roster/statement.h"

enum {
    VERSION = 1,
    HEAD = 1 + PV_NETWORK_ID_LEN + 2,           /* bytes before the first pin */
    PIN_MAX = 2 + PV_NAME_MAX + PV_SIGN_PK_LEN, /* bytes of the longest pin */
};

/* All lines of the configuration with one name. */
struct rule {
    char name[PV_NAME_BUF];
    uint64_t max;
    bool pinned;
    uint8_t pk[PV_SIGN_PK_LEN];
    uint8_t told[PV_SIGN_PK_LEN]; /* the last other machine that the log named; zeros: none */
};

struct pv_autoaccept {
    const struct pv_log *log;
    uint64_t everybody; /* bytes; 0: there is no such rule */
    bool has_network;
    uint8_t network_id[PV_NETWORK_ID_LEN]; /* of the pins */
    bool dirty;
    size_t n;
    struct rule rules[];
};

static struct rule *find(struct pv_autoaccept *a, const char *name)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->rules[i].name, name) == 0)
            return &a->rules[i];
    return NULL;
}

static bool is_pinned_to(const struct rule *r, const uint8_t *pk)
{
    return r->pinned && memcmp(r->pk, pk, sizeof(r->pk)) == 0;
}

static void pin(struct pv_autoaccept *a, struct rule *r, const uint8_t *pk)
{
    memcpy(r->pk, pk, sizeof(r->pk));
    r->pinned = true;
    a->dirty = true;
    pv_log(a->log, PV_LOG_INFO, "peer=%s what=\"auto-accept holds for this machine\"", r->name);
}

/* --- life ---------------------------------------------------------------------------------- */

/* A pin without a rule is left out, so that a line which is taken out and put in again begins anew.
 */
static int load(struct pv_autoaccept *a, struct pv_view saved)
{
    struct pv_reader r = pv_reader(saved);
    if (saved.len == 0)
        return PV_OK;
    if (pv_get_u8(&r) != VERSION)
        return PV_ERR_UNSUPPORTED;
    pv_get_copy(&r, a->network_id, sizeof(a->network_id));
    a->has_network = r.status == PV_OK;
    for (uint16_t n = pv_get_u16(&r); n > 0 && r.status == PV_OK; n--) {
        char name[PV_NAME_BUF];
        uint8_t pk[PV_SIGN_PK_LEN];
        struct pv_view text = pv_get_view16(&r, PV_NAME_MAX);
        pv_get_copy(&r, pk, sizeof(pk));
        if (r.status != PV_OK || pv_name_parse((const char *)text.ptr, text.len, name) != PV_OK) {
            pv_reader_fail(&r, PV_ERR_MALFORMED);
            break;
        }
        struct rule *rule = find(a, name);
        a->dirty = a->dirty || rule == NULL;
        if (rule == NULL)
            continue;
        memcpy(rule->pk, pk, sizeof(rule->pk));
        rule->pinned = true;
    }
    return pv_reader_end(&r);
}

int pv_autoaccept_new(struct pv_autoaccept **ret_rules, const struct pv_auto_accept *rules,
                      size_t n, struct pv_view saved, const struct pv_log *log)
{
    struct pv_autoaccept *a = calloc(1, sizeof(*a) + n * sizeof(a->rules[0]));
    if (a == NULL)
        return PV_ERR_NOMEM;
    a->log = log;
    for (size_t i = 0; i < n; i++) {
        struct rule *r = find(a, rules[i].name);
        if (rules[i].name[0] != '\0' && r == NULL) {
            r = &a->rules[a->n++];
            memcpy(r->name, rules[i].name, sizeof(r->name));
        }
        uint64_t *max = r == NULL ? &a->everybody : &r->max;
        *max = rules[i].max > *max ? rules[i].max : *max;
    }
    /* The daemon starts all the same: a rule without a pin is pinned to who has its name now. */
    int r = load(a, saved);
    if (r != PV_OK)
        pv_log(log, PV_LOG_WARN, "what=\"machines of auto-accept not read\" why=\"%s\"",
               pv_strstatus(r));
    *ret_rules = a;
    return PV_OK;
}

struct pv_autoaccept *pv_autoaccept_free(struct pv_autoaccept *a)
{
    free(a);
    return NULL;
}

/* Nearly always it is the network that the pins are of: the owner says it before each question. */
void pv_autoaccept_enter(struct pv_autoaccept *a, const uint8_t *network_id)
{
    if (a->has_network && memcmp(a->network_id, network_id, sizeof(a->network_id)) == 0)
        return;
    memcpy(a->network_id, network_id, sizeof(a->network_id));
    a->has_network = true;
    for (size_t i = 0; i < a->n; i++) {
        a->dirty = a->dirty || a->rules[i].pinned;
        a->rules[i].pinned = false;
    }
}

/* --- whose files --------------------------------------------------------------------------- */

/* Another machine is logged once, however often the owner asks about it. */
static void tell(struct pv_autoaccept *a, struct rule *r, const uint8_t *pk)
{
    if (memcmp(r->told, pk, sizeof(r->told)) == 0 || r->max <= a->everybody)
        return;
    memcpy(r->told, pk, sizeof(r->told));
    pv_log(a->log, PV_LOG_WARN,
           "peer=%s what=\"auto-accept does not hold for this machine\" why=\"another one had the "
           "name before: accept a file of it by hand\"",
           r->name);
}

/* A rule for everybody still holds for a machine that the rule with its name does not hold for: it
 * takes no more of that one than of a stranger. */
uint64_t pv_autoaccept_max(struct pv_autoaccept *a, const char *name, const uint8_t *pk)
{
    struct rule *r = find(a, name);
    uint64_t max = a->everybody;
    if (r != NULL && !r->pinned)
        pin(a, r, pk);
    if (r != NULL && !is_pinned_to(r, pk))
        tell(a, r, pk);
    for (size_t i = 0; i < a->n; i++)
        if (is_pinned_to(&a->rules[i], pk) && a->rules[i].max > max)
            max = a->rules[i].max;
    return max;
}

void pv_autoaccept_trust(struct pv_autoaccept *a, const char *name, const uint8_t *pk)
{
    struct rule *r = find(a, name);
    if (r != NULL && !is_pinned_to(r, pk))
        pin(a, r, pk);
}

const char *pv_autoaccept_name(const struct pv_autoaccept *a, size_t i)
{
    return i < a->n ? a->rules[i].name : NULL;
}

bool pv_autoaccept_keeps_out(const struct pv_autoaccept *a, size_t i, const uint8_t *pk)
{
    const struct rule *r = &a->rules[i];
    return r->pinned && !is_pinned_to(r, pk) && r->max > a->everybody;
}

/* --- what is kept -------------------------------------------------------------------------- */

bool pv_autoaccept_take_dirty(struct pv_autoaccept *a)
{
    bool dirty = a->dirty;
    a->dirty = false;
    return dirty;
}

/* A rule that is pinned to nobody yet has nothing to be kept. */
uint8_t *pv_autoaccept_save(const struct pv_autoaccept *a, size_t *ret_len)
{
    size_t cap = HEAD + a->n * PIN_MAX;
    uint8_t *buf = malloc(cap);
    uint16_t n = 0;
    if (buf == NULL)
        return NULL;
    for (size_t i = 0; i < a->n; i++)
        n = (uint16_t)(n + a->rules[i].pinned);
    struct pv_writer w = pv_writer(buf, cap);
    pv_put_u8(&w, VERSION);
    pv_put_bytes(&w, a->network_id, sizeof(a->network_id));
    pv_put_u16(&w, n);
    for (size_t i = 0; i < a->n; i++) {
        const struct rule *r = &a->rules[i];
        if (!r->pinned)
            continue;
        pv_put_view16(&w, pv_view(r->name, strlen(r->name)));
        pv_put_bytes(&w, r->pk, sizeof(r->pk));
    }
    *ret_len = w.len;
    return buf;
}
