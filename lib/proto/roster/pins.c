/* SPDX-License-Identifier: MIT */
/* pins.c - names and their machines. There are few names (256 in a configuration), so a walk over
 * them is all that is needed. */
#include "proto/roster/pins.h"

#include <stdio.h>
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

struct pin {
    char name[PV_NAME_BUF];
    bool pinned;
    uint8_t pk[PV_SIGN_PK_LEN];
};

struct pv_pins {
    const char *key;
    const struct pv_log *log;
    bool has_network;
    uint8_t network_id[PV_NETWORK_ID_LEN]; /* of the pins */
    bool dirty;
    size_t n;
    struct pin pins[];
};

int pv_pins_new(struct pv_pins **ret_pins, size_t room, const char *key, const struct pv_log *log)
{
    struct pv_pins *p = calloc(1, sizeof(*p) + room * sizeof(p->pins[0]));
    if (p == NULL)
        return PV_ERR_NOMEM;
    p->key = key;
    p->log = log;
    *ret_pins = p;
    return PV_OK;
}

struct pv_pins *pv_pins_free(struct pv_pins *p)
{
    free(p);
    return NULL;
}

bool pv_pins_find(const struct pv_pins *p, const char *name, size_t *ret_i)
{
    size_t i = 0;
    while (i < p->n && strcmp(p->pins[i].name, name) != 0)
        i++;
    *ret_i = i;
    return i < p->n;
}

size_t pv_pins_add(struct pv_pins *p, const char *name)
{
    size_t i;
    if (!pv_pins_find(p, name, &i)) {
        snprintf(p->pins[i].name, sizeof(p->pins[i].name), "%s", name);
        p->n++;
    }
    return i;
}

const char *pv_pins_name(const struct pv_pins *p, size_t i)
{
    return i < p->n ? p->pins[i].name : NULL;
}

/* --- pins ---------------------------------------------------------------------------------- */

/* Nearly always it is the network that the pins are of: the owner says it before each question. */
void pv_pins_enter(struct pv_pins *p, const uint8_t *network_id)
{
    if (p->has_network && memcmp(p->network_id, network_id, sizeof(p->network_id)) == 0)
        return;
    memcpy(p->network_id, network_id, sizeof(p->network_id));
    p->has_network = true;
    for (size_t i = 0; i < p->n; i++) {
        p->dirty = p->dirty || p->pins[i].pinned;
        p->pins[i].pinned = false;
    }
}

bool pv_pins_is(const struct pv_pins *p, size_t i, const uint8_t *pk)
{
    return p->pins[i].pinned && memcmp(p->pins[i].pk, pk, sizeof(p->pins[i].pk)) == 0;
}

bool pv_pins_is_another(const struct pv_pins *p, size_t i, const uint8_t *pk)
{
    return p->pins[i].pinned && !pv_pins_is(p, i, pk);
}

void pv_pins_move(struct pv_pins *p, size_t i, const uint8_t *pk)
{
    struct pin *x = &p->pins[i];
    if (pv_pins_is(p, i, pk))
        return;
    memcpy(x->pk, pk, sizeof(x->pk));
    x->pinned = true;
    p->dirty = true;
    pv_log(p->log, PV_LOG_INFO, "peer=%s what=\"%s holds for this machine\"", x->name, p->key);
}

void pv_pins_see(struct pv_pins *p, size_t i, const uint8_t *pk)
{
    if (!p->pins[i].pinned)
        pv_pins_move(p, i, pk);
}

void pv_pins_look(struct pv_pins *p, const struct pv_roster *roster)
{
    pv_pins_enter(p, pv_roster_network_id(roster));
    for (size_t i = 0; i < p->n; i++) {
        const struct pv_member *m =
            p->pins[i].pinned ? NULL : pv_roster_by_name(roster, p->pins[i].name);
        if (m != NULL)
            pv_pins_move(p, i, m->node);
    }
}

bool pv_pins_is_somebody(const struct pv_pins *p, size_t i, const struct pv_roster *roster)
{
    const struct pin *x = &p->pins[i];
    return x->pinned ? pv_roster_enrolled(roster, x->pk) != NULL
                     : pv_roster_by_name(roster, x->name) != NULL;
}

/* --- what is kept -------------------------------------------------------------------------- */

/* A pin without a name is left out, so that a line which is taken out and put in again begins anew.
 */
static int load(struct pv_pins *p, struct pv_view saved)
{
    struct pv_reader r = pv_reader(saved);
    if (saved.len == 0)
        return PV_OK;
    if (pv_get_u8(&r) != VERSION)
        return PV_ERR_UNSUPPORTED;
    pv_get_copy(&r, p->network_id, sizeof(p->network_id));
    p->has_network = r.status == PV_OK;
    for (uint16_t n = pv_get_u16(&r); n > 0 && r.status == PV_OK; n--) {
        char name[PV_NAME_BUF];
        uint8_t pk[PV_SIGN_PK_LEN];
        size_t i;
        struct pv_view text = pv_get_view16(&r, PV_NAME_MAX);
        pv_get_copy(&r, pk, sizeof(pk));
        if (r.status != PV_OK || pv_name_parse((const char *)text.ptr, text.len, name) != PV_OK) {
            pv_reader_fail(&r, PV_ERR_MALFORMED);
            break;
        }
        bool known = pv_pins_find(p, name, &i);
        p->dirty = p->dirty || !known;
        if (!known)
            continue;
        memcpy(p->pins[i].pk, pk, sizeof(p->pins[i].pk));
        p->pins[i].pinned = true;
    }
    return pv_reader_end(&r);
}

/* The daemon starts all the same: a name without a pin is pinned to the machine that has it now. */
void pv_pins_load(struct pv_pins *p, struct pv_view saved)
{
    int r = load(p, saved);
    if (r != PV_OK)
        pv_log(p->log, PV_LOG_WARN, "what=\"machines of %s not read\" why=\"%s\"", p->key,
               pv_strstatus(r));
}

bool pv_pins_take_dirty(struct pv_pins *p)
{
    bool dirty = p->dirty;
    p->dirty = false;
    return dirty;
}

/* A name that is pinned to nobody yet has nothing to be kept. */
uint8_t *pv_pins_save(const struct pv_pins *p, size_t *ret_len)
{
    size_t cap = HEAD + p->n * PIN_MAX;
    uint8_t *buf = malloc(cap);
    uint16_t n = 0;
    if (buf == NULL)
        return NULL;
    for (size_t i = 0; i < p->n; i++)
        n = (uint16_t)(n + p->pins[i].pinned);
    struct pv_writer w = pv_writer(buf, cap);
    pv_put_u8(&w, VERSION);
    pv_put_bytes(&w, p->network_id, sizeof(p->network_id));
    pv_put_u16(&w, n);
    for (size_t i = 0; i < p->n; i++) {
        const struct pin *x = &p->pins[i];
        if (!x->pinned)
            continue;
        pv_put_view16(&w, pv_view(x->name, strlen(x->name)));
        pv_put_bytes(&w, x->pk, sizeof(x->pk));
    }
    *ret_len = w.len;
    return buf;
}
