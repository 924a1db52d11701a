"""The table of products: one line per plan, in the order of the headings."""

from benchmarks.products import products_table

ROW = {
    "network": "attention",
    "way": "products",
    "predicted_ms": 36.82,
    "server_ms": 40.16,
    "ciphertext_products": 2,
    "squares": 0,
    "plain_products": 641,
    "rotations": 123,
    "galois_keys": 50,
    "key_bytes": 21.4e6,
    "poly_modulus_degree": 8192,
    "log2_qp": 194.6,
    "levels": 3,
    "bound": 0.139,
    "largest_error": 0.0213,
    "images": 10,
}


def test_a_row_states_time_work_keys_and_errors():
    machine = {"cpu": "a core", "date": "2026-11-29"}
    table = products_table({"rows": [ROW], "machine": machine, "command": "bench"}).splitlines()
    cells = [cell.strip() for cell in table[2].strip("|").split("|")]
    assert cells == [
        "attention", "products", "40.2", "36.8", "2", "0", "641", "123", "50", "21.4", "8192", "195", "0.139", "0.0213",
    ]  # fmt: skip
    assert len(cells) == table[0].count("|") - 1
    assert "a core, 2026-11-29, `bench`" in table[-1]
