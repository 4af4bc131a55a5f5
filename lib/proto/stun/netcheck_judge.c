/* SPDX-License-Identifier: MIT */
/*
 * netcheck_judge.c - concludes from the ended probes of a NAT check what the NAT does. Each
 * conclusion says "unknown" unless the probes prove it: silence of a NAT, of a server that lacks a
 * feature and of a lossy line look alike, so a missing answer counts only where the same place has
 * answered something else.
 */
#include <stdlib.h>

#include "proto/stun/netcheck.h"
#include "proto/stun/netcheck_int.h"

enum {
    SAMPLES_MIN = 4, /* ours: fewer say nothing about a rule */
    STEP_MAX = 64,   /* ours: neighbours further apart are not a sequence */
};

static enum pv_netcheck_answer yes_or_no(bool yes)
{
    return yes ? PV_NETCHECK_YES : PV_NETCHECK_NO;
}

/* The main socket's answer from that address; NULL when there is none. */
static const struct pv_netcheck_probe *find_mapping(const struct pv_netcheck *nc,
                                                    const struct pv_addr *dst)
{
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind == PV_NC_MAPPING && p->state == PV_NC_ANSWERED && pv_addr_equal(&p->dst, dst))
            return p;
    }
    return NULL;
}

/* --- mapping ------------------------------------------------------------------------------- */

/* Do two answers to the main socket that come from one address but different ports (on_address:
 * from different addresses) name different mappings? Unknown when there are no two such answers.
 * One difference is enough; equality has to hold for all. */
static enum pv_netcheck_answer mapping_differs(const struct pv_netcheck *nc, bool on_address)
{
    enum pv_netcheck_answer result = PV_NETCHECK_UNKNOWN;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *a = &nc->probes[i];
        for (size_t k = 0; k < i; k++) {
            const struct pv_netcheck_probe *b = &nc->probes[k];
            if (a->kind != PV_NC_MAPPING || a->state != PV_NC_ANSWERED ||
                b->kind != PV_NC_MAPPING || b->state != PV_NC_ANSWERED ||
                pv_addr_equal_ip(&a->dst, &b->dst) == on_address)
                continue;
            if (!pv_addr_equal(&a->mapped, &b->mapped))
                return PV_NETCHECK_YES;
            result = PV_NETCHECK_NO;
        }
    }
    return result;
}

/* RFC 4787 s4.1 by the tests of RFC 5780 s4.3. A dependence on the port settles the rule alone.
 * Independence of the address implies independence of the port in every NAT known, so a server
 * without a second port still proves "endpoint-independent". */
static void judge_mapping(const struct pv_netcheck *nc, struct pv_netcheck_result *res)
{
    enum pv_netcheck_answer on_port = mapping_differs(nc, false);
    enum pv_netcheck_answer on_address = mapping_differs(nc, true);
    res->mapping_port = on_port;
    if (on_address == PV_NETCHECK_NO && on_port != PV_NETCHECK_YES)
        res->mapping = PV_NETCHECK_EI;
    else if (on_port == PV_NETCHECK_YES)
        res->mapping = PV_NETCHECK_APD;
    else if (on_address == PV_NETCHECK_YES && on_port == PV_NETCHECK_NO)
        res->mapping = PV_NETCHECK_AD;
    if (res->mapping == PV_NETCHECK_EI)
        res->mapping_port = PV_NETCHECK_NO;
    /* Without translation there is nothing that could depend. */
    if (res->translated == PV_NETCHECK_NO && res->mapping == PV_NETCHECK_RULE_UNKNOWN)
        res->mapping = PV_NETCHECK_EI;
}

/* --- filtering ----------------------------------------------------------------------------- */

/* Did the answer arrive that the server was to send from another place? Silence means "filtered"
 * only when the main socket has got an answer from that very place: otherwise the server's second
 * address may simply not work. */
static enum pv_netcheck_answer answered_from_elsewhere(const struct pv_netcheck *nc, uint8_t flags)
{
    struct pv_addr from = pv_netcheck_server(nc)->dst;
    struct pv_addr other = pv_netcheck_server(nc)->other;
    if ((flags & PV_NC_CHANGE_IP) != 0)
        from = other;
    else
        from.port = other.family != PV_AF_NONE ? other.port : (uint16_t)(from.port + 1);
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind != PV_NC_FILTER || p->flags != flags)
            continue;
        if (p->state == PV_NC_ANSWERED && pv_addr_equal(&p->from, &from))
            return PV_NETCHECK_YES;
        if (p->state == PV_NC_SILENT && find_mapping(nc, &from) != NULL)
            return PV_NETCHECK_NO;
    }
    return PV_NETCHECK_UNKNOWN;
}

/* RFC 5780 s4.4. The two tests are nested: what lets any address in lets any port in, and what
 * keeps another port out keeps another address out as well. */
static void judge_filtering(const struct pv_netcheck *nc, struct pv_netcheck_result *res)
{
    enum pv_netcheck_answer anywhere =
        answered_from_elsewhere(nc, PV_NC_CHANGE_IP | PV_NC_CHANGE_PORT);
    enum pv_netcheck_answer port = answered_from_elsewhere(nc, PV_NC_CHANGE_PORT);
    if (anywhere == PV_NETCHECK_YES) {
        res->filtering = PV_NETCHECK_EI;
        res->filtering_port = PV_NETCHECK_NO;
    } else if (port == PV_NETCHECK_NO) {
        res->filtering = PV_NETCHECK_APD;
        res->filtering_port = PV_NETCHECK_YES;
    } else if (port == PV_NETCHECK_YES) {
        res->filtering_port = PV_NETCHECK_NO;
        if (anywhere == PV_NETCHECK_NO)
            res->filtering = PV_NETCHECK_AD;
    }
}

/* Users and other programs still ask for the names of RFC 3489 s5. They are derived from the two
 * rules and stay unknown where a rule is. */
static enum pv_netcheck_name judge_name(const struct pv_netcheck_result *res, bool dependent)
{
    static const enum pv_netcheck_name CONES[] = {
        [PV_NETCHECK_RULE_UNKNOWN] = PV_NETCHECK_NAME_UNKNOWN,
        [PV_NETCHECK_EI] = PV_NETCHECK_FULL_CONE,
        [PV_NETCHECK_AD] = PV_NETCHECK_ADDRESS_RESTRICTED,
        [PV_NETCHECK_APD] = PV_NETCHECK_PORT_RESTRICTED,
    };
    if (dependent)
        return PV_NETCHECK_SYMMETRIC;
    if (res->translated == PV_NETCHECK_NO)
        return res->filtering == PV_NETCHECK_RULE_UNKNOWN ? PV_NETCHECK_NAME_UNKNOWN
               : res->filtering == PV_NETCHECK_EI         ? PV_NETCHECK_OPEN
                                                          : PV_NETCHECK_FIREWALL;
    return res->mapping == PV_NETCHECK_EI ? CONES[res->filtering] : PV_NETCHECK_NAME_UNKNOWN;
}

/* --- ports --------------------------------------------------------------------------------- */

struct samples {
    size_t n;
    int port[PV_NETCHECK_PROBES];
};

/* The public ports of all mappings seen, one per socket and destination. */
static void collect_ports(const struct pv_netcheck *nc, struct samples *s)
{
    s->n = 0;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->state == PV_NC_ANSWERED &&
            (p->kind == PV_NC_MAPPING || p->kind == PV_NC_FRESH || p->kind == PV_NC_FILTER_OPEN))
            s->port[s->n++] = p->mapped.port;
    }
}

static void sort_ints(int *v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        int x = v[i];
        size_t k = i;
        for (; k > 0 && v[k - 1] > x; k--)
            v[k] = v[k - 1];
        v[k] = x;
    }
}

/* Differences of public ports between neighbouring sockets of the burst; returns how many. A
 * missing answer breaks the chain: a step over a gap would count two bindings as one. */
static size_t burst_steps(const struct pv_netcheck *nc, int ret_steps[static PV_NETCHECK_FRESH])
{
    const struct pv_netcheck_probe *last = NULL;
    size_t n = 0;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind != PV_NC_FRESH || p->state != PV_NC_ANSWERED)
            continue;
        if (last != NULL && p->sock == last->sock + 1 && n < PV_NETCHECK_FRESH)
            ret_steps[n++] = (int)p->mapped.port - (int)last->mapped.port;
        last = p;
    }
    return n;
}

/* The most frequent of n sorted values; the smallest of them on a tie. */
static int most_frequent(const int *v, size_t n)
{
    size_t best = 0;
    int value = 0;
    for (size_t i = 0; i < n;) {
        size_t k = i;
        while (k < n && v[k] == v[i])
            k++;
        if (k - i > best) {
            best = k - i;
            value = v[i];
        }
        i = k;
    }
    return value;
}

/* Ports are given in sequence when three in four steps are short and point the same way as the
 * median. Other hosts behind the NAT take ports in between, so the usual step is the most frequent
 * one, not the mean. */
static bool judge_sequence(const struct pv_netcheck *nc, struct pv_netcheck_result *res)
{
    int d[PV_NETCHECK_FRESH];
    size_t n = burst_steps(nc, d);
    size_t good = 0;
    if (n < SAMPLES_MIN)
        return false;
    sort_ints(d, n);
    int middle = d[n / 2];
    for (size_t i = 0; i < n; i++)
        good += abs(d[i]) <= STEP_MAX && d[i] != 0 && (d[i] > 0) == (middle > 0);
    if (4 * good < 3 * n)
        return false;
    res->ports = PV_NETCHECK_SEQUENTIAL;
    res->delta = most_frequent(d, n);
    return true;
}

/* Estimates a block of ports that the NAT draws from at random: k samples of R ports spread over R
 * (k-1)/(k+1) of them on average (TRAVERSAL 6). A hard-NAT attempt probes the whole block, so the
 * estimate is widened to the power of two that holds it. */
static void judge_block(const struct samples *s, struct pv_netcheck_result *res)
{
    int v[PV_NETCHECK_PROBES];
    for (size_t i = 0; i < s->n; i++)
        v[i] = s->port[i];
    sort_ints(v, s->n);
    int lo = v[0], hi = v[s->n - 1];
    int k = (int)s->n;
    int estimate = (hi - lo) * (k + 1) / (k - 1);
    res->ports = PV_NETCHECK_RANDOM;
    if (estimate > PV_NETCHECK_BLOCK)
        return;
    int size = 16;
    while (size * 3 / 2 < estimate || size < hi - lo + 1) /* the nearest power of two that holds */
        size *= 2;
    int start = lo - lo % size; /* blocks lie at multiples of their size, as a rule */
    if (start + size <= hi)
        start = lo - (size - (hi - lo + 1)) / 2;
    res->ports = PV_NETCHECK_IN_BLOCK;
    res->block_lo = (uint16_t)(start < 1 ? 1 : start);
    res->block_size = (uint16_t)size;
}

/* Three in four fresh sockets keeping their port make "preserved": the others collided with ports
 * already in use. */
static void judge_ports(const struct pv_netcheck *nc, struct pv_netcheck_result *res)
{
    struct samples s;
    size_t fresh = 0;
    size_t same = 0;
    if (res->translated != PV_NETCHECK_YES)
        return;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind != PV_NC_FRESH || p->state != PV_NC_ANSWERED)
            continue;
        fresh++;
        same += p->mapped.port == nc->cfg.local[p->sock].port;
    }
    if (fresh < SAMPLES_MIN)
        return;
    collect_ports(nc, &s);
    if (4 * same >= 3 * fresh)
        res->ports = PV_NETCHECK_PRESERVED;
    else if (!judge_sequence(nc, res))
        judge_block(&s, res);
}

/* --- all of it ----------------------------------------------------------------------------- */

/* NATs with several public addresses may change it from binding to binding; peers have to expect
 * each of them. */
static void note_public(struct pv_netcheck_result *res, const struct pv_addr *a)
{
    for (size_t i = 0; i < res->n_publics; i++)
        if (pv_addr_equal_ip(&res->publics[i], a))
            return;
    if (res->n_publics == PV_NETCHECK_PUBLICS)
        return;
    res->publics[res->n_publics] = *a;
    res->publics[res->n_publics++].port = 0;
}

void pv_netcheck_judge(struct pv_netcheck *nc)
{
    struct pv_netcheck_result *res = &nc->result;
    const struct pv_netcheck_probe *s = pv_netcheck_server(nc);
    *res = (struct pv_netcheck_result){.name = PV_NETCHECK_BLOCKED};
    if (nc->n_probes == 0 || s->state != PV_NC_ANSWERED)
        return;
    res->reached = true;
    res->server = s->dst;
    res->rtt = s->answered - s->last_sent;
    res->two_addresses = s->other.family != PV_AF_NONE && find_mapping(nc, &s->other) != NULL;
    res->mapped = s->mapped;
    note_public(res, &s->mapped);
    for (size_t i = 0; i < nc->n_probes; i++)
        if (nc->probes[i].state == PV_NC_ANSWERED && nc->probes[i].mapped.family != PV_AF_NONE)
            note_public(res, &nc->probes[i].mapped);
    res->translated = yes_or_no(!pv_addr_equal_ip(&s->mapped, &nc->cfg.local[PV_NETCHECK_MAIN]));
    judge_mapping(nc, res);
    judge_filtering(nc, res);
    bool dependent = mapping_differs(nc, false) == PV_NETCHECK_YES ||
                     mapping_differs(nc, true) == PV_NETCHECK_YES;
    res->name = judge_name(res, dependent);
    judge_ports(nc, res);
    /* That nothing came back says something only where the filter was open for it. */
    if (nc->hairpinned)
        res->hairpin = PV_NETCHECK_YES;
    else if (res->translated == PV_NETCHECK_YES && res->mapping == PV_NETCHECK_EI)
        for (size_t i = 0; i < nc->n_probes; i++)
            if (nc->probes[i].kind == PV_NC_HAIRPIN && nc->probes[i].state == PV_NC_SILENT)
                res->hairpin = PV_NETCHECK_NO;
}

/* --- words --------------------------------------------------------------------------------- */

const char *pv_netcheck_answer_text(enum pv_netcheck_answer a)
{
    static const char *const WORDS[] = {"unknown", "no", "yes"};
    return WORDS[a];
}

const char *pv_netcheck_rule_text(enum pv_netcheck_rule rule)
{
    static const char *const WORDS[] = {"unknown", "endpoint-independent", "address-dependent",
                                        "address- and port-dependent"};
    return WORDS[rule];
}

const char *pv_netcheck_name_text(enum pv_netcheck_name name)
{
    static const char *const WORDS[] = {
        "unknown",         "open",      "full cone", "address-restricted",
        "port-restricted", "symmetric", "firewall",  "blocked",
    };
    return WORDS[name];
}

const char *pv_netcheck_ports_text(enum pv_netcheck_ports ports)
{
    static const char *const WORDS[] = {"unknown", "preserved", "sequential", "block", "random"};
    return WORDS[ports];
}

static const char *symmetric_verdict(const struct pv_netcheck_result *r)
{
    switch (r->ports) {
    case PV_NETCHECK_SEQUENTIAL:
        return "A symmetric NAT that gives ports in order: direct paths to open, full cone and "
               "address-restricted networks; to others the port has to be predicted.";
    case PV_NETCHECK_IN_BLOCK:
        return "A symmetric NAT that gives ports out of a small block: direct paths to open, full "
               "cone and address-restricted networks; to others by trying many ports.";
    default:
        return "A symmetric NAT: direct paths to open, full cone and address-restricted networks; "
               "hard to reach from others. UPnP, NAT-PMP, PCP or IPv6 would help.";
    }
}

/* With one address of one server something is known all the same: what it sees may be our own
 * address, or the same port from both of its ports. */
static const char *partial_verdict(const struct pv_netcheck_result *r)
{
    if (r->translated == PV_NETCHECK_NO)
        return "No NAT: this machine has its public address itself. Whether a firewall lets in "
               "only "
               "what was asked for cannot be told with this server: name one with --alt-address.";
    if (r->translated == PV_NETCHECK_YES && r->mapping_port == PV_NETCHECK_NO)
        return "A NAT that keeps one public port for both ports of the server, as ordinary ones "
               "do: "
               "direct paths are likely. A second server, or one with --alt-address, tells more.";
    return "UDP works; the kind of NAT cannot be told: the server has no second address (RFC "
           "5780). Name a second server, or one with --alt-address.";
}

const char *pv_netcheck_verdict(const struct pv_netcheck_result *r)
{
    switch (r->name) {
    case PV_NETCHECK_OPEN:
        return "No NAT and no filter: everybody can reach this machine directly.";
    case PV_NETCHECK_FULL_CONE:
        return "An easy NAT: direct paths to everybody whose own NAT lets packets out.";
    case PV_NETCHECK_ADDRESS_RESTRICTED:
        return "An easy NAT: direct paths to everybody, both sides sending at the same time.";
    case PV_NETCHECK_PORT_RESTRICTED:
        return "An ordinary NAT: direct paths to everybody but symmetric NATs, which take longer "
               "or fail.";
    case PV_NETCHECK_FIREWALL:
        return "No NAT, but a firewall that lets in only what was asked for: direct paths to "
               "everybody but symmetric NATs, which take longer or fail.";
    case PV_NETCHECK_SYMMETRIC:
        return symmetric_verdict(r);
    case PV_NETCHECK_BLOCKED:
        return "No answer by UDP: it is blocked here, or the server is down. Direct paths are "
               "possible inside the own network only.";
    case PV_NETCHECK_NAME_UNKNOWN:
        break;
    }
    return partial_verdict(r);
}
