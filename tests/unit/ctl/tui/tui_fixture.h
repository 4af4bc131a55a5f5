/* SPDX-License-Identifier: MIT */
/*
 * tui_fixture.h - a terminal chat without a terminal, for its tests: this node is lap, pi and alice
 * are there, bob and bobby are away.
 */
#pragma once

#include <limits.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ctl/tui/tuiview.h"
#include "ctl/tui/tuiwords.h"
#include "tests/unit/test_util.h"

#define T0 "1795168800" /* 2026-11-20 10:00 UTC */

struct fixture {
    struct pv_tui t;
    struct pv_tui_screen screen;
    char row[PV_TUI_MAX_COLS * 4 + 1];
};

static inline void take(struct pv_tui *t, void (*what)(struct pv_tui *, const json_t *),
                        const char *text)
{
    json_t *body = json_loads(text, 0, NULL);
    assert_non_null(body);
    what(t, body);
    json_decref(body);
}

#define MSG(id, from, to, text, state)                                                          \
    "{\"id\":\"" id "\",\"from\":\"" from "\",\"to\":\"" to "\",\"room\":null,\"text\":\"" text \
    "\",\"time\":" T0 ",\"state\":\"" state "\"}"
#define PEER(name, online, type, rtt)                                 \
    "{\"name\":\"" name "\",\"ip4\":\"10.66.1.5\",\"online\":" online \
    ",\"path\":{\"type\":\"" type "\",\"rtt_ms\":" rtt "}}"

static inline void drop_actions(struct pv_tui *t)
{
    struct pv_tui_action a;
    while (pv_tui_poll(t, &a) == PV_OK)
        free(a.text);
}

static inline int make(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    assert_int_equal(pv_tui_init(&f->t), PV_OK);
    take(&f->t, pv_tui_take_status,
         "{\"self\":{\"name\":\"lap\"},\"network\":{\"name\":\"home\"}}");
    take(&f->t, pv_tui_take_peers,
         "{\"peers\":[" PEER("pi", "true", "direct", "3.14") "," PEER(
             "alice", "true", "relay", "80") "," PEER("bob", "false", "none",
                                                      "null") "," PEER("bobby", "false", "none",
                                                                       "null") "]}");
    *state = f;
    return 0;
}

static inline int drop(void **state)
{
    struct fixture *f = *state;
    pv_tui_screen_done(&f->screen);
    pv_tui_done(&f->t);
    free(f);
    return 0;
}

static inline void type(struct pv_tui *t, const char *text)
{
    for (size_t n; *text != '\0'; text += n)
        pv_tui_key(t, PV_TUI_CHAR, pv_tui_decode(text, &n));
}

static inline void line(struct pv_tui *t, const char *text)
{
    type(t, text);
    pv_tui_key(t, PV_TUI_ENTER, 0);
}

static inline void edit(struct pv_tui *t, enum pv_tuiedit_op op)
{
    pv_tui_key(t, PV_TUI_EDIT, (wchar_t)op);
}

static inline const char *name_of_current(struct pv_tui *t)
{
    return t->convs[t->current].name;
}

static inline void assert_action(struct pv_tui *t, enum pv_tui_action_kind kind, const char *peer,
                                 const char *text)
{
    struct pv_tui_action a;
    assert_int_equal(pv_tui_poll(t, &a), PV_OK);
    assert_int_equal(a.kind, kind);
    assert_string_equal(a.peer, peer);
    assert_string_equal(a.text == NULL ? "" : a.text, text);
    free(a.text);
}

static inline void assert_nothing_asked(struct pv_tui *t)
{
    struct pv_tui_action a;
    assert_int_equal(pv_tui_poll(t, &a), PV_ERR_AGAIN);
}

/* A row of the picture without the blanks at its end. */
static inline const char *row(struct fixture *f, size_t n)
{
    size_t len = 0;
    for (size_t i = 0; i < f->screen.cols; i++) {
        const struct pv_tui_cell *c = &f->screen.cells[n * f->screen.cols + i];
        for (size_t k = 0; c->ch[k] != L'\0'; k++) {
            char bytes[MB_LEN_MAX];
            int w = wctomb(bytes, c->ch[k]);
            assert_true(w > 0);
            memcpy(f->row + len, bytes, (size_t)w);
            len += (size_t)w;
        }
    }
    while (len > 0 && f->row[len - 1] == ' ')
        len--;
    f->row[len] = '\0';
    return f->row;
}

static inline void draw(struct fixture *f, size_t rows, size_t cols)
{
    assert_int_equal(pv_tui_render(&f->t, rows, cols, &f->screen), PV_OK);
}
