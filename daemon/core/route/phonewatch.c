/* SPDX-License-Identifier: MIT */
/* phonewatch.c - the presence of this node's phones, and the last handshakes of all others. */
#include "daemon/core/route/phonewatch.h"

#include <string.h>

#include "daemon/core/coord/coordinator.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/phones.h"
#include "proto/ip/phoneseen.h"

#define REFUSED_WAIT PV_S(30) /* ours: a statement may be on its way to the coordinator */
#define ASK_AGAIN    PV_MS(250)

/* The last word to the coordinator on a phone of this node, on this connection. */
enum told {
    TOLD_NOTHING,
    TOLD_OFFLINE,
    TOLD_ONLINE,
};

/* Kept of each peer that is a phone. */
struct phone {
    enum told told;
    pv_ns asked_at;    /* its gateway, for the first time since an answer was fresh; 0: never */
    pv_ns answered_at; /* 0: never */
};

struct phonewatch {
    struct pv_node *node;
    bool pending;     /* something may have changed: look */
    pv_ns look_at;    /* the next phone may be silent for too long; PV_NEVER: none is online */
    pv_ns tell_at;    /* the coordinator refused a word; PV_NEVER: it did not */
    pv_ns ask_at;     /* gateways that have not answered are asked again; PV_NEVER: none is */
    pv_ns asks_until; /* a client waits for answers until then; 0: none does */
    uint32_t asked[PV_PHONEWATCH_ASKED]; /* peers of phones whose gateways have not answered */
    size_t n_asked;
};

static struct phonewatch *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_phonewatch);
}

static struct phone *slot_of(struct pv_peer *p)
{
    return pv_peer_slot(p, &pv_part_phonewatch);
}

static struct pv_peer *next_own(const struct pv_node *n, const struct pv_peer *p)
{
    struct pv_peer *next = pv_peers_next_member(n->peers, p);
    while (next != NULL && !pv_peer_is_phone(next))
        next = pv_peers_next_member(n->peers, next);
    return next;
}

/* --- a gateway's own phones ------------------------------------------------------------------- */

static void look(struct phonewatch *x, pv_ns now)
{
    struct pv_node *n = x->node;
    x->look_at = PV_NEVER;
    if (pv_peers_count_phones(n->peers) == 0)
        return;
    for (struct pv_peer *p = NULL; (p = next_own(n, p)) != NULL;) {
        pv_ns heard = pv_peer_heard_at(p);
        bool online = heard != 0 && now - heard < PV_PHONEWATCH_SILENT;
        if (online)
            x->look_at = pv_min_ns(x->look_at, heard + PV_PHONEWATCH_SILENT);
        if (online == (pv_peer_presence(p) == PV_PRESENCE_ONLINE))
            continue;
        pv_peer_set_phone_presence(p, online, now);
        pv_peers_touch(n->peers, p, now);
    }
}

static int tell(struct phonewatch *x, const struct pv_ctl_phone *phones, size_t count)
{
    struct pv_ctl_msg msg = {.type = PV_CTL_PHONES, .u.phones = {.n = count, .nodes = phones}};
    return pv_coord_ask(x->node, &pv_part_phonewatch, &msg, 0);
}

/* Phones that the coordinator was told otherwise of, or nothing on this connection. */
static void tell_coordinator(struct phonewatch *x, pv_ns now)
{
    struct pv_node *n = x->node;
    struct pv_ctl_phone phones[PV_CTL_PHONES_MAX];
    struct phone *said[PV_CTL_PHONES_MAX];
    size_t count = 0;
    if (!n->online || x->tell_at != PV_NEVER || pv_peers_count_phones(n->peers) == 0)
        return;
    for (struct pv_peer *p = NULL; count < PV_CTL_PHONES_MAX && (p = next_own(n, p)) != NULL;) {
        struct phone *k = slot_of(p);
        bool online = pv_peer_presence(p) == PV_PRESENCE_ONLINE;
        if (k == NULL || k->told == (online ? TOLD_ONLINE : TOLD_OFFLINE))
            continue;
        memcpy(phones[count].node, pv_peer_pk(p), sizeof(phones[count].node));
        phones[count].online = online;
        said[count++] = k;
    }
    if (count == 0)
        return;
    if (tell(x, phones, count) != PV_OK) {
        x->tell_at = now + REFUSED_WAIT;
        return;
    }
    for (size_t i = 0; i < count; i++)
        said[i]->told = phones[i].online ? TOLD_ONLINE : TOLD_OFFLINE;
}

/* A connection that is new, or a word that was refused. */
static void forget_told(struct phonewatch *x)
{
    for (struct pv_peer *p = NULL; (p = next_own(x->node, p)) != NULL;) {
        struct phone *k = pv_peer_find_slot(p, &pv_part_phonewatch);
        if (k != NULL)
            k->told = TOLD_NOTHING;
    }
}

static void on_answer(void *part, uint64_t tag, const struct pv_ctl_msg *msg, pv_ns now)
{
    struct phonewatch *x = part;
    if (msg->type != PV_CTL_ERROR)
        return;
    forget_told(x);
    x->tell_at = now + REFUSED_WAIT;
}

/* --- last handshakes of phones elsewhere ------------------------------------------------------ */

static bool is_fresh(const struct phone *k, pv_ns now)
{
    return (k->answered_at != 0 && now - k->answered_at < PV_PHONEWATCH_FRESH) ||
           (k->asked_at != 0 && now - k->asked_at < PV_PHONEWATCH_FRESH);
}

/* The gateway of a phone, if it can be asked now or soon; NULL: nobody would answer. */
static struct pv_peer *gateway_of(const struct pv_node *n, const struct pv_peer *p)
{
    struct pv_peer *by = pv_peer_by(p) == 0 ? NULL : pv_peers_by_id(n->peers, pv_peer_by(p));
    return by != NULL && pv_node_is_on_overlay(n) && pv_peer_reach(by) != PV_REACH_NO ? by : NULL;
}

static void ask_gateway(struct pv_node *n, const struct pv_peer *p, pv_ns now)
{
    struct pv_peer *by = gateway_of(n, p);
    struct pv_phoneseen s = {.asks = true};
    uint8_t buf[PV_PHONESEEN_MAX];
    size_t len;
    if (by == NULL)
        return;
    pv_peer_want(by, "the last handshake of its phone is shown", now);
    pv_peers_touch(n->peers, by, now);
    if (!pv_peer_can_talk(by, now))
        return;
    memcpy(s.phone, pv_peer_pk(p), sizeof(s.phone));
    pv_phoneseen_build(&s, buf, &len);
    pv_peers_send(n->peers, by, PV_INBAND_SEEN, pv_view(buf, len));
}

/* Those that have not answered, which may have had no path. */
static void ask_all(struct phonewatch *x, pv_ns now)
{
    size_t left = 0;
    for (size_t i = 0; i < x->n_asked; i++) {
        const struct pv_peer *p = pv_peers_by_id(x->node->peers, x->asked[i]);
        if (p == NULL || gateway_of(x->node, p) == NULL)
            continue;
        ask_gateway(x->node, p, now);
        x->asked[left++] = x->asked[i];
    }
    x->n_asked = left;
    x->ask_at = left > 0 && now < x->asks_until ? now + ASK_AGAIN : PV_NEVER;
}

void pv_phonewatch_ask(struct pv_node *n, pv_ns now)
{
    struct phonewatch *x = of(n);
    bool more = false;
    if (x == NULL || n->roster == NULL || pv_roster_next_route(n->roster, NULL) == NULL)
        return;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_member(n->peers, p)) != NULL;) {
        if (x->n_asked == PV_PHONEWATCH_ASKED || gateway_of(n, p) == NULL)
            continue;
        struct phone *k = slot_of(p);
        if (k == NULL || is_fresh(k, now))
            continue;
        k->asked_at = now;
        x->asked[x->n_asked++] = pv_peer_id(p);
        more = true;
    }
    if (!more)
        return;
    x->asks_until = now + PV_PHONEWATCH_PATIENCE;
    ask_all(x, now);
}

bool pv_phonewatch_is_asking(const struct pv_node *n, pv_ns now)
{
    const struct phonewatch *x = of(n);
    return x != NULL && x->n_asked > 0 && now < x->asks_until;
}

/* The gateway's word about a phone of its own. */
static void note_answer(struct phonewatch *x, const struct pv_peer *from,
                        const struct pv_phoneseen *s, pv_ns now)
{
    struct pv_peer *p = pv_peers_by_pk(x->node->peers, s->phone);
    struct phone *k = p == NULL || pv_peer_by(p) != pv_peer_id(from) ? NULL : slot_of(p);
    if (k == NULL)
        return;
    for (size_t i = x->n_asked; i-- > 0;) {
        if (x->asked[i] == pv_peer_id(p))
            x->asked[i] = x->asked[--x->n_asked];
    }
    k->answered_at = now;
    if (s->ago != PV_PHONESEEN_NEVER)
        pv_peer_set_handshake(p, PV_S(s->ago), now);
}

static void answer_member(const struct pv_node *n, struct pv_peer *from, struct pv_phoneseen *s,
                          pv_ns now)
{
    const struct pv_peer *p = pv_peers_by_pk(n->peers, s->phone);
    uint8_t buf[PV_PHONESEEN_MAX];
    size_t len;
    if (p == NULL || !pv_peer_is_phone(p))
        return;
    pv_ns at = pv_peer_handshake_at(p), ago = at == 0 ? 0 : (now - at) / PV_S(1);
    s->asks = false;
    s->ago = at == 0 || ago >= PV_PHONESEEN_NEVER ? PV_PHONESEEN_NEVER : (uint32_t)ago;
    pv_phoneseen_build(s, buf, &len);
    pv_peers_send(n->peers, from, PV_INBAND_SEEN, pv_view(buf, len));
}

static void take_seen(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct phonewatch *x = part;
    struct pv_phoneseen s;
    if (pv_phoneseen_parse(body, &s) != PV_OK)
        return;
    if (s.asks)
        answer_member(x->node, from, &s, now);
    else
        note_answer(x, from, &s, now);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_SEEN, take_seen}};

/* --- life ------------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct phonewatch *x = part;
    x->look_at = x->tell_at = x->ask_at = PV_NEVER;
    return PV_OK;
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct phonewatch *x = part;
    if ((facts & (PV_FACT_ONLINE | PV_FACT_OFFLINE)) == 0)
        return;
    forget_told(x);
    x->tell_at = PV_NEVER;
    x->pending = true;
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct phonewatch *x = part;
    x->pending = x->pending || pv_peer_is_phone(p);
}

/* The coordinator need not wait for the end of this connection to hear that a phone is gone. */
static void on_peer_gone(void *part, struct pv_peer *p, pv_ns now)
{
    struct phonewatch *x = part;
    const struct phone *k = pv_peer_find_slot(p, &pv_part_phonewatch);
    struct pv_ctl_phone gone = {.online = false};
    if (k == NULL || k->told != TOLD_ONLINE || !x->node->online)
        return;
    memcpy(gone.node, pv_peer_pk(p), sizeof(gone.node));
    (void)!tell(x, &gone, 1); /* else its gateway's connection ends it */
}

static void run(void *part, pv_ns now)
{
    struct phonewatch *x = part;
    if (!x->pending)
        return;
    x->pending = false;
    look(x, now);
    tell_coordinator(x, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct phonewatch *x = part;
    if (now >= x->ask_at)
        ask_all(x, now);
    if (now < pv_min_ns(x->look_at, x->tell_at))
        return;
    x->tell_at = now >= x->tell_at ? PV_NEVER : x->tell_at;
    look(x, now);
    tell_coordinator(x, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct phonewatch *x = part;
    return pv_min_ns(pv_min_ns(x->look_at, x->tell_at), x->ask_at);
}

const struct pv_part pv_part_phonewatch = {
    .name = "phonewatch",
    .after = {"presence", "phones"},
    .size = PV_PART_SIZE(struct phonewatch),
    .peer_size = sizeof(struct phone),
    .start = start,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_peer_gone = on_peer_gone,
    .on_answer = on_answer,
    .run = run,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
};
