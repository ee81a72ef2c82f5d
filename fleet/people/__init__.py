"""People of the fleet side: accounts, sessions, API tokens, what each may do, and who did what."""
