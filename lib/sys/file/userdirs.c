/* SPDX-License-Identifier: MIT */
/* userdirs.c - the XDG base directories of this user. */
#include "sys/file/userdirs.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define USUAL "p2pvpnd" /* the file name of the first network's socket and settings */

bool pv_userdirs_is_net(const char *name, size_t len)
{
    static const char *const taken[] = {USUAL, "default", "coordinator"};
    if (len == 0 || len >= PV_USERDIRS_NET || name[0] == '-' || name[len - 1] == '-')
        return false;
    for (size_t i = 0; i < PV_ARRAY_LEN(taken); i++)
        if (strlen(taken[i]) == len && memcmp(taken[i], name, len) == 0)
            return false;
    for (size_t i = 0; i < len; i++)
        if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') &&
            name[i] != '-')
            return false;
    return true;
}

bool pv_userdirs_net_behind(const char *socket, char ret_net[static PV_USERDIRS_NET])
{
    static const char dir[] = "/run/p2pvpn/";
    if (strncmp(socket, dir, strlen(dir)) != 0)
        return false;
    const char *file = socket + strlen(dir);
    size_t len = strcspn(file, ".");
    if (strcmp(file + len, ".sock") != 0 || !pv_userdirs_is_net(file, len))
        return false;
    snprintf(ret_net, PV_USERDIRS_NET, "%.*s", (int)len, file);
    return true;
}

/* Paths that are not absolute are to be ignored, as the specification says. */
static const char *absolute(const char *path)
{
    return path != NULL && path[0] == '/' ? path : NULL;
}

/* The directory above; false: there is none. */
static bool go_up(char path[static PV_USERDIRS_BUF])
{
    char *slash = strrchr(path, '/');
    if (slash == NULL || strcmp(path, "/") == 0)
        return false;
    slash[slash == path ? 1 : 0] = '\0';
    return true;
}

/* sudo and su may leave the variables of another user, whose p2pvpnd would answer in place of our
 * own. So what is there of the way must be ours or the system's: of a user the end, of root all,
 * since the owner of a directory exchanges what is in it. The system's is what "/" is: in a user
 * namespace root has another number. */
static const char *trusted(const char *path)
{
    char at[PV_USERDIRS_BUF];
    struct stat root, st;
    const uid_t own = geteuid();
    bool seen = false;
    if (absolute(path) == NULL || stat("/", &root) < 0)
        return NULL;
    snprintf(at, sizeof(at), "%s", path);
    do {
        if (stat(at, &st) < 0)
            continue;
        if ((st.st_uid != own && st.st_uid != root.st_uid) ||
            (!seen && st.st_uid != own && (st.st_mode & 0022) != 0))
            return NULL;
        seen = true;
    } while ((!seen || own == 0) && go_up(at));
    return path;
}

/* A user without an entry in passwd(5) has only the variable. */
static const char *home_dir(void)
{
    const char *home = trusted(getenv("HOME"));
    if (home != NULL)
        return home;
    const struct passwd *entry = getpwuid(geteuid());
    return entry == NULL ? NULL : trusted(entry->pw_dir);
}

/* Nobody else makes anything in it. */
static bool is_own_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_mode & 0022) == 0;
}

/* The variable, or the directory of that name in the home directory. */
static int base_dir(const char *variable, const char *below_home,
                    char ret_dir[static PV_USERDIRS_BUF])
{
    const char *set = trusted(getenv(variable)), *home = set == NULL ? home_dir() : "";
    if (home == NULL)
        return PV_ERR_NOT_FOUND;
    int n = set != NULL ? snprintf(ret_dir, PV_USERDIRS_BUF, "%s", set)
                        : snprintf(ret_dir, PV_USERDIRS_BUF, "%s/%s", home, below_home);
    return n < PV_USERDIRS_BUF ? PV_OK : PV_ERR_LIMIT;
}

static int run_dir(const char *state, char ret_dir[static PV_USERDIRS_BUF])
{
    char login[64];
    const char *set = absolute(getenv("XDG_RUNTIME_DIR"));
    int n;
    snprintf(login, sizeof(login), "/run/user/%u", (unsigned)geteuid());
    if (set != NULL && is_own_dir(set))
        n = snprintf(ret_dir, PV_USERDIRS_BUF, "%s/p2pvpn", set);
    else if (is_own_dir(login))
        n = snprintf(ret_dir, PV_USERDIRS_BUF, "%s/p2pvpn", login);
    else
        n = snprintf(ret_dir, PV_USERDIRS_BUF, "%s/p2pvpn.run", state); /* no network's state */
    return n < PV_USERDIRS_BUF ? PV_OK : PV_ERR_LIMIT;
}

bool pv_userdirs_holds_home(const char *dir)
{
    char at[PV_USERDIRS_BUF];
    struct stat wanted, st;
    const char *home = home_dir();
    if (home == NULL || stat(dir, &wanted) < 0)
        return false;
    snprintf(at, sizeof(at), "%s", home);
    do {
        if (stat(at, &st) == 0 && st.st_dev == wanted.st_dev && st.st_ino == wanted.st_ino)
            return true;
    } while (go_up(at));
    return false;
}

int pv_userdirs_find(const char *net, struct pv_userdirs *ret)
{
    char state[PV_USERDIRS_BUF], config[PV_USERDIRS_BUF];
    const char *file = net[0] == '\0' ? USUAL : net;
    if (net[0] != '\0' && !pv_userdirs_is_net(net, strlen(net)))
        return PV_ERR_MALFORMED;
    int r = base_dir("XDG_STATE_HOME", ".local/state", state);
    if (r == PV_OK)
        r = base_dir("XDG_CONFIG_HOME", ".config", config);
    if (r == PV_OK)
        r = run_dir(state, ret->run);
    if (r < 0)
        return r;
    bool fits =
        snprintf(ret->state, sizeof(ret->state), "%s/p2pvpn%s%s", state, net[0] == '\0' ? "" : "-",
                 net) < PV_USERDIRS_BUF &&
        snprintf(ret->config, sizeof(ret->config), "%s/p2pvpn/%s.conf", config, file) <
            PV_USERDIRS_BUF &&
        snprintf(ret->ctl_config, sizeof(ret->ctl_config), "%s/p2pvpn/p2pvpnctl.conf", config) <
            PV_USERDIRS_BUF &&
        snprintf(ret->seen, sizeof(ret->seen), "%s/p2pvpn/p2pvpnctl.seen", state) <
            PV_USERDIRS_BUF &&
        snprintf(ret->socket, sizeof(ret->socket), "%s/%s.sock", ret->run, file) < PV_USERDIRS_BUF;
    return fits ? PV_OK : PV_ERR_LIMIT;
}
