/* SPDX-License-Identifier: MIT */
#include "natcore.h"

#include <stdlib.h>
#include <string.h>

#include "natcore_pkt.h"
#include "natcore_table.h"

enum {
    SWEEP_MS = 1000,    /* dead mappings are freed at most this often */
    FRAGMENT_MS = 5000, /* how long later fragments may follow the first */
    FRAGMENTS = 64,     /* fragmented packets followed at once */
};

/* Where the later fragments of a packet go: they carry no ports. */
struct fragment {
    enum pv_nat_side from;
    uint32_t id;
    uint8_t proto;
    struct pv_addr src, dst; /* as they arrived, ports 0 */
    struct pv_addr to;       /* the new source (from inside) or destination (from outside) */
    pv_ns expires;
};

struct pv_nat {
    struct pv_nat_config config;
    struct pv_nattab tab;
    struct pv_natrng rng;
    struct pv_nat_stats stats;
    struct pv_link line_out, line_in; /* the outer line; line_in holds packets not yet judged */
    struct pv_link to_inside;         /* perfect */
    struct fragment fragments[FRAGMENTS];
    unsigned next_fragment;
    struct pv_addr hosts64[PV_NAT_64_HOSTS]; /* by the last byte of their IPv4 addresses here */
    unsigned n_hosts64;
};

const char *pv_nat_drop_name(enum pv_nat_drop drop)
{
    static const char *const names[PV_NAT_DROP_COUNT] = {
        "malformed", "not_ours", "ttl",     "blocked",  "split",  "no_mapping", "filtered",
        "hairpin",   "full",     "too_big", "fragment", "family", "nomem",
    };
    return names[drop];
}

void pv_nat_config_init(struct pv_nat_config *config)
{
    *config = (struct pv_nat_config){
        .mapping = PV_NAT_EI,
        .filtering = PV_NAT_APD,
        .ports = PV_NAT_PRESERVE,
        .port_lo = 1024,
        .port_hi = 65535,
        .step = 1,
        .block_size = 512,
        .hairpin = PV_NAT_HAIRPIN_OFF,
        .ipv6 = PV_NAT_V6_FIREWALL,
        .udp_unreplied = PV_S(30),
        .udp_replied = PV_S(120),
        .tcp_idle = PV_S(7440),
        .tcp_closing = PV_S(10),
        .tcp_opening = PV_S(240),
        .icmp = PV_S(60),
        .inbound_refresh = true,
        .max_mappings = 65536,
        .pollution_life = PV_S(30),
        .answer_ping = true,
        .mtu_in = 1500,
        .mtu_out = 1500,
        .mtu_icmp = true,
    };
}

struct pv_nat *pv_nat_new(const struct pv_nat_config *config, uint64_t seed)
{
    struct pv_nat *nat = calloc(1, sizeof(*nat));
    if (nat == NULL)
        return NULL;
    nat->config = *config;
    nat->rng.state = seed;
    pv_link_init(&nat->line_out, pv_natrng_u64(&nat->rng));
    pv_link_init(&nat->line_in, pv_natrng_u64(&nat->rng));
    nat->line_out.mend = pv_natpkt_mend;
    nat->line_in.mend = pv_natpkt_mend;
    pv_link_init(&nat->to_inside, 0);
    return nat;
}

struct pv_nat *pv_nat_free(struct pv_nat *nat)
{
    if (nat == NULL)
        return NULL;
    pv_nattab_clear(&nat->tab);
    pv_link_done(&nat->line_out);
    pv_link_done(&nat->line_in);
    pv_link_done(&nat->to_inside);
    free(nat);
    return NULL;
}

struct pv_nat_config *pv_nat_config(struct pv_nat *nat)
{
    return &nat->config;
}

const struct pv_nat_stats *pv_nat_stats(const struct pv_nat *nat)
{
    return &nat->stats;
}

const struct pv_link_stats *pv_nat_line_stats(const struct pv_nat *nat, enum pv_nat_side from)
{
    return from == PV_NAT_INSIDE ? &nat->line_out.stats : &nat->line_in.stats;
}

/* ---- sending ---- */

static void drop(struct pv_nat *nat, enum pv_nat_drop why)
{
    nat->stats.drops[why]++;
}

/* ---- NAT64: inner hosts with IPv6 alone are some of 240.64.0.0/24 to the NAT behind it ---- */

static struct pv_addr address64(unsigned host, uint16_t port)
{
    return pv_addr4(240, 64, 0, (uint8_t)host, port);
}

static bool is_for_64(const struct pv_nat *nat, const struct pv_addr *dst)
{
    return nat->config.nat64.family == PV_AF_INET6 && dst->family == PV_AF_INET6 &&
           memcmp(dst->ip, nat->config.nat64.ip, PV_IP6_LEN - PV_IP4_LEN) == 0;
}

/* The host's number, a new one where it has none; PV_NAT_64_HOSTS: they are used up. */
static unsigned host64(struct pv_nat *nat, const struct pv_addr *ip)
{
    unsigned i = 0;
    while (i < nat->n_hosts64 && !pv_addr_equal_ip(&nat->hosts64[i], ip))
        i++;
    if (i == nat->n_hosts64 && i < PV_NAT_64_HOSTS)
        nat->hosts64[nat->n_hosts64++] = *ip;
    return i;
}

/* A packet for an inner host by its address of IPv4, as that host gets it. Returns its length, 0:
 * it is no such packet, or cannot be translated. */
static size_t to_64(const struct pv_nat *nat, const uint8_t *data, size_t len,
                    uint8_t buf[static PV_NATPKT_MAX])
{
    struct pv_natpkt pkt;
    uint8_t *copy = malloc(len);
    size_t made = 0;
    if (copy == NULL)
        return 0;
    memcpy(copy, data, len);
    if (pv_natpkt_parse(copy, len, &pkt) == PV_OK && pkt.dst.ip[3] < nat->n_hosts64) {
        struct pv_addr src = nat->config.nat64, dst = nat->hosts64[pkt.dst.ip[3]];
        memcpy(src.ip + PV_IP6_LEN - PV_IP4_LEN, pkt.src.ip, PV_IP4_LEN);
        src.port = pkt.src.port;
        dst.port = pkt.dst.port;
        made = pv_natpkt_translate(&pkt, &src, &dst, buf, PV_NATPKT_MAX);
    }
    free(copy);
    return made;
}

static void put_raw(struct pv_nat *nat, enum pv_nat_side to, const uint8_t *data, size_t len,
                    pv_ns now)
{
    static const uint8_t net64[] = {240, 64, 0};
    uint8_t buf[PV_NATPKT_MAX];
    if (to == PV_NAT_INSIDE && len > 20 && data[0] >> 4 == 4 &&
        memcmp(data + 16, net64, sizeof(net64)) == 0) {
        len = to_64(nat, data, len, buf);
        data = buf;
    }
    if (len == 0) {
        drop(nat, PV_NAT_DROP_MALFORMED);
        return;
    }
    nat->line_out.config = nat->config.line_out;
    pv_link_send(to == PV_NAT_OUTSIDE ? &nat->line_out : &nat->to_inside, data, len, 0, now);
}

static uint32_t mtu_of(const struct pv_nat *nat, enum pv_nat_side side)
{
    return side == PV_NAT_OUTSIDE ? nat->config.mtu_out : nat->config.mtu_in;
}

/* Sends a packet that may be sent; fits() has been asked, so a longer one may be cut. */
static void put(struct pv_nat *nat, enum pv_nat_side to, const struct pv_natpkt *pkt, pv_ns now)
{
    uint32_t mtu = mtu_of(nat, to);
    if (pkt->len <= mtu) {
        put_raw(nat, to, pkt->data, pkt->len, now);
        return;
    }
    uint8_t *piece = malloc(mtu);
    size_t len = 0;
    for (unsigned i = 0; piece != NULL && pv_natpkt_piece(pkt, mtu, i, piece, &len) == PV_OK; i++)
        put_raw(nat, to, piece, len, now);
    if (piece == NULL)
        drop(nat, PV_NAT_DROP_NOMEM);
    free(piece);
}

/* The box's own address towards a side, for its ICMP errors. */
static struct pv_addr own_address(const struct pv_nat *nat, enum pv_nat_side side, uint16_t family)
{
    if (family == PV_AF_INET6)
        return nat->config.inside_ip6;
    if (side == PV_NAT_INSIDE || nat->config.n_public == 0)
        return nat->config.inside_ip;
    return nat->config.public_ip[0];
}

/* Tells the sender of pkt, which came from `from`, why it does not pass. */
static void complain(struct pv_nat *nat, enum pv_nat_side from, const struct pv_natpkt *pkt,
                     enum pv_natpkt_why why, pv_ns now)
{
    uint8_t buf[PV_NATPKT_ICMP_MAX];
    size_t len = 0;
    enum pv_nat_side to = from == PV_NAT_INSIDE ? PV_NAT_OUTSIDE : PV_NAT_INSIDE;
    uint32_t info = why == PV_NATPKT_TOO_BIG ? mtu_of(nat, to) : 0;
    struct pv_addr own = own_address(nat, from, pkt->src.family);
    if (own.family != PV_AF_NONE && pv_natpkt_error(pkt, why, info, &own, buf, &len) == PV_OK)
        put_raw(nat, from, buf, len, now);
}

/* Hop limit and MTU, asked before anything is rewritten so that an error quotes what came in. */
static bool may_travel(struct pv_nat *nat, enum pv_nat_side from, const struct pv_natpkt *pkt,
                       pv_ns now)
{
    enum pv_nat_side to = from == PV_NAT_INSIDE ? PV_NAT_OUTSIDE : PV_NAT_INSIDE;
    if (pkt->ttl <= 1) {
        drop(nat, PV_NAT_DROP_TTL);
        complain(nat, from, pkt, PV_NATPKT_TTL_EXCEEDED, now);
        return false;
    }
    if (pkt->len > mtu_of(nat, to) && pkt->df) {
        drop(nat, PV_NAT_DROP_TOO_BIG);
        if (nat->config.mtu_icmp)
            complain(nat, from, pkt, PV_NATPKT_TOO_BIG, now);
        return false;
    }
    return true;
}

static void pass(struct pv_nat *nat, enum pv_nat_side from, struct pv_natpkt *pkt, pv_ns now)
{
    pv_natpkt_hop(pkt);
    nat->stats.passed[from]++;
    put(nat, from == PV_NAT_INSIDE ? PV_NAT_OUTSIDE : PV_NAT_INSIDE, pkt, now);
}

/* ---- fragments ---- */

static struct pv_addr without_port(struct pv_addr a)
{
    a.port = 0;
    return a;
}

static void remember_fragment(struct pv_nat *nat, enum pv_nat_side from,
                              const struct pv_natpkt *pkt, const struct pv_addr *to, pv_ns now)
{
    if (!pkt->fragment)
        return;
    nat->fragments[nat->next_fragment++ % FRAGMENTS] = (struct fragment){
        .from = from,
        .id = pkt->frag_id,
        .proto = pkt->proto,
        .src = without_port(pkt->src),
        .dst = without_port(pkt->dst),
        .to = without_port(*to),
        .expires = now + PV_MS(FRAGMENT_MS),
    };
}

static void follow_fragment(struct pv_nat *nat, enum pv_nat_side from, struct pv_natpkt *pkt,
                            pv_ns now)
{
    for (unsigned i = 0; i < FRAGMENTS; i++) {
        const struct fragment *f = &nat->fragments[i];
        if (f->expires <= now || f->from != from || f->id != pkt->frag_id ||
            f->proto != pkt->proto || !pv_addr_equal(&f->src, &pkt->src) ||
            !pv_addr_equal(&f->dst, &pkt->dst))
            continue;
        if (!may_travel(nat, from, pkt, now))
            return;
        if (from == PV_NAT_INSIDE)
            pv_natpkt_set_src(pkt, &f->to);
        else
            pv_natpkt_set_dst(pkt, &f->to);
        pass(nat, from, pkt, now);
        return;
    }
    drop(nat, PV_NAT_DROP_FRAGMENT);
}

/* ---- sessions ---- */

static pv_ns lifetime(const struct pv_nat *nat, const struct pv_natsession *s, uint8_t proto,
                      pv_ns now)
{
    const struct pv_nat_config *c = &nat->config;
    switch (proto) {
    case PV_NATPKT_UDP:
        return s->replied && now - s->created >= c->stream_after ? c->udp_replied
                                                                 : c->udp_unreplied;
    case PV_NATPKT_TCP:
        if (s->fin[0] && s->fin[1])
            return c->tcp_closing;
        return s->replied ? c->tcp_idle : c->tcp_opening;
    default:
        return c->icmp;
    }
}

static void touch(struct pv_nat *nat, struct pv_natsession *s, enum pv_nat_side from,
                  const struct pv_natpkt *pkt, pv_ns now)
{
    if (pkt->proto == PV_NATPKT_TCP && (pkt->tcp_flags & PV_NATPKT_SYN) != 0 &&
        from == PV_NAT_INSIDE && s->fin[0] && s->fin[1]) {
        s->fin[0] = false; /* the same ports again: a new connection */
        s->fin[1] = false;
        s->replied = false;
        s->created = now;
    }
    if ((pkt->tcp_flags & PV_NATPKT_FIN) != 0)
        s->fin[from] = true;
    if ((pkt->tcp_flags & PV_NATPKT_RST) != 0) {
        s->fin[0] = true;
        s->fin[1] = true;
    }
    if (from == (s->map->inbound ? PV_NAT_INSIDE : PV_NAT_OUTSIDE))
        s->replied = true;
    s->map->used = now;
    bool closing = s->fin[0] && s->fin[1];
    if (from == PV_NAT_INSIDE || nat->config.inbound_refresh || closing)
        pv_nattab_keep(s, now + lifetime(nat, s, pkt->proto, now));
}

/* The far end of a flow as mappings and filters see it: ICMP has no port there. */
static struct pv_addr far_end(const struct pv_natpkt *pkt, const struct pv_addr *addr)
{
    return pkt->proto == PV_NATPKT_ICMP ? without_port(*addr) : *addr;
}

/* ---- mappings ---- */

static bool make_room(struct pv_nat *nat, pv_ns now)
{
    if (now - nat->tab.swept >= PV_MS(SWEEP_MS) || nat->tab.n_maps >= nat->config.max_mappings)
        pv_nattab_sweep(&nat->tab, now);
    if (nat->tab.n_maps < nat->config.max_mappings)
        return true;
    if (nat->config.full == PV_NAT_FULL_REFUSE || nat->tab.n_maps == 0)
        return false;
    pv_nattab_evict(&nat->tab);
    return true;
}

/* what->dst is masked by the caller. elsewhere = the preserved port will not do. */
static struct pv_natmap *make_mapping(struct pv_nat *nat, struct pv_natmap *what, bool elsewhere,
                                      pv_ns now)
{
    if (!make_room(nat, now)) {
        drop(nat, PV_NAT_DROP_FULL);
        return NULL;
    }
    what->created = now;
    what->used = now;
    what->absolute = nat->config.absolute == 0 ? PV_NEVER : now + nat->config.absolute;
    if (what->internal.family == PV_AF_INET6) {
        what->external = what->internal; /* a firewall, not a translator */
    } else {
        what->external = (struct pv_addr){.port = elsewhere ? 1 : 0};
        int r = pv_nattab_allocate(&nat->tab, &nat->config, &nat->rng, what, now, &what->external);
        if (r < 0) {
            drop(nat, r == PV_ERR_NOMEM ? PV_NAT_DROP_NOMEM : PV_NAT_DROP_FULL);
            return NULL;
        }
    }
    struct pv_natmap *map = pv_nattab_add(&nat->tab, what);
    if (map == NULL)
        drop(nat, PV_NAT_DROP_NOMEM);
    else
        nat->stats.mappings_made++;
    return map;
}

/* An early inbound packet owns (our port, that sender): Linux then maps elsewhere. */
static bool displaced(const struct pv_nat *nat, const struct pv_natmap *map,
                      const struct pv_addr *remote, pv_ns now)
{
    struct pv_addr key = pv_nattab_mask(nat->config.filtering, remote);
    return nat->config.pollution && pv_nattab_session(&nat->tab, map, &key, now) == NULL &&
           pv_nattab_polluted(&nat->tab, map->proto, &map->external, remote, now);
}

/* The mapping a packet from inside leaves by; made when there is none. NULL: dropped, counted. */
static struct pv_natmap *mapping_for(struct pv_nat *nat, const struct pv_natpkt *pkt,
                                     const struct pv_addr *remote, pv_ns now)
{
    bool v6 = pkt->src.family == PV_AF_INET6;
    enum pv_nat_rule rule = v6 ? PV_NAT_EI : nat->config.mapping;
    struct pv_natmap what = {
        .proto = pkt->proto,
        .internal = pkt->src,
        .dst = pv_nattab_mask(rule, remote),
    };
    struct pv_nattab *tab = &nat->tab;
    struct pv_natmap *map = NULL;
    if (!v6 && rule != PV_NAT_APD) /* one of its own towards this remote: displaced, forwarded */
        map = pv_nattab_by_internal(tab, what.proto, &what.internal, remote, now);
    if (map != NULL)
        return map;
    map = pv_nattab_by_internal(tab, what.proto, &what.internal, &what.dst, now);
    if (map == NULL)
        map = make_mapping(nat, &what, false, now);
    if (map == NULL || v6 || !displaced(nat, map, remote, now))
        return map;

    nat->stats.displaced++;
    if (map->sessions == NULL)
        pv_nattab_remove(tab, map);
    what.dst = *remote;
    return make_mapping(nat, &what, true, now);
}

/* The mapping and session that let a packet from remote in to a public endpoint. NULL: counted. */
static struct pv_natsession *admitted(struct pv_nat *nat, const struct pv_natpkt *pkt,
                                      const struct pv_addr *external, const struct pv_addr *remote,
                                      pv_ns now)
{
    struct pv_addr key = pv_nattab_mask(nat->config.filtering, remote);
    struct pv_natmap *map = NULL;
    bool mapped = false;
    while ((map = pv_nattab_by_external(&nat->tab, pkt->proto, external, map, now)) != NULL) {
        struct pv_natsession *s = pv_nattab_session(&nat->tab, map, &key, now);
        if (s != NULL)
            return s;
        mapped = true;
    }
    drop(nat, mapped ? PV_NAT_DROP_FILTERED : PV_NAT_DROP_NO_MAPPING);
    return NULL;
}

/* A stranger at a forwarded port: from now on these two speak through it, whatever mapping the
 * inner side had towards that stranger. NULL: it is not forwarded. */
static struct pv_natsession *forwarded(struct pv_nat *nat, const struct pv_natpkt *pkt,
                                       const struct pv_addr *remote, pv_ns now)
{
    struct pv_natmap what = {
        .proto = pkt->proto, .external = pkt->dst, .dst = *remote, .inbound = true};
    for (unsigned i = 0; i < PV_NAT_FORWARDS; i++) {
        const struct pv_nat_forward *f = &nat->config.forwards[i];
        if (f->port != 0 && f->port == pkt->dst.port && pkt->proto == PV_NATPKT_UDP)
            what.internal = f->to;
    }
    if (what.internal.family == PV_AF_NONE)
        return NULL;
    struct pv_natmap *map =
        pv_nattab_by_internal(&nat->tab, what.proto, &what.internal, remote, now);
    if (map != NULL && !pv_addr_equal(&map->external, &what.external)) {
        pv_nattab_remove(&nat->tab, map);
        map = NULL;
    }
    if (map == NULL) {
        what.created = what.used = now;
        what.absolute = PV_NEVER;
        map = make_room(nat, now) ? pv_nattab_add(&nat->tab, &what) : NULL;
    }
    struct pv_addr key = pv_nattab_mask(nat->config.filtering, remote);
    return map == NULL ? NULL : pv_nattab_open(&nat->tab, map, &key, now);
}

static bool is_public(const struct pv_nat *nat, const struct pv_addr *addr)
{
    for (unsigned i = 0; i < nat->config.n_public; i++) {
        if (pv_addr_equal_ip(&nat->config.public_ip[i], addr))
            return true;
    }
    return false;
}

/* ---- ICMP errors follow the flow they are about (RFC 5508 s4.2, s4.3) ---- */

static void error_from_inside(struct pv_nat *nat, struct pv_natpkt *pkt, pv_ns now)
{
    struct pv_natpkt quoted;
    if (pv_natpkt_quoted(pkt, &quoted) < 0) {
        drop(nat, PV_NAT_DROP_MALFORMED);
        return;
    }
    struct pv_addr remote = far_end(&quoted, &quoted.src);
    bool v6 = pkt->src.family == PV_AF_INET6;
    struct pv_addr dst = pv_nattab_mask(v6 ? PV_NAT_EI : nat->config.mapping, &remote);
    struct pv_natmap *map =
        pv_nattab_by_internal(&nat->tab, quoted.proto, &quoted.dst, &remote, now);
    if (map == NULL)
        map = pv_nattab_by_internal(&nat->tab, quoted.proto, &quoted.dst, &dst, now);
    if (map == NULL) {
        drop(nat, PV_NAT_DROP_NO_MAPPING);
        return;
    }
    if (!v6) {
        pv_natpkt_set_quoted_dst(pkt, &quoted, &map->external);
        pv_natpkt_set_src(pkt, &map->external);
    }
    pass(nat, PV_NAT_INSIDE, pkt, now);
}

static void error_from_outside(struct pv_nat *nat, struct pv_natpkt *pkt, pv_ns now)
{
    struct pv_natpkt quoted;
    if (pv_natpkt_quoted(pkt, &quoted) < 0) {
        drop(nat, PV_NAT_DROP_MALFORMED);
        return;
    }
    struct pv_addr remote = far_end(&quoted, &quoted.dst);
    struct pv_natsession *s = admitted(nat, &quoted, &quoted.src, &remote, now);
    if (s == NULL)
        return;
    if (pkt->src.family == PV_AF_INET) {
        pv_natpkt_set_quoted_src(pkt, &quoted, &s->map->internal);
        pv_natpkt_set_dst(pkt, &s->map->internal);
    }
    pass(nat, PV_NAT_OUTSIDE, pkt, now);
}

/* ---- from inside ---- */

static bool allowed(const struct pv_nat *nat, const struct pv_natpkt *pkt)
{
    if (pkt->kind != PV_NATPKT_FLOW)
        return true;
    const struct pv_nat_policy *p =
        pkt->proto == PV_NATPKT_UDP ? &nat->config.udp : &nat->config.tcp;
    if (!p->blocked)
        return true;
    for (unsigned i = 0; i < p->n_allow; i++) {
        if (p->allow[i] == pkt->dst.port)
            return true;
    }
    return false;
}

/* Does a segment begin a TLS hello, and lack some of it? Boxes that look for the name of the server
 * in the first segment, and put none together, cannot judge such a one. RFC 8446 s4 and s5.1. */
static bool splits_hello(const struct pv_natpkt *pkt)
{
    if (pkt->kind != PV_NATPKT_FLOW || pkt->proto != PV_NATPKT_TCP || pkt->len < pkt->l4 + 20)
        return false;
    const uint8_t *tcp = pkt->data + pkt->l4;
    size_t head = (size_t)(tcp[12] >> 4) * 4, len = pkt->len - pkt->l4;
    if (head < 20 || len < head + 2)
        return false;
    const uint8_t *p = tcp + head;
    len -= head;
    if (p[0] != 22 || p[1] != 3 || (len > 5 && p[5] != 1))
        return false;
    return len < 5 || len < 5 + ((size_t)p[3] << 8 | p[4]);
}

/* From inside to one of our public endpoints: out and in again without touching the line. */
static void hairpin(struct pv_nat *nat, struct pv_natpkt *pkt, struct pv_natmap *map, pv_ns now)
{
    struct pv_addr sender = map->external;
    struct pv_natsession *s = admitted(nat, pkt, &pkt->dst, &sender, now);
    if (s == NULL || pkt->fragment) {
        if (s != NULL)
            drop(nat, PV_NAT_DROP_FRAGMENT);
        return;
    }
    touch(nat, s, PV_NAT_OUTSIDE, pkt, now);
    pv_natpkt_set_dst(pkt, &s->map->internal);
    if (nat->config.hairpin == PV_NAT_HAIRPIN_EXTERNAL)
        pv_natpkt_set_src(pkt, &sender);
    pv_natpkt_hop(pkt);
    nat->stats.hairpinned++;
    put(nat, PV_NAT_INSIDE, pkt, now);
}

/* Packets for the box itself, and those no table has to be asked about. True: done with. */
static bool inside_special(struct pv_nat *nat, struct pv_natpkt *pkt, pv_ns now)
{
    bool v6 = pkt->src.family == PV_AF_INET6;
    if (v6 ? nat->config.ipv6 == PV_NAT_V6_OFF : nat->config.n_public == 0) {
        drop(nat, PV_NAT_DROP_FAMILY);
        return true;
    }
    bool to_box = pv_addr_equal_ip(&pkt->dst, &nat->config.inside_ip) ||
                  (pkt->kind == PV_NATPKT_ECHO && is_public(nat, &pkt->dst));
    if (to_box && pkt->kind == PV_NATPKT_ECHO && nat->config.answer_ping) {
        pv_natpkt_answer_echo(pkt);
        put(nat, PV_NAT_INSIDE, pkt, now);
        return true;
    }
    if (to_box) {
        drop(nat, PV_NAT_DROP_NOT_OURS);
        return true;
    }
    if (!allowed(nat, pkt)) {
        drop(nat, PV_NAT_DROP_BLOCKED);
        if (nat->config.reject)
            complain(nat, PV_NAT_INSIDE, pkt, PV_NATPKT_PROHIBITED, now);
        return true;
    }
    if (nat->config.whole_hello && splits_hello(pkt)) {
        drop(nat, PV_NAT_DROP_SPLIT);
        return true;
    }
    return false;
}

static void from_inside(struct pv_nat *nat, struct pv_natpkt *pkt, pv_ns now)
{
    bool v6 = pkt->src.family == PV_AF_INET6;
    bool forward = v6 && nat->config.ipv6 == PV_NAT_V6_FORWARD;
    if (inside_special(nat, pkt, now))
        return;
    if (pkt->kind == PV_NATPKT_REST && !forward) {
        follow_fragment(nat, PV_NAT_INSIDE, pkt, now);
        return;
    }
    if (!may_travel(nat, PV_NAT_INSIDE, pkt, now))
        return;
    if (forward) {
        pass(nat, PV_NAT_INSIDE, pkt, now);
        return;
    }
    if (pkt->kind == PV_NATPKT_ERROR) {
        error_from_inside(nat, pkt, now);
        return;
    }
    bool own = !v6 && is_public(nat, &pkt->dst);
    if (own && nat->config.hairpin == PV_NAT_HAIRPIN_OFF) {
        drop(nat, PV_NAT_DROP_HAIRPIN);
        return;
    }
    struct pv_addr remote = far_end(pkt, &pkt->dst);
    struct pv_natmap *map = mapping_for(nat, pkt, &remote, now);
    if (map == NULL)
        return;
    struct pv_addr key = pv_nattab_mask(nat->config.filtering, &remote);
    struct pv_natsession *s = pv_nattab_open(&nat->tab, map, &key, now);
    if (s == NULL) {
        drop(nat, PV_NAT_DROP_NOMEM);
        return;
    }
    touch(nat, s, PV_NAT_INSIDE, pkt, now);
    if (own) {
        hairpin(nat, pkt, map, now);
        return;
    }
    remember_fragment(nat, PV_NAT_INSIDE, pkt, &map->external, now);
    if (!v6)
        pv_natpkt_set_src(pkt, &map->external);
    pass(nat, PV_NAT_INSIDE, pkt, now);
}

/* ---- from outside ---- */

static bool outside_special(struct pv_nat *nat, struct pv_natpkt *pkt, pv_ns now)
{
    bool v6 = pkt->src.family == PV_AF_INET6;
    if (v6) {
        if (nat->config.ipv6 != PV_NAT_V6_OFF)
            return false;
        drop(nat, PV_NAT_DROP_FAMILY);
        return true;
    }
    if (!is_public(nat, &pkt->dst)) {
        drop(nat, PV_NAT_DROP_NOT_OURS);
        return true;
    }
    if (pkt->kind == PV_NATPKT_ECHO) {
        if (nat->config.answer_ping) {
            pv_natpkt_answer_echo(pkt);
            put(nat, PV_NAT_OUTSIDE, pkt, now);
        } else {
            drop(nat, PV_NAT_DROP_FILTERED);
        }
        return true;
    }
    return false;
}

static void from_outside(struct pv_nat *nat, struct pv_natpkt *pkt, pv_ns now)
{
    bool v6 = pkt->src.family == PV_AF_INET6;
    bool forward = v6 && nat->config.ipv6 == PV_NAT_V6_FORWARD;
    if (outside_special(nat, pkt, now))
        return;
    if (pkt->kind == PV_NATPKT_REST && !forward) {
        follow_fragment(nat, PV_NAT_OUTSIDE, pkt, now);
        return;
    }
    if (!may_travel(nat, PV_NAT_OUTSIDE, pkt, now))
        return;
    if (forward) {
        pass(nat, PV_NAT_OUTSIDE, pkt, now);
        return;
    }
    if (pkt->kind == PV_NATPKT_ERROR) {
        error_from_outside(nat, pkt, now);
        return;
    }
    struct pv_addr remote = far_end(pkt, &pkt->src);
    struct pv_natsession *s = v6 ? NULL : forwarded(nat, pkt, &remote, now);
    if (s == NULL)
        s = admitted(nat, pkt, &pkt->dst, &remote, now);
    if (s == NULL) {
        if (nat->config.pollution && !v6 && pkt->proto == PV_NATPKT_UDP) {
            nat->stats.polluted++;
            pv_nattab_pollute(&nat->tab, pkt->proto, &pkt->dst, &remote, now,
                              nat->config.pollution_life);
        }
        if (nat->config.reject)
            complain(nat, PV_NAT_OUTSIDE, pkt, PV_NATPKT_PORT_UNREACHABLE, now);
        return;
    }
    touch(nat, s, PV_NAT_OUTSIDE, pkt, now);
    remember_fragment(nat, PV_NAT_OUTSIDE, pkt, &s->map->internal, now);
    if (!v6)
        pv_natpkt_set_dst(pkt, &s->map->internal);
    pass(nat, PV_NAT_OUTSIDE, pkt, now);
}

/* ---- in and out ---- */

static void from_64(struct pv_nat *nat, const struct pv_natpkt *pkt, pv_ns now)
{
    uint8_t buf[PV_NATPKT_MAX];
    struct pv_natpkt made;
    unsigned host = host64(nat, &pkt->src);
    struct pv_addr src = address64(host, pkt->src.port), dst = pv_addr4(0, 0, 0, 0, pkt->dst.port);
    memcpy(dst.ip, pkt->dst.ip + PV_IP6_LEN - PV_IP4_LEN, PV_IP4_LEN);
    size_t len = pv_natpkt_translate(pkt, &src, &dst, buf, sizeof(buf));
    if (host == PV_NAT_64_HOSTS)
        drop(nat, PV_NAT_DROP_FULL);
    else if (len == 0 || pv_natpkt_parse(buf, len, &made) < 0)
        drop(nat, PV_NAT_DROP_MALFORMED);
    else
        from_inside(nat, &made, now);
}

static void judge(struct pv_nat *nat, enum pv_nat_side side, uint8_t *data, size_t len, pv_ns now)
{
    struct pv_natpkt pkt;
    if (pv_natpkt_parse(data, len, &pkt) < 0)
        drop(nat, PV_NAT_DROP_MALFORMED);
    else if (side == PV_NAT_INSIDE && is_for_64(nat, &pkt.dst))
        from_64(nat, &pkt, now);
    else if (side == PV_NAT_INSIDE)
        from_inside(nat, &pkt, now);
    else
        from_outside(nat, &pkt, now);
}

void pv_nat_input(struct pv_nat *nat, enum pv_nat_side side, uint8_t *data, size_t len, pv_ns now)
{
    nat->stats.packets[side]++;
    if (side == PV_NAT_INSIDE) {
        judge(nat, side, data, len, now);
        return;
    }
    nat->line_in.config = nat->config.line_in;
    pv_link_send(&nat->line_in, data, len, 0, now);
}

pv_ns pv_nat_next(const struct pv_nat *nat)
{
    pv_ns next = pv_min_ns(pv_link_next(&nat->line_out), pv_link_next(&nat->line_in));
    return pv_min_ns(next, pv_link_next(&nat->to_inside));
}

int pv_nat_output(struct pv_nat *nat, pv_ns now, enum pv_nat_side *ret_side, uint8_t **ret_data,
                  size_t *ret_len)
{
    uint8_t *data = NULL;
    size_t len = 0;
    while (pv_link_receive(&nat->line_in, now, &data, &len, NULL) == PV_OK) {
        judge(nat, PV_NAT_OUTSIDE, data, len, now);
        free(data);
    }
    if (pv_link_receive(&nat->to_inside, now, ret_data, ret_len, NULL) == PV_OK) {
        *ret_side = PV_NAT_INSIDE;
        return PV_OK;
    }
    if (pv_link_receive(&nat->line_out, now, ret_data, ret_len, NULL) == PV_OK) {
        *ret_side = PV_NAT_OUTSIDE;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

void pv_nat_flush(struct pv_nat *nat)
{
    pv_nattab_clear(&nat->tab);
    memset(nat->fragments, 0, sizeof(nat->fragments));
}

unsigned pv_nat_drop_mapping(struct pv_nat *nat, uint8_t proto, const struct pv_addr *external)
{
    unsigned n = 0;
    struct pv_natmap *map = NULL;
    while ((map = pv_nattab_by_external(&nat->tab, proto, external, NULL, 0)) != NULL) {
        pv_nattab_remove(&nat->tab, map);
        n++;
    }
    return n;
}

bool pv_nat_each(const struct pv_nat *nat, pv_ns now, const void **cursor,
                 struct pv_nat_view *ret_view)
{
    const struct pv_natmap *map = *cursor;
    map = map == NULL ? nat->tab.first : map->next;
    while (map != NULL && (map->expires <= now || map->absolute <= now))
        map = map->next;
    if (map == NULL)
        return false;
    *cursor = map;
    *ret_view = (struct pv_nat_view){
        .proto = map->proto,
        .internal = map->internal,
        .external = map->external,
        .dst = map->dst,
        .created = map->created,
        .expires = map->expires < map->absolute ? map->expires : map->absolute,
    };
    for (const struct pv_natsession *s = map->sessions; s != NULL; s = s->next)
        ret_view->sessions += s->expires > now ? 1 : 0;
    return true;
}
