/* SPDX-License-Identifier: MIT */
/*
 * test_years.c - a network that lives for years, at random: machines join, leave, are removed, come
 * back with new keys, are off or asleep for months, break for good; admins come and go; the
 * coordinator moves, changes its address, is away, dies; wall clocks lie. Some memberships end
 * unless they are renewed, and some machines wait until an admin admits or denies them. A model
 * beside it knows who should be a member. When all is up again those are members at every node and
 * at the coordinator, all digests are equal, members reach each other, and nobody else reaches
 * them.
 *
 * An "ok" that a machine was told holds, with one exception that adr/0019 names: without an order
 * that root's coordinators give, what an admin said may fall with the admin. So an admin is ended
 * only when all that it has said is in such an order (settled(), loose).
 */
#include "daemon/core/engine.h"
#include "daemon/core/node/node.h"
#include "tests/sim/world/sim_node_i.h"
#include "tests/sim/world/sim_world.h"
#include "tests/unit/test_util.h"

/* --- the model: machines, coordinators, who should be what ----------------------------------- */

/* It also says whether everybody has heard of everything. */

enum {
    MOST = 10,
    EVENTS = 45,
    COORDS = 5, /* ever */
};

enum power {
    ON,
    OFF,
    ASLEEP,
    BROKEN, /* for good */
};

struct machine {
    struct sim_node *n;
    enum power power;
    int64_t skew_us; /* its clock was set by so much */
    bool wants;      /* its user wants it in the network */
    bool member, admin;
    bool asks;    /* it has joined, and waits for an admin's word */
    bool removed; /* its key is */
    bool owes;    /* what it said last was not stored by the coordinator then */
    bool loose;   /* what it said as an admin is in no order of root's coordinators */
};

struct server {
    struct sim_coord *c;
    uint8_t last; /* of its address */
    bool gone;    /* for good */
    int64_t skew_us;
};

struct years {
    uint64_t seed;
    struct machine m[MOST];
    unsigned count;
    struct server s[COORDS];
    unsigned n_servers, home;
    bool plain; /* invites have no conditions any more */
    uint8_t network[PV_NETWORK_ID_LEN];
    uint8_t unheard[EVENTS][PV_SIGN_PK_LEN]; /* keys whose leave perhaps nobody heard */
    unsigned n_unheard;
    int64_t passed_us; /* by which all clocks were moved on together */
};

static inline void note(struct years *y, const char *what, const char *who, const char *whom)
{
    if (getenv("PV_SIM_TIMES") != NULL)
        printf("years, seed %llu: %10.3f %s: %s %s\n", (unsigned long long)y->seed,
               (double)(sim_net_now(sim.net) - PV_S(3600)) / 1e9, what, who, whom);
}

static inline struct server *home(struct years *y)
{
    return &y->s[y->home];
}

static inline struct pv_roster *roster_of(struct years *y, unsigned i)
{
    return y->m[i].power == ON ? pv_engine_node(y->m[i].n->engine)->roster : NULL;
}

static inline bool is_up(struct years *y, unsigned i)
{
    return y->m[i].power == ON && y->m[i].member && roster_of(y, i) != NULL;
}

/* The name of k, as i knows it; NULL when it does not. */
static inline const char *name_of(struct years *y, unsigned i, unsigned k)
{
    struct pv_roster *r = roster_of(y, i);
    const struct pv_member *m = r == NULL ? NULL : pv_roster_by_node(r, sim_node_pk(y->m[k].n));
    return m == NULL ? NULL : m->name;
}

static inline bool may(struct years *y, unsigned i)
{
    /* One that has expired can do nothing until it is renewed. */
    return is_up(y, i) && y->m[i].admin && pv_engine_node(y->m[i].n->engine)->up &&
           pv_roster_by_node(roster_of(y, i), sim_node_pk(y->m[i].n)) != NULL &&
           pv_roster_rights(roster_of(y, i), sim_node_pk(y->m[i].n)) != 0;
}

/* An admin who can be asked; MOST: none. */
static inline unsigned any_admin(struct years *y)
{
    unsigned at = sim_draw(y->count);
    for (unsigned i = 0; i < y->count; i++) {
        unsigned k = (at + i) % y->count;
        if (may(y, k))
            return k;
    }
    return MOST;
}

static inline unsigned count_admins(const struct years *y)
{
    unsigned n = 0;
    for (unsigned i = 0; i < y->count; i++)
        n += y->m[i].member && y->m[i].admin && y->m[i].power != BROKEN ? 1 : 0;
    return n;
}

/* --- where they are ----------------------------------------------------------------------------
 */

/* Is it connected to the coordinator that the network has moved to? A former one that was away
 * meanwhile knows nothing of that. */
static inline bool is_at_home(struct years *y, unsigned i)
{
    const struct pv_node *n = pv_engine_node(y->m[i].n->engine);
    const uint8_t *pk = sim_coord_pk(home(y)->c);
    return n->online && memcmp(n->coord_info.pk, pk, sizeof(n->coord_info.pk)) == 0;
}

static inline bool all_at_home(void *ctx)
{
    struct years *y = ctx;
    for (unsigned i = 0; i < y->count; i++) {
        if (is_up(y, i) && !is_at_home(y, i))
            return false;
    }
    return true;
}

/* The network lives where the list of somebody who is connected as it says names the first. */
static inline bool find_home(struct years *y, unsigned by)
{
    struct pv_coordinator first;
    struct pv_view list = pv_roster_coordinators(roster_of(y, by));
    if (!pv_coordlist_next(&list, &first))
        return false;
    for (unsigned i = 0; i < y->n_servers; i++) {
        if (memcmp(sim_coord_pk(y->s[i].c), first.pk, PV_SIGN_PK_LEN) == 0)
            y->home = i;
    }
    return true;
}

/* --- what all know ------------------------------------------------------------------------------
 */

static inline bool has_head(struct years *y, unsigned i, const uint8_t *head)
{
    uint8_t own[PV_STATEMENT_HASH_LEN];
    pv_roster_head(roster_of(y, i), own);
    return memcmp(own, head, sizeof(own)) == 0;
}

/* The standing of k for i, who knows the roster; NULL: nothing. */
static inline const struct pv_member *standing(struct years *y, unsigned i, unsigned k)
{
    return pv_roster_enrolled(roster_of(y, i), sim_node_pk(y->m[k].n));
}

/* Everybody who is there has all that the coordinator has, and the other way round. */
static inline bool all_equal(void *ctx)
{
    struct years *y = ctx;
    uint8_t head[PV_STATEMENT_HASH_LEN];
    struct pv_roster *r = sim_coord_roster(home(y)->c, y->network);
    snprintf(sim.why, sizeof(sim.why), "the coordinator is down");
    if (r == NULL)
        return false;
    pv_roster_head(r, head);
    for (unsigned i = 0; i < y->count; i++) {
        if (!is_up(y, i))
            continue;
        if (!has_head(y, i, head)) {
            snprintf(sim.why, sizeof(sim.why), "%s has %zu statements, the coordinator %zu",
                     sim_node_name(y->m[i].n), pv_roster_size(roster_of(y, i)), pv_roster_size(r));
            return false;
        }
    }
    return true;
}

/* A machine that had expired and is on has renewed itself, and knows it. */
static inline bool none_expired(void *ctx)
{
    struct years *y = ctx;
    struct pv_roster *r = sim_coord_roster(home(y)->c, y->network);
    for (unsigned i = 0; r != NULL && i < y->count; i++) {
        if (!is_up(y, i) ||
            (pv_roster_by_node(r, sim_node_pk(y->m[i].n)) != NULL && name_of(y, i, i) != NULL))
            continue;
        snprintf(sim.why, sizeof(sim.why), "%s is no member", sim_node_name(y->m[i].n));
        return false;
    }
    return r != NULL;
}

/* Nothing is on its way any more: also what those said who are off is at the coordinator. */
static inline bool settled(struct years *y)
{
    if (!sim_world_until(PV_S(60), all_equal, y))
        return false;
    for (unsigned i = 0; i < y->count; i++) {
        y->m[i].owes = y->m[i].owes && !is_up(y, i);
        snprintf(sim.why, sizeof(sim.why), "%s owes", sim_node_name(y->m[i].n));
        if (y->m[i].member && y->m[i].owes)
            return false;
    }
    return true;
}

enum {
    SEEDS = 3, /* PV_SIM_SEEDS sets another number */
    FIRST = 4, /* members at the beginning */
    DAY_S = 86400,
};

/* A coordinator that was away is told of a move once it is back; the longer it was away, the later.
 */
#define TOGETHER PV_S(1200)
#define TOLD     PV_S(120)

static bool was_refused(const struct years *y)
{
    return strstr(sim.why, ": no answer to ") == NULL;
}

/* The answer to what i has said as a member or as an admin. */
static void said(struct years *y, unsigned i, const char *answer, bool as_admin)
{
    bool stored = sim_answer_has(answer, "'coordinator':'stored'");
    y->m[i].owes = y->m[i].owes || !stored;
    y->m[i].loose = y->m[i].loose || (as_admin && !stored);
}

/* --- members come and go ------------------------------------------------------------------------
 */

static const char *invite(struct years *y, unsigned by)
{
    char how[128] = "'uses':1";
    size_t len = strlen(how);
    if (!y->plain && sim_draw(3) == 0)
        len += (size_t)snprintf(how + len, sizeof(how) - len, ",'member_for':%u",
                                DAY_S * (30 + sim_draw(90)));
    if (!y->plain && sim_draw(4) == 0)
        snprintf(how + len, sizeof(how) - len, ",'approve':true");
    return sim_world_invite(y->m[by].n, how);
}

/* A machine that is told of a failure may be a member all the same, and asks again in the end. */
static bool join(struct years *y, unsigned i)
{
    unsigned by = any_admin(y);
    struct machine *m = &y->m[i];
    const char *token = by == MOST ? NULL : invite(y, by);
    if (token == NULL)
        return by == MOST || was_refused(y);
    note(y, "join", sim_node_name(m->n), sim_node_name(y->m[by].n));
    m->wants = true;
    const char *answer = sim_world_join(m->n, token, sim_node_name(m->n));
    if (answer == NULL) {
        note(y, "not joined", sim.why, "");
        return was_refused(y);
    }
    m->asks = sim_answer_has(answer, "'waiting':true");
    m->member = !m->asks;
    return true;
}

/* An admin says yes or no, if it has heard of i. A machine that waited by the word of an admin that
 * was removed since waits for nothing, and its user begins anew. */
static bool judge(struct years *y, unsigned i, bool yes)
{
    struct machine *m = &y->m[i];
    unsigned by = any_admin(y);
    const struct pv_member *who = by == MOST ? NULL : standing(y, by, i);
    if (who == NULL || who->state != PV_MEMBER_WAITING)
        return true;
    note(y, yes ? "admit" : "deny", sim_node_name(y->m[by].n), sim_node_name(m->n));
    const char *answer = sim_world_ask(y->m[by].n, PV_S(40), "'cmd':'%s','peer':'%s'",
                                       yes ? "admit" : "deny", PV_KEY_STR(sim_node_pk(m->n)));
    if (answer == NULL)
        return false;
    said(y, by, answer, true);
    m->asks = false;
    m->member = yes;
    m->removed = !yes;
    m->wants = yes;
    return true;
}

/* Those who heard a leave pass it on. When perhaps nobody did, the user is told and an admin has to
 * remove the key in the end. */
static void left(struct years *y, const uint8_t *pk, const char *answer)
{
    if (sim_answer_has(answer, "'coordinator':'stored'"))
        return;
    memcpy(y->unheard[y->n_unheard++], pk, PV_SIGN_PK_LEN);
    for (unsigned i = 0; i < y->count; i++)
        y->m[i].owes = y->m[i].owes || is_up(y, i);
}

/* Root's machine stays, and so does the last admin. */
static bool leave(struct years *y, unsigned i)
{
    struct machine *m = &y->m[i];
    if (i == 0 || (m->admin && count_admins(y) < 2) || (m->owes && !settled(y)))
        return true;
    bool anew = sim_draw(3) == 0;
    uint8_t pk[PV_SIGN_PK_LEN];
    memcpy(pk, sim_node_pk(m->n), sizeof(pk));
    bool at_home = is_at_home(y, i); /* what another one stored waits there for a member */
    note(y, "leave", sim_node_name(m->n), anew ? "and forgets" : "");
    const char *answer = sim_world_ask(y->m[i].n, PV_S(40),
                                       anew ? "'cmd':'leave','forget':true,'last':true"
                                            : "'cmd':'leave','last':true");
    if (answer == NULL && (roster_of(y, i) != NULL || !was_refused(y))) {
        note(y, "not left", sim.why, "");
        return was_refused(y);
    }
    m->owes = false;
    left(y, pk, at_home ? answer : NULL);
    m->member = m->wants = false;
    m->admin = m->admin && !anew; /* rights are the key's, should it come back */
    return true;
}

static bool remove_one(struct years *y, unsigned i)
{
    struct machine *m = &y->m[i];
    unsigned by = any_admin(y);
    char fields[256];
    if (i == 0 && m->power != BROKEN)
        return true;
    if (by == MOST || by == i || (m->admin && (m->loose || count_admins(y) < 2 || !settled(y))))
        return true;
    if (!may(y, by) || name_of(y, by, i) == NULL)
        return true;
    unsigned heir = sim_draw(y->count);
    const char *to = heir == by || heir == i || !y->m[heir].member ? NULL : name_of(y, by, heir);
    if (m->power == BROKEN && to != NULL) { /* whose machine takes its name and address */
        note(y, "replace", sim_node_name(m->n), sim_node_name(y->m[heir].n));
        snprintf(fields, sizeof(fields), "'cmd':'replace','peer':'%s','name':'%s'",
                 name_of(y, by, i), to);
    } else {
        note(y, "remove", sim_node_name(y->m[by].n), sim_node_name(m->n));
        snprintf(fields, sizeof(fields), "'cmd':'remove','peer':'%s'", name_of(y, by, i));
    }
    const char *answer = sim_world_ask(y->m[by].n, PV_S(40), "%s", fields);
    if (answer == NULL)
        return false;
    said(y, by, answer, true);
    m->member = m->admin = m->wants = false;
    m->removed = true;
    return true;
}

/* Some admin gives it a name that nobody had. */
static bool rename_one(struct years *y, unsigned i)
{
    unsigned by = any_admin(y);
    if (by == MOST || by == i || name_of(y, by, i) == NULL)
        return true;
    note(y, "rename", sim_node_name(y->m[by].n), sim_node_name(y->m[i].n));
    const char *answer =
        sim_world_ask(y->m[by].n, PV_S(40), "'cmd':'rename','peer':'%s','name':'%s%u'",
                      name_of(y, by, i), sim_node_name(y->m[i].n), sim_draw(1000000));
    if (answer != NULL)
        said(y, by, answer, true);
    return answer != NULL;
}

/* --- admins --------------------------------------------------------------------------------------
 */

/* A machine that is an admin for all that root's machine knows gets nothing new. */
static bool grant(struct years *y, unsigned i)
{
    if (!is_up(y, 0) || !pv_engine_node(y->m[0].n->engine)->up || name_of(y, 0, i) == NULL ||
        pv_roster_rights(roster_of(y, 0), sim_node_pk(y->m[i].n)) != 0)
        return true;
    note(y, "grant", sim_node_name(y->m[0].n), sim_node_name(y->m[i].n));
    const char *answer =
        sim_world_ask(y->m[0].n, PV_S(40), "'cmd':'admin_grant','peer':'%s'", name_of(y, 0, i));
    if (answer == NULL)
        return false;
    said(y, 0, answer, false);
    y->m[i].admin = true;
    return true;
}

static bool revoke(struct years *y, unsigned i)
{
    unsigned by = any_admin(y);
    if (by == MOST || by == i || !y->m[i].admin || y->m[i].loose || count_admins(y) < 2 ||
        !settled(y) || !may(y, by) || name_of(y, by, i) == NULL)
        return true;
    note(y, "revoke", sim_node_name(y->m[by].n), sim_node_name(y->m[i].n));
    const char *answer =
        sim_world_ask(y->m[by].n, PV_S(40), "'cmd':'admin_revoke','peer':'%s'", name_of(y, by, i));
    if (answer == NULL)
        return false;
    said(y, by, answer, true);
    y->m[i].admin = false;
    return true;
}

/* --- coordinators --------------------------------------------------------------------------------
 */

static struct pv_link_config draw_line(struct years *y)
{
    return (struct pv_link_config){.delay = PV_MS(1 + sim_draw(40)),
                                   .jitter = PV_MS(sim_draw(10)),
                                   .loss = y->seed % 4 == 0 ? 0.03 : 0};
}

/* Some admin, who has the root key on paper, says that the network is at this one. */
static const char *say_home(struct years *y, unsigned by, const struct server *s)
{
    sim_node_share_root(y->m[by].n, y->m[0].n);
    return sim_world_ask(y->m[by].n, PV_S(40), "'cmd':'coordinator_add','url':'%s'",
                         sim_coord_url(s->c));
}

/* The network moves to a new one; the former one goes when it is told to. */
static bool relocate(struct years *y)
{
    unsigned by = may(y, 0) && sim_draw(3) > 0 ? 0 : any_admin(y);
    struct pv_link_config line = draw_line(y);
    if (by == MOST || !may(y, by) || y->n_servers == COORDS)
        return true;
    struct server *s = &y->s[y->n_servers];
    s->last = (uint8_t)(11 + y->n_servers);
    s->c = sim_world_coord(s->last, &line);
    sim_coord_jump_wall(s->c, y->passed_us);
    y->n_servers++;
    note(y, "move", sim_node_name(y->m[by].n), home(y)->gone ? "from a dead one" : "");
    const char *answer = say_home(y, by, s);
    if (answer == NULL)
        note(y, "not moved", sim.why, "");
    if (answer == NULL && !home(y)->gone)
        return was_refused(y);
    if (answer == NULL)
        return false;
    y->home = y->n_servers - 1;
    y->m[by].owes = true; /* until all is there */
    return true;
}

/* Its machine is gone for good, and some admin moves the network. */
static bool lose_coordinator(struct years *y)
{
    if (home(y)->gone || y->n_servers == COORDS || any_admin(y) == MOST || !settled(y))
        return true;
    note(y, "the coordinator dies", "", "");
    if (sim_coord_core(home(y)->c) != NULL)
        sim_coord_kill(home(y)->c);
    home(y)->gone = true;
    sim_world_run(PV_S(sim_draw(60)));
    return any_admin(y) == MOST || relocate(y);
}

static void coordinator_away(struct years *y)
{
    struct server *s = home(y);
    if (s->gone)
        return;
    note(y, sim_coord_core(s->c) == NULL ? "the coordinator is back" : "the coordinator is away",
         "", "");
    if (sim_coord_core(s->c) == NULL)
        sim_coord_start(s->c);
    else if (sim_draw(2) == 0)
        sim_coord_kill(s->c);
    else
        sim_coord_stop(s->c);
}

/* Its address changes, and an admin says so before or after. */
static bool readdress(struct years *y)
{
    unsigned by = any_admin(y);
    struct server *s = home(y);
    uint8_t next = (uint8_t)(60 + y->home * 30 + sim_draw(30));
    struct pv_addr ip = pv_addr4(198, 51, 100, next, 0);
    if (by == MOST || s->gone || sim_coord_core(s->c) == NULL || next == s->last || !settled(y) ||
        !may(y, by))
        return true;
    bool before = sim_draw(2) == 0;
    note(y, "the coordinator has another address", before ? "told before" : "told after", "");
    if (!before)
        sim_coord_move(s->c, &ip);
    sim_node_share_root(y->m[by].n, y->m[0].n);
    const char *answer = sim_world_ask(y->m[by].n, PV_S(40),
                                       "'cmd':'coordinator_address','addresses':'198.51.100.%u:%u',"
                                       "'coordinator':'%s'",
                                       next, SIM_COORD_PORT, PV_KEY_STR(sim_coord_pk(s->c)));
    if (before)
        sim_coord_move(s->c, &ip);
    s->last = next;
    y->m[by].owes = true;
    return answer != NULL;
}

/* --- machines and clocks -------------------------------------------------------------------------
 */

static void wake(struct machine *m)
{
    if (m->power == ASLEEP)
        sim_node_wake(m->n);
    else if (m->power == OFF)
        sim_node_start(m->n);
    if (m->power != BROKEN)
        m->power = ON;
}

static void switch_power(struct years *y, unsigned i)
{
    struct machine *m = &y->m[i];
    if (m->power != ON) {
        wake(m);
        return;
    }
    uint32_t how = sim_draw(3);
    m->power = how == 2 ? ASLEEP : OFF;
    note(y, how == 2 ? "sleep" : "off", sim_node_name(m->n), "");
    if (how == 0)
        sim_node_kill(m->n);
    else if (how == 1)
        sim_node_stop(m->n);
    else
        sim_node_sleep(m->n);
}

/* A machine that breaks takes with it what only it knew, so others know it all by then. It is
 * removed, by and by. */
static bool break_one(struct years *y, unsigned i)
{
    struct machine *m = &y->m[i];
    if (m->power == BROKEN || !m->member || (m->admin && count_admins(y) < 2) || !settled(y) ||
        (m->power != ON && sim_draw(2) == 0))
        return true;
    note(y, "broken", sim_node_name(m->n), "");
    if (m->power == ASLEEP)
        sim_node_wake(m->n);
    if (sim_node_runs(m->n))
        sim_node_kill(m->n);
    m->power = BROKEN;
    m->wants = false;
    return true;
}

/* Off by minutes, days or years. */
static int64_t draw_skew(struct years *y)
{
    static const int64_t units[] = {60, DAY_S, INT64_C(365) * DAY_S};
    int64_t by = units[sim_draw(3)] * (int64_t)(1 + sim_draw(9)) * 1000000;
    return sim_draw(2) == 0 ? by : -by;
}

static void set_clock(struct years *y)
{
    unsigned i = sim_draw(y->count + 1);
    int64_t *skew = i < y->count ? &y->m[i].skew_us : &home(y)->skew_us;
    int64_t next = *skew == 0 ? draw_skew(y) : 0;
    if (i == y->count && home(y)->gone)
        return;
    note(y, next == 0 ? "clock put right" : "clock wrong",
         i < y->count ? sim_node_name(y->m[i].n) : "coordinator", "");
    if (i < y->count)
        sim_node_jump_wall(y->m[i].n, next - *skew);
    else
        sim_coord_jump_wall(home(y)->c, next - *skew);
    *skew = next;
}

/* Days go by, for all clocks alike. */
static void pass_days(struct years *y)
{
    int64_t us = (int64_t)(1 + sim_draw(40)) * DAY_S * 1000000;
    y->passed_us += us;
    for (unsigned i = 0; i < y->count; i++)
        sim_node_jump_wall(y->m[i].n, us);
    for (unsigned i = 0; i < y->n_servers; i++)
        sim_coord_jump_wall(y->s[i].c, us);
}

/* --- a life
 * --------------------------------------------------------------------------------------- */

static bool one_more(struct years *y, unsigned i)
{
    struct machine *m = &y->m[i];
    bool on = m->power == ON;
    switch (sim_draw(17)) {
    case 0:
    case 1:
    case 2:
        if (m->asks)
            return judge(y, i, sim_draw(3) > 0);
        if (on && !m->member && !m->removed && roster_of(y, i) == NULL)
            return join(y, i);
        if (on && m->removed) { /* its user makes it a new node */
            if (!sim_world_tell(y->m[i].n, PV_S(40), "'cmd':'leave','forget':true,'last':true"))
                return was_refused(y);
            m->removed = roster_of(y, i) != NULL;
        }
        return true;
    case 3:
        return !is_up(y, i) || leave(y, i);
    case 4:
    case 5:
        return !m->member || (m->power != BROKEN && sim_draw(2) == 0) || remove_one(y, i);
    case 6:
        return !m->member || m->power == BROKEN || grant(y, i);
    case 7:
        return !m->member || revoke(y, i);
    case 8:
        return sim_draw(3) > 0 || home(y)->gone || relocate(y);
    case 9:
        return sim_draw(3) > 0 || (home(y)->gone ? relocate(y) : lose_coordinator(y));
    case 10:
        coordinator_away(y);
        return true;
    case 11:
        return readdress(y);
    case 12:
        return sim_draw(3) > 0 || break_one(y, i);
    case 13:
        set_clock(y);
        return true;
    case 14:
        return !m->member || m->removed || rename_one(y, i);
    default:
        switch_power(y, i);
        return true;
    }
}

static void add_machine(struct years *y)
{
    static const char *const names[MOST] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
    static const char *const kinds[] = {"full-cone", "address-restricted", "port-restricted"};
    struct pv_link_config line = draw_line(y);
    unsigned zone = SIM_PUBLIC;
    if (sim_draw(4) > 0)
        zone = sim_world_nat(SIM_PUBLIC, kinds[sim_draw(3)], &line);
    y->m[y->count].n = sim_world_node(zone, names[y->count], false);
    y->count++;
}

static bool begin(struct years *y)
{
    static const struct pv_link_config good = {.delay = PV_MS(10)};
    unsigned most = 6 + (unsigned)(y->seed % 5);
    sim_world_init(y->seed, &good);
    y->s[0] = (struct server){.c = sim.coord, .last = 10};
    y->n_servers = 1;
    while (y->count < FIRST)
        add_machine(y);
    if (!sim_world_join_all())
        return false;
    for (unsigned i = 0; i < FIRST; i++)
        y->m[i].member = y->m[i].wants = true;
    y->m[0].admin = true;
    memcpy(y->network, pv_roster_network_id(roster_of(y, 0)), sizeof(y->network));
    while (y->count < most)
        add_machine(y);
    return grant(y, 1);
}

/* The token that tells where the coordinator is, from one to another. */
static bool pass_token(struct years *y, unsigned from, unsigned to)
{
    note(y, "token", sim_node_name(y->m[from].n), sim_node_name(y->m[to].n));
    return sim_world_pass_token(y->m[from].n, y->m[to].n);
}

/* Somebody who is connected as its list says, whose coordinator counts as the network's home from
 * then on; y->count: nobody is. */
static unsigned find_settler(struct years *y)
{
    unsigned by = 0, before = y->home;
    while (by < y->count && !(is_up(y, by) && find_home(y, by) && is_at_home(y, by)))
        by++;
    y->home = by < y->count ? y->home : before;
    snprintf(sim.why, sizeof(sim.why), "nobody is connected as its list says");
    return by;
}

static bool all_together(void *ctx)
{
    struct years *y = ctx;
    return find_settler(y) < y->count && all_at_home(y);
}

/* The machine that knew the home may be broken: then an admin gives its URL to a machine once
 * more. */
static bool find_again(struct years *y)
{
    for (unsigned i = 0; i < y->count; i++) {
        if (is_up(y, i) && is_at_home(y, i))
            return true;
    }
    unsigned by = any_admin(y);
    return by != MOST && say_home(y, by, home(y)) != NULL;
}

/* Tells everybody who is up and has not heard of it where the coordinator is: nobody else could,
 * when the former one is gone and no path leads to others. Of two admins who moved the network
 * without knowing of each other one side has to be told, whichever counts. */
static bool tell_where(struct years *y)
{
    unsigned by = find_settler(y);
    if (by == y->count)
        return false;
    for (unsigned i = 0; i < y->count; i++) {
        if (is_up(y, i) && !is_at_home(y, i) && !pass_token(y, by, i))
            return false;
    }
    (void)sim_world_until(TOLD, all_together, y);
    return true;
}

/* Whose leave was heard by nobody is still a member, until an admin ends that. */
static bool remove_unheard(struct years *y)
{
    for (unsigned u = 0; u < y->n_unheard; u++) {
        unsigned by = any_admin(y), owner = 0;
        while (owner < y->count &&
               memcmp(sim_node_pk(y->m[owner].n), y->unheard[u], PV_SIGN_PK_LEN) != 0)
            owner++;
        if (by == MOST)
            return false;
        const struct pv_member *m = pv_roster_enrolled(roster_of(y, by), y->unheard[u]);
        if (m == NULL || (owner < y->count && y->m[owner].wants))
            continue;
        note(y, "nobody heard it leave", m->name, "");
        if (!sim_world_tell(y->m[by].n, PV_S(40), "'cmd':'remove','peer':'%s'", m->name))
            return false;
    }
    return true;
}

/* In the end an admin lets in who asks. While it waited nobody told it that the coordinator is
 * somewhere else. */
static bool decide(struct years *y, unsigned i)
{
    struct machine *m = &y->m[i];
    unsigned by = 0;
    if (!judge(y, i, true))
        return false;
    if (m->asks) {
        m->asks = false;
        return sim_world_tell(y->m[i].n, PV_S(40), "'cmd':'leave','forget':true,'last':true");
    }
    if (sim_world_until(PV_S(60), all_at_home, y))
        return settled(y);
    while (by < y->count && (by == i || !is_up(y, by) || !is_at_home(y, by)))
        by++;
    return by < y->count && pass_token(y, by, i) && settled(y);
}

/* All is up, clocks are right, everybody is told where the coordinator is, and whoever wants to be
 * in the network joins it. */
static const char *repair(struct years *y)
{
    for (unsigned i = 0; i < y->n_servers; i++) {
        sim_coord_jump_wall(y->s[i].c, -y->s[i].skew_us);
        if (!y->s[i].gone && sim_coord_core(y->s[i].c) == NULL)
            sim_coord_start(y->s[i].c);
    }
    for (unsigned i = 0; i < y->count; i++) {
        sim_node_jump_wall(y->m[i].n, -y->m[i].skew_us);
        wake(&y->m[i]);
    }
    sim_world_run(PV_S(40));
    if (home(y)->gone && (!relocate(y) || home(y)->gone))
        return "the network cannot be moved:";
    if (!find_again(y) || (!sim_world_until(TOGETHER, all_together, y) && !tell_where(y)))
        return "a node cannot learn a coordinator address:";
    if (!settled(y) || !remove_unheard(y))
        return "a node lacks statements:";
    y->plain = true;
    for (unsigned i = 0; i < y->count; i++) {
        if (y->m[i].asks && !decide(y, i))
            return "who asks hears nothing:";
    }
    for (unsigned i = 0; i < y->count; i++) {
        struct machine *m = &y->m[i];
        for (int tries = 0; tries < 3 && m->wants && !m->member; tries++) {
            if (tries > 0) /* an admin may be on its way to the coordinator */
                sim_world_run(PV_S(10));
            if (!join(y, i))
                break;
        }
        if (m->wants && !m->member)
            return "who wants to be a member cannot:";
    }
    if (!sim_world_until(PV_S(120), none_expired, y))
        return "who has expired does not come back:";
    return settled(y) ? NULL : "a node lacks statements:";
}

/* Are exactly those members who should be? A broken machine may still be one. */
static bool lists_all(struct years *y, struct pv_roster *r, const char *where)
{
    size_t n = 0;
    for (unsigned i = 0; i < y->count; i++) {
        bool is = pv_roster_by_node(r, sim_node_pk(y->m[i].n)) != NULL;
        n += is ? 1 : 0;
        const struct pv_member *m = pv_roster_enrolled(r, sim_node_pk(y->m[i].n));
        bool gone = y->m[i].power == BROKEN && m != NULL && m->state == PV_MEMBER_EXPIRED;
        if (is == y->m[i].member || gone)
            continue;
        snprintf(sim.why, sizeof(sim.why), "%s says that %s is %s member", where,
                 sim_node_name(y->m[i].n), is ? "a" : "no");
        return false;
    }
    snprintf(sim.why, sizeof(sim.why), "%s has %zu members, %zu of them unknown", where,
             pv_roster_count(r), pv_roster_count(r) - n);
    return pv_roster_count(r) == n;
}

static const char *compare(struct years *y)
{
    uint8_t digest[2][PV_STATEMENT_HASH_LEN];
    struct pv_roster *r = sim_coord_roster(home(y)->c, y->network);
    if (r == NULL || !lists_all(y, r, "the coordinator"))
        return "wrong members:";
    pv_roster_members(r, digest[0]);
    for (unsigned i = 0; i < y->count; i++) {
        const struct machine *m = &y->m[i];
        if (m->power == BROKEN || !m->member)
            continue;
        if (roster_of(y, i) == NULL || !lists_all(y, roster_of(y, i), sim_node_name(m->n)))
            return "wrong members:";
        pv_roster_members(roster_of(y, i), digest[1]);
        snprintf(sim.why, sizeof(sim.why), "%s", sim_node_name(m->n));
        if (memcmp(digest[0], digest[1], sizeof(digest[0])) != 0)
            return "another digest than the coordinator's:";
        if ((pv_roster_rights(roster_of(y, i), sim_node_pk(m->n)) != 0) != m->admin)
            return "has the wrong admin state:";
    }
    return NULL;
}

static bool is_in(const struct machine *m)
{
    return m->member && m->power != BROKEN;
}

static const char *reach(struct years *y)
{
    for (unsigned i = 0; i < y->count; i++) {
        for (unsigned k = 0; k < y->count; k++) {
            if (i == k || !is_in(&y->m[i]) || !is_in(&y->m[k]))
                continue;
            snprintf(sim.why, sizeof(sim.why), "%s to %s", sim_node_name(y->m[i].n),
                     sim_node_name(y->m[k].n));
            if (sim_world_reach(y->m[i].n, y->m[k].n, PV_MS(300), PV_S(20)) == PV_NEVER)
                return "a member does not reach another:";
        }
    }
    return NULL;
}

/* A machine that is out and has not deleted the network still knows its addresses. */
static const char *keep_out(struct years *y)
{
    unsigned before[MOST];
    for (unsigned i = 0; i < y->count; i++)
        before[i] = sim_node_pings(y->m[i].n).answered;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < y->count; i++) {
            for (unsigned k = 0; k < y->count; k++) {
                struct pv_addr to = sim_node_overlay(y->m[k].n, PV_AF_INET);
                if (y->m[i].power == ON && y->m[k].power == ON &&
                    is_in(&y->m[i]) != is_in(&y->m[k]) && to.family != PV_AF_NONE)
                    sim_node_ping(y->m[i].n, &to, 32);
            }
        }
        sim_world_run(PV_MS(500));
    }
    for (unsigned i = 0; i < y->count; i++) {
        snprintf(sim.why, sizeof(sim.why), "%s", sim_node_name(y->m[i].n));
        if (!is_in(&y->m[i]) && sim_node_pings(y->m[i].n).answered != before[i])
            return "a member answers one who is out:";
        if (sim_node_pings(y->m[i].n).strangers > 0)
            return "a node got a packet for another address:";
    }
    return NULL;
}

/* Heads agree before digests do: who has expired is told by receipts, which may come after the
 * statements. */
static bool agree(void *ctx)
{
    return compare(ctx) == NULL;
}

PV_SIM(after_years_the_right_ones_are_members_everywhere, SEEDS)
{
    static struct years y;
    memset(&y, 0, sizeof(y));
    y.seed = seed;
    sim_must(begin(&y), "beginning:");
    for (unsigned i = 0; i < EVENTS; i++) {
        sim_must(one_more(&y, sim_draw(y.count)), "a command failed:");
        if (sim_draw(4) == 0)
            pass_days(&y);
        sim_world_run(sim_draw(4) == 0 ? PV_MS(sim_draw(40000)) : PV_MS(sim_draw(2000)));
    }
    note(&y, "repair", "", "");
    const char *why = repair(&y);
    if (why == NULL)
        (void)sim_world_until(PV_S(60), agree, &y);
    why = why != NULL ? why : compare(&y);
    why = why != NULL ? why : reach(&y);
    why = why != NULL ? why : keep_out(&y);
    why = why != NULL ? why : compare(&y);
    sim_must(why == NULL, why);
}
