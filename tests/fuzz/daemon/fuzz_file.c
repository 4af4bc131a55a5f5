/* SPDX-License-Identifier: MIT */
/*
 * fuzz_file - what comes from others about files: notices, names, the frame that asks, and the
 * table and the pins of auto-accept as they were stored. The input also drives a machine, which
 * must stay within its limits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "chat/core/files/autoaccept.h"
#include "chat/core/files/filelink.h"
#include "daemon/core/node/streamkinds.h"
#include "tests/fuzz/fuzz_util.h"

static struct pv_streams streams;
static struct pv_fifo ops;

static void check_name(const char *name)
{
    size_t len = strlen(name);
    must(len != 0 && len <= PV_FILE_NAME_MAX && strchr(name, '/') == NULL && name[0] != '.' &&
         name[0] != '-' && pv_utf8_is_valid(pv_view(name, len)));
}

static void check_notice(struct pv_view body)
{
    struct pv_file_notice n, again;
    uint8_t buf[PV_FILE_NOTICE_MAX];
    size_t len;
    if (pv_file_notice_parse(body, &n) != PV_OK)
        return;
    if (n.kind == PV_FILE_OFFER || n.kind == PV_FILE_ROOM_OFFER)
        check_name(n.name);
    must(pv_file_notice_build(&n, buf, &len) == PV_OK &&
         pv_file_notice_parse(pv_view(buf, len), &again) == PV_OK &&
         memcmp(&n, &again, sizeof(n)) == 0);
}

/* Pins that were stored, whole or not: what is read of them is written and read again. */
static void check_pins(struct pv_view saved)
{
    static const struct pv_auto_accept rules[] = {{"bob", 1}, {"a", 2}, {"", 0}};
    const uint8_t eve[PV_SIGN_PK_LEN] = {7};
    struct pv_autoaccept *a, *again;
    size_t len;
    must(pv_autoaccept_new(&a, rules, PV_ARRAY_LEN(rules), saved, NULL) == PV_OK);
    uint8_t *pins = pv_autoaccept_save(a, &len);
    must(pins != NULL);
    must(pv_autoaccept_new(&again, rules, PV_ARRAY_LEN(rules), pv_view(pins, len), NULL) == PV_OK);
    must(pv_autoaccept_max(a, "bob", eve) == pv_autoaccept_max(again, "bob", eve));
    free(pins);
    pv_autoaccept_free(again);
    pv_autoaccept_free(a);
}

/* Each piece of the input, by its first byte: a notice, bytes of a connection, time. */
static void drive(struct pv_filelink *link, struct pv_view in)
{
    const uint8_t pk[PV_SIGN_PK_LEN] = {1};
    struct pv_filelink_peer peer = {.pk = pk, .name = "eve", .online = true};
    struct pv_fileop op;
    uint32_t sid = 0;
    pv_ns now = PV_S(1);
    while (in.len > 1) {
        size_t n = in.ptr[1] < in.len - 1 ? in.ptr[1] : in.len - 1;
        struct pv_view piece = pv_view(in.ptr + 1, n);
        peer.auto_max = (in.ptr[0] & 0x80) != 0 ? PV_FILE_SIZE_MAX : 0;
        if (in.ptr[0] % 4 == 0)
            pv_filelink_handle_notice(link, &peer, piece, now);
        else if (in.ptr[0] % 4 == 1 && pv_filelink_accepted(link, pk, now, &sid) == PV_OK)
            pv_filelink_handle_bytes(link, sid, piece, now);
        else if (in.ptr[0] % 4 == 2)
            pv_filelink_handle_timeout(link, now += PV_S(5));
        else
            pv_filelink_handle_bytes(link, sid, piece, now);
        while (pv_fifo_take(&ops, &op) == PV_OK)
            if (op.type == PV_FILEOP_FETCH)
                pv_filelink_done(link, op.tag, pv_file_why_parse(in.ptr[0] >> 3), 1, now);
        pv_filelink_speak(link, now);
        in = pv_view(in.ptr + 1 + n, in.len - 1 - n);
    }
}

static void take_notice(void *owner, const uint8_t *pk, struct pv_view notice, pv_ns now)
{
    must(notice.len != 0 && notice.len <= PV_FILE_NOTICE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t saved[PV_FILELINK_SAVE_MAX];
    uint8_t same = 7;
    const struct pv_filelink_config cfg = {.rng = {.fill = fuzz_fill_same, .ctx = &same},
                                           .streams = &streams,
                                           .ops = &ops,
                                           .send = take_notice};
    struct pv_filelink *link;
    char name[PV_FILE_NAME_BUF];
    check_notice(pv_view(data, len));
    check_pins(pv_view(data, len));
    if (pv_file_name_clean(pv_view(data, len), name) == PV_OK)
        check_name(name);
    must(pv_filelink_new(&link, &cfg, pv_view(data, len)) == PV_OK);
    drive(link, pv_view(data, len));
    uint64_t save;
    size_t n = pv_filelink_save(link, saved, &save);
    pv_filelink_kept(link, save, PV_S(1));
    pv_filelink_free(link);
    must(n <= sizeof(saved) && pv_filelink_new(&link, &cfg, pv_view(saved, n)) == PV_OK);
    for (size_t i = 0; i < PV_FILELINK_MAX && pv_filelink_at(link, i) != NULL; i++)
        check_name(pv_filelink_at(link, i)->name);
    pv_filelink_free(link);
    pv_fifo_clear(&ops);
    return 0;
}
