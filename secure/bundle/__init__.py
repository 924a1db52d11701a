"""A compiled network: what client and server get, on disk and as text.

interface.py        what flat inputs and outputs mean to people
specs.py            ClientSpec (no weights), ServerSpec (no secret), Bundle
batch_specs.py      the same parts of a bundle compiled for throughput
fields.py           the fields of a JSON object, read by type and range
client_parts.py     what client.json says in either mode
client_checks.py    what a client's part for latency may say
batch_client.py     client.json of a bundle for throughput, and what it may say
client_file.py      client.json
folder.py           file names and hashes that bind the parts of a folder
plan_file.py        plan.json and constants of a plan for latency
batch_plan_file.py  plan.json and constants of a plan for throughput
files.py            a bundle of either mode on disk
report_checks.py    the fields of report.json that code reads, by type
text.py             what texts about bundles share
explain.py          a bundle for latency as text for people
batch_explain.py    a bundle for throughput as text for people
"""
