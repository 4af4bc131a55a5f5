/* SPDX-License-Identifier: MIT */
/* turn_static.h - static users of the TURN server in turn_world.h: who they are, their sockets. */
#pragma once

#include "turn_world.h"

static const struct pv_turns_user USERS[] = {{"alice", "secret"}, {"bob", "other"}};

static inline struct pv_turns_config config(void)
{
    return (struct pv_turns_config){.users = USERS, .n_users = 2};
}

static inline struct tw_client alice(uint8_t host)
{
    struct tw_client c = tw_client(host, 5000);
    snprintf(c.user, sizeof(c.user), "alice");
    snprintf(c.password, sizeof(c.password), "secret");
    snprintf(c.nonce, sizeof(c.nonce), "none yet");
    return c;
}

/* Does what the server asks for its sockets: ports in use are those below `free_from`. Returns how
 * many were opened; *last is the last one. The answer, if one came, is w->out. */
static inline unsigned open_sockets(struct tw *w, int status, struct pv_turns_socket *last)
{
    struct pv_turns_socket op;
    unsigned opened = 0;
    while (pv_turns_poll_socket(w->turns, &op) == PV_OK) {
        size_t n = 0;
        if (!op.open)
            continue;
        pv_turns_opened(w->turns, op.sock, status, w->now);
        const struct pv_turns_out *out = pv_turns_out(w->turns, &n);
        opened++;
        *last = op;
        if (n > 0) {
            w->out = out[0];
            assert_int_equal(pv_stun_decode(w->out.data, &w->msg), PV_OK);
        }
    }
    return opened;
}

/* Sockets that the server wants closed. */
static inline unsigned closed_sockets(struct tw *w)
{
    struct pv_turns_socket op;
    unsigned n = 0;
    while (pv_turns_poll_socket(w->turns, &op) == PV_OK) {
        assert_false(op.open);
        n++;
    }
    return n;
}

static inline void begin_allocate(struct tw *w, struct pv_stun_writer *sw, uint8_t *buf, size_t cap)
{
    tw_begin(w, sw, buf, cap, PV_TURN_ALLOCATE);
    tw_put_transport(sw);
}

/* Allocates with what is in sw; the code of the final answer. */
static inline int finish_allocate(struct tw *w, struct tw_client *c, struct pv_stun_writer *sw,
                                  int status, struct pv_turns_socket *sock)
{
    int code = tw_request(w, c, sw);
    if (code != -1)
        return code;
    assert_true(open_sockets(w, status, sock) > 0);
    return tw_code(w, true);
}

static inline int allocate(struct tw *w, struct tw_client *c, struct pv_turns_socket *sock)
{
    uint8_t buf[512];
    struct pv_stun_writer sw;
    begin_allocate(w, &sw, buf, sizeof(buf));
    return finish_allocate(w, c, &sw, PV_OK, sock);
}

/* A datagram of a peer at a relay socket; true when one goes to the client. */
static inline bool from_peer(struct tw *w, const struct pv_turns_socket *sock,
                             const struct pv_addr *peer, const char *text)
{
    struct tw_client c = {.src = *peer, .sock = sock->sock};
    return tw_in(w, &c, text, strlen(text));
}

static const struct pv_addr PEER = {.family = PV_AF_INET, .port = 7000, .ip = {203, 0, 113, 9}};
