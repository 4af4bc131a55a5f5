/* SPDX-License-Identifier: MIT */
/* The command bugreport, against a fake daemon: what is in the file, and what is not. */
#include <unistd.h>

#include "tests/unit/ctl/ctl_fake.h"

#define KEY "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static char path[160], *text;

static void read_report(void)
{
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    text = calloc(1, 65536);
    assert_non_null(text);
    assert_true(fread(text, 1, 65535, f) > 0);
    fclose(f);
    assert_int_equal(unlink(path), 0);
}

static void script(void)
{
    snprintf(path, sizeof(path), "%s/report", t.dir);
    answers("status",
            "{\"id\":@,\"ok\":true,\"version\":1,\"network\":{\"name\":\"home\"},\"self\":"
            "{\"name\":\"lap\",\"ip4\":\"10.66.0.1\"},\"problems\":[]}\n");
    answers("peers", "{\"id\":@,\"ok\":true,\"version\":1,\"peers\":[{\"name\":\"pi\",\"ip4\":"
                     "\"10.66.0.2\",\"key\":\"" KEY "\"}]}\n");
    answers("why", "{\"id\":@,\"ok\":true,\"version\":1,\"lines\":[\"pi is at 198.51.100.7:4711, "
                   "not [2001:db8::5]:9; a happy line\"]}\n");
    answers("trace", "{\"id\":@,\"ok\":true,\"version\":1,\"events\":[]}\n");
    answers("metrics", "{\"id\":@,\"ok\":true,\"version\":1,\"text\":\"p2pvpn_up 1\\n\"}\n");
}

PV_TEST_WORLD(setup, teardown);

PV_TEST(the_report_has_every_part)
{
    script();
    assert_int_equal(RUN("bugreport", "-o", path), 0);
    read_report();
    assert_non_null(strstr(text, "== versions\n"));
    assert_non_null(strstr(text, "== status\n"));
    assert_non_null(strstr(text, "== why, peer 1\n"));
    assert_non_null(strstr(text, "== trace, peer 1\n"));
    assert_non_null(strstr(text, "== metrics\np2pvpn_up 1\n"));
    assert_non_null(strstr(text, "== configuration\n"));
    assert_non_null(strstr(text, KEY));
    free(text);
}

PV_TEST(a_redacted_report_names_nobody)
{
    static const char *const gone[] = {KEY,       "\"pi\"",     "\"lap\"", "\"home\"",
                                       "10.66.0", "198.51.100", "2001:db8"};
    script();
    assert_int_equal(RUN("bugreport", "--redact", "--output", path), 0);
    read_report();
    for (size_t i = 0; i < PV_ARRAY_LEN(gone); i++)
        assert_null(strstr(text, gone[i]));
    assert_non_null(strstr(t.out, "read it before you give it away"));
    /* The same word everywhere, ports and other words as they are. */
    assert_non_null(strstr(text, "\"name\": \"name-3\""));
    assert_non_null(strstr(text, "name-3 is at address-"));
    assert_non_null(strstr(text, ":4711, not [address-"));
    assert_non_null(strstr(text, "]:9; a happy line"));
    free(text);
}

PV_TEST(a_file_that_is_there_stays)
{
    script();
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs("mine", f);
    fclose(f);
    assert_int_equal(RUN("bugreport", "-o", path), PV_CTLAPI_FAILED);
    assert_int_equal(RUN("bugreport", "-o", path, "--json"), PV_CTLAPI_FAILED);
    assert_int_equal(strncmp(t.err, "{\"format\":1,\"code\":1,", 21), 0);
    read_report();
    assert_string_equal(text, "mine");
    free(text);
}

PV_TEST(a_script_hears_where_it_is)
{
    char want[256];
    script();
    assert_int_equal(RUN("bugreport", "--json", "-o", path), 0);
    snprintf(want, sizeof(want), "{\"file\":\"%s\",\"format\":1}\n", path);
    assert_string_equal(t.out, want);
}
