"""The table of keys against time: shares are those of the same network with a key for every rotation."""

from benchmarks.key_trade import key_trade_table

ROWS = [
    {
        "network": name,
        "degree": 32768,
        "weight": weight,
        "keys": 100,
        "rotations": 300,
        "key_bytes": 5e8,
        "milliseconds": milliseconds,
    }
    for name, weight, milliseconds in (("a", 0, 1000.0), ("a", 0.8, 1060.0), ("b", 0, 200.0), ("b", 0.8, 190.0))
]


def test_every_row_is_compared_with_its_own_network():
    lines = key_trade_table({"rows": ROWS, "prime_bits": 38}).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[2:6]] == ["+0.0%", "+6.0%", "+0.0%", "-5.0%"]
    assert [line.split("|")[5].strip() for line in lines[2:6]] == ["500"] * 4
    assert lines[-1].startswith("Digits of three primes, 38 bits each")
