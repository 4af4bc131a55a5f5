/* SPDX-License-Identifier: MIT */
/*
 * answer.h - answers to the requests of nodes, for the files that handle them. Each is written to
 * its connection at once.
 */
#ifndef PV_ANSWER_H
#define PV_ANSWER_H

#include "coordinator/core/conn.h"

/* Begins an answer. It carries the number of its request, since answers of the store come out of
 * order. */
static inline struct pv_ctl_msg pv_answer_to(const struct pv_ctl_msg *request,
                                             enum pv_ctl_type type)
{
    return (struct pv_ctl_msg){.kind = PV_CTL_ANSWER, .type = type, .id = request->id};
}

/* Requests are worked on only while the longest answer fits, so only lack of memory fails here; the
 * connection ends then. */
void pv_answer_send(struct pv_conn *s, const struct pv_ctl_msg *msg);
/* Refuses a request; the message is for people, programs go by the error. */
void pv_answer_refuse(struct pv_conn *s, const struct pv_ctl_msg *request, enum pv_ctl_error error,
                      const char *message);
/* The text for people about an error; static. */
const char *pv_answer_text(enum pv_ctl_error error);

#endif /* PV_ANSWER_H */
