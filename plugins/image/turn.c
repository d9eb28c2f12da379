/*
 * turn.c -- EXIF's orientation; see turn.h.
 */
#include "turn.h"

enum { ORIENTATION = 274, SHORT = 3, LONG = 4, ENTRY_BYTES = 12 };

typedef struct bytes {
    const uint8_t *at;
    uint64_t n;
    int is_big; /* the first byte counts most */
} bytes;

/* A number of `size` bytes; 0 beyond the end. */
static uint32_t number(const bytes *b, uint64_t at, int size)
{
    uint32_t v = 0;
    if (at > b->n || b->n - at < (uint64_t)size) return 0;
    for (int i = 0; i < size; i++)
        v |= (uint32_t)b->at[at + (uint64_t)i] << 8 * (b->is_big ? size - 1 - i : i);
    return v;
}

int turn_orientation(const uint8_t *tiff, uint64_t n)
{
    bytes b = {tiff, n, n && tiff[0] == 'M'};
    if (number(&b, 0, 2) != (b.is_big ? 0x4d4d : 0x4949) || number(&b, 2, 2) != 42)
        return 1;
    uint64_t at = number(&b, 4, 4);
    uint32_t entries = number(&b, at, 2);
    at += 2;
    for (uint32_t i = 0; i < entries && at < n; i++, at += ENTRY_BYTES) {
        uint32_t type = number(&b, at + 2, 2);
        uint32_t value = number(&b, at + 8, type == LONG ? 4 : 2);
        if (number(&b, at, 2) == ORIENTATION && (type == SHORT || type == LONG) &&
            number(&b, at + 4, 4) == 1 && value >= 1 && value <= 8)
            return (int)value;
    }
    return 1;
}

turn turn_of(int orientation, int64_t height, int64_t width)
{
    const int64_t h = height, w = width, last = h * w - 1;
    switch (orientation) {
    case 2: /* left and right changed */
        return (turn){h, w, w - 1, w, -1};
    case 3: /* upside down */
        return (turn){h, w, last, -w, -1};
    case 4: /* top and bottom changed */
        return (turn){h, w, (h - 1) * w, -w, 1};
    case 5: /* rows are columns */
        return (turn){w, h, 0, 1, h};
    case 6: /* a quarter to the right */
        return (turn){w, h, h - 1, -1, h};
    case 7: /* rows are columns, both from their ends */
        return (turn){w, h, last, -1, -h};
    case 8: /* a quarter to the left */
        return (turn){w, h, (w - 1) * h, 1, -h};
    default:
        return (turn){h, w, 0, w, 1};
    }
}
