/* SPDX-License-Identifier: MIT */
/* Files between two machines through 100 lives of kills, cuts, lost notices and slow disks. */
#include <stdio.h>

#include "tests/unit/daemon/core/files/filelink_world.h"

/* A send-file: it offers again when the daemon was away, by the same id. */
struct sending {
    int from;
    char name[8];
};

static void offer_again(const struct sending *s, uint8_t number)
{
    const uint8_t id[PV_FILE_ID_LEN] = {1, number};
    uint32_t unused;
    if (w.side[s->from].up)
        assert_int_equal(offer_as(s->from, s->name, number % 2 == 0 ? 20000 : 100, id, &unused),
                         PV_OK);
}

/* Each has arrived, once. */
static void check_sendings(uint64_t seed, const struct sending *all, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        for (int i = 0; i < 2; i++) {
            unsigned found = 0;
            const struct pv_file_entry *f;
            for (size_t at = 0; (f = pv_filelink_at(w.side[i].link, at)) != NULL; at++) {
                if (strcmp(f->name, all[k].name) != 0)
                    continue;
                found++;
                if (f->state != PV_FILE_DONE)
                    fail_msg("seed %llu: file %s of %s is %s (%s)", (unsigned long long)seed,
                             f->name, w.side[i].name, pv_file_state_name(f->state),
                             pv_file_why_text(f->why));
                assert_true(f->outgoing == (i == all[k].from));
                assert_true(f->outgoing || w.side[i].whole[f->number]);
            }
            if (found != 1)
                fail_msg("seed %llu: file %s is there %u times at %s", (unsigned long long)seed,
                         all[k].name, found, w.side[i].name);
        }
    }
}

/* One seed: files both ways through kills, cuts and losses; at the end all have arrived, once. */
static void live_through(uint64_t seed)
{
    struct sending sendings[100];
    size_t n_sendings = 0;
    assert_int_equal(begin(NULL), 0);
    w.rng = test_rng_make(&w.state, seed);
    w.loss = pv_rng_below(&w.rng, 60);
    w.side[0].auto_max = w.side[1].auto_max = PV_FILE_SIZE_MAX;
    w.side[0].slow = w.side[1].slow = true;
    for (unsigned i = 0; i < 300; i++) {
        int s = (int)pv_rng_below(&w.rng, 2);
        unsigned dice = pv_rng_below(&w.rng, 40);
        if (dice == 0 && w.side[s].up) {
            kill_side(s);
            tell_presence();
        } else if (dice < 4 && !w.side[s].up) {
            start(s);
            tell_presence();
        } else if (dice == 9) { /* a little later */
            for (size_t n = 0; n < n_sendings; n++)
                offer_again(&sendings[n], (uint8_t)n);
        } else if (dice < 8 && w.side[s].up && n_sendings < PV_ARRAY_LEN(sendings)) {
            struct sending *new = &sendings[n_sendings];
            new->from = s;
            snprintf(new->name, sizeof(new->name), "f%zu", n_sendings);
            offer_again(new, (uint8_t)n_sendings++);
        } else if (dice == 8) {
            for (size_t n = 0; n < MAX_XFERS; n++)
                if (w.xfers[n].used && pv_rng_below(&w.rng, 2) == 0)
                    finish(&w.xfers[n], PV_FILE_WHY_LOST);
        }
        turn(PV_MS(50 + pv_rng_below(&w.rng, 1000)));
    }
    w.loss = 0;
    for (int i = 0; i < 2; i++)
        if (!w.side[i].up)
            start(i);
    tell_presence();
    for (size_t n = 0; n < n_sendings; n++)
        offer_again(&sendings[n], (uint8_t)n);
    turns(4000);
    check_sendings(seed, sendings, n_sendings);
    assert_int_equal(count_open(0), 0);
    assert_int_equal(count_open(1), 0);
    assert_int_equal(end(NULL), 0);
}

PV_TEST_WORLD(begin, end);

PV_TEST(files_arrive_through_kills_cuts_and_losses)
{
    end(NULL);
    for (uint64_t seed = 1; seed <= 100; seed++)
        live_through(seed);
    begin(NULL);
}
