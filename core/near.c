/*
 * near.c -- the name that was probably meant. See near.h.
 */
#include "near.h"
#include <ctype.h>
#include <string.h>

/* Edit distance, transpositions counted as one (Damerau 1964, restricted). */
static int distance(const char *a, const char *b)
{
    enum { MOST = 48 };
    int n = (int)strlen(a), m = (int)strlen(b), d[MOST + 1][MOST + 1];
    if (n > MOST || m > MOST) return 1000;
    for (int i = 0; i <= n; i++)
        d[i][0] = i;
    for (int k = 0; k <= m; k++)
        d[0][k] = k;
    for (int i = 1; i <= n; i++)
        for (int k = 1; k <= m; k++) {
            int same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[k - 1]);
            int best = d[i - 1][k - 1] + !same;
            if (d[i - 1][k] + 1 < best) best = d[i - 1][k] + 1;
            if (d[i][k - 1] + 1 < best) best = d[i][k - 1] + 1;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
                d[i - 2][k - 2] + 1 < best)
                best = d[i - 2][k - 2] + 1;
            d[i][k] = best;
        }
    return d[n][m];
}

const char *near_miss(const char *name, const char *const *names, int32_t n)
{
    const char *best = NULL;
    int length = (int)strlen(name), least = length < 4 ? 1 : length / 2;
    if (least > 3) least = 3;
    for (int32_t i = 0; i < n; i++) {
        int d = distance(name, names[i]);
        /* names that share no letter are not near */
        if (d < length && d <= least && (!best || d < least)) best = names[i], least = d;
    }
    return best;
}
