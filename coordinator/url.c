/* SPDX-License-Identifier: MIT */
/* Which address others reach this machine by. Without --public it is a guess by what the addresses
 * look like, and a note says when the guess is a poor one. A start shows it on the terminal. */
#include "coordinator/url.h"

#include <string.h>
#include <strings.h>

#include "sys/net/netlink.h"

/* --public may name another port than the one that is listened on, for a router that forwards
 * it. */
static struct pv_hostport with_port(const struct pv_coordset *set, struct pv_hostport hp)
{
    if (hp.port == 0)
        hp.port = pv_coordset_port(set);
    return hp;
}

void pv_coordurl_public(const struct pv_coordset *set, struct pv_coordurl_list *ret_list)
{
    ret_list->n = set->n_public;
    for (size_t i = 0; i < set->n_public; i++) {
        struct pv_hostport hp = with_port(set, set->public[i]);
        ret_list->texts[i] = pv_hostport_format(&hp, ret_list->bufs[i]);
    }
}

/* Rates an address for a URL; 0: it is of no use. IPv4 comes before IPv6, as more networks have
 * it. */
static int rank(const struct pv_addr *a)
{
    if (pv_addr_is_unspecified(a) || pv_addr_is_loopback(a) || pv_addr_is_link_local(a) ||
        pv_addr_is_multicast(a))
        return 0;
    if (pv_addr_is_private(a))
        return a->family == PV_AF_INET ? 2 : 1;
    return a->family == PV_AF_INET ? 4 : 3;
}

static void keep_better(const struct pv_addr *a, struct pv_addr *best)
{
    if (rank(a) > rank(best))
        *best = *a;
}

/* One name stands for an address wherever it is looked up (RFC 6761 s6.3); of others nobody knows
 * it here. */
static bool has_address(const char *host, struct pv_addr *ret_addr)
{
    return pv_addr_parse_ip(strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host, ret_addr) ==
           PV_OK;
}

/* Does it lead nowhere from the internet? */
static bool is_inner(const struct pv_addr *a)
{
    return pv_addr_is_private(a) || pv_addr_is_loopback(a);
}

static const char *who_reaches(const struct pv_addr *inner)
{
    return pv_addr_is_loopback(inner) ? "loopback address: only this machine reaches it"
                                      : "private address: only nodes of its own network reach it";
}

static void take_reachable(void *ctx, const struct pv_net_addr *a)
{
    if (a->up && !a->loopback && !a->tunnel && !a->container)
        keep_better(&a->addr.base, ctx);
}

/* The address of --public, else one that is listened on, else one of this machine. Tunnels and
 * container bridges are left out: their addresses look public or private as it happens, and lead
 * nowhere from outside. */
int pv_coordurl_address(const struct pv_coordset *set, struct pv_hostport *ret_addr,
                        char ret_note[static PV_COORDURL_NOTE_MAX])
{
    struct pv_addr best = {.family = PV_AF_INET};
    ret_note[0] = '\0';
    if (set->n_public > 0) {
        *ret_addr = with_port(set, set->public[0]);
        bool is_address = has_address(ret_addr->host, &best);
        if (is_address && is_inner(&best))
            snprintf(ret_note, PV_COORDURL_NOTE_MAX, "note: %.45s is a %s", ret_addr->host,
                     who_reaches(&best));
        return PV_OK;
    }
    for (size_t i = 0; i < set->n_listen; i++)
        keep_better(&set->listen[i], &best);
    if (rank(&best) == 0)
        (void)!pv_net_each_addr(false, take_reachable, &best);
    if (rank(&best) == 0) {
        snprintf(ret_note, PV_COORDURL_NOTE_MAX,
                 "no address of this machine is known: name one with --public");
        return PV_ERR_NOT_FOUND;
    }
    *ret_addr = (struct pv_hostport){.port = pv_coordset_port(set)};
    const char *text = PV_IP_STR(&best);
    memcpy(ret_addr->host, text, strlen(text) + 1);
    if (pv_addr_is_private(&best))
        snprintf(ret_note, PV_COORDURL_NOTE_MAX,
                 "note: %s is a private address: nodes elsewhere need --public with an address "
                 "they can reach",
                 text);
    return PV_OK;
}

struct own_search {
    const struct pv_addr *addr;
    bool found;
};

static void take_own(void *ctx, const struct pv_net_addr *a)
{
    struct own_search *s = ctx;
    s->found = s->found || pv_addr_equal_ip(&a->addr.base, s->addr);
}

/* Of all addresses of this machine, tunnels too: somebody may forward by one. */
static bool is_own(const struct pv_addr *a)
{
    struct own_search s = {.addr = a};
    return pv_net_each_addr(false, take_own, &s) != PV_OK || s.found; /* nobody knows */
}

bool pv_coordurl_is_foreign(const struct pv_coordset *set,
                            char ret_note[static PV_COORDURL_NOTE_MAX])
{
    const struct {
        const char *key;
        const struct pv_addr *addrs;
        size_t n;
    } lists[] = {{"listen", set->listen, set->n_listen},
                 {"tls-listen", set->tls_listen, set->n_tls_listen},
                 {"alt-address", set->alt, set->n_alt}};
    for (size_t l = 0; l < PV_ARRAY_LEN(lists); l++) {
        for (size_t i = 0; i < lists[l].n; i++) {
            const struct pv_addr *a = &lists[l].addrs[i];
            if (pv_addr_is_unspecified(a) || is_own(a))
                continue;
            snprintf(ret_note, PV_COORDURL_NOTE_MAX,
                     "%s (%s) is no address of this machine: it starts on one that has it, or "
                     "leave it out",
                     PV_IP_STR(a), lists[l].key);
            return true;
        }
    }
    return false;
}

bool pv_coordurl_is_doubtful(const struct pv_coordset *set,
                             char ret_note[static PV_COORDURL_NOTE_MAX])
{
    const char *inner = NULL, *foreign = NULL, *reached_by = "";
    bool outer = false;
    for (size_t i = 0; i < set->n_public; i++) {
        struct pv_addr a;
        bool is_address = has_address(set->public[i].host, &a);
        bool leads_in = is_address && is_inner(&a);
        outer = outer || !leads_in;
        /* A private one leads further than one of loopback. */
        if (leads_in && (inner == NULL || pv_addr_is_private(&a))) {
            inner = set->public[i].host;
            reached_by = who_reaches(&a);
        }
        if (leads_in)
            continue;
        if (is_address && !is_own(&a))
            foreign = set->public[i].host;
    }
    if (!outer && inner != NULL)
        snprintf(ret_note, PV_COORDURL_NOTE_MAX, "%.45s (public) is a %s", inner, reached_by);
    else if (foreign != NULL)
        snprintf(ret_note, PV_COORDURL_NOTE_MAX,
                 "%.45s (public) is no address of this machine: what has it must forward UDP and "
                 "TCP port %u to this machine, or correct it",
                 foreign, pv_coordset_port(set));
    return foreign != NULL || (!outer && inner != NULL);
}

/* Adds an address once. Port 0 is the kernel's choice, which nobody knows yet. */
static void add_tls(struct pv_coordurl_list *list, const char *host, uint16_t port)
{
    struct pv_hostport hp = {.port = port};
    char text[PV_HOSTPORT_BUF];
    memcpy(hp.host, host, strlen(host) + 1);
    pv_hostport_format(&hp, text);
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->texts[i], text) == 0)
            return;
    }
    if (list->n == PV_CTL_ADDRS_MAX || port == 0)
        return;
    memcpy(list->bufs[list->n], text, sizeof(text));
    list->texts[list->n] = list->bufs[list->n];
    list->n++;
}

/* An address that is reachable by itself stands for itself; one that is not (0.0.0.0, a private one
 * behind a 1:1 NAT) is known outside by the public names. */
void pv_coordurl_tls(const struct pv_coordset *set, struct pv_coordurl_list *ret_list)
{
    struct pv_hostport guess;
    char note[PV_COORDURL_NOTE_MAX];
    bool guessed = set->n_public == 0 && pv_coordurl_address(set, &guess, note) == PV_OK;
    ret_list->n = 0;
    for (size_t i = 0; i < set->n_tls_listen; i++) {
        const struct pv_addr *at = &set->tls_listen[i];
        if (rank(at) >= 3)
            add_tls(ret_list, PV_IP_STR(at), at->port);
        for (size_t k = 0; rank(at) < 3 && k < set->n_public; k++)
            add_tls(ret_list, set->public[k].host, at->port);
        if (rank(at) < 3 && guessed)
            add_tls(ret_list, guess.host, at->port);
    }
}

/* The first address has to be another one of the same family: a NAT is measured by its behaviour
 * towards two of them (RFC 5780 s4.3). */
static bool may_be_first(const struct pv_addr *a, const struct pv_addr *alt)
{
    return a->family == alt->family && !pv_addr_equal_ip(a, alt) && !pv_addr_is_unspecified(a);
}

static bool is_public(const struct pv_coordset *set, const struct pv_addr *a)
{
    for (size_t i = 0; i < set->n_public; i++) {
        struct pv_addr p;
        if (pv_addr_parse_ip(set->public[i].host, &p) == PV_OK && pv_addr_equal_ip(&p, a))
            return true;
    }
    return false;
}

struct first_search {
    const struct pv_coordset *set;
    const struct pv_addr *alt;
    struct pv_addr best;
    bool used; /* nodes know it */
};

static void take_first(void *ctx, const struct pv_net_addr *a)
{
    struct first_search *s = ctx;
    if (s->used || !may_be_first(&a->addr.base, s->alt))
        return;
    s->used = is_public(s->set, &a->addr.base);
    if (s->used)
        s->best = a->addr.base;
    else if (a->up && !a->tunnel && !a->container)
        keep_better(&a->addr.base, &s->best);
}

/* An address that nodes already use is the best first one: they compare it with the alternate. */
int pv_coordurl_first(const struct pv_coordset *set, const struct pv_addr *alt,
                      struct pv_addr *ret_first)
{
    struct first_search s = {.set = set, .alt = alt, .best = {.family = PV_AF_INET}};
    for (size_t i = 0; i < set->n_listen; i++) {
        if (may_be_first(&set->listen[i], alt)) {
            *ret_first = set->listen[i];
            ret_first->port = 0;
            return PV_OK;
        }
    }
    if (pv_net_each_addr(false, take_first, &s) < 0 || pv_addr_is_unspecified(&s.best))
        return PV_ERR_NOT_FOUND;
    *ret_first = s.best;
    ret_first->port = 0;
    return PV_OK;
}

void pv_coordurl_show(const char *url, FILE *out)
{
    fprintf(out, "p2pvpn-coordinator: make a network with: sudo p2pvpnctl create '%s'\n", url);
}
