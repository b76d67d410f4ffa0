"""When: waiting that ends, loops that turn, requests at a pace that all can bear, and again after a failure."""
