"""One run from a recipe to weights: data, losses, discriminators, balancer, trainer."""
