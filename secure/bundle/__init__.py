"""A compiled network: what client and server get, on disk and as text.

specs.py     ClientSpec (no weights), ServerSpec (no secret), Bundle
files.py     a Bundle on disk
explain.py   a bundle as text for people
"""
