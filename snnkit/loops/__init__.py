"""Networks that steer what they sense: closed loops of a simulated world, a controller, and a model or an emulated chip."""
