/* SPDX-License-Identifier: MIT */
/*
 * test_hostile.c - a member with a valid key that sends another one everything that members can
 * send: each in-band type, each frame of chat and rooms, and connections for chat and files
 * that prove nothing, malformed, out of order, too many and too large. The victim lives, keeps
 * bounded disk, memory and log, answers no more than it is asked, and others' messages arrive
 * meanwhile.
 */
#include <malloc.h>

#include <jansson.h>
#include <sqlite3.h>

#include "bind/chat.h"
#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/chatlink.h"
#include "chat/proto/file.h"
#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "daemon/core/peer/peers.h"
#include "proto/ip/inband.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

/* Counts a list, by which a type that comes later is sent too. */
#define ONE(name, number, part_max, in_parts) +1

enum {
    ROUNDS = 250,
    EACH = 200, /* of each flood in a round: 50,000 of each in all */
    ROUND_MS = 100,
    KINDS = 0 PV_INBAND_TYPES(ONE) + 2, /* in-band types from 0 to one that is unknown */
    MAX_LINES = 64,                     /* of the victim's log, above debug */
    MAX_DISK = 48 << 20,
    MAX_MEMORY = 96 << 20, /* of the whole simulation, above what it had before */
    PATIENCE_S = 5,        /* within which another member's line arrives */
    RAWS = 24,             /* connections at once that prove nothing */
};

/* Where AddressSanitizer is, malloc's own numbers say nothing. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

struct scene {
    struct sim_node *victim, *friend, *mallory;
    uint8_t room[PV_ROOM_ID_LEN];
    uint64_t seq; /* of mallory's messages */
    struct {
        bool used, wrote;
        uint32_t stream;
        uint16_t port;
        unsigned born;
    } raws[RAWS];
    unsigned n_raw;
    size_t memory, most_memory;
    unsigned said, late;
};

static const struct pv_link_config line = {.delay = PV_MS(10), .jitter = PV_MS(2)};

static const struct pv_node *node_of(const struct sim_node *n)
{
    return pv_engine_node(n->engine);
}

static size_t memory_now(void)
{
    return __sanitizer_get_current_allocated_bytes != NULL
               ? __sanitizer_get_current_allocated_bytes()
               : mallinfo2().uordblks;
}

static void scribble(struct scene *s, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)sim_draw(256);
}

/* --- in-band --------------------------------------------------------------------------------- */

/* A body of some kind: nothing, one byte, noise of any length, or what the type's parser likes. */
static size_t make_body(struct scene *s, uint8_t *body, size_t cap)
{
    struct pv_file_notice offer = {.kind = PV_FILE_OFFER, .size = 1000, .time_ms = 1};
    size_t len = 0;
    switch (sim_draw(4)) {
    case 0:
        return 0;
    case 1:
        len = 1 + sim_draw(64);
        break;
    case 2:
        len = sim_draw((uint32_t)cap);
        break;
    case 3:
        scribble(s, offer.id, sizeof(offer.id));
        snprintf(offer.name, sizeof(offer.name), "file%u", sim_draw(1000000));
        assert_ok(pv_file_notice_build(&offer, body, &len));
        return len;
    }
    scribble(s, body, len);
    if (len > 1 && sim_draw(2) == 0)
        body[0] = 1; /* the version that most have */
    return len;
}

/* Whole messages, and packets that are none. */
static void send_inband(struct scene *s, unsigned n)
{
    static uint8_t body[PV_INBAND_WHOLE_MAX];
    struct pv_peers *peers = node_of(s->mallory)->peers;
    struct pv_peer *p = pv_peers_find(peers, "victim");
    sim_node_begin(s->mallory);
    for (unsigned i = 0; p != NULL && i < n; i++) {
        uint8_t packet[PV_INBAND_PACKET_MAX];
        unsigned type = sim_draw(KINDS);
        /* Saying goodbye, or another secret, ends what is to be flooded: seldom. */
        if ((type == PV_INBAND_GOODBYE || type == PV_INBAND_LINK) && sim_draw(200) != 0)
            type = PV_INBAND_FILE;
        size_t len = make_body(s, body, sim_draw(50) == 0 ? sizeof(body) : PV_INBAND_PART_MAX);
        if (sim_draw(4) != 0) {
            pv_peers_send(peers, p, (enum pv_inband_type)type, pv_view(body, len));
            continue;
        }
        /* A part of something that never comes to an end, or whose numbers are wrong. */
        scribble(s, packet, PV_INBAND_HEADER);
        packet[0] = PV_INBAND_FIRST;
        packet[1] = (uint8_t)type;
        packet[8] &= 63;
        packet[9] &= 63;
        len = len < PV_INBAND_PART_MAX ? len : PV_INBAND_PART_MAX;
        memcpy(packet + PV_INBAND_HEADER, body, len);
        pv_peers_inject(peers, p, pv_view(packet, PV_INBAND_HEADER + len));
    }
    sim_node_end(s->mallory);
}

/* --- lines of chat connections --------------------------------------------------------------- */

static size_t message_line(struct scene *s, char *buf)
{
    uint8_t id[PV_CHAT_ID_LEN];
    size_t len = 0;
    scribble(s, id, sizeof(id));
    const char *text = PV_STR("buy %u", sim_draw(1000000));
    switch (sim_draw(8)) {
    case 0:
        assert_ok(pv_chat_write_ack(id, sim_draw(2) ? PV_CHAT_READ : PV_CHAT_DELIVERED, buf, &len));
        break;
    case 1:
        assert_ok(pv_chat_write_noted(id, buf, &len));
        break;
    case 2:
        assert_ok(pv_chat_write_later(id, PV_CHAT_LATER_FULL, 3600, buf, &len));
        break;
    default: /* now and then a number that came before */
        s->seq += sim_draw(20) != 0;
        assert_ok(pv_chat_write_message(id, s->seq > 0 ? s->seq : 1, 1, text, buf, &len));
    }
    return len;
}

static size_t room_line(struct scene *s, char *buf)
{
    static struct pv_room_frame f;
    static uint8_t noise[4096];
    size_t len = 0;
    memset(&f, 0, sizeof(f));
    f.kind = (enum pv_room_frame_kind)sim_draw(4);
    memcpy(f.room, s->room, sizeof(f.room));
    if (sim_draw(4) == 0)
        scribble(s, f.room, sizeof(f.room)); /* invitations to nowhere */
    scribble(s, f.digest, sizeof(f.digest));
    f.n_have = sim_draw(PV_ROOM_MAX_MEMBERS + 1);
    for (size_t i = 0; i < f.n_have; i++) {
        scribble(s, f.have[i].author, sizeof(f.have[i].author));
        if (sim_draw(3) == 0)
            memcpy(f.have[i].author, sim_node_pk(sim_draw(2) ? s->victim : s->friend),
                   sizeof(f.have[i].author));
        f.have[i].seq = sim_draw(2) ? 0 : UINT64_C(1) << sim_draw(54);
    }
    f.n_gone = sim_draw(2) ? f.n_have : 0;
    memcpy(f.gone, f.have, sizeof(f.gone));
    f.n_prefix = sim_draw(PV_ROOM_MAX_RECORDS + 1);
    if (f.kind == PV_ROOM_F_RECORDS && sim_draw(20) != 0)
        f.kind = PV_ROOM_F_WANT; /* what is no record closes the connection: seldom */
    if (f.kind == PV_ROOM_F_RECORDS) {
        scribble(s, noise, 256);
        noise[0] = 1;
        noise[1] = (uint8_t)(1 + sim_draw(4));
        memcpy(noise + 2, s->room, sizeof(s->room));
        f.n_records = 1 + sim_draw(3);
        for (size_t i = 0; i < f.n_records; i++)
            f.records[i] = pv_view(noise, 100 + sim_draw(3996));
    }
    return pv_room_frame_write(&f, buf, &len) == PV_OK ? len : 0;
}

/* A frame of a kind that nobody knows. */
static size_t unknown_line(struct scene *s, char *buf)
{
    return (size_t)snprintf(buf, 200, "{\"copy\":\"%022u\",\"%s\":\"%043u\",\"box\":\"%u\"}\n",
                            sim_draw(1000), sim_draw(2) ? "to" : "from", sim_draw(1000),
                            sim_draw(1000));
}

/* Each closes the connection: noise, JSON that is none, too deep, or too long. */
static size_t bad_line(struct scene *s, char *buf)
{
    size_t len = 2 + sim_draw(400);
    switch (sim_draw(4)) {
    case 0:
        scribble(s, (uint8_t *)buf, len);
        break;
    case 1:
        memset(buf, '[', len);
        buf[0] = '{';
        break;
    case 2:
        len = PV_CHAT_LINE_MAX - 1;
        memset(buf, 'x', len);
        buf[0] = '{';
        break;
    case 3:
        len = (size_t)snprintf(buf, 200, "{\"%s\":%u", sim_draw(2) ? "prove" : "copy", sim_draw(9));
        break;
    }
    for (size_t i = 0; i < len; i++)
        buf[i] = buf[i] == '\n' ? ' ' : buf[i];
    buf[len] = '\n';
    return len + 1;
}

static void send_lines(struct scene *s, unsigned n)
{
    static char buf[PV_CHAT_LINE_MAX];
    struct pv_chatlink *link = pv_bind_chat_of(node_of(s->mallory))->link;
    const uint8_t *to = sim_node_pk(s->victim);
    sim_node_begin(s->mallory);
    (void)!pv_chatlink_want(link, to, sim_node_now(s->mallory));
    for (unsigned i = 0; i < n; i++) {
        size_t len = sim_draw(2000) == 0 ? bad_line(s, buf)
                     : sim_draw(8) == 0  ? room_line(s, buf)
                     : sim_draw(40) == 0 ? unknown_line(s, buf)
                                         : message_line(s, buf);
        /* Its own output is full, or the victim has closed: the next round. */
        if (len > 0 && pv_chatlink_say(link, to, pv_view(buf, len)) != PV_OK)
            break;
    }
    sim_node_end(s->mallory);
}

/* --- connections that prove nothing ---------------------------------------------------------- */

/* The bytes that somebody on mallory's machine sends to a port: text, frames of others, files'
 * frames, noise.
 */
static size_t raw_bytes(struct scene *s, uint16_t port, uint8_t *buf, size_t cap)
{
    static const char *const lines[] = {"hello\n", "{\"prove\":\"AAECAwQFBgcICQoLDA0ODw\"}\n",
                                        "{\"ack\":\"AAECAwQFBgcICQoLDA0ODw\",\"state\":\"read\"}\n",
                                        "\n\r\n", "no end"};
    uint8_t id[PV_FILE_ID_LEN], nonce[PV_PROOF_NONCE_LEN];
    size_t len = 1 + sim_draw((uint32_t)cap);
    scribble(s, buf, len);
    if (sim_draw(3) == 0)
        return len;
    if (port == PV_CHAT_PORT) {
        const char *text = lines[sim_draw(PV_ARRAY_LEN(lines))];
        len = strlen(text);
        memcpy(buf, text, len);
    } else if (sim_draw(2) == 0) {
        scribble(s, id, sizeof(id));
        pv_file_get_build(id, UINT64_C(1) << sim_draw(63), buf);
        len = PV_FILE_GET_LEN;
    } else { /* and noise behind it, in place of a proof */
        scribble(s, nonce, sizeof(nonce));
        pv_file_hello_build(nonce, buf);
        len = len < PV_FILE_HELLO_LEN ? PV_FILE_HELLO_LEN : len;
    }
    return len;
}

/* Opens some, says something on those that are there, and hangs up on old ones. */
static void connect_raw(struct scene *s, unsigned round)
{
    static uint8_t buf[4096];
    struct pv_addr to = sim_node_overlay(s->victim, PV_AF_INET);
    for (size_t i = 0; i < RAWS; i++) {
        uint32_t stream = s->raws[i].stream;
        if (!s->raws[i].used) {
            to.port = sim_draw(2) ? PV_CHAT_PORT : PV_FILE_PORT;
            s->raws[i].used = true;
            s->raws[i].wrote = false;
            s->raws[i].born = round;
            s->raws[i].port = to.port;
            s->raws[i].stream = sim_net_connect(sim.net, sim_node_host(s->mallory), &to);
            s->n_raw++;
            continue;
        }
        if (!sim_net_is_open(sim.net, stream)) {
            s->raws[i].used = false;
        } else if (!s->raws[i].wrote) {
            s->raws[i].wrote = true;
            (void)sim_net_write(
                sim.net, stream,
                pv_view(buf, raw_bytes(s, s->raws[i].port, buf, sizeof(buf) - 100)));
        } else if (round > s->raws[i].born + 20) {
            sim_net_close(sim.net, stream);
            s->raws[i].used = false;
        }
    }
}

/* --- the scene ------------------------------------------------------------------------------- */

static bool find_room(struct scene *s)
{
    struct pv_rooms_info info;
    if (!pv_rooms_info(pv_bind_chat_of(node_of(s->mallory))->rooms, 0, &info))
        return false;
    memcpy(s->room, info.id, sizeof(s->room));
    return true;
}

static bool begin(struct scene *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    sim_world_init(seed, &line);
    s->friend = sim_world_node(SIM_PUBLIC, "friend", false);
    s->victim = sim_world_node(SIM_PUBLIC, "victim", false);
    s->mallory = sim_world_node(SIM_PUBLIC, "mallory", false);
    if (!sim_world_join_all())
        return false;
    sim_world_run(PV_S(3));
    if (!sim_world_tell(s->friend, PV_S(10), "'cmd':'room_create','room':'crew'") ||
        !sim_world_tell(s->friend, PV_S(10),
                        "'cmd':'room_invite','room':'#crew','peer':'victim'") ||
        !sim_world_tell(s->friend, PV_S(10),
                        "'cmd':'room_invite','room':'#crew','peer':'mallory'") ||
        !sim_world_enter(s->victim, "#crew") || !sim_world_enter(s->mallory, "#crew") ||
        !sim_world_tell(s->mallory, PV_S(10), "'cmd':'send','peer':'victim','text':'hello'") ||
        !sim_world_tell(s->friend, PV_S(10), "'cmd':'send','peer':'victim','text':'hello'"))
        return false;
    sim_world_run(PV_S(5));
    s->memory = memory_now();
    sim_node_count_log(s->victim);
    return find_room(s);
}

static uint64_t disk_of(const struct sim_node *n)
{
    uint64_t pages = 0, size = 0;
    static const char *const sql[] = {"PRAGMA page_count", "PRAGMA page_size"};
    uint64_t *const values[] = {&pages, &size};
    for (int i = 0; i < 2; i++) {
        sqlite3_stmt *st = NULL;
        assert_int_equal(sqlite3_prepare_v2(n->chat, sql[i], -1, &st, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(st), SQLITE_ROW);
        *values[i] = (uint64_t)sqlite3_column_int64(st, 0);
        sqlite3_finalize(st);
    }
    return pages * size;
}

static unsigned count_from(const struct sim_node *n, const char *pattern)
{
    sqlite3_stmt *st = NULL;
    assert_int_equal(sqlite3_prepare_v2(n->chat,
                                        "SELECT count(*) FROM chat_message WHERE outgoing = 0"
                                        " AND text LIKE ?",
                                        -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(st, 1, pattern, -1, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    unsigned count = (unsigned)sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    return count;
}

/* The friend says something, to the victim and into the room by turns. */
static void say(struct scene *s)
{
    (void)sim_node_ask(s->friend, "'cmd':'send','peer':'%s','text':'kind %u'",
                       s->said % 2 == 0 ? "victim" : "#crew", s->said);
    s->said++;
}

PV_SIM(a_member_that_sends_everything_harms_nobody, 1)
{
    struct scene s;
    sim_must(begin(&s, seed), "beginning:");
    uint64_t sent = sim_node_sent(s.victim), asked = sim_node_sent(s.mallory);
    for (unsigned round = 0; round < ROUNDS; round++) {
        send_inband(&s, EACH);
        send_lines(&s, EACH * 2);
        connect_raw(&s, round);
        if (round % 10 == 0)
            say(&s);
        sim_world_run(PV_MS(ROUND_MS));
        size_t now = memory_now();
        s.most_memory = now > s.most_memory ? now : s.most_memory;
        unsigned due = round < PATIENCE_S * 10 ? 0 : (round - PATIENCE_S * 10) / 10 + 1;
        if (count_from(s.victim, "kind %") < due)
            s.late++;
    }
    sent = sim_node_sent(s.victim) - sent;
    asked = sim_node_sent(s.mallory) - asked;
    sim_world_run(PV_S(PATIENCE_S));
    unsigned kind = count_from(s.victim, "kind %"), bad = count_from(s.victim, "buy %");
    uint64_t disk = disk_of(s.victim);
    size_t memory = s.most_memory > s.memory ? s.most_memory - s.memory : 0;
    unsigned lines = sim_node_logged(s.victim);
    const char *why =
        PV_STR("%u of %u lines came, %u times late; %u of mallory's, %u connections; disk %llu, "
               "memory %zu, log %u, %llu packets for %llu:",
               kind, s.said, s.late, bad, s.n_raw, (unsigned long long)disk, memory, lines,
               (unsigned long long)sent, (unsigned long long)asked);
    sim_must(sim_node_runs(s.victim) && kind == s.said && s.late == 0, why);
    sim_must(s.n_raw >= 500 && bad != 0 && bad <= PV_CHATOP_MAX_UNREAD && disk <= MAX_DISK &&
                 memory <= MAX_MEMORY && lines <= MAX_LINES && sent <= 2 * asked,
             why);
    printf("%s\n", why);
    /* And it goes on: with the member that did this, too. */
    sim_must(sim_world_tell(s.victim, PV_S(10), "'cmd':'ping','peer':'friend','count':1") &&
                 sim_world_tell(s.victim, PV_S(10), "'cmd':'status'") &&
                 sim_world_tell(s.victim, PV_S(10), "'cmd':'history_clear','peer':'mallory'"),
             "afterwards:");
}
