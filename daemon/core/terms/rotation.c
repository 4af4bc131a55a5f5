/* SPDX-License-Identifier: MIT */
/* rotation.c - the keys of this node, which of them is in use, and how another becomes it. */
#include "daemon/core/terms/rotation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/remedy.h"
#include "base/text.h"
#include "crypto/ct.h"
#include "daemon/core/admin/admin.h"
#include "daemon/core/member/membership.h"
#include "daemon/core/member/rostersync_part.h"
#include "daemon/core/node/saved.h"
#include "daemon/core/node/statuspage.h"
#include "daemon/core/peer/peers.h"
#include "proto/local/ctlapi_request.h"
#include "proto/roster/roster_make.h"

enum {
    NONE = PV_IDENTITY_OTHERS, /* no place among the others */
};

/* Since when a key is in use, in the store; no statement keeps that for ever, as the newest ones of
 * a node push out older ones. */
static const char since_name[] = "key-since";
enum {
    SINCE_LEN = PV_DH_LEN + 8,
};

struct rotation {
    struct pv_node *node;
    struct pv_identity *id;
    uint64_t interval_s; /* 0: never by itself */
    bool given;          /* the key is of the configuration */
    /* Of the key in use, and of each other one; they change places, their memory does not. */
    struct pv_wg_device devices[1 + PV_IDENTITY_OTHERS];
    struct pv_wg_device *device, *other[PV_IDENTITY_OTHERS];
    bool saving;                 /* the key to come is being written */
    bool stored;                 /* it is on the disk: to be announced */
    bool waiting;                /* a client waits */
    uint64_t handle;             /* it, and may be gone */
    bool unsaved;                /* the disk has not what is here */
    bool lost;                   /* members know a key that is not here */
    uint64_t since_s;            /* the key in use is this node's: Unix seconds; 0: in no network */
    uint8_t since_of[PV_DH_LEN]; /* the key for which that was looked up */
    uint8_t kept[SINCE_LEN];     /* as it was stored last; zeros: never */
    pv_ns look_at;
    pv_ns quiet_until; /* no change by itself before */
};

/* --- the keys -------------------------------------------------------------------------------- */

/* Devices borrow the secret halves, which stay where the identity has them: in locked memory. */
static void point(struct rotation *r)
{
    r->device->keys.sk = r->id->dh_sk;
    for (size_t i = 0; i < PV_IDENTITY_OTHERS; i++)
        r->other[i]->keys.sk = r->id->others[i].sk;
}

/* The place of a key among the others; NONE. */
static size_t place_of(const struct rotation *r, const uint8_t pk[static PV_DH_LEN])
{
    size_t i = 0;
    while (i < NONE && (!r->id->others[i].used || memcmp(r->id->others[i].pk, pk, PV_DH_LEN) != 0))
        i++;
    return i;
}

/* The place of the key to come; NONE. */
static size_t next_place(const struct rotation *r)
{
    size_t i = 0;
    while (i < NONE && (!r->id->others[i].used || r->id->others[i].replaced_s != 0))
        i++;
    return i;
}

/* The former key that was in use last; NONE. */
static size_t newest_former(const struct rotation *r)
{
    size_t best = NONE;
    for (size_t i = 0; i < PV_IDENTITY_OTHERS; i++) {
        const struct pv_other_key *other = &r->id->others[i];
        if (other->used && other->replaced_s != 0 &&
            (best == NONE || other->replaced_s > r->id->others[best].replaced_s))
            best = i;
    }
    return best;
}

static size_t oldest_former(const struct rotation *r)
{
    size_t best = NONE;
    for (size_t i = 0; i < PV_IDENTITY_OTHERS; i++) {
        const struct pv_other_key *other = &r->id->others[i];
        if (other->used && other->replaced_s != 0 &&
            (best == NONE || other->replaced_s < r->id->others[best].replaced_s))
            best = i;
    }
    return best;
}

/* The newest first: a peer that has not heard of the last change knows that one. */
static void add_former(struct pv_node *n, const struct rotation *r, size_t place)
{
    size_t at = n->keys.n_former++;
    /* Of three the newest comes first. */
    for (; at > 0; at--) {
        size_t before = 0;
        while (r->other[before] != n->keys.former[at - 1])
            before++;
        if (r->id->others[before].replaced_s >= r->id->others[place].replaced_s)
            break;
        n->keys.former[at] = n->keys.former[at - 1];
    }
    n->keys.former[at] = r->other[place];
}

/* Tells everybody which keys there are. */
static void publish(struct rotation *r)
{
    struct pv_node *n = r->node;
    n->keys.device = r->device;
    n->keys.n_former = 0;
    n->keys.next = NULL;
    for (size_t i = 0; i < PV_IDENTITY_OTHERS; i++) {
        if (!r->id->others[i].used)
            continue;
        if (r->id->others[i].replaced_s == 0)
            n->keys.next = r->other[i];
        else
            add_former(n, r, i);
    }
}

/* Wipes a key that is not in use. Sessions that were begun with it go on. */
static void drop(struct rotation *r, size_t place, pv_ns now)
{
    struct pv_wg_device *device = r->other[place];
    r->id->others[place].used = false;
    publish(r);
    for (struct pv_peer *p = NULL; (p = pv_peers_next(r->node->peers, p)) != NULL;) {
        if (!pv_peer_is_used(p))
            continue;
        pv_peer_forget_own_key(p, device);
        pv_peers_touch(r->node->peers, p, now);
    }
    pv_wipe(&r->id->others[place], sizeof(r->id->others[place]));
    pv_wg_device_wipe(device);
    point(r);
}

/* --- the disk -------------------------------------------------------------------------------- */

/* All keys, in one file that is replaced as a whole. */
static bool save(struct rotation *r, pv_job_done *done)
{
    const struct pv_identity *id = r->id;
    struct pv_job *job = pv_job_new(PV_JOB_SAVE_KEYS);
    if (job == NULL)
        return false;
    struct pv_job_keys *keys = &job->u.keys;
    memcpy(keys->keys[keys->n++].sk, id->dh_sk, PV_DH_LEN);
    for (size_t i = 0; i < PV_IDENTITY_OTHERS; i++) {
        if (!id->others[i].used)
            continue;
        memcpy(keys->keys[keys->n].sk, id->others[i].sk, PV_DH_LEN);
        keys->keys[keys->n++].replaced_s = id->others[i].replaced_s;
    }
    return pv_jobqueue_submit(&r->node->jobs, job, done, r, 0);
}

static void change_saved(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct rotation *r = wait->self;
    r->unsaved = r->unsaved || result->status != PV_OK;
    pv_node_stored(r->node, result);
}

/* The keys on the disk meanwhile are as good for a start: the roster says which of its keys is
 * used. A node that leaves its network may be about to delete the file, so nothing is written
 * then. */
static void save_change(struct rotation *r)
{
    if (r->given || r->node->roster == NULL)
        return;
    r->unsaved = !save(r, change_saved);
}

/* Again after a write failed, as every part does with what it keeps. */
static void save_since(struct rotation *r)
{
    if (r->node->roster != NULL && !pv_ct_is_zero(r->kept, sizeof(r->kept)))
        pv_node_put_meta(r->node, since_name, pv_view(r->kept, sizeof(r->kept)));
}

/* --- which one is in use ---------------------------------------------------------------------- */

/* Sessions go on. A peer that was never used has no session that it could lose, and is told with
 * the first signal. */
static void promote(struct rotation *r, size_t place, bool starting, pv_ns now)
{
    struct pv_identity *id = r->id;
    struct pv_other_key *other = &id->others[place];
    struct pv_other_key was = {.used = true, .replaced_s = pv_node_wall_s(r->node, now)};
    struct pv_wg_device *device = r->device;
    memcpy(was.sk, id->dh_sk, sizeof(was.sk));
    memcpy(was.pk, id->dh_pk, sizeof(was.pk));
    memcpy(id->dh_sk, other->sk, sizeof(id->dh_sk));
    memcpy(id->dh_pk, other->pk, sizeof(id->dh_pk));
    *other = was;
    pv_wipe(&was, sizeof(was));
    r->device = r->other[place];
    r->other[place] = device;
    point(r);
    if (!starting) {
        r->node->keys.number++;
        r->node->keys.former_until = now + PV_PEER_FORMER_TIME;
        for (struct pv_peer *p = NULL; (p = pv_peers_next(r->node->peers, p)) != NULL;)
            if (!pv_peer_is_used(p))
                pv_peer_note_own_key(p);
    }
    publish(r);
    save_change(r);
    if (!starting) {
        memcpy(r->kept, id->dh_pk, PV_DH_LEN);
        pv_store_be64(r->kept + PV_DH_LEN, pv_node_wall_s(r->node, now));
        save_since(r);
    }
    pv_log(r->node->log, PV_LOG_INFO, "what=\"transport key replaced\"");
}

/* Finds out since when the key in use is this node's. A node that renews its membership says its
 * key again, which makes that no younger. */
static void find_since(struct rotation *r, const struct pv_member *self)
{
    const struct pv_roster *roster = r->node->roster;
    if (r->since_s != 0 && memcmp(r->since_of, self->transport, PV_DH_LEN) == 0)
        return; /* of many statements none comes to look at them all */
    memcpy(r->since_of, self->transport, PV_DH_LEN);
    r->since_s = UINT64_MAX;
    for (const struct pv_roster_entry *e = pv_roster_next_entry(roster, NULL); e != NULL;
         e = pv_roster_next_entry(roster, e)) {
        if (e->st.type != PV_ST_TRANSPORT ||
            memcmp(e->st.signer, self->node, PV_SIGN_PK_LEN) != 0 ||
            memcmp(e->st.u.transport.transport, self->transport, PV_DH_LEN) != 0)
            continue;
        r->since_s = r->since_s < e->st.u.transport.time ? r->since_s : e->st.u.transport.time;
    }
    if (memcmp(r->kept, self->transport, PV_DH_LEN) == 0)
        r->since_s = pv_load_be64(r->kept + PV_DH_LEN);
    if (r->since_s == UINT64_MAX)
        r->since_s = self->issued;
}

/* The roster alone says which key is in use: members go by it. */
static void follow_roster(struct rotation *r, bool starting, pv_ns now)
{
    const struct pv_member *self = pv_node_self(r->node);
    if (self == NULL) {
        r->since_s = 0;
        r->lost = false;
        return;
    }
    bool same = memcmp(self->transport, r->id->dh_pk, PV_DH_LEN) == 0;
    size_t place = same ? NONE : place_of(r, self->transport);
    r->lost = !same && place == NONE;
    if (r->lost)
        r->look_at = now; /* nobody can reach this node by it: another one, at once */
    if (place != NONE)
        promote(r, place, starting, now);
    find_since(r, self);
}

/* --- a change -------------------------------------------------------------------------------- */

/* A failure while nobody waits is logged, and tried again at another look. */
static void answer_error(struct rotation *r, enum pv_ctlapi_code code, const char *why)
{
    if (r->waiting)
        pv_ctlsrv_fail(r->node->ctl, r->handle, code, PV_STR("key rotate: %s", why));
    else
        pv_log(r->node->log, PV_LOG_WARN, "what=\"transport key not replaced\" why=\"%s\"", why);
    r->waiting = false;
}

static pv_job_done next_saved;

/* Step 1. The oldest former key gives way where all places are taken. */
static bool begin(struct rotation *r, pv_ns now)
{
    size_t place = 0;
    while (place < NONE && r->id->others[place].used)
        place++;
    if (place == NONE)
        place = oldest_former(r);
    if (r->id->others[place].used)
        drop(r, place, now);
    struct pv_other_key *next = &r->id->others[place];
    pv_rng_fill(&r->node->rng, next->sk, sizeof(next->sk));
    pv_wg_device_init(r->other[place], next->sk);
    memcpy(next->pk, r->other[place]->keys.pk, sizeof(next->pk));
    next->used = true;
    publish(r);
    r->saving = save(r, next_saved);
    if (!r->saving)
        drop(r, place, now);
    return r->saving;
}

/* Has this node said before that it uses this key? Then it is another member's, or its own newer
 * word counts. */
static bool is_announced(const struct rotation *r, const uint8_t *pk)
{
    return pv_roster_had_transport(r->node->roster, r->id->sign_pk, pk);
}

/* Step 2, and with it step 3. */
static void announce(struct rotation *r, pv_ns now)
{
    struct pv_node *n = r->node;
    size_t place = next_place(r);
    struct pv_made made;
    r->stored = false;
    if (place == NONE)
        return;
    if (pv_node_self(n) == NULL || is_announced(r, r->id->others[place].pk)) {
        drop(r, place, now);
        save_change(r);
        answer_error(r, PV_CTLAPI_FAILED,
                     pv_node_self(n) == NULL ? "this node is no member any more"
                                             : "another member claims the same key: run it again");
        return;
    }
    struct pv_st_transport st = {.serial = pv_roster_next_serial(n->roster, r->id->sign_pk),
                                 .time = pv_node_wall_s(n, now)};
    memcpy(st.transport, r->id->others[place].pk, sizeof(st.transport));
    int status = pv_make_transport(pv_roster_network_id(n->roster), r->id->sign_sk, &st, &made);
    if (status == PV_OK)
        status = pv_membership_say(n, pv_made_view(&made), now);
    if (status != PV_OK) {
        /* It stays, and is announced at the next look. */
        r->look_at = now + PV_ROTATION_LOOK;
        answer_error(r, PV_CTLAPI_FAILED, "the statement could not be made: it is tried again");
        return;
    }
    follow_roster(r, false, now);
    if (r->waiting)
        pv_admin_answer_when_told(n, r->handle, now);
    else
        pv_rostersync_hurry(n, now);
    r->waiting = false;
}

static void run_rotation(void *part, pv_ns now)
{
    struct rotation *r = part;
    if (r->stored)
        announce(r, now);
}

/* A key that is on no disk would be gone after the next crash, so it is told to nobody. */
static void next_saved(struct pv_jobwait *wait, struct pv_job_result *result, pv_ns now)
{
    struct rotation *r = wait->self;
    size_t place = next_place(r);
    r->saving = false;
    if (result->status == PV_OK && r->node->roster != NULL) {
        r->stored = true;
        return;
    }
    if (place != NONE)
        drop(r, place, now);
    answer_error(r, r->node->roster == NULL ? PV_CTLAPI_NOT_JOINED : PV_CTLAPI_FAILED,
                 r->node->roster == NULL ? "this machine left the network meanwhile"
                                         : result->error);
}

/* --- by itself ------------------------------------------------------------------------------- */

/* How old the key gets: a tenth more or less, another share for each key. */
static uint64_t lifetime(const struct rotation *r)
{
    return r->interval_s - r->interval_s / 10 +
           pv_load_be64(r->id->dh_pk) % (r->interval_s / 5 + 1);
}

/* Static peers and phones have this node's key in files that only people can change. */
static size_t count_files(const struct rotation *r)
{
    return pv_peers_count_statics(r->node->peers) + pv_peers_count_phones(r->node->peers);
}

/* A key that people wrote into files elsewhere is left to them. */
static bool by_itself(const struct rotation *r)
{
    return r->interval_s > 0 && !r->given && count_files(r) == 0;
}

/* A clock before the time at which this node joined is wrong, and says nothing of ages. */
static bool clock_counts(const struct rotation *r, uint64_t wall)
{
    const struct pv_member *self = pv_node_self(r->node);
    return self != NULL && wall >= self->joined;
}

/* A key that members know and this node has not makes it unreachable, which nothing can wait for.
 */
static bool is_due(const struct rotation *r, uint64_t wall, pv_ns now)
{
    const struct pv_node *n = r->node;
    if (!n->up || n->removed || pv_node_self(n) == NULL)
        return false;
    if (r->lost)
        return !r->given;
    if (!by_itself(r) || now < r->quiet_until || !clock_counts(r, wall))
        return false;
    if (r->since_s > wall + PV_ROTATION_CLOCK_S)
        return n->online; /* the clock was wrong then */
    uint64_t age = wall > r->since_s ? wall - r->since_s : 0;
    return age >= lifetime(r) + (n->online ? 0 : PV_ROTATION_PATIENCE_S);
}

/* Former keys that are old enough go. */
static void expire(struct rotation *r, uint64_t wall, pv_ns now)
{
    bool gone = false;
    for (size_t i = 0; i < PV_IDENTITY_OTHERS && clock_counts(r, wall); i++) {
        struct pv_other_key *other = &r->id->others[i];
        if (!other->used || other->replaced_s == 0)
            continue;
        if (other->replaced_s > wall + PV_ROTATION_CLOCK_S) {
            other->replaced_s = wall;
            gone = true;
        } else if (wall >= other->replaced_s + PV_ROTATION_KEEP_S) {
            drop(r, i, now);
            gone = true;
        }
    }
    if (gone)
        save_change(r);
}

static void handle_timeout(void *part, pv_ns now)
{
    struct rotation *r = part;
    uint64_t wall = pv_node_wall_s(r->node, now);
    if (now < r->look_at)
        return;
    r->look_at = now + PV_ROTATION_LOOK;
    if (r->node->roster == NULL)
        return;
    expire(r, wall, now);
    if (r->saving || r->stored)
        return;
    if (next_place(r) != NONE)
        r->stored = r->node->up; /* an announcement failed */
    else if (is_due(r, wall, now) && !begin(r, now))
        answer_error(r, PV_CTLAPI_FAILED, "out of memory");
}

static pv_ns next_timeout(const void *part)
{
    const struct rotation *r = part;
    return r->node->roster == NULL ? PV_NEVER : r->look_at;
}

/* --- the command ------------------------------------------------------------------------------ */

static bool statics_agree(const struct rotation *r, const struct pv_ctlapi_request *req,
                          char text[static PV_CTLAPI_ERROR_BUF])
{
    const struct pv_peer *p = pv_peers_next_static(r->node->peers, NULL);
    const char *kind = p != NULL ? "static peer" : "phone";
    size_t n = count_files(r);
    if (n == 0 || req->u.rotate.statics)
        return true;
    if (p == NULL)
        p = pv_peers_next(r->node->peers, NULL);
    while (p != NULL && !pv_peer_is_static(p))
        p = pv_peers_next(r->node->peers, p);
    snprintf(text, PV_CTLAPI_ERROR_BUF,
             "%s %s%s this node by its present key, which you would have to replace there "
             "within 15 days: `key rotate --static` if you will",
             kind, p == NULL ? "?" : pv_peer_name(p), n == 1 ? " knows" : " and others know");
    return false;
}

static void run_key_rotate(void *part, struct pv_ctlapi_request *req, struct pv_peer *p,
                           uint64_t handle, pv_ns now)
{
    struct rotation *r = part;
    char text[PV_CTLAPI_ERROR_BUF];
    if (r->waiting || r->saving || r->stored) {
        pv_ctlsrv_fail(r->node->ctl, handle, PV_CTLAPI_FAILED,
                       "key rotate: another change is under way: wait for it");
        return;
    }
    r->waiting = true;
    r->handle = handle;
    if (!r->node->up)
        answer_error(r, PV_CTLAPI_FAILED, PV_STR("this node is down: %s", PV_DO_STR(up)));
    else if (r->given)
        answer_error(r, PV_CTLAPI_REFUSED,
                     "the key is that of [interface] private-key-file, which only you replace: "
                     "without that line p2pvpnd makes and replaces its own");
    else if (!statics_agree(r, req, text))
        answer_error(r, PV_CTLAPI_REFUSED, text);
    else if (pv_node_self(r->node) == NULL)
        answer_error(r, PV_CTLAPI_FAILED,
                     "this node is no member at present: `p2pvpnctl status` says why");
    else if (next_place(r) != NONE)
        r->stored = true; /* an announcement failed: the same key again */
    else if (!begin(r, now))
        answer_error(r, PV_CTLAPI_FAILED, "out of memory");
}

/* The client is gone; the change goes on. */
static void on_cancel(void *part, uint64_t handle, pv_ns now)
{
    struct rotation *r = part;
    r->waiting = r->waiting && r->handle != handle;
}

/* --- news ------------------------------------------------------------------------------------ */

static void on_facts(void *part, unsigned facts, pv_ns now)
{
    struct rotation *r = part;
    if ((facts & PV_FACT_NETWORK) != 0 && r->node->roster == NULL && !r->saving) {
        size_t next = next_place(r);
        r->stored = false;
        if (next != NONE)
            drop(r, next, now);
    }
    if ((facts & PV_FACT_NETWORK) != 0)
        r->look_at = now + PV_ROTATION_LOOK;
    if ((facts & (PV_FACT_NETWORK | PV_FACT_ROSTER | PV_FACT_STATEMENTS)) != 0)
        follow_roster(r, false, now);
    if ((facts & PV_FACT_STORE) != 0)
        save_since(r);
    if ((facts & PV_FACT_STORE) != 0 && r->unsaved)
        save_change(r);
}

/* A peer that has all our statements knows which key is in use. */
static void on_peer(void *part, struct pv_peer *p, unsigned facts, pv_ns now)
{
    struct rotation *r = part;
    if (!pv_peer_knows_own_key(p) && pv_peer_notes_of(p)->in_sync &&
        pv_rostersync_member_knows(r->node, p))
        pv_peer_note_own_key(p);
}

/* --- what it says of itself ------------------------------------------------------------------- */

/* May that one have a file with a key that was replaced then? Not a phone whose file was made
 * later; and which key another has shown to know is remembered until this program ends. */
static bool has_former(const struct rotation *r, const struct pv_peer *p, uint64_t replaced_s)
{
    const struct pv_member *m = pv_peer_is_phone(p) && r->node->roster != NULL
                                    ? pv_roster_by_node(r->node->roster, pv_peer_pk(p))
                                    : NULL;
    return pv_peer_is_static(p) && (m == NULL || m->joined <= replaced_s) &&
           (r->node->keys.number == 0 || !pv_peer_is_used(p) || !pv_peer_knows_own_key(p));
}

/* Until when static peers may go on with the key of before; 0: there is none. */
static uint64_t statics_until(const struct rotation *r)
{
    size_t former = newest_former(r);
    uint64_t replaced_s = former == NONE ? 0 : r->id->others[former].replaced_s;
    if (former == NONE || count_files(r) == 0)
        return 0;
    for (struct pv_peer *p = NULL; (p = pv_peers_next(r->node->peers, p)) != NULL;) {
        if (has_former(r, p, replaced_s))
            return replaced_s + PV_ROTATION_KEEP_S;
    }
    return 0;
}

static void show(void *part, struct pv_statuspage *st, pv_ns now)
{
    const struct rotation *r = part;
    uint64_t wall = pv_node_wall_s(r->node, now), until = statics_until(r);
    if (r->node->roster != NULL)
        st->s.wg_key_since_s = r->since_s;
    if (r->node->roster != NULL && by_itself(r))
        st->s.wg_key_until_s = r->since_s + lifetime(r);
    if (until > wall) {
        const char *text = PV_STR("static peers may use the former key of this node for %u days "
                                  "more: ",
                                  (unsigned)((until - wall) / 86400));
        pv_statuspage_todo(st, text, PV_DO(give_new_key));
    }
    if (r->lost && r->given)
        pv_statuspage_todo(st,
                           "members know another key of this node than that of private-key-file: ",
                           PV_DO(former_key));
}

/* --- life ------------------------------------------------------------------------------------ */

static int start(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rotation *r = part;
    r->id = r->node->identity;
    r->interval_s = cfg->rotate_s;
    r->given = cfg->key_given;
    r->device = &r->devices[0];
    pv_wg_device_init(r->device, r->id->dh_sk);
    for (size_t i = 0; i < PV_IDENTITY_OTHERS; i++) {
        r->other[i] = &r->devices[1 + i];
        if (r->id->others[i].used)
            pv_wg_device_init(r->other[i], r->id->others[i].sk);
    }
    point(r);
    r->look_at = now + PV_ROTATION_LOOK;
    r->quiet_until = now + PV_ROTATION_QUIET +
                     PV_MS(1) * pv_rng_below(&r->node->rng, PV_ROTATION_QUIET / PV_MS(1));
    publish(r);
    return PV_OK;
}

/* A key to come that is on the disk was to be announced when this node stopped. */
static int restore_rotation(void *part, const struct pv_engine_config *cfg, pv_ns now)
{
    struct rotation *r = part;
    const struct pv_view kept = pv_saved_value(cfg->saved, since_name);
    if (kept.len == sizeof(r->kept))
        memcpy(r->kept, kept.ptr, kept.len);
    follow_roster(r, true, now);
    r->stored = next_place(r) != NONE && pv_node_self(r->node) != NULL && r->node->up;
    return PV_OK;
}

static void free_rotation(void *part)
{
    struct rotation *r = part;
    r->node->keys.device = NULL;
    r->node->keys.n_former = 0;
    r->node->keys.next = NULL;
    pv_wipe(r->devices, sizeof(r->devices));
}

static const struct pv_command_handler commands[] = {
    {PV_CTLAPI_KEY_ROTATE, PV_NEEDS_NETWORK, run_key_rotate},
};

const struct pv_part pv_part_rotation = {
    .name = "rotation",
    .after = {"membership"}, /* which key is in use follows from the roster */
    .size = PV_PART_SIZE(struct rotation),
    .start = start,
    .free = free_rotation,
    .restore = restore_rotation,
    .on_facts = on_facts,
    .on_peer = on_peer,
    .run = run_rotation,
    .handle_timeout = handle_timeout,
    .next_timeout = next_timeout,
    .on_cancel = on_cancel,
    .commands = commands,
    .n_commands = PV_ARRAY_LEN(commands),
    .status = show,
};
