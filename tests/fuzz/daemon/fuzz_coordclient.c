/* SPDX-License-Identifier: MIT */
/*
 * fuzz_coordclient - this node's connection to a coordinator that has the right key and says
 * anything: welcomes, refusals, sends it elsewhere, answers what was asked and what was not,
 * pushes, bytes that are no message, silence; at addresses that connect, hang or close.
 *
 * Each byte of the input is an operation, its arguments follow; missing ones are zero. Every
 * request is answered once or ended by OFFLINE, time goes on, and whatever it is told a node knocks
 * no oftener than its rounds allow, so that nobody can send a crowd of nodes to somebody's door.
 */
#include "crypto/ct.h"
#include "daemon/core/coord/coordclient.h"
#include "proto/control/control.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/kem_double.h"

enum {
    STREAMS = 64,
    ASKED = 16, /* requests of the node that the coordinator remembers */
    TAGS = 256,
    MAX_OPS = 400,
    KNOCKS_A_SECOND = 40, /* rounds begin twice a second at most, of 16 addresses and a few hops */
    KNOCKS_AT_ONCE = 100,
};

struct stream {
    uint32_t sid; /* 0: free */
    bool connected, rekeyed;
    struct pv_control *server;
    bool offers; /* its hello did: */
    uint8_t ek[PV_KEM_EK_LEN];
};

struct asked {
    uint32_t sid;
    uint64_t id;
    enum pv_ctl_type type;
};

static struct {
    struct pv_coordclient *client;
    struct pv_streams shell; /* what it is asked for */
    struct pv_fifo events;
    struct pv_view in;
    uint64_t random;
    pv_ns now;
    struct stream streams[STREAMS];
    struct asked asked[ASKED];
    size_t n_asked;
    uint64_t next_tag, n_open; /* requests, and those without an answer */
    bool open[TAGS];
    pv_ns knocks; /* what is owed for connections, as time */
} w;

static uint8_t coordinator_pk[PV_SIGN_PK_LEN], coordinator_dh[PV_DH_LEN], node_sk[PV_SIGN_SK_LEN],
    node_pk[PV_SIGN_PK_LEN], node_dh[2][PV_DH_LEN] = {{8}, {16}};

static uint8_t next(void)
{
    return fuzz_next(&w.in);
}

/* --- streams ---------------------------------------------------------------------------------- */

static struct stream *by_sid(uint32_t sid)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (w.streams[i].sid == sid)
            return &w.streams[i];
    return NULL;
}

static struct stream *any_stream(void)
{
    size_t n = 0, which = next();
    for (size_t i = 0; i < STREAMS; i++)
        n += w.streams[i].sid != 0;
    which = n == 0 ? 0 : which % n;
    for (size_t i = 0; n > 0 && i < STREAMS; i++)
        if (w.streams[i].sid != 0 && which-- == 0)
            return &w.streams[i];
    return NULL;
}

static void drop(struct stream *s)
{
    pv_control_free(s->server);
    *s = (struct stream){0};
}

static void open_stream(uint32_t sid)
{
    const struct pv_rng rng = {.fill = fuzz_fill_mix, .ctx = &w.random};
    struct stream *s = by_sid(0);
    must(sid != 0 && by_sid(sid) == NULL && s != NULL);
    const pv_ns each = PV_S(1) / KNOCKS_A_SECOND;
    w.knocks = (w.knocks > w.now ? w.knocks : w.now) + each;
    must(w.knocks <= w.now + KNOCKS_AT_ONCE * each);
    s->sid = sid;
    must(pv_control_new_server(&s->server, coordinator_dh, NULL, &rng) == PV_OK);
}

static void close_stream(struct stream *s, int status)
{
    uint32_t sid = s->sid;
    drop(s);
    pv_coordclient_closed(w.client, sid, status, w.now);
}

static void forget_requests(void)
{
    memset(w.open, 0, sizeof(w.open));
    w.n_open = 0;
}

static void take_event(struct pv_coordclient_event *ev)
{
    if (ev->type == PV_COORDCLIENT_EV_ANSWER) {
        must(ev->tag < TAGS && w.open[ev->tag] && w.n_open > 0);
        w.open[ev->tag] = false;
        w.n_open--;
    } else if (ev->type == PV_COORDCLIENT_EV_OFFLINE) {
        forget_requests();
    }
    pv_ctl_msg_free(ev->msg);
}

static void drain(void)
{
    struct pv_stream_op op;
    struct pv_coordclient_event ev;
    uint32_t sid;
    while (pv_streams_next_op(&w.shell, &op) == PV_OK) {
        op.sid = pv_sid_local(op.sid); /* the client's own id */
        struct stream *s = op.type == PV_STREAM_OPEN ? NULL : by_sid(op.sid);
        if (op.type == PV_STREAM_OPEN)
            open_stream(op.sid);
        else if (s != NULL)
            drop(s);
    }
    while (pv_streams_next_turn(&w.shell, &sid) == PV_OK)
        must(pv_sid_local(sid) != 0);
    while (pv_fifo_take(&w.events, &ev) == PV_OK)
        take_event(&ev);
}

/* --- the coordinator -------------------------------------------------------------------------- */

static void remember(struct stream *s, struct pv_view text)
{
    struct pv_ctl_msg *m = NULL;
    must(pv_ctl_parse(text, &m) == PV_OK && m->kind == PV_CTL_REQUEST);
    must(m->type != PV_CTL_UNKNOWN && m->type != PV_CTL_INVALID);
    w.asked[w.n_asked++ % ASKED] = (struct asked){.sid = s->sid, .id = m->id, .type = m->type};
    if (m->type == PV_CTL_HELLO && m->u.hello.mlkem768.len == sizeof(s->ek)) {
        memcpy(s->ek, m->u.hello.mlkem768.ptr, sizeof(s->ek));
        s->offers = true;
    }
    pv_ctl_msg_free(m);
}

/* Bytes of the node for it, and of it for the node. */
static void exchange(struct stream *s)
{
    static uint8_t copy[65536];
    uint32_t sid = s->sid;
    struct pv_view out, text;
    if (!s->connected) {
        s->connected = true;
        pv_coordclient_connected(w.client, sid, w.now);
    }
    for (bool moved = true; moved && s->sid == sid;) {
        out = pv_coordclient_out(w.client, sid);
        moved = out.len > 0;
        for (size_t used = 0, n = 0; used < out.len; used += n) {
            if (pv_control_handle_bytes(s->server, pv_view(out.ptr + used, out.len - used), &n) <
                0) { /* the keys are not the same any more: its own doing */
                must(s->rekeyed);
                close_stream(s, PV_ERR_CLOSED);
                return;
            }
            while (pv_control_poll_message(s->server, &text) == PV_OK)
                remember(s, text);
        }
        if (moved)
            pv_coordclient_wrote(w.client, sid, out.len, w.now);
        out = pv_control_out(s->server);
        size_t n = out.len < sizeof(copy) ? out.len : sizeof(copy);
        if (n == 0)
            continue;
        moved = true;
        memcpy(copy, out.ptr, n);
        pv_control_wrote(s->server, n);
        pv_coordclient_handle_bytes(w.client, sid, pv_view(copy, n), w.now);
        drain();
    }
}

static void tell(struct stream *s, const struct pv_ctl_msg *m)
{
    static char text[PV_CTL_TEXT_MAX];
    size_t len = 0;
    if (s == NULL || pv_control_state(s->server) != PV_CONTROL_READY)
        return;
    if (pv_ctl_build(m, text, sizeof(text), &len) == PV_OK)
        (void)!pv_control_send(s->server, pv_view(text, len));
    exchange(s);
}

static struct pv_ctl_failure failure(void)
{
    static const char *const to[] = {"192.0.2.7:3478", "h.example:1", "[2001:db8::1]:443"};
    struct pv_ctl_failure f = {.message = "no", .to = to};
    f.error = (enum pv_ctl_error)(1 + next() % 25);
    if (next() % 2 == 0)
        f.error = PV_CTL_E_MOVED;
    f.n_to = next() % (PV_ARRAY_LEN(to) + 1);
    return f;
}

/* The node hears this instead of what it asked for, or for it. */
static void answer(void)
{
    static const enum pv_ctl_type types[] = {PV_CTL_WELCOME,    PV_CTL_WELCOME,  PV_CTL_ERROR,
                                             PV_CTL_PONG,       PV_CTL_RECEIPTS, PV_CTL_PRESENCE,
                                             PV_CTL_STATEMENTS, PV_CTL_DONE,     PV_CTL_COPY};
    static const char *const addrs[] = {"192.0.2.9:3478", "a.example:443"};
    size_t n = w.n_asked < ASKED ? w.n_asked : ASKED;
    if (n == 0)
        return;
    const struct asked *a = &w.asked[(w.n_asked - 1 - next() % n) % ASKED];
    struct pv_ctl_msg m = {.kind = PV_CTL_ANSWER, .id = a->id};
    m.type = types[next() % PV_ARRAY_LEN(types)];
    if (m.type == PV_CTL_ERROR) {
        m.u.failure = failure();
    } else if (m.type == PV_CTL_WELCOME) {
        m.u.welcome = (struct pv_ctl_welcome){.time_us = (uint64_t)next() << 40, .stun = addrs};
        m.u.welcome.n_stun = next() % 3u;
        m.u.welcome.has_tls = m.u.welcome.n_stun > 1;
        m.u.welcome.tls.addrs = addrs;
    } else if (m.type == PV_CTL_PONG) {
        m.u.pong.time_us = (uint64_t)next() << 40;
    }
    tell(by_sid(a->sid), &m);
}

static void push(struct stream *s)
{
    struct pv_ctl_presence presence = {.online = true};
    struct pv_ctl_msg m = {.kind = PV_CTL_PUSH};
    uint8_t ct[PV_KEM_CT_LEN] = {1};
    struct pv_control_keys keys;
    const struct pv_rng rng = {.fill = fuzz_fill_mix, .ctx = &w.random};
    bool rekey = false;
    switch (next() % 5) {
    case 0:
        m.type = PV_CTL_BYE;
        m.u.failure = failure();
        break;
    case 1:
        m.type = PV_CTL_PRESENCE;
        m.u.presence = (struct pv_ctl_presences){.n = 1, .nodes = &presence};
        break;
    case 2:
        m.type = PV_CTL_COPY;
        break;
    case 3: /* as it has to be */
        rekey = s->offers && pv_control_state(s->server) == PV_CONTROL_READY &&
                pv_control_answer(s->server, &kem_double, &rng, pv_view(s->ek, sizeof(s->ek)), ct,
                                  &keys) == PV_OK;
        m.type = PV_CTL_HYBRID;
        m.u.hybrid.mlkem768 = pv_view(ct, sizeof(ct));
        break;
    default: /* keys of nothing */
        m.type = PV_CTL_HYBRID;
        m.u.hybrid.mlkem768 = pv_view(ct, sizeof(ct));
        break;
    }
    uint32_t sid = s->sid;
    tell(s, &m);
    if (rekey && s->sid == sid) {
        pv_control_rekey(s->server, &keys);
        s->rekeyed = true;
    }
}

static void say_text(struct stream *s)
{
    size_t n = next();
    struct pv_view text = fuzz_take(&w.in, n);
    if (pv_control_state(s->server) == PV_CONTROL_READY && text.len > 0)
        (void)!pv_control_send(s->server, text);
    exchange(s);
}

static void say_bytes(struct stream *s)
{
    size_t n = next();
    pv_coordclient_handle_bytes(w.client, s->sid, fuzz_take(&w.in, n), w.now);
}

static void serve(uint8_t what)
{
    struct stream *s = any_stream();
    if (s == NULL)
        return;
    switch (what) {
    case 0:
        s->connected = true;
        pv_coordclient_connected(w.client, s->sid, w.now);
        break;
    case 1:
        close_stream(s, next() % 2 == 0 ? PV_ERR_CLOSED : -111);
        break;
    case 2:
        push(s);
        break;
    case 3:
        say_text(s);
        break;
    case 4:
        say_bytes(s);
        break;
    default:
        exchange(s);
        break;
    }
}

/* --- the node --------------------------------------------------------------------------------- */

static size_t addresses(struct pv_coordclient_addr *ret_addrs)
{
    size_t n = next() % PV_COORDCLIENT_MAX_ADDRS;
    for (size_t i = 0; i < n; i++) {
        uint8_t b = next();
        ret_addrs[i] = (struct pv_coordclient_addr){
            .addr = pv_addr4(192, 0, 2, b & 15, 3478), .tls = (b & 16) != 0, .guess = b > 224};
    }
    return n;
}

static struct pv_coordclient_target target(void)
{
    struct pv_coordclient_target t = {.network = {1}};
    uint8_t how = next();
    t.role = (how & 1) == 0 ? PV_CTL_MEMBER : PV_CTL_APPLICANT;
    t.has_network = (how & 2) == 0;
    t.must_hybrid = (how & 4) != 0;
    memcpy(t.coordinator, coordinator_pk, sizeof(t.coordinator));
    return t;
}

static void configure(void)
{
    struct pv_coordclient_addr addrs[PV_COORDCLIENT_MAX_ADDRS];
    struct pv_coordclient_target t;
    const struct pv_addr detour = pv_addr4(192, 0, 2, 99, 3478);
    size_t n;
    switch (next() % 7) {
    case 0:
        t = target();
        n = addresses(addrs);
        must(pv_coordclient_start(w.client, &t, addrs, n, w.now) == PV_OK);
        drain();
        forget_requests();
        break;
    case 1:
        t = target();
        (void)!pv_coordclient_turn(w.client, &t);
        break;
    case 2:
        n = addresses(addrs);
        pv_coordclient_set_addrs(w.client, addrs, n, w.now);
        break;
    case 3:
        pv_coordclient_not_found(w.client, w.now);
        break;
    case 4:
        pv_coordclient_detour(w.client, &detour, w.now);
        break;
    default:
        pv_coordclient_set_must_hybrid(w.client, next() % 2 == 0);
        break;
    }
}

/* Each of these may begin a round at once, and comes from this machine: its knocks are not counted.
 */
static void stir(void)
{
    switch (next() % 7) {
    case 0:
        pv_coordclient_kick(w.client, w.now);
        break;
    case 1:
        pv_coordclient_woke(w.client, w.now);
        break;
    case 2:
        pv_coordclient_remapped(w.client, w.now);
        break;
    case 3:
        pv_coordclient_doubt(w.client, w.now);
        break;
    case 5:
        pv_coordclient_hurry(w.client, w.now + PV_S(next()), w.now);
        break;
    default:
        pv_coordclient_moved(w.client, w.now);
        break;
    }
}

static void ask(void)
{
    static const enum pv_ctl_type types[] = {PV_CTL_PING, PV_CTL_LIST, PV_CTL_PULL, PV_CTL_COLLECT,
                                             PV_CTL_ASKERS};
    struct pv_ctl_msg m = {.type = types[next() % PV_ARRAY_LEN(types)]};
    uint8_t hash[PV_CTL_HASH_LEN];
    uint64_t tag = w.next_tag % TAGS;
    bool online = pv_coordclient_state(w.client) == PV_COORDCLIENT_ONLINE;
    must((pv_coordclient_handshake_hash(w.client, hash) == PV_OK) == online);
    must(w.n_open == 0 || online);
    if (w.open[tag])
        return;
    int r = pv_coordclient_request(w.client, &m, tag);
    must(r != PV_OK || online);
    if (r < 0)
        return;
    w.next_tag++;
    w.open[tag] = true;
    w.n_open++;
}

static void pass(pv_ns duration)
{
    pv_ns end = w.now + duration;
    for (unsigned turns = 0; pv_coordclient_next_timeout(w.client) <= end; turns++) {
        pv_ns at = pv_coordclient_next_timeout(w.client);
        must(turns < 10000);
        w.now = at > w.now ? at : w.now;
        pv_coordclient_handle_timeout(w.client, w.now);
        drain();
    }
    w.now = end;
}

static void operate(void)
{
    static const pv_ns steps[] = {PV_MS(50), PV_S(1), PV_S(11), PV_S(60)};
    uint8_t what = next() % 16;
    switch (what) {
    case 0:
        configure();
        w.knocks = 0;
        break;
    case 1:
        stir();
        w.knocks = 0;
        break;
    case 2:
        ask();
        break;
    case 3:
    case 4:
    case 5:
        answer();
        break;
    case 6:
        pass(steps[next() % 4]);
        break;
    default:
        serve(what - 7);
        break;
    }
    drain();
    (void)pv_coordclient_time_us(w.client, w.now);
    (void)pv_coordclient_addr(w.client);
}

static void start(void)
{
    const uint8_t seed[PV_SIGN_SEED_LEN] = {1}, node_seed[PV_SIGN_SEED_LEN] = {2};
    uint8_t sk[PV_SIGN_SK_LEN];
    const struct pv_coordclient_addr addrs[] = {{.addr = pv_addr4(192, 0, 2, 1, 3478)},
                                                {.addr = pv_addr4(192, 0, 2, 2, 443), .tls = true}};
    struct pv_coordclient_target t = {.has_network = true, .network = {1}};
    pv_sign_keypair(seed, sk, coordinator_pk);
    pv_sign_sk_to_dh(sk, coordinator_dh);
    pv_sign_keypair(node_seed, node_sk, node_pk);
    memset(&w, 0, sizeof(w));
    w.now = PV_S(100);
    const struct pv_coordclient_config cfg = {.rng = {.fill = fuzz_fill_mix, .ctx = &w.random},
                                              .sign_sk = node_sk,
                                              .sign_pk = node_pk,
                                              .dh_sk = node_dh[0],
                                              .kem = &kem_double,
                                              .streams = &w.shell,
                                              .kind = PV_STREAM_COORD,
                                              .events = &w.events};
    must(pv_coordclient_new(&w.client, &cfg) == PV_OK);
    memcpy(t.coordinator, coordinator_pk, sizeof(t.coordinator));
    must(pv_coordclient_start(w.client, &t, addrs, PV_ARRAY_LEN(addrs), w.now) == PV_OK);
    drain();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    must(pv_crypto_init() == PV_OK);
    start();
    w.in = pv_view(data, len);
    for (int i = 0; i < MAX_OPS && w.in.len > 0; i++)
        operate();
    pass(PV_S(20));
    pv_coordclient_stop(w.client);
    drain();
    must(pv_coordclient_state(w.client) == PV_COORDCLIENT_STOPPED);
    for (size_t i = 0; i < STREAMS; i++) {
        must(w.streams[i].sid == 0); /* it had each closed */
        drop(&w.streams[i]);
    }
    pv_coordclient_free(w.client);
    pv_streams_done(&w.shell);
    return 0;
}
