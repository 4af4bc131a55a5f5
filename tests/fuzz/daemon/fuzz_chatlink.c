/* SPDX-License-Identifier: MIT */
/*
 * The chat machine, driven by the input: each byte is a call, its argument follows. Invariants:
 * output is bounded, every stream that was opened or accepted is known until it is closed, jobs
 * and time never stand still in a loop, and everything is freed (ASan). Peer 1 is older than the
 * proof of the daemon, peer 2 proves itself, and a right proof can be made for it.
 */
#include <stdio.h>

#include "chat/core/base/chatop.h"
#include "chat/core/talk/chatlink.h"
#include "crypto/ct.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/chat/overlay_of.h"
#include "tests/unit/slots.h"

enum {
    MAX_STREAMS = 64,
    MAX_STEPS = 2000,
    STORED = 64, /* messages */
};

static struct {
    struct pv_chatlink *link;
    struct pv_chat_store store;
    unsigned fails_for;      /* operations of the store that fail from now on */
    struct pv_streams shell; /* what it is asked for */
    struct pv_fifo lines;
    struct pv_linkkeys *keys;
    struct slots keyed;                /* of struct pv_linkkeys_peer */
    struct pv_proof_secret ours;       /* the last that keys sent */
    uint8_t nonce[PV_PROOF_NONCE_LEN]; /* ours, the newest that went out */
    pv_ns now;
    uint64_t rng;
    uint32_t streams[MAX_STREAMS];
    size_t n_streams;
    struct pv_chat_record stored[STORED];
    size_t n_stored;
    unsigned max_stored; /* of incoming ones; 0: any number */
    struct pv_view in;
} f;

static uint8_t next(void)
{
    return fuzz_next(&f.in);
}

static const uint8_t *peer(void)
{
    static const uint8_t pks[3][PV_SIGN_PK_LEN] = {{1}, {2}, {9}}; /* 9: ourselves */
    return pks[next() % 3];
}

static uint32_t stream(void)
{
    return f.n_streams == 0 ? 7 : f.streams[next() % f.n_streams];
}

static void add_stream(uint32_t sid)
{
    for (size_t i = 0; i < f.n_streams; i++) {
        must(f.streams[i] != sid);
    }
    if (f.n_streams < MAX_STREAMS)
        f.streams[f.n_streams++] = sid;
}

static void drop_stream(uint32_t sid)
{
    for (size_t i = 0; i < f.n_streams; i++) {
        if (f.streams[i] == sid)
            f.streams[i] = f.streams[--f.n_streams];
    }
}

static void call_accept(void)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "bob"};
    uint32_t sid = 0;
    memcpy(source.pk, peer(), sizeof(source.pk));
    if (pv_chatlink_accepted(f.link, &source, f.now, &sid) == PV_OK)
        add_stream(sid);
}

static void call_bytes(void)
{
    static const char *const lines[] = {
        "{\"id\":\"AAECAwQFBgcICQoLDA0ODw\",\"seq\":1,\"time\":1,\"text\":\"a\"}\n",
        "{\"id\":\"BAECAwQFBgcICQoLDA0ODw\",\"seq\":2,\"time\":1,\"text\":\"b\"}\n",
        "plain\n",
        "{\"x\":1}\n",
        "{\"room\":\"AAECAwQFBgcICQoLDA0ODw\",\"list\":[]}\n",
        "{\"noted\":\"AAECAwQFBgcICQoLDA0ODw\"}\n",
        "{\"prove\":\"AAAAAAAAAAAAAAAAAAAAAA\"}\n",
    };
    uint32_t sid = stream();
    uint8_t what = next();
    if (what == 127) { /* text that fills a message */
        static uint8_t text[PV_CHAT_TEXT_MAX - 1];
        memset(text, 0xc3, sizeof(text));
        pv_chatlink_handle_bytes(f.link, sid, pv_view(text, sizeof(text)), 5, f.now);
        return;
    }
    if (what < 127) {
        const char *line = lines[what % PV_ARRAY_LEN(lines)];
        pv_chatlink_handle_bytes(f.link, sid, pv_view(line, strlen(line)), 5, f.now);
        return;
    }
    size_t n = what - 128u < f.in.len ? what - 128u : f.in.len;
    pv_chatlink_handle_bytes(f.link, sid, pv_view(f.in.ptr, n), 5, f.now);
    f.in = pv_view(f.in.ptr + n, f.in.len - n);
}

/* Acknowledges a message that is in our outbox, or says that it is left for later. */
static void call_ack(bool later)
{
    static char line[PV_CHAT_LINE_MAX];
    size_t n = 0;
    if (f.n_stored == 0)
        return;
    const struct pv_chat_record *m = &f.stored[next() % f.n_stored];
    uint8_t how = next();
    int r =
        later ? pv_chat_write_later(m->id, how % 2 == 0 ? PV_CHAT_LATER_FULL : PV_CHAT_LATER_DISK,
                                    how, line, &n)
              : pv_chat_write_ack(m->id, how % 2 == 0 ? PV_CHAT_DELIVERED : PV_CHAT_READ, line, &n);
    if (r == PV_OK)
        pv_chatlink_handle_bytes(f.link, stream(), pv_view(line, n), 5, f.now);
}

/* Peer 2 answers the newest nonce as its daemon would, as the side that opened or that accepted. */
static void call_prove(void)
{
    static const uint8_t own[PV_SIGN_PK_LEN] = {9}, bob[PV_SIGN_PK_LEN] = {2};
    static const uint8_t zero[PV_PROOF_NONCE_LEN];
    struct pv_proof_line line = {.has_mac = true};
    uint8_t key[PV_PROOF_KEY_LEN];
    char buf[PV_PROOF_LINE_MAX];
    bool opener = next() % 2 == 0;
    if (!pv_linkkeys_key(f.keys, bob, key))
        return;
    const struct pv_proof proof = {.key = key,
                                   .opener = opener ? bob : own,
                                   .acceptor = opener ? own : bob,
                                   .opener_nonce = opener ? zero : f.nonce,
                                   .acceptor_nonce = opener ? f.nonce : zero};
    line.has_nonce = !opener;
    pv_proof_mac(&proof, opener ? PV_PROOF_CHAT_OPENED : PV_PROOF_CHAT_ACCEPTED, line.mac);
    size_t n = pv_proof_line_write(&line, buf);
    pv_chatlink_handle_bytes(f.link, stream(), pv_view(buf, n), 5, f.now);
}

static void note_nonce(struct pv_view out)
{
    struct pv_proof_line line;
    const uint8_t *end = out.len == 0 ? NULL : memchr(out.ptr, '\n', out.len);
    if (end != NULL &&
        pv_proof_line_parse(pv_view(out.ptr, (size_t)(end - out.ptr)), &line) == PV_OK &&
        line.has_nonce)
        memcpy(f.nonce, line.nonce, sizeof(f.nonce));
}

static void keep_secret(void *owner, const uint8_t *pk, struct pv_view body)
{
    must(pv_proof_secret_parse(body, owner) == PV_OK);
}

static struct pv_linkkeys_peer *kept(void *owner, const uint8_t *pk, bool make)
{
    return slots_of(&f.keyed, pk, sizeof(struct pv_linkkeys_peer), make);
}

static void end_peer(void *slot)
{
    pv_linkkeys_gone(slot);
}

static void know_peers(void)
{
    static const uint8_t own[PV_SIGN_PK_LEN] = {9}, anna[PV_SIGN_PK_LEN] = {1},
                         bob[PV_SIGN_PK_LEN] = {2};
    const struct pv_rng rng = {.fill = fuzz_fill_mix, .ctx = &f.rng};
    struct pv_proof_secret secret = {.secret = {5}};
    const struct pv_linkkeys_hands hands = {.kept = kept, .send = keep_secret, .owner = &f.ours};
    uint8_t body[PV_PROOF_BODY_LEN];
    must(pv_linkkeys_new(&f.keys, &rng, own, &hands) == PV_OK);
    pv_linkkeys_look(f.keys, anna, true, f.now);
    pv_proof_secret_build(&secret, body);
    (void)pv_linkkeys_take(f.keys, bob, pv_view(body, sizeof(body)), f.now);
    pv_proof_tag(f.ours.secret, secret.known);
    pv_proof_secret_build(&secret, body);
    (void)pv_linkkeys_take(f.keys, bob, pv_view(body, sizeof(body)), f.now);
    must(pv_linkkeys_state(f.keys, bob) == PV_LINKKEYS_CONFIRMED);
}

static void call_send(void)
{
    struct pv_chatlink_message msg = {.pk = peer(), .name = "bob", .text = "hello"};
    struct pv_chat_record stored;
    if (pv_chatlink_send(f.link, &msg, f.now, &stored) == PV_OK)
        pv_chat_record_done(&stored);
}

static void call_online(void)
{
    struct pv_addr addr = pv_addr4(10, 66, 0, next() % 2, 0);
    (void)!pv_chatlink_peer_online(f.link, peer(), "bob", &addr, f.now);
}

/* --- a store with little room, whose tables would make a run seven times as long ------------- */

static struct pv_chat_record *find(const uint8_t *peer, const uint8_t *id, bool outgoing)
{
    for (size_t i = 0; i < f.n_stored; i++) {
        struct pv_chat_record *m = &f.stored[i];
        if (m->outgoing == outgoing && memcmp(m->peer, peer, sizeof(m->peer)) == 0 &&
            memcmp(m->id, id, sizeof(m->id)) == 0)
            return m;
    }
    return NULL;
}

static void give(struct pv_chatop_result *res, const struct pv_chat_record *m)
{
    res->msgs = reallocarray(res->msgs, res->n_msgs + 1, sizeof(*res->msgs));
    must(res->msgs != NULL && pv_chat_record_copy(&res->msgs[res->n_msgs++], m) == PV_OK);
}

/* ENQUEUE, COMMIT: all of them, as far as there is room; each once. */
static int store(const struct pv_chatop *op, struct pv_chatop_result *res)
{
    bool outgoing = op->kind == PV_CHATOP_ENQUEUE;
    for (size_t i = 0; i < op->n_msgs; i++, res->n_taken++) {
        struct pv_chat_record m = op->msgs[i];
        const struct pv_chat_record *known = find(m.peer, m.id, outgoing);
        if (known != NULL && outgoing)
            give(res, known);
        if (known != NULL)
            continue;
        if (f.n_stored == STORED || (!outgoing && f.max_stored > 0 && f.n_stored >= f.max_stored)) {
            res->later = PV_CHAT_LATER_FULL;
            return outgoing ? PV_ERR_LIMIT : PV_OK;
        }
        m.outgoing = outgoing;
        m.state = outgoing ? PV_CHAT_QUEUED : PV_CHAT_UNREAD;
        m.seq = outgoing ? f.n_stored + 1 : m.seq;
        must(pv_chat_record_copy(&f.stored[f.n_stored++], &m) == PV_OK);
        give(res, &m);
    }
    return PV_OK;
}

/* MARK, COPIED; of an incoming one SEEN, and TOLD, behind which it is owed no more. */
static void mark(const struct pv_chatop *op, const uint8_t *id, struct pv_chatop_result *res)
{
    bool outgoing = op->kind == PV_CHATOP_MARK || op->kind == PV_CHATOP_COPIED;
    struct pv_chat_record *m = find(op->peer, id, outgoing);
    enum pv_chat_state state = op->kind == PV_CHATOP_MARK ? op->state : PV_CHAT_SENT;
    if (m == NULL)
        return;
    if (outgoing && m->state < state) {
        m->state = state;
        give(res, m);
    } else if (op->kind == PV_CHATOP_SEEN) {
        res->changed = m->state == PV_CHAT_UNREAD;
        m->state = PV_CHAT_READ;
    } else if (op->kind == PV_CHATOP_TOLD) {
        m->seq = 0;
    }
}

static void list(const struct pv_chatop *op, struct pv_chatop_result *res)
{
    for (size_t i = 0; i < f.n_stored; i++) {
        const struct pv_chat_record *m = &f.stored[i];
        bool owed = !m->outgoing && m->state == PV_CHAT_READ && m->seq > 0;
        bool waits = m->outgoing && m->state <= PV_CHAT_SENT && m->seq > op->after_seq;
        if (memcmp(m->peer, op->peer, sizeof(m->peer)) == 0 &&
            (op->kind == PV_CHATOP_OWED ? owed : waits))
            give(res, m);
    }
}

static void count(struct pv_chatop_result *res)
{
    res->backlog = calloc(STORED, sizeof(*res->backlog));
    must(res->backlog != NULL);
    for (size_t i = 0; i < f.n_stored; i++) { /* a peer may be named twice */
        struct pv_chat_backlog *b = &res->backlog[res->n_backlog++];
        memcpy(b->peer, f.stored[i].peer, sizeof(b->peer));
        b->queued = f.stored[i].outgoing && f.stored[i].state <= PV_CHAT_SENT;
        b->owed = !f.stored[i].outgoing && f.stored[i].state == PV_CHAT_READ;
    }
}

static int run_op(struct pv_chat_store *of, const struct pv_chatop *op,
                  struct pv_chatop_result *ret)
{
    int r = PV_OK;
    *ret = (struct pv_chatop_result){.msgs = NULL};
    if (f.fails_for > 0) {
        f.fails_for--;
        return PV_ERR_NO_SPACE;
    }
    if (op->kind == PV_CHATOP_ENQUEUE || op->kind == PV_CHATOP_COMMIT)
        r = store(op, ret);
    else if (op->kind == PV_CHATOP_COUNTS || op->kind == PV_CHATOP_RECOPY)
        count(ret);
    else if (op->kind == PV_CHATOP_SEEN)
        mark(op, op->id, ret);
    else if (op->n_ids == 0)
        list(op, ret);
    for (size_t i = 0; i < op->n_ids; i++)
        mark(op, op->ids[i], ret);
    if (r != PV_OK)
        pv_chatop_result_done(ret);
    return r;
}

static void call_store(void)
{
    f.fails_for = next() % 8;
}

static void call_time(void)
{
    f.now += PV_MS(next() * 200u);
    for (int n = 0; pv_chatlink_next_timeout(f.link) <= f.now; n++) {
        must(n <= 1000);
        pv_chatlink_handle_timeout(f.link, f.now);
    }
}

static void drain(void)
{
    struct pv_stream_op op;
    struct pv_chatlink_event event;
    uint32_t sid = 0;
    while (pv_streams_next_op(&f.shell, &op) == PV_OK) {
        if (op.type == PV_STREAM_OPEN)
            add_stream(pv_sid_local(op.sid));
        else
            drop_stream(pv_sid_local(op.sid));
    }
    while (pv_streams_next_turn(&f.shell, &sid) == PV_OK) {
        sid = pv_sid_local(sid);
        struct pv_view out = pv_chatlink_out(f.link, sid);
        must(out.len <= PV_CHATLINK_MAX_OUT);
        note_nonce(out);
        if (out.len > 0)
            pv_chatlink_wrote(f.link, sid, 1 + next() % out.len, f.now);
    }
    while (pv_fifo_take(&f.lines, &event) == PV_OK)
        pv_chat_record_done(&event.msg);
}

/* A stored copy of a message of the peer. */
static void call_copy(void)
{
    const uint8_t id[PV_CHAT_ID_LEN] = {next()};
    const struct pv_chatlink_copy copy = {
        .pk = peer(), .name = "bob", .id = id, .seq = 1 + next() % 4, .text = pv_view("copied", 6)};
    (void)!pv_chatlink_take_copy(f.link, &copy, f.now);
}

/* A peer's word about its key, damaged, and the time that telling takes. */
static void call_keys(void)
{
    const uint8_t *pk = peer();
    uint8_t what = next();
    size_t n = what % 64 < f.in.len ? what % 64 : f.in.len;
    struct pv_linkkeys_peer *known = kept(NULL, pk, false);
    if (what >= 192 && known != NULL)
        pv_linkkeys_gone(known);
    else if (pv_linkkeys_take(f.keys, pk, pv_view(f.in.ptr, n), f.now))
        pv_chatlink_peer_keyed(f.link, pk, f.now);
    f.in = pv_view(f.in.ptr + n, f.in.len - n);
    pv_linkkeys_handle_timeout(f.keys, f.now);
}

/* More connections than one peer has places. */
static void call_crowd(void)
{
    struct pv_chatlink_source source = {.who = PV_CHATLINK_MEMBER, .name = "bob"};
    memcpy(source.pk, peer(), sizeof(source.pk));
    for (int i = 0; i <= PV_CHATLINK_MAX_PEER_CONNS; i++) {
        uint32_t sid = 0;
        f.now += PV_MS(1);
        (void)!pv_chatlink_accepted(f.link, &source, f.now, &sid);
    }
}

static void rare_step(uint8_t what)
{
    switch (what % 7) {
    case 0:
        (void)!pv_chatlink_want(f.link, peer(), f.now);
        break;
    case 1:
        pv_chatlink_refuse(f.link, peer(), f.now);
        break;
    case 2:
        f.max_stored = next() % 4;
        break;
    case 3:
        call_ack(true);
        break;
    case 4:
        call_copy();
        break;
    case 5:
        call_keys();
        break;
    default:
        call_crowd();
        break;
    }
}

static void step(void)
{
    uint32_t sid;
    uint8_t what = next();
    if (what >= 128) {
        rare_step(what);
        drain();
        return;
    }
    switch (what % 14) {
    case 0:
        call_accept();
        break;
    case 1:
    case 2:
        call_bytes();
        break;
    case 3:
        sid = stream();
        pv_chatlink_closed(f.link, sid, f.now);
        drop_stream(sid);
        break;
    case 4:
        pv_chatlink_connected(f.link, stream(), f.now);
        break;
    case 5:
        call_online();
        break;
    case 6:
        pv_chatlink_peer_offline(f.link, peer(), f.now);
        break;
    case 7:
        pv_chatlink_peer_gone(f.link, peer(), f.now);
        break;
    case 8:
        call_send();
        break;
    case 9:
        call_store();
        break;
    case 10:
        call_time();
        break;
    case 12:
        call_prove();
        break;
    case 13:
        pv_chatlink_peer_keyed(f.link, peer(), f.now);
        break;
    default:
        call_ack(false);
        break;
    }
    drain();
}

/* Asks what its owner may ask then. */
static void tell(void *owner, const struct pv_chatlink_event *event, pv_ns now)
{
    must(event->type != PV_CHATLINK_UP && event->type != PV_CHATLINK_DOWN &&
         event->type != PV_CHATLINK_LINE);
    (void)pv_chatlink_held(f.link, event->msg.peer);
    if (event->type == PV_CHATLINK_MESSAGE && event->msg.seq != 0)
        pv_chatlink_seen(f.link, event->msg.peer, event->msg.id, now);
}

static enum pv_overlay_link key_of_pair(const void *owner, const uint8_t *pk, uint8_t *ret_key)
{
    return overlay_of_keys(f.keys, pk, ret_key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_chatlink_config cfg = {.rng = {.fill = fuzz_fill_mix, .ctx = &f.rng}, .own_pk = {9}};
    memset(&f, 0, sizeof(f));
    f.in = pv_view(data, len);
    f.now = PV_S(10);
    must(pv_crypto_init() == PV_OK);
    f.store = (struct pv_chat_store){.run = run_op};
    cfg.store = &f.store;
    cfg.streams = &f.shell;
    cfg.lines = &f.lines;
    cfg.tell = tell;
    know_peers();
    cfg.keys = key_of_pair;
    must(pv_chatlink_new(&f.link, &cfg, f.now) == PV_OK);
    for (int i = 0; i < MAX_STEPS && f.in.len > 0; i++)
        step();
    pv_chatlink_free(f.link);
    pv_streams_done(&f.shell);
    slots_clear(&f.keyed, end_peer);
    pv_linkkeys_free(f.keys);
    for (size_t i = 0; i < f.n_stored; i++)
        pv_chat_record_done(&f.stored[i]);
    return 0;
}
