/* SPDX-License-Identifier: MIT */
/* filelink_save.c - the table as bytes: one value of the store, replaced as a whole. */
#include <string.h>

#include "base/bytes.h"
#include "daemon/core/files/filelink_int.h"

enum {
    VERSION = 1,
    FLAG_OUTGOING = 1,
    FLAG_TELL = 2, /* the present state may not be known to the other side */
    /* Bytes of the longest entry: all of them fit PV_FILELINK_SAVE_MAX. */
    ENTRY_MAX =
        4 + 3 + PV_FILE_ID_LEN + PV_SIGN_PK_LEN + 6 * 8 + 2 + PV_NAME_MAX + 2 + PV_FILE_NAME_MAX,
};
/* Ours: nobody has had so many files, but a damaged table may say so, and numbers must not run out.
 */
#define NUMBER_MAX (UINT32_MAX / 2)
_Static_assert(7 + PV_FILELINK_MAX * ENTRY_MAX <= PV_FILELINK_SAVE_MAX, "the table fits");

static void save_file(struct pv_writer *w, const struct pv_file *f)
{
    const struct pv_file_entry *e = &f->e;
    pv_put_u32(w, e->number);
    pv_put_u8(
        w, (uint8_t)((e->outgoing ? FLAG_OUTGOING : 0) | (f->tell_at != PV_NEVER ? FLAG_TELL : 0)));
    pv_put_u8(w, (uint8_t)e->state);
    /* It follows from the rules of the next life, and older versions do not know it. */
    pv_put_u8(w, (uint8_t)(e->why == PV_FILE_WHY_RULES ? PV_FILE_WHY_NONE : e->why));
    pv_put_bytes(w, e->id, sizeof(e->id));
    pv_put_bytes(w, e->peer, sizeof(e->peer));
    pv_put_u64(w, e->size);
    pv_put_u64(w, e->done);
    pv_put_u64(w, e->time_ms);
    pv_put_u64(w, f->stamp.dev);
    pv_put_u64(w, f->stamp.ino);
    pv_put_u64(w, f->stamp.mtime_ns);
    pv_put_view16(w, pv_view(e->peer_name, strlen(e->peer_name)));
    pv_put_view16(w, pv_view(e->name, strlen(e->name)));
}

size_t pv_filelink_save(struct pv_filelink *l, uint8_t buf[static PV_FILELINK_SAVE_MAX],
                        uint64_t *ret_save)
{
    struct pv_writer w = pv_writer(buf, PV_FILELINK_SAVE_MAX);
    pv_put_u8(&w, VERSION);
    pv_put_u32(&w, l->last_number);
    pv_put_u16(&w, (uint16_t)l->n);
    for (size_t i = 0; i < l->n; i++)
        save_file(&w, &l->files[i]);
    *ret_save = ++l->n_saves;
    return w.len;
}

static void load_file(struct pv_reader *r, struct pv_file *f)
{
    struct pv_file_entry *e = &f->e;
    *f = (struct pv_file){.handle = -1, .fetch_at = 0, .tell_at = PV_NEVER, .doubt_at = PV_NEVER};
    e->number = pv_get_u32(r);
    uint8_t flags = pv_get_u8(r);
    uint8_t state = pv_get_u8(r);
    uint8_t why = pv_get_u8(r);
    pv_get_copy(r, e->id, sizeof(e->id));
    pv_get_copy(r, e->peer, sizeof(e->peer));
    e->size = pv_get_u64(r);
    e->done = pv_get_u64(r);
    e->time_ms = pv_get_u64(r);
    f->stamp.dev = pv_get_u64(r);
    f->stamp.ino = pv_get_u64(r);
    f->stamp.mtime_ns = pv_get_u64(r);
    struct pv_view peer_name = pv_get_view16(r, PV_NAME_MAX);
    struct pv_view name = pv_get_view16(r, PV_FILE_NAME_MAX);
    if (r->status != PV_OK)
        return;
    if (e->number == 0 || e->number > NUMBER_MAX || state >= PV_FILE_N_STATES ||
        why >= PV_FILE_N_WHYS || name.len == 0 || e->size > PV_FILE_SIZE_MAX ||
        pv_file_name_clean(name, e->name) != PV_OK || !pv_utf8_is_valid(peer_name)) {
        pv_reader_fail(r, PV_ERR_MALFORMED);
        return;
    }
    memcpy(e->peer_name, peer_name.ptr, peer_name.len);
    e->outgoing = (flags & FLAG_OUTGOING) != 0;
    e->state = (enum pv_file_state)state;
    e->why = (enum pv_file_why)why;
    if ((flags & FLAG_TELL) != 0)
        f->tell_at = 0;
    if (e->outgoing && !pv_file_is_final(f)) {
        e->why = PV_FILE_WHY_ABSENT; /* the descriptor went with the process */
        f->tell_at = 0;
    }
}

int pv_filelink_load(struct pv_filelink *l, struct pv_view saved)
{
    struct pv_reader r = pv_reader(saved);
    if (saved.len == 0)
        return PV_OK;
    if (pv_get_u8(&r) != VERSION)
        return PV_ERR_UNSUPPORTED;
    uint32_t last = pv_get_u32(&r);
    if (last > NUMBER_MAX)
        return PV_ERR_MALFORMED;
    l->last_number = last;
    uint16_t n = pv_get_u16(&r);
    for (uint16_t i = 0; i < n && i < PV_FILELINK_MAX && r.status == PV_OK; i++) {
        struct pv_file *f = &l->files[l->n];
        load_file(&r, f);
        if (r.status == PV_OK && pv_filelink_find(l, f->e.number) != NULL)
            pv_reader_fail(&r, PV_ERR_MALFORMED);
        if (r.status != PV_OK)
            break;
        if (f->e.number > l->last_number)
            l->last_number = f->e.number;
        l->n++;
        /* The process may have ended before it was removed. */
        if (!f->e.outgoing && pv_file_is_final(f) && f->e.state != PV_FILE_DONE)
            pv_file_drop(l, f);
    }
    return pv_reader_end(&r);
}
