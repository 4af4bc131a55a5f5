/* SPDX-License-Identifier: MIT */
/*
 * mtu.c - finds by probing how large a datagram one path carries (RFC 8899). Work goes in rounds:
 * each try of a round sends probes of several sizes and a small one. When only the small one is
 * answered the path is narrow; when nothing is, the path is silent and says nothing about sizes. No
 * ICMP is believed, as anybody could send it.
 */
#include "proto/ip/mtu.h"

#include <string.h>

#define FIRST_WAIT    PV_MS(300) /* ours: for the first answer; doubles with each try */
#define LEAST_WAIT    PV_MS(150) /* ours: a busy host answers late */
#define PROBE_HEADERS 64         /* ours: at most, around what a probe has inside */
#define USED_FOR      PV_S(5)    /* ours: data sent so lately means that the path is in use */
/* Ours: until the first look whether a path that narrowed in use is wide again; it may have been
 * full, which is told from narrow by chance only. Then after 4 times that, up to the usual. */
#define RAISE_FIRST PV_S(15)

/* Sizes of IP packets in bytes, largest first: MTUs of links as they are found in the field, and
 * steps between them. */
static const uint16_t links[] = {9000, 8000, 6000, 4352, 3000, 2000, 1500, 1492, 1480, 1460, 1440,
                                 1420, 1400, 1380, 1360, 1340, 1320, 1300, 1280, 1200, 1000, 800};
_Static_assert(sizeof(links) / sizeof(links[0]) + 2 <= PV_MTU_SIZES, "wanted, links, small one");

static uint16_t small_one(const struct pv_mtu *m)
{
    return (uint16_t)(PV_MTU_SMALLEST - m->header);
}

/* How long to wait for the answers to a try: by the measured round trip where there is one,
 * doubling from FIRST_WAIT where not. */
static pv_ns patience(const struct pv_mtu *m)
{
    if (m->rtt == 0)
        return FIRST_WAIT << (m->tries - 1);
    pv_ns wait = 2 * m->rtt + PV_MS(50);
    return wait < LEAST_WAIT ? LEAST_WAIT : wait;
}

static void begin_try(struct pv_mtu *m, pv_ns now)
{
    m->tries++;
    m->sent = 0;
    m->sent_at = now;
    m->deadline = now + patience(m);
}

/* The caller has set sizes[0..n) except the small one. Tokens are drawn anew, so that answers to an
 * earlier round are not taken for answers to this round. */
static void begin_round(struct pv_mtu *m, enum pv_mtu_state state, pv_ns now)
{
    m->state = state;
    m->hasty = false;
    m->sizes[m->n++] = small_one(m);
    memset(m->answered, 0, sizeof(m->answered));
    m->base = pv_rng_u32(&m->rng);
    m->tries = 0;
    begin_try(m, now);
}

static void begin_ask(struct pv_mtu *m, pv_ns now)
{
    m->n = 0;
    m->sizes[m->n++] = m->wanted;
    begin_round(m, PV_MTU_ASK, now);
}

static void begin_check(struct pv_mtu *m, pv_ns now)
{
    m->n = 0;
    m->sizes[m->n++] = m->current == 0 ? m->wanted : m->current;
    begin_round(m, PV_MTU_CHECK, now);
}

/* In haste: tries the size in use twice, so that one loss does not look like a narrow path, and two
 * sizes that links commonly have. */
static void begin_hasty_check(struct pv_mtu *m, pv_ns now)
{
    static const uint16_t common[] = {1400, 1280};
    uint16_t size = m->current == 0 ? m->wanted : m->current;
    m->n = 0;
    m->sizes[m->n++] = size;
    m->sizes[m->n++] = size;
    for (size_t i = 0; i < PV_ARRAY_LEN(common); i++) {
        if (common[i] - m->header < size)
            m->sizes[m->n++] = (uint16_t)(common[i] - m->header);
    }
    begin_round(m, PV_MTU_CHECK, now);
    m->hasty = true;
    m->flow_data = 0;
}

static void begin_search(struct pv_mtu *m, pv_ns now)
{
    m->n = 0;
    m->sizes[m->n++] = m->wanted;
    for (size_t i = 0; i < PV_ARRAY_LEN(links); i++) {
        uint16_t size = (uint16_t)(links[i] - m->header);
        if (size < m->wanted)
            m->sizes[m->n++] = size;
    }
    begin_round(m, PV_MTU_SEARCH, now);
}

/* 0 stands for "all that is wanted", so that a path of full size needs no special case in the fast
 * path. */
static void settle_size(struct pv_mtu *m, uint16_t size, pv_ns now)
{
    uint16_t current = size >= m->wanted ? 0 : size;
    m->changed = m->changed || current != m->current;
    if (m->state != PV_MTU_CHECK)
        m->every = PV_MTU_CHECK_EVERY;
    else if (m->sent_data < PV_MTU_MUCH)
        m->every = pv_min_ns(2 * m->every, PV_MTU_CHECK_MAX);
    else if (m->every > PV_MTU_CHECK_EVERY)
        m->every /= 2;
    m->current = current;
    m->state = PV_MTU_KNOWN;
    m->doubted = false;
    m->wait = 0;
    m->known_at = now;
    m->sent_data = 0;
    m->deadline = now + m->every;
    if (current != 0)
        m->deadline = pv_min_ns(m->deadline, m->raise_at);
}

/* Index of the largest size answered in this round; n when none was. */
static size_t largest(const struct pv_mtu *m)
{
    size_t i = 0;
    while (i < m->n && !m->answered[i])
        i++;
    return i;
}

/* The round's finding: nothing (wait and ask again later), less than the wanted size (search), or a
 * size. A narrow result counts only while the size was doubted, since a full queue loses large
 * probes first and must not shrink a path that is fine; a check that nothing answers doubts it,
 * too, as a busy host may be silent just when the path narrows. */
static void end_round(struct pv_mtu *m, pv_ns now)
{
    size_t i = largest(m);
    if (m->state == PV_MTU_CHECK && i > 0) {
        m->doubted = true;
        m->raise_wait = RAISE_FIRST;
    }
    if (i == m->n) {
        m->wait = m->wait == 0 ? PV_MTU_CHECK_EVERY : 2 * m->wait;
        m->wait = m->wait > PV_MTU_WAIT_MAX ? PV_MTU_WAIT_MAX : m->wait;
        m->state = PV_MTU_WAIT;
        m->deadline = now + m->wait;
    } else if (m->state != PV_MTU_SEARCH && i > 0) {
        begin_search(m, now);
    } else {
        if (m->state != PV_MTU_CHECK) {
            m->raise_at = now + m->raise_wait;
            m->raise_wait = pv_min_ns(4 * m->raise_wait, PV_MTU_RAISE_EVERY);
        }
        /* A look whether there is more finds no less: a full path loses probes of any size. */
        bool less = !m->doubted && m->current != 0 && m->sizes[i] < m->current;
        settle_size(m, less ? m->current : m->sizes[i], now);
    }
}

static bool is_probing(const struct pv_mtu *m)
{
    return m->state == PV_MTU_ASK || m->state == PV_MTU_SEARCH || m->state == PV_MTU_CHECK;
}

void pv_mtu_start(struct pv_mtu *m, const struct pv_rng *rng, size_t header, uint16_t wanted,
                  uint16_t taken, pv_ns now)
{
    *m = (struct pv_mtu){.rng = *rng,
                         .header = (uint16_t)header,
                         .wanted = wanted,
                         .current = taken < wanted ? taken : 0};
    m->used_at = now;
    m->large_at = now;
    m->raise_wait = PV_MTU_RAISE_EVERY;
    m->doubted = true;
    if (m->wanted <= small_one(m))
        m->state = PV_MTU_OFF; /* everything fits everywhere */
    else
        begin_ask(m, now);
}

void pv_mtu_stop(struct pv_mtu *m)
{
    memset(m, 0, sizeof(*m));
}

/* For paths whose far end answers no probes (static peers): somebody's word has to do, but only to
 * make packets smaller, and for ten minutes (RFC 8201 s4). */
void pv_mtu_tell(struct pv_mtu *m, uint16_t size, uint16_t wanted, pv_ns now)
{
    if ((m->state != PV_MTU_OFF && m->state != PV_MTU_TOLD) || size >= wanted ||
        (m->current != 0 && size > m->current))
        return;
    m->changed = m->changed || size != m->current;
    m->state = PV_MTU_TOLD;
    m->wanted = wanted;
    m->current = size;
    m->deadline = now + PV_MTU_RAISE_EVERY;
}

void pv_mtu_doubt(struct pv_mtu *m, pv_ns now)
{
    if (m->state == PV_MTU_KNOWN && m->deadline > now)
        m->deadline = now;
}

/* The far end tries sizes between the small one and what we use: what it sends does not get through
 * there, and mostly neither does what we send. Ours is a check of two sizes, so that two ends do
 * not wake each other for ever. */
void pv_mtu_note_probed(struct pv_mtu *m, size_t bytes, pv_ns now)
{
    uint16_t size = m->current == 0 ? m->wanted : m->current;
    if (bytes > small_one(m) && bytes + PROBE_HEADERS < size && now >= m->known_at + PV_MTU_STALL)
        pv_mtu_doubt(m, now);
}

void pv_mtu_note_received(struct pv_mtu *m, pv_ns received_at, pv_ns now)
{
    pv_ns wait = 2 * m->rtt > PV_MTU_STALL ? 2 * m->rtt : PV_MTU_STALL;
    bool ready = m->state == PV_MTU_KNOWN || (m->state == PV_MTU_CHECK && !m->hasty);
    bool unanswered =
        m->stalled_at != received_at && m->large_at > received_at && now >= received_at + wait;
    /* A probe that left after the burst and was answered has looked into it. */
    pv_ns sure_at = m->state == PV_MTU_KNOWN ? m->sent_at : m->known_at;
    bool broken_off =
        m->flow_data == PV_MTU_FLOW && m->burst_at > sure_at && now >= m->burst_at + wait;
    if (!ready || received_at == 0 || (!unanswered && !broken_off))
        return;
    /* A flow that ended was answered: large data after it may still stall. */
    if (unanswered)
        m->stalled_at = received_at;
    begin_hasty_check(m, now);
}

void pv_mtu_note_use(struct pv_mtu *m, pv_ns used_at)
{
    if (used_at > m->used_at)
        m->used_at = used_at;
    if (used_at > m->large_at)
        m->large_at = used_at;
    m->sent_data = PV_MTU_MUCH;
    if (m->state == PV_MTU_KNOWN)
        m->deadline = pv_min_ns(m->deadline, m->known_at + PV_MTU_CHECK_EVERY);
}

void pv_mtu_note_refused(struct pv_mtu *m, pv_ns refused_at)
{
    if (refused_at > m->refused_at)
        m->refused_at = refused_at;
}

/* A narrow path harms large packets only, and probes must not cost more than what they protect. */
void pv_mtu_note_sent(struct pv_mtu *m, size_t bytes, pv_ns used_at)
{
    size_t room = PV_MTU_MUCH - m->sent_data, flow_room = PV_MTU_FLOW - m->flow_data;

    m->sent_data += bytes < room ? bytes : room;
    m->flow_data += bytes < flow_room ? bytes : flow_room;
    if (used_at > m->used_at)
        m->used_at = used_at;
    if (bytes > small_one(m) && used_at > m->large_at)
        m->large_at = used_at;
    if (bytes >= PV_MTU_BURST)
        m->burst_at = used_at;
    if (m->sent_data == PV_MTU_MUCH && bytes > small_one(m))
        pv_mtu_note_use(m, used_at);
}

/* Only less than the size in use came through, at the first try: it is used at once, since TCP
 * doubles its wait each time, and what is between is searched for. False: nothing has come. */
static bool narrow_in_haste(struct pv_mtu *m, pv_ns now)
{
    size_t i = largest(m);
    if (!m->hasty || i == m->n)
        return false;
    m->current = m->sizes[i];
    m->changed = true;
    m->doubted = true;
    m->raise_wait = RAISE_FIRST;
    begin_search(m, now);
    return true;
}

/* The token says which try and size; the answer of the newest try also measures the round trip. The
 * largest size ends the round at once. */
void pv_mtu_handle_answer(struct pv_mtu *m, uint32_t token, pv_ns now)
{
    uint32_t k = token - m->base;
    if (!is_probing(m) || k >= m->tries * PV_MTU_SIZES || k % PV_MTU_SIZES >= m->n)
        return;
    if (k / PV_MTU_SIZES + 1 == m->tries)
        m->rtt = now > m->sent_at ? now - m->sent_at : 1;
    m->answered[k % PV_MTU_SIZES] = true;
    if (m->sizes[k % PV_MTU_SIZES] == m->sizes[0])
        m->answered[0] = true; /* a hasty check has it twice */
    if (m->answered[0])
        end_round(m, now);
}

void pv_mtu_handle_timeout(struct pv_mtu *m, pv_ns now)
{
    if (m->state == PV_MTU_OFF || now < pv_mtu_next_timeout(m))
        return;
    if (m->state == PV_MTU_TOLD) {
        m->state = PV_MTU_OFF;
        m->current = 0;
        m->changed = true;
    } else if (m->state == PV_MTU_KNOWN) {
        if (m->current != 0 && now >= m->raise_at)
            begin_ask(m, now);
        else
            begin_check(m, now);
    } else if (m->state == PV_MTU_WAIT) {
        begin_ask(m, now);
    } else if (narrow_in_haste(m, now)) {
        return;
    } else if (m->tries < PV_MTU_TRIES) {
        /* The largest size that has arrived is used before the round ends; when a larger one
         * arrives later, the size is raised. Not after the first try on a quick path: hosts
         * remember for 10 minutes what they are told is too big, and a busy host answers late. */
        size_t i = largest(m);
        bool slow = m->tries >= 2 || patience(m) > PV_MS(300);
        if (m->state == PV_MTU_SEARCH && m->doubted && slow && i < m->n &&
            m->sizes[i] != m->current) {
            m->current = m->sizes[i];
            m->changed = true;
        }
        begin_try(m, now);
    } else {
        end_round(m, now);
    }
}

pv_ns pv_mtu_next_timeout(const struct pv_mtu *m)
{
    if (m->state == PV_MTU_OFF)
        return PV_NEVER;
    /* Of a path that is not in use nobody wants to know, nor what it carries where all is small. */
    pv_ns used_at = m->state == PV_MTU_KNOWN ? m->large_at : m->used_at;
    if (m->refused_at > used_at)
        used_at = m->refused_at;
    if (m->state != PV_MTU_TOLD && !is_probing(m) && used_at + USED_FOR < m->deadline)
        return PV_NEVER;
    return m->deadline;
}

/* Sizes below an answered one need not be tried. */
int pv_mtu_poll_probe(struct pv_mtu *m, uint16_t *ret_size, uint32_t *ret_token)
{
    while (is_probing(m) && m->sent < m->n) {
        size_t i = m->sent++;
        if (m->answered[i] && i + 1 < m->n)
            continue; /* the small one goes out each time: it gives the round trip */
        if (i > largest(m) && i + 1 < m->n)
            continue; /* something larger has arrived */
        *ret_size = m->sizes[i];
        *ret_token = m->base + (m->tries - 1) * PV_MTU_SIZES + (uint32_t)i;
        return PV_OK;
    }
    return PV_ERR_AGAIN;
}

bool pv_mtu_take_change(struct pv_mtu *m, uint16_t *ret_size)
{
    bool changed = m->changed;
    m->changed = false;
    *ret_size = m->current;
    return changed;
}
