/* SPDX-License-Identifier: MIT */
/*
 * sandbox.h - giving up rights: another user, no capabilities, an allow-list of system calls
 * (seccomp), and of files (Landlock).
 *
 * A program calls these once each, in the order of this header, after it has opened what needs
 * rights and before its first thread: capabilities and Landlock hold for the calling thread and for
 * those it starts later. Nothing here can be undone.
 */
#pragma once

#include <sys/types.h>

#include "base/pv.h"

/* A build with sanitizers, as tests run: they have work of their own to do in a sandboxed program.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PV_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define PV_SANITIZED
#endif
#endif

enum {
    PV_SANDBOX_NAME_MAX = 33,  /* bytes of a user's name, with the NUL: useradd allows 32 */
    PV_SANDBOX_TEXT_MAX = 256, /* bytes of pv_sandbox_format(), with the NUL */
    /* Debian reserves these numbers (Policy 9.2.2), and systemd assigns them to nothing (its
     * UIDS-GIDS document). */
    PV_SANDBOX_SPARE_FIRST = 65520,
    PV_SANDBOX_SPARE_LAST = 65533,
};

/* --- the user ------------------------------------------------------------------------------- */

struct pv_sandbox_user {
    uid_t uid;
    gid_t gid;
    char name[PV_SANDBOX_NAME_MAX]; /* "65521" for a user that has none */
};

/* The user with this name in the system's data base. PV_ERR_NOT_FOUND. */
PV_MUST_CHECK int pv_sandbox_find_user(const char *name, struct pv_sandbox_user *ret_user);
/*
 * Finds a uid for a program whose user was not made. The uid is between PV_SANDBOX_SPARE_FIRST and
 * PV_SANDBOX_SPARE_LAST, in neither user nor group database, and always the same for a name.
 * PV_ERR_NOT_FOUND: none is free.
 */
PV_MUST_CHECK int pv_sandbox_spare_user(const char *name, struct pv_sandbox_user *ret_user);
/* The user that a program becomes: the one with this name; where it was not made one that nobody
 * else has; where this process may not become another user (a container, a unit) the one that it
 * is. */
void pv_sandbox_choose_user(const char *name, struct pv_sandbox_user *ret_user);
/*
 * Becomes this user, with its group and no others. Keeps only these capabilities (bits 1 <<
 * CAP_..., if it has them) in every set that an exec could give back. user NULL: stays the same
 * user, and programs that it runs keep the capabilities too. Afterwards the process is not
 * dumpable, except in sanitizer builds, whose leak check must look. -errno: nothing or only a part
 * is in force, so the caller must end.
 */
PV_MUST_CHECK int pv_sandbox_become(const struct pv_sandbox_user *user, uint64_t caps);
/* From now on no exec gives rights. Both of the lists below need it. -errno. */
PV_MUST_CHECK int pv_sandbox_no_new_privs(void);
/* Lowers a resource limit (RLIMIT_..., setrlimit(2)) of this process to most. A limit that is lower
 * already stays: only root may raise it. -errno. */
PV_MUST_CHECK int pv_sandbox_limit(int what, uint64_t most);

/* --- files (Landlock, landlock(7)) ---------------------------------------------------------- */

enum {
    PV_SANDBOX_READ = 1 << 0,  /* it, and all below it, may be read and listed */
    PV_SANDBOX_WRITE = 1 << 1, /* made, changed, renamed, removed: files, directories, sockets */
    PV_SANDBOX_EXEC = 1 << 2,
};

/* The actions that a process gives up entirely, beside what its files allow; older kernels ignore
 * it. */
enum {
    PV_SANDBOX_NO_TCP_CONNECT = 1 << 0,
    PV_SANDBOX_NO_TCP_BIND = 1 << 1,
    PV_SANDBOX_NO_SIGNALS = 1 << 2,  /* to processes that are not sandboxed in the same way */
    PV_SANDBOX_NO_ABSTRACT = 1 << 3, /* connections to abstract unix sockets of such processes */
};

/* A file, or a directory with all below it. A rule is about what the path leads to now: a file that
 * others replace by rename() needs a rule for its directory. */
struct pv_sandbox_path {
    const char *path;
    unsigned access; /* PV_SANDBOX_READ and so on */
};

/*
 * In a program that is linked statically (PV_STATIC): has glibc find users and hosts by itself, in
 * files and by DNS, whatever nsswitch.conf says; the libraries named there are another glibc's
 * (docs/adr/0072). In others nothing. Before any thread, and before the first name is asked for.
 */
void pv_sandbox_libc(void);

/* The files that getaddrinfo() reads, and libraries that it loads: for pv_sandbox_files(). */
extern const struct pv_sandbox_path pv_sandbox_resolver[];
extern const size_t pv_sandbox_n_resolver;

/*
 * Only these files may be opened from now on; open descriptors stay as they are, and paths that do
 * not exist are passed over. *ret_abi is the version of Landlock in force, to keep for
 * pv_sandbox_read(). PV_ERR_UNSUPPORTED: the kernel has no Landlock (before 5.13, or not switched
 * on), *ret_abi is 0 and the caller goes on without. -errno.
 */
PV_MUST_CHECK int pv_sandbox_files(const struct pv_sandbox_path *paths, size_t n, unsigned deny,
                                   int *ret_abi);

/* --- system calls (seccomp) ----------------------------------------------------------------- */

/* Groups of calls, each as wide as a program with libc, threads, libev, SQLite and OpenSSL needs.
 */
enum {
    PV_SANDBOX_CALLS_RUN = 1 << 0,   /* memory, threads, time, waiting, open descriptors */
    PV_SANDBOX_CALLS_FILES = 1 << 1, /* files by name: open, rename, remove, ... */
    /* IPv4, IPv6, route and diag netlink sockets, and pairs of connected sockets, no others; of
     * socket options those that lib/sys/net sets. */
    PV_SANDBOX_CALLS_SOCKETS = 1 << 2,
    PV_SANDBOX_CALLS_SPAWN = 1 << 3,     /* fork, exec, wait, signals to others */
    PV_SANDBOX_CALLS_NETFILTER = 1 << 4, /* netlink sockets of netfilter */
    PV_SANDBOX_CALLS_UNIX = 1 << 5,      /* with SOCKETS: unix sockets to anywhere, all options */
    PV_SANDBOX_CALLS_LOAD = 1 << 6,      /* programs and libraries: what can be run is mapped */
    /* Other modes for files by name. Without it a file whose mode gives its own user nothing is
     * closed to that user, and the call is EPERM. */
    PV_SANDBOX_CALLS_MODES = 1 << 7,
};

enum {
    PV_SANDBOX_ANY = -1,
};

/* One more call: whatever its arguments, or only with this value of the argument arg (0 to 5).
 * Several rules for a call allow the one or the other. */
struct pv_sandbox_call {
    const char *name; /* as in syscalls(2); one that libseccomp does not know is passed over */
    int arg;          /* or PV_SANDBOX_ANY */
    uint64_t value;
};

/*
 * Only the calls of these groups, and these, are possible from now on, for all threads. No memory
 * is ever to be written and run at once, nor becomes one that is run, but on s390x. A call that
 * only an intruder would want (exec, ptrace, mount, modules, ...) ends the process with SIGSYS. Any
 * other call fails with ENOSYS, so that libc falls back to what it did before the call existed; in
 * sanitizer builds, which the tests run, it ends the process as well: a gap in a list is found
 * there. PV_ERR_UNSUPPORTED: the kernel has no seccomp; PV_ERR_NOMEM; -errno.
 */
PV_MUST_CHECK int pv_sandbox_calls(unsigned groups, const struct pv_sandbox_call *more, size_t n);

/* --- what is in force ----------------------------------------------------------------------- */

struct pv_sandbox_report {
    struct pv_sandbox_user user;
    uint64_t caps; /* effective and permitted together, bits 1 << CAP_... */
    bool no_new_privs;
    bool seccomp; /* the list of pv_sandbox_calls(), nobody else's */
    int landlock; /* version in force; 0: none */
};

/* Asks the kernel about the calling thread. The kernel does not tell about Landlock, and a list of
 * calls may belong to a container or a unit, so the caller passes both as it installed them. */
void pv_sandbox_read(struct pv_sandbox_report *ret_report, bool seccomp, int landlock);
/* "user p2pvpnd (997), no capabilities, no new privileges, seccomp, Landlock 6"; what is not in
 * force stands there as "no seccomp". */
const char *pv_sandbox_format(const struct pv_sandbox_report *report,
                              char ret_text[static PV_SANDBOX_TEXT_MAX]);
