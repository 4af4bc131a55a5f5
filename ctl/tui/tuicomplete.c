/* SPDX-License-Identifier: MIT */
/* tuicomplete.c - Tab, by what belongs where the cursor is: a command, a name, the number of a file
 * that is offered, a file of this machine. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/tui/tuimodel_int.h"

/* Where in the line the argument of a command begins, which the line starts with; 0: it does not.
 */
static size_t argument_of(const struct pv_tui *t, const char *command)
{
    size_t len = strlen(command);
    return t->edit.cursor >= len && memcmp(t->edit.text, command, len) == 0 ? len : 0;
}

/* Files in a state: offered ones wait for an answer, done ones to be saved. */
static void add_numbers(const struct pv_tui *t, const char *state, struct pv_tui_choice *choice)
{
    size_t n = t->n_files < PV_TUI_MAX_FILES ? t->n_files : PV_TUI_MAX_FILES;
    char number[16];
    for (size_t i = 0; i < n; i++) {
        snprintf(number, sizeof(number), "%lu", (unsigned long)t->files[i].number);
        if (t->files[i].in && strcmp(t->files[i].state, state) == 0)
            pv_tui_choices_add(choice, number, false);
    }
}

/* The directory that path names, "~" as the shell has it; false: it is too long. */
static bool directory_of(const char *path, size_t len, char dir[static PATH_MAX])
{
    const char *home = getenv("HOME");
    bool at_home = len > 1 && path[0] == '~' && path[1] == '/' && home != NULL;
    int n = snprintf(dir, PATH_MAX, "%s%.*s",
                     at_home    ? home
                     : len == 0 ? "."
                                : "",
                     (int)(len - at_home), path + at_home);
    return n > 0 && n < PATH_MAX;
}

/* Files in the directory that was typed so far; the choice is about the part behind the last slash.
 * Hidden ones only when their dot was typed. */
static void add_files(struct pv_tui_choice *choice, const char *path, size_t len)
{
    char dir[PATH_MAX], name[NAME_MAX + 2];
    const char *slash = memrchr(path, '/', len);
    size_t dir_len = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    choice->word = path + dir_len;
    choice->len = len - dir_len;
    DIR *d = directory_of(path, dir_len, dir) ? opendir(dir) : NULL;
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' && (choice->len == 0 || choice->word[0] != '.'))
            continue;
        snprintf(name, sizeof(name), "%s%s", e->d_name, e->d_type == DT_DIR ? "/" : "");
        pv_tui_choices_add(choice, name, false);
    }
    if (d != NULL)
        closedir(d);
}

/* A name at the beginning of a line is spoken to. */
static const char *behind(const struct pv_tui *t, const struct pv_tui_choice *choice)
{
    bool is_name = choice->common[0] != '/' && choice->common[0] != '#';
    return choice->is_first && is_name && t->current > 0 ? ": " : " ";
}

void pv_tui_complete(struct pv_tui *t)
{
    struct pv_tui_choice choice;
    size_t file = argument_of(t, "/send-file ");
    bool save = argument_of(t, "/save ") > 0;
    bool number = save || argument_of(t, "/accept ") > 0 || argument_of(t, "/refuse ") > 0;
    bool bell = argument_of(t, "/bell ") > 0;
    pv_tui_choices_begin(&choice, t->edit.text, t->edit.cursor);
    if (file > 0)
        add_files(&choice, t->edit.text + file, t->edit.cursor - file);
    else if (number)
        add_numbers(t, save ? "done" : "offered", &choice);
    if (bell) {
        pv_tui_choices_add(&choice, "on", false);
        pv_tui_choices_add(&choice, "off", false);
    }
    for (size_t i = 0; file == 0 && pv_tui_commands[i] != NULL; i++)
        pv_tui_choices_add(&choice, pv_tui_commands[i], true);
    for (size_t i = 1; file == 0 && !number && !bell && i < t->n_convs; i++)
        pv_tui_choices_add(&choice, t->convs[i].name, false);
    for (size_t i = 1; argument_of(t, "/open ") > 0 && i < t->n_convs; i++) {
        if (t->convs[i].former[0] != '\0')
            pv_tui_choices_add(&choice, t->convs[i].former, false);
    }
    if (choice.n == 0) {
        pv_tui_note(t, "nothing begins like that");
        return;
    }
    /* One candidate is certain, so the next word can follow at once. */
    if (choice.n == 1 && file == 0) {
        size_t len = strlen(choice.common);
        snprintf(choice.common + len, sizeof(choice.common) - len, "%s", behind(t, &choice));
    }
    pv_tuiedit_replace(&t->edit, choice.len, choice.common);
    pv_tui_note(t, "%s", choice.n == 1 ? "" : choice.list);
}
