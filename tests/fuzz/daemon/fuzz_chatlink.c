/* SPDX-License-Identifier: MIT */
/*
 * The chat machine, driven by the input: each byte is a call, its argument follows. Invariants:
 * output is bounded, every stream that was opened or accepted is known until it is closed, jobs
 * and time never stand still in a loop, and everything is freed (ASan).
 */
#include <stdio.h>

#include "daemon/core/chat/chatlink.h"
#include "tests/fuzz/fuzz_util.h"
#include "tests/unit/daemon/store/chat_memstore.h"

enum {
    MAX_STREAMS = 64,
    MAX_STEPS = 2000,
};

static struct {
    struct pv_chatlink *link;
    struct memstore store;
    pv_ns now;
    uint64_t rng;
    uint32_t streams[MAX_STREAMS];
    size_t n_streams;
    struct pv_view in;
} f;

static uint8_t next(void)
{
    if (f.in.len == 0)
        return 0;
    uint8_t b = f.in.ptr[0];
    f.in = pv_view(f.in.ptr + 1, f.in.len - 1);
    return b;
}

static const uint8_t *peer(void)
{
    static const uint8_t pks[3][PV_CHATJOB_PK_LEN] = {{1}, {2}, {9}}; /* 9: ourselves */
    return pks[next() % 3];
}

static uint32_t stream(void)
{
    return f.n_streams == 0 ? 7 : f.streams[next() % f.n_streams];
}

static void add_stream(uint32_t sid)
{
    for (size_t i = 0; i < f.n_streams; i++) {
        if (f.streams[i] == sid)
            abort();
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
    };
    uint32_t sid = stream();
    uint8_t what = next();
    if (what < 128) {
        const char *line = lines[what % PV_ARRAY_LEN(lines)];
        pv_chatlink_handle_bytes(f.link, sid, pv_view(line, strlen(line)), 5, f.now);
        return;
    }
    size_t n = what - 128u < f.in.len ? what - 128u : f.in.len;
    pv_chatlink_handle_bytes(f.link, sid, pv_view(f.in.ptr, n), 5, f.now);
    f.in = pv_view(f.in.ptr + n, f.in.len - n);
}

/* Acknowledges a message that is in our outbox. */
static void call_ack(void)
{
    static char line[PV_CHAT_LINE_MAX];
    size_t n = 0;
    if (f.store.n_rows == 0)
        return;
    const struct pv_chat_record *m = &f.store.rows[next() % f.store.n_rows].rec;
    enum pv_chat_state state = next() % 2 == 0 ? PV_CHAT_DELIVERED : PV_CHAT_READ;
    if (pv_chat_write_ack(m->id, state, line, &n) == PV_OK)
        pv_chatlink_handle_bytes(f.link, stream(), pv_view(line, n), 5, f.now);
}

static void call_send(void)
{
    struct pv_chatlink_message msg = {.pk = peer(), .name = "bob", .text = "hello"};
    (void)!pv_chatlink_send(f.link, 1, &msg, f.now);
}

static void call_online(void)
{
    struct pv_addr addr = pv_addr4(10, 66, 0, next() % 2, 0);
    (void)!pv_chatlink_peer_online(f.link, peer(), "bob", &addr, f.now);
}

static void call_jobs(void)
{
    uint8_t how = next();
    uint64_t tag = 0;
    struct pv_chatjob *job = NULL;
    for (unsigned n = how % 8; n > 0 && pv_chatlink_poll_job(f.link, &tag, &job) == PV_OK; n--) {
        struct pv_chatjob_result *result = NULL;
        int r = how < 200 ? memstore_run(&f.store, job, &result) : PV_ERR_NO_SPACE;
        if (how < 240) /* else its answer is lost */
            pv_chatlink_handle_job(f.link, tag, r, result, f.now);
        if (result != NULL && job->kind == PV_CHATJOB_OUTBOX)
            pv_chatlink_read(f.link, result, f.now);
        pv_chatjob_result_free(result);
        pv_chatjob_free(job);
    }
}

static void call_time(void)
{
    f.now += PV_MS(next() * 200u);
    for (int n = 0; pv_chatlink_next_timeout(f.link) <= f.now; n++) {
        if (n > 1000)
            abort();
        pv_chatlink_handle_timeout(f.link, f.now);
    }
}

static void drain(void)
{
    struct pv_chatlink_stream_op op;
    struct pv_chatlink_event event;
    uint32_t sid = 0;
    while (pv_chatlink_poll_stream_op(f.link, &op) == PV_OK) {
        if (op.open)
            add_stream(op.sid);
        else
            drop_stream(op.sid);
    }
    while (pv_chatlink_poll_writable(f.link, &sid) == PV_OK) {
        struct pv_view out = pv_chatlink_out(f.link, sid);
        if (out.len > PV_CHATLINK_MAX_OUT)
            abort();
        if (out.len > 0)
            pv_chatlink_wrote(f.link, sid, 1 + next() % out.len, f.now);
    }
    for (int reader = 0; reader < PV_CHATLINK_READERS; reader++) {
        while (pv_chatlink_poll_event(f.link, (enum pv_chatlink_reader)reader, &event) == PV_OK)
            pv_chat_record_done(&event.msg);
    }
}

static void step(void)
{
    uint32_t sid;
    switch (next() % 12) {
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
        call_jobs();
        break;
    case 10:
        call_time();
        break;
    default:
        call_ack();
        break;
    }
    drain();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_chatlink_config cfg = {.rng = {.fill = fuzz_fill_mix, .ctx = &f.rng}, .own_pk = {9}};
    memset(&f, 0, sizeof(f));
    f.in = pv_view(data, len);
    f.now = PV_S(10);
    if (pv_chatlink_new(&f.link, &cfg, f.now) < 0)
        return 0;
    for (int i = 0; i < MAX_STEPS && f.in.len > 0; i++)
        step();
    pv_chatlink_free(f.link);
    memstore_done(&f.store);
    return 0;
}
