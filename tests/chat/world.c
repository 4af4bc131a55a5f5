/* SPDX-License-Identifier: MIT */
/* world.c - machines, time, and chat's engine and store on each. */
#include "tests/chat/world.h"

#include <errno.h>

#include "chat/core/rooms/rooms.h"
#include "chat/core/talk/asked.h"
#include "chat/proto/chat.h"
#include "proto/local/ctlapi_request.h"
#include "tests/chat/overlay.h"
#include "tests/unit/chat/store/chat_db.h"

struct world world;

int world_index(const struct world_node *n)
{
    return (int)(n - world.n);
}

struct world_node *world_find(const char *handle)
{
    for (size_t i = 0; i < world.n_nodes; i++) {
        if (strcmp(world.n[i].handle, handle) == 0)
            return &world.n[i];
    }
    return NULL;
}

void world_text_add(struct world_text *t, const char *bytes, size_t len)
{
    char *text = realloc(t->text, t->len + len + 1);
    if (text == NULL)
        abort();
    memcpy(text + t->len, bytes, len);
    t->text = text;
    t->len += len;
    text[t->len] = '\0';
}

static void forget_text(struct world_text *t)
{
    free(t->text);
    *t = (struct world_text){NULL, 0};
}

/* --- chat's engine ------------------------------------------------------------------------- */

static uint64_t wall_us(const struct world_node *n)
{
    return 1790000000000000u + world.now / 1000 + (uint64_t)n->wall_off_us;
}

struct pv_chat *world_chat(struct world_node *n)
{
    pv_chat_set_wall(n->chat, wall_us(n), world.now);
    return n->chat;
}

static void serve(void *arg, struct pv_ctlapi_request *req, uint64_t handle)
{
    struct world_node *n = arg;
    if (req->cmd == PV_CTLAPI_WATCH)
        assert_ok(pv_events_listen(&n->events, handle, req->u.watch.seen));
    else
        pv_chat_command(world_chat(n), req, handle, world.now);
}

static void take_line(struct world_node *n, const char *line, size_t len)
{
    unsigned long long id = 0;
    const char *at = strstr(line, "\"id\":");
    const bool ends = strstr(line, "\"ok\":") != NULL;
    if (!ends)
        world_text_add(&n->heard, line, len);
    else if (at != NULL && sscanf(at + 5, "%llu", &id) == 1 && id == n->request && id > 1)
        world_text_add(&n->answer, line, len);
}

static void read_client(struct world_node *n, uint32_t sid)
{
    struct world_text all = {NULL, 0};
    struct pv_view out;
    while ((out = pv_ctlsrv_out(n->ctl, sid)).len > 0) {
        world_text_add(&all, (const char *)out.ptr, out.len);
        pv_ctlsrv_wrote(n->ctl, sid, out.len);
    }
    for (char *line = all.text, *end; line != NULL && (end = strchr(line, '\n')) != NULL;) {
        *end = '\0';
        take_line(n, line, (size_t)(end - line));
        line = end + 1;
    }
    forget_text(&all);
}

static void read_clients(struct world_node *n)
{
    struct pv_stream_op op;
    uint32_t sid;
    read_client(n, n->client);
    read_client(n, n->watcher);
    while (pv_streams_next_op(&n->ctl_streams, &op) == PV_OK ||
           pv_streams_next_turn(&n->ctl_streams, &sid) == PV_OK) {
    }
}

void world_settle(struct world_node *n)
{
    if (n->chat == NULL || n->settling)
        return;
    n->settling = true;
    for (bool any = true; any;) {
        uint32_t sid;
        const struct pv_files_op *op;
        any = false;
        pv_chat_run(world_chat(n), world.now);
        while (pv_chat_next_close(n->chat, &sid, world.now) == PV_OK)
            overlay_close(n, sid), any = true;
        while (pv_chat_next_look(n->chat, &sid) == PV_OK)
            overlay_write(n, sid), any = true;
        while (pv_files_part_poll(n->chat, &op))
            overlay_file(n, op), any = true;
        read_clients(n);
    }
    n->settling = false;
}

/* --- the store ----------------------------------------------------------------------------- */

static bool only_reads(const struct pv_chatop *op)
{
    switch (op->kind) {
    case PV_CHATOP_OUTBOX:
    case PV_CHATOP_OWED:
    case PV_CHATOP_HISTORY:
    case PV_CHATOP_UNCOPIED:
    case PV_CHATOP_COUNTS:
    case PV_CHATOP_MUTED:
    case PV_CHATOP_VALUES:
        return true;
    case PV_CHATOP_INBOX:
        return !op->mark_read;
    default:
        return false;
    }
}

static int run_op(struct pv_chat_store *store, const struct pv_chatop *op,
                  struct pv_chatop_result *ret)
{
    struct world_node *n = store->self;
    struct pv_chatop with = *op;
    with.terms = (struct pv_chatop_terms){.now_s = wall_us(n) / 1000000,
                                          .max_bytes = n->max_bytes,
                                          .low_disk = n->disk == WORLD_DISK_LOW};
    *ret = (struct pv_chatop_result){.msgs = NULL};
    store->off = n->disk == WORLD_DISK_OFF;
    n->ops_done++;
    if (store->off || (n->disk == WORLD_DISK_FULL && !only_reads(op))) {
        snprintf(store->error, sizeof(store->error), "chat.db: %s: free some space",
                 store->off ? "cannot be opened" : "disk full");
        return -ENOSPC;
    }
    int r = chat_db_run(n->db, &with, ret);
    if (r < 0)
        snprintf(store->error, sizeof(store->error), "chat.db: refused");
    return r;
}

/* The tables are in a transaction: what was written since the last call can be lost. */
static int settle(struct pv_chat_store *store)
{
    struct world_node *n = store->self;
    if (n->disk != WORLD_DISK_LOSES) {
        chat_db_sql(n->db, "COMMIT");
        chat_db_sql(n->db, "BEGIN");
        return PV_OK;
    }
    chat_db_sql(n->db, "ROLLBACK");
    chat_db_sql(n->db, "BEGIN");
    n->disk = WORLD_DISK_OFF;
    store->off = true;
    snprintf(store->error, sizeof(store->error), "chat.db: the disk did not keep it: restart");
    return -EIO;
}

static struct pv_chat_store *store_of(struct world_node *n)
{
    n->store = (struct pv_chat_store){.self = n, .run = run_op, .settle = settle};
    return &n->store;
}

static void take_log(void *ctx, enum pv_log_level level, const char *line)
{
    struct world_node *n = ctx;
    (void)level;
    world_text_add(&n->log, line, strlen(line));
    world_text_add(&n->log, "\n", 1);
}

static void say(struct world_node *n, uint32_t sid, const char *fields)
{
    char head[64];
    int len = snprintf(head, sizeof(head), "{\"id\":%llu,", (unsigned long long)++n->request);
    struct world_text line = {NULL, 0};
    world_text_add(&line, head, (size_t)len);
    world_text_add(&line, fields, strlen(fields));
    world_text_add(&line, "}\n", 2);
    pv_ctlsrv_handle_bytes(n->ctl, sid, pv_view(line.text, line.len), serve, n);
    forget_text(&line);
    world_settle(n);
}

void world_start(struct world_node *n)
{
    static struct pv_log logs[WORLD_MAX];
    struct pv_log *log = &logs[world_index(n)];
    if (n->chat != NULL)
        return;
    *log = (struct pv_log){.level = PV_LOG_INFO, .sink = take_log, .ctx = n};
    n->life++;
    n->ghost = false;
    n->overlay = overlay_of(n);
    assert_ok(pv_ctlsrv_new(&n->ctl, &n->ctl_streams, "", false));
    const struct pv_chat_config cfg = {.rng = {.fill = test_rng_fill, .ctx = &world.rng},
                                       .log = log,
                                       .overlay = &n->overlay,
                                       .store = store_of(n),
                                       .ctl = n->ctl,
                                       .events = &n->events,
                                       .given = n->given,
                                       .auto_accept = n->accept,
                                       .n_auto_accept = n->n_accept,
                                       .wall_us = wall_us(n)};
    assert_ok(pv_chat_new(&n->chat, &cfg, world.now));
    n->told = pv_chat_told(n->chat);
    assert_ok(pv_ctlsrv_accepted(n->ctl, 0, true, &n->client));
    assert_ok(pv_ctlsrv_accepted(n->ctl, 0, true, &n->watcher));
    n->request = 0;
    say(n, n->watcher, "\"cmd\":\"watch\",\"what\":\"chat\"");
    world_tell_own(n, PV_OVERLAY_NETWORK | PV_OVERLAY_OVERLAY | PV_OVERLAY_RULES |
                          (overlay_own(n)->online ? PV_OVERLAY_WENT_ON : 0));
    overlay_started(n);
    world_changed();
}

void world_kill(struct world_node *n)
{
    if (n->chat == NULL)
        return;
    n->chat = pv_chat_free(n->chat);
    n->ctl = pv_ctlsrv_free(n->ctl);
    pv_streams_done(&n->ctl_streams);
    pv_events_done(&n->events);
    memset(&n->ctl_streams, 0, sizeof(n->ctl_streams));
    memset(&n->events, 0, sizeof(n->events));
    overlay_killed(n);
    world_changed();
}

void world_stop(struct world_node *n)
{
    if (n->chat == NULL)
        return;
    pv_chat_stop(world_chat(n), world.now);
    world_settle(n);
    world_kill(n);
}

void world_tell_own(struct world_node *n, unsigned facts)
{
    if (n->chat == NULL)
        return;
    (void)world_chat(n);
    n->told.own(n->told.chat, facts, world.now);
    world_settle(n);
}

void world_tell_all(const struct world_node *of, unsigned news)
{
    for (size_t i = 0; i < world.n_nodes; i++) {
        struct world_node *n = &world.n[i];
        if (n->chat == NULL || n == of)
            continue;
        (void)world_chat(n);
        n->told.member(n->told.chat, of->pk, news, world.now);
        world_settle(n);
    }
}

void world_gone(struct world_node *gone, enum pv_overlay_kind kind)
{
    gone->kind = kind;
    gone->gone_s = wall_us(gone) / 1000000;
    for (size_t i = 0; i < world.n_nodes; i++) {
        struct world_node *n = &world.n[i];
        if (n->chat == NULL)
            continue;
        if (n == gone)
            world_tell_own(n, PV_OVERLAY_NETWORK);
        else
            n->told.gone(n->told.chat, gone->pk, world.now);
        world_settle(n);
    }
    world_changed();
}

/* --- users --------------------------------------------------------------------------------- */

void world_ask(struct world_node *n, const char *fields)
{
    forget_text(&n->answer);
    say(n, n->client, fields);
}

const char *world_answer(struct world_node *n, const char *fields)
{
    const pv_ns end = world.now + PV_S(10);
    world_ask(n, fields);
    while (n->answer.text == NULL && world_step(end)) {
    }
    return n->answer.text;
}

void world_pass(struct world_node *n, int handle, uint64_t size)
{
    const struct pv_files_report report = {
        .news = PV_FILES_PASSED,
        .sid = pv_sid(PV_STREAM_OF_CTL, n->client),
        .passed = {.handle = handle, .size = size, .stamp = {1, 2, (uint64_t)handle}}};
    pv_files_part_report(world_chat(n), &report, world.now);
}

const char *world_held(struct world_node *n, const struct world_node *of)
{
    static char why[PV_CTLAPI_ERROR_BUF];
    struct pv_overlay_member m;
    why[0] = '\0';
    if (n->chat == NULL || !pv_overlay_by_key(&n->overlay, of->pk, &m) ||
        !pv_asked_held(world_chat(n), &m, why))
        why[0] = '\0';
    return why;
}

const uint8_t *world_room(const char *name)
{
    const uint8_t *id = NULL;
    for (size_t i = 0; i < world.n_nodes && id == NULL; i++) {
        if (world.n[i].chat != NULL && world.n[i].chat->rooms != NULL)
            id = pv_rooms_find(world.n[i].chat->rooms, name, true);
    }
    return id;
}

bool world_count(struct world_node *n, uint64_t *ret_unread, uint64_t *ret_queued)
{
    struct pv_asked_counts counts;
    const bool good = pv_asked_count(world_chat(n), &counts);
    *ret_unread = counts.unread;
    *ret_queued = counts.queued;
    return good;
}

void world_leave_room(struct world_node *n, const struct world_node *of, unsigned messages)
{
    chat_db_leave_room(n->db, of->pk, messages);
}

void world_back_up(struct world_node *n, bool restore)
{
    sqlite3 *from = restore ? n->backup : n->db;
    sqlite3 **to = restore ? &n->db : &n->backup;
    if (from == NULL)
        fail_msg("%s has no backup", n->handle);
    chat_db_sql(n->db, "COMMIT");
    sqlite3_close(*to);
    assert_int_equal(sqlite3_open(":memory:", to), SQLITE_OK);
    sqlite3_backup *copy = sqlite3_backup_init(*to, "main", from, "main");
    assert_int_equal(sqlite3_backup_step(copy, -1), SQLITE_DONE);
    sqlite3_backup_finish(copy);
    chat_db_sql(n->db, "BEGIN");
}

void world_lengthen_logs(struct world_node *n, uint64_t texts)
{
    chat_db_sql(n->db, PV_STR("UPDATE room_log SET last = %llu", (unsigned long long)texts));
}

static void cancelled(void *arg, uint64_t handle)
{
    pv_events_drop(arg, handle);
}

void world_change_client(struct world_node *n)
{
    pv_ctlsrv_closed(n->ctl, n->client);
    pv_ctlsrv_tidy(n->ctl, cancelled, &n->events);
    assert_ok(pv_ctlsrv_accepted(n->ctl, 0, true, &n->client));
}

static void minor(void *page, const char *what, const char *why)
{
    struct world_text *t = page;
    char line[1024];
    int len = snprintf(line, sizeof(line), "%s%s%s\n", what, why[0] == '\0' ? "" : " ", why);
    world_text_add(t, line, (size_t)len);
}

static void minor_todo(void *page, const char *what, struct pv_remedy todo)
{
    char text[512];
    minor(page, what, pv_remedy_write(&todo, text, sizeof(text)));
}

static void drop(void *page, const char *reason, uint64_t count)
{
    char line[128];
    int len = snprintf(line, sizeof(line), "%s %llu\n", reason, (unsigned long long)count);
    if (count > 0)
        world_text_add(page, line, (size_t)len);
}

const char *world_status(struct world_node *n)
{
    static struct world_text text;
    const struct pv_chat_page page = {
        .page = &text, .minor = minor, .minor_todo = minor_todo, .problem = minor, .drop = drop};
    forget_text(&text);
    world_text_add(&text, "", 0);
    if (n->chat != NULL)
        pv_chat_status(world_chat(n), &page, world.now);
    return text.text;
}

/* --- time ---------------------------------------------------------------------------------- */

static pv_ns next_of(const struct world_node *n)
{
    pv_ns next = PV_NEVER;
    if (n->chat == NULL)
        return next;
    next = pv_chat_next_timeout(n->chat);
    return next;
}

bool world_step(pv_ns end)
{
    pv_ns next = overlay_next();
    for (size_t i = 0; i < world.n_nodes; i++)
        next = pv_min_ns(next, next_of(&world.n[i]));
    if (next > end) {
        world.now = world.now > end ? world.now : end;
        return false;
    }
    world.now = world.now > next ? world.now : next;
    overlay_turn();
    for (size_t i = 0; i < world.n_nodes; i++) {
        struct world_node *n = &world.n[i];
        if (n->chat != NULL && pv_chat_next_timeout(n->chat) <= world.now) {
            pv_chat_handle_timeout(world_chat(n), world.now);
            world_settle(n);
        }
    }
    return true;
}

void world_run(pv_ns time)
{
    const pv_ns end = world.now + time;
    for (unsigned steps = 0; world_step(end); steps++) {
        if (steps == 3000000)
            fail_msg("the machines do not come to rest");
    }
}

/* --- beginning and end --------------------------------------------------------------------- */

void world_begin(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    world.now = PV_S(100);
    world.rng.state = seed;
    world.file_rate = 1000000;
    world.program_time = PV_MS(100);
    overlay_begin();
}

struct world_node *world_add(const char *name)
{
    if (world.n_nodes == WORLD_MAX)
        return NULL;
    struct world_node *n = &world.n[world.n_nodes++];
    uint8_t seed[PV_SIGN_SEED_LEN] = {(uint8_t)world.n_nodes, 1};
    snprintf(n->handle, sizeof(n->handle), "%s", name);
    snprintf(n->name, sizeof(n->name), "%s", name);
    pv_sign_keypair(seed, n->sk, n->pk);
    n->ip4 = pv_addr4(10, 1, 0, (uint8_t)world.n_nodes, 0);
    n->kind = PV_OVERLAY_MEMBER;
    n->joined_s = wall_us(n) / 1000000;
    n->up = true;
    n->given.store = true;
    n->db = chat_db_open();
    chat_db_sql(n->db, "BEGIN");
    return n;
}

void world_end(void)
{
    for (size_t i = 0; i < world.n_nodes; i++) {
        struct world_node *n = &world.n[i];
        world_kill(n);
        sqlite3_close(n->db);
        sqlite3_close(n->backup);
        forget_text(&n->answer);
        forget_text(&n->heard);
        forget_text(&n->log);
        forget_text(&n->ran);
    }
    overlay_end();
    world.n_nodes = 0;
}
