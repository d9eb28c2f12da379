/* embed.c -- runs a saved graph from C:  embed MODEL.evla PLUGINS GRAPH INPUT OUTPUT
 * Build: cc embed.c $(pkg-config --cflags --libs evla) -o embed */
#include "evla/evla.h"
#include <stdio.h>

static int stop(const evla_engine *e)
{
    fprintf(stderr, "embed: %s\n", evla_why(e));
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 6) return 2;
    const char *plugins[] = {argv[2], NULL};
    evla_engine_options how = {.size = sizeof how, .plugins = plugins};
    evla_symbol batch = {"B", 1};
    evla_session_options run = {.size = sizeof run, .symbols = &batch, .n_symbols = 1};
    evla_engine *engine;
    evla_model *model;
    evla_session *session;
    evla_tensor in, out;

    if (evla_engine_new(&how, &engine) < 0) return stop(engine);
    if (evla_model_open(engine, argv[1], &model) < 0) return stop(engine);
    if (evla_session_new(model, argv[3], &run, &session) < 0) return stop(engine);
    if (evla_session_input(session, argv[4], &in) < 0) return stop(engine);
    if (evla_session_output(session, argv[5], &out) < 0) return stop(engine);
    for (int64_t i = 0; i < in.shape[1]; i++)
        ((float *)in.data[0])[i] = 0.125f * (float)i;
    if (evla_session_run(session) < 0) return stop(engine);
    for (int64_t i = 0; i < out.shape[1]; i++)
        printf("%.9g\n", ((float *)out.data[0])[i]);
    evla_session_free(session);
    evla_model_close(model);
    evla_engine_free(engine);
    return 0;
}
