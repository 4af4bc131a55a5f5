/* SPDX-License-Identifier: MIT */
/* One connection: its output, whatever protocol it speaks, and the deadlines that follow from its
 * state. */
#include "coordinator/core/conn.h"

#include <stdlib.h>

#include "coordinator/core/coord.h"

enum {
    SMALL =
        1024, /* bytes: every message but pages of statements, lists of nodes, signals, copies */
};

_Static_assert((int)PV_CTL_TEXT_MAX == (int)PV_CONTROL_TEXT_MAX, "a message fits a frame");

/* The control channel exists from the start, as nearly every connection speaks it; one that turns
 * out to speak STUN does not use it. */
int pv_conn_new(struct pv_conn **ret_conn, uint64_t id, const struct pv_addr *source,
                const struct pv_conn_keys *keys, const struct pv_rng *rng, pv_ns now)
{
    struct pv_conn *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return PV_ERR_NOMEM;
    int r = pv_control_new_server(&s->control, keys->sk, keys->pk, rng);
    if (r < 0) {
        free(s);
        return r;
    }
    s->id = id;
    s->source = *source;
    s->state = PV_CONN_NEW;
    s->opened = now;
    s->last_rx = now;
    *ret_conn = s;
    return PV_OK;
}

struct pv_conn *pv_conn_free(struct pv_conn *s)
{
    if (s == NULL)
        return NULL;
    pv_control_free(s->control);
    if (s->stun != NULL)
        pv_stunconn_done(s->stun);
    free(s->stun);
    pv_ctl_msg_free(s->held);
    free(s->in);
    free(s);
    return NULL;
}

/* The buffer for a message is the largest part of a connection, so it is made only now. */
int pv_conn_become_stun(struct pv_conn *s)
{
    s->stun = calloc(1, sizeof(*s->stun));
    if (s->stun == NULL)
        return PV_ERR_NOMEM;
    s->state = PV_CONN_STUN;
    return PV_OK;
}

struct pv_view pv_conn_out(struct pv_conn *s)
{
    if (s->stun != NULL)
        return pv_stunconn_out(s->stun);
    return pv_control_out(s->control);
}

void pv_conn_wrote(struct pv_conn *s, size_t n, pv_ns now)
{
    if (s->stun != NULL)
        pv_stunconn_wrote(s->stun, n, now);
    else
        pv_control_wrote(s->control, n);
}

/* The message is built on the stack where it fits; the large buffer is the exception, and lives
 * only for this call. */
int pv_conn_send(struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    size_t len = 0;
    char small[SMALL];
    int r = pv_ctl_build(msg, small, sizeof(small), &len);
    if (r == PV_OK)
        return pv_control_send(s->control, pv_view(small, len));
    if (r != PV_ERR_NO_SPACE)
        return r;
    char *large = malloc(PV_CTL_TEXT_MAX);
    if (large == NULL)
        return PV_ERR_NOMEM;
    r = pv_ctl_build(msg, large, PV_CTL_TEXT_MAX, &len);
    if (r == PV_OK)
        r = pv_control_send(s->control, pv_view(large, len));
    free(large);
    return r;
}

bool pv_conn_has_push_room(const struct pv_conn *s)
{
    return pv_control_room(s->control) >= PV_CONN_PUSH_ROOM;
}

/* Requests are worked on only while an answer fits, so what fails here is memory, and the
 * connection ends: a request without an answer would leave the node waiting. */
void pv_conn_error(struct pv_conn *s, uint64_t id, enum pv_ctl_error error, const char *message)
{
    pv_conn_fail(s, id, &(struct pv_ctl_failure){.error = error, .message = message});
}

void pv_conn_fail(struct pv_conn *s, uint64_t id, const struct pv_ctl_failure *failure)
{
    struct pv_ctl_msg m = {.kind = PV_CTL_ANSWER, .type = PV_CTL_ERROR, .id = id};
    m.u.failure = *failure;
    if (pv_conn_send(s, &m) < 0)
        s->dead = true;
}

/* A last message is possible only after the handshake; before it the connection just closes. */
void pv_conn_bye(struct pv_conn *s, const struct pv_ctl_failure *failure, pv_ns now)
{
    struct pv_ctl_msg m = {.kind = PV_CTL_PUSH, .type = PV_CTL_BYE};
    if (s->state == PV_CONN_CLOSING)
        return;
    m.u.failure = *failure;
    if (pv_control_state(s->control) != PV_CONTROL_READY || pv_conn_send(s, &m) < 0)
        s->dead = true;
    s->state = PV_CONN_CLOSING;
    s->closing_since = now;
}

/* A member's deadline moves with every byte; that of all others stands from the beginning, so that
 * nobody holds a connection by sending a byte now and then. */
pv_ns pv_conn_deadline(const struct pv_conn *s)
{
    switch (s->state) {
    case PV_CONN_NEW:
    case PV_CONN_STUN:
    case PV_CONN_RELAYING:
    case PV_CONN_OPENING:
    case PV_CONN_HELLO:
        if (s->hurried && s->first_rx != 0)
            return s->first_rx + PV_S(PV_COORD_HURRY_HELLO_S);
        if (s->hurried && !s->tls)
            return s->opened + PV_S(PV_COORD_HURRY_BYTE_S);
        return s->opened + PV_S(PV_COORD_HELLO_S);
    case PV_CONN_SEEKING: /* its network has a limit of its own for that (homes.h) */
        return s->opened + PV_S(PV_COORD_HELLO_S);
    case PV_CONN_APPLICANT:
        return s->opened + PV_S(PV_COORD_APPLICANT_S);
    case PV_CONN_MEMBER:
        return s->last_rx + PV_S(PV_COORD_DEAD_S);
    case PV_CONN_CLOSING:
        break;
    }
    return s->closing_since + PV_S(PV_COORD_LINGER_S);
}

/* --- answers to requests ---------------------------------------------------------------------- */

void pv_answer_send(struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    if (pv_conn_send(s, msg) < 0)
        s->dead = true;
}

void pv_answer_refuse(struct pv_conn *s, const struct pv_ctl_msg *request, enum pv_ctl_error error,
                      const char *message)
{
    pv_conn_error(s, request->id, error, message != NULL ? message : pv_answer_text(error));
}

const char *pv_answer_text(enum pv_ctl_error error)
{
    switch (error) {
    case PV_CTL_E_VERSION:
        return "this node is newer than this coordinator: upgrade p2pvpn-coordinator";
    case PV_CTL_E_BAD_SIGNATURE:
        return "a signature is wrong";
    case PV_CTL_E_UNKNOWN_INVITE:
        return "this network has no such invite";
    case PV_CTL_E_INVITE_REVOKED:
        return "the invite was revoked";
    case PV_CTL_E_INVITE_EXPIRED:
        return "the invite is outside its time";
    case PV_CTL_E_INVITE_USED:
        return "the invite is used up";
    case PV_CTL_E_LEFT:
        return "this node left the network";
    case PV_CTL_E_REVOKED:
        return "this node was removed from the network";
    case PV_CTL_E_TAKEN:
        return "the name or address belongs to another node";
    case PV_CTL_E_FULL:
        return "the network or the coordinator is full";
    case PV_CTL_E_LIMIT:
        return "too many requests; try again later";
    case PV_CTL_E_STORAGE:
        return "the coordinator cannot store at present; try again later";
    case PV_CTL_E_NOT_ALLOWED:
        return "not allowed";
    default:
        return "the request is not right";
    }
}
