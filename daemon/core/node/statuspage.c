/* SPDX-License-Identifier: MIT */
/* statuspage.c - gathers what the parts say of themselves into one answer. */
#include "daemon/core/node/statuspage.h"

#include <stdio.h>
#include <stdlib.h>

#include "proto/local/ctlapi_pack.h"

/* A page that is full keeps the problems it has: the parts come in the order of the engine. An
 * error that is shown as it is says itself what to do. */
void pv_statuspage_problem(struct pv_statuspage *st, const char *what, const char *why)
{
    if (st->n_problems == PV_STATUSPAGE_MAX_PROBLEMS)
        return;
    char *text = st->problem_texts[st->n_problems];
    snprintf(text, PV_STATUSPAGE_PROBLEM_TEXT, "%s%s", what, why);
    st->remedies[st->n_problems] = pv_remedy_id(pv_remedy_said(text).id);
    st->problems[st->n_problems++] = text;
}

void pv_statuspage_minor(struct pv_statuspage *st, const char *what, const char *why)
{
    _Static_assert(PV_STATUSPAGE_MAX_PROBLEMS <= 64, "a bit of s.minor each");
    size_t place = st->n_problems;
    pv_statuspage_problem(st, what, why);
    if (st->n_problems > place)
        st->s.minor |= UINT64_C(1) << place;
}

static void note_remedy(struct pv_statuspage *st, size_t place, enum pv_remedy_id id)
{
    if (st->n_problems > place)
        st->remedies[place] = pv_remedy_id(id);
}

void pv_statuspage_todo(struct pv_statuspage *st, const char *what, struct pv_remedy todo)
{
    char text[PV_REMEDY_BUF];
    size_t place = st->n_problems;
    pv_statuspage_problem(st, what, pv_remedy_write(&todo, text, sizeof(text)));
    note_remedy(st, place, todo.id);
}

void pv_statuspage_minor_todo(struct pv_statuspage *st, const char *what, struct pv_remedy todo)
{
    char text[PV_REMEDY_BUF];
    size_t place = st->n_problems;
    pv_statuspage_minor(st, what, pv_remedy_write(&todo, text, sizeof(text)));
    note_remedy(st, place, todo.id);
}

void pv_statuspage_drop(struct pv_statuspage *st, const char *reason, uint64_t count)
{
    if (st->n_drops < PV_STATUSPAGE_MAX_DROPS)
        st->drops[st->n_drops++] = (struct pv_statuspage_drop){.reason = reason, .count = count};
}

void pv_statuspage_put(struct pv_statuspage *st, enum pv_statuspage_field field, json_t *value)
{
    json_decref(st->fields[field]);
    st->fields[field] = value;
    st->lacks_memory = st->lacks_memory || value == NULL;
}

struct pv_statuspage *pv_statuspage_free(struct pv_statuspage *st)
{
    for (size_t i = 0; st != NULL && i < PV_STATUS_FIELDS; i++)
        json_decref(st->fields[i]);
    free(st);
    return NULL;
}

static int add_fields(struct pv_statuspage *st, json_t *status)
{
#define NAME(word, name) name,
    static const char *const names[PV_STATUS_FIELDS] = {PV_STATUSPAGE_ROWS(NAME)};
#undef NAME
    const struct pv_statuspage_pq *pq = &st->pq;
    if (pq->state != NULL)
        pv_statuspage_put(st, PV_STATUS_POST_QUANTUM,
                          pv_ctlapi_pack("{s:s, s:s?, s:i, s:i, s:i, s:s?, s:i}", "state",
                                         pq->state, "why", pq->why, "hybrid", (int)pq->hybrid,
                                         "classical", (int)pq->classical, "waiting",
                                         (int)pq->waiting, "coordinator", pq->coordinator,
                                         "sealing_keys", (int)pq->sealing_keys));
    for (size_t i = 0; i < PV_STATUS_FIELDS; i++)
        if (st->fields[i] != NULL && json_object_set(status, names[i], st->fields[i]) != 0)
            return PV_ERR_NOMEM;
    return st->lacks_memory ? PV_ERR_NOMEM : PV_OK;
}

/* A reason that has dropped nothing is left out: parts tell all of theirs, and a person wants to
 * see what happened. */
json_t *pv_statuspage_json(struct pv_statuspage *st)
{
    const char *names[PV_STATUSPAGE_MAX_DROPS];
    uint64_t counts[PV_STATUSPAGE_MAX_DROPS];
    size_t n = 0;
    for (size_t i = 0; i < st->n_drops; i++) {
        if (st->drops[i].count == 0)
            continue;
        names[n] = st->drops[i].reason;
        counts[n++] = st->drops[i].count;
    }
    st->s.drop_names = names;
    st->s.drop_counts = counts;
    st->s.n_drops = n;
    st->s.problems = st->problems;
    st->s.remedies = st->remedies;
    st->s.n_problems = st->n_problems;
    json_t *status = pv_ctlapi_status_json(&st->s);
    if (status != NULL && add_fields(st, status) != PV_OK) {
        json_decref(status);
        status = NULL;
    }
    return status;
}
