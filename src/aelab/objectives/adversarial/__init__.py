"""Critics: a network, what it compares, its loss, its penalty; and the terms that read them."""
