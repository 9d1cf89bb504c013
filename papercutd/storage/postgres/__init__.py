"""The store on PostgreSQL: the same transaction steps, on txpostgres."""
