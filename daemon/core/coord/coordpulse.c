/* SPDX-License-Identifier: MIT */
/* Judges the coordinator's silence by pings. */
#include "daemon/core/coord/coordpulse.h"

/* A kicked connection must answer within 3 round trips and a bit, and this much at most. */
#define KICK_ANSWER PV_S(3)
#define KICK_LEAST  PV_MS(500)

enum {
    DRIFT = 5000, /* ours: two clocks of machines drift apart by one part in so many at most */
};

/* On a slow line an answer takes its time. A ping that an outage held up says nothing of the line.
 */
static pv_ns patience(const struct pv_coordpulse *p)
{
    pv_ns slow = pv_min_ns(2 * p->rtt, PV_COORDPULSE_SLOW);
    return slow > PV_COORDPULSE_LOOK ? slow : PV_COORDPULSE_LOOK;
}

static pv_ns interval(bool others)
{
    return others ? PV_COORDPULSE_PING_OTHERS : PV_COORDPULSE_PING;
}

void pv_coordpulse_begin(struct pv_coordpulse *p, bool others, pv_ns now)
{
    p->ping_at = now + interval(others);
    p->rtt = now - p->pinged_at;
    p->pinged_at = 0;
    p->n_out = 0;
    pv_coordpulse_heard(p, now);
}

void pv_coordpulse_pinged(struct pv_coordpulse *p, bool sent, bool others, pv_ns now)
{
    p->ping_at = now + interval(others);
    if (!sent)
        return;
    p->pinged_at = now;
    p->n_out++;
    /* A ping behind one that is out (a kick) puts nothing off. */
    p->look_at = pv_min_ns(p->look_at, now + patience(p));
}

void pv_coordpulse_hasten(struct pv_coordpulse *p, pv_ns at)
{
    p->ping_at = pv_min_ns(p->ping_at, at);
}

/* Answers come in the order of the pings, and the time of the last ping alone is known: were the
 * answer to one before it measured by that, the next kick would leave a slow line no time. */
void pv_coordpulse_answered(struct pv_coordpulse *p, pv_ns now)
{
    p->n_out -= p->n_out > 0 ? 1 : 0;
    if (p->n_out > 0 || p->pinged_at == 0)
        return;
    p->rtt = now - p->pinged_at;
    p->pinged_at = 0;
}

/* The look is called off as well: the connection that was doubted has answered, late or not. */
void pv_coordpulse_heard(struct pv_coordpulse *p, pv_ns now)
{
    p->heard_at = now;
    p->must_hear_by = now + PV_COORDPULSE_DEAD;
    p->look_at = PV_NEVER;
    p->kicked = false;
}

void pv_coordpulse_kick(struct pv_coordpulse *p, pv_ns now)
{
    pv_ns answer = p->rtt == 0 ? KICK_ANSWER : pv_min_ns(KICK_ANSWER, 3 * p->rtt + KICK_LEAST);
    p->kicked = true;
    p->must_hear_by = pv_min_ns(p->must_hear_by, now + answer);
}

/* Once: attempts run until something is heard or the connection is dead, and a second round would
 * only knock where the first one still waits. */
bool pv_coordpulse_take_look(struct pv_coordpulse *p, pv_ns now)
{
    if (now < p->look_at)
        return false;
    p->look_at = PV_NEVER;
    return true;
}

/* An answer that was held up on a busy machine or line is off by up to half its round trip, and
 * two nodes that agree on a time would begin that far apart. So one that took longer changes
 * nothing, unless it cannot be true beside what is known: the coordinator's clock was set. */
void pv_coordpulse_note_time(struct pv_coordpulse *p, uint64_t time_us, pv_ns now)
{
    const uint64_t told = time_us + p->rtt / 2 / 1000, known = pv_coordpulse_time_us(p, now);
    const uint64_t apart = told > known ? told - known : known - told;
    const pv_ns off = p->rtt / 2, known_off = p->time_off + (now - p->time_at) / DRIFT;
    const bool says_less = off > known_off && apart <= (off + known_off) / 1000;
    if (known != 0 && (says_less || p->n_out > 0)) /* of which ping it is the rtt is not known */
        return;
    p->time_us = told;
    p->time_at = now;
    p->time_off = off;
}

uint64_t pv_coordpulse_time_us(const struct pv_coordpulse *p, pv_ns now)
{
    return p->time_us == 0 ? 0 : p->time_us + (now - p->time_at) / 1000;
}

bool pv_coordpulse_is_dead(const struct pv_coordpulse *p, pv_ns now)
{
    return now >= p->must_hear_by;
}

bool pv_coordpulse_is_due(const struct pv_coordpulse *p, pv_ns now)
{
    return p->pinged_at == 0 && now >= p->ping_at;
}

/* While a ping is out none follows: its segment is repeated by TCP, and another would wait behind
 * it. */
pv_ns pv_coordpulse_next(const struct pv_coordpulse *p)
{
    pv_ns ping = p->pinged_at == 0 ? p->ping_at : PV_NEVER;
    return pv_min_ns(pv_min_ns(ping, p->look_at), p->must_hear_by);
}
