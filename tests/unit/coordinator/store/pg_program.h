/* SPDX-License-Identifier: MIT */
/*
 * pg_program.h - a test program with one PostgreSQL server for all of its tests, skipped where
 * there is none to be had. For the program's only source file.
 */
#pragma once

#include "tests/unit/coordinator/store/pg_server.h"

static struct pg_server server;

void test_begin(void)
{
    if (!pg_server_make(&server))
        test_skip_all("PostgreSQL is not installed (scripts/deps)");
}

void test_done(void)
{
    pg_server_done(&server);
}
