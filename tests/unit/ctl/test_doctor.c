/* SPDX-License-Identifier: MIT */
/* The commands for when something is wrong, against a fake daemon: doctor; and bugreport, what is
 * in the file, and what is not. */
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

static bool no_inodes;

/* Stands in for libc's: this machine's disks may have room and no inodes. */
int statvfs(const char *of, struct statvfs *ret_fs)
{
    int fd = open(of, O_PATH | O_CLOEXEC);
    int r = fd < 0 ? -1 : fstatvfs(fd, ret_fs);
    if (fd >= 0)
        close(fd);
    if (r == 0 && no_inodes) {
        ret_fs->f_files = 5;
        ret_fs->f_favail = 0;
    }
    return r;
}

static int begin(void **state)
{
    has_group = no_inodes = false;
    int r = setup(state);
    answers("rules", OK_V1("'rules':[],'default':'allow','firewall':null"));
    return r;
}

PV_TEST_WORLD(begin, teardown);

/* --- doctor -------------------------------------------------------------------------------- */

#define DOCTOR_OF(udp, problems)                                                                  \
    "{\"id\":@,\"ok\":true,\"version\":1,\"daemon\":\"" PV_VERSION                                \
    "\",\"state\":\"up\",\"network\":"                                                            \
    "{\"name\":\"home\"},\"confined\":\"user 62575, no capabilities, seccomp; helper: root\","    \
    "\"interface\":{\"name\":\"lo\",\"mtu\":1420,\"port\":1},"                                    \
    "\"coordinator\":"                                                                            \
    "{\"address\":\"203.0.113.7:3478\",\"connected\":true,\"rtt_ms\":12.0,\"error\":null},"       \
    "\"udp\":\"" udp                                                                              \
    "\",\"hard_nat\":{\"mapping\":\"same\",\"ports\":\"random\"},\"port_mappings\":[{\"family\":" \
    "\"ipv4\",\"state\":\"waiting\",\"why\":\"no router answers\"}],\"problems\":[" problems      \
    "]}\n"

PV_TEST(doctor_goes_through_everything)
{
    answers("status", DOCTOR_OF("open", ""));
    (void)RUN("doctor", "-l"); /* the exit code depends on this machine's TUN, disk and names too */
    assert_has(t.out, "ok   network       home\n");
    assert_has(t.out, "ok   interface     lo is up\n");
    assert_has(t.out, "ok   mtu           packets of 1420 bytes\n");
    assert_has(t.out, "ok   coordinator   203.0.113.7:3478, 12.0 ms\n");
    assert_has(t.out, "ok   rights        user 62575, no capabilities, seccomp\n");
    assert_has(t.out, "ok   udp           open\n");
    assert_has(t.out, "ok   nat           mapping same, ports random\n");
    assert_has(t.out, "ok   port mapping  ipv4: waiting: no router answers\n");
    assert_has(t.out, "ok   clock ");
    assert_asked("'cmd':'status'", "'cmd':'rules'");
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

/* `netcheck` with that coordinator measures nothing. */
PV_TEST(doctor_says_that_a_coordinator_in_the_lan_sees_no_public_address)
{
    answers("status", OK_V1("'state':'up','unseen':true,'network':{'name':'home'}"));
    (void)RUN("doctor", "-l");
    assert_has(t.out, "ok   nat           seen as nothing public: the coordinator is in this LAN");
}

PV_TEST(doctor_says_what_to_do)
{
    answers("status", DOCTOR_OF("blocked", "'the clock is 3 days behind: set it','odd'"));
    assert_int_equal(RUN("doctor", "-l"), PV_CTLAPI_FAILED);
    assert_has(t.out, "!!   udp           no answer by UDP");
    assert_has(t.out, "to do: see the problem below\n"); /* which names the port */
    assert_has(t.out, "!!   clock         the clock is 3 days behind: set it\n");
    assert_has(t.out, "!!   problem       odd\n");
    answers("status", DOCTOR_OF("blocked-there", ""));
    assert_int_equal(RUN("doctor", "-l"), PV_CTLAPI_FAILED);
    assert_has(t.out, "!!   udp           closed at the coordinator");
    assert_has(t.out, "to do: see the problem below\n");
    assert_int_equal(RUN("doctor", "--json"), PV_CTLAPI_FAILED);
    assert_has(t.out, "'well':false,'checks':[");
    assert_int_equal(RUN("doctor", "now"), PV_CTLAPI_USAGE);
}

/* It has no interface, and asks the coordinator from time to time: neither is a fault. */
PV_TEST(doctor_finds_no_fault_in_a_machine_that_waits_to_be_admitted)
{
    answers("status", OK_V1("'state':'waiting','network':{'name':'home'},'interface':null,"
                            "'coordinator':{'address':'c:1','connected':false,'error':null},"
                            "'problems':['this machine waits']"));
    assert_int_equal(RUN("doctor", "-l"), PV_CTLAPI_FAILED);
    assert_has(t.out, "ok   interface     there is none until an admin admits this machine\n");
    assert_has(t.out,
               "ok   coordinator   c:1 is asked every half minute whether an admin has said");
    assert_has(t.out, "!!   problem       this machine waits\n");
    assert_lacks(t.out, "mtu");
    answers("status",
            OK_V1("'state':'waiting','network':{'name':'home'},'interface':null,"
                  "'coordinator':{'address':'c:1','connected':false,'error':'no route'}"));
    (void)RUN("doctor", "-l");
    assert_has(t.out, "!!   coordinator   cannot reach c:1: no route\n");
}

PV_TEST(doctor_tells_a_removed_machine_how_it_comes_back)
{
    answers("status", OK_V1("'state':'removed','network':{'name':'home'},'interface':null,"
                            "'coordinator':{'address':'c:1','connected':false,'error':'removed'}"));
    assert_int_equal(RUN("doctor", "-l"), PV_CTLAPI_FAILED);
    assert_has(t.out,
               "!!   coordinator   c:1 does not let this machine in: it was removed, it says\n");
    assert_has(t.out,
               "to do: ask an admin; if that is so `p2pvpnctl leave --forget`, then join with a "
               "new token\n");
    assert_lacks(t.out, "reached without it");
}

/* Towards the others it is silence, as a firewall of the host's is. */
PV_TEST(doctor_names_the_firewall_of_the_node_itself)
{
    answers("status", DOCTOR_OF("open", ""));
    (void)RUN("doctor", "-l");
    assert_lacks(t.out, "[firewall]");
    answers("rules", OK_V1("'rules':[],'default':'allow','firewall':'none'"));
    (void)RUN("doctor", "-l");
    assert_has(t.out, "   firewall      ");
    assert_has(t.out, "this node's [firewall] lets in nothing\n");
    answers("rules", OK_V1("'rules':[],'default':'allow','firewall':'tcp/22,ping'"));
    (void)RUN("doctor", "-l");
    assert_has(t.out, "this node's [firewall] lets in no more than tcp/22,ping\n");
    answers("rules", OK_V1("'rules':[],'default':'allow','firewall':'all'"));
    (void)RUN("doctor", "-l");
    assert_lacks(t.out, "[firewall]");
    /* A node in no network has no rules. */
    answers("rules", "{'id':@,'ok':false,'code':1,'error':'in no network'}\n");
    answers("status", OK_V1("'state':'static','network':null"));
    (void)RUN("doctor", "-l");
    assert_string_equal(t.err, "");
}

/* Nothing is ever free below /proc, and this machine's own p2pvpnd has another disk. */
PV_TEST(doctor_looks_at_the_disk_that_p2pvpnd_uses)
{
    answers("status", OK_V1("'state':'none','directory':'/proc'"));
    assert_int_equal(RUN("doctor", "-l"), PV_CTLAPI_FAILED);
    assert_has(t.out, "!!   disk          0 MiB are free below /proc\n");
    no_inodes = true;
    answers("status", OK_V1("'state':'none','directory':'/tmp'"));
    assert_int_equal(RUN("doctor", "-l"), PV_CTLAPI_FAILED);
    assert_has(t.out, "!!   disk          no inodes are free below /tmp: no file can be made");
    assert_has(t.out, "to do: delete small files that nobody needs\n");
    no_inodes = false;
    answers("status", OK_V1("'state':'none','directory':'/nowhere/p2pvpn'"));
    (void)RUN("doctor", "-l");
    assert_has(t.out, "ok   disk          /nowhere/p2pvpn does not exist yet\n");
    /* One of before says nothing, and its socket is not where units have it. */
    answers("status", OK_V1("'state':'none'"));
    (void)RUN("doctor", "-l");
    assert_has(t.out,
               "ok   disk          not looked at: p2pvpnd does not say where its state is\n");
}

/* p2pvpnd gives its socket to the group once, when it begins. */
PV_TEST(a_group_that_came_after_p2pvpnd_wants_a_restart)
{
    answers("status", OK_V1("'state':'none'"));
    (void)RUN("doctor", "-l");
    assert_has(t.out, "!!   group         there is no group p2pvpn: root alone may use p2pvpnd\n");
    assert_has(t.out, "USER for each user, then restart p2pvpnd\n");
    has_group = true;
    group.gr_gid = getegid() + 1;
    assert_int_equal(chmod(t.path, 0640), 0);
    (void)RUN("doctor", "-l");
    assert_has(t.out,
               "!!   group         p2pvpnd began before there was a group p2pvpn: root alone");
    assert_has(t.out, "to do: restart p2pvpnd\n");
    if (geteuid() == 0) {
        assert_int_equal(chmod(t.dir, 0711), 0);
        assert_int_equal(seteuid(65534), 0);
        int locked = RUN("peers");
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(locked, PV_CTLAPI_PERMISSION);
        assert_has(t.err, "use sudo, or restart p2pvpnd: it began before there was a group p2pvpn");
    }
    group.gr_gid = getegid();
    (void)RUN("doctor", "-l");
    assert_has(t.out, "ok   group         who is in group p2pvpn may ping, chat and read\n");
}

PV_TEST(doctor_says_why_it_hears_nothing)
{
    if (geteuid() == 0) {
        assert_int_equal(seteuid(65534), 0);
        int locked = RUN("doctor", "-l"); /* the socket's directory is root's */
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(locked, PV_CTLAPI_FAILED);
        assert_has(t.out, "!!   daemon        this user may not ask p2pvpnd\n");
    }
    stop_daemon();
    assert_int_equal(RUN("doctor", "-l"), PV_CTLAPI_FAILED);
    assert_has(t.out, "!!   daemon        p2pvpnd does not run\n");
    assert_has(t.out, "to do: `sudo p2pvpnctl up`\n");
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
    answers("status",
            OK_V1("'network':{'name':'home'},'self':{'name':'lap','ip4':'10.66.0.1'},'problems':[],"
                  "'directory':'/home/alice/state'"));
    answers("peers", OK_V1("'peers':[{'name':'pi','ip4':'10.66.0.2','key':'" KEY "'}]"));
    answers("why",
            OK_V1("'lines':['pi is at 198.51.100.7:4711, not [2001:db8::5]:9; a happy line']"));
    answers("trace", OK_V1("'events':[]"));
    answers("metrics", "{'id':@,'ok':true,'version':1,'text':'p2pvpn_up 1\\n'}\n");
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
    assert_prints(PV_STR("{\"file\":\"%s\",\"format\":1}\n", path), "bugreport", "--json", "-o",
                  path);
}
