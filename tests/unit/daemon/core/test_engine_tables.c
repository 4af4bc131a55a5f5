/* SPDX-License-Identifier: MIT */
/*
 * test_engine_tables.c - walks over all commands, in-band types and kinds of streams, and names the
 * one that no part takes, or that two parts take: the engine would then refuse it, or give it to
 * the first. And the parts stand in an order that suits each of them.
 */
#include "bind/chat.h"
#include "daemon/core/engine.h"
#include "daemon/core/node/part.h"
#include "proto/local/ctlapi_request.h"
#include "tests/unit/test_util.h"

static const struct pv_part *const *parts;
static size_t n_parts;

void test_begin(void)
{
    static const struct pv_part *all[PV_NODE_MAX_PARTS];
    const struct pv_part *const *own = pv_engine_parts(&n_parts);
    assert_true(n_parts < PV_ARRAY_LEN(all));
    size_t n = 0;
    for (size_t i = 0; i < n_parts; i++) {
        all[n++] = own[i];
        if (strcmp(own[i]->name, "linkkeys") == 0)
            all[n++] = &pv_bind_chat;
    }
    n_parts = n;
    parts = all;
}

static void expect_one(const char *what, const char *name, const struct pv_part *one,
                       const struct pv_part *two)
{
    if (one == NULL)
        fail_msg("no part has a row for the %s %s", what, name);
    if (two != NULL)
        fail_msg("%s and %s both have a row for the %s %s", one->name, two->name, what, name);
}

PV_TEST(every_command_has_one_row)
{
    for (unsigned cmd = 0; cmd < PV_CTLAPI_N_CMDS; cmd++) {
        const struct pv_part *found[2] = {NULL, NULL};
        for (size_t i = 0; i < n_parts; i++) {
            for (size_t k = 0; k < parts[i]->n_commands; k++) {
                if (parts[i]->commands[k].cmd == cmd)
                    found[found[0] != NULL] = parts[i];
            }
        }
        expect_one("command", pv_ctlapi_cmd_name((enum pv_ctlapi_cmd)cmd), found[0], found[1]);
    }
}

PV_TEST(every_in_band_type_has_one_row)
{
#define ROW(name, number, ...) {#name, number},
    static const struct {
        const char *name;
        unsigned number;
    } types[] = {PV_INBAND_TYPES(ROW)};
    for (size_t t = 0; t < PV_ARRAY_LEN(types); t++) {
        const struct pv_part *found[2] = {NULL, NULL};
        for (size_t i = 0; i < n_parts; i++) {
            for (size_t k = 0; k < parts[i]->n_inband; k++) {
                if (parts[i]->inband[k].type == types[t].number)
                    found[found[0] != NULL] = parts[i];
            }
        }
        expect_one("in-band type", types[t].name, found[0], found[1]);
    }
}

PV_TEST(every_kind_of_stream_has_one_row)
{
#define NAME(name) #name,
    static const char *const names[PV_STREAM_KINDS] = {PV_STREAM_ROWS(NAME)};
    for (unsigned kind = 0; kind < PV_STREAM_KINDS; kind++) {
        const struct pv_part *found[2] = {NULL, NULL};
        for (size_t i = 0; i < n_parts; i++) {
            for (size_t k = 0; k < parts[i]->n_streams; k++) {
                if (parts[i]->streams[k].kind == kind)
                    found[found[0] != NULL] = parts[i];
            }
        }
        expect_one("kind of stream", names[kind], found[0], found[1]);
    }
}

PV_TEST(every_part_has_a_name_of_its_own)
{
    for (size_t i = 0; i < n_parts; i++) {
        assert_non_null(parts[i]->name);
        for (size_t k = 0; k < i; k++) {
            if (strcmp(parts[i]->name, parts[k]->name) == 0)
                fail_msg("two parts are named %s", parts[i]->name);
        }
    }
}

/* Where a part of this name stands; n_parts: nowhere. */
static size_t place_of(const char *name)
{
    size_t i = 0;
    while (i < n_parts && strcmp(parts[i]->name, name) != 0)
        i++;
    return i;
}

PV_TEST(every_part_stands_behind_those_it_names)
{
    for (size_t i = 0; i < n_parts; i++) {
        for (size_t k = 0; k < PV_PART_AFTER && parts[i]->after[k] != NULL; k++) {
            size_t before = place_of(parts[i]->after[k]);
            if (before == n_parts)
                fail_msg("%s is to come after %s, which is no part", parts[i]->name,
                         parts[i]->after[k]);
            if (before >= i)
                fail_msg("%s belongs after %s in the engine's array", parts[i]->name,
                         parts[i]->after[k]);
        }
    }
}

/* The part "commands" hands requests to others while it runs: one that runs before it would not act
 * on them in the same turn. */
PV_TEST(no_part_that_takes_commands_runs_before_they_come)
{
    size_t commands = place_of("commands");
    assert_true(commands < n_parts);
    for (size_t i = 0; i < commands; i++)
        assert_true(parts[i]->run == NULL || parts[i]->n_commands == 0);
}

/* The table of the binding has what chat serves, and nothing else. */
PV_TEST(chats_commands_are_those_of_its_part)
{
    enum pv_ctlapi_cmd cmd;
    size_t n = 0;
    for (; pv_chat_serves(n, &cmd); n++) {
        bool found = false;
        for (size_t k = 0; k < pv_bind_chat.n_commands; k++)
            found = found || pv_bind_chat.commands[k].cmd == cmd;
        assert_true(found);
    }
    assert_int_equal(n, pv_bind_chat.n_commands);
}
