"""The subcommands of `cipherpress`, one file per topic. No maths here.

console.py       results, notes and progress: where output goes
options.py       options that several commands share
command.py       what every subcommand has
artifacts.py     MODEL, DATA, BUNDLE and output arguments
compressing.py   train, compress, convert
conversion.py    options of convert
rates.py         --target-rate and --max-loss of compress
pressing.py      compile, press
natives.py       --native of press and convert
exporting.py     export
parties.py       keygen, encrypt, run, decrypt
batches.py       the same of bundles for throughput
checking.py      infer, verify
showing.py       models, architectures, inspect
pricing.py       estimate, report
machine.py       calibrate, bench
selftesting.py   selftest
serving.py       serve, predict
shipped.py       networks and images that ship, for a first try
demo.py          demo
detecting.py     detect
"""
