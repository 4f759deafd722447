"""What a2v is measured by: systems, suites, raw answers, and the tables and figures of them."""
