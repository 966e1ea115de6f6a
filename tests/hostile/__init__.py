"""Bad and hostile input: each is refused by name, or carried through unharmed."""
