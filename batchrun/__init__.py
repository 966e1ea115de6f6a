"""batchrun: one prompt per Parquet row through Claude on Amazon Bedrock, at the account's quota."""
