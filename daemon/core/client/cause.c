/* SPDX-License-Identifier: MIT */
/* cause.c - the diagnosis as a table of rules, in the order in which one cause hides the others:
 * the own machine, the peer's presence, the way to it. The first rule that applies speaks. The
 * facts behind the rules are in the lines below the diagnosis (`why`). */
#include "daemon/core/client/cause.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/path/gatherer.h"
#include "daemon/core/path/relays.h"
#include "daemon/core/peer/handshakes.h"
#include "daemon/core/peer/hardnat_part.h"
#include "daemon/core/peer/peers.h"

enum {
    ENOUGH_CHECKS = PV_ICE_DEAF,
    ENOUGH_HEARD = 2, /* of the peer's since then: not one that crossed our last answer */
    SILENT_SENDS = 3, /* descriptions without an acknowledgement: about 2 s */
    LOSSY = 50,       /* ours: 1/1000 of the checks */
    CAUSE_PATHS = PV_ICE_MAX_PAIRS,
    HAS_IPV4 = 1,
    HAS_IPV6 = 2,
};
#define FAR      PV_MS(300) /* ours: round trip that people notice */
#define FOUND_BY PV_S(30)   /* ours: the checks of all pairs, and an attempt at hard NATs */

/* Of the pairs over UDP that lead to public addresses, since each one's last answer. */
struct seen {
    unsigned sent, heard;
    bool answers; /* a pair is proven now */
    bool no_data;
    struct pv_addr to; /* where most of them went */
};

/* All that the rules look at. */
struct scene {
    const struct pv_node *n;
    const struct pv_cause_own *own;
    struct pv_peer *p;
    const char *name;             /* the peer's */
    const struct pv_desc *theirs; /* its newest description; empty when it sent none */
    const struct pv_addr *our_public, *their_public; /* NULL: none is known */
    struct seen seen;
    pv_ns now;
};

static bool say(struct pv_cause *c, struct pv_remedy todo, const char *fmt, ...) PV_PRINTF(3, 4);
static bool say(struct pv_cause *c, struct pv_remedy todo, const char *fmt, ...)
{
    /* It is always true, so that a rule can end in it. */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof(c->text), fmt, ap);
    va_end(ap);
    c->remedy = todo.id;
    pv_remedy_write(&todo, c->todo, sizeof(c->todo));
    return true;
}

/* --- what the checks saw --------------------------------------------------------------------- */

static struct seen look(const struct pv_peer *p)
{
    struct pv_ice_path paths[CAUSE_PATHS];
    struct seen s = {.to.family = PV_AF_NONE};
    const struct pv_ice_agent *agent = pv_peer_agent(p);
    unsigned most = 0;
    size_t n = agent == NULL ? 0 : pv_ice_paths(agent, paths, PV_ARRAY_LEN(paths));
    for (size_t i = 0; i < n; i++) {
        const struct pv_ice_path *x = &paths[i];
        if (x->carrier.kind != PV_ICE_CARRIER_UDP || x->remote_type == PV_ICE_RELAY)
            continue;
        s.no_data = s.no_data || x->no_data;
        s.answers = s.answers || x->valid;
        /* A silent private address proves nothing: most of them belong to some other LAN. */
        if (pv_addr_is_private(&x->remote))
            continue;
        s.sent += x->unanswered;
        s.heard += x->heard;
        if (x->unanswered > most) {
            most = x->unanswered;
            s.to = x->remote;
        }
    }
    return s;
}

/* A public address among candidates: of a server's view, or of the machine itself. */
static const struct pv_addr *public_of(const struct pv_ice_cand *cands, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (cands[i].type != PV_ICE_RELAY && !pv_addr_is_private(&cands[i].addr))
            return &cands[i].addr;
    }
    return NULL;
}

/* The kinds of addresses that packets may come to. One that a server saw is not counted: it may be
 * a NAT64's, of IPv4, while the machine has IPv6 alone. */
static unsigned families(const struct pv_ice_cand *cands, size_t n)
{
    unsigned kinds = 0;
    for (size_t i = 0; i < n; i++) {
        if (cands[i].type == PV_ICE_HOST)
            kinds |= cands[i].addr.family == PV_AF_INET6 ? HAS_IPV6 : HAS_IPV4;
    }
    return kinds;
}

/* Returns true if a host address of theirs has the first 24 bits of one of ours. Candidates carry
 * no prefix. */
static bool share_lan(const struct scene *s)
{
    for (size_t i = 0; i < s->n->ways.n_locals; i++) {
        const struct pv_ice_cand *ours = &s->n->ways.locals[i];
        const struct pv_prefix lan = {.base = ours->addr, .bits = 24};
        if (ours->type != PV_ICE_HOST || ours->addr.family != PV_AF_INET)
            continue;
        for (size_t k = 0; k < s->theirs->n_cands; k++) {
            const struct pv_ice_cand *c = &s->theirs->cands[k];
            if (c->type == PV_ICE_HOST && pv_prefix_contains(&lan, &c->addr))
                return true;
        }
    }
    return false;
}

/* --- this machine ----------------------------------------------------------------------------- */

/* A path that does not answer now is no direct one here: its rules would say that nothing is wrong.
 */
static bool is_direct(const struct pv_peer *p)
{
    return pv_peer_is_direct(p) && pv_peer_reach(p) == PV_REACH_PATH;
}

/* A member that does not know of it yet is still reached. */
static bool own_removed(const struct scene *s, struct pv_cause *c)
{
    const char *denied = pv_node_denied(s->n);
    if (!s->n->removed && (denied == NULL || pv_peer_reach(s->p) == PV_REACH_PATH))
        return false;
    return denied != NULL ? say(c, PV_DO(ask_if_removed), "%s", denied)
                          : say(c, PV_DO(join_anew), "this machine was removed from the network");
}

static bool own_left(const struct scene *s, struct pv_cause *c)
{
    return pv_node_was_left(s->n) &&
           say(c, PV_DO(join_again), "this machine left the network, and not by a command here");
}

static bool own_down(const struct scene *s, struct pv_cause *c)
{
    return !s->n->up && say(c, PV_DO(up), "this machine is down");
}

/* One that quotes ip, or has the kernel's word alone, names no remedy. */
static struct pv_remedy interface_remedy(const char *error)
{
    const struct pv_remedy said = pv_remedy_said(error);
    return said.id == PV_REMEDY_NONE ? PV_DO(mend_interface) : said;
}

static bool own_interface(const struct scene *s, struct pv_cause *c)
{
    return s->own->iface_error[0] != '\0' &&
           say(c, interface_remedy(s->own->iface_error), "the interface is not up: %s",
               s->own->iface_error);
}

/* The address must be the peer's to be its cause: another range that overlaps takes only some
 * members away. */
static bool own_overlap(const struct scene *s, struct pv_cause *c)
{
    return s->own->overlap[0] != '\0' &&
           pv_prefix_contains(&s->own->overlap_net, pv_peer_ip4(s->p)) &&
           say(c, PV_DO(other_range), "packets to %s leave by another interface: %s", s->name,
               s->own->overlap);
}

/* Our own packets to the peer go past the rule, so its pings may be answered. */
static bool own_rule(const struct scene *s, struct pv_cause *c)
{
    const struct pv_netplan_host *host = &s->n->host.plan;
    char text[PV_NETPLAN_WAY], todo[PV_NETPLAN_WAY];
    for (size_t i = 0; i < host->n_overlaps; i++) {
        const struct pv_netplan_overlap *o = &host->overlaps[i];
        if (o->table != 0 && o->own != 0 &&
            (pv_prefix_contains(&o->used, pv_peer_ip4(s->p)) ||
             pv_prefix_contains(&o->used, pv_peer_ip6(s->p))))
            return say(c, pv_remedy_said(pv_netplan_stray_remedy(o, todo)),
                       "programs here do not reach %s: %s", s->name,
                       pv_netplan_stray_text(o, text));
    }
    return false;
}

/* A path that works is better evidence than the list of addresses, which the kernel may be changing
 * just then. */
static bool own_link(const struct scene *s, struct pv_cause *c)
{
    return s->n->ways.n_locals == 0 && !is_direct(s->p) &&
           say(c, PV_DO(check_link),
               "this machine has no network: no interface has an address that packets could "
               "leave from");
}

/* --- a static peer, or a phone of this node --------------------------------------------------- */

/* It has no [peer] that could be wrong: its user switches the app on, or gets another file. */
static bool phone_silent(const struct scene *s, struct pv_cause *c)
{
    const struct pv_session *session = pv_peer_session(s->p);
    return pv_peer_is_phone(s->p) &&
           (pv_peer_presence(s->p) != PV_PRESENCE_ONLINE ||
            (session != NULL && pv_session_is_trying(session))) &&
           say(c, PV_DO(phone_file, s->name),
               "%s is a phone, this machine is its gateway, and the app does not call", s->name);
}

static bool static_unresolved(const struct scene *s, struct pv_cause *c)
{
    const char *host = pv_peer_endpoint_host(s->p);
    return pv_peer_path(s->p) == NULL && host[0] != '\0' &&
           say(c, PV_DO(correct_endpoint), "the endpoint %s of %s is not found", host, s->name);
}

/* Keys that are in force are proof enough: a handshake needs both directions. */
static bool static_well(const struct scene *s, struct pv_cause *c)
{
    const struct pv_session *session = pv_peer_session(s->p);
    return session != NULL && pv_session_has_keys(session, s->now) &&
           say(c, PV_DO_NOTHING, "nothing is wrong: the last handshake with %s succeeded", s->name);
}

/* Somebody at its address, or anywhere while it has none, uses a key that nobody here has. */
static bool static_stranger(const struct scene *s, struct pv_cause *c)
{
    const struct pv_handshakes *h = pv_node_part(s->n, &pv_part_handshakes);
    const struct pv_handshakes_stranger *who = h == NULL ? NULL : pv_handshakes_stranger(h);
    const struct pv_carrier *path = pv_peer_path(s->p);
    if (pv_peer_is_phone(s->p) || who == NULL || who->from.family == PV_AF_NONE ||
        (path != NULL && !pv_addr_equal_ip(&who->from, &path->remote)))
        return false;
    return say(c, PV_DO(correct_public_key),
               "handshakes with a key that is not configured come from %s: %s",
               PV_ADDR_STR(&who->from), PV_WGKEY_STR(who->key));
}

/* WireGuard learns an address from whoever speaks first, so one side must have been told one. */
static bool static_nowhere(const struct scene *s, struct pv_cause *c)
{
    return pv_peer_path(s->p) == NULL &&
           say(c, PV_DO(give_endpoint),
               "no endpoint is configured for %s, and it has not called us", s->name);
}

/* Its preshared key could not be read when the settings were, and the fault names the file. */
static bool static_locked(const struct scene *s, struct pv_cause *c)
{
    const char *what = PV_STR("[peer %s]", s->name);
    for (size_t i = 0; s->own->faults != NULL && i < s->own->faults->n; i++) {
        const struct pv_fault *f = &s->own->faults->list[i];
        if (strcmp(f->what, what) == 0)
            return say(c, f->restart ? PV_DO(mend_and_restart) : PV_DO(mend_and_reload),
                       "%s is off: %s", s->name, f->why);
    }
    return false;
}

/* WireGuard mixes the preshared key into the last step only: a wrong one shows as an answer that
 * arrives and does not open, where another key would bring no answer at all. */
static bool static_misfit(const struct scene *s, struct pv_cause *c)
{
    return pv_peer_is_misfit(s->p) &&
           say(c, PV_DO(same_preshared_key),
               "its answers do not fit our keys: the preshared key at %s is another, or there is "
               "one on one side only",
               PV_ADDR_STR(&pv_peer_path(s->p)->remote));
}

/* Three reasons look the same from here, so all of them are named. */
static bool static_silent(const struct scene *s, struct pv_cause *c)
{
    /* A static peer without a path has ended the search at static_nowhere. */
    const struct pv_session *session = pv_peer_session(s->p);
    return session != NULL && pv_session_is_trying(session) &&
           say(c, PV_DO(look_at_static_peer),
               "handshakes are not answered by %s: it is off, has another key than public-key "
               "says or does not know ours, or UDP to it is filtered",
               PV_ADDR_STR(&pv_peer_path(s->p)->remote));
}

/* WireGuard says nothing without a packet to carry, so silence of both sides is no fault. */
static bool static_idle(const struct scene *s, struct pv_cause *c)
{
    return say(c, PV_DO(send_something), "no handshake was tried: nothing was sent to %s",
               PV_ADDR_STR(&pv_peer_path(s->p)->remote));
}

/* --- is it there at all? ---------------------------------------------------------------------- */

static bool phone_elsewhere(const struct scene *s, struct pv_cause *c)
{
    const struct pv_peer *by = pv_peers_by_id(s->n->peers, pv_peer_by(s->p));
    if (by == NULL)
        return false;
    const char *name = pv_peer_name(by);
    if (pv_peer_reach(by) == PV_REACH_NO)
        return say(c, PV_DO(start_the_gateway, name, name),
                   "%s is a phone, and its gateway, %s, is offline", s->name, name);
    if (pv_peer_presence(s->p) != PV_PRESENCE_ONLINE)
        return say(
            c, PV_DO(switch_phone_on, name),
            "%s is a phone and offline: its gateway, %s, has heard nothing of it for 3 minutes",
            s->name, name);
    if (pv_peer_reach(by) == PV_REACH_PATH)
        return say(c, PV_DO_NOTHING,
                   "nothing is wrong: %s is a phone and online, and packets go through its "
                   "gateway, %s",
                   s->name, name);
    return say(c, PV_DO(ask_the_gateway, name),
               "%s is a phone and online, and its gateway, %s, has no path", s->name, name);
}

/* Its app would call nobody, and starting it helps nothing. */
static bool phone_lost(const struct scene *s, struct pv_cause *c)
{
    const struct pv_roster *r = s->n->roster;
    const struct pv_member *m = r == NULL ? NULL : pv_roster_by_node(r, pv_peer_pk(s->p));
    const uint8_t *by = m == NULL ? NULL : pv_roster_lost_gateway(r, m);
    return by != NULL && say(c, PV_DO(export_again, s->name, s->name),
                             "%s is a phone with a WireGuard app, and %s, which was its gateway, "
                             "is no member any "
                             "more",
                             s->name, PV_WHO_STR(s->n, by));
}

/* A path that works, relayed or not, is better evidence than a connection that may be the
 * coordinator's alone to miss. */
static bool peer_offline(const struct scene *s, struct pv_cause *c)
{
    return pv_peer_presence(s->p) == PV_PRESENCE_OFFLINE && pv_peer_reach(s->p) != PV_REACH_PATH &&
           say(c, PV_DO(start_peer), "%s is offline: the coordinator has no connection from it",
               s->name);
}

/* Without the coordinator a peer is found only at addresses where it was before, or by way of
 * members that are reached: the remedy names what is left. */
static bool peer_unasked(const struct scene *s, struct pv_cause *c)
{
    const char *error = s->own->coord_error;
    if (s->n->online || pv_peer_path(s->p) != NULL)
        return false;
    return error[0] == '\0'
               ? say(c, PV_DO(see_status),
                     "the coordinator is being connected, so %s cannot be asked yet", s->name)
               : say(c,
                     s->own->coord_todo.id != PV_REMEDY_NONE ? s->own->coord_todo
                                                             : PV_DO(see_status),
                     "cannot reach the coordinator (%s), so %s cannot be asked", error, s->name);
}

static bool peer_unwanted(const struct scene *s, struct pv_cause *c)
{
    return pv_peer_state(s->p) == PV_PEER_IDLE &&
           say(c, PV_DO(ping, s->name), "nobody has asked for a path to %s yet", s->name);
}

/* The numbers of a life that could store no mark may be below a former one's (highwater.h): that is
 * neither the coordinator's fault nor the peer's. */
static bool own_numbers(const struct scene *s, struct pv_cause *c)
{
    return s->n->store.failed && !s->n->common->gen.own && !pv_peer_descx(s->p)->acked &&
           say(c, PV_DO(make_room),
               "this p2pvpnd began on a full disk, and does not know how far its former numbers "
               "went: %s takes none below them",
               s->name);
}

/* The coordinator believes in a connection until its keep-alives fail, so for half a minute a
 * machine that sleeps is online there. */
static bool peer_asleep(const struct scene *s, struct pv_cause *c)
{
    const struct pv_descx *x = pv_peer_descx(s->p);
    bool unanswered = x->own.gen != 0 && !x->acked && x->sends >= SILENT_SENDS;
    return unanswered && pv_peer_presence(s->p) == PV_PRESENCE_ONLINE &&
           say(c, PV_DO(wake_peer),
               "%s does not answer, neither through the coordinator nor on any path, though the "
               "coordinator has a connection from it: it is asleep, hangs, or has just lost its "
               "network",
               s->name);
}

/* --- packets wait for post-quantum keys ------------------------------------------------------- */

/* The user wants it so; what is missing is at one of the two sides. */
static bool pq_required(const struct scene *s, struct pv_cause *c)
{
    const struct pv_peer_pq_view v = pv_peer_pq(s->p, s->now);
    if (v.state != PV_PEER_PQ_REQUIRED)
        return false;
    if (s->n->given.kem == NULL)
        return say(c, PV_DO(pq_here), "[security] pq = require here, and %s",
                   pv_peer_why_no_kem(s->n));
    if (!v.announced)
        return say(c, PV_DO(pq_there),
                   "[security] pq = require here, and %s does no post-quantum sessions", s->name);
    const pv_ns until = v.since == 0 ? s->now : v.since + FOUND_BY;
    if (s->now >= until && v.since != 0)
        return false; /* as where it is not required */
    return say(c, PV_DO(pq_wait, PV_STR("%u", (unsigned)((until - s->now) / PV_S(1)) + 1), s->name),
               "[security] pq = require here, and the key exchange with %s is not done", s->name);
}

/* A description is sealed as a whole, so whoever carries it can hold it back and take nothing out
 * of it: when ours, which asks for the keys or has them, was acknowledged, the way is not the
 * reason. */
static bool pq_withheld(const struct scene *s, struct pv_cause *c)
{
    const enum pv_peer_pq_state state = pv_peer_pq(s->p, s->now).state;
    if (state != PV_PEER_PQ_WITHHELD && state != PV_PEER_PQ_REQUIRED)
        return false;
    if (pv_peer_descx(s->p)->acked)
        return say(c, PV_DO(report_pq),
                   "%s announced post-quantum sessions, but its half of the key exchange does not "
                   "come, although it has our description: one of the two p2pvpnd is at fault, "
                   "and packets wait",
                   s->name);
    return say(c, PV_DO(move_for_pq),
               "%s announced post-quantum sessions, but its half of the key exchange does not "
               "come, and our descriptions are not acknowledged: the coordinator or something on "
               "the way may hold them back, and packets wait",
               s->name);
}

/* --- it is reached directly ------------------------------------------------------------------- */

static bool selected(const struct scene *s, struct pv_ice_path *ret_path)
{
    const struct pv_ice_agent *agent = pv_peer_agent(s->p);
    return agent != NULL && pv_ice_selected(agent, ret_path) == PV_OK;
}

/* Some filters know STUN and pass it. The agent notices that checks are answered while data is not.
 */
static bool direct_without_data(const struct scene *s, struct pv_cause *c)
{
    struct pv_ice_path path;
    return (s->seen.no_data || (selected(s, &path) && path.no_data)) &&
           say(c, PV_DO(pass_udp),
               "something on the way lets checks pass and drops WireGuard's packets");
}

/* The MTU is told as packets of the TUN see it, since that is what users set and measure. */
static bool direct_narrow(const struct scene *s, struct pv_cause *c)
{
    const struct pv_mtu *mtu = pv_peer_mtu(s->p);
    return mtu->current != 0 && mtu->current < mtu->wanted &&
           say(c, PV_DO(larger_mtu),
               "the path carries packets of %u bytes only, and a router on it drops larger ones",
               (unsigned)mtu->current - (unsigned)PV_FP_OVERHEAD);
}

/* A share of a few checks would be chance, so nothing is said before enough of them were sent. */
static bool direct_lossy(const struct scene *s, struct pv_cause *c)
{
    struct pv_ice_path path;
    return selected(s, &path) && path.loss_of >= PV_ICE_LOSS_MIN && path.loss >= LOSSY &&
           say(c, PV_DO(radio), "the path loses packets: %.0f %% of the recent checks",
               (double)path.loss / 10);
}

static bool direct_far(const struct scene *s, struct pv_cause *c)
{
    struct pv_ice_path path;
    return selected(s, &path) && path.rtt >= FAR &&
           say(c, PV_DO(slow_line), "the way is long: a round trip takes %.0f ms",
               (double)path.rtt / 1e6);
}

static bool direct_well(const struct scene *s, struct pv_cause *c)
{
    return say(c, PV_DO_NOTHING, "nothing is wrong: packets go directly");
}

/* --- UDP does not get through ----------------------------------------------------------------- */

/* This machine's own trouble comes first: its user can mend it without asking anybody. */
static bool udp_blocked_here(const struct scene *s, struct pv_cause *c)
{
    if (s->n->ways.udp_blocked && pv_peers_udp_elsewhere(s->n->peers))
        return say(c, PV_DO(open_udp_at_coordinator, PV_RELAYS_UDP_STR(s->n)),
                   "UDP is closed at the coordinator: UDP from here reaches others, and the "
                   "coordinator answers by TCP only");
    return s->n->ways.udp_blocked &&
           say(c, PV_DO(open_udp, PV_RELAYS_UDP_STR(s->n)),
               "UDP is blocked here: no server's answer comes in, though TCP gets through");
}

/* Its own word is better than what could be guessed from here. */
static bool udp_blocked_there(const struct scene *s, struct pv_cause *c)
{
    return (s->theirs->caps & PV_DESC_CAP_NO_UDP) != 0 &&
           say(c, PV_DO(open_udp_there),
               "UDP is blocked at %s: it says so itself, and reaches the coordinator by TCP",
               s->name);
}

/* Relayed addresses do not count here: they join the two kinds, and would hide that nothing else
 * does. */
static bool udp_families(const struct scene *s, struct pv_cause *c)
{
    unsigned here = families(s->n->ways.locals, s->n->ways.n_locals);
    if (s->n->ways.nat64.base.family != PV_AF_NONE)
        here |= HAS_IPV4;
    unsigned there = families(s->theirs->cands, s->theirs->n_cands);
    return here != 0 && there != 0 && (here & there) == 0 &&
           say(c, PV_DO(other_family),
               "this machine offers only %s and %s only %s: no packet goes from one to the other",
               here == HAS_IPV4 ? "IPv4" : "IPv6", s->name, there == HAS_IPV4 ? "IPv4" : "IPv6");
}

/* Others have only the private address that the coordinator tells, so nobody finds them. */
static bool udp_hidden(const struct scene *s, struct pv_cause *c)
{
    const struct pv_addr *as = pv_candidates_hidden_as(s->n);
    return as != NULL && s->our_public == NULL &&
           say(c, PV_DO(pass_addresses_or_stun),
               "the coordinator sees this machine at %s, a private address: what forwards to it "
               "hides addresses, so %s cannot be told a public one",
               PV_IP_STR(as), s->name);
}

/* One whose UDP is blocked says so itself. */
static bool udp_unseen_there(const struct scene *s, struct pv_cause *c)
{
    return pv_peer_remote(s->p) != NULL && s->their_public == NULL && s->our_public != NULL &&
           say(c, PV_DO(see_address_there),
               "%s knows no public address of its own: its coordinator is in its LAN and cannot "
               "see it, or UDP to STUN servers is filtered there",
               s->name);
}

/* The same here, towards somebody outside. */
static bool udp_unseen_here(const struct scene *s, struct pv_cause *c)
{
    return s->their_public != NULL && pv_candidates_are_unseen(s->n) &&
           say(c, PV_DO(see_address),
               "the coordinator is in this LAN and cannot see the public address of this machine, "
               "so %s cannot be told it",
               s->name);
}

/* Both are behind one NAT, and no direct pair answers. */
static bool udp_shared_nat(const struct scene *s, struct pv_cause *c)
{
    if (s->seen.sent < ENOUGH_CHECKS || s->our_public == NULL || s->their_public == NULL ||
        s->our_public->family != PV_AF_INET || !pv_addr_equal_ip(s->our_public, s->their_public))
        return false;
    const char *text = PV_IP_STR(s->their_public);
    if (share_lan(s))
        return say(c, PV_DO(join_clients),
                   "both are behind the same public address %s, and that network keeps them apart",
                   text);
    return say(c, PV_DO(hairpin),
               "both are behind the same public address %s, in different networks, and the NAT "
               "they share sends nothing back to itself (no hairpin)",
               text);
}

static bool udp_without_data(const struct scene *s, struct pv_cause *c)
{
    return pv_peer_remote(s->p) != NULL && s->seen.no_data &&
           say(c, PV_DO(pass_udp),
               "something on the way lets checks pass and drops WireGuard's packets");
}

static bool udp_one_way(const struct scene *s, struct pv_cause *c)
{
    return s->seen.heard >= ENOUGH_HEARD && s->seen.sent >= ENOUGH_CHECKS &&
           say(c, PV_DO(open_one_way),
               "UDP passes in one direction only: checks of %s arrive here, ours are not "
               "answered: from here to %s is filtered (%s)",
               s->name, s->name, PV_ADDR_STR(&s->seen.to));
}

/* --- NATs stand in the way -------------------------------------------------------------------- */

static const char VARIES[] = "another public port for each destination";

/* Users may switch both methods off, and then their absence explains more than any NAT does. */
static bool attempts_off(const struct scene *s)
{
    const struct pv_hardnat_counts h = pv_hardnat_counts(pv_hardnat_of(s->n));
    return !h.predict && !h.birthday;
}

static bool ours_varies(const struct scene *s)
{
    return pv_hardnat_nat(pv_hardnat_of(s->n))->mapping == PV_DESC_MAPPING_VARIES;
}

static bool theirs_varies(const struct scene *s)
{
    return s->theirs->nat.mapping == PV_DESC_MAPPING_VARIES;
}

/* How far the attempts at such NATs are, which this node makes itself. */
static const char *attempt_words(const struct scene *s)
{
    return attempts_off(s)               ? "; attempts at such NATs are switched off here"
           : pv_peer_attempt(s->p).tried ? "; port prediction found no path"
                                         : "; an attempt at it is still to come";
}

static bool nat_both(const struct scene *s, struct pv_cause *c)
{
    return ours_varies(s) && theirs_varies(s) &&
           say(c, PV_DO(map_one_side), "both NATs are symmetric: they use %s%s", VARIES,
               attempt_words(s));
}

/* A node whose attempts are off does not measure its NAT. */
static bool nat_ours(const struct scene *s, struct pv_cause *c)
{
    return ours_varies(s) &&
           say(c, PV_DO(map_here), "our NAT is symmetric: it uses %s%s", VARIES, attempt_words(s));
}

/* The remedy begins with the switch where the methods are off, since that costs the least. */
static bool nat_theirs(const struct scene *s, struct pv_cause *c)
{
    return theirs_varies(s) &&
           say(c, attempts_off(s) ? PV_DO(predict_or_map_there) : PV_DO(map_there),
               "the NAT of %s is symmetric: it uses %s%s", s->name, VARIES, attempt_words(s));
}

static bool nat_unmeasured(const struct scene *s, struct pv_cause *c)
{
    return s->seen.sent >= ENOUGH_CHECKS && !s->seen.answers && attempts_off(s) &&
           say(c, PV_DO(predict),
               "no check gets through to %s, and attempts at symmetric NATs are switched off "
               "here, so whether one stands in the way or a firewall was not measured",
               s->name);
}

static bool nat_filtered(const struct scene *s, struct pv_cause *c)
{
    /* The rules above are about symmetric NATs. At this place a firewall is the likeliest cause. */
    return s->seen.sent >= ENOUGH_CHECKS && !s->seen.answers &&
           say(c, PV_DO(look_at_firewalls),
               "UDP between here and %s is dropped on the way, though both reach the "
               "coordinator: %u checks left for %s, none of %s's arrived here",
               s->name, s->seen.sent, PV_ADDR_STR(&s->seen.to), s->name);
}

/* The time is over in which something would have been found out. */
static bool not_found(const struct scene *s, struct pv_cause *c)
{
    const pv_ns since = pv_peer_sought_since(s->p);
    return since != 0 && s->now >= since + FOUND_BY &&
           say(c, PV_DO(look_at_firewalls),
               "no direct way to %s was found in %s: %u checks have no answer, and %s of %s",
               s->name, PV_DURATION_STR((double)(s->now - since) / (double)PV_S(1)), s->seen.sent,
               s->their_public == NULL ? "no public address is known" : "none came", s->name);
}

static bool still_trying(const struct scene *s, struct pv_cause *c)
{
    /* This one always applies, so that no diagnosis is empty. */
    const pv_ns since = pv_peer_sought_since(s->p), until = since + FOUND_BY;
    const unsigned left =
        since == 0 || s->now >= until ? 0 : (unsigned)((until - s->now) / PV_S(1));
    return say(c, PV_DO(wait_for_checks, PV_STR("%u", left + 1)),
               "it is being found out: %u checks have no answer yet", s->seen.sent);
}

/* --- the table -------------------------------------------------------------------------------- */

/* Which peers a rule is about. */
enum {
    STATIC = 1,
    DIRECT = 2,   /* a member with a path that answers and no relay on it */
    INDIRECT = 4, /* any other member */
    MEMBER = DIRECT | INDIRECT,
    ANY = STATIC | MEMBER,
};

#define RULE(about, speak)   \
    {                        \
        about, speak, #speak \
    }
static const struct {
    unsigned about;
    bool (*speak)(const struct scene *s, struct pv_cause *c); /* false: the rule does not apply */
    const char *code; /* for programs; PROTOCOL-LOCAL.md "Control socket" lists them */
} RULES[] = {
    /* Static peers need neither membership nor `up`. */
    RULE(MEMBER, own_removed),
    RULE(MEMBER, own_left),
    RULE(MEMBER, own_down),
    RULE(ANY, own_interface),
    RULE(ANY, own_overlap),
    RULE(ANY, own_rule),
    RULE(ANY, own_link),

    RULE(STATIC, static_locked),
    RULE(STATIC, static_unresolved),
    RULE(STATIC, static_well),
    RULE(STATIC, phone_silent),
    RULE(STATIC, static_stranger),
    RULE(STATIC, static_nowhere),
    RULE(STATIC, static_misfit),
    RULE(STATIC, static_silent),
    RULE(STATIC, static_idle),

    RULE(MEMBER, phone_elsewhere),
    RULE(MEMBER, phone_lost),
    RULE(MEMBER, peer_offline),
    RULE(INDIRECT, peer_unasked),
    RULE(INDIRECT, peer_unwanted),
    RULE(MEMBER, own_numbers),
    RULE(MEMBER, pq_required),
    RULE(MEMBER, pq_withheld), /* keys of a handshake are there, so it is not merely asleep */
    RULE(INDIRECT, peer_asleep),

    RULE(DIRECT, direct_without_data),
    RULE(DIRECT, direct_narrow),
    RULE(DIRECT, direct_lossy),
    RULE(DIRECT, direct_far),
    RULE(DIRECT, direct_well),

    RULE(INDIRECT, udp_blocked_here),
    RULE(INDIRECT, udp_blocked_there),
    RULE(INDIRECT, udp_families),
    RULE(INDIRECT, udp_hidden),
    RULE(INDIRECT, udp_unseen_here),
    RULE(INDIRECT, udp_unseen_there),
    RULE(INDIRECT, udp_shared_nat),
    RULE(INDIRECT, udp_without_data),
    RULE(INDIRECT, udp_one_way),
    RULE(INDIRECT, nat_both),
    RULE(INDIRECT, nat_ours),
    RULE(INDIRECT, nat_theirs),
    RULE(INDIRECT, nat_unmeasured),
    RULE(INDIRECT, nat_filtered),
    RULE(INDIRECT, not_found),
    RULE(INDIRECT, still_trying),
};

void pv_cause_find(const struct pv_node *n, const struct pv_cause_own *own, struct pv_peer *p,
                   pv_ns now, struct pv_cause *ret_cause)
{
    static const struct pv_desc nothing;
    /* A peer that never described itself has an empty description here, so the rules need no
     * checks. */
    const struct pv_desc *remote = pv_peer_remote(p);
    const struct scene s = {
        .n = n,
        .own = own,
        .p = p,
        .name = pv_peer_name(p),
        .theirs = remote == NULL ? &nothing : remote,
        .our_public = public_of(n->ways.locals, n->ways.n_locals),
        .their_public = remote == NULL ? NULL : public_of(remote->cands, remote->n_cands),
        .seen = look(p),
        .now = now,
    };
    unsigned kind = pv_peer_is_static(p) ? STATIC : is_direct(p) ? DIRECT : INDIRECT;
    memset(ret_cause, 0, sizeof(*ret_cause));
    for (size_t i = 0; i < PV_ARRAY_LEN(RULES); i++) {
        if ((RULES[i].about & kind) != 0 && RULES[i].speak(&s, ret_cause)) {
            ret_cause->code = RULES[i].code;
            return;
        }
    }
}
