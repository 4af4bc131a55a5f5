/* SPDX-License-Identifier: MIT */
/*
 * file.c - notices about files, the frames around their bytes, and names made harmless. A name from
 * another node becomes a name in a directory of ours, so it is cleaned where it is parsed: no code
 * behind this file ever sees a slash, a leading dot or an invisible character.
 */
#include "chat/proto/file.h"

#include <string.h>

#include "base/bytes.h"
#include "base/harmless.h"
#include "base/text.h"
#include "chat/proto/chat.h"
#include "crypto/ct.h"

enum {
    VERSION = 1, /* of notices; another one is ignored */
};
/* Not strings: no NUL. */
static const char MAGIC[PV_FILE_MAGIC_LEN] = "P2PVPNF1";
static const char HELLO[PV_FILE_MAGIC_LEN] = "P2PVPNF2";

const char *pv_file_state_name(enum pv_file_state state)
{
    static const char *const names[PV_FILE_N_STATES] = {
        [PV_FILE_OFFERED] = "offered", [PV_FILE_ACCEPTED] = "accepted",
        [PV_FILE_DONE] = "done",       [PV_FILE_SAVED] = "saved",
        [PV_FILE_REFUSED] = "refused", [PV_FILE_WITHDRAWN] = "withdrawn",
        [PV_FILE_FAILED] = "failed",
    };
    return state < PV_FILE_N_STATES ? names[state] : "unknown";
}

const char *pv_file_why_text(enum pv_file_why why)
{
    static const char *const texts[PV_FILE_N_WHYS] = {
        [PV_FILE_WHY_NONE] = "",
        [PV_FILE_WHY_GONE] = "the offer is gone",
        [PV_FILE_WHY_ABSENT] = "the sender must run send-file again",
        [PV_FILE_WHY_CHANGED] = "the sender's file has changed since it was offered",
        [PV_FILE_WHY_BUSY] = "too many transfers at once",
        [PV_FILE_WHY_DISK_FULL] = "the receiver's disk is full",
        [PV_FILE_WHY_CORRUPT] = "the bytes that arrived are not those that were sent",
        [PV_FILE_WHY_UNREADABLE] = "the sender cannot read the file",
        [PV_FILE_WHY_UNWRITABLE] = "the receiver cannot write the file",
        [PV_FILE_WHY_TOO_MANY] =
            "too many files wait at the receiver: there `p2pvpnctl files get all` saves them",
        [PV_FILE_WHY_STOPPED] = "stopped by a user",
        [PV_FILE_WHY_LOST] = "the connection was lost",
        [PV_FILE_WHY_RULES] = "a rule of the network, or the receiver's [firewall], denies it",
    };
    return why < PV_FILE_N_WHYS ? texts[why] : "unknown";
}

enum pv_file_why pv_file_why_parse(uint8_t byte)
{
    return byte < PV_FILE_N_WHYS ? (enum pv_file_why)byte : PV_FILE_WHY_LOST;
}

/* --- notices ------------------------------------------------------------------------------- */

static bool notice_is_known(uint8_t kind)
{
    switch ((enum pv_file_notice_kind)kind) {
    case PV_FILE_OFFER:
    case PV_FILE_STATE:
    case PV_FILE_WITHDRAW:
    case PV_FILE_ROOM_OFFER:
        return true;
    }
    return false;
}

/* Zeros mean that there is none, and a notice that says so is no offer in a room. */
static bool is_room(const uint8_t room[static PV_ROOM_ID_LEN])
{
    return !pv_ct_is_zero(room, PV_ROOM_ID_LEN);
}

static void get_offer(struct pv_reader *r, struct pv_file_notice *n)
{
    n->size = pv_get_u64(r);
    n->time_ms = pv_get_u64(r);
    struct pv_view name = pv_get_view16(r, PV_FILE_NAME_MAX);
    if (r->status == PV_OK &&
        (n->size > PV_FILE_SIZE_MAX || name.len == 0 || pv_file_name_clean(name, n->name) != PV_OK))
        pv_reader_fail(r, PV_ERR_MALFORMED);
}

static void get_notice_fields(struct pv_reader *r, struct pv_file_notice *n)
{
    uint8_t state, why;
    switch (n->kind) {
    case PV_FILE_ROOM_OFFER:
        pv_get_copy(r, n->room, sizeof(n->room));
        get_offer(r, n);
        if (r->status == PV_OK && !is_room(n->room))
            pv_reader_fail(r, PV_ERR_MALFORMED);
        break;
    case PV_FILE_OFFER:
        get_offer(r, n);
        break;
    case PV_FILE_STATE:
        state = pv_get_u8(r);
        why = pv_get_u8(r);
        if (r->status == PV_OK && state >= PV_FILE_N_STATES)
            pv_reader_fail(r, PV_ERR_MALFORMED);
        n->state = (enum pv_file_state)state;
        n->why = pv_file_why_parse(why);
        break;
    case PV_FILE_WITHDRAW:
        break;
    }
}

/* Version and kind come first: what follows is of unknown form when they are not known. */
int pv_file_notice_parse(struct pv_view body, struct pv_file_notice *ret_notice)
{
    struct pv_reader r = pv_reader(body);
    struct pv_file_notice n = {0};
    uint8_t version = pv_get_u8(&r);
    uint8_t kind = pv_get_u8(&r);
    if (r.status == PV_OK && (version != VERSION || !notice_is_known(kind)))
        return PV_ERR_UNSUPPORTED;
    n.kind = (enum pv_file_notice_kind)kind;
    pv_get_copy(&r, n.id, sizeof(n.id));
    get_notice_fields(&r, &n);
    int status = pv_reader_end(&r);
    if (status == PV_OK)
        *ret_notice = n;
    return status;
}

static int put_offer(struct pv_writer *w, const struct pv_file_notice *n)
{
    size_t len = strlen(n->name);
    if (n->size > PV_FILE_SIZE_MAX || len == 0)
        return PV_ERR_MALFORMED;
    pv_put_u64(w, n->size);
    pv_put_u64(w, n->time_ms);
    pv_put_view16(w, pv_view(n->name, len));
    return w->status;
}

/* Refuses what its own parser would refuse, so that a mistake here shows at the sender. */
static int put_notice_fields(struct pv_writer *w, const struct pv_file_notice *n)
{
    switch (n->kind) {
    case PV_FILE_ROOM_OFFER:
        if (!is_room(n->room))
            return PV_ERR_MALFORMED;
        pv_put_bytes(w, n->room, sizeof(n->room));
        return put_offer(w, n);
    case PV_FILE_OFFER:
        return put_offer(w, n);
    case PV_FILE_STATE:
        if (n->state >= PV_FILE_N_STATES || n->why >= PV_FILE_N_WHYS)
            return PV_ERR_MALFORMED;
        pv_put_u8(w, (uint8_t)n->state);
        pv_put_u8(w, (uint8_t)n->why);
        break;
    case PV_FILE_WITHDRAW:
        break;
    }
    return w->status;
}

int pv_file_notice_build(const struct pv_file_notice *notice,
                         uint8_t buf[static PV_FILE_NOTICE_MAX], size_t *ret_len)
{
    struct pv_writer w = pv_writer(buf, PV_FILE_NOTICE_MAX);
    pv_put_u8(&w, VERSION);
    pv_put_u8(&w, (uint8_t)notice->kind);
    pv_put_bytes(&w, notice->id, sizeof(notice->id));
    int r = put_notice_fields(&w, notice);
    if (r == PV_OK)
        *ret_len = w.len;
    return r;
}

/* --- frames -------------------------------------------------------------------------------- */

void pv_file_hello_build(const uint8_t nonce[static PV_PROOF_NONCE_LEN],
                         uint8_t buf[static PV_FILE_HELLO_LEN])
{
    memcpy(buf, HELLO, sizeof(HELLO));
    memcpy(buf + sizeof(HELLO), nonce, PV_PROOF_NONCE_LEN);
}

bool pv_file_is_hello(const uint8_t buf[static PV_FILE_MAGIC_LEN])
{
    return memcmp(buf, HELLO, sizeof(HELLO)) == 0;
}

void pv_file_get_build(const uint8_t id[static PV_FILE_ID_LEN], uint64_t offset,
                       uint8_t buf[static PV_FILE_GET_LEN])
{
    memcpy(buf, MAGIC, sizeof(MAGIC));
    memcpy(buf + sizeof(MAGIC), id, PV_FILE_ID_LEN);
    pv_store_be64(buf + sizeof(MAGIC) + PV_FILE_ID_LEN, offset);
}

int pv_file_get_parse(const uint8_t buf[static PV_FILE_GET_LEN],
                      uint8_t ret_id[static PV_FILE_ID_LEN], uint64_t *ret_offset)
{
    uint64_t offset = pv_load_be64(buf + sizeof(MAGIC) + PV_FILE_ID_LEN);
    if (memcmp(buf, MAGIC, sizeof(MAGIC)) != 0 || offset > PV_FILE_SIZE_MAX)
        return PV_ERR_MALFORMED;
    memcpy(ret_id, buf + sizeof(MAGIC), PV_FILE_ID_LEN);
    *ret_offset = offset;
    return PV_OK;
}

void pv_file_answer_build(enum pv_file_why why, uint64_t size,
                          const uint8_t hash[static PV_FILE_HASH_LEN],
                          uint8_t buf[static PV_FILE_ANSWER_LEN])
{
    buf[0] = (uint8_t)why;
    pv_store_be64(buf + 1, size);
    memcpy(buf + 9, hash, PV_FILE_HASH_LEN);
}

int pv_file_answer_parse(const uint8_t buf[static PV_FILE_ANSWER_LEN], enum pv_file_why *ret_why,
                         uint64_t *ret_size, const uint8_t **ret_hash)
{
    uint64_t size = pv_load_be64(buf + 1);
    if (buf[0] >= PV_FILE_N_WHYS || size > PV_FILE_SIZE_MAX)
        return PV_ERR_MALFORMED;
    *ret_why = (enum pv_file_why)buf[0];
    *ret_size = size;
    *ret_hash = buf + 9;
    return PV_OK;
}

/* --- names --------------------------------------------------------------------------------- */

/* Beside the characters that chat refuses, all that are invisible: "exe.txt" may be shown for
 * "txt.exe". */
static bool is_treacherous(uint32_t c)
{
    return pv_char_is_harmful(c) || c == '\t' || c == 0x180e || c == 0x200c || c == 0x200d;
}

/* Backslashes count as separators too: the receiver may copy the file to another system. A leading
 * hyphen would be an option to a careless command. */
int pv_file_name_clean(struct pv_view name, char ret_name[static PV_FILE_NAME_BUF])
{
    size_t from = 0, n = 0;
    if (!pv_utf8_is_valid(name))
        return PV_ERR_MALFORMED;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '/' || name.ptr[i] == '\\')
            from = i + 1;
    for (size_t i = from, len = 0; i < name.len; i += len) {
        uint32_t c;
        len = pv_utf8_char(pv_view(name.ptr + i, name.len - i), &c);
        bool bad = is_treacherous(c) || (n == 0 && (c == '.' || c == '-'));
        if (n + (bad ? 1 : len) > PV_FILE_NAME_MAX)
            break;
        if (bad) {
            ret_name[n++] = '_';
        } else {
            memcpy(ret_name + n, name.ptr + i, len);
            n += len;
        }
    }
    if (n == 0)
        ret_name[n++] = '_';
    ret_name[n] = '\0';
    return PV_OK;
}
