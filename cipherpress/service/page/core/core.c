// The arithmetic of a client in the browser: transforms, sampling, encoding. No I/O, no libc, no state but `heap`.
//
// Built to core.wasm by `make page` (clang and wasm-ld). Residues are uint64 below a prime of at most 50 bits; values
// of a polynomial are in SEAL's order: value i is at psi^(2 bitreversed(i) + 1), psi the smallest primitive 2N-th root.
// What each function computes is documented in docs/wire-format.md and docs/security.md; tests hold it against the
// Python client.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define EXPORT(name) __attribute__((export_name(#name)))
#define PI 3.14159265358979323846

// ---- memory: callers take blocks and give all of them back at once ----

extern u8 __heap_base;
static u32 heap_next = 0;

EXPORT(take) u32 take(u32 bytes) {
    if (!heap_next) heap_next = ((u32)&__heap_base + 15) & ~15u;
    u32 start = heap_next, end = start + ((bytes + 15) & ~15u);
    u32 have = __builtin_wasm_memory_size(0) << 16;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 0xFFFF) >> 16) == (u32)-1) return 0;
    heap_next = end;
    return start;
}

EXPORT(mark) u32 mark(void) { return take(0); }

// Give back every block that was taken since `start`, and overwrite it: it may have held secrets.
EXPORT(release) void release(u32 start) {
    volatile u64 *word = (u64 *)start;
    for (u32 place = start; place < heap_next; place += 8) *word++ = 0;
    heap_next = start;
}

// ---- modular arithmetic: the quotient of a product comes from float64 and is off by one at most ----

static inline u64 corrected(i64 rest, u64 prime) {
    if (rest < 0) rest += (i64)prime;
    if (rest >= (i64)prime) rest -= (i64)prime;
    return (u64)rest;
}

static inline u64 times(u64 a, u64 b, u64 prime, double inverse) {
    u64 quotient = (u64)((double)a * (double)b * inverse);
    return corrected((i64)(a * b - quotient * prime), prime);
}

static inline u64 plus(u64 a, u64 b, u64 prime) { u64 sum = a + b; return sum >= prime ? sum - prime : sum; }
static inline u64 minus(u64 a, u64 b, u64 prime) { return a >= b ? a - b : a + prime - b; }

static u64 power(u64 base, u64 exponent, u64 prime) {
    u64 result = 1;
    double inverse = 1.0 / (double)prime;
    for (; exponent; exponent >>= 1, base = times(base, base, prime, inverse))
        if (exponent & 1) result = times(result, base, prime, inverse);
    return result;
}

static inline i64 remainder_of(double value, u64 prime) {
    // exact: values are whole numbers below 2^53
    i64 rest = (i64)value % (i64)prime;
    return rest < 0 ? rest + (i64)prime : rest;
}

// The smallest primitive root of unity of order 2N modulo the prime; 0 if there is none.
static u64 smallest_root(u64 prime, u32 degree) {
    u64 order = 2 * (u64)degree, root = 0;
    if ((prime - 1) % order) return 0;
    for (u64 base = 2; base < 1000 && !root; base++) {
        u64 candidate = power(base, (prime - 1) / order, prime);
        if (power(candidate, degree, prime) == prime - 1) root = candidate;
    }
    if (!root) return 0;
    double inverse = 1.0 / (double)prime;
    u64 square = times(root, root, prime, inverse), current = root, smallest = root;
    for (u32 count = 0; count < degree; count++) {
        if (current < smallest) smallest = current;
        current = times(current, square, prime, inverse);
    }
    return smallest;
}

static u32 reversed(u32 value, u32 bits) {
    u32 result = 0;
    for (u32 bit = 0; bit < bits; bit++) result |= ((value >> bit) & 1u) << (bits - 1 - bit);
    return result;
}

static u32 log2_of(u32 degree) { return 31 - __builtin_clz(degree); }

// tables (2N): powers of the root in bit-reversed order, then those of its inverse. Returns 1, or 0 without a root.
EXPORT(make_tables) u32 make_tables(u64 prime, u32 degree, u64 *tables) {
    u64 root = smallest_root(prime, degree);
    if (!root) return 0;
    double inverse = 1.0 / (double)prime;
    u64 inverse_root = power(root, prime - 2, prime), forth = 1, back = 1;
    u32 bits = log2_of(degree);
    for (u32 exponent = 0; exponent < degree; exponent++) {
        u32 place = reversed(exponent, bits);
        tables[place] = forth;
        tables[degree + place] = back;
        forth = times(forth, root, prime, inverse);
        back = times(back, inverse_root, prime, inverse);
    }
    return 1;
}

// Coefficients (N) to values in SEAL's order, in place (Cooley and Tukey's butterflies, decimation in time).
EXPORT(forward) void forward(u64 *row, u64 prime, const u64 *tables, u32 degree) {
    double inverse = 1.0 / (double)prime;
    for (u32 groups = 1, half = degree >> 1; groups < degree; groups <<= 1, half >>= 1)
        for (u32 group = 0; group < groups; group++) {
            u64 twiddle = tables[groups + group], *low = row + 2 * group * half, *high = low + half;
            for (u32 place = 0; place < half; place++) {
                u64 first = low[place], second = times(high[place], twiddle, prime, inverse);
                low[place] = plus(first, second, prime);
                high[place] = minus(first, second, prime);
            }
        }
}

// Values in SEAL's order to coefficients (N), in place (Gentleman and Sande's butterflies).
EXPORT(inverse) void inverse(u64 *row, u64 prime, const u64 *tables, u32 degree) {
    double reciprocal = 1.0 / (double)prime;
    const u64 *back = tables + degree;
    for (u32 groups = degree >> 1, half = 1; groups; groups >>= 1, half <<= 1)
        for (u32 group = 0; group < groups; group++) {
            u64 twiddle = back[groups + group], *low = row + 2 * group * half, *high = low + half;
            for (u32 place = 0; place < half; place++) {
                u64 first = low[place], second = high[place];
                low[place] = plus(first, second, prime);
                high[place] = times(minus(first, second, prime), twiddle, prime, reciprocal);
            }
        }
    u64 shrink = power(degree, prime - 2, prime);
    for (u32 place = 0; place < degree; place++) row[place] = times(row[place], shrink, prime, reciprocal);
}

// ---- sampling: coins come from the browser's cryptographic generator ----

// result (N) = heads of 21 coins minus heads of 21 others, from six bytes each: SEAL's errors.
EXPORT(errors) void errors(const u8 *coins, u32 degree, double *result) {
    for (u32 place = 0; place < degree; place++, coins += 6) {
        u32 up = coins[0] | (u32)coins[1] << 8 | (u32)(coins[2] & 0x1F) << 16;
        u32 down = coins[3] | (u32)coins[4] << 8 | (u32)(coins[5] & 0x1F) << 16;
        result[place] = (double)(__builtin_popcount(up) - __builtin_popcount(down));
    }
}

// result (N): -1, 0 or 1, each as likely. Returns 1, or 0 if `count` bytes did not suffice (255 is thrown away).
EXPORT(ternary) u32 ternary(const u8 *bytes, u32 count, u32 degree, double *result) {
    u32 used = 0;
    for (u32 place = 0; place < degree; place++) {
        while (used < count && bytes[used] == 255) used++;
        if (used == count) return 0;
        result[place] = (double)(bytes[used++] % 3) - 1.0;
    }
    return 1;
}

// ---- BLAKE2b (RFC 7693), by which SEAL names parameters ----

static const u64 BLAKE_START[8] = {
    0x6A09E667F3BCC908ULL, 0xBB67AE8584CAA73BULL, 0x3C6EF372FE94F82BULL, 0xA54FF53A5F1D36F1ULL,
    0x510E527FADE682D1ULL, 0x9B05688C2B3E6C1FULL, 0x1F83D9ABFB41BD6BULL, 0x5BE0CD19137E2179ULL};
static const u8 BLAKE_ORDER[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

static inline u64 rotated(u64 value, u32 bits) { return value >> bits | value << (64 - bits); }

static void compress(u64 *state, const u64 *message, u64 count, u64 last) {
    u64 v[16];
    for (u32 word = 0; word < 8; word++) v[word] = state[word], v[word + 8] = BLAKE_START[word];
    v[12] ^= count;
    v[14] ^= last;
    for (u32 turn = 0; turn < 12; turn++) {
        const u8 *order = BLAKE_ORDER[turn % 10];
        for (u32 step = 0; step < 8; step++) {
            u32 column = step & 3, slide = step >> 2;
            u64 *a = v + column, *b = v + 4 + ((column + slide) & 3), *c = v + 8 + ((column + 2 * slide) & 3),
                *d = v + 12 + ((column + 3 * slide) & 3);
            *a += *b + message[order[2 * step]];
            *d = rotated(*d ^ *a, 32);
            *c += *d;
            *b = rotated(*b ^ *c, 24);
            *a += *b + message[order[2 * step + 1]];
            *d = rotated(*d ^ *a, 16);
            *c += *d;
            *b = rotated(*b ^ *c, 63);
        }
    }
    for (u32 word = 0; word < 8; word++) state[word] ^= v[word] ^ v[word + 8];
}

// The hash (32 bytes) of words that fill one block at most: SEAL's parms_id of (scheme, N, primes, plain modulus).
EXPORT(parms_id) void parms_id(const u64 *words, u32 count, u64 *result) {
    u64 state[8], block[16];
    for (u32 word = 0; word < 8; word++) state[word] = BLAKE_START[word];
    state[0] ^= 0x01010000ULL ^ 32;
    u32 done = 0;
    do {
        u32 left = count - done, size = left > 16 ? 16 : left;
        for (u32 word = 0; word < 16; word++) block[word] = word < size ? words[done + word] : 0;
        done += size;
        compress(state, block, 8 * (u64)done, done == count ? ~0ULL : 0);
    } while (done < count);
    for (u32 word = 0; word < 4; word++) result[word] = state[word];
}

// ---- ChaCha20 (RFC 8439), and the uniform residues of second parts ----

static inline u32 turned(u32 value, u32 bits) { return value << bits | value >> (32 - bits); }

static void chacha_block(const u32 *start, u32 *result) {
    u32 x[16];
    for (u32 word = 0; word < 16; word++) x[word] = start[word];
    for (u32 turn = 0; turn < 10; turn++)
        for (u32 step = 0; step < 8; step++) {
            u32 column = step & 3, slide = step >> 2;
            u32 *a = x + column, *b = x + 4 + ((column + slide) & 3), *c = x + 8 + ((column + 2 * slide) & 3),
                *d = x + 12 + ((column + 3 * slide) & 3);
            *a += *b, *d = turned(*d ^ *a, 16);
            *c += *d, *b = turned(*b ^ *c, 12);
            *a += *b, *d = turned(*d ^ *a, 8);
            *c += *d, *b = turned(*b ^ *c, 7);
        }
    for (u32 word = 0; word < 16; word++) result[word] = x[word] + start[word];
}

// result (N): residues below a prime of these bits, from the stream of a seed (8 words) and the nonce (0, row, digit).
EXPORT(uniform_row) void uniform_row(const u32 *seed, u32 row, u32 digit, u64 prime, u32 bits, u32 degree, u64 *result) {
    static const char text[] = "expand 32-byte k";
    u32 state[16], block[16], blocks = 0, used = 16;
    for (u32 word = 0; word < 4; word++)
        state[word] = (u32)(u8)text[4 * word] | (u32)(u8)text[4 * word + 1] << 8 | (u32)(u8)text[4 * word + 2] << 16
                      | (u32)(u8)text[4 * word + 3] << 24;
    for (u32 word = 0; word < 8; word++) state[4 + word] = seed[word];
    state[13] = 0, state[14] = row, state[15] = digit;
    u64 mask = (1ULL << bits) - 1;
    for (u32 place = 0; place < degree; place += 8) {
        state[12] = blocks++;
        chacha_block(state, block);
        for (u32 word = 0; word < 8; word++) result[place + word] = (block[2 * word] | (u64)block[2 * word + 1] << 32) & mask;
    }
    // a residue that is too large is replaced by the next word behind the first N that is not
    for (u32 place = 0; place < degree; place++)
        while (result[place] >= prime) {
            if (used == 16) {
                state[12] = blocks++, used = 0;
                chacha_block(state, block);
            }
            result[place] = (block[used] | (u64)block[used + 1] << 32) & mask;
            used += 2;
        }
}

// result (N bits / 8 bytes): residue k takes the bits k b to (k + 1) b - 1, counted from the lowest of the first byte.
EXPORT(pack_row) void pack_row(const u64 *row, u32 bits, u32 degree, u8 *result) {
    u64 held = 0;
    u32 count = 0;
    for (u32 place = 0; place < degree; place++) {
        held |= row[place] << count;  // at most 7 bits are waiting, and a residue has at most 50
        count += bits;
        for (; count >= 8; count -= 8, held >>= 8) *result++ = (u8)held;
    }
}

// row (N): the residues of a string of bits, which may be too large for their prime.
EXPORT(unpack_row) void unpack_row(const u8 *packed, u32 bits, u32 degree, u64 *row) {
    u64 held = 0, mask = (1ULL << bits) - 1;
    u32 count = 0;
    for (u32 place = 0; place < degree; place++) {
        for (; count < bits; count += 8) held |= (u64)*packed++ << count;  // fewer than 58 bits are held
        row[place] = held & mask;
        held >>= bits;
        count -= bits;
    }
}

// ---- ciphertexts ----

// row (N) = values of a polynomial with these whole coefficients.
EXPORT(residues) void residues(const double *coefficients, u64 prime, const u64 *tables, u32 degree, u64 *row) {
    for (u32 place = 0; place < degree; place++) row[place] = (u64)remainder_of(coefficients[place], prime);
    forward(row, prime, tables, degree);
}

// row (N): values of m + e become those of m + e - a s.
EXPORT(hide) void hide(u64 *row, const u64 *random, const u64 *secret, u64 prime, u32 degree) {
    double inverse = 1.0 / (double)prime;
    for (u32 place = 0; place < degree; place++)
        row[place] = minus(row[place], times(random[place], secret[place], prime, inverse), prime);
}

// row (N) += factor * other.
EXPORT(add_multiple) void add_multiple(u64 *row, const u64 *other, u64 factor, u64 prime, u32 degree) {
    double inverse = 1.0 / (double)prime;
    factor %= prime;
    for (u32 place = 0; place < degree; place++)
        row[place] = plus(row[place], times(other[place], factor, prime, inverse), prime);
}

// result (N) = row * row.
EXPORT(square) void square(const u64 *row, u64 prime, u32 degree, u64 *result) {
    double inverse = 1.0 / (double)prime;
    for (u32 place = 0; place < degree; place++) result[place] = times(row[place], row[place], prime, inverse);
}

// result (N): coefficients of the polynomial under X -> X^element.
EXPORT(automorphism) void automorphism(const double *coefficients, u32 element, u32 degree, double *result) {
    for (u32 place = 0; place < degree; place++) {
        u32 target = (u32)((u64)place * element % (2 * degree));
        if (target < degree) result[target] = coefficients[place];
        else result[target - degree] = -coefficients[place];
    }
}

// rows (parts = 2, level, N) in SEAL's order to the coefficients (N) of c0 + c1 s, centred and exact up to float64.
// secret (level, N), tables (level, 2N), scratch (level, N).
EXPORT(open_ciphertext) void open_ciphertext(
    const u64 *rows, const u64 *secret, const u64 *primes, const u64 *tables, u32 level, u32 degree, u64 *scratch,
    double *result) {
    for (u32 which = 0; which < level; which++) {
        u64 prime = primes[which], *row = scratch + which * degree;
        double reciprocal = 1.0 / (double)prime;
        const u64 *first = rows + which * degree, *second = rows + (level + which) * degree;
        for (u32 place = 0; place < degree; place++)
            row[place] = plus(first[place], times(second[place], secret[which * degree + place], prime, reciprocal), prime);
        inverse(row, prime, tables + 2 * which * degree, degree);
    }
    // digits of a mixed radix, each centred (Garner): a small value has zeros above
    for (u32 place = 0; place < degree; place++) {
        i64 digits[32];
        double value = 0.0, weight = 1.0;
        for (u32 which = 0; which < level && which < 32; which++) {
            u64 prime = primes[which], rest = scratch[which * degree + place], radix = 1;
            double reciprocal = 1.0 / (double)prime;
            for (u32 lower = 0; lower < which; lower++) {
                i64 digit = digits[lower] % (i64)prime;
                u64 positive = (u64)(digit < 0 ? digit + (i64)prime : digit);
                rest = minus(rest, times(positive, radix, prime, reciprocal), prime);
                radix = times(radix, primes[lower] % prime, prime, reciprocal);
            }
            u64 digit = times(rest, power(radix, prime - 2, prime), prime, reciprocal);
            digits[which] = digit > prime / 2 ? (i64)digit - (i64)prime : (i64)digit;
        }
        for (u32 which = 0; which < level && which < 32; which++) {
            value += (double)digits[which] * weight;
            weight *= (double)primes[which];
        }
        result[place] = value;
    }
}

// ---- encoding: slot j is the polynomial's value at exp(i pi 3^j / N) ----

static void sine_cosine(double angle, double *sine, double *cosine) {
    // |angle| <= pi / 4 after the fold below: Taylor's series to 1e-17
    double turns = angle / (PI / 2);
    i64 quarter = (i64)(turns < 0 ? turns - 0.5 : turns + 0.5);
    double x = angle - (double)quarter * (PI / 2), y = x * x;
    double s = x * (1 - y / 6 * (1 - y / 20 * (1 - y / 42 * (1 - y / 72 * (1 - y / 110 * (1 - y / 156 * (1 - y / 210 * (1 - y / 272))))))));
    double c = 1 - y / 2 * (1 - y / 12 * (1 - y / 30 * (1 - y / 56 * (1 - y / 90 * (1 - y / 132 * (1 - y / 182 * (1 - y / 240 * (1 - y / 306))))))));
    switch (quarter & 3) {
        case 0: *sine = s, *cosine = c; break;
        case 1: *sine = c, *cosine = -s; break;
        case 2: *sine = -s, *cosine = -c; break;
        default: *sine = -c, *cosine = s;
    }
}

// In-place transform sum over t of x_t exp(sign 2 pi i t k / N), radix 2. Values as pairs (real, imaginary).
static void fourier(double *x, u32 count, double sign) {
    u32 bits = log2_of(count);
    for (u32 place = 0; place < count; place++) {
        u32 other = reversed(place, bits);
        if (other > place)
            for (u32 part = 0; part < 2; part++) {
                double held = x[2 * place + part];
                x[2 * place + part] = x[2 * other + part];
                x[2 * other + part] = held;
            }
    }
    for (u32 half = 1; half < count; half <<= 1)
        for (u32 offset = 0; offset < half; offset++) {
            double s, c;
            sine_cosine(sign * PI * (double)offset / (double)half, &s, &c);
            for (u32 start = offset; start < count; start += 2 * half) {
                double *low = x + 2 * start, *high = low + 2 * half;
                double re = high[0] * c - high[1] * s, im = high[0] * s + high[1] * c;
                high[0] = low[0] - re, high[1] = low[1] - im;
                low[0] += re, low[1] += im;
            }
        }
}

// slots (N / 2 pairs) to whole coefficients (N) at a scale, half to even as numpy rounds. scratch: N pairs.
EXPORT(encode) void encode(const double *slots, double scale, u32 degree, double *coefficients, double *scratch) {
    u32 exponent = 1;
    for (u32 slot = 0; slot < degree / 2; slot++) {
        u32 place = (exponent - 1) / 2, mirror = degree - 1 - place;
        scratch[2 * place] = slots[2 * slot], scratch[2 * place + 1] = slots[2 * slot + 1];
        scratch[2 * mirror] = slots[2 * slot], scratch[2 * mirror + 1] = -slots[2 * slot + 1];
        exponent = exponent * 3 % (2 * degree);
    }
    fourier(scratch, degree, -1.0);
    for (u32 place = 0; place < degree; place++) {
        double s, c;
        sine_cosine(-PI * (double)place / (double)degree, &s, &c);
        double value = (scratch[2 * place] * c - scratch[2 * place + 1] * s) / (double)degree * scale;
        coefficients[place] = __builtin_rint(value);
    }
}

// coefficients (N) to slots (N / 2 pairs), divided by the scale. scratch: N pairs.
EXPORT(decode) void decode(const double *coefficients, double scale, u32 degree, double *slots, double *scratch) {
    for (u32 place = 0; place < degree; place++) {
        double s, c;
        sine_cosine(PI * (double)place / (double)degree, &s, &c);
        scratch[2 * place] = coefficients[place] * c, scratch[2 * place + 1] = coefficients[place] * s;
    }
    fourier(scratch, degree, 1.0);
    u32 exponent = 1;
    for (u32 slot = 0; slot < degree / 2; slot++) {
        u32 place = (exponent - 1) / 2;
        slots[2 * slot] = scratch[2 * place] / scale, slots[2 * slot + 1] = scratch[2 * place + 1] / scale;
        exponent = exponent * 3 % (2 * degree);
    }
}
