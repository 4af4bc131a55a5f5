/* SPDX-License-Identifier: MIT */
/* p2pvpnctl reads from a control socket, whoever answers there, the same replies whether they
 * come at once or in pieces. The first byte says how long a piece is. */
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/lib/client.h"
#include "tests/fuzz/fuzz_util.h"

struct seen {
    size_t n;
    uint64_t ids; /* of all, mixed */
    int end;
};

/* Takes all replies that are there. */
static void take(struct pv_client *c, struct seen *s)
{
    struct pv_ctlapi_reply reply;
    while (s->end == PV_OK || s->end == PV_ERR_TIMEOUT) {
        s->end = pv_client_next(c, 0, &reply);
        if (s->end != PV_OK)
            return;
        s->n++;
        s->ids = s->ids * 31 + reply.id + (reply.ok ? 1 : 0) + (reply.is_event ? 2 : 0);
        pv_ctlapi_reply_done(&reply);
    }
}

static struct seen hear(struct pv_view in, size_t piece)
{
    int pair[2];
    struct seen s = {.end = PV_OK};
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    struct pv_client c = {.fd = pair[0]};
    take(&c, &s); /* nothing has come */
    must(s.end == PV_ERR_TIMEOUT);
    while (in.len > 0) {
        struct pv_view next = fuzz_take(&in, piece);
        must(send(pair[1], next.ptr, next.len, MSG_NOSIGNAL) == (ssize_t)next.len);
        take(&c, &s);
    }
    close(pair[1]);
    take(&c, &s);
    must(s.end < 0 && s.end != PV_ERR_TIMEOUT);
    pv_client_close(&c);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct pv_view in = pv_view(data, len < 16384 ? len : 16384);
    const size_t piece = (size_t)fuzz_next(&in) + 1;
    const struct seen whole = hear(in, 16384), cut = hear(in, piece);
    must(whole.n == cut.n && whole.ids == cut.ids && whole.end == cut.end);
    return 0;
}
