/*
 * bind_pixels.c -- picture files in Lua: evla.picture("cup.jpg", { behind, pixels }), a
 * tensor u8[height,width,3] in RGB.
 *
 * behind: { red, green, blue } of what shows through, 0 to 255, preset white; pixels: how
 * many a picture may have.
 */
#include "../data/picture.h"
#include "../param.h"
#include "../tensor.h"
#include "script.h"
#include <string.h>

typedef struct pixels_params {
    evla_list behind;
    int64_t pixels;
} pixels_params;

enum { MOST_PIXELS = 1 << 26 };

// clang-format off
static const evla_param params[] = {
    {.name = "behind", .doc = "the colour that shows through, {red, green, blue}, 0 to 255 each", .preset = "{255, 255, 255}",
     .type = EVLA_P_LIST, .element = EVLA_P_INT, .max = 255, .offset = offsetof(pixels_params, behind)},
    {.name = "pixels", .doc = "how many it may have", .preset = "67108864", .type = EVLA_P_INT,
     .min = 1, .max = MOST_PIXELS, .offset = offsetof(pixels_params, pixels)},
};
enum { N_PARAMS = sizeof params / sizeof *params };
// clang-format on

static int l_gc(lua_State *L)
{
    picture_close(luaL_checkudata(L, 1, "evla.picture"));
    return 0;
}

static int l_picture(lua_State *L)
{
    script *s = script_of(L);
    pixels_params p;
    uint8_t behind[3];
    value given = {.kind = VALUE_TABLE};
    const char *path = sandbox_path(L, s, luaL_checkstring(L, 1), 0);
    if (!lua_isnoneornil(L, 2)) tree_read(L, s, 2, "picture", &given);
    bind_fill(L, s, (param_site){.what = "picture"}, params, N_PARAMS, &given, &p,
              sizeof p);
    const int64_t *rgb = p.behind.items;
    for (int i = 0; i < 3; i++) {
        if (p.behind.n != 3 || rgb[i] < 0 || rgb[i] > 255)
            script_error(L, s, "picture: behind: want {red, green, blue}, 0 to 255 each");
        behind[i] = (uint8_t)rgb[i];
    }
    picture *file = lua_newuserdatauv(L, sizeof *file, 0);
    memset(file, 0, sizeof *file);
    luaL_setmetatable(L, "evla.picture");
    script_pause(s);
    int32_t st = picture_open(s->cx, path, p.pixels, file);
    script_go_on(s);
    if (st < 0) script_throw(L, s);
    const evla_type t = {
        .dtype = EVLA_U8, .rank = 3, .shape = {file->height, file->width, 3}};
    uint8_t *pixels = lua_newuserdatauv(L, (size_t)(file->height * file->width) * 3, 0);
    script_pause(s);
    st = picture_decode(s->cx, file, behind, pixels);
    script_go_on(s);
    picture_close(file);
    if (st < 0) script_throw(L, s);
    const evla_tensor view = tensor_view(s->cx->reg, &t, pixels);
    bind_push_tensor(L, lua_gettop(L), &view);
    return 1;
}

void bind_pixels_open(lua_State *L, script *s)
{
    static const luaL_Reg slots[] = {{"__gc", l_gc}, {NULL, NULL}};
    (void)s;
    luaL_newmetatable(L, "evla.picture");
    luaL_setfuncs(L, slots, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "evla.core");
    lua_pushcfunction(L, l_picture);
    lua_setfield(L, -2, "picture");
    lua_settop(L, 0);
}
