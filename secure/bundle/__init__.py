"""A compiled network: what client and server get, on disk and as text.

interface.py      what flat inputs and outputs mean to people
specs.py          ClientSpec (no weights), ServerSpec (no secret), Bundle
batch_specs.py    the same parts of a bundle compiled for throughput
fields.py         the fields of a JSON object, read by type and range
client_checks.py  what a client's part may say
client_file.py    client.json
files.py          a Bundle on disk
report_checks.py  the fields of report.json that code reads, by type
explain.py        a bundle as text for people
"""
