"""What is read of the account, and the doctor."""
