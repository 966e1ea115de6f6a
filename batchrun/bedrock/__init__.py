"""Amazon Bedrock as batchrun sees it: the model card, request bodies, the SDK transport, faults."""
