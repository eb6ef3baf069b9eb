"""What can be called, a module a kind; GitHub has its own package. `jobs.dispatch.executors` chooses among them."""
