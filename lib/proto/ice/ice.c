/* SPDX-License-Identifier: MIT */
/*
 * ice.c - the agent's interface: creation, descriptions and facts in, events and answers out (RFC
 * 8445). Every fact ends in pv_ice_update_state(), which derives the state from the tables; nothing
 * else sets it, so a state can never contradict the pairs.
 */
#include "proto/ice/ice.h"

#include <stdlib.h>
#include <string.h>

#include "crypto/ct.h"
#include "proto/ice/ice_agent.h"
#include "proto/stun/turn.h"

const char *pv_ice_cand_type_name(enum pv_ice_cand_type type)
{
    switch (type) {
    case PV_ICE_HOST:
        return "own";
    case PV_ICE_PRFLX:
        return "seen by the peer";
    case PV_ICE_SRFLX:
        return "public (STUN)";
    case PV_ICE_RELAY:
        return "relayed";
    }
    return "unknown";
}

const char *pv_ice_state_name(enum pv_ice_state state)
{
    switch (state) {
    case PV_ICE_NEW:
        return "new";
    case PV_ICE_CHECKING:
        return "checking";
    case PV_ICE_CONNECTED:
        return "connected";
    case PV_ICE_COMPLETED:
        return "completed";
    case PV_ICE_DORMANT:
        return "dormant";
    case PV_ICE_FAILED:
        return "failed";
    }
    return "unknown";
}

/* RFC 8445 s5.1.2.1 with component 1, the only one there is. */
uint32_t pv_ice_priority(enum pv_ice_cand_type type, uint16_t local_pref)
{
    return ((uint32_t)type << 24) | ((uint32_t)local_pref << 8) | (256 - 1);
}

static const char ICE_CHARS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 64 characters divide 256, so every ice-char is equally likely and nothing has to be drawn
 * again. */
static void make_text(const struct pv_rng *rng, char *dst, size_t len)
{
    uint8_t bytes[PV_ICE_PWD_LEN];

    pv_rng_fill(rng, bytes, len);
    for (size_t i = 0; i < len; i++)
        dst[i] = ICE_CHARS[bytes[i] % 64];
    dst[len] = '\0';
    pv_wipe(bytes, sizeof(bytes));
}

void pv_ice_make_creds(const struct pv_rng *rng, struct pv_ice_creds *ret_creds)
{
    memset(ret_creds, 0, sizeof(*ret_creds));
    make_text(rng, ret_creds->ufrag, PV_ICE_UFRAG_LEN);
    make_text(rng, ret_creds->pwd, PV_ICE_PWD_LEN);
}

/* ice-chars only, within the bounds of RFC 8839 s5.4 and ours, and terminated. */
static bool text_is_ok(const char *text, size_t min, size_t max)
{
    size_t len = strnlen(text, max + 1);
    return len >= min && len <= max && strspn(text, ICE_CHARS) == len;
}

static bool creds_are_ok(const struct pv_ice_creds *c)
{
    return text_is_ok(c->ufrag, 4, PV_ICE_UFRAG_MAX) && text_is_ok(c->pwd, 22, PV_ICE_PWD_MAX);
}

/* The comparison tells a restart from a repetition; passwords are compared in constant time
 * although both sides are trusted, since the code may one day be reached by others. */
static bool creds_equal(const struct pv_ice_creds *a, const struct pv_ice_creds *b)
{
    return strcmp(a->ufrag, b->ufrag) == 0 && strlen(a->pwd) == strlen(b->pwd) &&
           pv_ct_equal(a->pwd, b->pwd, strlen(a->pwd));
}

/* The indices that name a pair start as PV_ICE_NONE: 0 is a pair. */
int pv_ice_new(struct pv_ice_agent **ret_agent, const struct pv_ice_config *cfg, pv_ns now)
{
    if (!creds_are_ok(&cfg->local))
        return PV_ERR_MALFORMED;
    struct pv_ice_agent *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return PV_ERR_NOMEM;
    a->cfg = *cfg;
    if (a->cfg.binding_lifetime == 0)
        a->cfg.binding_lifetime = PV_ICE_LIFETIME;
    a->tie_breaker = pv_rng_u64(&a->cfg.rng);
    a->now = now;
    a->selected = PV_ICE_NONE;
    a->nominated = PV_ICE_NONE;
    a->nominating = PV_ICE_NONE;
    a->wanted = PV_ICE_NONE;
    a->notice = PV_ICE_NONE;
    *ret_agent = a;
    return PV_OK;
}

struct pv_ice_agent *pv_ice_free(struct pv_ice_agent *agent)
{
    if (agent != NULL)
        pv_wipe(agent, sizeof(*agent));
    free(agent);
    return NULL;
}

/* --- descriptions -------------------------------------------------------------------------- */

/* RFC 8445 s9: new credentials void every check under way, but the path in use keeps carrying data
 * until another is proven. Answers that wait in the queue are dropped, because they would be signed
 * with a password that the peer has not seen yet. */
int pv_ice_restart(struct pv_ice_agent *a, const struct pv_ice_creds *local, pv_ns now)
{
    if (!creds_are_ok(local))
        return PV_ERR_MALFORMED;
    a->now = now;
    a->cfg.local = *local;
    a->present = false;
    if (a->cfg.controlling)
        a->nomination = 0; /* the other side begins anew with our credentials */
    a->n_answers = 0;      /* they would carry the integrity of the new password */
    memset(a->early, 0, sizeof(a->early));
    PV_ICE_TRACE(a, "restart: our credentials changed");
    pv_ice_keep_reset(a);
    pv_ice_update_state(a);
    return PV_OK;
}

/* Peer-reflexive candidates are learnt, not given, so a new list does not name them. They stay as
 * long as the base through which they were learnt. */
static void keep_reflexive(struct pv_ice_agent *a, const struct pv_ice_cand *old, size_t n_old)
{
    for (size_t i = 0; i < n_old && a->n_locals < PV_ICE_MAX_LOCAL; i++) {
        int base = pv_ice_base_find(a, &old[i].carrier, old[i].carrier.local.family);
        bool known = false;
        for (size_t j = 0; j < a->n_locals; j++)
            known |= pv_addr_equal(&a->locals[j].addr, &old[i].addr);
        if (!known && base != PV_ICE_NONE &&
            pv_addr_equal(&a->bases[base].carrier.local, &old[i].carrier.local))
            a->locals[a->n_locals++] = old[i];
    }
}

/* Nothing is in use yet: the first packets go over the members' relay, which needs no proof. */
static void lean_on_relay(struct pv_ice_agent *a)
{
    if (a->has_remote && a->selected == PV_ICE_NONE)
        (void)pv_ice_choose_relay(a);
}

/* The list is always whole, so that nothing has to be matched up by the caller; pairs whose base is
 * still there survive with all they have learnt. */
void pv_ice_set_local(struct pv_ice_agent *a, const struct pv_ice_cand *cands, size_t n, pv_ns now)
{
    struct pv_ice_cand reflexive[PV_ICE_MAX_LOCAL];
    size_t n_reflexive = a->n_locals - a->n_given;

    a->now = now;
    memcpy(reflexive, a->locals + a->n_given, n_reflexive * sizeof(reflexive[0]));
    if (n > PV_ICE_MAX_LOCAL)
        n = PV_ICE_MAX_LOCAL;
    if (n > 0)
        memcpy(a->locals, cands, n * sizeof(cands[0]));
    a->n_given = n;
    a->n_locals = n;
    pv_ice_bases_set(a, cands, n);
    keep_reflexive(a, reflexive, n_reflexive);
    pv_ice_pairs_form(a);
    lean_on_relay(a);
    pv_ice_update_state(a);
}

bool pv_ice_set_nat64(struct pv_ice_agent *a, const struct pv_prefix *prefix)
{
    bool same = pv_addr_equal_ip(&prefix->base, &a->nat64.base) && prefix->bits == a->nat64.bits;
    a->nat64 = *prefix;
    return !same;
}

int pv_ice_add_carrier(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier, pv_ns now)
{
    a->now = now;
    for (int b = 0; b < PV_ICE_MAX_LOCAL; b++)
        if (a->bases[b].used && a->bases[b].carrier.sock == carrier->sock &&
            pv_addr_equal(&a->bases[b].carrier.local, &carrier->local))
            return PV_OK;
    return pv_ice_base_add(a, carrier);
}

void pv_ice_retire_carrier(struct pv_ice_agent *a, uint16_t sock, uint16_t family, pv_ns now)
{
    a->now = now;
    for (int b = 0; b < PV_ICE_MAX_LOCAL; b++) {
        struct pv_ice_base *base = &a->bases[b];
        if (base->used && base->carrier.kind == PV_ICE_CARRIER_UDP && base->carrier.sock == sock &&
            base->carrier.local.family == family)
            base->extra = base->retiring = true;
    }
}

void pv_ice_drop_carrier(struct pv_ice_agent *a, uint16_t sock, pv_ns now)
{
    a->now = now;
    for (int b = 0; b < PV_ICE_MAX_LOCAL; b++)
        if (a->bases[b].extra && a->bases[b].carrier.sock == sock)
            a->bases[b].used = false;
    size_t kept = a->n_given;
    for (size_t i = a->n_given; i < a->n_locals; i++)
        if (a->locals[i].carrier.sock != sock)
            a->locals[kept++] = a->locals[i];
    a->n_locals = kept;
    pv_ice_pairs_form(a);
    pv_ice_update_state(a);
}

/* Forgets candidates that the new description does not list. The one in use stays as a
 * peer-reflexive one, because a path is judged by its answers and not by a list that may have been
 * written before it was found. */
static void drop_undescribed(struct pv_ice_agent *a, bool restarted)
{
    uint8_t in_use = a->selected == PV_ICE_NONE ? PV_ICE_MAX_REMOTE : a->pairs[a->selected].remote;

    for (int i = 0; i < PV_ICE_MAX_REMOTE; i++) {
        struct pv_ice_remote *r = &a->remotes[i];
        if (!r->used || r->described)
            continue;
        if (i == in_use && r->cand.type != PV_ICE_RELAY)
            r->cand.type = PV_ICE_PRFLX;
        else if (i == in_use)
            continue;
        else if (restarted || r->cand.type != PV_ICE_PRFLX)
            r->used = false;
    }
}

/* Checks that arrived before the description count now that their sender is known; without this the
 * peer's first nomination would be lost and sent again only after a timeout. */
static void replay_early(struct pv_ice_agent *a)
{
    struct pv_ice_early early[PV_ICE_MAX_EARLY];

    memcpy(early, a->early, sizeof(early));
    for (size_t i = 0; i < PV_ICE_MAX_EARLY; i++) {
        if (!early[i].used || strcmp(early[i].ufrag, a->remote_creds.ufrag) != 0)
            continue;
        a->early[i].used = false;
        if (a->bases[early[i].base].used &&
            a->bases[early[i].base].carrier.local.family == early[i].src.family)
            pv_ice_check_effects(a, &early[i]);
    }
}

/* A candidate of the other side as it is written to from here. Private addresses are another
 * network's: the translator would lead to some host near it. */
static struct pv_ice_cand reached(const struct pv_ice_agent *a, const struct pv_ice_cand *cand)
{
    struct pv_ice_cand c = *cand;
    if (!pv_addr_is_private(&c.addr) && pv_addr_is_usable_remote(&c.addr))
        c.addr = pv_nat64_make(&a->nat64, &c.addr);
    return c;
}

/* New credentials are a restart of the peer (RFC 8445 s7.3.1.1, s9). The order matters: candidates
 * before pairs, pairs before early checks, and the relay last, since it is used only where nothing
 * else is selected. */
int pv_ice_set_remote(struct pv_ice_agent *a, const struct pv_ice_creds *remote,
                      const struct pv_ice_cand *cands, size_t n, pv_ns now)
{
    if (!creds_are_ok(remote))
        return PV_ERR_MALFORMED;
    a->now = now;
    bool first = !a->has_remote;
    bool restarted = !first && !creds_equal(remote, &a->remote_creds);
    a->remote_creds = *remote;
    a->has_remote = true;
    if (restarted) {
        PV_ICE_TRACE(a, "the peer began anew");
        if (!a->cfg.controlling)
            a->nomination = 0; /* its counter may begin anew, too */
    }
    if (first || restarted)
        pv_ice_keep_reset(a);

    for (int i = 0; i < PV_ICE_MAX_REMOTE; i++)
        a->remotes[i].described = false;
    size_t taken = 0;
    for (size_t i = 0; i < n && taken < PV_ICE_MAX_DESCRIBED; i++) {
        const struct pv_ice_cand cand = reached(a, &cands[i]);
        if (pv_addr_is_usable_remote(&cand.addr) &&
            pv_ice_remote_add(a, &cand, true) != PV_ICE_NONE)
            taken++;
    }
    drop_undescribed(a, restarted);
    pv_ice_pairs_form(a);
    pv_ice_check_open(a);
    replay_early(a);
    lean_on_relay(a);
    pv_ice_keep_confirm(a);
    pv_ice_update_state(a);
    return PV_OK;
}

/* --- other facts --------------------------------------------------------------------------- */

void pv_ice_kick(struct pv_ice_agent *a, pv_ns now)
{
    a->now = now;
    if (!a->has_remote || (a->last_kick != 0 && now < a->last_kick + PV_ICE_KICK_MIN))
        return;
    pv_ice_keep_kick(a);
    pv_ice_update_state(a);
}

void pv_ice_set_present(struct pv_ice_agent *a, bool present, pv_ns now)
{
    a->now = now;
    a->present = present;
    lean_on_relay(a);
    pv_ice_update_state(a);
}

void pv_ice_try_others(struct pv_ice_agent *a, pv_ns now)
{
    a->now = now;
    if (!a->has_remote || a->dormant)
        return;
    pv_ice_keep_try_others(a);
    pv_ice_update_state(a);
}

/* A shorter lifetime counts at once; a longer one from the next check on. */
void pv_ice_set_lifetime(struct pv_ice_agent *a, pv_ns lifetime, pv_ns now)
{
    a->now = now;
    a->cfg.binding_lifetime = lifetime == 0 ? PV_ICE_LIFETIME : lifetime;
    if (a->selected == PV_ICE_NONE)
        return;
    struct pv_ice_pair *p = &a->pairs[a->selected];
    p->next_keep = pv_min_ns(p->next_keep, now + a->cfg.binding_lifetime);
}

/* Times never fall and never lie in the future: the packet threads read their own clock and report
 * late. */
void pv_ice_note_traffic(struct pv_ice_agent *a, pv_ns last_tx_data, pv_ns last_rx_selected,
                         pv_ns now)
{
    a->now = now;
    if (last_tx_data > a->last_tx)
        a->last_tx = pv_min_ns(last_tx_data, now);
    if (last_rx_selected > a->last_rx)
        a->last_rx = pv_min_ns(last_rx_selected, now);
    pv_ice_keep_traffic(a);
    pv_ice_update_state(a);
}

void pv_ice_note_data(struct pv_ice_agent *a, pv_ns last_rx_data, pv_ns now)
{
    pv_ns at = pv_min_ns(last_rx_data, now);

    a->now = now;
    a->told_data = true;
    if (at > a->last_data)
        pv_ice_keep_data(a, at);
}

/* An authenticated packet proves the peer, not the address: it may have been captured and sent
 * again from a victim's address. Hence the check with at most three times the bytes received (RFC
 * 9000 s8.1 has the same rule of three). */
void pv_ice_note_stray(struct pv_ice_agent *a, const struct pv_ice_carrier *carrier,
                       const struct pv_addr *src, size_t len, pv_ns now)
{
    a->now = now;
    int base = pv_ice_base_find(a, carrier, src->family);
    if (!a->has_remote || base == PV_ICE_NONE || !pv_addr_is_usable_remote(src))
        return;
    int remote = pv_ice_remote_find(a, src);
    if (remote == PV_ICE_NONE) {
        bool relayed = pv_turn_is_virtual(src);
        struct pv_ice_cand cand = {.type = relayed ? PV_ICE_RELAY : PV_ICE_PRFLX,
                                   .addr = *src,
                                   .priority = pv_ice_priority(PV_ICE_PRFLX, 32768)};
        remote = pv_ice_remote_add(a, &cand, false);
    }
    if (remote == PV_ICE_NONE)
        return;
    bool known = pv_ice_pair_find(a, base, remote) != PV_ICE_NONE;
    int index = pv_ice_pair_get(a, base, remote);
    if (index == PV_ICE_NONE)
        return;
    struct pv_ice_pair *p = &a->pairs[index];
    if (!known && !a->remotes[remote].described)
        p->stray = true;
    size_t grant = 3 * (len + PV_ICE_UDP_OVERHEAD);
    if (p->stray)
        p->budget = (uint32_t)(grant > 4096 ? 4096 : grant);
    pv_ice_check_trigger(a, index);
    pv_ice_update_state(a);
}

void pv_ice_handle_timeout(struct pv_ice_agent *agent, pv_ns now)
{
    agent->now = now;
    pv_ice_keep_handle_timeout(agent);
}

pv_ns pv_ice_next_timeout(const struct pv_ice_agent *agent)
{
    return pv_ice_keep_next_timeout(agent);
}

/* --- events and questions ------------------------------------------------------------------ */

static void fill_path(const struct pv_ice_agent *a, int index, struct pv_ice_path *ret_path)
{
    const struct pv_ice_pair *p = &a->pairs[index];

    *ret_path = (struct pv_ice_path){
        .carrier = a->bases[p->base].carrier,
        .remote = a->remotes[p->remote].cand.addr,
        .local_type = pv_ice_pair_local_type(a, p),
        .remote_type = a->remotes[p->remote].cand.type,
        .mapped = p->mapped,
        .rtt = p->srtt,
        .loss = pv_ice_pair_loss(p),
        .loss_of = p->loss_n,
        .valid = p->state == PV_ICE_PAIR_VALID,
        .selected = index == a->selected,
        .nominated = index == a->nominated,
        .failed = p->state == PV_ICE_PAIR_FAILED,
        .no_data = p->no_data && a->now < p->hold_until,
        .checks = p->checks,
        .answers = p->answers,
        .unanswered = p->unanswered,
        .heard = p->heard,
    };
}

/* Flags, not a queue: several changes between two polls give one event with the present state, and
 * no event can be lost for want of room. LOST comes first, as everything else presumes a path. */
int pv_ice_poll_event(struct pv_ice_agent *a, struct pv_ice_event *ret_event)
{
    struct pv_ice_event ev = {.state = a->state};

    if (pv_ice_event_take(a, PV_ICE_EV_LOST) && a->selected == PV_ICE_NONE)
        ev.type = PV_ICE_EV_LOST;
    else if (pv_ice_event_take(a, PV_ICE_EV_SELECTED) && a->selected != PV_ICE_NONE)
        ev.type = PV_ICE_EV_SELECTED;
    else if (pv_ice_event_take(a, PV_ICE_EV_SUSPECT) && a->suspect)
        ev.type = PV_ICE_EV_SUSPECT;
    else if (pv_ice_event_take(a, PV_ICE_EV_LATE) && a->probe.runs)
        ev.type = PV_ICE_EV_LATE;
    else if (pv_ice_event_take(a, PV_ICE_EV_ECHO) && a->no_data > 0)
        ev.type = PV_ICE_EV_ECHO;
    else if (pv_ice_event_take(a, PV_ICE_EV_STATE))
        ev.type = PV_ICE_EV_STATE;
    else if (pv_ice_event_take(a, PV_ICE_EV_CANDIDATES_CHANGED))
        ev.type = PV_ICE_EV_CANDIDATES_CHANGED;
    else
        return PV_ERR_AGAIN;
    if (a->selected != PV_ICE_NONE)
        fill_path(a, a->selected, &ev.path);
    *ret_event = ev;
    return PV_OK;
}

enum pv_ice_state pv_ice_state(const struct pv_ice_agent *agent)
{
    return agent->state;
}

pv_ns pv_ice_alive_at(const struct pv_ice_agent *a)
{
    bool late = a->probe.runs && a->probe.late_at == PV_NEVER;
    return a->selected == PV_ICE_NONE || a->suspect || late ? 0 : a->pairs[a->selected].last_answer;
}

int pv_ice_selected(const struct pv_ice_agent *a, struct pv_ice_path *ret_path)
{
    if (a->selected == PV_ICE_NONE)
        return PV_ERR_NOT_FOUND;
    fill_path(a, a->selected, ret_path);
    return PV_OK;
}

/* The order of a listing for people: the selected pair, valid ones by cost, the others by
 * priority. */
static bool lists_before(const struct pv_ice_agent *a, int i, int j)
{
    const struct pv_ice_pair *p = &a->pairs[i];
    const struct pv_ice_pair *q = &a->pairs[j];
    bool p_valid = p->state == PV_ICE_PAIR_VALID;
    bool q_valid = q->state == PV_ICE_PAIR_VALID;

    if ((i == a->selected) != (j == a->selected))
        return i == a->selected;
    if (p_valid != q_valid)
        return p_valid;
    if (p_valid && pv_ice_pair_cost(a, p) != pv_ice_pair_cost(a, q))
        return pv_ice_pair_cost(a, p) < pv_ice_pair_cost(a, q);
    return p->priority != q->priority ? p->priority > q->priority : i < j;
}

size_t pv_ice_paths(const struct pv_ice_agent *a, struct pv_ice_path *ret_paths, size_t cap)
{
    int order[PV_ICE_MAX_PAIRS];
    size_t n = 0;

    for (int i = 0; i < PV_ICE_MAX_PAIRS; i++) {
        if (!a->pairs[i].used)
            continue;
        size_t at = n++;
        for (; at > 0 && lists_before(a, i, order[at - 1]); at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    for (size_t i = 0; i < n && i < cap; i++)
        fill_path(a, order[i], &ret_paths[i]);
    return n < cap ? n : cap;
}

size_t pv_ice_locals(const struct pv_ice_agent *a, struct pv_ice_cand *ret_cands, size_t cap)
{
    size_t n = a->n_locals < cap ? a->n_locals : cap;

    if (n > 0)
        memcpy(ret_cands, a->locals, n * sizeof(ret_cands[0]));
    return n;
}
