"""What the account really has, read from AWS: profiles, lifecycle, quotas; and what keeps a lane from answering."""
