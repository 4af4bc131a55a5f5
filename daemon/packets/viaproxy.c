/* SPDX-License-Identifier: MIT */
/* viaproxy.c - a request written and an answer read, on a descriptor. */
#include "daemon/packets/viaproxy.h"

#include <stdlib.h>

#include "crypto/ct.h"
#include "sys/net/stream.h"

struct pv_viaproxy {
    struct pv_connect talk;
    uint8_t ask[PV_CONNECT_ASK_MAX]; /* holds the password: wiped */
    size_t ask_len, ask_done;
};

int pv_viaproxy_new(struct pv_viaproxy **ret_via, const char *to,
                    const struct pv_connect_login *login)
{
    struct pv_viaproxy *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return PV_ERR_NOMEM;
    pv_connect_begin(&v->talk);
    v->ask_len = pv_connect_ask(to, login, v->ask);
    *ret_via = v;
    return PV_OK;
}

struct pv_viaproxy *pv_viaproxy_free(struct pv_viaproxy *v)
{
    if (v == NULL)
        return NULL;
    pv_wipe(v, sizeof(*v));
    free(v);
    return NULL;
}

static int write_ask(struct pv_viaproxy *v, int fd)
{
    int r = PV_OK;
    while (r == PV_OK && v->ask_done < v->ask_len) {
        size_t n = 0;
        r = pv_stream_write(fd, pv_view(v->ask + v->ask_done, v->ask_len - v->ask_done), &n);
        v->ask_done += r == PV_OK ? n : 0;
    }
    return r;
}

/* A proxy may answer and close before it has read the whole request. Its answer counts, not the
 * error of the write. */
int pv_viaproxy_turn(struct pv_viaproxy *v, int fd, uint8_t *buf, size_t cap,
                     struct pv_view *ret_rest)
{
    int w = write_ask(v, fd), r = PV_OK;
    while (r == PV_OK && v->talk.answer.state == PV_CONNECT_ASKED) {
        size_t n = 0;
        r = pv_stream_read(fd, buf, cap, &n);
        if (r == PV_OK) {
            size_t used = pv_connect_hear(&v->talk, pv_view(buf, n));
            *ret_rest = pv_view(buf + used, n - used);
        }
    }
    if (r == PV_ERR_AGAIN && (w == PV_OK || w == PV_ERR_AGAIN))
        return PV_ERR_AGAIN;
    pv_connect_end(&v->talk);
    return v->talk.answer.state == PV_CONNECT_OPEN ? PV_OK : PV_ERR_REFUSED;
}

bool pv_viaproxy_is_full(const struct pv_viaproxy *v)
{
    return v->ask_done < v->ask_len;
}

struct pv_connect_answer pv_viaproxy_answer(const struct pv_viaproxy *v)
{
    return v->talk.answer;
}
