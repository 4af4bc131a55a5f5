/* SPDX-License-Identifier: MIT */
/* p2pvpnctl ssh: what OpenSSH is told of a host, and what leaves this program of a file. */
#include <arpa/inet.h>
#include <limits.h>
#include <netdb.h>
#include <sys/stat.h>

#include "base/text.h"
#include "ctl_fake.h"

#define ED25519 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIYvH9vbTs6dZ14MLFQ2kTZWdI57QZJFOQPaIiiOVdZG"
#define ED2     "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx5F0vUl91DoFWX70GpFUMWjZUhF+I+eMlQq+vP3Umr"
#define P256                                                      \
    "ecdsa-sha2-nistp256 "                                        \
    "AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPumZg+" \
    "VU8sxmnqVNOp3ogj3CW5gH7n5EmBm+mMiRVsf/VQ7uFigZcvn4LSuxp5j8DqGMfirjKzbPx1a94LPmrg="
#define PI "'ip4':'10.66.0.2','ip6':'fd00::2','keys':['" ED25519 "','" P256 "']"

/* The address that the resolver has for every name; NULL: it knows none. */
static const char *leads_to;
static unsigned resolved;

/* Stands in for libc's. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    static struct sockaddr_in sin;
    static struct addrinfo info;
    struct in_addr literal;
    const char *text = inet_pton(AF_INET, name, &literal) == 1 ? name : leads_to;
    resolved++;
    if (text == NULL)
        return EAI_NONAME;
    sin = (struct sockaddr_in){.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, text, &sin.sin_addr), 1);
    info = (struct addrinfo){
        .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&sin, .ai_addrlen = sizeof(sin)};
    *ret = &info;
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
}

static int begin(void **state)
{
    leads_to = "10.66.0.2";
    resolved = 0;
    return setup(state);
}

PV_TEST_WORLD(begin, teardown);

/* ssh goes on, and hears nothing but keys. */
static void assert_told(const char *host, const char *lines)
{
    assert_int_equal(RUN("ssh", "known-hosts", host), 0);
    assert_string_equal(t.err, "");
    assert_string_equal(t.out, lines);
}

PV_TEST(ssh_is_told_a_members_keys_by_what_it_asked)
{
    answers("ssh_known_hosts", OK(PI));
    assert_told("pi", "pi " ED25519 "\npi " P256 "\n");
    assert_asked("'cmd':'ssh_known_hosts','peer':'pi'");
    assert_told("[pi.home.p2p]:2222",
                "[pi.home.p2p]:2222 " ED25519 "\n[pi.home.p2p]:2222 " P256 "\n");
    assert_told("10.66.0.2", "10.66.0.2 " ED25519 "\n10.66.0.2 " P256 "\n");
}

/* Of two machines with one name ssh connects to the one that DNS has (adr 0053). */
PV_TEST(a_name_that_leads_elsewhere_has_no_key)
{
    answers("ssh_known_hosts", OK(PI));
    leads_to = "192.0.2.66";
    assert_told("pi", "");
    leads_to = NULL; /* by a ProxyCommand */
    assert_told("pi", "pi " ED25519 "\npi " P256 "\n");
}

/* A p2pvpnd that was taken over says that a member has the address of anybody. */
PV_TEST(no_host_of_the_internet_gets_a_key)
{
    answers("ssh_known_hosts", OK("'ip4':'192.0.2.66','ip6':'fd00::2','keys':['" ED25519 "']"));
    leads_to = "192.0.2.66";
    assert_told("pi", "");
    assert_told("192.0.2.66", "");
    leads_to = NULL;
    assert_told("host.example.org", "");
    assert_told("pi.home.p2p", "pi.home.p2p " ED25519 "\n");
}

PV_TEST(other_hosts_have_no_key_and_ssh_no_error)
{
    answers("ssh_known_hosts", "{'id':@,'ok':false,'code':6,'error':'ssh_known_hosts: nobody'}\n");
    assert_told("example.org", "");
    assert_told("192.0.2.1", "");
    answers("ssh_known_hosts", "rubbish\n");
    assert_told("pi", "");
    stop_daemon();
    assert_told("pi", "");
}

/* A pattern would be true of other hosts, and a blank would end the host. */
PV_TEST(a_host_that_is_none_is_asked_of_nobody)
{
    static const char *const bad[] = {
        "*",   "p?",  "!pi",   "pi,tau", "pi tau", "pi\n* x",  "[pi]",         "[pi]:22x",
        "[pi", "pi]", "[]:22", "",       "#pi",    "@revoked", "fe80::1%eth0", "k\xc3\xa9"};
    answers("ssh_known_hosts", OK(PI));
    for (size_t i = 0; i < PV_ARRAY_LEN(bad); i++)
        assert_told(bad[i], "");
    assert_asked(NULL);
    assert_int_equal(resolved, 0);
}

/* The daemon may have been taken over: what it says is no more than a key. */
PV_TEST(only_keys_are_printed)
{
    answers("ssh_known_hosts",
            OK("'ip4':'10.66.0.2','ip6':'fd00::2','keys':['" ED25519 " comment','x\\n* " ED2
               "','* " ED2 "','@cert-authority * " ED2 "',7,'']"));
    assert_told("pi", "pi " ED25519 "\n");
}

static const char *file_of(const char *name, const char *text)
{
    const char *path = PV_STR("%s/%s", t.dir, name);
    static char kept[2][PATH_MAX];
    static int next;
    char *p = kept[next++ % 2];
    snprintf(p, PATH_MAX, "%s", path);
    test_write(p, text);
    return p;
}

PV_TEST(files_are_announced_as_keys_and_nothing_else)
{
    answers("ssh_announce", OK("'keys':['" ED25519 "','" P256 "'],'found':false"));
    const char *a = file_of("a.pub", P256 " root@pi\n");
    const char *b = file_of("b.pub", "# comment\n" ED25519 " x\n");
    assert_int_equal(RUN("ssh", "announce", a, b), 0);
    assert_asked("'cmd':'ssh_announce','keys':'" ED25519 "\\n" P256 "'");
    assert_string_equal(t.out, ED25519 "\n" P256 "\n");
}

PV_TEST(without_a_file_those_that_are_found_count)
{
    answers("ssh_announce", OK("'keys':[],'found':true"));
    assert_int_equal(RUN("ssh", "announce"), 0);
    assert_string_equal(t.out, "");
    assert_int_equal(RUN("ssh", "announce", "--none"), 0);
    assert_asked("'cmd':'ssh_announce'", "'cmd':'ssh_announce','keys':'none'");
}

/* Nothing of a private key, which has the name that people type, reaches p2pvpnd. */
PV_TEST(a_file_without_a_public_key_is_refused)
{
    const char *key = file_of("key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n");
    assert_int_equal(RUN("ssh", "announce", key), PV_CTLAPI_USAGE);
    assert_one_line_error("give a .pub file");
    assert_int_equal(
        RUN("ssh", "announce", file_of("two", ED25519 "\n"), file_of("same", ED2 "\n")),
        PV_CTLAPI_USAGE);
    assert_int_equal(RUN("ssh", "announce", "/nowhere.pub"), PV_CTLAPI_FAILED);
    assert_int_equal(RUN("ssh", "announce", "--none", key), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("ssh", "known-hosts", "pi", "--none"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("ssh"), PV_CTLAPI_USAGE);
    assert_asked(NULL);
}

/* --- logins ----------------------------------------------------------------------------------- */

#define PRINT  "SHA256:w++F5IQZP2pOeYA+mzshdvSPdRElauLv7B2o3g6+d84"
#define MEMBER "{'ip4':'10.66.0.2','ip6':'fd00::2','key':'" ED25519 "'}"

static void assert_sshd_told(const char *user, const char *print, const char *lines)
{
    assert_int_equal(RUN("ssh", "authorized-keys", user, print), 0);
    assert_string_equal(t.err, "");
    assert_string_equal(t.out, lines);
}

PV_TEST(sshd_is_told_a_members_key_and_its_addresses)
{
    answers("ssh_authorized_keys", OK("'members':[" MEMBER "]"));
    assert_sshd_told("ada", PRINT, "from=\"10.66.0.2,fd00::2\" " ED25519 "\n");
    assert_asked("'cmd':'ssh_authorized_keys','account':'ada','print':'" PRINT "'");
    /* A key that sshd did not ask about is no answer. */
    assert_sshd_told("ada", "SHA256:x", "");
}

/* A line begins with options for sshd, which has to believe them. */
PV_TEST(a_captured_p2pvpnd_writes_no_option)
{
    answers("ssh_authorized_keys",
            OK("'members':[{'ip4':'10.66.0.2\",command=\\\"id','ip6':'fd00::2','key':'" ED25519
               "'},"
               "{'ip4':'*','ip6':'fd00::2','key':'" ED25519 "'},"
               "{'ip4':'10.66.0.0/16','ip6':'fd00::2','key':'" ED25519 "'},"
               "{'ip6':'fd00::2','key':'" ED25519 "'},7,"
               "{'ip4':'10.66.0.2','ip6':'fd00::2','key':'cert-authority " ED25519 "'},"
               "{'ip4':'10.66.0.2','ip6':'fd00::2','key':'" ED25519 "\\nno-pty " ED2 "'}]"));
    assert_sshd_told("ada", PRINT, "");
    answers("ssh_authorized_keys",
            OK("'members':[{'ip4':'10.66.0.2','ip6':'fd00::2','key':'" ED25519 " x\\n" ED2 "'}]"));
    assert_sshd_told("ada", PRINT, "from=\"10.66.0.2,fd00::2\" " ED25519 "\n");
}

PV_TEST(sshd_goes_on_whatever_happens)
{
    answers("ssh_authorized_keys", "{'id':@,'ok':false,'code':4,'error':'no network'}\n");
    assert_sshd_told("ada", PRINT, "");
    answers("ssh_authorized_keys", "rubbish\n");
    assert_sshd_told("ada", PRINT, "");
    stop_daemon();
    assert_sshd_told("ada", PRINT, "");
    assert_sshd_told("a da", PRINT, "");
    assert_sshd_told("../ada", PRINT, "");
}

PV_TEST(users_keys_are_announced_as_keys_and_nothing_else)
{
    answers("ssh_keys_add", OK("'keys':['" ED25519 "']"));
    answers("ssh_keys_remove", OK("'keys':[]"));
    const char *a = file_of("a.pub", ED25519 " me@lap\n" ED2 "\n");
    assert_int_equal(RUN("ssh", "keys", "add", a), 0);
    assert_asked("'cmd':'ssh_keys_add','keys':'" ED25519 "\\n" ED2 "'");
    assert_string_equal(t.out, ED25519 "\n");
    assert_int_equal(RUN("ssh", "keys", "remove", "all"), 0);
    assert_int_equal(RUN("ssh", "keys", "remove"), PV_CTLAPI_USAGE);
    assert_int_equal(RUN("ssh", "keys", "drop", a), PV_CTLAPI_USAGE);
    const char *key = file_of("key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n");
    assert_int_equal(RUN("ssh", "keys", "add", key), PV_CTLAPI_USAGE);
    assert_one_line_error("give a .pub file");
}
