/*
 * mix.h -- well-mixed bits of a number: the finisher of SplitMix64 (Steele, Lea and Flood
 * 2014). The same bits on every machine; what is drawn with it goes into results.
 */
#ifndef EVLA_MIX_H
#define EVLA_MIX_H
#include <stdint.h>

/* From one number of SplitMix64's sequence to the next: 2^64 over the golden ratio, odd. */
#define MIX_STEP 0x9e3779b97f4a7c15u

static inline uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

#endif
