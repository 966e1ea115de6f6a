"""Structured answers: a job's JSON Schema, what Bedrock is told of it, whether an answer fits, and its column."""
