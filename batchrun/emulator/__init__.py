"""A local Bedrock for demos, chaos runs and tests; it shares no quota code with the lanes, only the model card."""
