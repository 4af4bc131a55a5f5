/* SPDX-License-Identifier: MIT */
/*
 * series.h - figures of the past: a row a minute for a day, and a row an hour for 30 days, in four
 * bytes a row. Pure; minutes are those of the wall clock (Unix seconds / 60).
 *
 * A byte holds an amount on a scale of six steps an octave, so it is known to 6 %.
 */
#pragma once

#include "base/pv.h"

enum {
    PV_SERIES_MINUTES = 24 * 60,
    PV_SERIES_HOURS = 30 * 24,
    PV_SERIES_BYTES = 8 + 4 * (PV_SERIES_MINUTES + PV_SERIES_HOURS), /* as stored */
};

/* How a row's time was spent; stored. */
enum pv_series_path {
    PV_SERIES_UNKNOWN, /* nobody looked */
    PV_SERIES_NONE,
    PV_SERIES_DIRECT,
    PV_SERIES_RELAY,
};

/* One row, spread out. */
struct pv_series_row {
    uint64_t rx, tx; /* bytes */
    double rtt_ms;   /* < 0: not measured */
    double loss;     /* 0 to 1; < 0: not measured */
    enum pv_series_path path;
};

/* Zeroed: empty. */
struct pv_series {
    uint64_t minute; /* of the newest row; 0: there is none */
    uint8_t minutes[PV_SERIES_MINUTES][4];
    uint8_t hours[PV_SERIES_HOURS][4];
};

/* Adds the row of a minute that is over; those between the last one and this are unknown. A minute
 * that was there is left out; where the clock was set back by more than an hour all begins anew. */
void pv_series_add(struct pv_series *s, uint64_t minute, const struct pv_series_row *row);

/* Returns the row of that minute, or of that hour (Unix seconds / 3600), which is over. path
 * PV_SERIES_UNKNOWN: the row is not known, or no longer kept. */
struct pv_series_row pv_series_minute(const struct pv_series *s, uint64_t minute);
struct pv_series_row pv_series_hour(const struct pv_series *s, uint64_t hour);

/* Several rows as one: amounts added up, round trip and loss on the average of what was measured;
 * path: the one most of them had, unknown ones excepted. */
struct pv_series_sum {
    uint64_t rx, tx;
    double rtt_ms, loss;         /* < 0: not measured */
    double direct, relay;        /* shares of the rows that are known; < 0: none is */
    unsigned rows, rtts, losses; /* how many are known */
    unsigned paths[PV_SERIES_RELAY + 1];
};
/* Zeroed at first; then pv_series_sum_end(). */
void pv_series_sum_add(struct pv_series_sum *sum, const struct pv_series_row *row);
void pv_series_sum_end(struct pv_series_sum *sum);

/* For the store. Any bytes can be read. */
void pv_series_write(const struct pv_series *s, uint8_t buf[static PV_SERIES_BYTES]);
void pv_series_read(struct pv_series *ret_s, const uint8_t buf[static PV_SERIES_BYTES]);
