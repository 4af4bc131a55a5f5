/* SPDX-License-Identifier: MIT */
/* calmlog.c - puts repeats.h between those who write lines and where they go. */
#include "base/calmlog.h"

#include <inttypes.h>
#include <string.h>

/* The line is complete already and is told as it is; the number of those left out stands behind. */
static void take_line(void *ctx, enum pv_log_level level, const char *line)
{
    struct pv_calmlog *calm = ctx;
    uint64_t more = 0;
    if (level <= PV_LOG_WARN && !pv_repeats_say(&calm->repeats[level], line, calm->now, &more))
        return;
    calm->to.sink(calm->to.ctx, level, line);
    if (more > 0)
        pv_log(&calm->to, level, "what=\"more of the like before this\" more=%" PRIu64, more);
}

void pv_calmlog_init(struct pv_calmlog *calm, const struct pv_log *to, pv_ns now)
{
    memset(calm, 0, sizeof(*calm));
    calm->to = *to;
    calm->now = now;
    calm->log = (struct pv_log){.level = to->level, .sink = take_line, .ctx = calm};
}

void pv_calmlog_handle_timeout(struct pv_calmlog *calm, pv_ns now)
{
    calm->now = now;
    for (enum pv_log_level level = PV_LOG_ERROR; level <= PV_LOG_WARN; level++) {
        uint64_t more;
        if (pv_repeats_take_rest(&calm->repeats[level], now, &more))
            pv_log(&calm->to, level, "what=\"more of the like\" more=%" PRIu64, more);
    }
}

pv_ns pv_calmlog_next_timeout(const struct pv_calmlog *calm)
{
    return pv_min_ns(pv_repeats_next_timeout(&calm->repeats[PV_LOG_ERROR]),
                     pv_repeats_next_timeout(&calm->repeats[PV_LOG_WARN]));
}
