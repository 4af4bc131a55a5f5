/* SPDX-License-Identifier: MIT */
/* phones.c - which member is which phone's gateway, and how one is made. */
#include "daemon/core/route/phones.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "crypto/ct.h"
#include "crypto/dh.h"
#include "daemon/core/admin/admin.h"
#include "daemon/core/admin/rulesedit.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rules.h"
#include "daemon/core/node/node.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/packets/fp_builder.h"
#include "daemon/core/path/openport.h"
#include "daemon/core/peer/peers.h"
#include "daemon/core/route/phoneends.h"
#include "daemon/core/route/phonetest.h"
#include "daemon/core/route/routes.h"
#include "proto/ip/gatewayat.h"
#include "proto/local/ctlapi_pack.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster_make.h"

#define RETRY PV_S(1) /* ours: after a change for which there was no memory */
#define PHONE_PORT_WAIT \
    PV_S(5) /* ours: for a phone port; the coordinator opens one within two round trips */

#define ASK_AGAIN PV_S(1) /* ours: a member, for where strangers reach it */
#define ASK_WAIT                                                                          \
    PV_S(15) /* ours: for its answer, for which it may wait for a phone port and its test \
              */
#define TEST_FRESH PV_S(2) /* ours: a test this young answers the admin's next question, too */

static const char meta_ends[] = "phones"; /* name in the store: where their apps find this node */

/* The reason for which an export waits. */
enum wait {
    WAIT_NONE,
    WAIT_PHONE_PORT, /* this node's phone port, to name it */
    WAIT_TEST,       /* whether handshakes reach the phone port */
    WAIT_MEMBER,     /* the answer of another member that is to be the gateway */
};

struct waiting {
    enum wait what;
    struct pv_ctlapi_request req; /* owns nothing */
    uint64_t handle;
    pv_ns until;
    uint8_t seed[PV_SIGN_SEED_LEN]; /* of the phone's identity: that member hears which one it is */
    uint8_t by[PV_SIGN_PK_LEN];     /* that member */
    pv_ns ask_at;                   /* PV_NEVER: it is not asked */
    bool told;
    struct pv_gatewayat word; /* told: its answer */
};

struct phones {
    struct pv_node *node;
    bool dns;         /* a name server answers members here */
    bool willing;     /* to be a gateway of phones that other admins let in */
    bool pending;     /* something changed: look */
    bool unsettled;   /* the ways that lead here changed, or a phone came by one */
    pv_ns look_at;    /* PV_NEVER: when something changes */
    bool any;         /* there were routes, of which some may have been about phones */
    size_t n_left;    /* phones of this node that it does not carry, beyond PV_FP_MAX_PHONES */
    size_t n_unasked; /* those of other admins, which nobody here wants it to carry */
    struct pv_rules_phone here[PV_FP_MAX_PHONES];
    size_t n_here;
    struct pv_phoneends ends;
    /* Admins of other nodes have asked for an address that needs the phone port: it is asked for
     * until then; PV_NEVER: they have not. */
    pv_ns asked_until;
    pv_ns asked_at; /* the first of these questions */
    struct waiting waiting;
};

static struct phones *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_phones);
}

bool pv_phones_are_here(const struct pv_node *n)
{
    const struct phones *g = of(n);
    return g != NULL && g->n_here > 0;
}

/* --- by whom phones go ------------------------------------------------------------------------ */

static bool is_self(const struct pv_node *n, const struct pv_member *m)
{
    return memcmp(m->node, n->identity->sign_pk, sizeof(m->node)) == 0;
}

/* A node without rights on its host has a network of its own, and forwards nothing. */
static bool can_be_gateway(const struct pv_node *n)
{
    return n->given.inside == 0;
}

/* An admin's word alone does not have this host forward packets: its user says so, by the setting,
 * or by the export here. */
static bool agrees(const struct phones *g, const struct pv_member *m)
{
    return g->willing ||
           memcmp(m->admitted_by, g->node->identity->sign_pk, sizeof(m->admitted_by)) == 0;
}

static void note_here(struct phones *g, const struct pv_member *m)
{
    for (size_t i = 0; i < g->n_here; i++) {
        if (memcmp(g->here[i].pk, m->node, sizeof(m->node)) == 0)
            return; /* it was said twice */
    }
    if (!agrees(g, m)) {
        g->n_unasked++;
        return;
    }
    if (g->n_here == PV_FP_MAX_PHONES || !can_be_gateway(g->node)) {
        g->n_left++;
        return;
    }
    struct pv_rules_phone *x = &g->here[g->n_here++];
    memset(x, 0, sizeof(*x));
    memcpy(x->pk, m->node, sizeof(x->pk));
    x->ip4 = m->ip4;
    x->ip6 = m->ip6;
}

static bool is_here(const struct phones *g, const uint8_t *pk)
{
    for (size_t i = 0; i < g->n_here; i++) {
        if (memcmp(g->here[i].pk, pk, PV_SIGN_PK_LEN) == 0)
            return true;
    }
    return false;
}

/* In the order of their keys: the order of the roster differs from one look to the next. */
static int compare(const void *a, const void *b)
{
    return memcmp(((const struct pv_rules_phone *)a)->pk, ((const struct pv_rules_phone *)b)->pk,
                  PV_SIGN_PK_LEN);
}

static void list_here(struct phones *g)
{
    const struct pv_node *n = g->node;
    const struct pv_roster_entry *e = NULL;
    const struct pv_member *m;
    g->n_here = g->n_left = g->n_unasked = 0;
    while (n->roster != NULL && pv_node_self(n) != NULL &&
           (e = pv_roster_next_route(n->roster, e)) != NULL) {
        const struct pv_member *by = pv_roster_names_gateway(n->roster, &e->st, &m);
        if (by != NULL && is_self(n, by))
            note_here(g, m);
    }
    if (g->n_here > 1)
        qsort(g->here, g->n_here, sizeof(g->here[0]), compare);
}

/* Of every peer that is a phone or was one: the former becomes a member like any other. */
static int settle_peer(struct phones *g, struct pv_peer *p, const struct pv_member *m, pv_ns now)
{
    struct pv_node *n = g->node;
    const struct pv_member *by = pv_roster_gateway(n->roster, m);
    const struct pv_peer *q =
        by == NULL || is_self(n, by) ? NULL : pv_peers_by_pk(n->peers, by->node);
    uint32_t id = q == NULL ? 0 : pv_peer_id(q);
    if (is_here(g, m->node) != pv_peer_is_phone(p))
        return pv_peers_set_phone(n->peers, m, is_here(g, m->node), now);
    if (id == pv_peer_by(p))
        return PV_OK;
    int r = pv_fp_builder_set_by(n->fp, pv_peer_id(p), id);
    if (r == PV_OK)
        pv_peer_set_by(p, id);
    return r;
}

/* Rules before packets, as for prefixes. */
static void look(struct phones *g, pv_ns now)
{
    struct pv_node *n = g->node;
    size_t before = g->n_here;
    bool any = n->roster != NULL && pv_roster_next_route(n->roster, NULL) != NULL;
    g->look_at = PV_NEVER;
    if (!any && !g->any)
        return; /* most networks have no phones, and thousands of members */
    g->any = any;
    list_here(g);
    int status = pv_rules_set_phones(n, g->here, g->n_here, now);
    for (const struct pv_member *m = n->roster == NULL ? NULL : pv_roster_next(n->roster, NULL);
         m != NULL; m = pv_roster_next(n->roster, m)) {
        struct pv_peer *p = pv_peers_by_pk(n->peers, m->node);
        int one = p == NULL ? PV_OK : settle_peer(g, p, m, now);
        status = status == PV_OK ? one : status;
    }
    if ((before > 0) != (g->n_here > 0))
        pv_node_raise(n, PV_FACT_HOSTNET); /* the host's plan: who forwards */
    if (status != PV_OK)
        g->look_at = now + RETRY;
}

/* --- export ---------------------------------------------------------------------------------- */

static void store_ends(struct phones *g)
{
    uint8_t buf[PV_PHONEENDS_BYTES];
    (void)pv_node_put_meta(g->node, meta_ends, pv_phoneends_pack(&g->ends, buf));
}

static bool is_phone_here(void *arg, const uint8_t *pk)
{
    return is_here(arg, pk);
}

/* A phone port is open for those whose file names it, or has to be changed and nothing better is
 * there, and for a file that is about to name it. */
static void settle_phone_port(struct phones *g, pv_ns now)
{
    struct pv_node *n = g->node;
    bool forgot = pv_phoneends_settle(&g->ends, is_phone_here, g, now);
    bool corrected = pv_phoneends_look(&g->ends, n, now);
    g->unsettled = false;
    if (forgot || corrected)
        store_ends(g);
    n->ways.wants_phone_port = g->waiting.what == WAIT_PHONE_PORT || g->waiting.what == WAIT_TEST ||
                               g->asked_until != PV_NEVER ||
                               pv_phoneends_want_phone_port(&g->ends, n);
}

/* Has the coordinator not been asked for a phone port yet, where nothing else leads here for
 * sure? */
static bool needs_phone_port(const struct pv_node *n)
{
    return n->online && n->ways.phone_port.state == PV_TURNC_PHONE_PORT_UNKNOWN &&
           pv_openport_lacks(n);
}

/* Everything about a new phone while it is made; wiped at the end. */
struct making {
    const char *what;
    const struct pv_ctlapi_request *req;
    uint64_t handle;
    const struct pv_member *by; /* its gateway-to-be */
    char endpoint[PV_HOSTPORT_BUF];
    uint8_t sk[PV_DH_LEN];      /* the app's */
    uint8_t pk[PV_SIGN_PK_LEN]; /* the phone's identity */
    struct pv_st_member st;
    struct pv_addr at;            /* endpoint, where this node found it; else PV_AF_NONE */
    bool names;                   /* a name server answers phones at its gateway */
    enum pv_port_verdict verdict; /* what the test of the endpoint showed */
    uint16_t port_lo, port_hi;    /* the coordinator's ports for phones */
};

static bool refuse(const struct pv_node *n, const struct making *x, enum pv_ctlapi_code code,
                   const char *text)
{
    pv_ctlsrv_failf(n->ctl, x->handle, code, "%s: %s", x->what, text);
    return false;
}

/* Its gateway: the one that is named, or this node. False: the client is
 * answered. */
static bool choose_gateway(struct pv_node *n, struct making *x)
{
    const char *text = x->req->peer;
    const struct pv_member *self = pv_node_self(n);
    const uint8_t *pk = text[0] == '\0' || self == NULL
                            ? n->identity->sign_pk
                            : pv_rulesedit_need_node(n, x->what, text, x->handle);
    x->by = pk == NULL ? NULL : pv_roster_by_node(n->roster, pk);
    if (x->by == NULL)
        return false;
    if (pv_roster_gateway(n->roster, x->by) != NULL)
        return refuse(n, x, PV_CTLAPI_USAGE,
                      "a phone is no gateway: name a member that has p2pvpnd");
    if (!is_self(n, x->by))
        return true;
    if (!can_be_gateway(n))
        return refuse(n, x, PV_CTLAPI_FAILED,
                      "p2pvpnd --user carries nothing for others: name a member whose p2pvpnd root "
                      "starts: --by MEMBER");
    if (of(n)->n_here == PV_FP_MAX_PHONES)
        return refuse(n, x, PV_CTLAPI_FAILED,
                      "this node has as many phones as it can: remove one, or name another "
                      "member: --by MEMBER");
    return true;
}

/* The words for what its gateway said, or did not. */
static bool refuse_word(const struct pv_node *n, const struct making *x, bool told,
                        enum pv_gatewayat_why why)
{
    const struct pv_reason words[] = {
        [PV_GATEWAYAT_UNASKED] = {"it is a gateway of phones of other admins with `[phones] "
                                  "gateway = on` in its p2pvpnd.conf alone",
                                  PV_DO(agree_there)},
        [PV_GATEWAYAT_UNABLE] = {"its p2pvpnd has no rights (--user), and forwards nothing",
                                 PV_DO(gateway_of_root)},
        [PV_GATEWAYAT_FULL] = {"it has as many phones as it can", PV_DO(other_gateway)},
        [PV_GATEWAYAT_CLOSED] = {"strangers do not reach it", PV_DO(forward_port_there)},
    };
    const bool known = told && (size_t)why < PV_ARRAY_LEN(words) && words[why].text != NULL;
    const struct pv_reason away = {"it does not say where strangers reach it, as it is away",
                                   PV_DO(name_endpoint)};
    pv_ctlsrv_failf(n->ctl, x->handle, known ? PV_CTLAPI_REFUSED : PV_CTLAPI_TIMEOUT,
                    "%s: no app could reach %s: %s", x->what, x->by->name,
                    PV_REASON_STR(known ? words[why] : away));
    return false;
}

/* Notes what the test showed if the endpoint is this node's phone port. */
static void note_verdict(const struct pv_node *n, struct making *x)
{
    if (!pv_openport_is_phone_port(n, &x->at))
        return;
    x->verdict = pv_phonetest_verdict(n);
    x->port_lo = n->ways.phone_port.port_lo;
    x->port_hi = n->ways.phone_port.port_hi;
}

/* Where this node, or the member that was asked, is found. False: the client is answered. */
static bool find_endpoint(struct pv_node *n, struct making *x)
{
    const struct waiting *w = &of(n)->waiting;
    struct pv_reason why;
    if (!is_self(n, x->by)) {
        if (w->what != WAIT_MEMBER || w->handle != x->handle)
            return refuse(n, x, PV_CTLAPI_FAILED,
                          "another export waits for a member's answer: try again");
        if (!w->told || w->word.why != PV_GATEWAYAT_HERE)
            return refuse_word(n, x, w->told, w->word.why);
        x->at = w->word.at;
        x->names = w->word.names;
        x->verdict = w->word.verdict;
        x->port_lo = w->word.port_lo;
        x->port_hi = w->word.port_hi;
        return true;
    }
    x->names = of(n)->dns;
    if (pv_openport(n, &x->at, &why) == PV_OK) {
        note_verdict(n, x);
        return true;
    }
    pv_ctlsrv_failf(n->ctl, x->handle, PV_CTLAPI_UNREACHABLE, "%s: no app could reach it: %s",
                    x->what, PV_REASON_STR(why));
    return false;
}

/* Why no app could reach a member at this address; NULL: one could. */
static const char *out_of_reach(const struct pv_node *n, const struct pv_addr *at)
{
    const struct pv_prefix inside[2] = {pv_roster_network(n->roster)->range,
                                        pv_network_ula(pv_roster_network_id(n->roster))};
    if (pv_prefix_contains(&inside[0], at) || pv_prefix_contains(&inside[1], at))
        return "that address is of this network, which the app is to come to by it";
    if (pv_addr_is_loopback(at))
        return "that address is the app's own machine";
    if (pv_addr_is_link_local(at))
        return "that address is good on one link alone";
    return pv_addr_is_usable_remote(at) ? NULL : "that is no machine's address";
}

/* Returns true if `--endpoint` names the open phone port of this node, which is the gateway. */
static bool is_named_port(const struct pv_node *n, const struct making *x)
{
    struct pv_addr at;
    return is_self(n, x->by) && pv_addr_parse(x->req->u.phone.endpoint, &at) == PV_OK &&
           pv_openport_is_phone_port(n, &at);
}

/* Where its app finds the gateway. False: the client is answered. */
static bool choose_endpoint(struct pv_node *n, struct making *x)
{
    const char *text = x->req->u.phone.endpoint;
    struct pv_hostport hp;
    if (text[0] == '\0') {
        if (!find_endpoint(n, x))
            return false;
        snprintf(x->endpoint, sizeof(x->endpoint), "%s", PV_ADDR_STR(&x->at));
        return true;
    }
    if (pv_hostport_parse(text, strlen(text), &hp) != PV_OK || hp.tls)
        return refuse(n, x, PV_CTLAPI_USAGE,
                      "that is no endpoint: give a name or an address, and a UDP port, such as "
                      "home.example.net:51820");
    struct pv_addr at;
    bool is_name = pv_addr_parse_ip(hp.host, &at) < 0;
    at.port = hp.port;
    const char *why = is_name ? NULL : out_of_reach(n, &at);
    if (why != NULL)
        return refuse(n, x, PV_CTLAPI_USAGE, PV_STR("%s: no app could reach it: %s", text, why));
    snprintf(x->endpoint, sizeof(x->endpoint), "%s", text);
    x->names = is_self(n, x->by) && of(n)->dns;
    x->verdict = PV_PORT_UNTESTED;
    if (is_named_port(n, x)) {
        x->at = n->ways.phone_port.addr;
        note_verdict(n, x);
    }
    return true;
}

/* Returns false if the phone port failed its test: no app would reach the gateway. The client is
 * answered. */
static bool is_reached(const struct pv_node *n, const struct making *x)
{
    if (x->verdict != PV_PORT_FAILED)
        return true;
    const char *ports = x->port_lo == x->port_hi
                            ? PV_STR("UDP port %u", x->port_lo)
                            : PV_STR("UDP ports %u-%u", x->port_lo, x->port_hi);
    pv_ctlsrv_failf(n->ctl, x->handle, PV_CTLAPI_UNREACHABLE,
                    "%s: handshakes from outside do not reach %s's phone port %s: open %s in the "
                    "coordinator's firewall, forward them if a router is in front of it, and "
                    "export again",
                    x->what, x->by->name, PV_ADDR_STR(&x->at), ports);
    return false;
}

/* With everything the app sends all by the gateway, which has to be an exit. */
static bool may_take_all(struct pv_node *n, const struct making *x)
{
    const struct pv_prefix all = {.base = pv_addr4(0, 0, 0, 0, 0), .bits = 0};
    struct pv_offer offer;
    if (!x->req->u.phone.everything || (pv_routes_is_allowed(n, x->by->node, &all) &&
                                        pv_routes_is_offered(n, x->by->node, &all, &offer)))
        return true;
    pv_ctlsrv_failf(
        n->ctl, x->handle, PV_CTLAPI_REFUSED,
        "%s: %s is no exit, so it takes no more than the network: there `sudo p2pvpnctl "
        "exit offer`, and an admin's `sudo p2pvpnctl route allow %s default`",
        x->what, x->by->name, x->by->name);
    return false;
}

/* A new machine with this name, and an address that nobody had. False: the client is answered. */
static bool choose_place(struct pv_node *n, struct making *x)
{
    const struct pv_st_network *net = pv_roster_network(n->roster);
    uint32_t ip4;
    const struct pv_member *held = pv_roster_by_name(n->roster, x->req->u.phone.name);
    if (held != NULL && (pv_roster_gateway(n->roster, held) != NULL ||
                         pv_roster_lost_gateway(n->roster, held) != NULL)) {
        pv_ctlsrv_failf(
            n->ctl, x->handle, PV_CTLAPI_REFUSED,
            "%s: %s is a phone, whose file was shown once: `sudo p2pvpnctl remove %s` ends "
            "it, then export makes another",
            x->what, held->name, held->name);
        return false;
    }
    if (!pv_roster_name_is_free(n->roster, x->req->u.phone.name, x->pk) ||
        strcmp(x->req->u.phone.name, net->name) == 0) {
        pv_ctlsrv_failf(n->ctl, x->handle, PV_CTLAPI_REFUSED,
                        "%s: %s is taken: it is, or was at first, the name of another member, or "
                        "that of the network. Choose another name.",
                        x->what, x->req->u.phone.name);
        return false;
    }
    if (pv_roster_free_ip4(n->roster, x->pk, NULL, NULL, &ip4) != PV_OK)
        return refuse(n, x, PV_CTLAPI_FAILED,
                      "the network has no address left: `sudo p2pvpnctl remove` makes room");
    snprintf(x->st.name, sizeof(x->st.name), "%s", x->req->u.phone.name);
    pv_store_be32(x->st.ip4, ip4);
    return true;
}

/* The admin's two words: which member is the phone's gateway, and that it is a member. The former
 * comes first: where the latter is refused, it is about nobody, and no name and address is lost.
 * The key that could speak for the phone is needed for the latter one and never again.
 * PV_ERR_LIMIT: no slot is left. */
static int say(struct pv_node *n, struct making *x, const uint8_t *node_sk, pv_ns now)
{
    struct pv_st_route route = {.kind = PV_ROUTE_ALLOW, .time = pv_node_wall_s(n, now)};
    struct pv_made member, gateway;
    const uint8_t *id = pv_roster_network_id(n->roster);
    memcpy(route.node, x->by->node, sizeof(route.node));
    route.prefix = (struct pv_prefix){.base = pv_addr4_u32(pv_load_be32(x->st.ip4), 0),
                                      .bits = 8 * PV_IP4_LEN};
    x->st.issued = route.time;
    int r = pv_roster_free_slot(n->roster, n->identity->sign_pk, PV_ST_ROUTE, &route.slot);
    if (r == PV_OK)
        r = pv_make_member(id, n->identity->sign_sk, node_sk, &x->st, &member);
    if (r == PV_OK)
        r = pv_make_route(id, n->identity->sign_sk, &route, &gateway);
    if (r == PV_OK)
        r = pv_membership_say(n, pv_made_view(&gateway), now);
    return r == PV_OK ? pv_membership_say(n, pv_made_view(&member), now) : r;
}

/* All that the app is to know. p2pvpnctl makes the file of it: a line of its own making in there
 * could be a command, which a p2pvpnd that was taken over shall not say to another machine. */
static void answer(struct pv_node *n, const struct making *x)
{
    const struct pv_member *m = pv_roster_by_node(n->roster, x->pk);
    const struct pv_prefix ula = pv_network_ula(pv_roster_network_id(n->roster));
    const struct pv_st_network *net = pv_roster_network(n->roster);
    static const char *const tests[] = {
        [PV_PORT_PASSED] = "passed", [PV_PORT_UNTESTED] = "untested"};
    const bool all = x->req->u.phone.everything;
    char sk[PV_WG_KEY_TEXT_BUF];
    if (m == NULL || pv_roster_gateway(n->roster, m) != x->by) {
        (void)refuse(n, x, PV_CTLAPI_FAILED, "the statements do not count: try again");
        return;
    }
    pv_ctlsrv_answer(
        n->ctl, x->handle,
        pv_ctlapi_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s?, s:s, s:s, s:s, s:s, s:s?, s:i}",
                       "name", m->name, "network", net->name, "by", x->by->name, "here",
                       is_self(n, x->by), "private_key", pv_wgkey_format(x->sk, sk), "address4",
                       PV_IP_STR(&m->ip4), "address6", PV_IP_STR(&m->ip6), "dns",
                       x->names ? PV_IP_STR(&x->by->ip4) : NULL, "public_key",
                       PV_WGKEY_STR(x->by->transport), "allowed4",
                       all ? "0.0.0.0/0" : PV_PREFIX_STR(&net->range), "allowed6",
                       all ? "::/0" : PV_PREFIX_STR(&ula), "endpoint", x->endpoint, "port_test",
                       tests[x->verdict], "keepalive", (int)PV_PHONES_KEEPALIVE));
    pv_wipe(sk, sizeof(sk));
}

/* A client whose wish cannot be met is told before anything was signed. */
static bool prepare(struct pv_node *n, struct making *x)
{
    return pv_admin_may_sign(n, x->what, PV_RIGHT_INVITE | PV_RIGHT_REVOKE, x->handle) &&
           choose_gateway(n, x) && choose_place(n, x) && may_take_all(n, x);
}

/* The member is wanted, too: it may have to be reached first. */
static void ask_member(struct phones *g, pv_ns now)
{
    struct pv_node *n = g->node;
    struct waiting *w = &g->waiting;
    struct pv_peer *p = pv_peers_by_pk(n->peers, w->by);
    struct pv_gatewayat c = {.asks = true};
    uint8_t sk[PV_SIGN_SK_LEN], buf[PV_GATEWAYAT_MAX];
    size_t len;
    w->ask_at = now + ASK_AGAIN;
    if (p == NULL)
        return;
    pv_peer_want(p, "it is to be a phone's gateway", now);
    pv_peers_touch(n->peers, p, now);
    if (!pv_peer_can_talk(p, now))
        return;
    pv_sign_keypair(w->seed, sk, c.phone);
    pv_wipe(sk, sizeof(sk));
    pv_gatewayat_build(&c, buf, &len);
    pv_peers_send(n->peers, p, PV_INBAND_GATEWAY, pv_view(buf, len));
}

/* Returns true if the endpoint will be this node's phone port, which is open. */
static bool names_port(const struct pv_node *n, const struct making *x)
{
    struct pv_addr at;
    struct pv_reason why;
    if (x->req->u.phone.endpoint[0] != '\0')
        return is_named_port(n, x);
    return pv_openport(n, &at, &why) == PV_OK && pv_openport_is_phone_port(n, &at);
}

/* Returns what the export has to wait for next, when it has waited for `done`. */
static enum wait next_wait(const struct pv_node *n, const struct making *x, enum wait done)
{
    const bool named = x->req->u.phone.endpoint[0] != '\0';
    if (!is_self(n, x->by))
        return named || done == WAIT_MEMBER ? WAIT_NONE : WAIT_MEMBER;
    if (done == WAIT_NONE && !named && needs_phone_port(n))
        return WAIT_PHONE_PORT;
    return done != WAIT_TEST && names_port(n, x) ? WAIT_TEST : WAIT_NONE;
}

static void end_waits(struct phones *g)
{
    pv_wipe(&g->waiting, sizeof(g->waiting));
    g->waiting.ask_at = PV_NEVER;
}

/* The client waits for that. */
static void begin_wait(struct phones *g, const struct making *x, enum wait what,
                       const uint8_t *seed, pv_ns now)
{
    static const pv_ns limits[] = {[WAIT_PHONE_PORT] = PHONE_PORT_WAIT,
                                   [WAIT_TEST] = PV_PHONETEST_LIMIT + RETRY,
                                   [WAIT_MEMBER] = ASK_WAIT};
    struct waiting *w = &g->waiting;
    if (w->what == WAIT_NONE) {
        *w = (struct waiting){.req = *x->req, .handle = x->handle, .ask_at = PV_NEVER};
        memcpy(w->seed, seed, sizeof(w->seed));
        memcpy(w->by, x->by->node, sizeof(w->by));
    }
    w->what = what;
    w->until = now + limits[what];
    if (what == WAIT_MEMBER) {
        ask_member(g, now);
        return;
    }
    settle_phone_port(g, now);
    if (what == WAIT_TEST)
        pv_phonetest_begin(g->node, 0, now);
}

/* Both statements, the file, and what to remember of it. */
static void make(struct phones *g, struct making *x, const uint8_t *node_sk, pv_ns now)
{
    struct pv_node *n = g->node;
    int r = say(n, x, node_sk, now);
    if (r == PV_ERR_LIMIT) {
        (void)refuse(n, x, PV_CTLAPI_FAILED,
                     "this node has said as many routes as it may: let another admin export");
        return;
    }
    if (r != PV_OK) {
        pv_ctlsrv_failf(n->ctl, x->handle, PV_CTLAPI_FAILED, "export: %s: try again",
                        pv_strstatus(r));
        return;
    }
    if (is_self(n, x->by) && x->at.family != PV_AF_NONE &&
        pv_phoneends_note(&g->ends, x->pk, &x->at, pv_openport_is_phone_port(n, &x->at), true,
                          now) == PV_OK)
        store_ends(g);
    answer(n, x);
}

/* Exports a new phone, unless there is something to wait for first. seed: of the phone's identity.
 * done: what the export has waited for. One export waits at a time; others are told to try again.
 * Returns true if it waits. */
static bool make_phone(struct phones *g, const struct pv_ctlapi_request *req, uint64_t handle,
                       const uint8_t seed[static PV_SIGN_SEED_LEN], enum wait done, pv_ns now)
{
    struct pv_node *n = g->node;
    struct making x = {.what = "export", .req = req, .handle = handle};
    uint8_t node_sk[PV_SIGN_SK_LEN];
    bool waits = false;
    pv_sign_keypair(seed, node_sk, x.pk);
    pv_dh_keypair(&n->rng, x.sk, x.st.transport);
    if (prepare(n, &x)) {
        const enum wait next = next_wait(n, &x, done);
        waits = next != WAIT_NONE && (done != WAIT_NONE || g->waiting.what == WAIT_NONE);
        if (waits)
            begin_wait(g, &x, next, seed, now);
        else if (next == WAIT_TEST)
            (void)refuse(n, &x, PV_CTLAPI_FAILED,
                         "another export waits for the test of the phone port: try again");
        else if (choose_endpoint(n, &x) && is_reached(n, &x))
            make(g, &x, node_sk, now);
    }
    pv_wipe(node_sk, sizeof(node_sk));
    pv_wipe(&x, sizeof(x));
    return waits;
}

static void run_export(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                       uint64_t handle, pv_ns now)
{
    struct phones *g = part;
    uint8_t seed[PV_SIGN_SEED_LEN];
    pv_rng_fill(&g->node->rng, seed, sizeof(seed));
    (void)make_phone(g, req, handle, seed, WAIT_NONE, now);
    pv_wipe(seed, sizeof(seed));
}

/* Goes on with the export when its wait is over. Then the phone port is settled with the
 * phones. */
static void end_waiting(struct phones *g, pv_ns now)
{
    const struct waiting *w = &g->waiting;
    const bool tested = w->what == WAIT_TEST && pv_phonetest_is_over(g->node);
    if (w->what == WAIT_NONE || (now < w->until && !tested) ||
        make_phone(g, &w->req, w->handle, w->seed, w->what, now))
        return;
    end_waits(g);
    g->pending = true;
}

/* Nobody would read the file. */
static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct phones *g = part;
    if (g->waiting.what == WAIT_NONE || g->waiting.handle != handle)
        return;
    end_waits(g);
    settle_phone_port(g, now);
}

/* --- where strangers reach this node, for another admin's file -------------------------------- */

/* The reason for which this node names no address; HERE: c->at. False: the coordinator has not
 * answered about the phone port, for which it has PHONE_PORT_WAIT, or about our addresses; the
 * admin's node asks again. */
static bool look_for(struct phones *g, struct pv_gatewayat *c, pv_ns now)
{
    struct pv_node *n = g->node;
    struct pv_reason why;
    int r;
    c->why = !g->willing                     ? PV_GATEWAYAT_UNASKED
             : !can_be_gateway(n)            ? PV_GATEWAYAT_UNABLE
             : g->n_here == PV_FP_MAX_PHONES ? PV_GATEWAYAT_FULL
                                             : PV_GATEWAYAT_HERE;
    if (c->why != PV_GATEWAYAT_HERE)
        return true;
    g->asked_at = g->asked_until == PV_NEVER ? now : g->asked_at;
    if (needs_phone_port(n) && now < g->asked_at + PHONE_PORT_WAIT) {
        g->asked_until = now + ASK_WAIT;
        settle_phone_port(g, now);
        return false;
    }
    r = pv_openport(n, &c->at, &why);
    if (r != PV_OK) {
        c->why = PV_GATEWAYAT_CLOSED;
        return r != PV_ERR_AGAIN;
    }
    if (pv_openport_is_phone_port(n, &c->at)) {
        g->asked_until = now + ASK_WAIT;
        settle_phone_port(g, now);
        pv_phonetest_begin(n, TEST_FRESH, now);
        if (!pv_phonetest_is_over(n))
            return false;
        c->verdict = pv_phonetest_verdict(n);
        c->port_lo = n->ways.phone_port.port_lo;
        c->port_hi = n->ways.phone_port.port_hi;
        if (c->verdict == PV_PORT_FAILED)
            return true;
    }
    r = pv_phoneends_note(&g->ends, c->phone, &c->at, pv_openport_is_phone_port(n, &c->at), false,
                          now);
    if (r == PV_OK)
        store_ends(g);
    else if (r != PV_ERR_EXISTS)
        c->why = PV_GATEWAYAT_FULL;
    return true;
}

static void answer_admin(struct phones *g, struct pv_peer *from, struct pv_gatewayat *c, pv_ns now)
{
    const struct pv_node *n = g->node;
    const uint8_t rights = PV_RIGHT_INVITE | PV_RIGHT_REVOKE;
    uint8_t buf[PV_GATEWAYAT_MAX];
    size_t len;
    if ((pv_roster_rights(n->roster, pv_peer_pk(from)) & rights) != rights)
        return;
    c->asks = false;
    c->names = g->dns;
    if (!look_for(g, c, now))
        return;
    pv_gatewayat_build(c, buf, &len);
    pv_peers_send(n->peers, from, PV_INBAND_GATEWAY, pv_view(buf, len));
}

static void take_gatewayat(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct phones *g = part;
    struct waiting *w = &g->waiting;
    struct pv_gatewayat c;
    uint8_t sk[PV_SIGN_SK_LEN], pk[PV_SIGN_PK_LEN];
    if (g->node->roster == NULL || pv_gatewayat_parse(body, &c) != PV_OK)
        return;
    if (c.asks) {
        answer_admin(g, from, &c, now);
        return;
    }
    if (w->what != WAIT_MEMBER || memcmp(w->by, pv_peer_pk(from), sizeof(w->by)) != 0)
        return;
    pv_sign_keypair(w->seed, sk, pk);
    pv_wipe(sk, sizeof(sk));
    if (memcmp(pk, c.phone, sizeof(pk)) != 0)
        return;
    w->told = true;
    w->word = c;
    w->until = 0;
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_GATEWAY, take_gatewayat}};

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_EXPORT, PV_NEEDS_NOTHING, run_export},
};

/* --- life ------------------------------------------------------------------------------------ */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct phones *g = part;
    g->dns = cfg->dns == PV_DNS_MEMBERS;
    g->willing = cfg->phones;
    g->look_at = g->asked_until = PV_NEVER;
    g->pending = true;
    g->waiting.ask_at = PV_NEVER;
    pv_phoneends_restore(&g->ends, pv_saved_value(cfg->saved, meta_ends), now);
    return PV_OK;
}

static void unmake(void *part)
{
    end_waits(part);
}

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct phones *g = part;
    g->pending =
        g->pending || (facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_STATEMENTS)) != 0;
    if ((facts & PV_FACT_PHONE_PORT) != 0 && g->waiting.what == WAIT_PHONE_PORT &&
        g->node->ways.phone_port.state != PV_TURNC_PHONE_PORT_UNKNOWN)
        g->waiting.until = 0;
    if ((facts & (PV_FACT_PHONE_PORT | PV_FACT_CANDIDATES | PV_FACT_ONLINE)) != 0)
        g->unsettled = true;
    if ((facts & PV_FACT_STORE) != 0)
        store_ends(g);
}

static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct phones *g = part;
    g->pending = g->pending || (facts & PV_PEER_FACT_MEMBER) != 0;
    g->unsettled = g->unsettled || pv_peer_is_phone(p);
}

/* Not in on_facts(): it makes peers. */
static void run_phones(void *part, pv_ns now)
{
    struct phones *g = part;
    end_waiting(g, now);
    if (g->pending) {
        g->pending = false;
        look(g, now);
        g->unsettled = true;
    }
    if (g->unsettled)
        settle_phone_port(g, now);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct phones *g = part;
    if (now >= g->look_at)
        look(g, now);
    if (now >= g->waiting.ask_at)
        ask_member(g, now);
    if (now < pv_min_ns(g->asked_until, pv_phoneends_next(&g->ends)))
        return;
    if (now >= g->asked_until)
        g->asked_until = PV_NEVER;
    settle_phone_port(g, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct phones *g = part;
    pv_ns next = pv_min_ns(g->look_at, g->waiting.ask_at);
    next = pv_min_ns(next, g->waiting.what == WAIT_NONE ? PV_NEVER : g->waiting.until);
    next = pv_min_ns(next, g->asked_until);
    return pv_min_ns(next, pv_phoneends_next(&g->ends));
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct phones *g = part;
    pv_phoneends_show(&g->ends, g->node, st, now);
    if (g->n_left > 0 && !can_be_gateway(g->node))
        pv_statuspage_todo(st,
                           "the phones of this node have no gateway: p2pvpnd --user forwards "
                           "nothing: ",
                           PV_DO(export_by_root));
    else if (g->n_left > 0)
        pv_statuspage_todo(
            st, "this node is the gateway of no more than 16 phones: ", PV_DO(export_elsewhere));
    if (g->n_unasked > 0)
        pv_statuspage_todo(st, "another admin wants this node to be a gateway of phones: ",
                           PV_DO(be_a_gateway_of_phones));
}

const struct pv_part pv_part_phones = {
    .name = "phones",
    .after = {"membership", "rules", "routes", "phonetest"},
    .size = PV_PART_SIZE(struct phones),
    .start = start,
    .free = unmake,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .on_cancel = on_cancel,
    .run = run_phones,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
