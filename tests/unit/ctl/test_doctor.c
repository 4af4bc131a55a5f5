/* SPDX-License-Identifier: MIT */
/* The commands for when something is wrong, against a fake daemon: doctor; and bugreport, what is
 * in the file, and what is not. */
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/jsonread.h"
#include "tests/unit/ctl/ctl_fake.h"

static struct group group = {.gr_name = (char[]){"p2pvpn"}};
static bool has_group;

/* Stands in for libc's: this machine may have such a group, or none. */
struct group *getgrnam(const char *name)
{
    return has_group && strcmp(name, group.gr_name) == 0 ? &group : NULL;
}

static int begin(void **state)
{
    has_group = false;
    int r = setup(state);
    answers("rules", OK_V1("'rules':[],'default':'allow','firewall':null"));
    answers("ip", OK("'ip4':null,'ip6':null"));
    answers("peers", OK("'peers':[]"));
    return r;
}

PV_TEST_WORLD(begin, teardown);

/* --- doctor -------------------------------------------------------------------------------- */

#define DOCTOR_OF(udp, problems)                                                                  \
    "{\"id\":@,\"ok\":true,\"version\":1,\"daemon\":\"" PV_VERSION                                \
    "\",\"state\":\"up\",\"network\":"                                                            \
    "{\"name\":\"home\"},\"sandbox\":\"user 62575, no capabilities, seccomp; helper: root\","     \
    "\"interface\":{\"name\":\"lo\",\"mtu\":1420,\"port\":1},"                                    \
    "\"coordinator\":"                                                                            \
    "{\"address\":\"203.0.113.7:3478\",\"connected\":true,\"rtt_ms\":12.0,\"error\":null},"       \
    "\"udp\":\"" udp                                                                              \
    "\",\"hard_nat\":{\"mapping\":\"same\",\"ports\":\"random\"},\"port_mappings\":[{\"family\":" \
    "\"ipv4\",\"state\":\"waiting\",\"why\":\"no router answers\"}],\"problems\":[" problems      \
    "]}\n"

PV_TEST(doctor_asks_for_status_and_rules)
{
    answers("status", DOCTOR_OF("open", ""));
    (void)RUN("doctor"); /* the exit code depends on this machine's TUN, disk and names too */
    assert_asked("'cmd':'status'", "'cmd':'rules'", "'cmd':'ip'", "'cmd':'peers'");
    assert_int_equal(RUN("doctor", "now"), PV_CTLAPI_USAGE);
}

PV_TEST(a_doctor_that_is_not_content_says_so_in_json)
{
    answers("status", DOCTOR_OF("blocked", "'odd'"));
    assert_int_equal(RUN("doctor", "--json"), PV_CTLAPI_FAILED);
    assert_has(t.out, "'well':false,'checks':[");
}

/* A line for each thing that the page promises, and a remedy for each that is not well. */
PV_TEST(no_line_is_missing_and_each_that_is_not_well_has_a_remedy)
{
    static const char *const names[] = {
        "tun",     "programs",  "disk", "names",       "group", "daemon", "versions",     "rights",
        "network", "interface", "mtu",  "coordinator", "udp",   "nat",    "port mapping", "clock"};
    answers("status", DOCTOR_OF("open", ""));
    (void)RUN("doctor", "--json");
    json_t *doc = json_loads(t.out, 0, NULL);
    size_t n = 0;
    PV_EACH_JSON(json_object_get(doc, "checks"), check) {
        const char *name = pv_json_text(check, "name", NULL);
        if (n < PV_ARRAY_LEN(names) && strcmp(name, names[n]) == 0)
            n++;
        if (!pv_json_bool(check, "well"))
            assert_true(json_is_string(json_object_get(check, "todo")));
    }
    json_decref(doc);
    if (n != PV_ARRAY_LEN(names))
        fail_msg("%s is not looked at", names[n]);
}

#define PROXIED(connected, error, proxy)                                                        \
    OK_V1("'state':'up','network':{'name':'home'},'coordinator':{'address':'203.0.113.7:3478'," \
          "'connected':" connected ",'error':" error ",'proxy':" proxy "},'problems':[]")

/* One that opens no way is the fault, and the coordinator behind it is not looked at. */
PV_TEST(the_proxy_has_a_line)
{
    answers("status", PROXIED("true", "null",
                              "{'address':'proxy:3128','state':'open','text':'the HTTP proxy "
                              "proxy:3128 connects to 203.0.113.7:443','remedy':null}"));
    (void)RUN("doctor", "-l");
    assert_has(t.out, "connects to 203.0.113.7:443");
    assert_has(t.out, "203.0.113.7:3478");
    answers("status", PROXIED("false", "'no'",
                              "{'address':'proxy:3128','state':'login','text':'the HTTP proxy "
                              "proxy:3128 wants a user','remedy':'set proxy-user and "
                              "proxy-password-file in [coordinator] of p2pvpnd.conf, then "
                              "`sudo p2pvpnctl reload`'}"));
    assert_int_equal(RUN("doctor"), PV_CTLAPI_FAILED);
    assert_has(t.out, "wants a user");
    assert_has(t.out, "to do: set proxy-user");
    assert_lacks(t.out, "cannot reach");
}

/* p2pvpnd gives its socket to the group once, when it begins. */
PV_TEST(a_group_that_came_after_p2pvpnd_wants_a_restart)
{
    answers("status", OK_V1("'state':'none'"));
    has_group = true;
    group.gr_gid = getegid() + 1;
    assert_int_equal(chmod(t.path, 0640), 0);
    (void)RUN("doctor");
    assert_has(t.out, "to do: restart p2pvpnd\n");
    if (geteuid() == 0) {
        assert_int_equal(chmod(t.dir, 0711), 0);
        assert_int_equal(seteuid(65534), 0);
        int locked = RUN("peers");
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(locked, PV_CTLAPI_PERMISSION);
        assert_has(t.err, "use sudo, or restart p2pvpnd");
    }
}

PV_TEST(doctor_says_that_this_user_may_not_ask)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(seteuid(65534), 0);
    int locked = RUN("doctor"); /* the socket's directory is root's */
    assert_int_equal(seteuid(0), 0);
    assert_int_equal(locked, PV_CTLAPI_FAILED);
    assert_has(t.out, "this user may not ask p2pvpnd\n");
}

/* --- bugreport ----------------------------------------------------------------------------- */

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
    answers("status", test_given("network home self lap ip4"));
    answers("peers", test_given("peers pi ip4 key"));
    answers("why", test_given("lines pi at not db8 happy line"));
    answers("trace", OK_V1("'events':[]"));
    answers("metrics", test_given("text p2pvpn_up n"));
}

PV_TEST(the_report_has_every_part)
{
    script();
    assert_int_equal(RUN("bugreport", "-o", path), 0);
    read_report();
    assert_has(text, "== versions\n");
    assert_has(text, "== status\n");
    assert_has(text, "== why, peer 1\n");
    assert_has(text, "== trace, peer 1\n");
    assert_has(text, "== metrics\np2pvpn_up 1\n");
    assert_has(text, "== configuration\n");
    assert_has(text, KEY);
    assert_has(text, "/home/alice/state");
    free(text);
}

PV_TEST(a_redacted_report_names_nobody)
{
    static const char *const gone[] = {KEY,       "\"pi\"",     "\"lap\"",  "\"home\"",
                                       "10.66.0", "198.51.100", "2001:db8", "alice"};
    script();
    assert_int_equal(RUN("bugreport", "--redact", "--output", path), 0);
    read_report();
    for (size_t i = 0; i < PV_ARRAY_LEN(gone); i++)
        assert_lacks(text, gone[i]);
    assert_has(t.out, "read it before you give it away");
    /* The same word everywhere, ports and other words as they are. */
    assert_has(text, "'name': 'name-3'");
    assert_has(text, "name-3 is at address-");
    assert_has(text, ":4711, not [address-");
    assert_has(text, "]:9; a happy line");
    free(text);
}

PV_TEST(a_file_that_is_there_stays)
{
    script();
    test_write(path, "mine");
    assert_int_equal(RUN("bugreport", "-o", path), PV_CTLAPI_FAILED);
    assert_int_equal(RUN("bugreport", "-o", path, "--json"), PV_CTLAPI_FAILED);
    assert_int_equal(strncmp(t.err, "{\"format\":1,\"code\":1,", 21), 0);
    read_report();
    assert_string_equal(text, "mine");
    free(text);
}

PV_TEST(a_script_hears_where_it_is)
{
    script();
    assert_prints("bugreport", "--json", "-o", path);
}
