/*
 * hdf5_writer_runner.c -- stores test episodes, for tests and benches written in Python.
 *
 * hdf5_writer_runner FOLDER FILE EPISODES SHARD none|gzip separate|repeat SCALE
 * Prints the stage's report.
 */
#include "hdf5_episodes.h"

int main(int argc, char **argv)
{
    stage_host s;
    char report[512] = "";
    const evla_item *stage = host_item("hdf5", EVLA_STAGE, "hdf5");
    if (argc != 8 || !stage) {
        fprintf(stderr,
                "usage: %s FOLDER FILE EPISODES SHARD none|gzip separate|repeat SCALE\n",
                argv[0]);
        return 2;
    }
    host_init(&s);
    hdf5_params p = ep_params(argv[2]);
    p.shard = atoll(argv[4]);
    p.compress = strcmp(argv[5], "gzip") == 0;
    p.images = strcmp(argv[6], "repeat") == 0;
    int32_t st = ep_store(&s, stage->table, &p, argv[1], 0, atoll(argv[3]), atoi(argv[7]),
                          report, sizeof report);
    puts(st ? s.why : report);
    host_free(&s);
    return st != 0;
}
