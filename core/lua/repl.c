/*
 * repl.c -- evla repl: lines in, values out, on a terminal (libedit) or from a pipe.
 *
 * Reads: lines.  Runs: each complete chunk under the host's memory cap and deadline; Ctrl-C
 * interrupts it. What a chunk means, how values look, help and completion are Lua
 * (scripts/evla/repl.lua), called here by name. Everything that touches Lua runs inside a
 * protected call, so no input can take the process down.
 */
#include "../mem.h"
#include "../registry.h"
#include "verbs.h"
#include <errno.h>
#include <histedit.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_LINES = 2000, LEAVE_AFTER = 3, MOST_TEXT = 4 << 20, MOST_PASTE = 1 << 20 };

typedef struct repl {
    call *c;
    script *s;
    EditLine *el; /* NULL: not a terminal */
    HistoryW *history;
    char history_file[PATH_MAX];
    char *text; /* the chunk so far */
    size_t n, cap;
    int has_colour, has_failed, wants_out;
    int32_t n_pieces; /* lines of the chunk so far */
} repl;

/* ---- Ctrl-C ---- */

/* The handler's: a press while a line runs interrupts it; a line that does not listen is
 * left by the third. */
static atomic_int is_running, n_presses, has_new_size;

static void on_interrupt(int sig)
{
    static const char last[] =
        "\nevla: the line does not listen, so this leaves; what was typed "
        "is in the history\n";
    (void)sig;
    atomic_store(&deadline_interrupted, 1);
    if (!atomic_load(&is_running) || atomic_fetch_add(&n_presses, 1) + 1 < LEAVE_AFTER)
        return;
    if (write(STDERR_FILENO, last, sizeof last - 1) < 0) {
    }
    _exit(EXIT_STOPPED);
}

static void on_new_size(int sig)
{
    (void)sig;
    atomic_store(&has_new_size, 1);
}

static void catch_signals(void)
{
    struct sigaction sa = {.sa_handler = on_interrupt};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGINT, &sa, NULL);
    sa.sa_handler = on_new_size;
    sigaction(SIGWINCH, &sa, NULL);
}

/* ---- the chunk so far ---- */

static int keep_text(repl *r, const char *text, size_t n)
{
    if (n > MOST_TEXT || r->n + n + 1 > MOST_TEXT) return 0;
    if (r->n + n + 1 > r->cap) {
        size_t cap = (r->n + n + 1) * 2;
        char *grown = mem_grow(r->text, cap);
        if (!grown) return 0;
        r->text = grown;
        r->cap = cap;
    }
    memcpy(r->text + r->n, text, n);
    r->n += n;
    r->text[r->n] = 0;
    return 1;
}

static void drop_text(repl *r)
{
    r->n = 0;
    r->n_pieces = 0;
}

/* ---- text and history ---- */

/* Wide text as UTF-8; mem_free it. */
static char *narrow(const wchar_t *text, size_t n, size_t *out_n)
{
    char *out = mem_alloc(n * MB_LEN_MAX + 1);
    size_t at = 0;
    mbstate_t state;
    memset(&state, 0, sizeof state);
    for (size_t i = 0; out && i < n; i++) {
        size_t k = wcrtomb(out + at, text[i], &state);
        if (k == (size_t)-1)
            memset(&state, 0, sizeof state), out[at++] = '?';
        else
            at += k;
    }
    if (out) out[at] = 0;
    *out_n = at;
    return out;
}

static wchar_t *widen(const char *text)
{
    size_t n = strlen(text), k = 0;
    wchar_t *out = mem_alloc((n + 1) * sizeof *out);
    mbstate_t state;
    memset(&state, 0, sizeof state);
    while (out && *text) {
        size_t used = mbrtowc(&out[k], text, n, &state);
        if (used == (size_t)-1 || used == (size_t)-2) {
            memset(&state, 0, sizeof state);
            out[k] = (unsigned char)*text < 128 ? (wchar_t)*text : L'?';
            used = 1;
        }
        text += used, n -= used, k++;
    }
    if (out) out[k] = 0;
    return out;
}

static void remember(repl *r)
{
    HistEventW ev;
    size_t n = r->n;
    while (n && strchr(" \t\r\n", r->text[n - 1]))
        n--;
    if (!n || !r->history) return;
    char *copy = mem_alloc(n + 1);
    if (!copy) return;
    memcpy(copy, r->text, n);
    wchar_t *wide = widen(copy);
    if (wide) history_w(r->history, &ev, H_ENTER, wide);
    if (wide && *r->history_file) history_w(r->history, &ev, H_SAVE, r->history_file);
    mem_free(wide);
    mem_free(copy);
}

/* ---- Lua's half ---- */

typedef struct asked {
    repl *r;
    const char *name; /* of a function in repl.lua's table */
    const char *text;
    size_t n;
} asked;

static int ask_inside(lua_State *L)
{
    asked *q = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_getfield(L, LUA_REGISTRYINDEX, "evla.repl");
    lua_getfield(L, 1, q->name);
    lua_remove(L, 1);
    lua_pushlstring(L, q->text, q->n);
    lua_call(L, 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* Calls one of repl.lua's functions with a text; results are on the stack. */
static int32_t ask(repl *r, const char *name, const char *text, size_t n, int n_results)
{
    asked q = {r, name, text, n};
    lua_State *L = r->s->L;
    ctx_clear(r->s->cx);
    lua_pushcfunction(L, ask_inside);
    lua_pushlightuserdata(L, &q);
    return script_call(r->s, 1, n_results);
}

static int show_inside(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "evla.repl");
    lua_getfield(L, -1, "show");
    lua_remove(L, -2);
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, 0);
    return 0;
}

static int tidy_inside(lua_State *L)
{
    lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

static void tell_failure(repl *r)
{
    const char *why = *r->s->cx->why ? r->s->cx->why : "it failed without a sentence";
    int colour = r->has_colour && isatty(STDERR_FILENO);
    fflush(stdout);
    fprintf(stderr, "%s%s%s%s\n", r->el ? "" : "evla: ", colour ? "\033[31m" : "", why,
            colour ? "\033[0m" : "");
    r->has_failed = 1;
    ctx_clear(r->s->cx);
    atomic_store(&deadline_interrupted, 0);
    lua_State *L = r->s->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, tidy_inside);
    script_call(r->s, 0, 0);
    ctx_clear(r->s->cx);
}

static int is_leave(const char *text)
{
    static const char *const words[] = {"exit", "quit", "exit()", "quit()"};
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n;", text[n - 1]))
        n--;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (n == strlen(words[i]) && !strncmp(words[i], text, n)) return 1;
    return 0;
}

/* Runs the chunk when it is complete. 1: it was; 0: more lines are wanted. */
static int evaluate(repl *r, int is_last)
{
    lua_State *L = r->s->L;
    if (is_leave(r->text)) return r->wants_out = 1;
    atomic_store(&n_presses, 0);
    atomic_store(&is_running, 1);
    lua_settop(L, 0);
    int is_complete = 1;
    int32_t st = ask(r, is_last ? "prepare_last" : "prepare", r->text, r->n, 1);
    if (st == 0 && lua_isboolean(L, 1)) {
        is_complete = 0;
        lua_settop(L, 0);
    } else if (st == 0 && lua_isfunction(L, 1)) {
        if (r->el) remember(r); /* before it runs: nobody knows how it ends */
        st = script_call(r->s, 0, LUA_MULTRET);
        if (st == 0 && lua_gettop(L) > 0) {
            if (!lua_checkstack(L, 20))
                st = ctx_fail(r->s->cx, EVLA_E_LIMIT, "repl: too many values to show");
            else {
                lua_pushcfunction(L, show_inside);
                lua_insert(L, 1);
                st = script_call(r->s, lua_gettop(L) - 1, 0);
            }
        }
    }
    if (st < 0) {
        if (r->el) remember(r); /* to be mended */
        tell_failure(r);
    }
    lua_settop(L, 0);
    fflush(stdout);
    atomic_store(&is_running, 0);
    atomic_store(&deadline_interrupted, 0);
    return is_complete;
}

/* ---- libedit ---- */

static wchar_t *prompt(EditLine *el)
{
    static wchar_t first[] = L"\1\033[36m\1evla>\1\033[0m\1 ",
                   more[] = L"\1\033[36m\1   ..\1\033[0m\1 ", plain_first[] = L"evla> ",
                   plain_more[] = L"   .. ";
    repl *r = NULL;
    el_wget(el, EL_CLIENTDATA, &r);
    if (!r || !r->has_colour) return r && r->n_pieces ? plain_more : plain_first;
    return r->n_pieces ? more : first;
}

/* One character. Ctrl-C is let in only while this waits, so that no press falls between two
 * reads. */
static int read_char(EditLine *el, wchar_t *out)
{
    mbstate_t state;
    memset(&state, 0, sizeof state);
    for (;;) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        sigset_t open;
        unsigned char c;
        pthread_sigmask(SIG_SETMASK, NULL, &open);
        sigdelset(&open, SIGINT);
        int n = ppoll(&in, 1, NULL, &open);
        if (atomic_exchange(&has_new_size, 0)) el_resize(el);
        if (atomic_load(&deadline_interrupted)) return errno = EINTR, -1;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return -1;
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (got <= 0) return (int)got;
        size_t used = mbrtowc(out, (const char *)&c, 1, &state);
        if (used == (size_t)-2) continue;
        if (used != (size_t)-1) return 1;
        memset(&state, 0, sizeof state); /* no UTF-8: dropped */
    }
}

static const wchar_t *read_line(EditLine *el, int *n)
{
    sigset_t interrupt, before;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &before);
    const wchar_t *line = el_wgets(el, n);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return line;
}

/* A paste arrives between ESC[200~ and ESC[201~ and becomes part of the line, newlines
 * included. */
static unsigned char on_paste(EditLine *el, wint_t key)
{
    static const wchar_t end[] = L"\033[201~";
    size_t n = 0, cap = 256, match = 0;
    wchar_t *text = mem_alloc((cap + 8) * sizeof *text), c;
    (void)key;
    while (text && match < 6 && el_wgetc(el, &c) == 1) {
        match = c == end[match] ? match + 1 : c == end[0];
        if (c == L'\r') c = L'\n';
        if (c == L'\t') c = L' ';
        if (n < MOST_PASTE) text[n++] = c;
        if (n == cap) {
            wchar_t *grown = mem_grow(text, ((cap *= 2) + 8) * sizeof *text);
            if (!grown) break;
            text = grown;
        }
    }
    if (!text) return CC_ERROR;
    if (match == 6) n -= n < 6 ? n : 6;
    while (n && (text[n - 1] == L'\n' || text[n - 1] == L' '))
        n--; /* Enter runs it, not the paste's own last line end */
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        if (text[i] >= L' ' || text[i] == L'\n') text[k++] = text[i];
    text[k] = 0;
    int put = k ? el_winsertstr(el, text) : 0;
    mem_free(text);
    return put < 0 ? CC_ERROR : CC_REFRESH;
}

/* Tab: repl.lua gets everything up to the cursor and answers what to insert and what to
 * list. */
static unsigned char on_tab(EditLine *el, wint_t key)
{
    repl *r = NULL;
    (void)key;
    if (el_wget(el, EL_CLIENTDATA, &r) < 0 || !r) return CC_ERROR;
    const LineInfoW *line = el_wline(el);
    size_t n, so_far = r->n;
    char *here = narrow(line->buffer, (size_t)(line->cursor - line->buffer), &n);
    if (!here) return CC_ERROR;
    if (n == 0 || here[n - 1] == '\n' || here[n - 1] == ' ') {
        size_t k = n;
        while (k && here[k - 1] == ' ')
            k--;
        if (!k || here[k - 1] == '\n') { /* nothing to complete yet: indent */
            mem_free(here);
            return el_winsertstr(el, L"  ") < 0 ? CC_ERROR : CC_REFRESH;
        }
    }
    unsigned char answer = CC_ERROR;
    lua_State *L = r->s->L;
    lua_settop(L, 0);
    if (keep_text(r, here, n) && ask(r, "complete", r->text, r->n, 2) == 0) {
        const char *insert = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
        const char *list = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
        wchar_t *wide = insert && *insert ? widen(insert) : NULL;
        if (wide && el_winsertstr(el, wide) == 0) answer = CC_REFRESH;
        mem_free(wide);
        if (list && answer == CC_ERROR) {
            fprintf(stdout, "\n%s", list);
            fflush(stdout);
            answer = CC_REDISPLAY;
        }
    }
    lua_settop(L, 0);
    ctx_clear(r->s->cx);
    r->n = so_far;
    if (r->text) r->text[so_far] = 0;
    mem_free(here);
    return answer;
}

static void bind_keys(EditLine *el)
{
    static const wchar_t *const keys[][2] = {
        {L"\t", L"evla-complete"},       {L"\033[200~", L"evla-paste"},
        {L"^R", L"em-inc-search-prev"},  {L"\033[1;5C", L"em-next-word"},
        {L"\033[1;5D", L"ed-prev-word"}, {L"\033[3~", L"ed-delete-next-char"},
        {L"\033[H", L"ed-move-to-beg"},  {L"\033[F", L"ed-move-to-end"},
        {L"\033[1~", L"ed-move-to-beg"}, {L"\033[4~", L"ed-move-to-end"},
        {L"^W", L"ed-delete-prev-word"}};
    el_wset(el, EL_ADDFN, L"evla-complete", L"completes names and parameters", on_tab);
    el_wset(el, EL_ADDFN, L"evla-paste", L"takes a paste as it is", on_paste);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        el_wset(el, EL_BIND, keys[i][0], keys[i][1], NULL);
}

static void find_history_file(repl *r)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char folder[PATH_MAX - 16];
    int n = state && *state == '/' ? snprintf(folder, sizeof folder, "%s/evla", state)
            : home && *home ? snprintf(folder, sizeof folder, "%s/.local/state/evla", home)
                            : 0;
    if (n <= 0 || n >= (int)sizeof folder) return;
    if (folder_make(r->c->cx, folder) == 0)
        snprintf(r->history_file, sizeof r->history_file, "%s/history", folder);
    ctx_clear(r->c->cx); /* without a history file, it lasts as long as the session */
}

static int open_editor(repl *r)
{
    HistEventW ev;
    r->el = el_init("evla", stdin, stdout, stderr);
    if (!r->el) return 0;
    r->history = history_winit();
    el_wset(r->el, EL_CLIENTDATA, r);
    el_wset(r->el, EL_PROMPT_ESC, prompt, L'\1');
    el_wset(r->el, EL_EDITOR, L"emacs");
    el_wset(r->el, EL_SIGNAL, 0);
    el_wset(r->el, EL_GETCFN, read_char);
    if (r->history) {
        history_w(r->history, &ev, H_SETSIZE, HISTORY_LINES);
        history_w(r->history, &ev, H_SETUNIQUE, 1);
        el_wset(r->el, EL_HIST, history_w, r->history);
        find_history_file(r);
        if (*r->history_file) history_w(r->history, &ev, H_LOAD, r->history_file);
    }
    el_source(r->el, NULL); /* the user's ~/.editrc */
    bind_keys(r->el);
    fputs("\033[?2004h", stdout); /* pastes come in brackets */
    fflush(stdout);
    return 1;
}

static void close_editor(repl *r)
{
    if (!r->el) return;
    fputs("\033[?2004l", stdout);
    fflush(stdout);
    if (r->history) history_wend(r->history);
    el_end(r->el);
}

/* ---- reading ---- */

static int is_blank(const char *text) { return text[strspn(text, " \t\r\n")] == 0; }

/* One line was added to the chunk. */
static void take_line(repl *r, int is_last)
{
    if (r->el && is_blank(r->text)) {
        drop_text(r);
        return;
    }
    r->n_pieces++;
    if (evaluate(r, is_last)) drop_text(r);
}

static void read_terminal(repl *r)
{
    while (!r->wants_out) {
        int n = 0;
        errno = 0;
        const wchar_t *wide = read_line(r->el, &n);
        if (!wide || n <= 0) {
            if (atomic_exchange(&deadline_interrupted, 0)) { /* Ctrl-C at the prompt */
                fputs("^C\n", stdout);
                fflush(stdout);
                drop_text(r);
                continue;
            }
            if (r->n_pieces) { /* Ctrl-D in the middle of a chunk gives it up */
                fputs("\n", stdout);
                drop_text(r);
                continue;
            }
            fputs("\n", stdout);
            return;
        }
        size_t k;
        char *line = narrow(wide, (size_t)n, &k);
        if (!line || !keep_text(r, line, k)) {
            fputs("evla: the line is longer than 4 MiB\n", stderr);
            drop_text(r);
        } else
            take_line(r, 0);
        mem_free(line);
    }
}

static void read_pipe(repl *r)
{
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while (!r->wants_out && (n = getline(&line, &cap, stdin)) > 0) {
        if (!keep_text(r, line, (size_t)n)) {
            fputs("evla: repl: a chunk is longer than 4 MiB\n", stderr);
            r->has_failed = 1;
            break;
        }
        take_line(r, 0);
    }
    if (!r->wants_out && r->n) take_line(r, 1);
    free(line);
}

/* ---- the verb ---- */

/* The type that the engine gave a value, "evla.tensor", whatever its metatable shows to
 * scripts. */
static int name_of(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_type(L, 1) != LUA_TUSERDATA && lua_type(L, 1) != LUA_TTABLE) return 0;
    if (luaL_getmetafield(L, 1, "__name") != LUA_TSTRING) return 0;
    return 1;
}

static int open_inside(lua_State *L) /* what repl.lua needs to know */
{
    repl *r = lua_touserdata(L, 1);
    struct winsize size;
    lua_settop(L, 0);
    lua_createtable(L, 0, 6);
    lua_pushboolean(L, r->el != NULL);
    lua_setfield(L, -2, "is_terminal");
    lua_pushboolean(L, r->has_colour);
    lua_setfield(L, -2, "has_colour");
    lua_pushinteger(L, ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20
                           ? size.ws_col
                           : 80);
    lua_setfield(L, -2, "width");
    lua_pushcfunction(L, name_of);
    lua_setfield(L, -2, "name_of");
    lua_pushinteger(L, r->c->reg->n_plugins);
    lua_setfield(L, -2, "n_plugins");
    if (r->c->file) {
        char full[PATH_MAX]; /* relative to where the user is, not to the script */
        lua_pushstring(L, realpath(r->c->file, full) ? full : r->c->file);
        lua_setfield(L, -2, "path");
        lua_pushstring(L, r->c->file);
        lua_setfield(L, -2, "shown");
    }
    return 1;
}

static int keep_inside(lua_State *L)
{
    lua_setfield(L, LUA_REGISTRYINDEX, "evla.repl");
    return 0;
}

static int32_t open_language(repl *r)
{
    lua_State *L = r->s->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, open_inside);
    lua_pushlightuserdata(L, r);
    int32_t st = script_call(r->s, 1, 1);
    if (st == 0) st = script_engine(r->s, "repl", 1, 1);
    if (st < 0) return st;
    lua_pushcfunction(L, keep_inside);
    lua_insert(L, 1);
    return script_call(r->s, 1, 0);
}

static int has_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

int verb_repl(call *c)
{
    repl r = {.c = c, .has_colour = has_colour()};
    int is_terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    script_setup setup = c->setup;
    setup.is_repl = 1;
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    r.s = script_open(c->cx, c->file, &setup);
    if (!r.s) return call_fail(c);
    c->cx->stop = &deadline_interrupted; /* Ctrl-C stops a job that the line runs, too */
    if (is_terminal) {
        catch_signals();
        if (!open_editor(&r)) is_terminal = 0;
    }
    int code = EXIT_DONE;
    if (open_language(&r) < 0)
        code = call_fail(c);
    else {
        if (is_terminal && !c->is_quiet && ask(&r, "banner", "", 0, 0) < 0)
            tell_failure(&r);
        if (c->file && ask(&r, "open", c->file, strlen(c->file), 0) < 0) tell_failure(&r);
        fflush(stdout);
        r.has_failed = r.has_failed && !is_terminal;
        if (is_terminal)
            read_terminal(&r);
        else
            read_pipe(&r);
        if (!is_terminal && r.has_failed) code = EXIT_FAILED;
    }
    close_editor(&r);
    atomic_store(&deadline_interrupted, 0);
    script_close(r.s);
    mem_free(r.text);
    return code;
}
