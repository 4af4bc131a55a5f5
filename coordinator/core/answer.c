/* SPDX-License-Identifier: MIT */
/* Sends answers, and words refusals for people. */
#include "coordinator/core/answer.h"

void pv_answer_send(struct pv_conn *s, const struct pv_ctl_msg *msg)
{
    if (pv_conn_send(s, msg) < 0)
        s->dead = true;
}

void pv_answer_refuse(struct pv_conn *s, const struct pv_ctl_msg *request, enum pv_ctl_error error,
                      const char *message)
{
    pv_conn_error(s, request->id, error, message);
}

const char *pv_answer_text(enum pv_ctl_error error)
{
    switch (error) {
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
