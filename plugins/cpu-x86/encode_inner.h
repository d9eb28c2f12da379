/*
 * encode_inner.h -- from f32 to eight-bit codes, for one instruction set: the bits of the
 * portable operator.
 */

/* The largest magnitude's bits; Inf and NaN are the largest. */
static uint32_t largest(const float *x, int64_t n)
{
    vint most = v_int(0);
    for (int64_t i = 0; i < n; i += LANES) {
        vec v = n - i >= LANES ? v_load(x + i) : v_load_some(x + i, v_first(n - i));
        most = v_imax(most, v_and(v_bits(v), v_int(0x7fffffff)));
    }
    int32_t all[LANES], best = 0;
    memcpy(all, &most, sizeof all);
    for (int i = 0; i < LANES; i++)
        best = all[i] > best ? all[i] : best;
    return (uint32_t)best;
}

/* q = clamp(nearest_even(x / scale), -127, 127), NaN gives 0. */
static void encode(const float *x, float scale, int64_t n, int8_t *q)
{
    const vec magic = v_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to nearest even */
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t have = least(n - i, LANES);
        vec v = have == LANES ? v_load(x + i) : v_load_some(x + i, v_first(have));
        v = v / v_all(scale);
        v = v_max(v_all(-127.0f), v_min(v_all(127.0f), v));
        v = v_pick(v, _CMP_ORD_Q, v, v, v_zero());
        int8_t codes[16];
        v_store_codes(codes, v_to_int((v + magic) - magic));
        memcpy(q + i, codes, (size_t)have);
    }
}
