/* SPDX-License-Identifier: MIT */
/*
 * room.c - signed records of rooms: parsing, making (PROTOCOL-PEERS.md "Rooms"). Records are handed
 * on by members who did not write them, so each carries its author's signature over the network and
 * the record; one record has one encoding, since rooms compare hashes.
 */
#include "proto/chat/room.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

enum {
    VERSION = 1,
};
static const char context[] = "p2pvpn room v1";

bool pv_room_name_is_valid(const char *name)
{
    return strlen(name) <= PV_ROOM_NAME_MAX && pv_name_is_valid(name);
}

bool pv_room_base(const struct pv_room_record *record, size_t i, struct pv_room_have *ret_have)
{
    if (i >= record->base.len / PV_ROOM_HAVE_LEN)
        return false;
    const uint8_t *at = record->base.ptr + i * PV_ROOM_HAVE_LEN;
    memcpy(ret_have->author, at, sizeof(ret_have->author));
    ret_have->seq = pv_load_be64(at + sizeof(ret_have->author));
    return true;
}

/* --- parsing ------------------------------------------------------------------------------- */

/* The list of an invite's base ascends by author, so that one list has one form. */
static bool base_is_canonical(struct pv_view base)
{
    if (base.len % PV_ROOM_HAVE_LEN != 0 || base.len > PV_ROOM_MAX_MEMBERS * PV_ROOM_HAVE_LEN)
        return false;
    for (size_t i = 0; i < base.len; i += PV_ROOM_HAVE_LEN) {
        if (pv_load_be64(base.ptr + i + PV_SIGN_PK_LEN) > PV_CHAT_SEQ_MAX ||
            (i > 0 && memcmp(base.ptr + i - PV_ROOM_HAVE_LEN, base.ptr + i, PV_SIGN_PK_LEN) >= 0))
            return false;
    }
    return true;
}

static void get_room_name(struct pv_reader *in, struct pv_room_record *rec)
{
    struct pv_view name = pv_get_view16(in, PV_ROOM_NAME_MAX);
    if (in->status != PV_OK)
        return;
    memcpy(rec->name, name.ptr, name.len);
    rec->name[name.len] = '\0';
    if (strlen(rec->name) != name.len || !pv_room_name_is_valid(rec->name))
        pv_reader_fail(in, PV_ERR_MALFORMED);
}

static bool record_is_known(uint8_t type)
{
    switch ((enum pv_room_type)type) {
    case PV_ROOM_CREATE:
    case PV_ROOM_INVITE:
    case PV_ROOM_LEAVE:
    case PV_ROOM_TEXT:
        return true;
    }
    return false;
}

/* The fields between head and signature. Limits are checked here, before the signature: a record
 * that no member may make need not be verified. */
static void get_record_fields(struct pv_reader *in, struct pv_room_record *rec)
{
    switch (rec->type) {
    case PV_ROOM_CREATE:
        rec->time_ms = pv_get_u64(in);
        pv_get_copy(in, rec->nonce, sizeof(rec->nonce));
        get_room_name(in, rec);
        break;
    case PV_ROOM_INVITE:
        pv_get_copy(in, rec->node, sizeof(rec->node));
        rec->round = pv_get_u32(in);
        rec->time_ms = pv_get_u64(in);
        rec->base = pv_get_view16(in, PV_ROOM_MAX_MEMBERS * PV_ROOM_HAVE_LEN);
        if (rec->round == 0 || !base_is_canonical(rec->base))
            pv_reader_fail(in, PV_ERR_MALFORMED);
        break;
    case PV_ROOM_LEAVE:
        rec->round = pv_get_u32(in);
        rec->time_ms = pv_get_u64(in);
        rec->seq = pv_get_u64(in);
        if (rec->round == 0)
            pv_reader_fail(in, PV_ERR_MALFORMED);
        break;
    case PV_ROOM_TEXT:
        rec->seq = pv_get_u64(in);
        rec->time_ms = pv_get_u64(in);
        rec->text = in->rest;
        in->rest = pv_view(in->rest.ptr + in->rest.len, 0);
        if (rec->seq == 0 || !pv_chat_text_is_valid(rec->text))
            pv_reader_fail(in, PV_ERR_MALFORMED);
        break;
    }
    if (rec->seq > PV_CHAT_SEQ_MAX || rec->time_ms > PV_CHAT_SEQ_MAX)
        pv_reader_fail(in, PV_ERR_MALFORMED);
}

/* The signature is checked after the form and before anything is returned; without a network (own
 * records from the disk) it is known to be right. */
int pv_room_record_parse(struct pv_view raw, const uint8_t *network,
                         struct pv_room_record *ret_record)
{
    struct pv_room_record rec = {.round = 0};
    if (raw.len < 2 + PV_SIGN_PK_LEN + PV_SIGN_LEN)
        return PV_ERR_TRUNCATED;
    if (raw.len > PV_ROOM_RECORD_MAX)
        return PV_ERR_LIMIT;
    if (raw.ptr[0] != VERSION || !record_is_known(raw.ptr[1]))
        return PV_ERR_UNSUPPORTED;
    struct pv_view body = pv_view(raw.ptr, raw.len - PV_SIGN_LEN);
    struct pv_reader in = pv_reader(pv_view(body.ptr + 2, body.len - 2));
    rec.type = (enum pv_room_type)raw.ptr[1];
    if (rec.type != PV_ROOM_CREATE)
        pv_get_copy(&in, rec.room, sizeof(rec.room));
    pv_get_copy(&in, rec.signer, sizeof(rec.signer));
    get_record_fields(&in, &rec);
    int r = pv_reader_end(&in);
    if (r == PV_OK && network != NULL)
        r = pv_sign_verify(body.ptr + body.len, context, pv_view(network, PV_ROOM_NETWORK_LEN),
                           body, rec.signer);
    if (r < 0)
        return r;
    pv_blake2b(rec.hash, raw, pv_view(NULL, 0), pv_view(NULL, 0));
    if (rec.type == PV_ROOM_CREATE)
        memcpy(rec.room, rec.hash, sizeof(rec.room));
    *ret_record = rec;
    return PV_OK;
}

/* --- making -------------------------------------------------------------------------------- */

/* In the order of get_record_fields(); PROTOCOL-PEERS.md "Rooms" is the table of both. */
static void put_record_fields(struct pv_writer *w, const struct pv_room_record *rec,
                              const struct pv_room_make *make)
{
    switch (rec->type) {
    case PV_ROOM_CREATE:
        pv_put_u64(w, rec->time_ms);
        pv_put_bytes(w, rec->nonce, sizeof(rec->nonce));
        pv_put_view16(w, pv_view(rec->name, strlen(rec->name)));
        break;
    case PV_ROOM_INVITE:
        pv_put_bytes(w, rec->node, sizeof(rec->node));
        pv_put_u32(w, rec->round);
        pv_put_u64(w, rec->time_ms);
        pv_put_u16(w, (uint16_t)(make->n_base * PV_ROOM_HAVE_LEN));
        for (size_t i = 0; i < make->n_base; i++) {
            pv_put_bytes(w, make->base[i].author, sizeof(make->base[i].author));
            pv_put_u64(w, make->base[i].seq);
        }
        break;
    case PV_ROOM_LEAVE:
        pv_put_u32(w, rec->round);
        pv_put_u64(w, rec->time_ms);
        pv_put_u64(w, rec->seq);
        break;
    case PV_ROOM_TEXT:
        pv_put_u64(w, rec->seq);
        pv_put_u64(w, rec->time_ms);
        pv_put_bytes(w, rec->text.ptr, rec->text.len);
        break;
    }
}

static struct pv_writer write_unsigned(const struct pv_room_record *rec,
                                       const struct pv_room_make *make, uint8_t *raw)
{
    struct pv_writer w = pv_writer(raw, PV_ROOM_RECORD_MAX);
    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, (uint8_t)rec->type);
    if (rec->type != PV_ROOM_CREATE)
        pv_put_bytes(&w, rec->room, sizeof(rec->room));
    pv_put_bytes(&w, rec->signer, sizeof(rec->signer));
    put_record_fields(&w, rec, make);
    return w;
}

/* The result is parsed again: what is not canonical would be refused by every other member. */
int pv_room_record_make(const struct pv_room_make *make, const struct pv_room_record *record,
                        uint8_t ret_raw[static PV_ROOM_RECORD_MAX], size_t *ret_len)
{
    struct pv_room_record check;
    uint8_t sig[PV_SIGN_LEN];
    if (make->n_base > PV_ROOM_MAX_MEMBERS)
        return PV_ERR_MALFORMED;
    struct pv_writer w = write_unsigned(record, make, ret_raw);
    int r = w.status != PV_OK ? PV_ERR_MALFORMED
                              : pv_sign(sig, context, pv_view(make->network, PV_ROOM_NETWORK_LEN),
                                        pv_written(&w), make->sk);
    if (r < 0)
        return r;
    pv_put_bytes(&w, sig, sizeof(sig));
    /* Every receiver would refuse a record that is not canonical. */
    if (w.status != PV_OK || pv_room_record_parse(pv_written(&w), NULL, &check) < 0)
        return PV_ERR_MALFORMED;
    *ret_len = w.len;
    return PV_OK;
}

/* The disk keeps a text without its frame; the signature fits only what was signed, so a mistake
 * here shows at the receiver and not as another text. */
int pv_room_text_join(const struct pv_room_record *record, const uint8_t *sig,
                      uint8_t ret_raw[static PV_ROOM_RECORD_MAX], size_t *ret_len)
{
    struct pv_writer w = write_unsigned(record, NULL, ret_raw);
    pv_put_bytes(&w, sig, PV_SIGN_LEN);
    if (w.status != PV_OK || record->type != PV_ROOM_TEXT)
        return PV_ERR_MALFORMED;
    *ret_len = w.len;
    return PV_OK;
}
