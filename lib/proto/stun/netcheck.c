/* SPDX-License-Identifier: MIT */
/*
 * netcheck.c - asks the questions of a NAT check (which socket sends what to whom, and when), and
 * concludes from the ended probes what the NAT does. The order of the tests matters: the burst of
 * fresh sockets comes first and alone, because each new binding takes a port, and ports taken in
 * between would hide the NAT's rule. Each conclusion says "unknown" unless the probes prove it:
 * silence of a NAT, of a server that lacks a feature and of a lossy line look alike, so a missing
 * answer counts only where the same place has answered something else.
 */
#include "proto/stun/netcheck.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

enum kind {
    NC_MAPPING,     /* main socket to any address: which mapping */
    NC_FRESH,       /* a fresh socket to the server: which port */
    NC_FILTER_OPEN, /* filter socket to the server: makes the binding */
    NC_FILTER,      /* the same binding, the answer from elsewhere */
    NC_HAIRPIN,     /* to a mapping of our own; the request itself is to arrive */
    NC_LIFE_OPEN,   /* makes a binding that is left alone then */
    NC_LIFE,        /* the answer to a binding left alone */
};

enum probe_state {
    NC_WAITING,  /* due is the first transmission */
    NC_ASKED,    /* sent at least once, not answered yet */
    NC_ANSWERED, /* a success answer arrived */
    NC_REFUSED,  /* an error answer */
    NC_SILENT,   /* no answer */
};

enum {
    NC_CHANGE_PORT = 2, /* RFC 5780 s7.2 */
    NC_CHANGE_IP = 4,   /* RFC 5780 s7.2 */
};

/* The first question to the server that is measured with: it has that server's addresses. */
static inline const struct pv_netcheck_probe *server_of(const struct pv_netcheck *nc)
{
    return &nc->probes[nc->server];
}

enum {
    SAMPLES_MIN = 4, /* ours: fewer say nothing about a rule */
    STEP_MAX = 64,   /* ours: neighbours further apart are not a sequence */
};

static enum pv_netcheck_answer yes_or_no(bool yes)
{
    return yes ? PV_NETCHECK_YES : PV_NETCHECK_NO;
}

/* Returns true if the server saw a private address. It then stands inside that network, and cannot
 * tell of the NAT between the network and the internet. */
static bool is_inside(const struct pv_addr *mapped)
{
    return pv_addr_is_private(mapped);
}

/* The main socket's answer from that address; NULL when there is none. */
static const struct pv_netcheck_probe *find_mapping(const struct pv_netcheck *nc,
                                                    const struct pv_addr *dst)
{
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind == NC_MAPPING && p->state == NC_ANSWERED && pv_addr_equal(&p->dst, dst))
            return p;
    }
    return NULL;
}

/* --- mapping ------------------------------------------------------------------------------- */

/* Do two answers to the main socket that come from one address but different ports (on_address:
 * from different addresses) name different mappings? Unknown when there are no two such answers.
 * One difference is enough; equality has to hold for all. A server on either side of a NAT sees
 * another of our addresses whatever that does. */
static enum pv_netcheck_answer mapping_differs(const struct pv_netcheck *nc, bool on_address)
{
    enum pv_netcheck_answer result = PV_NETCHECK_UNKNOWN;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *a = &nc->probes[i];
        for (size_t k = 0; k < i; k++) {
            const struct pv_netcheck_probe *b = &nc->probes[k];
            if (a->kind != NC_MAPPING || a->state != NC_ANSWERED || b->kind != NC_MAPPING ||
                b->state != NC_ANSWERED || pv_addr_equal_ip(&a->dst, &b->dst) == on_address ||
                is_inside(&a->mapped) != is_inside(&b->mapped))
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

/* Returns whether the answer from the server's other address arrived. Silence means "filtered" only
 * if the main socket has got an answer from that address: otherwise the server's second address may
 * not work. */
static enum pv_netcheck_answer answered_from_elsewhere(const struct pv_netcheck *nc, uint8_t flags)
{
    struct pv_addr from = server_of(nc)->dst;
    struct pv_addr other = server_of(nc)->other;
    if ((flags & NC_CHANGE_IP) != 0)
        from = other;
    else
        from.port = other.family != PV_AF_NONE ? other.port : (uint16_t)(from.port + 1);
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind != NC_FILTER || p->flags != flags)
            continue;
        if (p->state == NC_ANSWERED && pv_addr_equal(&p->from, &from))
            return PV_NETCHECK_YES;
        if (p->state == NC_SILENT && find_mapping(nc, &from) != NULL)
            return PV_NETCHECK_NO;
    }
    return PV_NETCHECK_UNKNOWN;
}

/* RFC 5780 s4.4. The two tests are nested: what lets any address in lets any port in, and what
 * keeps another port out keeps another address out as well. */
static void judge_filtering(const struct pv_netcheck *nc, struct pv_netcheck_result *res)
{
    enum pv_netcheck_answer anywhere = answered_from_elsewhere(nc, NC_CHANGE_IP | NC_CHANGE_PORT);
    enum pv_netcheck_answer port = answered_from_elsewhere(nc, NC_CHANGE_PORT);
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
        if (p->state == NC_ANSWERED &&
            (p->kind == NC_MAPPING || p->kind == NC_FRESH || p->kind == NC_FILTER_OPEN))
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
        if (p->kind != NC_FRESH || p->state != NC_ANSWERED)
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
        if (p->kind != NC_FRESH || p->state != NC_ANSWERED)
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
    if (is_inside(a))
        return;
    for (size_t i = 0; i < res->n_publics; i++)
        if (pv_addr_equal_ip(&res->publics[i], a))
            return;
    if (res->n_publics == PV_NETCHECK_PUBLICS)
        return;
    res->publics[res->n_publics] = *a;
    res->publics[res->n_publics++].port = 0;
}

/* Fills nc->result from the probes. */
static void judge(struct pv_netcheck *nc)
{
    struct pv_netcheck_result *res = &nc->result;
    const struct pv_netcheck_probe *s = server_of(nc);
    *res = (struct pv_netcheck_result){.name = PV_NETCHECK_BLOCKED};
    if (nc->n_probes == 0 || s->state != NC_ANSWERED)
        return;
    res->reached = true;
    res->server = s->dst;
    res->rtt = s->answered - s->last_sent;
    res->two_addresses = s->other.family != PV_AF_NONE && find_mapping(nc, &s->other) != NULL;
    res->mapped = s->mapped;
    note_public(res, &s->mapped);
    for (size_t i = 0; i < nc->n_probes; i++)
        if (nc->probes[i].state == NC_ANSWERED && nc->probes[i].mapped.family != PV_AF_NONE)
            note_public(res, &nc->probes[i].mapped);
    res->translated = yes_or_no(!pv_addr_equal_ip(&s->mapped, &nc->cfg.local[PV_NETCHECK_MAIN]));
    if (is_inside(&s->mapped)) {
        res->name = PV_NETCHECK_NAME_UNKNOWN;
        if (res->translated == PV_NETCHECK_NO)
            res->translated = PV_NETCHECK_UNKNOWN;
        return;
    }
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
            if (nc->probes[i].kind == NC_HAIRPIN && nc->probes[i].state == NC_SILENT)
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
    if (is_inside(&r->mapped))
        return "The server stands in a private network with this machine, and cannot tell what "
               "lies between that and the internet: name one of the internet with --server.";
    if (r->translated == PV_NETCHECK_NO)
        return "No NAT: this machine has its public address itself. Whether a firewall lets in "
               "only "
               "what was asked for cannot be told with this server, which answers from one "
               "address: name another with --server.";
    if (r->translated == PV_NETCHECK_YES && r->mapping_port == PV_NETCHECK_NO)
        return "A NAT that keeps one public port for both ports of the server, as ordinary ones "
               "do: "
               "direct paths are likely. A server with two addresses, named with --server, tells "
               "more.";
    return "UDP works; the kind of NAT cannot be told: the server has no second address (RFC "
           "5780). Name one that has, or a second server, with --server.";
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

enum state {
    FINDING,
    MEASURING,
    LIVING,
    DONE,
};

enum {
    BURST_GAP_MS = 5, /* between fresh sockets, so that they keep their order on the way */
    BURST_MS = 100,   /* the other tests wait so long: they would take ports in between */
};

/* Silences tried, in seconds; the last must be the longest. */
static const uint16_t SILENCES[PV_NETCHECK_LIVES] = {0,  5,  10, 15, 20, 25,  30,
                                                     40, 50, 60, 75, 90, 120, 180};

/* When a request is sent again, in ms after the first time (ours). Finding a server allows for a
 * slow line; the tests that follow know the round trip and are quicker. A request that stays
 * unanswered has failed some time after its last transmission: see plan_resend(). */
static const uint16_t FIND_AT[] = {0, 100, 300, 700, 1500, 2300};
static const uint16_t TEST_AT[] = {0, 100, 250, 500, 900};

static pv_ns later_of(pv_ns a, pv_ns b)
{
    return a > b ? a : b;
}

/* --- probes -------------------------------------------------------------------------------- */

/* Every question is a transaction of its own with an unpredictable id, which is all that protects
 * the result from forged answers (RFC 8489 s5). */
static struct pv_netcheck_probe *add_probe(struct pv_netcheck *nc, uint8_t kind, unsigned sock,
                                           const struct pv_addr *dst, pv_ns at)
{
    struct pv_netcheck_probe *p = &nc->probes[nc->n_probes];
    if (nc->n_probes == PV_NETCHECK_PROBES)
        return &nc->probes[PV_NETCHECK_PROBES - 1]; /* cannot be: see the counts in netcheck.h */
    nc->n_probes++;
    *p = (struct pv_netcheck_probe){.kind = kind, .sock = (uint8_t)sock, .dst = *dst, .due = at};
    pv_rng_fill(&nc->rng, p->txid, sizeof(p->txid));
    return p;
}

static bool is_open(const struct pv_netcheck_probe *p)
{
    return p->state == NC_WAITING || p->state == NC_ASKED;
}

static bool has_probe(const struct pv_netcheck *nc, uint8_t kind, const struct pv_addr *dst)
{
    for (size_t i = 0; i < nc->n_probes; i++)
        if (nc->probes[i].kind == kind && pv_addr_equal(&nc->probes[i].dst, dst))
            return true;
    return false;
}

static struct pv_netcheck_probe *find_kind(struct pv_netcheck *nc, uint8_t kind, unsigned sock)
{
    for (size_t i = 0; i < nc->n_probes; i++)
        if (nc->probes[i].kind == kind && nc->probes[i].sock == sock)
            return &nc->probes[i];
    return NULL;
}

/* A request was handed out. Plans its repetition, or after the last one the moment at which silence
 * counts as the answer: the end of the search for servers, or twice the round trip, at least 400
 * ms. */
static void plan_resend(struct pv_netcheck *nc, struct pv_netcheck_probe *p)
{
    bool finding = nc->state == FINDING;
    const uint16_t *at = finding ? FIND_AT : TEST_AT;
    size_t n = finding ? PV_ARRAY_LEN(FIND_AT) : PV_ARRAY_LEN(TEST_AT);
    pv_ns rtt = nc->state == FINDING ? 0 : server_of(nc)->answered - server_of(nc)->last_sent;
    p->state = NC_ASKED;
    p->last_sent = nc->now;
    p->sends++;
    if (p->sends < n)
        p->due = nc->now + PV_MS(at[p->sends] - at[p->sends - 1]);
    else if (finding)
        p->due = nc->started + PV_MS(PV_NETCHECK_FIND_MS);
    else
        p->due = nc->now + later_of(PV_MS(400), 2 * rtt);
}

/* --- the tests ----------------------------------------------------------------------------- */

void pv_netcheck_start(struct pv_netcheck *nc, const struct pv_netcheck_config *cfg,
                       const struct pv_rng *rng, pv_ns now)
{
    memset(nc, 0, sizeof(*nc));
    nc->cfg = *cfg;
    nc->rng = *rng;
    nc->started = now;
    nc->now = now;
    nc->settle = PV_NEVER;
    nc->state = FINDING;
    if (nc->cfg.n_servers > PV_NETCHECK_SERVERS)
        nc->cfg.n_servers = PV_NETCHECK_SERVERS;
    for (size_t i = 0; i < nc->cfg.n_servers; i++)
        add_probe(nc, NC_MAPPING, PV_NETCHECK_MAIN, &nc->cfg.servers[i], now);
}

static void end_with_result(struct pv_netcheck *nc)
{
    judge(nc);
    nc->state = DONE;
    nc->event_due = true;
}

/* One that sees a public address tells most, and then one with a second address (RFC 5780 s7.4). */
static int worth_of(const struct pv_netcheck_probe *p)
{
    return 2 * !is_inside(&p->mapped) + (p->other.family != PV_AF_NONE);
}

/* Chooses the server for everything that follows: the first to answer among those that can tell the
 * most. Returns false if there is none yet. */
static bool choose_server(struct pv_netcheck *nc)
{
    bool found = false;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->state != NC_ANSWERED)
            continue;
        if (!found || worth_of(p) > worth_of(server_of(nc)))
            nc->server = i;
        found = true;
    }
    return found;
}

/* OTHER-ADDRESS and similar come unauthenticated. Without this test a server could send our probes
 * to multicast, to this machine or to a link-local address; loopback stays allowed between loopback
 * addresses, for tests. */
static bool may_be_asked(const struct pv_addr *a, const struct pv_addr *server)
{
    return pv_addr_is_usable_remote(a) ||
           (a->port != 0 && pv_addr_is_loopback(a) && pv_addr_is_loopback(server));
}

static void add_mapping(struct pv_netcheck *nc, const struct pv_addr *dst, pv_ns at)
{
    if (may_be_asked(dst, &server_of(nc)->dst) && !has_probe(nc, NC_MAPPING, dst))
        add_probe(nc, NC_MAPPING, PV_NETCHECK_MAIN, dst, at);
}

/* The main socket asks every other address of the server; without a second address, the port
 * after its own, which is where RFC 5780 servers have their second one. */
static void add_mappings(struct pv_netcheck *nc, pv_ns at)
{
    const struct pv_netcheck_probe s = *server_of(nc);
    struct pv_addr a = s.dst;
    if (s.other.family != s.dst.family) {
        a.port = (uint16_t)(s.dst.port + 1);
        add_mapping(nc, &a, at);
        return;
    }
    a.port = s.other.port;
    add_mapping(nc, &a, at);
    add_mapping(nc, &s.other, at);
    a = s.other;
    a.port = s.dst.port;
    add_mapping(nc, &a, at);
}

static void start_measuring(struct pv_netcheck *nc)
{
    const struct pv_addr dst = server_of(nc)->dst;
    nc->state = MEASURING;
    nc->measure = nc->now;
    for (unsigned i = 0; i < PV_NETCHECK_FRESH; i++)
        add_probe(nc, NC_FRESH, PV_NETCHECK_FIRST_FRESH + i, &dst,
                  nc->now + PV_MS(i * BURST_GAP_MS));
    add_mappings(nc, nc->now + PV_MS(BURST_MS));
    add_probe(nc, NC_FILTER_OPEN, PV_NETCHECK_FILTER, &dst, nc->now + PV_MS(BURST_MS));
}

/* The filter socket has opened a binding to the server's first address. Now the server is asked to
 * answer from another address and from another port (RFC 5780 s4.4); what arrives shows what the
 * filter lets through. The socket must never have sent to those places itself. */
static void start_filter(struct pv_netcheck *nc)
{
    const struct pv_addr dst = server_of(nc)->dst;
    add_probe(nc, NC_FILTER, PV_NETCHECK_FILTER, &dst, nc->now)->flags =
        NC_CHANGE_IP | NC_CHANGE_PORT;
    add_probe(nc, NC_FILTER, PV_NETCHECK_FILTER, &dst, nc->now)->flags = NC_CHANGE_PORT;
}

/* Two fresh sockets write to each other's public address. Both write, because a NAT that filters by
 * address lets in only what its own side has written to first. */
static void start_hairpin(struct pv_netcheck *nc)
{
    const struct pv_netcheck_probe *a = find_kind(nc, NC_FRESH, PV_NETCHECK_FIRST_FRESH);
    const struct pv_netcheck_probe *b = find_kind(nc, NC_FRESH, PV_NETCHECK_FIRST_FRESH + 1);
    pv_ns at = later_of(nc->now, nc->measure + PV_MS(BURST_MS));
    if (a == NULL || b == NULL || a->state != NC_ANSWERED || b->state != NC_ANSWERED ||
        find_kind(nc, NC_HAIRPIN, a->sock) != NULL ||
        pv_addr_equal_ip(&a->mapped, &nc->cfg.local[a->sock]))
        return;
    add_probe(nc, NC_HAIRPIN, a->sock, &b->mapped, at);
    add_probe(nc, NC_HAIRPIN, b->sock, &a->mapped, at);
}

static bool all_done(const struct pv_netcheck *nc)
{
    for (size_t i = 0; i < nc->n_probes; i++)
        if (is_open(&nc->probes[i]))
            return false;
    return true;
}

/* --- the lifetime of bindings ---------------------------------------------------------------- */

/* Bindings are left alone, each for another time, and then the server is asked to answer to their
 * port. All of them run at once, so that the test takes as long as the longest silence. */
static void start_living(struct pv_netcheck *nc)
{
    const struct pv_addr dst = server_of(nc)->dst;
    nc->state = LIVING;
    nc->n_probes = nc->server + 1; /* the others have been judged: room for new ones */
    for (unsigned i = 0; i < PV_NETCHECK_LIVES; i++)
        add_probe(nc, NC_LIFE_OPEN, PV_NETCHECK_FIRST_LIFE + i, &dst, nc->now);
}

static void ask_binding(struct pv_netcheck *nc, const struct pv_netcheck_probe *opened, pv_ns at)
{
    uint16_t port = opened->mapped.port;
    unsigned sock = opened->sock;
    struct pv_netcheck_probe *p = add_probe(nc, NC_LIFE, sock, &server_of(nc)->dst, at);
    p->response_port = port;
}

/* A binding was opened: the question to it is asked when its silence is over. The first silence is
 * zero, which shows whether the server answers to another port at all. */
static void plan_question(struct pv_netcheck *nc, const struct pv_netcheck_probe *p)
{
    unsigned i = p->sock - PV_NETCHECK_FIRST_LIFE;
    const struct pv_netcheck_probe opened = *p;
    ask_binding(nc, &opened, nc->now + PV_S(SILENCES[i]));
}

/* Bindings of higher number are left alone for longer, so the first one found dead (or refused)
 * settles the result, and nobody waits for the rest. */
static bool life_decided(const struct pv_netcheck *nc)
{
    const struct pv_netcheck_probe *p;
    bool waiting = false;
    for (size_t i = 0; i < nc->n_probes; i++) {
        p = &nc->probes[i];
        if (p->kind == NC_LIFE && (p->state == NC_SILENT || p->state == NC_REFUSED))
            return true;
        waiting = waiting || is_open(p);
    }
    return !waiting;
}

/* A lifetime counts only when the fresh binding (silence 0) was reached; otherwise the server or a
 * filter stands in the way and every longer silence would look like a dead binding. */
static void judge_life(struct pv_netcheck *nc)
{
    struct pv_netcheck_result *res = &nc->result;
    res->life_max = PV_NEVER;
    for (size_t i = 0; i < nc->n_probes; i++) {
        const struct pv_netcheck_probe *p = &nc->probes[i];
        unsigned n = p->sock - PV_NETCHECK_FIRST_LIFE;
        if (p->kind != NC_LIFE)
            continue;
        pv_ns silence = PV_S(SILENCES[n]);
        if (p->state == NC_ANSWERED) {
            res->life_known = true;
            res->life_min = later_of(res->life_min, silence);
        } else if (p->state == NC_SILENT) {
            res->life_max = pv_min_ns(res->life_max, silence);
        }
    }
    /* Not even a fresh binding was reached: the server does not do it. */
    res->life_known = res->life_known && res->life_max > 0;
}

/* --- what moves it --------------------------------------------------------------------------- */

/* Moves to the next state when the present one has nothing open. The first answer starts a short
 * grace (250 ms) in which a server with a second address may still overtake it. */
static void advance(struct pv_netcheck *nc)
{
    if (nc->state == FINDING) {
        bool found = choose_server(nc);
        if (found && nc->settle == PV_NEVER)
            nc->settle = nc->now + PV_MS(all_done(nc) ? 0 : 250);
        if (found && (all_done(nc) || nc->now >= nc->settle))
            start_measuring(nc);
        else if (!found && all_done(nc))
            end_with_result(nc);
    } else if (nc->state == MEASURING) {
        start_hairpin(nc);
        if (!all_done(nc) && nc->now < nc->started + PV_MS(PV_NETCHECK_MAX_MS))
            return;
        judge(nc);
        if (nc->cfg.lifetime)
            start_living(nc);
        else
            end_with_result(nc);
    } else if (nc->state == LIVING && life_decided(nc)) {
        judge_life(nc);
        nc->state = DONE;
        nc->event_due = true;
    }
}

/* A Binding request arrived: when it is one of ours, the NAT has turned it round (hairpinning, RFC
 * 4787 s6). One of the two is enough, so the other one stops. */
static int take_own_request(struct pv_netcheck *nc, const struct pv_stun_msg *msg, pv_ns now)
{
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        if (p->kind != NC_HAIRPIN || memcmp(p->txid, msg->txid, sizeof(p->txid)) != 0)
            continue;
        nc->now = now;
        nc->hairpinned = true;
        for (size_t k = 0; k < nc->n_probes; k++)
            if (nc->probes[k].kind == NC_HAIRPIN && is_open(&nc->probes[k]))
                nc->probes[k].state = NC_ANSWERED;
        advance(nc);
        return PV_OK;
    }
    return PV_ERR_NOT_FOUND;
}

/* An answer counts only with the id, on the socket and from the address that its question implies:
 * only FILTER expects another source, and only the refusal of a LIFE question arrives on the main
 * socket, which asked it. */
static bool may_answer(const struct pv_netcheck_probe *p, const struct pv_stun_msg *msg,
                       unsigned sock, const struct pv_addr *src)
{
    if (p->state != NC_ASKED || p->kind == NC_HAIRPIN ||
        memcmp(p->txid, msg->txid, sizeof(p->txid)) != 0)
        return false;
    if (p->kind == NC_LIFE && msg->cls == PV_STUN_ERROR)
        return sock == PV_NETCHECK_MAIN;
    return sock == p->sock && (p->kind == NC_FILTER || pv_addr_equal(src, &p->dst));
}

/* Second addresses are believed only when they differ in both address and port (RFC 5780 s3) and
 * may be asked; RFC 3489 servers name theirs CHANGED-ADDRESS and know MAPPED-ADDRESS only. */
static int take_answer(struct pv_netcheck *nc, struct pv_netcheck_probe *p,
                       const struct pv_stun_msg *msg, const struct pv_addr *src)
{
    struct pv_addr mapped;
    p->answered = nc->now;
    p->from = *src;
    if (msg->cls == PV_STUN_ERROR) {
        p->state = NC_REFUSED;
        return PV_OK;
    }
    int r = pv_stun_get_xor_addr(msg, PV_STUN_ATTR_XOR_MAPPED_ADDRESS, &mapped);
    if (r == PV_ERR_NOT_FOUND)
        r = pv_stun_get_addr(msg, PV_STUN_ATTR_MAPPED_ADDRESS, &mapped);
    if (r < 0 || mapped.port == 0)
        return PV_ERR_MALFORMED;
    p->mapped = mapped;
    p->state = NC_ANSWERED;
    struct pv_addr other;
    if ((pv_stun_get_addr(msg, PV_STUN_ATTR_OTHER_ADDRESS, &other) == PV_OK ||
         pv_stun_get_addr(msg, PV_STUN_ATTR_CHANGED_ADDRESS, &other) == PV_OK) &&
        other.family == p->dst.family && !pv_addr_equal_ip(&other, &p->dst) &&
        other.port != p->dst.port && may_be_asked(&other, &p->dst))
        p->other = other;
    return PV_OK;
}

int pv_netcheck_handle_input(struct pv_netcheck *nc, unsigned sock, const struct pv_addr *src,
                             struct pv_view datagram, pv_ns now)
{
    struct pv_stun_msg msg;
    int r = pv_stun_decode(datagram, &msg);
    if (r < 0)
        return r;
    if (msg.method != PV_STUN_BINDING || nc->state == DONE)
        return PV_ERR_NOT_FOUND;
    if (msg.cls == PV_STUN_REQUEST)
        return take_own_request(nc, &msg, now);
    if (msg.cls != PV_STUN_SUCCESS && msg.cls != PV_STUN_ERROR)
        return PV_ERR_NOT_FOUND;
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        if (!may_answer(p, &msg, sock, src))
            continue;
        nc->now = now;
        r = take_answer(nc, p, &msg, src);
        if (r < 0)
            return r;
        if (p->kind == NC_FILTER_OPEN && p->state == NC_ANSWERED)
            start_filter(nc);
        if (p->kind == NC_LIFE_OPEN && p->state == NC_ANSWERED)
            plan_question(nc, p);
        advance(nc);
        return PV_OK;
    }
    return PV_ERR_NOT_FOUND;
}

void pv_netcheck_handle_timeout(struct pv_netcheck *nc, pv_ns now)
{
    nc->now = now;
    if (nc->state == DONE)
        return;
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        size_t n = nc->state == FINDING ? PV_ARRAY_LEN(FIND_AT) : PV_ARRAY_LEN(TEST_AT);
        if (p->state == NC_ASKED && now >= p->due && p->sends >= n)
            p->state = NC_SILENT;
    }
    advance(nc);
}

pv_ns pv_netcheck_next_timeout(const struct pv_netcheck *nc)
{
    pv_ns next = PV_NEVER;
    if (nc->state == DONE)
        return PV_NEVER;
    if (nc->state == FINDING)
        next = nc->settle;
    if (nc->state == MEASURING)
        next = nc->started + PV_MS(PV_NETCHECK_MAX_MS);
    for (size_t i = 0; i < nc->n_probes; i++)
        if (is_open(&nc->probes[i]))
            next = pv_min_ns(next, nc->probes[i].due);
    return next;
}

/* By IPv6 a second address makes an answer so long that a server may leave it out for a request
 * without any attribute, whose source may be forged (ours does: stuns.h PV_STUNS_GAIN). */
static int write_probe(const struct pv_netcheck_probe *p, uint8_t *buf, size_t *ret_len)
{
    struct pv_stun_writer w;
    pv_stun_write_begin(&w, buf, PV_NETCHECK_MTU, PV_STUN_REQUEST, PV_STUN_BINDING, p->txid);
    if (p->flags != 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_CHANGE_REQUEST, p->flags);
    if (p->response_port != 0)
        pv_stun_put_u32(&w, PV_STUN_ATTR_RESPONSE_PORT, (uint32_t)p->response_port << 16);
    if (p->dst.family == PV_AF_INET6)
        pv_stun_put_fingerprint(&w);
    return pv_stun_write_end(&w, ret_len);
}

int pv_netcheck_poll_transmit(struct pv_netcheck *nc, uint8_t buf[static PV_NETCHECK_MTU],
                              struct pv_netcheck_send *ret_send)
{
    if (nc->state == DONE)
        return PV_ERR_AGAIN;
    for (size_t i = 0; i < nc->n_probes; i++) {
        struct pv_netcheck_probe *p = &nc->probes[i];
        size_t n = nc->state == FINDING ? PV_ARRAY_LEN(FIND_AT) : PV_ARRAY_LEN(TEST_AT);
        if (!is_open(p) || p->due > nc->now || p->sends >= n)
            continue;
        size_t len = 0;
        int r = write_probe(p, buf, &len);
        if (r < 0)
            return r;
        plan_resend(nc, p);
        ret_send->sock = p->kind == NC_LIFE ? PV_NETCHECK_MAIN : p->sock;
        ret_send->dst = p->dst;
        ret_send->len = len;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

int pv_netcheck_poll_event(struct pv_netcheck *nc, struct pv_netcheck_result *ret_result)
{
    if (!nc->event_due)
        return PV_ERR_AGAIN;
    nc->event_due = false;
    *ret_result = nc->result;
    return PV_OK;
}
