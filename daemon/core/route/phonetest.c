/* SPDX-License-Identifier: MIT */
/* phonetest.c - handshakes that show whether a phone port is reached from outside. */
#include "daemon/core/route/phonetest.h"

#include <string.h>

#include "base/bucket.h"
#include "crypto/ct.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"
#include "proto/stun/nat64.h"
#include "proto/stun/turn.h"
#include "proto/wireguard/wgmsg.h"

enum {
    TOKEN_AT = 8, /* in the handshake: behind type and index, where its random bytes stand */
    /* Ours: of the questions of all members one in ten seconds, and four at once. */
    QUESTION = 10,
    QUESTIONS_RATE = 1,
    QUESTIONS_BURST = 4 * QUESTION,
};

enum state {
    IDLE,    /* nothing was tested yet */
    SENDS,   /* this node sends */
    MEMBERS, /* members are asked to send */
    OVER,
};

/* A member that was asked, and its answer. */
struct asked {
    uint32_t id;
    enum {
        WORD_NONE,
        WORD_SENDS,
        WORD_DECLINES
    } word;
};

/* Handshakes to one phone port. */
struct sending {
    uint8_t token[PV_PORTTEST_TOKEN];
    struct pv_addr to;
    unsigned left, due; /* to be sent later, and now */
    pv_ns next_at;      /* when the next is due; PV_NEVER: none is left */
};

struct phonetest {
    struct pv_node *node;
    enum state state;
    enum pv_port_verdict verdict; /* OVER */
    struct pv_addr port;
    uint8_t token[PV_PORTTEST_TOKEN];
    bool sent; /* by this node, or by a member as its answer says */
    pv_ns began, over_at;
    pv_ns sent_at; /* the last sender began */
    pv_ns step_at; /* PV_NEVER: no test is under way */
    struct asked asked[PV_PHONETEST_MEMBERS];
    size_t n_asked;
    struct pv_bucket questions;
    struct sending own, others[PV_PHONETEST_OTHERS];
};

static struct phonetest *of(const struct pv_node *n)
{
    return pv_node_part(n, &pv_part_phonetest);
}

/* --- sending ---------------------------------------------------------------------------------- */

static void begin_sending(struct sending *s, const uint8_t *token, const struct pv_addr *to,
                          pv_ns now)
{
    memcpy(s->token, token, sizeof(s->token));
    s->to = *to;
    s->due = 1;
    s->left = PV_PHONETEST_SENDS - 1;
    s->next_at = now + PV_PHONETEST_AGAIN;
}

static void end_sending(struct sending *s)
{
    *s = (struct sending){.next_at = PV_NEVER};
}

static void send_again(struct sending *s, pv_ns now)
{
    if (now < s->next_at)
        return;
    s->due++;
    s->next_at = --s->left > 0 ? now + PV_PHONETEST_AGAIN : PV_NEVER;
}

static bool take_due(const struct pv_node *n, struct sending *s, struct pv_engine_transmit *tx)
{
    uint8_t msg[PV_WGMSG_INITIATION_LEN] = {PV_WGMSG_INITIATION};
    const struct pv_addr to = pv_nat64_make(&n->ways.nat64, &s->to);
    if (s->due == 0)
        return false;
    s->due--;
    memcpy(msg + TOKEN_AT, s->token, sizeof(s->token));
    return pv_transmit_to(tx, &to, msg, sizeof(msg));
}

static bool poll_transmit(void *part, struct pv_engine_transmit *ret_tx)
{
    struct phonetest *x = part;
    bool any = take_due(x->node, &x->own, ret_tx);
    for (size_t i = 0; i < PV_ARRAY_LEN(x->others) && !any; i++)
        any = take_due(x->node, &x->others[i], ret_tx);
    return any;
}

/* --- where a handshake proves something ------------------------------------------------------- */

/* Returns true if both are one address, or two of IPv6 in one network (/64). */
static bool is_near(const struct pv_addr *a, const struct pv_addr *b)
{
    if (a->family == PV_AF_INET6 && b->family == PV_AF_INET6)
        return memcmp(a->ip, b->ip, PV_IP6_LEN / 2) == 0;
    return pv_addr_equal_ip(a, b);
}

/* A datagram from this node passes the coordinator's firewall as one of the Internet does. It does
 * not if this node is the coordinator's machine, or is in its network: then it reaches the
 * coordinator by a private address, or has the coordinator's own public one. */
static bool is_outside(const struct pv_node *n, const struct pv_addr *port)
{
    const struct pv_addr *used = &n->coord_info.addr;
    if (n->ways.udp_blocked || used->family == PV_AF_NONE || pv_addr_is_loopback(used) ||
        pv_addr_is_private(used) || pv_addr_is_link_local(used) || pv_addr_is_private(port))
        return false;
    for (size_t i = 0; i < n->ways.n_locals; i++) {
        if (is_near(&n->ways.locals[i].addr, port) || is_near(&n->ways.locals[i].addr, used))
            return false;
    }
    return true;
}

/* Only the coordinator's own addresses are sent to: nobody has this node send to others. */
static bool is_coordinators(const struct pv_node *n, const struct pv_addr *port)
{
    bool is = pv_addr_equal_ip(&n->coord_info.addr, port);
    for (size_t i = 0; i < n->coord_info.n_servers; i++)
        is = is || pv_addr_equal_ip(&n->coord_info.servers[i], port);
    return is;
}

/* --- the test --------------------------------------------------------------------------------- */

static void end_test(struct phonetest *x, enum pv_port_verdict verdict, pv_ns now)
{
    x->state = OVER;
    x->verdict = verdict;
    x->over_at = now;
    x->step_at = PV_NEVER;
    end_sending(&x->own);
    pv_log(x->node->log, verdict == PV_PORT_FAILED ? PV_LOG_WARN : PV_LOG_INFO,
           "what=\"the phone port was tested\" address=%s verdict=%s", PV_ADDR_STR(&x->port),
           verdict == PV_PORT_PASSED   ? "passed"
           : verdict == PV_PORT_FAILED ? "failed"
                                       : "untested");
}

static bool was_asked(const struct phonetest *x, const struct pv_peer *p)
{
    for (size_t i = 0; i < x->n_asked; i++) {
        if (x->asked[i].id == pv_peer_id(p))
            return true;
    }
    return false;
}

/* How likely a member answers soon, and is elsewhere; 0: it is away. */
static unsigned worth(const struct pv_peer *p, pv_ns now)
{
    const struct pv_carrier *path = pv_peer_path(p);
    if (pv_peer_reach(p) == PV_REACH_NO)
        return 0;
    if (!pv_peer_can_talk(p, now))
        return 1;
    return path != NULL && pv_addr_is_private(&path->remote) ? 2 : 3;
}

/* The best member that was not asked yet; NULL: there is none. */
static struct pv_peer *next_member(const struct phonetest *x, pv_ns now)
{
    const struct pv_peers *ps = x->node->peers;
    struct pv_peer *best = NULL;
    unsigned most = 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next_node(ps, p)) != NULL;) {
        unsigned w = worth(p, now);
        if (w > most && !was_asked(x, p)) {
            best = p;
            most = w;
        }
    }
    return best;
}

static void ask(const struct phonetest *x, struct pv_peer *p, pv_ns now)
{
    struct pv_node *n = x->node;
    struct pv_porttest t = {.asks = true, .at = x->port};
    uint8_t buf[PV_PORTTEST_MAX];
    size_t len;
    pv_peer_want(p, "it tests the phone port", now);
    pv_peers_touch(n->peers, p, now);
    if (!pv_peer_can_talk(p, now))
        return;
    memcpy(t.token, x->token, sizeof(t.token));
    pv_porttest_build(&t, buf, &len);
    pv_peers_send(n->peers, p, PV_INBAND_PORTTEST, pv_view(buf, len));
}

/* Asks again those that have not answered, and further members in place of those that have.
 * Returns how many have not. */
static size_t ask_members(struct phonetest *x, pv_ns now)
{
    size_t open = 0;
    for (size_t i = 0; i < x->n_asked; i++) {
        struct pv_peer *p = pv_peers_by_id(x->node->peers, x->asked[i].id);
        if (x->asked[i].word != WORD_NONE || p == NULL)
            continue;
        ask(x, p, now);
        open++;
    }
    while (open < PV_PHONETEST_AT_ONCE && x->n_asked < PV_PHONETEST_MEMBERS) {
        struct pv_peer *p = next_member(x, now);
        if (p == NULL)
            break;
        x->asked[x->n_asked++] = (struct asked){.id = pv_peer_id(p)};
        ask(x, p, now);
        open++;
    }
    return open;
}

/* The test ends when nobody is left to wait for. */
static void step(struct phonetest *x, pv_ns now)
{
    if (x->state != SENDS && x->state != MEMBERS)
        return;
    if (x->state == SENDS && now < x->sent_at + PV_PHONETEST_WAIT)
        return;
    x->state = MEMBERS;
    bool waits = ask_members(x, now) > 0 || (x->sent && now < x->sent_at + PV_PHONETEST_WAIT);
    x->step_at = now + PV_PHONETEST_AGAIN;
    if (!waits || now >= x->began + PV_PHONETEST_LIMIT)
        end_test(
            x, x->sent && now >= x->sent_at + PV_PHONETEST_WAIT ? PV_PORT_FAILED : PV_PORT_UNTESTED,
            now);
}

static bool is_under_way(const struct phonetest *x)
{
    return x->state == SENDS || x->state == MEMBERS;
}

void pv_phonetest_begin(struct pv_node *n, pv_ns max_age, pv_ns now)
{
    struct phonetest *x = of(n);
    const struct pv_addr *port = &n->ways.phone_port.addr;
    if (pv_addr_equal(port, &x->port) &&
        (is_under_way(x) || (x->state == OVER && now - x->over_at < max_age)))
        return;
    x->port = *port;
    pv_rng_fill(&n->rng, x->token, sizeof(x->token));
    x->began = x->sent_at = now;
    x->n_asked = 0;
    x->sent = is_outside(n, port);
    x->state = x->sent ? SENDS : MEMBERS;
    x->step_at = now + PV_PHONETEST_WAIT;
    if (x->sent)
        begin_sending(&x->own, x->token, port, now);
    else
        step(x, now);
}

bool pv_phonetest_is_over(const struct pv_node *n)
{
    return !is_under_way(of(n));
}

enum pv_port_verdict pv_phonetest_verdict(const struct pv_node *n)
{
    const struct phonetest *x = of(n);
    return x->state == OVER && pv_addr_equal(&n->ways.phone_port.addr, &x->port) ? x->verdict
                                                                                 : PV_PORT_UNTESTED;
}

/* By the phone port packets come from real addresses, which only the coordinator's relay (via 0)
 * has. A member that sends through the relay itself is at a virtual one. */
bool pv_phonetest_take(struct pv_node *n, const struct pv_carrier *from, struct pv_view msg,
                       pv_ns now)
{
    struct phonetest *x = of(n);
    if (x->state == IDLE || !pv_carrier_is_relayed(from) || from->via != 0 ||
        pv_turn_is_virtual(&from->remote) || msg.len != PV_WGMSG_INITIATION_LEN ||
        !pv_ct_equal(msg.ptr + TOKEN_AT, x->token, sizeof(x->token)))
        return false;
    if (is_under_way(x))
        end_test(x, PV_PORT_PASSED, now);
    return true;
}

/* --- between members -------------------------------------------------------------------------- */

/* Where to keep the handshakes of another member's test: its own place, or else a free one. */
static struct sending *place_for(struct phonetest *x, const struct pv_porttest *t, pv_ns now)
{
    struct sending *place = NULL;
    for (size_t i = 0; i < PV_ARRAY_LEN(x->others); i++) {
        struct sending *s = &x->others[i];
        if (pv_ct_equal(s->token, t->token, sizeof(s->token)))
            return s;
        if (s->left == 0 && s->due == 0)
            place = s;
    }
    return place;
}

/* Returns true if the handshakes are on their way. A question that comes again starts nothing. */
static bool send_for(struct phonetest *x, const struct pv_porttest *t, pv_ns now)
{
    struct sending *s = place_for(x, t, now);
    if (s == NULL)
        return false;
    if (pv_ct_equal(s->token, t->token, sizeof(s->token)))
        return true;
    if (!is_coordinators(x->node, &t->at) || !is_outside(x->node, &t->at) ||
        !pv_bucket_take(&x->questions, QUESTIONS_RATE, QUESTIONS_BURST, QUESTION, now))
        return false;
    begin_sending(s, t->token, &t->at, now);
    return true;
}

static void answer_gateway(struct phonetest *x, struct pv_peer *from, struct pv_porttest *t,
                           pv_ns now)
{
    uint8_t buf[PV_PORTTEST_MAX];
    size_t len;
    t->sends = send_for(x, t, now);
    t->asks = false;
    pv_porttest_build(t, buf, &len);
    pv_peers_send(x->node->peers, from, PV_INBAND_PORTTEST, pv_view(buf, len));
}

static void take_answer(struct phonetest *x, const struct pv_peer *from,
                        const struct pv_porttest *t, pv_ns now)
{
    if (x->state != MEMBERS || !pv_ct_equal(t->token, x->token, sizeof(x->token)))
        return;
    for (size_t i = 0; i < x->n_asked; i++) {
        if (x->asked[i].id != pv_peer_id(from) || x->asked[i].word != WORD_NONE)
            continue;
        x->asked[i].word = t->sends ? WORD_SENDS : WORD_DECLINES;
        x->sent = x->sent || t->sends;
        x->sent_at = t->sends ? now : x->sent_at;
        x->step_at = t->sends ? x->step_at : now;
    }
}

static void take_porttest(void *part, struct pv_peer *from, struct pv_view body, pv_ns now)
{
    struct phonetest *x = part;
    struct pv_porttest t;
    if (pv_porttest_parse(body, &t) != PV_OK)
        return;
    if (t.asks)
        answer_gateway(x, from, &t, now);
    else
        take_answer(x, from, &t, now);
}

static const struct pv_inband_handler inband[] = {{PV_INBAND_PORTTEST, take_porttest}};

/* --- life ------------------------------------------------------------------------------------- */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct phonetest *x = part;
    x->step_at = PV_NEVER;
    end_sending(&x->own);
    for (size_t i = 0; i < PV_ARRAY_LEN(x->others); i++)
        end_sending(&x->others[i]);
    return PV_OK;
}

static void handle_timeout(void *part, pv_ns now)
{
    struct phonetest *x = part;
    send_again(&x->own, now);
    for (size_t i = 0; i < PV_ARRAY_LEN(x->others); i++)
        send_again(&x->others[i], now);
    if (now >= x->step_at)
        step(x, now);
}

static pv_ns next_timeout(const void *part)
{
    const struct phonetest *x = part;
    pv_ns next = pv_min_ns(x->step_at, x->own.next_at);
    for (size_t i = 0; i < PV_ARRAY_LEN(x->others); i++)
        next = pv_min_ns(next, x->others[i].next_at);
    return next;
}

const struct pv_part pv_part_phonetest = {
    .name = "phonetest",
    .size = PV_PART_SIZE(struct phonetest),
    .start = start,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .poll_transmit = poll_transmit,
    .inband = inband,
    .n_inband = PV_ARRAY_LEN(inband),
};
