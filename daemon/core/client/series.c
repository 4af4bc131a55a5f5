/* SPDX-License-Identifier: MIT */
/* series.c - packs figures into rows of four bytes, and rows of minutes into rows of hours. */
#include "daemon/core/client/series.h"

#include <string.h>

#include "base/bytes.h"

enum {
    STEPS = 6, /* ours: of a byte's scale in an octave: 254 of them reach 5 TB */
    LOSS_STEPS = 62,
    RTT_MAX_US = 1000000000, /* ours: 1,000 s */
    BACK_MAX = 60,           /* minutes: a clock that was set back by so little is waited for */
    HOUR = 60,
};

/* --- a row's bytes ---------------------------------------------------------------------------- */

/* 2^(i/6), in 1/1000. */
static const uint16_t sixths[STEPS] = {1000, 1122, 1260, 1414, 1587, 1782};

/* Small amounts are whole numbers, to which the scale is rounded. */
static uint64_t unpack(uint8_t code)
{
    unsigned octave = code == 0 ? 0 : (unsigned)(code - 1) / STEPS;
    uint64_t m = code == 0 ? 0 : sixths[(code - 1) % STEPS];
    return octave < 10 ? ((m << octave) + 500) / 1000 : (m << octave) / 1000;
}

/* The code whose amount is nearest, by halves: amounts grow with codes. */
static uint8_t pack(uint64_t v)
{
    unsigned low = 0, high = UINT8_MAX;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        if (unpack((uint8_t)mid) < v)
            low = mid + 1;
        else
            high = mid;
    }
    bool below = low > 0 && unpack((uint8_t)low) > v &&
                 v - unpack((uint8_t)(low - 1)) < unpack((uint8_t)low) - v;
    return (uint8_t)(below ? low - 1 : low);
}

/* Small losses matter most, so the scale is the square root's. */
static double lost(unsigned code)
{
    return (double)(code * code) / (LOSS_STEPS * LOSS_STEPS);
}

static unsigned pack_loss(double loss)
{
    unsigned code = 0;
    while (code < LOSS_STEPS && (lost(code) + lost(code + 1)) / 2 < loss)
        code++;
    return code;
}

/* A measured round trip is no zero, which says that none was measured. */
static void pack_row(const struct pv_series_row *row, uint8_t ret[static 4])
{
    double us = row->rtt_ms * 1000 + 0.5;
    unsigned loss = row->loss < 0 ? 0 : 1 + pack_loss(row->loss);
    ret[0] = pack(row->rx);
    ret[1] = pack(row->tx);
    ret[2] = row->rtt_ms < 0 ? 0 : pack(us < 1 ? 1 : us > RTT_MAX_US ? RTT_MAX_US : (uint64_t)us);
    ret[3] = (uint8_t)(loss << 2 | (unsigned)row->path);
}

static struct pv_series_row unpack_row(const uint8_t b[static 4])
{
    unsigned loss = b[3] >> 2;
    return (struct pv_series_row){
        .rx = unpack(b[0]),
        .tx = unpack(b[1]),
        .rtt_ms = b[2] == 0 ? -1 : (double)unpack(b[2]) / 1000,
        .loss = loss == 0 ? -1 : lost(loss - 1),
        .path = (enum pv_series_path)(b[3] & 3),
    };
}

/* --- sums ------------------------------------------------------------------------------------- */

void pv_series_sum_add(struct pv_series_sum *sum, const struct pv_series_row *row)
{
    if (row->path == PV_SERIES_UNKNOWN)
        return;
    sum->rows++;
    sum->paths[row->path]++;
    sum->rx += row->rx;
    sum->tx += row->tx;
    if (row->rtt_ms >= 0) {
        sum->rtt_ms += row->rtt_ms;
        sum->rtts++;
    }
    if (row->loss >= 0) {
        sum->loss += row->loss;
        sum->losses++;
    }
}

void pv_series_sum_end(struct pv_series_sum *sum)
{
    sum->rtt_ms = sum->rtts == 0 ? -1 : sum->rtt_ms / sum->rtts;
    sum->loss = sum->losses == 0 ? -1 : sum->loss / sum->losses;
    sum->direct = sum->rows == 0 ? -1 : (double)sum->paths[PV_SERIES_DIRECT] / sum->rows;
    sum->relay = sum->rows == 0 ? -1 : (double)sum->paths[PV_SERIES_RELAY] / sum->rows;
}

/* --- rows ------------------------------------------------------------------------------------- */

/* The minutes of an hour that is over, while they are there. */
static void close_hour(struct pv_series *s, uint64_t hour)
{
    struct pv_series_sum sum = {.rows = 0};
    enum pv_series_path most = PV_SERIES_NONE;
    for (uint64_t m = hour * HOUR; m < (hour + 1) * HOUR; m++) {
        const struct pv_series_row row = unpack_row(s->minutes[m % PV_SERIES_MINUTES]);
        pv_series_sum_add(&sum, &row);
    }
    pv_series_sum_end(&sum);
    for (enum pv_series_path p = PV_SERIES_DIRECT; p <= PV_SERIES_RELAY; p++)
        most = sum.paths[p] > sum.paths[most] ? p : most;
    const struct pv_series_row row = {.rx = sum.rx,
                                      .tx = sum.tx,
                                      .rtt_ms = sum.rtt_ms,
                                      .loss = sum.loss,
                                      .path = sum.rows == 0 ? PV_SERIES_UNKNOWN : most};
    pack_row(&row, s->hours[hour % PV_SERIES_HOURS]);
}

/* The next minute, of which nothing is known yet; the hour before it may be over. */
static void step(struct pv_series *s)
{
    if (++s->minute % HOUR == 0)
        close_hour(s, s->minute / HOUR - 1);
    memset(s->minutes[s->minute % PV_SERIES_MINUTES], 0, 4);
}

/* A clock that was set back a little is waited for. */
void pv_series_add(struct pv_series *s, uint64_t minute, const struct pv_series_row *row)
{
    bool anew = s->minute == 0 || minute + BACK_MAX < s->minute ||
                minute > s->minute + (uint64_t)PV_SERIES_HOURS * HOUR;
    if (!anew && minute <= s->minute)
        return;
    if (anew) {
        memset(s, 0, sizeof(*s));
        s->minute = minute;
    }
    while (s->minute < minute)
        step(s);
    pack_row(row, s->minutes[minute % PV_SERIES_MINUTES]);
}

/* Every row has a place that earlier rows had. A row of a time that is not kept is unknown. */
struct pv_series_row pv_series_minute(const struct pv_series *s, uint64_t minute)
{
    static const uint8_t unknown[4];
    bool kept = minute <= s->minute && minute + PV_SERIES_MINUTES > s->minute;
    return unpack_row(kept ? s->minutes[minute % PV_SERIES_MINUTES] : unknown);
}

struct pv_series_row pv_series_hour(const struct pv_series *s, uint64_t hour)
{
    static const uint8_t unknown[4];
    uint64_t present = s->minute / HOUR;
    bool kept = hour < present && hour + PV_SERIES_HOURS >= present;
    return unpack_row(kept ? s->hours[hour % PV_SERIES_HOURS] : unknown);
}

/* --- on disk ---------------------------------------------------------------------------------- */

void pv_series_write(const struct pv_series *s, uint8_t buf[static PV_SERIES_BYTES])
{
    pv_store_be64(buf, s->minute);
    memcpy(buf + 8, s->minutes, sizeof(s->minutes));
    memcpy(buf + 8 + sizeof(s->minutes), s->hours, sizeof(s->hours));
}

void pv_series_read(struct pv_series *ret_s, const uint8_t buf[static PV_SERIES_BYTES])
{
    ret_s->minute = pv_load_be64(buf);
    memcpy(ret_s->minutes, buf + 8, sizeof(ret_s->minutes));
    memcpy(ret_s->hours, buf + 8 + sizeof(ret_s->minutes), sizeof(ret_s->hours));
}
