"""Views: rows folded from events, and the queries on them."""
