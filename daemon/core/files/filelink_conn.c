/* SPDX-License-Identifier: MIT */
/* filelink_conn.c - accepted connections: who is at their other end, proven where the peer's daemon
 * can prove itself, and which file it asks for. */
#include <string.h>

#include "crypto/ct.h"
#include "daemon/core/files/filelink_int.h"

/* The place for one more connection of this peer. When all are taken, who has most gives its
 * oldest: a few members, or users of their machines, cannot keep the others out. Those who asked
 * are not here any more. */
static struct pv_file_conn *place_for(struct pv_filelink *l, const uint8_t *pk)
{
    struct pv_file_conn *free_one = NULL, *oldest = NULL, *victim = NULL;
    size_t of_peer = 0, most = 0;
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++) {
        struct pv_file_conn *c = &l->conns[i];
        size_t same = 0;
        if (c->sid == 0) {
            free_one = c;
            continue;
        }
        for (size_t k = 0; k < PV_FILELINK_MAX_CONNS; k++)
            same += l->conns[k].sid != 0 && memcmp(l->conns[k].pk, c->pk, sizeof(c->pk)) == 0;
        if (same > most || (same == most && c->deadline < victim->deadline)) {
            most = same;
            victim = c;
        }
        if (memcmp(c->pk, pk, sizeof(c->pk)) != 0)
            continue;
        of_peer++;
        if (oldest == NULL || c->deadline < oldest->deadline)
            oldest = c;
    }
    if (of_peer >= PV_FILELINK_MAX_PEER_CONNS)
        return oldest;
    return free_one != NULL ? free_one : victim;
}

void pv_file_conn_end(struct pv_filelink *l, struct pv_file_conn *c)
{
    pv_streams_forget(l->streams, &c->turn);
    c->sid = 0;
}

void pv_file_close(struct pv_filelink *l, struct pv_file_conn *c)
{
    pv_file_op(l, &(struct pv_fileop){.type = PV_FILEOP_CLOSE, .sid = c->sid});
    pv_file_conn_end(l, c);
}

int pv_filelink_accepted(struct pv_filelink *l, const uint8_t *pk, pv_ns now, uint32_t *ret_sid)
{
    struct pv_file_conn *c = place_for(l, pk);
    if (c->sid != 0)
        pv_file_close(l, c);
    /* The upper bits of a sid name the kind of stream (pv_sid), so numbers begin again
     * below them. */
    l->last_sid = l->last_sid % PV_STREAM_LOCAL_MASK + 1;
    *c = (struct pv_file_conn){
        .sid = l->last_sid, .want = PV_FILE_MAGIC_LEN, .deadline = now + PV_S(PV_FILELINK_ASK_S)};
    memcpy(c->pk, pk, sizeof(c->pk));
    *ret_sid = l->last_sid;
    return PV_OK;
}

static struct pv_file_conn *find_conn(struct pv_filelink *l, uint32_t sid)
{
    for (size_t i = 0; i < PV_FILELINK_MAX_CONNS; i++)
        if (sid != 0 && l->conns[i].sid == sid)
            return &l->conns[i];
    return NULL;
}

void pv_filelink_closed(struct pv_filelink *l, uint32_t sid)
{
    struct pv_file_conn *c = find_conn(l, sid);
    if (c != NULL)
        pv_file_conn_end(l, c);
}

static void serve(struct pv_filelink *l, struct pv_file *f, uint32_t sid, uint64_t offset,
                  pv_ns now)
{
    struct pv_fileop op = {.type = PV_FILEOP_SERVE,
                           .tag = ++l->last_tag,
                           .sid = sid,
                           .handle = f->handle,
                           .size = f->e.size,
                           .offset = offset,
                           .stamp = f->stamp};
    memcpy(op.id, f->e.id, sizeof(op.id));
    pv_file_cancel(l, f); /* whoever asks again has lost the connection before */
    f->tag = op.tag;
    f->e.running = true;
    f->e.done = offset;
    pv_file_judge(f, offset, now);
    f->heard = true;
    pv_file_set(l, f, PV_FILE_ACCEPTED, PV_FILE_WHY_NONE, now);
    f->tell_now = false; /* it asks: it knows */
    f->tell_at = now + PV_FILELINK_REFRESH;
    f->changed = true;
    pv_file_begin(l, f, &op, now);
}

static void take_get(struct pv_filelink *l, const struct pv_file_conn *c, const uint8_t *get,
                     pv_ns now)
{
    uint8_t id[PV_FILE_ID_LEN];
    uint64_t offset;
    struct pv_fileop op = {.type = PV_FILEOP_ANSWER, .sid = c->sid};
    if (pv_file_get_parse(get, id, &offset) != PV_OK) {
        op.type = PV_FILEOP_CLOSE;
        pv_file_op(l, &op);
        return;
    }
    struct pv_file *f = pv_filelink_by_id(l, c->pk, id, true);
    /* The table decides and nothing else: id and peer must both fit, so a member cannot fetch the
     * file of another. */
    if (f != NULL && f->e.state == PV_FILE_FAILED && f->e.why != PV_FILE_WHY_NONE)
        op.why = f->e.why; /* it asks again: the first answer, or our notice, may still be coming */
    else if (f == NULL || pv_file_is_final(f) || offset > f->e.size)
        op.why = PV_FILE_WHY_GONE;
    else if (!pv_file_may_move(l, f))
        op.why = PV_FILE_WHY_RULES;
    else if (f->handle < 0)
        op.why = PV_FILE_WHY_ABSENT;
    else if (f->tag == 0 && !pv_filelink_make_room(l, f, now))
        op.why = PV_FILE_WHY_BUSY;
    else
        op.why = PV_FILE_WHY_NONE;
    if (op.why == PV_FILE_WHY_NONE) {
        serve(l, f, c->sid, offset, now);
        return;
    }
    if (op.why == PV_FILE_WHY_ABSENT)
        pv_file_set_why(l, f, op.why);
    pv_file_op(l, &op);
}

/* --- the proof ----------------------------------------------------------------------------- */

/* Is the opener's proof right? With ours true, puts our own proof into mac instead. Without the
 * peer's secret neither can be done, and the connection ends. */
static bool check(const struct pv_filelink *l, const struct pv_file_conn *c, bool ours,
                  uint8_t mac[static PV_PROOF_MAC_LEN])
{
    uint8_t key[PV_PROOF_KEY_LEN];
    if (!pv_linkkeys_key(l->keys, c->pk, key))
        return false;
    const struct pv_proof proof = {.key = key,
                                   .opener = c->pk,
                                   .acceptor = l->own_pk,
                                   .opener_nonce = c->peer_nonce,
                                   .acceptor_nonce = c->out};
    bool right = ours || pv_proof_is_right(&proof, PV_PROOF_FILE_OPENED, mac);
    if (ours)
        pv_proof_mac(&proof, PV_PROOF_FILE_ACCEPTED, mac);
    pv_wipe(key, sizeof(key));
    return right;
}

/* We prove ourselves first: who asks must not tell the id to somebody who only has our port. */
static bool take_hello(struct pv_filelink *l, struct pv_file_conn *c)
{
    memcpy(c->peer_nonce, c->buf + PV_FILE_MAGIC_LEN, sizeof(c->peer_nonce));
    pv_rng_fill(&l->rng, c->out, PV_PROOF_NONCE_LEN);
    if (!check(l, c, true, c->out + PV_PROOF_NONCE_LEN))
        return false;
    c->out_len = PV_FILE_CHALLENGE_LEN;
    pv_streams_wake(l->streams, &c->turn, PV_STREAM_FILE, c->sid);
    c->challenged = true;
    c->len = 0;
    c->want = PV_PROOF_MAC_LEN + PV_FILE_GET_LEN;
    return true;
}

/* The bytes are as many as they should be. False: the connection must be closed. */
static bool take_frame(struct pv_filelink *l, struct pv_file_conn *c, pv_ns now)
{
    if (!c->challenged && c->want == PV_FILE_MAGIC_LEN) {
        c->want = pv_file_is_hello(c->buf) ? PV_FILE_HELLO_LEN : PV_FILE_GET_LEN;
        return true;
    }
    if (!c->challenged && c->want == PV_FILE_HELLO_LEN)
        return take_hello(l, c);
    if (!c->challenged && pv_linkkeys_state(l->keys, c->pk) != PV_LINKKEYS_NONE)
        return false;
    if (c->challenged && !check(l, c, false, c->buf))
        return false;
    /* From here the connection belongs to the operation: the slot is free for the next one. */
    take_get(l, c, c->challenged ? c->buf + PV_PROOF_MAC_LEN : c->buf, now);
    pv_file_conn_end(l, c);
    return true;
}

void pv_filelink_handle_bytes(struct pv_filelink *l, uint32_t sid, struct pv_view bytes, pv_ns now)
{
    struct pv_file_conn *c = find_conn(l, sid);
    while (c != NULL && c->sid != 0 && bytes.len > 0) {
        size_t n = c->want - c->len < bytes.len ? c->want - c->len : bytes.len;
        /* Behind a HELLO and behind the request it must wait for the answer. */
        bool early = n < bytes.len && c->want != PV_FILE_MAGIC_LEN;
        memcpy(c->buf + c->len, bytes.ptr, n);
        c->len += n;
        bytes = pv_view(bytes.ptr + n, bytes.len - n);
        if (early || (c->len == c->want && !take_frame(l, c, now))) {
            l->unproven += !early;
            pv_file_close(l, c);
        }
    }
}

struct pv_view pv_filelink_out(struct pv_filelink *l, uint32_t sid)
{
    const struct pv_file_conn *c = find_conn(l, sid);
    return c == NULL ? pv_view(NULL, 0) : pv_view(c->out + c->out_done, c->out_len - c->out_done);
}

void pv_filelink_wrote(struct pv_filelink *l, uint32_t sid, size_t n)
{
    struct pv_file_conn *c = find_conn(l, sid);
    if (c != NULL)
        c->out_done += n;
}

uint64_t pv_filelink_unproven(const struct pv_filelink *l)
{
    return l->unproven;
}
