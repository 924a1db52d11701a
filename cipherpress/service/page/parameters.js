// The parameters that this client accepts: those that the 2024 guideline counts as 128 bits (eprint 2024/463).

const MOST_LOG2_QP = { 2048: 53, 4096: 106, 8192: 214, 16384: 430, 32768: 868 };
const MOST_PRIME_BITS = 50;
// Keys for more rotations than this take hundreds of megabytes in a page.
const MOST_ROTATIONS = 256;

// {degree, dataPrimes, primes (special primes last), sealPrimes, digitsAt}, or an Error that says why they are refused.
export function checkParameters(params, elements) {
  const degree = params.poly_modulus_degree;
  const specials = [params.special_prime ?? [], params.more_special_primes ?? []].flat();
  const primes = [...params.data_primes, ...specials].map(BigInt);
  const limit = MOST_LOG2_QP[degree];
  const modulus = primes.reduce((product, prime) => product * prime, 1n);
  const refused = (why) => new Error(`The server's parameters are refused: ${why}. Do not send data to this server.`);
  if (!limit) throw refused(`N = ${degree} is not in the security table`);
  if (modulus > 1n << BigInt(limit)) throw refused(`their modulus has ${modulus.toString(2).length} bits, 128-bit security allows ${limit}`);
  if (primes.some((prime) => prime >= 1n << BigInt(MOST_PRIME_BITS)))
    throw new Error(`This page computes with primes below ${MOST_PRIME_BITS} bits. Use \`cipherpress predict\` for this network.`);
  if (new Set(primes).size !== primes.length) throw refused("a prime occurs twice");
  if (elements.length && !specials.length) throw refused("rotations need a special prime");
  if (elements.length > MOST_ROTATIONS)
    throw new Error(`This network needs ${elements.length} rotation keys, too many for a page. Use \`cipherpress predict\`.`);
  const levels = params.data_primes.length;
  return {
    degree,
    primes,
    dataPrimes: primes.slice(0, levels),
    // SEAL knows one special prime
    sealPrimes: primes.slice(0, levels + 1),
    digitsAt: (level) => digitsAt(params.digits ?? Array(levels).fill(1), level),
  };
}

// Where the data primes of each digit of a value at this level start and end. The last digit may be cut short.
function digitsAt(sizes, level) {
  const digits = [];
  let start = 0;
  for (const size of sizes) {
    if (start < level) digits.push({ start, end: Math.min(start + size, level) });
    start += size;
  }
  return digits;
}
