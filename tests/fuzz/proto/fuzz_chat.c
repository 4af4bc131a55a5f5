/* SPDX-License-Identifier: MIT */
/* Chat frames: a decoded frame is written and decoded again to the same; shown text is harmless. */
#include <stdlib.h>
#include <string.h>

#include "proto/chat/chat.h"
#include "tests/fuzz/fuzz_util.h"

static struct pv_chat_frame a, b;
static char line[PV_CHAT_LINE_MAX];

/* The decoded frame as a line; plain text as it is. */
static int write_frame(size_t *ret_len)
{
    switch (a.kind) {
    case PV_CHAT_MESSAGE:
        return pv_chat_write_message(a.id, a.seq, a.time_ms, a.text, line, ret_len);
    case PV_CHAT_ACK:
        return pv_chat_write_ack(a.id, a.state, line, ret_len);
    case PV_CHAT_NOTED:
        return pv_chat_write_noted(a.id, line, ret_len);
    case PV_CHAT_LATER:
        return pv_chat_write_later(a.id, a.later, a.wait_s, line, ret_len);
    case PV_CHAT_PLAIN:
        break;
    }
    return PV_ERR_UNSUPPORTED;
}

static void check_again(void)
{
    size_t n = 0;
    if (write_frame(&n) < 0 || pv_chat_frame_parse(pv_view(line, n - 1), &b) < 0 ||
        b.kind != a.kind || memcmp(a.id, b.id, sizeof(a.id)) != 0)
        abort();
    if (a.kind == PV_CHAT_MESSAGE &&
        (a.seq != b.seq || a.time_ms != b.time_ms || strcmp(a.text, b.text) != 0))
        abort();
    if (a.kind == PV_CHAT_LATER && (a.later != b.later || a.wait_s != b.wait_s))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    size_t n = pv_chat_show(pv_view(data, len), line, sizeof(line));
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)line[i];
        if (c == 0x7f || (c < 0x20 && c != '\n' && c != '\t'))
            abort();
    }
    if (pv_chat_frame_parse(pv_view(data, len), &a) < 0)
        return 0;
    if (a.kind == PV_CHAT_PLAIN && !pv_chat_text_is_valid(pv_view(a.text, a.text_len)))
        abort();
    if (a.kind != PV_CHAT_PLAIN)
        check_again();
    return 0;
}
