"""Tests of what is known about Bedrock: the card, the fault table, bodies and answers."""
