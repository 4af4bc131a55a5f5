/* SPDX-License-Identifier: MIT */
/* The diagnosis of `why PEER`: one cause and what would help, from what this node knows. The rules
 * stand in the order in which one cause hides the others: the own machine, the peer's presence, the
 * way to it. What they follow from is in the lines below the diagnosis (engine_why.c). */
#include "daemon/core/engine_cause.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "daemon/core/engine_int.h"
#include "daemon/core/peer/attempts.h"
#include "daemon/core/peer/handshakes.h"
#include "daemon/core/peer/rediscovery.h"

enum {
    CLOCK_OFF = 60, /* seconds; ours: rounding and a slow first answer stay far below */
    ENOUGH_CHECKS = PV_ICE_DEAF,
    ENOUGH_HEARD = 2, /* of the peer's since then: not one that crossed our last answer */
    SILENT_SENDS = 3, /* descriptions without an acknowledgement: about 2 s */
    LOSSY = 50,       /* 1/1000 of the checks */
    CAUSE_PATHS = PV_ICE_MAX_PAIRS,
    HAS_IPV4 = 1,
    HAS_IPV6 = 2,
};
#define FAR PV_MS(300) /* round trip */

static bool say(struct pv_cause *c, const char *todo, const char *fmt, ...) PV_PRINTF(3, 4);
static bool say(struct pv_cause *c, const char *todo, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->text, sizeof(c->text), fmt, ap);
    va_end(ap);
    snprintf(c->todo, sizeof(c->todo), "%s", todo);
    return true;
}

int64_t pv_engine_clock_off(const struct pv_engine *e, pv_ns now)
{
    uint64_t theirs = pv_coordclient_time_us(e->node.coord, now);
    if (theirs == 0)
        return 0;
    int64_t off = (int64_t)(pv_peer_env_wall(&e->env, now) - theirs) / 1000000;
    return off > CLOCK_OFF || off < -CLOCK_OFF ? off : 0;
}

/* --- what the checks saw --------------------------------------------------------------------- */

/* Of the pairs over UDP that lead to public addresses, since each one's last answer. */
struct seen {
    unsigned sent, heard;
    bool answers; /* a pair is proven now */
    bool hollow;
    struct pv_addr to; /* where most of them went */
};

static struct seen look(const struct pv_peer *p)
{
    struct pv_ice_path paths[CAUSE_PATHS];
    struct seen s = {.to.family = PV_AF_NONE};
    unsigned most = 0;
    size_t n = p->ice == NULL ? 0 : pv_ice_paths(p->ice, paths, PV_ARRAY_LEN(paths));
    for (size_t i = 0; i < n; i++) {
        const struct pv_ice_path *x = &paths[i];
        if (x->carrier.kind != PV_ICE_CARRIER_UDP || x->remote_type == PV_ICE_RELAY)
            continue;
        s.hollow = s.hollow || x->hollow;
        s.answers = s.answers || x->valid;
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

/* The kinds of addresses that packets may come to. */
static unsigned families(const struct pv_ice_cand *cands, size_t n)
{
    unsigned kinds = 0;
    for (size_t i = 0; i < n; i++) {
        if (cands[i].type != PV_ICE_RELAY)
            kinds |= cands[i].addr.family == PV_AF_INET6 ? HAS_IPV6 : HAS_IPV4;
    }
    return kinds;
}

/* Has a host address of theirs the first 24 bits of one of ours? Candidates carry no prefix. */
static bool share_lan(const struct pv_engine *e, const struct pv_peer *p)
{
    for (size_t i = 0; i < e->env.n_locals; i++) {
        struct pv_prefix lan = {.base = e->env.locals[i].addr, .bits = 24};
        for (size_t k = 0; k < p->remote.n_cands; k++) {
            if (e->env.locals[i].type == PV_ICE_HOST && p->remote.cands[k].type == PV_ICE_HOST &&
                lan.base.family == PV_AF_INET && pv_prefix_contains(&lan, &p->remote.cands[k].addr))
                return true;
        }
    }
    return false;
}

/* --- the rules ------------------------------------------------------------------------------- */

static bool is_direct(const struct pv_peer *p)
{
    return pv_peer_is_direct(p) && pv_peer_reach(p) == PV_REACH_PATH;
}

static bool judge_self(const struct pv_engine *e, const struct pv_peer *p, struct pv_cause *c)
{
    struct pv_prefix range;
    const char *overlap = pv_membership_overlap(&e->node, &range);
    if (e->node.removed && !p->is_static)
        return say(c, "`p2pvpnctl leave --forget`, then ask for a new token",
                   "this machine was removed from the network");
    if (!e->node.up && !p->is_static)
        return say(c, "`p2pvpnctl up`", "this machine is down");
    if (e->node.iface_error[0] != '\0')
        return say(c, "end what holds it, or name another in [interface] name",
                   "the interface is not up: %s", e->node.iface_error);
    if (overlap[0] != '\0' && pv_prefix_contains(&range, &p->ip4))
        return say(c, "remove that address, or move to a network with another range",
                   "packets to %s leave by another interface: %s", p->name, overlap);
    if (e->env.n_locals == 0 && !is_direct(p))
        return say(c, "check cable, Wi-Fi and `ip addr`",
                   "this machine has no network: no interface has an address that packets could "
                   "leave from");
    return false;
}

static bool judge_static(const struct pv_engine *e, struct pv_peer *p, pv_ns now,
                         struct pv_cause *c)
{
    char text[PV_ADDR_TEXT];
    char key[PV_WG_KEY_TEXT_BUF];
    const struct pv_handshakes_stranger *who =
        pv_handshakes_stranger(pv_node_part(&e->node, &pv_part_handshakes));
    if (!p->has_path && p->endpoint_host[0] != '\0')
        return say(c, "correct it in [peer], or see whether names are resolved here at all",
                   "the endpoint %s of %s is not found", p->endpoint_host, p->name);
    if (p->session != NULL && pv_session_has_keys(p->session, now))
        return say(c, "", "nothing is wrong: the last handshake with %s succeeded", p->name);
    if (who->from.family != PV_AF_NONE &&
        (!p->has_path || pv_addr_equal_ip(&who->from, &p->path.remote))) {
        pv_wgkey_format(who->key, key);
        return say(c, "correct public-key in its [peer], or that machine's private key",
                   "handshakes with a key that is not configured come from %s: %s",
                   pv_addr_format(&who->from, text), key);
    }
    if (!p->has_path)
        return say(c, "give it `endpoint =` here, or our address there",
                   "no endpoint is configured for %s, and it has not called us", p->name);
    pv_addr_format(&p->path.remote, text);
    if (p->misfit)
        return say(c, "give both sides the same preshared-key-file",
                   "its answers do not fit our keys: the preshared key at %s is another, or there "
                   "is one on one side only",
                   text);
    if (p->session != NULL && pv_session_is_trying(p->session))
        return say(c,
                   "see that it runs, that its public-key is right here and ours there, and that "
                   "UDP gets through",
                   "handshakes are not answered by %s: it is off, has another key than public-key "
                   "says or does not know ours, or UDP to it is filtered",
                   text);
    return say(c, "send it something", "no handshake was tried: nothing was sent to %s", p->name);
}

/* Is it there at all? */
static bool judge_presence(const struct pv_engine *e, const struct pv_peer *p, struct pv_cause *c)
{
    char todo[96];
    const struct pv_descx *x = &p->descx;
    bool unanswered = x->own.gen != 0 && !x->acked && x->sends >= SILENT_SENDS;
    if (p->presence == PV_PRESENCE_OFFLINE)
        return say(c, "start it, or see there whether it reaches the coordinator",
                   "%s is offline: the coordinator has no connection from it", p->name);
    if (is_direct(p))
        return false;
    if (!e->node.online && !p->has_path)
        return say(c,
                   "see `p2pvpnctl status`; nodes that were reached before are looked for "
                   "without it",
                   "cannot reach the coordinator (%s), so %s cannot be asked",
                   e->node.coord_info.error[0] != '\0' ? e->node.coord_info.error : "connecting",
                   p->name);
    if (p->state == PV_PEER_IDLE) {
        snprintf(todo, sizeof(todo), "`p2pvpnctl ping %s`", p->name);
        return say(c, todo, "nobody has asked for a path to %s yet", p->name);
    }
    if (unanswered && p->presence == PV_PRESENCE_ONLINE)
        return say(c,
                   "wake it, or look at it; the coordinator notices within half a minute when "
                   "its connection is dead",
                   "%s does not answer, neither through the coordinator nor on any path, though "
                   "the coordinator has a connection from it: it is asleep, hangs, or has just "
                   "lost its network",
                   p->name);
    return false;
}

static bool judge_direct(struct pv_peer *p, const struct seen *s, struct pv_cause *c)
{
    struct pv_ice_path path;
    unsigned inner = p->mtu.current;
    bool known = p->ice != NULL && pv_ice_selected(p->ice, &path) == PV_OK;
    if (s->hollow || (known && path.hollow))
        return say(c, "let UDP through there whatever it carries",
                   "something on the way lets checks pass and drops WireGuard's packets");
    if (inner != 0 && inner < p->mtu.wanted)
        return say(
            c,
            "nothing must be done: larger packets are answered with ICMP, and up to 1280 bytes "
            "go in parts; a larger MTU on the narrow link would make it faster",
            "the path carries packets of %u bytes only, and a router on it drops larger ones",
            inner - (unsigned)PV_FP_OVERHEAD);
    if (known && path.loss >= LOSSY)
        return say(c, "look at the radio link or the queue of the slowest line",
                   "the path loses packets: %.0f %% of the recent checks", (double)path.loss / 10);
    if (known && path.rtt >= FAR)
        return say(c, "look for a full queue on the slowest line, or a detour",
                   "the way is long: a round trip takes %.0f ms", (double)path.rtt / 1e6);
    return say(c, "", "nothing is wrong: packets go directly");
}

static bool judge_udp(const struct pv_engine *e, const struct pv_peer *p, const struct seen *s,
                      struct pv_cause *c)
{
    const struct pv_addr *ours = public_of(e->env.locals, e->env.n_locals);
    const struct pv_addr *theirs = public_of(p->remote.cands, p->remote.n_cands);
    char text[PV_ADDR_TEXT];
    if (pv_udpwatch_is_blocked(pv_relays_udpwatch(&e->node)))
        return say(c, "let UDP out in the firewall here",
                   "UDP is blocked here: no server's answer comes in, though TCP gets through");
    if (p->descx.theirs.gen == 0)
        return false;
    if ((p->remote.caps & PV_DESC_CAP_NO_UDP) != 0)
        return say(c, "let UDP out in the firewall there",
                   "UDP is blocked at %s: it says so itself, and reaches the coordinator by TCP",
                   p->name);
    unsigned here = families(e->env.locals, e->env.n_locals);
    unsigned there = families(p->remote.cands, p->remote.n_cands);
    if (here != 0 && there != 0 && (here & there) == 0)
        return say(c, "give one of the two an address of the other kind; the relay joins them",
                   "this machine has only %s and %s only %s: no packet goes from one to the other",
                   here == HAS_IPV4 ? "IPv4" : "IPv6", p->name,
                   there == HAS_IPV4 ? "IPv4" : "IPv6");
    if (theirs == NULL && ours != NULL)
        return say(c, "let UDP out in the firewall there",
                   "UDP is blocked at %s: it offers no public address, though it reaches the "
                   "coordinator by TCP",
                   p->name);
    if (s->sent >= ENOUGH_CHECKS && ours != NULL && theirs != NULL && ours->family == PV_AF_INET &&
        pv_addr_equal_ip(ours, theirs))
        return share_lan(e, p)
                   ? say(c,
                         "allow clients to talk to each other (no guest network, no client "
                         "isolation)",
                         "both are behind the same public address %s, and that network keeps them "
                         "apart",
                         pv_addr_format_ip(theirs, text))
                   : say(c,
                         "PCP or UPnP in the outermost router, or IPv6 on both sides: each would "
                         "make it direct",
                         "both are behind the same public address %s, in different networks, and "
                         "the NAT they share sends nothing back to itself (no hairpin)",
                         pv_addr_format_ip(theirs, text));
    if (s->hollow)
        return say(c, "let UDP through there whatever it carries",
                   "something on the way lets checks pass and drops WireGuard's packets");
    if (s->heard >= ENOUGH_HEARD && s->sent >= ENOUGH_CHECKS)
        return say(c, "look at the firewalls: outgoing UDP here, incoming UDP there",
                   "UDP passes in one direction only: checks of %s arrive here, ours are not "
                   "answered: from here to %s is filtered (%s)",
                   p->name, p->name, pv_addr_format(&s->to, text));
    return false;
}

static bool judge_nats(const struct pv_engine *e, const struct pv_peer *p, const struct seen *s,
                       struct pv_cause *c)
{
    static const char VARIES[] = "another public port for each destination";
    const struct pv_hardnat_counts h = pv_hardnat_counts(pv_attempts_hardnat(e->node.attempts));
    bool ours =
        pv_hardnat_nat(pv_attempts_hardnat(e->node.attempts))->mapping == PV_DESC_MAPPING_VARIES;
    bool theirs = p->remote.nat.mapping == PV_DESC_MAPPING_VARIES;
    bool off = !h.predict && !h.birthday;
    const char *more = off                        ? "; attempts at such NATs are switched off here"
                       : pv_peer_attempt(p).tried ? "; the attempts at it found no opening"
                                                  : "; an attempt at it is still to come";
    char text[PV_ADDR_TEXT];
    if (ours && theirs)
        return say(c,
                   "PCP or UPnP switched on in one of the routers, a port forwarded to a node's "
                   "UDP port, or IPv6 on both sides",
                   "both NATs are symmetric: they use %s%s", VARIES, more);
    if (ours)
        return say(c,
                   off ? "`predict = on` and `birthday = on` in [traversal]; or PCP, UPnP or a "
                         "forwarded port in our router, or IPv6 on both sides"
                       : "PCP or UPnP switched on in our router, a forwarded port, or IPv6 on both "
                         "sides",
                   "our NAT is symmetric: it uses %s%s", VARIES, more);
    if (theirs)
        return say(c,
                   off ? "`predict = on` and `birthday = on` in [traversal]; or PCP, UPnP or a "
                         "forwarded port in its router, or IPv6 on both sides"
                       : "PCP or UPnP switched on in its router, a forwarded port, or IPv6 on both "
                         "sides",
                   "the NAT of %s is symmetric: it uses %s%s", p->name, VARIES, more);
    if (s->sent < ENOUGH_CHECKS || s->answers)
        return false;
    if (off)
        return say(
            c, "`predict = on` and `birthday = on` in [traversal]",
            "no check gets through to %s, and attempts at symmetric NATs are switched off here, "
            "so whether one stands in the way or a firewall was not measured",
            p->name);
    return say(c,
               "look at the firewalls of both sides; `why` on the other side tells the direction: "
               "it says so when our checks arrive there",
               "UDP between here and %s is dropped on the way, though both reach the coordinator: "
               "%u checks left for %s, none of %s's arrived here",
               p->name, s->sent, pv_addr_format(&s->to, text), p->name);
}

void pv_engine_find_cause(struct pv_engine *e, struct pv_peer *p, pv_ns now,
                          struct pv_cause *ret_cause)
{
    memset(ret_cause, 0, sizeof(*ret_cause));
    const struct seen s = look(p);
    if (judge_self(e, p, ret_cause))
        return;
    if (p->is_static) {
        (void)judge_static(e, p, now, ret_cause);
        return;
    }
    if (judge_presence(e, p, ret_cause))
        return;
    if (is_direct(p) ? judge_direct(p, &s, ret_cause)
                     : judge_udp(e, p, &s, ret_cause) || judge_nats(e, p, &s, ret_cause))
        return;
    (void)say(ret_cause, "wait a few seconds and ask again",
              "it is being found out: %u checks have no answer yet", s.sent);
}
