/* SPDX-License-Identifier: MIT */
/* overlay.c - answers of chat/node.h, streams, notices, copies and files between the machines. */
#include "tests/chat/overlay.h"

#include "chat/proto/chat.h"
#include "chat/proto/file.h"
#include "crypto/hash.h"
#include "proto/control/proof.h"

enum {
    MAX_PIPES = 128,
    MAX_FETCHES = 16,
    MAX_BOXES = 256,
};

#define DELAY       PV_MS(WORLD_DELAY_MS)
#define FILE_PACE   PV_MS(100)
#define FILE_IDLE   PV_S(30)
#define RAW_SID     0xffffffffu /* an end that a scenario types at */
#define FETCH_SID   0xfffffffeu /* the receiver's end of a file */
#define IS_CHAT(id) ((id) != 0 && (id) < FETCH_SID)

struct chunk {
    struct chunk *next;
    pv_ns due;
    size_t len;
    uint8_t bytes[];
};

/* One TCP connection; end 0 opened it. */
struct pipe {
    bool used, open;
    uint16_t port;
    int node[2];
    uint32_t sid[2];                  /* 0: this end is closed */
    bool closing[2];                  /* the other end closed it: told after the bytes */
    struct chunk *first[2], *last[2]; /* owned: towards end i */
    size_t queued[2];
};

enum fetch_state {
    FETCH_NONE,
    FETCH_CONNECTING,
    FETCH_PROVING,
    FETCH_ASKED,
    FETCH_MOVES,
};

/* A file on its way: how the receiver's and the sender's threads do it (chat/io/xfer.c). */
struct fetch {
    enum fetch_state state;
    int to, from;
    unsigned life_to, life_from;
    struct pv_files_op op;
    struct pipe *pipe;
    uint64_t served; /* the sender's tag; 0: it does not send */
    uint64_t at;
    pv_ns due, moved;
    uint8_t got[PV_FILE_CHALLENGE_LEN + PV_FILE_ANSWER_LEN];
    size_t n_got;
};

/* A copy at the coordinator. */
struct box {
    uint64_t number;
    int from, to;
    uint8_t id[PV_CTL_KEY_LEN];
    uint8_t *bytes; /* owned */
    size_t len;
};

enum post_kind {
    POST_KEYED,   /* daemons a and b know each other */
    POST_NOTICE,  /* of b at a */
    POST_KEPT,    /* number: the coordinator's error */
    POST_COLLECT, /* after the number */
    POST_COPIES,
    POST_CONNECT, /* number: the pipe */
    POST_NOTIFIED,
};

struct post {
    struct post *next;
    pv_ns due;
    enum post_kind kind;
    int a, b;
    unsigned life; /* of a */
    uint64_t number;
    size_t len;
    uint8_t bytes[];
};

/* What machine i was told of j. */
struct seen {
    bool there;
    enum pv_overlay_presence presence;
    unsigned known; /* the life of j that i has the key of; 0: none */
    unsigned life;  /* of i, then */
};

static struct {
    struct pipe pipes[MAX_PIPES];
    struct fetch fetches[MAX_FETCHES];
    struct box boxes[MAX_BOXES]; /* in the order of their numbers */
    size_t n_boxes;
    uint64_t last_box;
    struct post *posts; /* owned; by time */
    struct seen seen[WORLD_MAX][WORLD_MAX];
    struct world_text typed_back[WORLD_MAX];
} o;

static void deliver(struct pipe *p, int end);

/* --- who reaches whom ---------------------------------------------------------------------- */

static bool is_online(const struct world_node *n)
{
    return n->chat != NULL && !world.no_coordinator && !n->signed_off &&
           n->kind == PV_OVERLAY_MEMBER;
}

static bool is_there(int i, int j)
{
    const struct world_node *a = &world.n[i], *b = &world.n[j];
    return (a->chat != NULL || a->ghost) && (b->chat != NULL || b->ghost) && a->up && b->up &&
           !world.cut[i][j] && !world.cut[j][i] && a->kind == PV_OVERLAY_MEMBER &&
           b->kind == PV_OVERLAY_MEMBER;
}

static enum pv_overlay_presence presence_of(int i, int j)
{
    if (!is_online(&world.n[i]))
        return PV_OVERLAY_UNKNOWN;
    return is_online(&world.n[j]) ? PV_OVERLAY_ONLINE : PV_OVERLAY_OFFLINE;
}

static bool is_in(const struct world_node *n)
{
    return n->kind == PV_OVERLAY_MEMBER || n->kind == PV_OVERLAY_PHONE;
}

static void post(enum post_kind kind, int a, int b, pv_ns after, uint64_t number,
                 struct pv_view bytes)
{
    struct post *p = calloc(1, sizeof(*p) + bytes.len);
    struct post **at = &o.posts;
    if (p == NULL)
        abort();
    *p = (struct post){.due = world.now + after,
                       .kind = kind,
                       .a = a,
                       .b = b,
                       .life = world.n[a].life,
                       .number = number,
                       .len = bytes.len};
    if (bytes.len > 0)
        memcpy(p->bytes, bytes.ptr, bytes.len);
    while (*at != NULL && (*at)->due <= p->due)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

/* Tells machine i what is new of j. */
static void compare(int i, int j)
{
    struct seen *s = &o.seen[i][j];
    struct world_node *n = &world.n[i];
    const bool there = is_there(i, j);
    const enum pv_overlay_presence presence = presence_of(i, j);
    unsigned news = 0;
    if (s->there != there)
        news |= PV_OVERLAY_NEWS_PATH;
    if (s->presence != presence)
        news |= PV_OVERLAY_NEWS_PRESENCE;
    if (there && (!s->there || s->known != world.n[j].life))
        post(POST_KEYED, i, j, 2 * DELAY, world.n[j].life, pv_view(NULL, 0));
    s->there = there;
    s->presence = presence;
    if (n->chat == NULL || news == 0)
        return;
    (void)world_chat(n);
    n->told.member(n->told.chat, world.n[j].pk, news, world.now);
    world_settle(n);
}

void world_changed(void)
{
    const int n = (int)world.n_nodes;
    for (int i = 0; i < n; i++) {
        struct world_node *w = &world.n[i];
        const bool was = w->own.online;
        if (w->chat != NULL && was != is_online(w))
            world_tell_own(w, was ? PV_OVERLAY_WENT_OFF : PV_OVERLAY_WENT_ON);
    }
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
            if (i != j && is_in(&world.n[j]))
                compare(i, j);
        }
    }
}

void overlay_started(struct world_node *n)
{
    const int i = world_index(n);
    memset(o.seen[i], 0, sizeof(o.seen[i]));
    for (size_t j = 0; j < world.n_nodes; j++) {
        if ((int)j == i)
            continue;
        (void)world_chat(n);
        n->told.member(n->told.chat, world.n[j].pk, PV_OVERLAY_NEWS_MEMBER, world.now);
        world_settle(n);
    }
}

/* --- snapshots ----------------------------------------------------------------------------- */

const struct pv_overlay_own *overlay_own(const void *node)
{
    struct world_node *n = &world.n[world_index(node)];
    static const enum pv_overlay_standing standings[] = {
        [PV_OVERLAY_NONE] = PV_OVERLAY_NO_NETWORK, [PV_OVERLAY_MEMBER] = PV_OVERLAY_IN,
        [PV_OVERLAY_PHONE] = PV_OVERLAY_IN,        [PV_OVERLAY_WAITING] = PV_OVERLAY_ENTERED,
        [PV_OVERLAY_EXPIRED] = PV_OVERLAY_ENTERED, [PV_OVERLAY_LEFT] = PV_OVERLAY_ENTERED,
        [PV_OVERLAY_REMOVED] = PV_OVERLAY_OUT,     [PV_OVERLAY_STATIC] = PV_OVERLAY_IN};
    n->own = (struct pv_overlay_own){.standing = standings[n->kind],
                                     .ip4 = n->ip4,
                                     .up = n->up,
                                     .on_overlay = n->up && n->kind == PV_OVERLAY_MEMBER,
                                     .online = is_online(n),
                                     .rules_known = !n->no_rules};
    memcpy(n->own.key, n->pk, sizeof(n->own.key));
    if (n->own.standing != PV_OVERLAY_NO_NETWORK)
        memset(n->own.network, 7, sizeof(n->own.network));
    memcpy(n->own.name, n->name, sizeof(n->own.name));
    return &n->own;
}

static void fill(int i, int j, struct pv_overlay_member *ret)
{
    const struct world_node *n = &world.n[j];
    *ret = (struct pv_overlay_member){.kind = n->kind, .ip4 = n->ip4, .is_self = i == j};
    memcpy(ret->key, n->pk, sizeof(ret->key));
    memcpy(ret->name, n->name, sizeof(ret->name));
    ret->is_peer = i != j && (n->kind == PV_OVERLAY_MEMBER || n->kind == PV_OVERLAY_PHONE);
    ret->is_there = ret->is_peer && is_there(i, j);
    ret->presence = presence_of(i, j);
    ret->joined = n->joined_s;
    ret->gone = n->gone_s;
    ret->by_invite = true;
    ret->by[0] = (uint8_t)(1 + (n->by == NULL ? j : world_index(n->by)));
}

static int by_name(const char *name, bool in)
{
    for (int j = (int)world.n_nodes; j-- > 0;) {
        const struct world_node *n = &world.n[j];
        if (is_in(n) == in && (strcmp(n->name, name) == 0 || pv_key_is_short(name, n->pk)))
            return j;
    }
    return -1;
}

static int by_former_name(const char *name)
{
    for (int j = 0; j < (int)world.n_nodes; j++) {
        if (strcmp(world.n[j].former_name, name) == 0)
            return j;
    }
    return -1;
}

static int look_up(const struct pv_overlay_query *q)
{
    switch (q->how) {
    case PV_OVERLAY_BY_KEY:
    case PV_OVERLAY_BY_ADDR:
        for (int j = 0; j < (int)world.n_nodes; j++) {
            const struct world_node *n = &world.n[j];
            if (q->how == PV_OVERLAY_BY_KEY ? memcmp(n->pk, q->key, sizeof(n->pk)) == 0
                                            : is_in(n) && pv_addr_equal_ip(&n->ip4, q->addr))
                return j;
        }
        return -1;
    case PV_OVERLAY_BY_NAME:
    case PV_OVERLAY_BY_WORD:
        return by_name(q->word, true);
    case PV_OVERLAY_BY_FORMER:
        return by_name(q->word, false);
    case PV_OVERLAY_BY_LAST:
        return by_name(q->word, true) >= 0    ? -1
               : by_former_name(q->word) >= 0 ? by_former_name(q->word)
                                              : by_name(q->word, false);
    case PV_OVERLAY_BY_RENAMED:
        return by_name(q->word, true) >= 0 ? -1 : by_former_name(q->word);
    }
    return -1;
}

static bool find(const void *node, const struct pv_overlay_query *q,
                 struct pv_overlay_member *ret_member)
{
    const int j = look_up(q);
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_NONE};
    if (j >= 0)
        fill(world_index(node), j, ret_member);
    return j >= 0;
}

static bool next(const void *node, const uint8_t *after, struct pv_overlay_member *ret_member)
{
    int j = after == NULL
                ? 0
                : look_up(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_KEY, .key = after}) + 1;
    while (j < (int)world.n_nodes && !is_in(&world.n[j]))
        j++;
    if (j >= (int)world.n_nodes)
        return false;
    fill(world_index(node), j, ret_member);
    return true;
}

static enum pv_overlay_may may(const void *node, const uint8_t *key,
                               enum pv_overlay_service service, bool to, char *rule)
{
    const int i = world_index(node);
    const int j = look_up(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_KEY, .key = key});
    if (rule != NULL)
        snprintf(rule, PV_OVERLAY_RULE_BUF, "rule 7");
    if (world.n[i].no_rules)
        return PV_OVERLAY_NOT_KNOWN;
    return j < 0 || !is_in(&world.n[j]) || world.denied[i][j][service][to] ? PV_OVERLAY_DENIED
                                                                           : PV_OVERLAY_ALLOWED;
}

static enum pv_overlay_link link_of(const void *node, const uint8_t *key, uint8_t *ret_key)
{
    const int i = world_index(node);
    const int j = look_up(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_KEY, .key = key});
    if (j < 0 || world.n[i].no_proof || world.n[j].no_proof)
        return PV_OVERLAY_LINK_NONE;
    const struct seen *s = &o.seen[i][j];
    if (s->known == 0 || s->life != world.n[i].life)
        return PV_OVERLAY_LINK_UNKNOWN;
    if (ret_key != NULL) {
        uint8_t lives[4] = {(uint8_t)i, (uint8_t)s->life, (uint8_t)j, (uint8_t)s->known};
        if (i > j)
            memcpy(lives, (uint8_t[]){lives[2], lives[3], lives[0], lives[1]}, sizeof(lives));
        pv_blake2b(ret_key, pv_view(lives, sizeof(lives)), pv_view(NULL, 0), pv_view(NULL, 0));
    }
    return PV_OVERLAY_LINK_CONFIRMED;
}

/* --- requests ------------------------------------------------------------------------------ */

static void explain(void *node, const char *what, const char *word, enum pv_overlay_needs needs,
                    uint64_t handle, pv_ns now)
{
    const struct world_node *n = node;
    char text[256];
    const int j = needs == PV_OVERLAY_NEEDS_NETWORK ? -1 : by_name(word, true);
    const bool in = overlay_own(n)->standing == PV_OVERLAY_IN;
    if (in && needs == PV_OVERLAY_NEEDS_NETWORK) {
        n->told.explained(n->told.chat, handle, PV_CTLAPI_DONE, "", now);
        return;
    }
    if (!in)
        snprintf(text, sizeof(text), "%s: this machine is in no network", what);
    else if (j == world_index(n))
        snprintf(text, sizeof(text), "%s: %s is this machine", what, word);
    else if (j >= 0)
        snprintf(text, sizeof(text), "%s: %s is a phone", what, word);
    else
        snprintf(text, sizeof(text), "%s: no peer %s", what, word);
    n->told.explained(n->told.chat, handle, in ? PV_CTLAPI_UNKNOWN_PEER : PV_CTLAPI_NOT_JOINED,
                      text, now);
}

static void want(void *node, const uint8_t *key, const char *why, pv_ns now)
{
    ((struct world_node *)node)->wanted++;
}

static void notice(void *node, const uint8_t *key, struct pv_view body, pv_ns now)
{
    const int i = world_index(node);
    const int j = look_up(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_KEY, .key = key});
    if (j >= 0 && is_there(i, j) && !world.silent[i][j])
        post(POST_NOTICE, j, i, DELAY, 0, body);
}

static int sign(const void *node, enum pv_appsigner_domain domain, struct pv_view head,
                struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    const struct pv_appsigner signer = pv_appsigner_of(((const struct world_node *)node)->sk);
    return signer.sign(signer.keeper, domain, head, body, ret_sig);
}

static void keep(void *node, const uint8_t *key, const uint8_t *id, struct pv_view content,
                 pv_ns now)
{
    const int i = world_index(node);
    const int j = look_up(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_KEY, .key = key});
    enum pv_ctl_error error = world.refuses;
    struct box *b = o.boxes;
    if (!is_online(node))
        return;
    if (j < 0 || !is_in(&world.n[j]))
        error = PV_CTL_E_UNKNOWN_NODE;
    while (b < o.boxes + o.n_boxes && (b->from != i || memcmp(b->id, id, sizeof(b->id)) != 0))
        b++;
    if (error == PV_CTL_E_NONE && b == o.boxes + o.n_boxes) {
        if (o.n_boxes == MAX_BOXES)
            abort();
        *b = (struct box){.number = ++o.last_box, .from = i, .to = j, .len = content.len};
        memcpy(b->id, id, sizeof(b->id));
        b->bytes = malloc(content.len);
        if (b->bytes == NULL)
            abort();
        memcpy(b->bytes, content.ptr, content.len);
        o.n_boxes++;
        post(POST_COPIES, j, i, DELAY, 0, pv_view(NULL, 0));
    }
    post(POST_KEPT, i, i, 2 * DELAY, (uint64_t)error, pv_view(NULL, 0));
}

static void remove_box(size_t k)
{
    free(o.boxes[k].bytes);
    o.n_boxes--;
    memmove(&o.boxes[k], &o.boxes[k + 1], (o.n_boxes - k) * sizeof(o.boxes[0]));
}

void world_forget_copies(void)
{
    while (o.n_boxes > 0)
        remove_box(0);
}

unsigned world_copies(const struct world_node *for_whom)
{
    unsigned n = 0;
    for (size_t k = 0; k < o.n_boxes; k++)
        n += o.boxes[k].to == world_index(for_whom);
    return n;
}

static void collect(void *node, uint64_t after, uint64_t taken, pv_ns now)
{
    if (!is_online(node))
        return;
    for (size_t k = 0; taken != 0 && k < o.n_boxes; k++) {
        if (o.boxes[k].number == taken && o.boxes[k].to == world_index(node)) {
            remove_box(k);
            break;
        }
    }
    post(POST_COLLECT, world_index(node), 0, 2 * DELAY, after, pv_view(NULL, 0));
}

static void collected(struct world_node *n, uint64_t after)
{
    struct pv_overlay_copy copy = {.error = world.refuses};
    for (size_t k = 0; copy.error == PV_CTL_E_NONE && k < o.n_boxes; k++) {
        const struct box *b = &o.boxes[k];
        if (b->to != world_index(n) || b->number <= after)
            continue;
        copy.number = b->number;
        copy.from = world.n[b->from].pk;
        copy.content = pv_view(b->bytes, b->len);
        break;
    }
    n->told.collected(n->told.chat, &copy, world.now);
}

static int connect_to(void *node, uint32_t stream, const struct pv_addr *to, pv_ns now)
{
    const int j = look_up(&(struct pv_overlay_query){.how = PV_OVERLAY_BY_ADDR, .addr = to});
    struct pipe *p = o.pipes;
    if (j < 0 || j == world_index(node))
        return PV_ERR_NOT_FOUND;
    while (p < o.pipes + MAX_PIPES && p->used)
        p++;
    if (p == o.pipes + MAX_PIPES)
        return PV_ERR_NOMEM;
    *p = (struct pipe){
        .used = true, .port = to->port, .node = {world_index(node), j}, .sid = {stream}};
    ((struct world_node *)node)->opened++;
    post(POST_CONNECT, p->node[0], j, 2 * DELAY, (uint64_t)(p - o.pipes), pv_view(NULL, 0));
    return PV_OK;
}

static bool notify(void *node, const struct pv_overlay_notification *of, uint64_t tag, pv_ns now)
{
    struct world_node *n = node;
    char line[PV_CHAT_TEXT_MAX + 256];
    int len = snprintf(line, sizeof(line), "%s to %s in %s: %s\n", of->from, of->to,
                       of->room[0] == '\0' ? "none" : of->room, of->text);
    world_text_add(&n->ran, line, (size_t)len);
    post(POST_NOTIFIED, world_index(n), 0, world.program_time, tag, pv_view(NULL, 0));
    return true;
}

struct pv_overlay overlay_of(struct world_node *n)
{
    return (struct pv_overlay){.node = n,
                               .own = overlay_own,
                               .find = find,
                               .next = next,
                               .may = may,
                               .link = link_of,
                               .explain = explain,
                               .want = want,
                               .notice = notice,
                               .sign = sign,
                               .keep = keep,
                               .collect = collect,
                               .connect = connect_to,
                               .notify = notify};
}

/* --- streams ------------------------------------------------------------------------------- */

static void clear(struct pipe *p, int end)
{
    while (p->first[end] != NULL) {
        struct chunk *c = p->first[end];
        p->first[end] = c->next;
        free(c);
    }
    p->last[end] = NULL;
    p->queued[end] = 0;
}

static void free_pipe(struct pipe *p)
{
    clear(p, 0);
    clear(p, 1);
    p->used = false;
}

static struct pipe *find_pipe(int i, uint32_t sid, int *ret_end)
{
    for (struct pipe *p = o.pipes; p < o.pipes + MAX_PIPES; p++) {
        for (int end = 0; end < 2; end++) {
            if (p->used && p->node[end] == i && p->sid[end] == sid) {
                *ret_end = end;
                return p;
            }
        }
    }
    return NULL;
}

static void push(struct pipe *p, int end, const void *bytes, size_t len)
{
    struct chunk *c = malloc(sizeof(*c) + len);
    if (c == NULL)
        abort();
    *c = (struct chunk){.due = world.now + DELAY, .len = len};
    memcpy(c->bytes, bytes, len);
    if (p->last[end] == NULL)
        p->first[end] = c;
    else
        p->last[end]->next = c;
    p->last[end] = c;
    p->queued[end] += len;
}

static void write_some(struct world_node *n, uint32_t sid, size_t window)
{
    int end;
    struct pipe *p = find_pipe(world_index(n), sid, &end);
    while (p != NULL && p->open) {
        const struct pv_view out = pv_chat_stream_out(n->chat, sid);
        size_t len = p->queued[1 - end] < window ? window - p->queued[1 - end] : 0;
        len = len < out.len ? len : out.len;
        if (len == 0)
            return;
        if (test_rng_next(&world.rng) % 2 == 0)
            len = 1 + test_rng_next(&world.rng) % len;
        push(p, 1 - end, out.ptr, len);
        pv_chat_stream_wrote(n->chat, sid, len, world.now);
    }
}

void overlay_write(struct world_node *n, uint32_t sid)
{
    write_some(n, sid, WORLD_WINDOW);
}

void overlay_close(struct world_node *n, uint32_t sid)
{
    int end;
    struct pipe *p = find_pipe(world_index(n), sid, &end);
    if (p == NULL)
        return;
    write_some(n, sid, SIZE_MAX);
    p->sid[end] = 0;
    p->closing[1 - end] = true;
    clear(p, end);
    if (!p->open || p->sid[1 - end] == 0)
        free_pipe(p);
}

static void end_fetch(struct fetch *f, enum pv_file_why to, enum pv_file_why from);

static struct fetch *fetch_of(const struct pipe *p)
{
    for (struct fetch *f = o.fetches; f < o.fetches + MAX_FETCHES; f++) {
        if (f->state != FETCH_NONE && f->pipe == p)
            return f;
    }
    return NULL;
}

/* This end hears that the other one closed it. */
static void end_pipe(struct pipe *p, int end)
{
    const uint32_t sid = p->sid[end];
    struct world_node *n = &world.n[p->node[end]];
    struct fetch *f = fetch_of(p);
    free_pipe(p);
    if (f != NULL) {
        f->pipe = NULL;
        end_fetch(f, PV_FILE_WHY_LOST, PV_FILE_WHY_LOST);
    }
    if (IS_CHAT(sid) && n->chat != NULL) {
        pv_chat_stream_closed(world_chat(n), sid, world.now);
        world_settle(n);
    }
}

/* Both ends lose it, with all that is under way. */
static void break_pipe(struct pipe *p)
{
    const struct pipe was = *p;
    end_pipe(p, 0);
    struct world_node *n = &world.n[was.node[1]];
    if (IS_CHAT(was.sid[1]) && n->chat != NULL) {
        pv_chat_stream_closed(world_chat(n), was.sid[1], world.now);
        world_settle(n);
    }
}

void world_cut_streams(const struct world_node *a, const struct world_node *b)
{
    const int i = world_index(a);
    for (struct pipe *p = o.pipes; p < o.pipes + MAX_PIPES; p++) {
        if (p->used && p->open && (p->node[0] == i || p->node[1] == i) &&
            (b == NULL || p->node[0] == world_index(b) || p->node[1] == world_index(b)))
            break_pipe(p);
    }
}

unsigned world_streams(const struct world_node *a, const struct world_node *b)
{
    const int i = world_index(a), j = world_index(b);
    unsigned n = 0;
    for (const struct pipe *p = o.pipes; p < o.pipes + MAX_PIPES; p++)
        n += p->used && p->open && p->sid[0] != 0 && p->sid[1] != 0 &&
             ((p->node[0] == i && p->node[1] == j) || (p->node[0] == j && p->node[1] == i));
    return n;
}

static bool is_blocked(int i, int j)
{
    return !is_there(i, j) || world.silent[i][j];
}

static bool can_deliver(const struct pipe *p, int end)
{
    const struct world_node *to = &world.n[p->node[end]];
    if (!p->used || !p->open || (p->first[end] == NULL && !p->closing[end]))
        return false;
    if (p->sid[end] == 0)
        return true;
    return (to->chat != NULL || !IS_CHAT(p->sid[end])) &&
           !is_blocked(p->node[1 - end], p->node[end]);
}

static void connect_pipe(struct pipe *p)
{
    struct world_node *from = &world.n[p->node[0]], *to = &world.n[p->node[1]];
    const struct pv_addr remote = from->ip4;
    struct world_text *back = &o.typed_back[p->node[1]];
    if (to->deaf || (to->chat == NULL && !to->ghost) || is_blocked(p->node[0], p->node[1]) ||
        is_blocked(p->node[1], p->node[0]))
        return; /* nobody answers */
    int r = PV_OK;
    p->open = true;
    p->sid[1] = RAW_SID;
    if (to->ghost) {
        free(back->text);
        *back = (struct world_text){NULL, 0};
    } else {
        (void)world_chat(to);
        r = to->told.accepted(to->told.chat, p->port, &remote, -1, &p->sid[1], world.now);
    }
    if (p->sid[0] != RAW_SID) {
        from->told.connected(from->told.chat, p->sid[0], PV_OK, -1, world.now);
        world_settle(from);
    }
    if (p->used && r < 0) {
        p->sid[1] = 0;
        end_pipe(p, 0);
    }
    world_settle(to);
}

static void take_fetched(struct pipe *p, const struct chunk *c);

static void deliver(struct pipe *p, int end)
{
    struct world_node *n = &world.n[p->node[end]], *other = &world.n[p->node[1 - end]];
    struct chunk *c = p->first[end];
    if (c == NULL) {
        if (p->sid[end] == 0)
            free_pipe(p);
        else
            end_pipe(p, end);
        return;
    }
    p->first[end] = c->next;
    p->last[end] = c->next == NULL ? NULL : p->last[end];
    p->queued[end] -= c->len;
    const uint32_t from = p->sid[1 - end];
    if (p->sid[end] == RAW_SID) {
        world_text_add(&o.typed_back[p->node[end]], (const char *)c->bytes, c->len);
    } else if (p->sid[end] == FETCH_SID) {
        take_fetched(p, c);
    } else if (p->sid[end] != 0) {
        pv_chat_stream_bytes(world_chat(n), p->sid[end], pv_view(c->bytes, c->len), world.now);
        world_settle(n);
    }
    free(c);
    if (IS_CHAT(from) && other->chat != NULL)
        overlay_write(other, from);
}

/* --- somebody on a machine ----------------------------------------------------------------- */

void world_dial(struct world_node *from, struct world_node *to, uint16_t port)
{
    struct pv_addr addr = to->ip4;
    addr.port = port;
    (void)connect_to(from, RAW_SID, &addr, world.now);
    free(o.typed_back[world_index(from)].text);
    o.typed_back[world_index(from)] = (struct world_text){NULL, 0};
}

void world_type(struct world_node *from, const char *bytes, size_t len)
{
    int end;
    struct pipe *p = find_pipe(world_index(from), RAW_SID, &end);
    if (p != NULL)
        push(p, 1 - end, bytes, len);
}

const char *world_typed_back(struct world_node *from)
{
    int end;
    if (find_pipe(world_index(from), RAW_SID, &end) == NULL)
        return NULL;
    return world_text(&o.typed_back[world_index(from)]);
}

void world_hang_up(struct world_node *from)
{
    int end;
    struct pipe *p = find_pipe(world_index(from), RAW_SID, &end);
    if (p == NULL)
        return;
    p->sid[end] = 0;
    p->closing[1 - end] = true;
}

/* --- files --------------------------------------------------------------------------------- */

static struct world_part *part_of(struct world_node *n, const uint8_t *id)
{
    for (size_t k = 0; k < n->n_parts; k++) {
        if (memcmp(n->parts[k].id, id, PV_FILE_ID_LEN) == 0)
            return &n->parts[k];
    }
    struct world_part *p = &n->parts[n->n_parts++ % PV_ARRAY_LEN(n->parts)];
    n->n_parts = n->n_parts > PV_ARRAY_LEN(n->parts) ? PV_ARRAY_LEN(n->parts) : n->n_parts;
    *p = (struct world_part){.have = 0};
    memcpy(p->id, id, PV_FILE_ID_LEN);
    return p;
}

static void report(struct world_node *n, unsigned life, const struct pv_files_report *r)
{
    if (n->chat == NULL || n->life != life || r->tag == 0)
        return;
    pv_files_part_report(world_chat(n), r, world.now);
    world_settle(n);
}

static void end_fetch(struct fetch *f, enum pv_file_why to, enum pv_file_why from)
{
    const struct fetch was = *f;
    struct world_node *receiver = &world.n[was.to];
    struct world_part *part = part_of(receiver, was.op.op.id);
    f->state = FETCH_NONE;
    if (was.state == FETCH_NONE)
        return;
    if (was.pipe != NULL && was.pipe->used)
        break_pipe(was.pipe);
    if (to == PV_FILE_WHY_CORRUPT)
        part->have = 0;
    report(receiver, was.life_to,
           &(struct pv_files_report){
               .news = PV_FILES_DONE, .tag = was.op.op.tag, .why = to, .done = part->have});
    report(&world.n[was.from], was.life_from,
           &(struct pv_files_report){
               .news = PV_FILES_DONE, .tag = was.served, .why = from, .done = was.at});
}

static void ask_for_file(const struct fetch *f)
{
    uint8_t get[PV_FILE_GET_LEN];
    pv_file_get_build(f->op.op.id, part_of(&world.n[f->to], f->op.op.id)->have, get);
    push(f->pipe, 1, get, sizeof(get));
}

static void connect_fetch(struct fetch *f)
{
    struct world_node *from = &world.n[f->from];
    struct pipe *p = o.pipes;
    while (p < o.pipes + MAX_PIPES && p->used)
        p++;
    if (p == o.pipes + MAX_PIPES)
        abort();
    if (is_blocked(f->to, f->from) || from->deaf) {
        end_fetch(f, PV_FILE_WHY_LOST, PV_FILE_WHY_LOST);
        return;
    }
    *p = (struct pipe){.used = true, .open = true, .node = {f->to, f->from}, .sid = {FETCH_SID}};
    f->pipe = p;
    f->life_from = from->life;
    (void)world_chat(from);
    if (from->told.accepted(from->told.chat, PV_FILE_PORT, &world.n[f->to].ip4, -1, &p->sid[1],
                            world.now) < 0) {
        p->sid[1] = 0;
        end_fetch(f, PV_FILE_WHY_LOST, PV_FILE_WHY_LOST);
        return;
    }
    f->state = f->op.proof.wanted ? FETCH_PROVING : FETCH_ASKED;
    f->due = PV_NEVER;
    uint8_t hello[PV_FILE_HELLO_LEN];
    pv_file_hello_build(f->op.proof.nonce, hello);
    if (f->op.proof.wanted)
        push(p, 1, hello, sizeof(hello));
    else
        ask_for_file(f);
}

static void prove(struct fetch *f)
{
    uint8_t mac[PV_PROOF_MAC_LEN];
    const struct pv_files_proof *of = &f->op.proof;
    const struct pv_proof proof = {.key = of->key,
                                   .opener = of->opener,
                                   .acceptor = of->acceptor,
                                   .opener_nonce = of->nonce,
                                   .acceptor_nonce = f->got};
    if (!pv_proof_is_right(&proof, PV_PROOF_FILE_ACCEPTED, f->got + PV_PROOF_NONCE_LEN)) {
        end_fetch(f, PV_FILE_WHY_LOST, PV_FILE_WHY_LOST);
        return;
    }
    pv_proof_mac(&proof, PV_PROOF_FILE_OPENED, mac);
    push(f->pipe, 1, mac, sizeof(mac));
    f->state = FETCH_ASKED;
    ask_for_file(f);
}

static void take_fetched(struct pipe *p, const struct chunk *c)
{
    struct fetch *f = fetch_of(p);
    if (f == NULL || f->n_got + c->len > sizeof(f->got))
        return;
    memcpy(f->got + f->n_got, c->bytes, c->len);
    f->n_got += c->len;
    if (f->state == FETCH_PROVING && f->n_got >= PV_FILE_CHALLENGE_LEN)
        prove(f);
}

static void move_file(struct fetch *f)
{
    struct world_node *to = &world.n[f->to], *from = &world.n[f->from];
    struct world_part *part = part_of(to, f->op.op.id);
    f->due = world.now + FILE_PACE;
    if (to->chat == NULL || to->life != f->life_to || from->chat == NULL ||
        from->life != f->life_from || world.now - f->moved > FILE_IDLE) {
        end_fetch(f, PV_FILE_WHY_LOST, PV_FILE_WHY_LOST);
        return;
    }
    if (is_blocked(f->to, f->from) || is_blocked(f->from, f->to))
        return;
    if (to->disk == WORLD_DISK_FULL) {
        end_fetch(f, PV_FILE_WHY_DISK_FULL, PV_FILE_WHY_DISK_FULL);
        return;
    }
    f->moved = world.now;
    f->at += world.file_rate / 10;
    f->at = f->at < f->op.op.size ? f->at : f->op.op.size;
    part->have = f->at;
    if (f->at == f->op.op.size) {
        const enum pv_file_why why = world.spoils ? PV_FILE_WHY_CORRUPT : PV_FILE_WHY_NONE;
        end_fetch(f, why, why);
        return;
    }
    const struct fetch was = *f;
    report(
        to, was.life_to,
        &(struct pv_files_report){.news = PV_FILES_PROGRESS, .tag = was.op.op.tag, .done = was.at});
    report(from, was.life_from,
           &(struct pv_files_report){.news = PV_FILES_PROGRESS, .tag = was.served, .done = was.at});
}

static void begin_fetch(struct world_node *n, const struct pv_files_op *op)
{
    struct fetch *f = o.fetches;
    while (f < o.fetches + MAX_FETCHES && f->state != FETCH_NONE)
        f++;
    if (f == o.fetches + MAX_FETCHES)
        abort();
    const struct pv_overlay_query q = {.how = PV_OVERLAY_BY_ADDR, .addr = &op->op.addr};
    *f = (struct fetch){.state = FETCH_CONNECTING,
                        .to = world_index(n),
                        .from = look_up(&q),
                        .life_to = n->life,
                        .op = *op,
                        .due = world.now + 2 * DELAY,
                        .moved = world.now};
    if (f->from < 0)
        abort();
}

static void serve_file(struct world_node *n, const struct pv_fileop *op)
{
    int end;
    struct pipe *p = find_pipe(world_index(n), op->sid, &end);
    struct fetch *f = p == NULL ? NULL : fetch_of(p);
    if (f == NULL) {
        report(n, n->life,
               &(struct pv_files_report){
                   .news = PV_FILES_DONE, .tag = op->tag, .why = PV_FILE_WHY_LOST});
        return;
    }
    p->sid[end] = 0; /* the threads have it now */
    f->served = op->tag;
    f->at = op->offset;
    f->state = FETCH_MOVES;
    f->due = world.now + FILE_PACE;
    f->moved = world.now;
}

static void cancel(const struct world_node *n, uint64_t tag)
{
    for (struct fetch *f = o.fetches; f < o.fetches + MAX_FETCHES; f++) {
        if (f->state != FETCH_NONE && ((f->to == world_index(n) && f->op.op.tag == tag) ||
                                       (f->from == world_index(n) && f->served == tag)))
            end_fetch(f, PV_FILE_WHY_STOPPED, PV_FILE_WHY_STOPPED);
    }
}

void overlay_file(struct world_node *n, const struct pv_files_op *given)
{
    const struct pv_files_op op = *given;
    int end;
    struct pipe *p = find_pipe(world_index(n), op.op.sid, &end);
    struct fetch *f = p == NULL || op.op.sid == 0 ? NULL : fetch_of(p);
    switch (op.op.type) {
    case PV_FILEOP_FETCH:
        begin_fetch(n, &op);
        break;
    case PV_FILEOP_SERVE:
        serve_file(n, &op.op);
        break;
    case PV_FILEOP_ANSWER:
        if (f != NULL)
            end_fetch(f, op.op.why, op.op.why);
        break;
    case PV_FILEOP_CLOSE:
        overlay_close(n, op.op.sid);
        break;
    case PV_FILEOP_CANCEL:
        cancel(n, op.op.tag);
        break;
    case PV_FILEOP_RELEASE:
        n->released++;
        break;
    case PV_FILEOP_DROP:
        part_of(n, op.op.id)->have = 0;
        break;
    case PV_FILEOP_PASS:
        n->passed++;
        break;
    }
}

/* --- time ---------------------------------------------------------------------------------- */

pv_ns overlay_next(void)
{
    pv_ns due = o.posts == NULL ? PV_NEVER : o.posts->due;
    for (const struct pipe *p = o.pipes; p < o.pipes + MAX_PIPES; p++) {
        for (int end = 0; end < 2; end++) {
            if (can_deliver(p, end))
                due = pv_min_ns(due, p->first[end] == NULL ? world.now : p->first[end]->due);
        }
    }
    for (const struct fetch *f = o.fetches; f < o.fetches + MAX_FETCHES; f++) {
        if (f->state != FETCH_NONE)
            due = pv_min_ns(due, f->due);
    }
    return due;
}

static void carry_out(const struct post *p)
{
    struct world_node *n = &world.n[p->a];
    struct seen *s = &o.seen[p->a][p->b];
    if ((n->chat == NULL && !n->ghost) || n->life != p->life)
        return;
    if (n->chat != NULL)
        (void)world_chat(n);
    else if (p->kind != POST_CONNECT)
        return;
    switch (p->kind) {
    case POST_KEYED:
        if (!is_there(p->a, p->b))
            break;
        s->known = (unsigned)p->number;
        s->life = n->life;
        n->told.member(n->told.chat, world.n[p->b].pk, PV_OVERLAY_NEWS_LINK, world.now);
        break;
    case POST_NOTICE:
        n->told.notice(n->told.chat, world.n[p->b].pk, pv_view(p->bytes, p->len), world.now);
        break;
    case POST_KEPT:
        if (is_online(n))
            n->told.kept(n->told.chat, PV_OK, (enum pv_ctl_error)p->number, world.now);
        break;
    case POST_COLLECT:
        if (is_online(n))
            collected(n, p->number);
        break;
    case POST_COPIES:
        if (is_online(n))
            n->told.copies(n->told.chat, world.now);
        break;
    case POST_CONNECT:
        if (o.pipes[p->number].used && !o.pipes[p->number].open)
            connect_pipe(&o.pipes[p->number]);
        break;
    case POST_NOTIFIED:
        n->told.notified(n->told.chat, p->number, world.program_fails ? PV_ERR_NOT_FOUND : PV_OK,
                         world.program_fails ? "no such program" : "", world.now);
        break;
    }
    world_settle(n);
}

void overlay_turn(void)
{
    while (o.posts != NULL && o.posts->due <= world.now) {
        struct post *p = o.posts;
        o.posts = p->next;
        carry_out(p);
        free(p);
    }
    for (struct pipe *p = o.pipes; p < o.pipes + MAX_PIPES; p++) {
        for (int end = 0; end < 2; end++) {
            while (can_deliver(p, end) &&
                   (p->first[end] == NULL || p->first[end]->due <= world.now))
                deliver(p, end);
        }
    }
    for (struct fetch *f = o.fetches; f < o.fetches + MAX_FETCHES; f++) {
        if (f->state == FETCH_NONE || f->due > world.now)
            continue;
        if (f->state == FETCH_CONNECTING)
            connect_fetch(f);
        else
            move_file(f);
    }
}

void overlay_killed(struct world_node *n)
{
    const int i = world_index(n);
    memset(o.seen[i], 0, sizeof(o.seen[i]));
    for (struct pipe *p = o.pipes; p < o.pipes + MAX_PIPES; p++) {
        if (p->used && (p->node[0] == i || p->node[1] == i))
            break_pipe(p);
    }
    for (struct fetch *f = o.fetches; f < o.fetches + MAX_FETCHES; f++) {
        if (f->to == i || f->from == i)
            end_fetch(f, PV_FILE_WHY_LOST, PV_FILE_WHY_LOST);
    }
}

void overlay_begin(void)
{
    memset(&o, 0, sizeof(o));
}

void overlay_end(void)
{
    for (struct pipe *p = o.pipes; p < o.pipes + MAX_PIPES; p++)
        free_pipe(p);
    while (o.posts != NULL) {
        struct post *p = o.posts;
        o.posts = p->next;
        free(p);
    }
    world_forget_copies();
    for (int i = 0; i < WORLD_MAX; i++)
        free(o.typed_back[i].text);
}
