"""What is remembered: statuses, records, tables, and every read and write of the store."""
