"""What a comparison must not do in silence: count a reproduction, drop a metric, test nothing, show a key."""
