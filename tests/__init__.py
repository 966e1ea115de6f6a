"""The tests; what more than one of them needs lies beside them."""
