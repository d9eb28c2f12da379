/*
 * t_raster.c -- plugins/mujoco/raster.c against MuJoCo's own renderer (OSMesa, loaded when
 * it is there), and what it promises about bits, shapes and cameras.
 */
#include <dlfcn.h>
#include <math.h>

#include "../plugins/mujoco/raster.h"
#include "evla/abi.h"
#include "raster_scene.h"
#include "tap.h"

enum { SIDE = 224, N_PIXELS = SIDE * SIDE, N_VIEWS = 48 };

static mjModel *model;
static mjData *data;
static raster *drawer;

static uint64_t draw_seed = 1;

static double uniform(double low, double high) /* splitmix64 */
{
    uint64_t z = draw_seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return low + (high - low) * (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* View k: far, near, from above, low over the table, and every fourth from the wrist. */
static int32_t choose_view(int k, int32_t side, raster_view *v)
{
    const int32_t cam = k % 4 == 3;
    if (!cam) {
        const double a = uniform(0, 6.28), dist = uniform(.35, 1.6),
                     high = uniform(.1, 1.2);
        const double from[3] = {.35 + dist * mju_cos(a), dist * mju_sin(a), high};
        const double to[3] = {uniform(.2, .5), uniform(-.2, .2), uniform(0, .2)};
        scene_look(model, from, to, uniform(35, 70));
    } else {
        for (int i = 0; i < 7; i++)
            data->qpos[model->jnt_qposadr[model->njnt - 7 + i]] = uniform(-.6, .8);
    }
    mj_kinematics(model, data);
    mj_comPos(model, data);
    mj_camlight(model, data);
    raster_view_of(model, data, cam, side, side, v);
    return cam;
}

/* ---- the oracle
 * --------------------------------------------------------------------------- */

typedef struct oracle {
    void *gl;
    mjvScene scene;
    mjvOption option;
    mjrContext context;
    unsigned char *pixels;
    float *depth;
} oracle;

static const char *oracle_open(oracle *o)
{
    enum { GL_UNSIGNED_BYTE = 0x1401, BUFFER = 640 };
    static const int attributes[] = {0x22, 0x1908, 0x30, 24, 0x31, 8, 0x33, 0x35, 0, 0};
    void *lib = dlopen("libOSMesa.so.8", RTLD_NOW | RTLD_GLOBAL);
    if (!lib) lib = dlopen("libOSMesa.so", RTLD_NOW | RTLD_GLOBAL);
    if (!lib) return "OSMesa is not installed (Debian: libosmesa6)";
    void *(*create)(const int *, void *);
    unsigned char (*current)(void *, void *, unsigned, int, int);
    *(void **)&create = dlsym(lib, "OSMesaCreateContextAttribs");
    *(void **)&current = dlsym(lib, "OSMesaMakeCurrent");
    if (!create || !current) return "OSMesa lacks the functions asked for";
    o->gl = create(attributes, NULL);
    o->pixels = malloc(4 * BUFFER * BUFFER);
    o->depth = malloc(BUFFER * BUFFER * sizeof(float));
    if (!o->gl || !o->pixels || !o->depth ||
        !current(o->gl, o->pixels, GL_UNSIGNED_BYTE, BUFFER, BUFFER))
        return "OSMesa cannot start";
    mjv_defaultScene(&o->scene);
    mjv_defaultOption(&o->option);
    mjr_defaultContext(&o->context);
    mjv_makeScene(model, &o->scene, 1000);
    mjr_makeContext(model, &o->context, mjFONTSCALE_100);
    mjr_setBuffer(mjFB_OFFSCREEN, &o->context);
    if (o->context.currentBuffer != mjFB_OFFSCREEN) return "OSMesa has no offscreen buffer";
    o->scene.flags[mjRND_SHADOW] = o->scene.flags[mjRND_SKYBOX] = 0;
    o->scene.flags[mjRND_REFLECTION] = o->scene.flags[mjRND_HAZE] =
        o->scene.flags[mjRND_FOG] = 0;
    o->scene.flags[mjRND_SEGMENT] = o->scene.flags[mjRND_IDCOLOR] = 1;
    return NULL;
}

static void oracle_close(oracle *o)
{
    void (*destroy)(void *);
    *(void **)&destroy = dlsym(RTLD_DEFAULT, "OSMesaDestroyContext");
    mjr_freeContext(&o->context);
    mjv_freeScene(&o->scene);
    if (destroy && o->gl) destroy(o->gl);
    free(o->pixels);
    free(o->depth);
}

/* Geom ids and metres, top row first. */
static void oracle_draw(oracle *o, int32_t cam, int32_t side, int32_t *ids, float *depth)
{
    const mjrRect rect = {0, 0, side, side};
    const double near = model->vis.map.znear * model->stat.extent;
    const double far = model->vis.map.zfar * model->stat.extent;
    mjvCamera c;
    mjv_defaultCamera(&c);
    c.type = mjCAMERA_FIXED;
    c.fixedcamid = cam;
    mjv_updateScene(model, data, &o->option, NULL, &c, mjCAT_ALL, &o->scene);
    mjr_render(rect, &o->scene, &o->context);
    mjr_readPixels(o->pixels, o->depth, rect, &o->context);
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++) {
            const size_t from = (size_t)(side - 1 - y) * (size_t)side + (size_t)x;
            const size_t to = (size_t)y * (size_t)side + (size_t)x;
            const unsigned char *p = o->pixels + 3 * from;
            const int id = p[0] | p[1] << 8 | p[2] << 16;
            ids[to] = id > 0 && id <= o->scene.ngeom ? o->scene.geoms[id - 1].objid : -1;
            depth[to] = (float)(near / (1 - o->depth[from] * (1 - near / far)));
        }
}

static void compare_all(oracle *o, int32_t side)
{
    static int32_t ids[N_PIXELS], wanted[N_PIXELS];
    static float depth[N_PIXELS], wanted_depth[N_PIXELS];
    const raster_image image = {.width = side, .height = side, .geom = ids, .depth = depth};
    double same = 0, all = 0, seen = 0, worst = 0, sum = 0, worst_view = 1;
    int32_t close = 0, n_views_seen = 0;
    for (int k = 0; k < N_VIEWS; k++) {
        raster_view v;
        const int32_t cam = choose_view(k, side, &v);
        oracle_draw(o, cam, side, wanted, wanted_depth);
        if (raster_draw(drawer, model, data, &v, &image) != 0) return;
        double same_here = 0;
        int32_t seen_here = 0;
        for (int32_t i = 0; i < side * side; i++) {
            same_here += ids[i] == wanted[i];
            if (ids[i] != wanted[i] || ids[i] < 0) continue;
            const double error = fabs((double)depth[i] - wanted_depth[i]) / wanted_depth[i];
            close += error <= .001;
            seen_here++;
            sum += error;
            if (error > worst) worst = error;
        }
        same += same_here;
        seen += seen_here;
        all += side * side;
        n_views_seen += seen_here > 0;
        if (same_here / (side * side) < worst_view) worst_view = same_here / (side * side);
    }
    note("%d x %d, %d views: %.4f %% equal ids (worst view %.3f %%), depth error mean %.6f "
         "max %.6f",
         side, side, N_VIEWS, 100 * same / all, 100 * worst_view, sum / seen, worst);
    ok(n_views_seen == N_VIEWS, "every view at %d x %d sees something", side, side);
    ok(same / all >= .999, "at least 99.9 %% of geom ids equal MuJoCo's own at %d x %d",
       side, side);
    ok(close >= .99999 * seen && sum / seen < 1e-4,
       "where ids agree, depth is within 0.1 %% of MuJoCo's own (but 1 in 100 000, "
       "grazing) at "
       "%d x %d",
       side, side);
}

/* ---- promises
 * ----------------------------------------------------------------------------- */

static void test_bits(void)
{
    static uint8_t rgb[3][3 * N_PIXELS], label[3][N_PIXELS], label_of[1000];
    static float depth[3][N_PIXELS];
    static uint16_t half[3][N_PIXELS];
    const int32_t best = raster_limit(drawer, RASTER_AVX512);
    int32_t equal = 1, halves = 1, top_left = 0;
    for (int i = 0; i < 1000; i++)
        label_of[i] = (uint8_t)(i % 200);
    for (int k = 0; k < 12; k++) {
        const int32_t side = k < 8 ? 96 : 199; /* 199: rows end inside a vector */
        raster_view v;
        choose_view(k, side, &v);
        for (int32_t isa = 0; isa <= best; isa++) {
            const raster_image image = {side, side,       rgb[isa], depth[isa], half[isa],
                                        NULL, label[isa], label_of, 255};
            raster_limit(drawer, isa);
            if (raster_draw(drawer, model, data, &v, &image) != 0) equal = 0;
            const size_t n = (size_t)side * (size_t)side;
            equal &= !memcmp(rgb[isa], rgb[0], 3 * n) && !memcmp(label[isa], label[0], n) &&
                     !memcmp(depth[isa], depth[0], n * sizeof depth[0][0]) &&
                     !memcmp(half[isa], half[0], n * sizeof half[0][0]);
            for (size_t i = 0; i < n; i++)
                halves &= half[isa][i] == raster_half(depth[isa][i]);
        }
        top_left |= rgb[0][0];
    }
    raster_limit(drawer, best);
    ok(equal && top_left, "all %d instruction sets of this machine draw the same bits",
       best + 1);
    ok(halves, "half depth is the rounded f32 depth");
}

static double half_value(uint16_t h) /* IEEE 754 binary16, non-negative */
{
    const int exponent = h >> 10, fraction = h & 1023;
    return exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
}

static void test_half(void)
{
    int32_t nearest = 1, even = 1;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        const double low = half_value((uint16_t)h), high = half_value((uint16_t)(h + 1));
        const float middle = (float)((low + high) / 2); /* exact */
        nearest &= raster_half((float)low) == h &&
                   raster_half(nextafterf(middle, 0)) == h &&
                   raster_half(nextafterf(middle, 1e9f)) == h + 1;
        even &= raster_half(middle) == (h & 1 ? h + 1 : h);
    }
    ok(nearest, "raster_half rounds to nearest, for every half and its neighbours");
    ok(even, "raster_half rounds ties to even");
    ok(raster_half(65519.99f) == 0x7bff && raster_half(65520) == 0x7c00 &&
           raster_half(INFINITY) == 0x7c00,
       "raster_half overflows to infinity at 65520");
}

/* A pixel taken through depth, intrinsics and extrinsics lies on the geom it shows. */
static void test_camera(void)
{
    enum { W = 160, H = 120 };
    static int32_t ids[W * H];
    static float depth[W * H];
    const raster_image image = {.width = W, .height = H, .geom = ids, .depth = depth};
    const double from[3] = {1.3, -.4, .7}, to[3] = {.35, 0, .1};
    double k[4], t[16], worst = 0;
    int32_t n_floor = 0;
    scene_look(model, from, to, 50);
    mj_kinematics(model, data);
    mj_camlight(model, data);
    raster_view v;
    raster_view_of(model, data, 0, W, H, &v);
    raster_intrinsics(model, 0, W, H, k);
    raster_extrinsics(data, 0, t);
    raster_draw(drawer, model, data, &v, &image);
    for (int32_t i = 0; i < W * H; i++) {
        if (ids[i] != 0) continue; /* geom 0 is the floor at z = -0.7 */
        const double z = depth[i];
        const double p[3] = {(i % W - k[2]) * z / k[0], (i / W - k[3]) * z / k[1], z};
        const double height = t[8] * p[0] + t[9] * p[1] + t[10] * p[2] + t[11];
        worst = fmax(worst, fabs(height + .7));
        n_floor++;
    }
    ok(n_floor > 100 && worst < 1e-5,
       "floor pixels land on the floor by intrinsics and extrinsics (worst %.1e m)", worst);
    ok(k[2] == (W - 1) / 2. && k[3] == (H - 1) / 2. && k[0] == k[1] &&
           fabs(H / 2. / k[1] - tan(25 * mjPI / 180)) < 1e-12,
       "focal length follows from the vertical field of view, pixels are square");
}

static void test_labels(void)
{
    enum { S = 96 };
    static int32_t ids[S * S];
    static uint8_t label[S * S], label_of[1000];
    raster_image image = {.width = S, .height = S, .geom = ids, .label = label};
    image.label_of = label_of;
    image.label_none = 77;
    int32_t right = 1, hidden = 1, none = 0;
    for (int i = 0; i < 1000; i++)
        label_of[i] = (uint8_t)(i * 7 % 251);
    for (int k = 0; k < 8; k++) {
        raster_view v;
        choose_view(k, S, &v);
        raster_draw(drawer, model, data, &v, &image);
        for (int i = 0; i < S * S; i++) {
            right &= label[i] == (ids[i] < 0 ? 77 : label_of[ids[i]]);
            none |= ids[i] < 0;
            hidden &=
                ids[i] < 0 ||
                (model->geom_group[ids[i]] <= 2 &&
                 (model->geom_matid[ids[i]] >= 0 || model->geom_rgba[4 * ids[i] + 3] > 0));
        }
    }
    ok(right && none, "labels are the table's entry of the geom seen, or label_none");
    ok(hidden, "geoms of group 3 and geoms with alpha 0 are not drawn");
}

static void test_refusals(void)
{
    static uint8_t rgb[3 * N_PIXELS];
    raster_view v;
    choose_view(0, 96, &v);
    raster_image image = {.width = SIDE + 1, .height = 10, .rgb = rgb};
    ok(raster_draw(drawer, model, data, &v, &image) == EVLA_E_SHAPE,
       "a picture wider than the raster is refused");
    image.width = 0;
    ok(raster_draw(drawer, model, data, &v, &image) == EVLA_E_SHAPE,
       "an empty picture is refused");
    image.width = 10;
    image.label = rgb;
    ok(raster_draw(drawer, model, data, &v, &image) == EVLA_E_SHAPE,
       "labels without a table are refused");
    image.label = NULL;
    raster_view bad = v;
    bad.to_world[0] = 3;
    ok(raster_draw(drawer, model, data, &bad, &image) == EVLA_E_RANGE,
       "a camera that is not a rotation is refused");
    bad = v;
    bad.near_m = NAN;
    ok(raster_draw(drawer, model, data, &bad, &image) == EVLA_E_RANGE,
       "a near plane that is not a number is refused");
    ok(raster_bytes(model, 0, 5) == 0 && raster_bytes(model, 5, RASTER_MAX_SIDE + 1) == 0,
       "sides outside 1..%d are refused", RASTER_MAX_SIDE);
    ok(raster_draw(drawer, model, data, &v, &image) == 0,
       "and a good picture is drawn after all");
}

/* Mesa keeps 480 bytes of its own; the leak checker, when there is one, asks for this. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libOSMesa"; }

int main(void)
{
    model = scene_model();
    if (!model) return ok(0, "the test scene loads"), tap_done();
    data = mj_makeData(model);
    for (int i = 0; i < 500; i++)
        mj_step(model, data);
    const size_t n_bytes = raster_bytes(model, SIDE, SIDE);
    unsigned char *memory = malloc(n_bytes + 64);
    if (!memory) return 1;
    memset(memory + n_bytes, 0x5a, 64);
    drawer = raster_make(memory, model, SIDE, SIDE);

    test_half();
    test_camera();
    test_labels();
    test_bits();
    test_refusals();
    oracle o = {0};
    const char *why = oracle_open(&o);
    if (why) {
        note("MuJoCo's own renderer is left out: %s", why);
        ok(1, "comparison with MuJoCo's own renderer # SKIP %s", why);
    } else {
        compare_all(&o, 96);
        compare_all(&o, SIDE);
        oracle_close(&o);
    }
    int32_t kept = 1;
    for (int i = 0; i < 64; i++)
        kept &= memory[n_bytes + (size_t)i] == 0x5a;
    ok(kept, "nothing is written behind raster_bytes");
    free(memory);
    mj_deleteData(data);
    mj_deleteModel(model);
    return tap_done();
}
