/* SPDX-License-Identifier: MIT */
/*
 * fuzz_nodelink.c - either end of the socket between chat and the node, against a program that
 * sends anything. The first byte says which end; records follow: a byte of how many bytes come,
 * with bit 7 a descriptor; 0x7f: chat asks something.
 */
#include "chat/nodecall.h"
#include "chat/nodeserve.h"
#include "tests/fuzz/fuzz_util.h"

static struct pv_view input;
static int open_fds;
static struct pv_nodecall *call;
static struct pv_nodeserve *serve;

static void shut(void *owner, int fd)
{
    must(--open_fds >= 0);
}

/* --- a node that has one member ------------------------------------------------------------ */

static const struct pv_overlay_own *own(const void *node)
{
    static const struct pv_overlay_own it = {.standing = PV_OVERLAY_IN, .name = "me"};
    return &it;
}

static bool find(const void *node, const struct pv_overlay_query *q,
                 struct pv_overlay_member *ret_member)
{
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_MEMBER, .name = "pi"};
    return q->how != PV_OVERLAY_BY_FORMER;
}

static bool next(const void *node, const uint8_t *after, struct pv_overlay_member *ret_member)
{
    *ret_member = (struct pv_overlay_member){.kind = PV_OVERLAY_MEMBER, .name = "pi"};
    return after == NULL;
}

static enum pv_overlay_may may(const void *node, const uint8_t *key,
                               enum pv_overlay_service service, bool to, char *rule)
{
    must(service <= PV_OVERLAY_FILES);
    rule[0] = '\0';
    return PV_OVERLAY_ALLOWED;
}

static enum pv_overlay_link link(const void *node, const uint8_t *key, uint8_t *ret_key)
{
    memset(ret_key, 1, PV_PROOF_KEY_LEN);
    return PV_OVERLAY_LINK_HEARD;
}

static void explain(void *node, const char *what, const char *word, enum pv_overlay_needs needs,
                    uint64_t handle, pv_ns now)
{
    must(strlen(what) < PV_CTLAPI_PEER_BUF && strlen(word) < PV_CTLAPI_PEER_BUF);
    struct pv_overlay_told told = pv_nodeserve_told(serve);
    told.explained(told.chat, handle, PV_CTLAPI_FAILED, "no", now);
}

static void want(void *node, const uint8_t *key, const char *why, pv_ns now)
{
}

static void notice(void *node, const uint8_t *key, struct pv_view body, pv_ns now)
{
    must(body.len <= 1200);
}

static int sign(const void *node, enum pv_appsigner_domain domain, struct pv_view head,
                struct pv_view body, uint8_t ret_sig[static PV_SIGN_LEN])
{
    must(domain == PV_APPSIGNER_PARCEL || domain == PV_APPSIGNER_ROOM);
    memset(ret_sig, 0, PV_SIGN_LEN);
    return PV_OK;
}

static void keep(void *node, const uint8_t *key, const uint8_t *id, struct pv_view content,
                 pv_ns now)
{
    must(content.len <= 16481);
}

static void collect(void *node, uint64_t after, uint64_t taken, pv_ns now)
{
}

static int connect(void *node, uint32_t stream, const struct pv_addr *to, pv_ns now)
{
    must(to->port == 2047 || to->port == 2048);
    struct pv_overlay_told told = pv_nodeserve_told(serve);
    open_fds++;
    told.connected(told.chat, stream, PV_OK, 7, now);
    return PV_OK;
}

static bool notify(void *node, const struct pv_overlay_notification *of, uint64_t tag, pv_ns now)
{
    must(strlen(of->text) <= PV_TEXT_MAX);
    return false;
}

static void tell(void *node, const struct pv_overlay_event *e, pv_ns now)
{
    must(strlen(e->kind) < PV_OVERLAY_EVENT_BUF && strlen(e->body) <= PV_OVERLAY_BODY_MAX);
}

static void report(void *node, uint64_t tag, const struct pv_overlay_page *page, pv_ns now)
{
    must(page->n <= PV_OVERLAY_LINES);
    for (size_t i = 0; i < page->n; i++)
        must(page->lines[i].kind <= PV_OVERLAY_LINE_DROP &&
             strlen(page->lines[i].text) < PV_OVERLAY_LINE_BUF);
}

/* --- chat ---------------------------------------------------------------------------------- */

static void told_own(void *chat, unsigned facts, pv_ns now)
{
}

static void told_member(void *chat, const uint8_t *key, unsigned news, pv_ns now)
{
}

static void told_gone(void *chat, const uint8_t *key, pv_ns now)
{
}

static void told_notice(void *chat, const uint8_t *key, struct pv_view body, pv_ns now)
{
}

static void told_explained(void *chat, uint64_t handle, enum pv_ctlapi_code code, const char *text,
                           pv_ns now)
{
    must(strlen(text) < PV_CTLAPI_ERROR_BUF);
}

static void told_kept(void *chat, int status, enum pv_ctl_error error, pv_ns now)
{
    must(status <= 0);
}

static void told_collected(void *chat, const struct pv_overlay_copy *copy, pv_ns now)
{
    must((copy->number == 0) == (copy->from == NULL));
}

static void told_copies(void *chat, pv_ns now)
{
}

static void told_connected(void *chat, uint32_t stream, int status, int socket, pv_ns now)
{
    must((status == PV_OK) == (socket >= 0));
    if (socket >= 0)
        shut(NULL, socket);
}

static int told_accepted(void *chat, uint16_t port, const struct pv_addr *remote, int socket,
                         uint32_t *ret_stream, pv_ns now)
{
    must(socket >= 0);
    return PV_ERR_REFUSED; /* then it is closed */
}

static void told_notified(void *chat, uint64_t tag, int status, const char *why, pv_ns now)
{
}

static void told_asked(void *chat, uint64_t tag, pv_ns now)
{
}

/* --- the other program --------------------------------------------------------------------- */

static void write_all(struct pv_nodepipe *pipe)
{
    int fd;
    while (pipe != NULL) {
        struct pv_view v = pv_nodepipe_out(pipe, &fd);
        if (v.len == 0)
            return;
        pv_nodepipe_wrote(pipe, v.len);
    }
}

/* The next record's bytes for the pipe; false: there are none. */
static bool feed(struct pv_nodepipe *pipe)
{
    if (input.len == 0 || pipe == NULL)
        return false;
    uint8_t n = fuzz_next(&input);
    int fd = -1;
    if ((n & 0x80) != 0) {
        fd = 7;
        open_fds++;
    }
    return pv_nodepipe_came(pipe, fuzz_take(&input, n & 0x7f), fd) == PV_OK;
}

static int wait(void *owner)
{
    write_all(pv_nodecall_pipe(call));
    return feed(pv_nodecall_pipe(call)) ? PV_OK : PV_ERR_CLOSED;
}

static pv_ns now_of(void *owner)
{
    return PV_S(1);
}

static void ask(void)
{
    struct pv_overlay o = pv_nodecall_overlay(call);
    struct pv_overlay_member m;
    uint8_t key[PV_SIGN_PK_LEN] = {fuzz_next(&input)}, out[PV_SIGN_LEN];
    char word[8] = {(char)('a' + (fuzz_next(&input) & 15))};
    const struct pv_overlay_query q = {.how = PV_OVERLAY_BY_WORD, .word = word};
    switch (fuzz_next(&input) & 7) {
    case 0:
        if (!o.find(o.node, &q, &m))
            must(m.kind == PV_OVERLAY_NONE);
        break;
    case 1:
        (void)o.next(o.node, NULL, &m);
        break;
    case 2:
        (void)o.may(o.node, key, PV_OVERLAY_CHAT, true, NULL);
        break;
    case 3:
        (void)o.link(o.node, key, out);
        break;
    case 4:
        (void)o.sign(o.node, PV_APPSIGNER_ROOM, pv_view(key, 4), pv_view(key, 4), out);
        break;
    case 5:
        o.explain(o.node, "send", "pi", PV_OVERLAY_NEEDS_NODE, 1, 0);
        break;
    default:
        pv_nodecall_down(call, 0);
        pv_nodecall_up(call);
    }
}

static void attack_chat(uint8_t seed)
{
    uint8_t byte = seed;
    const struct pv_nodecall_config cfg = {.rng = {.fill = fuzz_fill_same, .ctx = &byte},
                                           .told = {.own = told_own,
                                                    .member = told_member,
                                                    .gone = told_gone,
                                                    .notice = told_notice,
                                                    .explained = told_explained,
                                                    .kept = told_kept,
                                                    .collected = told_collected,
                                                    .copies = told_copies,
                                                    .connected = told_connected,
                                                    .accepted = told_accepted,
                                                    .notified = told_notified,
                                                    .asked = told_asked},
                                           .away = "away",
                                           .wait = wait,
                                           .now = now_of,
                                           .shutter = shut};
    must(pv_nodecall_new(&call, &cfg) == PV_OK);
    pv_nodecall_up(call);
    while (input.len > 0 && pv_nodecall_pipe(call) != NULL) {
        if (input.ptr[0] == 0x7f) {
            (void)fuzz_next(&input);
            ask();
        } else {
            (void)feed(pv_nodecall_pipe(call));
        }
        pv_nodecall_run(call, 0);
        write_all(pv_nodecall_pipe(call));
    }
    call = pv_nodecall_free(call);
}

static void attack_node(void)
{
    const struct pv_nodeserve_config cfg = {.overlay = {.own = own,
                                                        .find = find,
                                                        .next = next,
                                                        .may = may,
                                                        .link = link,
                                                        .explain = explain,
                                                        .want = want,
                                                        .notice = notice,
                                                        .sign = sign,
                                                        .keep = keep,
                                                        .collect = collect,
                                                        .connect = connect,
                                                        .notify = notify,
                                                        .tell = tell,
                                                        .report = report},
                                            .ports = {2047, 2048},
                                            .shutter = shut};
    must(pv_nodeserve_new(&serve, &cfg) == PV_OK);
    pv_nodeserve_up(serve);
    while (feed(pv_nodeserve_pipe(serve))) {
        pv_nodeserve_run(serve, 0);
        write_all(pv_nodeserve_pipe(serve));
    }
    serve = pv_nodeserve_free(serve);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    input = pv_view(data, len);
    open_fds = 0;
    uint8_t which = fuzz_next(&input);
    if ((which & 1) != 0)
        attack_chat(which);
    else
        attack_node();
    must(open_fds == 0);
    return 0;
}
