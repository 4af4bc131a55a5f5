/* SPDX-License-Identifier: MIT */
/*
 * ruletable.c - from rules in order to sorted bounds. The ports of a protocol are cut at every
 * bound that some rule names; the rules then paint the pieces, the first one first, and never a
 * piece that has a colour. Neighbours of one colour are joined.
 */
#include "proto/rules/ruletable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ALLOW = 0x8000, /* bit of a colour: the verdict; the others are the rule */
    BARE = 0xffff,  /* no rule is about it (yet); a rule that allows has no such number */
    PROTOS_CUT = 3, /* TCP, UDP, ICMP: those with ports */
    PROTOS = 256,
    BLOCKS = 256, /* of 256 ports each */
};

/* The ports of one protocol: piece i begins at first[i] and ends before first[i + 1]. */
struct pieces {
    uint16_t *first;  /* owned, ascending, first[0] = 0 */
    uint16_t *colour; /* behind first, in the same block */
    uint32_t n;
};

struct pv_ruletable {
    unsigned refs; /* control */
    struct pieces ports[PROTOS_CUT];
    uint16_t block[PROTOS_CUT][BLOCKS]; /* the piece in which each 256 ports begin */
    uint16_t others[PROTOS];            /* colours of the protocols without ports */
};

/* The painted parts: pieces and, while that goes on, where the next bare one may be. */
struct painting {
    struct pieces p;
    uint32_t *next; /* owned: the first piece from here on that may be bare; n + 1 of them */
};

static int slot_of(uint8_t proto)
{
    return proto == PV_PORTS_TCP ? 0 : proto == PV_PORTS_UDP ? 1 : proto == PV_PORTS_ICMP ? 2 : -1;
}

static const uint8_t proto_of[PROTOS_CUT] = {PV_PORTS_TCP, PV_PORTS_UDP, PV_PORTS_ICMP};

/* A verdict and its reason in 16 bits, so that a piece costs four bytes. */
static uint16_t colour_of(uint16_t rule, bool allow)
{
    return (uint16_t)(rule | (allow ? ALLOW : 0));
}

/* --- bounds ------------------------------------------------------------------------------- */

static int cmp_u16(const void *a, const void *b)
{
    const uint16_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Adds the bounds of a set to first; returns how many there are then. */
static uint32_t add_bounds(uint16_t *first, uint32_t n, const struct pv_ports *ports, uint8_t proto)
{
    for (size_t i = 0; ports != NULL && i < ports->n; i++) {
        if (ports->v[i].proto != proto)
            continue;
        first[n++] = ports->v[i].first;
        if (ports->v[i].last != UINT16_MAX)
            first[n++] = (uint16_t)(ports->v[i].last + 1);
    }
    return n;
}

/* Every bound once, in order. The bounds are gathered with repetitions first: many rules name the
 * same ports, and the table shall hold each of them once. */
static int cut(struct painting *x, uint8_t proto, const struct pv_ruleline *lines, size_t n,
               const struct pv_ports *local)
{
    size_t most = 1 + (n + 1) * 2 * PV_PORTS_MAX;
    uint16_t *first = malloc(most * sizeof(*first));
    uint32_t bounds = 1, kept = 0;
    if (first == NULL)
        return PV_ERR_NOMEM;
    first[0] = 0;
    bounds = add_bounds(first, bounds, local, proto);
    for (size_t i = 0; i < n; i++)
        bounds = add_bounds(first, bounds, lines[i].ports, proto);
    qsort(first, bounds, sizeof(*first), cmp_u16);
    for (uint32_t i = 0; i < bounds; i++) {
        if (i == 0 || first[i] != first[kept - 1])
            first[kept++] = first[i];
    }
    x->p = (struct pieces){.n = kept, .first = malloc(2 * kept * sizeof(*first))};
    x->next = malloc((kept + 1) * sizeof(*x->next));
    if (x->p.first != NULL)
        memcpy(x->p.first, first, kept * sizeof(*first));
    free(first);
    if (x->p.first == NULL || x->next == NULL)
        return PV_ERR_NOMEM;
    x->p.colour = x->p.first + kept;
    for (uint32_t i = 0; i < kept; i++)
        x->p.colour[i] = BARE;
    for (uint32_t i = 0; i <= kept; i++)
        x->next[i] = i;
    return PV_OK;
}

/* The piece that a port lies in, between two that are known. The loop has no branch that depends on
 * the port: those of many flows would mispredict each one. */
static uint32_t find_between(const struct pieces *p, uint32_t lo, uint32_t hi, uint16_t port)
{
    const uint16_t *base = p->first + lo;
    uint32_t n = hi - lo + 1;
    while (n > 1) {
        uint32_t half = n / 2;
        base += base[half] <= port ? half : 0;
        n -= half;
    }
    return (uint32_t)(base - p->first);
}

static uint32_t find(const struct pieces *p, uint16_t port)
{
    return find_between(p, 0, p->n - 1, port);
}

/* --- painting ----------------------------------------------------------------------------- */

/* The first piece from i on that may be bare. Passing shortens the way for the next one. */
static uint32_t skip(uint32_t *next, uint32_t i)
{
    while (next[i] != i) {
        next[i] = next[next[i]];
        i = next[i];
    }
    return i;
}

static void paint(struct painting *x, uint16_t first, uint16_t last, uint16_t colour)
{
    uint32_t end = find(&x->p, last) + 1;
    for (uint32_t i = skip(x->next, find(&x->p, first)); i < end; i = skip(x->next, i)) {
        x->p.colour[i] = colour;
        x->next[i] = i + 1;
    }
}

/* "All" covers every port of the protocol. */
static void paint_set(struct painting *x, uint8_t proto, const struct pv_ports *ports,
                      uint16_t colour)
{
    for (size_t i = 0; i < ports->n; i++) {
        const struct pv_port_range *r = &ports->v[i];
        if (r->proto == PV_PORTS_PROTO_ALL)
            paint(x, 0, UINT16_MAX, colour);
        else if (r->proto == proto)
            paint(x, r->first, r->last, colour);
    }
}

/* Everything that this node does not let in comes before all rules. */
static void paint_local(struct painting *x, uint8_t proto, const struct pv_ports *local)
{
    for (uint32_t i = 0; local != NULL && i < x->p.n; i++) {
        if (!pv_ports_has(local, proto, x->p.first[i]))
            paint(x, x->p.first[i], x->p.first[i], colour_of(PV_RULE_LOCAL, false));
    }
}

/* Bare pieces are the default's. Fewer pieces are fewer steps for each packet. */
static void join(struct pieces *p, uint16_t bare)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        uint16_t colour = p->colour[i] == BARE ? bare : p->colour[i];
        if (n > 0 && p->colour[n - 1] == colour)
            continue;
        p->first[n] = p->first[i];
        p->colour[n++] = colour;
    }
    p->n = n;
}

static int make_ports(struct pieces *ret, uint8_t proto, const struct pv_ruleline *lines, size_t n,
                      bool allow_default, const struct pv_ports *local)
{
    struct painting x = {.next = NULL};
    int r = cut(&x, proto, lines, n, local);
    if (r == PV_OK) {
        paint_local(&x, proto, local);
        for (size_t i = 0; i < n; i++)
            paint_set(&x, proto, lines[i].ports, colour_of(lines[i].rule, lines[i].allow));
        join(&x.p, colour_of(PV_RULE_DEFAULT, allow_default));
    }
    free(x.next);
    *ret = x.p;
    return r;
}

/* Protocols without ports are allowed or denied as a whole, so they need no pieces. */
static uint16_t colour_other(uint8_t proto, const struct pv_ruleline *lines, size_t n,
                             bool allow_default, const struct pv_ports *local)
{
    if (local != NULL && !pv_ports_has(local, proto, 0))
        return colour_of(PV_RULE_LOCAL, false);
    for (size_t i = 0; i < n; i++) {
        if (pv_ports_has(lines[i].ports, proto, 0))
            return colour_of(lines[i].rule, lines[i].allow);
    }
    return colour_of(PV_RULE_DEFAULT, allow_default);
}

/* The parts made so far are freed again when the next one finds no memory. */
int pv_ruletable_new(const struct pv_ruleline *lines, size_t n, bool allow_default,
                     const struct pv_ports *local, struct pv_ruletable **ret_table)
{
    if (n > PV_RULES_MAX)
        return PV_ERR_LIMIT;
    for (size_t i = 0; i < n; i++) {
        if (lines[i].rule == 0 || lines[i].rule > PV_RULES_MAX)
            return PV_ERR_LIMIT;
    }
    struct pv_ruletable *t = calloc(1, sizeof(*t));
    int r = t == NULL ? PV_ERR_NOMEM : PV_OK;
    for (size_t i = 0; r == PV_OK && i < PROTOS_CUT; i++)
        r = make_ports(&t->ports[i], proto_of[i], lines, n, allow_default, local);
    if (r != PV_OK) {
        pv_ruletable_unref(t);
        return r;
    }
    t->refs = 1;
    for (size_t i = 0; i < PROTOS_CUT * BLOCKS; i++)
        t->block[i / BLOCKS][i % BLOCKS] =
            (uint16_t)find(&t->ports[i / BLOCKS], (uint16_t)(i % BLOCKS * (65536 / BLOCKS)));
    for (size_t i = 0; i < PROTOS; i++)
        t->others[i] = colour_other((uint8_t)i, lines, n, allow_default, local);
    *ret_table = t;
    return PV_OK;
}

struct pv_ruletable *pv_ruletable_ref(struct pv_ruletable *t)
{
    t->refs++;
    return t;
}

struct pv_ruletable *pv_ruletable_unref(struct pv_ruletable *t)
{
    if (t == NULL || (t->refs > 0 && --t->refs > 0))
        return NULL;
    for (size_t i = 0; i < PROTOS_CUT; i++)
        free(t->ports[i].first);
    free(t);
    return NULL;
}

struct pv_verdict pv_ruletable_look(const struct pv_ruletable *t, uint8_t proto, uint16_t port)
{
    int slot = slot_of(proto);
    uint16_t colour = t->others[proto];
    if (slot >= 0) {
        const struct pieces *p = &t->ports[slot];
        uint32_t block = port >> 8;
        uint32_t end = block + 1 < BLOCKS ? t->block[slot][block + 1] : p->n - 1;
        colour = p->colour[find_between(p, t->block[slot][block], end, port)];
    }
    return (struct pv_verdict){.allow = (colour & ALLOW) != 0,
                               .rule = (uint16_t)(colour & ~(unsigned)ALLOW)};
}

const char *pv_rule_format(uint16_t rule, char buf[static PV_RULE_TEXT])
{
    if (rule == PV_RULE_DEFAULT)
        snprintf(buf, PV_RULE_TEXT, "default");
    else if (rule == PV_RULE_LOCAL)
        snprintf(buf, PV_RULE_TEXT, "[firewall] of this node");
    else if (rule == PV_RULE_UNSEEN)
        snprintf(buf, PV_RULE_TEXT, "want of ports");
    else if (rule == PV_RULE_CLOSED)
        snprintf(buf, PV_RULE_TEXT, "closed: rules are not known yet");
    else
        snprintf(buf, PV_RULE_TEXT, "rule %u", rule);
    return buf;
}
