"""From a Network to a Bundle: the search for the cheapest plan, and its report.

compile.py     compile_network: from a Network to a Bundle, by the cheapest plan that is precise enough
allowed.py     how far answers may be off, as the network's task wants it
judging.py     the rows that drafts are judged on, and warnings about promises that rest on few
ways.py        the ways in which a network becomes stages
estimate.py    what compiling will take, before anything is computed
affordable.py  bytes of a draft, and whether it can keep to limits in bytes
alike.py       drafts that get the same parameters, and drafts that do the same work
search.py      the choices, and the order in which they are tried
switching.py   one special prime or several, and the digits of the winning plan's key switches
failing.py     why no plan was good enough
reporting.py   the compiler's report as plain JSON values
"""
